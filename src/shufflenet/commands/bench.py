"""`shufflenet bench`: the engine's time beside other runtimes'."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from shufflenet.commands.errors import needs_torch, refusing
from shufflenet.commands.size import parse_size
from shufflenet.commands.terminal import status_line

_MODELS = ",".join(
    f"shufflenet_{variant}" for variant in ("g3_x0_25", "g3_x0_5", "g3_x1_0", "g8_x1_0", "g1_x1_0", "g3_x2_0")
)

_COMPARED = ("runtimes", "batch", "plot")  # options that only the comparison of runtimes reads
# For each option, those that it makes useless; they are refused beside it.
_USELESS = {
    "layers": (*_COMPARED, "threads", "folder", "photos", "training"),
    "folder": (*_COMPARED, "precision", "calibration", "threads", "sizes", "rounds", "training"),
    "training": (*_COMPARED, "precision", "calibration", "sizes", "model_file", "photos"),
    "browser": ("batch", "threads", "plot", "layers", "folder", "photos", "training"),
    "model_file": ("models",),
}


@click.command(short_help="Time the engine and other runtimes side by side.")
@click.option("--models", default=_MODELS, show_default=True, help="Networks to time, separated by commas.")
@click.option(
    "--model-file", type=click.Path(path_type=Path),
    help="Time a model file or an ONNX or .pt2 file, with its weights, or a folder of these.",
)  # fmt: skip
@click.option("--runtimes", help="Runtimes beside the engine, separated by commas.  [default: all that are installed]")
@click.option("--precision", default="float32", show_default=True, help="float32, int8, or both with a comma between.")
@click.option(
    "--calibrate", "calibration", type=click.Path(exists=True, path_type=Path),
    help="Pictures to calibrate int8 on and compare classes on.  [default: synthetic ones]",
)  # fmt: skip
@click.option(
    "--sizes", help="Input sizes in pixels, N or HxW, separated by commas.  [default: 224, or a model file's own]"
)
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Pictures in a batch.")
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="Threads of every runtime.")
@click.option("--rounds", type=click.IntRange(1), default=30, show_default=True, help="Turns of every runtime.")
@click.option(
    "--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the results to this JSON file."
)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw the results to this PNG file.")
@click.option("--layers", is_flag=True, help="Time this package's engine alone, layer by layer.")
@click.option(
    "--folder",
    type=click.IntRange(1),
    is_flag=False,
    flag_value=2000,
    help="Time `predict` on this many JPEG files.  [default: 2000 if given without a number]",
)
@click.option(
    "--photos",
    type=click.Path(path_type=Path),
    default="photos",
    show_default=True,
    help="Folder of .jpg files that --folder makes its files from.",
)
@click.option(
    "--training", type=click.Path(exists=True, path_type=Path), help="Time training on this data folder instead."
)
@click.option("--browser", is_flag=True, help="Time the web page's engine and other web runtimes in Chromium instead.")
@click.option(
    "--npm", type=click.Path(file_okay=False, path_type=Path),
    help="Folder where npm installs what --browser compares with.  [default: one in the cache folder]",
)  # fmt: skip
@click.pass_context
def bench(context: click.Context, /, **options: Any) -> None:
    """Time this package's engine and other runtimes side by side, on the same weights and input.

    The logits of each runtime are first compared with PyTorch's; a runtime whose logits differ is not timed, and the
    exit code is 1. --models also takes the networks that the paper compares with; an unknown name lists all of them.

    --precision int8 quantizes the networks, ours as `shufflenet quantize` does and each other runtime's by its own
    quantizer, and adds what else is below float32. The table shows for how many pictures the best class is float32's;
    random weights agree on fewer than trained ones.

    --folder compares `shufflenet predict` with Pillow, numpy, ONNX Runtime and a pool of threads; --training compares
    `shufflenet train` with a plain PyTorch loop; --layers shows where the engine's time goes.

    --browser compares what `shufflenet export --to web` writes with onnxruntime-web, LiteRT.js and TensorFlow.js, by
    default for the first three networks. It needs Chromium, its driver, Selenium and npm.

    \b
    Examples:
      shufflenet bench
      shufflenet bench --models shufflenet_g3_x1_0 --sizes 224,720x1280 --json results.json --plot results.png
      shufflenet bench --models mobilenet_v1_x1_0,shufflenet_v2_x1_0,alexnet --runtimes openvino,litert
      shufflenet bench --precision int8,float32 --models shufflenet_g3_x1_0
      shufflenet bench --precision int8 --model-file model.safetensors --calibrate flowers/
      shufflenet bench --model-file networks/ --runtimes onnxruntime,openvino
      shufflenet bench --layers --models shufflenet_g3_x0_5
      shufflenet bench --folder 500
      shufflenet bench --training flowers/ --threads 2 --models shufflenet_g3_x0_5
      shufflenet bench --browser --precision int8,float32
    """
    _refuse_useless(context)
    if options["browser"] and options["models"] == _MODELS:
        options["models"] = ",".join(_MODELS.split(",")[:3])
    with refusing(ValueError, OSError, ImportError, RuntimeError), needs_torch(), status_line() as status:
        from shufflenet.bench import command

        sizes = options.pop("sizes")
        sizes = [parse_size(size) for size in sizes.split(",")] if sizes is not None else None
        text, failed = command.run(sizes=sizes, status=status, **options)
    click.echo(text)
    sys.exit(1 if failed else 0)


def _refuse_useless(context: click.Context) -> None:
    """Raises click.UsageError if an option was given that the others make useless, or that they don't go with."""
    given = {name for name in context.params if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    for name, useless in _USELESS.items():
        for other in useless:
            if {name, other} <= given:
                raise click.UsageError(f"{_option(name)} makes {_option(other)} useless; leave one out.")
    if "folder" in given and "models" in given and "," in context.params["models"]:
        raise click.UsageError("--folder takes one network: give one of --models.")
    for name, owner in (("photos", "folder"), ("npm", "browser")):
        if name in given and owner not in given:
            raise click.UsageError(f"{_option(name)} goes with {_option(owner)}.")
    for name, suffix in (("json_path", ".json"), ("plot", ".png")):
        path = context.params[name]
        if path is not None and path.suffix.lower() != suffix:
            raise click.UsageError(f"{_option(name)} needs a name that ends in {suffix}, not {path}.")


def _option(name: str) -> str:
    """The option of the command line that sets the parameter ``name``."""
    return {"json_path": "--json", "calibration": "--calibrate"}.get(name, f"--{name.replace('_', '-')}")
