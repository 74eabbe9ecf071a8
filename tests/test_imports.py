"""A file imports only what stands above it in the way from an architecture to the command line."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import shufflenet

SOURCES = Path(shufflenet.__file__).parent

# Each line may import from itself and those above; a name is that of a file, or of a folder with all that is in it.
WAY = """
    graph arch complexity
    atomic_file input_file zip_member threads memory_budget library second_level_cache
    folders pixel_memory resize images
    model_file
    steps blocks strips plan engine
    importers classifier sheet
    baselines
    recipe data job
    network graph_network
    training_kernels parallel planar on_engine
    pixels augment validate teacher
    progress curves run_folder training_data train dry_run
    confusion evaluate doctor
    export
    bench
    paper
    commands
    cli __main__
"""
LINE_OF = {name: line for line, names in enumerate(WAY.split("\n")) for name in names.split()}
# From here on PyTorch may be needed; whoever only classifies has none.
FIRST_WITH_TORCH = "network"


def name_of(file: Path) -> str:
    return file.relative_to(SOURCES).parts[0].removesuffix(".py")


def imported(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Modules by their full names, and whether they come with the file; others come when something is called."""
    first = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in first) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield f"{node.module}.{alias.name}", id(node) in first


def test_files_import_what_stands_above_them() -> None:
    files = [file for file in sorted(SOURCES.rglob("*.py")) if file != SOURCES / "__init__.py"]
    assert {name_of(file) for file in files} == LINE_OF.keys(), "every file has its place"
    for file in files:
        line = LINE_OF[name_of(file)]
        for name, with_file in imported(ast.parse(file.read_text(encoding="utf-8"))):
            package, _, rest = name.partition(".")
            module = rest.partition(".")[0]
            if package == "shufflenet" and module in LINE_OF:
                assert LINE_OF[module] <= line, f"{file} imports {name}"
            if package in ("torch", "torchvision") and with_file:
                assert line >= LINE_OF[FIRST_WITH_TORCH], f"{file} imports {name}"
