"""What README and docs point at exists, what they tell to type can be typed, and their figures are the results'."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

import page_blocks
from shufflenet.bench.run import Results, Row
from shufflenet.bench.runtime import FLOAT32, OURS
from shufflenet.cli import COMMANDS, commands
from shufflenet.commands.train import RecipeType

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / name for name in page_blocks.PAGES]
# Where a page may shorten a file's path: `training/recipe.py` is src/shufflenet/training/recipe.py.
SHORT_FROM = (ROOT, ROOT / "src" / "shufflenet", ROOT / "engine", ROOT / "benchmarks")


def ids(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def fenced(text: str) -> str:
    return "\n".join(re.findall(r"^```[a-z]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE))


def unfenced(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What #... may follow a link to ``page``: its headings in small letters, with hyphens for spaces."""
    headings = re.findall(r"^#+ (.+)$", unfenced(page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_and_pictures_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", unfenced(page.read_text(encoding="utf-8"))):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_files_of_the_repository_that_are_named_exist(page: Path) -> None:
    """A name in small letters and backticks with a folder before it, where that folder is one of ours."""
    for name in re.findall(r"`([a-z0-9_./-]+/[\w.-]+\.(?:c|h|py|md|toml|txt|json))`", page.read_text(encoding="utf-8")):
        if re.search(r"NAME|TARGET", name):
            continue
        ours = any((folder / name).parent.is_dir() for folder in SHORT_FROM)
        assert not ours or any((folder / name).exists() for folder in SHORT_FROM), name


def command_lines(text: str) -> Iterator[str]:
    """Every command of ours, from the blocks of code and from lines in backticks."""
    for line in re.sub(r" *\\\n *", " ", fenced(text)).splitlines():
        for part in line.split("&&"):
            if found := re.match(r"(?:torchrun .*-m )?(shufflenet .*)", part.strip()):
                yield found[1]
    yield from re.findall(r"`(shufflenet [^`]*)`", unfenced(text))


def check_command(line: str) -> None:
    """Raises: click.UsageError: there is no such command or option, or a value is none that it takes."""
    words = shlex.split(line.split("|")[0].split(" > ")[0], comments=True)
    _, name, *arguments = words
    context = click.Context(commands)
    command = commands.get_command(context, name)
    if command is None:
        raise click.UsageError(f"no command {name}")
    with command.make_context(name, [], parent=context, resilient_parsing=True) as inner:
        values, rest, _ = command.make_parser(inner).parse_args(arguments)
        if rest:
            raise click.UsageError(f"nothing takes {rest}")
        for parameter in command.params:
            value: Any = values.get(parameter.name or "")
            kinds = (click.Choice, click.IntRange, click.FloatRange, RecipeType)
            if isinstance(parameter.type, kinds) and isinstance(value, str):
                convert: Callable[..., Any] = parameter.type.convert
                convert(value, parameter, inner)


def test_commands_that_are_told_can_be_typed() -> None:
    checked = set()
    for page in PAGES:
        for line in command_lines(page.read_text(encoding="utf-8")):
            words = line.split()
            if len(words) < 2 or not re.fullmatch("[a-z]+", words[1]):  # such as `shufflenet ...`
                continue
            try:
                check_command(line)
            except click.UsageError as error:
                pytest.fail(f"{ids(page)}: {line}: {error.format_message()}")
            checked.add(words[1])
    assert checked == set(COMMANDS), "every command is told somewhere"


@pytest.mark.parametrize(
    "line",
    [
        "shufflenet guess cat.jpg",
        "shufflenet predict cat.jpg --jsn",
        "shufflenet train flowers/ --recipe long",
        "shufflenet bench --threads 0",
        "shufflenet evaluate model.safetensors flowers/ more/",
    ],
)
def test_a_wrong_command_is_found(line: str) -> None:
    with pytest.raises(click.UsageError):
        check_command(line)


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_make_targets_and_extras_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    rules = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= rules
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {extra for names in re.findall(r"'\.\[([a-z,]+)\]'", text) for extra in names.split(",")}
    assert extras <= project["optional-dependencies"].keys()


def update_readme() -> ModuleType:
    spec = importlib.util.spec_from_file_location("update_readme", ROOT / "benchmarks" / "update_readme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return update_readme()


def test_speed_tables_are_those_of_the_results(script: ModuleType) -> None:
    source = ROOT / "benchmarks" / "results" / "amd-epyc-zen4-2core-vm.json"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert script.readme_section(script.load(source), source, source.with_suffix(".png")) in readme
    speed = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    names = re.findall(r"<!-- ([a-z0-9-]+) -->", speed)
    assert len(names) > 4
    for name in names:
        file = source.with_name(f"{name}.json")
        assert script.section(file) in speed


def test_short_table(script: ModuleType) -> None:
    rows = [
        Row("network", name, FLOAT32, 1, 1, 224, 224, 11_000_000, ms, 0.0)
        for name, ms in ((OURS, 0.5), ("a", 1.0), ("b", 0.8), ("c", None))
    ]
    results = Results({"processor": "p"}, dict.fromkeys((OURS, "a", "b", "c"), "1"), 44.0, rows)
    lines = script.short_table(results).splitlines()
    assert lines[-1] == "| network | 11.0 | **0.5** | 50 % | b | 0.8 | 1.60 |"
    assert {line.count("|") for line in lines} == {8}
    results.rows = rows[:1]
    assert script.short_table(results).splitlines()[-1] == "| network | 11.0 | **0.5** | 50 % | - | - | - |"


def test_speed_tables_are_written_anew(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "ROOT", tmp_path)
    rows = [Row("network", OURS, FLOAT32, 1, 1, 224, 224, 11_000_000, 0.5, 0.0)]
    results = tmp_path / "benchmarks" / "results"
    results.mkdir(parents=True)
    source = results / "machine.json"
    source.write_text(json.dumps(Results({"processor": "p"}, {OURS: "1"}, 44.0, rows).document()))
    readme, speed = tmp_path / "README.md", tmp_path / "docs" / "speed.md"
    speed.parent.mkdir()
    pages = {readme: "benchmark", speed: "machine"}
    for page, name in pages.items():
        page.write_text(f"before\n<!-- {name} -->\nold\n<!-- /{name} -->\nafter\n")
    for _ in range(2):
        script.main(source)
        for page, name in pages.items():
            text = page.read_text()
            assert text.startswith(f"before\n<!-- {name} -->\n")
            assert text.endswith(f"<!-- /{name} -->\nafter\n")
            assert text.count("**0.5**") == 1
            assert "old" not in text
        assert "(benchmarks/results/machine.png)" in readme.read_text()
        assert "(../benchmarks/results/machine.json)" in speed.read_text()
    assert source.with_suffix(".png").exists()
    readme.write_text("no comments")
    with pytest.raises(SystemExit):
        script.main(source)
    assert readme.read_text() == "no comments"
