"""`shufflenet summary`: multiply-adds, parameters and memory of a network, layer by layer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from shufflenet.commands import completion
from shufflenet.commands.errors import refusing
from shufflenet.commands.size import parse_size
from shufflenet.commands.terminal import log

if TYPE_CHECKING:
    from shufflenet.networks.complexity import Complexity


@click.command(short_help="Count multiply-adds, parameters and memory.")
@click.argument("network", metavar="NAME|MODEL", shell_complete=completion.models)
@click.option("--size", help="Input size in pixels, N or HxW.  [default: 224, or the model's]")
@click.option("--classes", type=click.IntRange(min=1), help="Number of classes.  [default: 1000]")
@click.option(
    "--stem-stride", type=click.IntRange(1, 2), help="Stride of Conv1; 1 is for small pictures.  [default: 2]"
)
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def summary(network: str, size: str | None, classes: int | None, stem_stride: int | None, as_json: bool) -> None:
    """Print the multiply-adds, parameters and memory of each layer, of an architecture or a model file.

    A NAME is a ShuffleNet such as shufflenet_g3_x1_0 or another network of the package; an unknown name lists all.

    \b
    Examples:
      shufflenet summary shufflenet_g3_x1_0
      shufflenet summary shufflenet_g8_x0_5 --size 480x640 --classes 10
      shufflenet summary mobilenet_v1_x1_0
      shufflenet summary model.safetensors --json
    """
    from shufflenet import network_summary
    from shufflenet.models import embedded_models
    from shufflenet.networks import families

    with refusing(ValueError):
        cost = network_summary.summary(network, parse_size(size) if size is not None else None, classes, stem_stride)
    click.echo(_summary_json(cost) if as_json else _summary_table(cost))
    plain = size is None and classes is None and stem_stride is None
    if plain and network in embedded_models() and network in families.names():  # the name of a network and a model
        _log_options_of(network)


def _log_options_of(name: str) -> None:
    """Says which options give the figures of the model of this name that comes with the package."""
    from shufflenet.models import load_model
    from shufflenet.networks.shufflenet_v1 import ShuffleNetV1

    model = load_model(name)
    stem = model.graph.architecture
    stride = f" --stem-stride {stem.stem_stride}" if isinstance(stem, ShuffleNetV1) else ""
    options = f"--size {model.preprocessing.size} --classes {model.graph.classes}{stride}"
    log(f"this is the paper's network; the model {name} that comes with the package has {options}")


def _summary_json(cost: Complexity) -> str:
    layers = [
        {
            "name": layer.name,
            "output_shape": layer.output_shape,
            "macs": layer.macs,
            "parameters": layer.parameters,
            "activation_bytes": layer.activation_bytes,
        }
        for layer in cost.layers
    ]
    totals = {
        "name": cost.graph.name,
        "height": cost.height,
        "width": cost.width,
        "macs": cost.macs,
        "macs_without_classifier": cost.macs_without_classifier,
        "parameters": cost.parameters,
    }
    return json.dumps({**totals, "layers": layers}, indent=2, allow_nan=False)


def _summary_table(cost: Complexity) -> str:
    from shufflenet.networks.shufflenet_v1 import ShuffleNetV1

    lines = [f"{'layer':20} {'output':>15} {'multiply-adds':>14} {'parameters':>11} {'activation KiB':>15}"]
    for layer in cost.layers:
        shape = " x ".join(map(str, layer.output_shape))
        kib = layer.activation_bytes / 1024
        lines.append(f"{layer.name:20} {shape:>15} {layer.macs:14,} {layer.parameters:11,} {kib:15,.1f}")
    graph = cost.graph
    arch = graph.architecture
    stem = f", stem stride {arch.stem_stride}" if isinstance(arch, ShuffleNetV1) else ""
    without = cost.macs_without_classifier
    lines += [
        "",
        f"{graph.name}, {graph.classes} classes{stem}, {cost.height} x {cost.width} pixels",
        f"multiply-adds  {cost.macs / 1e6:.1f} million, without the classifier {without / 1e6:.1f} million",
        f"parameters     {cost.parameters:,}",
    ]
    return "\n".join(lines)
