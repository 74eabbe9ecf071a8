"""What `import shufflenet` offers: the names that people look for, loaded when used, as the command line has them."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

import shufflenet
from shufflenet import cli

SOURCE = Path(shufflenet.__file__)

# Options that say how a command prints, and arguments that only Python needs.
ONLY_PRINTED = {"show_recipe", "as_json", "dry_run", "sheet"}
ONLY_PYTHON = {
    "train": {"command"},
    "evaluate": {"progress"},
    "export": {"name"},
    "similar": {"on_error", "progress"},
    "summary": set[str](),
}
# Options whose name for the command's own code is not what a user types.
TYPED = {"target": "to", "no_check": "check"}


def printed_by(code: str) -> list[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_every_name_is_where_the_table_and_the_type_checker_say() -> None:
    imports = {
        alias.name: node.module
        for node in ast.walk(ast.parse(SOURCE.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("shufflenet.")
        for alias in node.names
    }
    assert imports == {name: f"shufflenet.{module}" for name, module in shufflenet._MODULES.items()}
    assert shufflenet.__all__ == sorted(imports)
    for name in shufflenet.__all__:
        value = getattr(shufflenet, name)
        assert callable(value)
        assert value.__doc__


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'clasify'"):
        shufflenet.clasify  # noqa: B018


def test_completion_shows_public_names_alone() -> None:
    assert printed_by("import shufflenet; print(*dir(shufflenet))") == sorted([*shufflenet.__all__, "__version__"])


def test_no_file_hides_a_function() -> None:
    """Importing a file sets its name on the package, in place of a function of the same name."""
    for file in SOURCE.parent.iterdir():
        assert file.name.removesuffix(".py") not in shufflenet.__all__


def test_importing_loads_nothing_else() -> None:
    loaded = "(name for name in ('torch', 'numpy', 'PIL', 'click') if name in sys.modules)"
    assert printed_by(f"import sys, shufflenet; print(*{loaded})") == []


@pytest.mark.parametrize("name", list(ONLY_PYTHON))
def test_functions_take_what_commands_take(name: str) -> None:
    command = cli.commands.get_command(click.Context(cli.commands), name)
    assert command is not None
    options = {TYPED.get(str(each.name), str(each.name)) for each in command.params} - ONLY_PRINTED
    function: Callable[..., Any] = getattr(shufflenet, name)
    assert set(inspect.signature(function).parameters) - ONLY_PYTHON[name] == options
