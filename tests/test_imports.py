"""A file imports only what stands above it in the way from an architecture to the command line."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import shufflenet

SOURCES = Path(shufflenet.__file__).parent

# Each line may import from itself and those above; a name is that of a file, or of a folder with all that is in it. The
# files of a wing stand where the way passes them.
WAY = """
    json_object probabilities
    networks.graph networks.architecture networks.squeeze_excitation networks.shufflenet_v1 networks.baselines
    networks.stored_graph networks.families networks.complexity
    atomic_file files labels threads library install_hint
    pictures.pixel_memory pictures.memory_budget pictures.limits pictures.silence pictures.resize pictures.preprocessing
    pictures.images pictures.folder
    networks.quantized networks.quantized_tensors networks.model networks.random_model networks.folded model_file
    engine.second_level_cache engine.layout engine.steps engine.strips engine.quads engine.int8_weights engine.int8_plan
    engine.plan
    engine.engine
    importers hugging_face models features temperature known unknown classifier similarity embeddings
    network_summary sheet
    batch serve model_info model_card hub_folder
    training.recipe pictures.split_folders pictures.dataset pictures.held_out training.job training.recipe_file
    networks.published networks.network networks.graph_network networks.module timm
    quantization.emulation quantization.float_network quantization.units quantization.short_multipliers
    quantization.ranges quantization.rounding quantization.calibration quantization.quantize quantization.layer_costs
    quantization.trainable
    training.kernels training.parallel training.planar training.on_engine
    training.pixels training.augment training.validate training.teacher
    training.loss training.state training.progress training.curves training.run_folder training.training_data
    training.batches training.stop training.record training.result training.nearest training.last_layer
    training.calibrated training.train training.dry_run
    confusion evaluation measured_card model_list pictures.mirror pictures.doctor
    quantization.gate quantization.step_times quantization.report
    exporters
    bench
    paper
    commands
    cli __main__
"""
LINE_OF = {name: line for line, names in enumerate(WAY.split("\n")) for name in names.split()}
# From here on PyTorch may be needed; whoever only classifies has none.
FIRST_WITH_TORCH = "networks.published"


def place_of(module: str) -> str | None:
    """The place in the way of a module such as ``export.c`` (there: ``export``), or None."""
    parts = module.split(".")
    return next((name for name in (parts[0], ".".join(parts[:2])) if name in LINE_OF), None)


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(SOURCES).with_suffix("").parts)


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
    wings = {SOURCES / name.partition(".")[0] / "__init__.py" for name in LINE_OF if "." in name}  # docstrings only
    files = [file for file in sorted(SOURCES.rglob("*.py")) if file not in {SOURCES / "__init__.py", *wings}]
    places = {file: place_of(module_of(file)) for file in files}
    assert set(places.values()) == LINE_OF.keys(), "every file has its place"
    for file, own in places.items():
        assert own
        line = LINE_OF[own]
        for name, with_file in imported(ast.parse(file.read_text(encoding="utf-8"))):
            package, _, rest = name.partition(".")
            place = place_of(rest)
            if package == "shufflenet" and place:
                assert LINE_OF[place] <= line, f"{file} imports {name}"
            if package in ("torch", "torchvision") and with_file:
                assert line >= LINE_OF[FIRST_WITH_TORCH], f"{file} imports {name}"
