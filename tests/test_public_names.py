"""What `import shufflenet` offers: the names that people look for, loaded when used, as the command line has them."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
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
    with pytest.raises(AttributeError, match=r"no attribute 'clasify'; it has Classifier, .*, create_model, .*$"):
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


def test_numbers_may_be_numpys(model_path: Path, photos: Path) -> None:
    five: Any = np.int64(5)
    ours, theirs = (shufflenet.summary("shufflenet_g3_x0_5", 64, classes) for classes in (five, 5))
    assert (ours.macs, ours.parameters, ours.graph.classes) == (theirs.macs, theirs.parameters, 5)
    side: Any = np.int16(64)
    mean: Any = tuple(np.array([0.5, 0.25, 0.125]))
    how = json.dumps(asdict(shufflenet.Preprocessing(side, side, mean)), allow_nan=False)
    assert how.startswith('{"size": 64, "resize": 64, "mean": [0.5, 0.25, 0.125]')
    two: Any = np.int64(2)
    assert len(shufflenet.Classifier(model_path, threads=two).predict(photos / "cat.jpg", two).labels) == 2
    wrongs: list[Any] = [True, 5.0, np.float64(5), "5"]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="classes must be a whole number"):
            shufflenet.summary("shufflenet_g3_x0_5", classes=wrong)


@pytest.mark.slow
def test_numbers_of_training_may_be_numpys(shapes: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from training_runs import ARCH, one_thread  # not above: it needs PyTorch

    one, size, crop = (np.int64(1), np.int64(32), np.float32(0.5))
    options: Any = {"epochs": one, "seed": one, "size": size, "crop": crop}
    with one_thread():
        run = shufflenet.train(shapes, out=tmp_path / "run", arch=ARCH, **options)
    recipe = json.loads((run.path / "recipe.json").read_text(encoding="utf-8"))["settings"]["recipe"]
    assert [recipe[name] for name in ("epochs", "seed", "min_crop_area")] == [1, 1, 0.5]
    classes: Any = np.int64(5)
    assert shufflenet.create_model(ARCH, classes).get_submodule("fc").out_features == 5
