"""`shufflenet export`: a model in the format of another runtime, or as plain C."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from shufflenet.commands import completion
from shufflenet.commands.errors import CannotStart, refusing
from shufflenet.commands.pictures import named_pictures
from shufflenet.commands.size import parse_size
from shufflenet.commands.terminal import log


@click.command(short_help="Write a model for another program, or as plain C.")
@click.argument("model", shell_complete=completion.models)
@click.option(
    "--to",
    "target",
    metavar="TARGET",
    shell_complete=completion.targets,
    help="Format to write; see above.  [required]",
)
@click.option("--out", type=click.Path(path_type=Path), help="File or folder.  [default: named after the model, here]")
@click.option("--single-file", is_flag=True, help="Of web: one .html, which also works when it is opened from disk.")
@click.option("--size", help="Input size, N or HxW.  [default: the model's, or any; see above]")
@click.option(
    "--check-on", metavar="PATH", multiple=True, help="Pictures for the comparison.  [default: synthetic ones]"
)
@click.option("--no-check", is_flag=True, help="Skip the comparison with the engine.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def export(
    model: str,
    target: str | None,
    out: Path | None,
    single_file: bool,
    size: str | None,
    check_on: tuple[str, ...],
    no_check: bool,
    as_json: bool,
) -> None:
    """Write MODEL, a model file or a model's name, in another runtime's format, and compare the result with the engine.

    \b
    Targets:                                                           input sizes
      c            a folder of plain C with nothing to install          one
      onnx         one .onnx file for ONNX Runtime and others           any
      openvino     a folder with .xml and .bin for OpenVINO             any
      ncnn         a folder with .param and .bin for ncnn               any
      litert       one .tflite file for LiteRT (TensorFlow Lite)        one
      mnn          a folder with one .mnn file for MNN                  any
      coreml       a folder with one .mlpackage for Core ML (Apple)     one
      executorch   a folder with one .pte file for ExecuTorch           one
      torchscript  one .pt file for PyTorch in C++ and Python           any
      web          a web page, also an npm package                      one

    If a target needs packages that are missing, a message has the line that installs them. Labels and preprocessing
    are written with the network, inside the file or beside it.

    The result is run on pictures and compared with this package's engine and, where it is installed, PyTorch. If it
    differs, it is not kept and the exit code is 1. Only an earlier result of this command is replaced.

    \b
    Examples:
      shufflenet export shufflenet_g3_x0_5 --to c
      shufflenet export runs/flowers/model.safetensors --to onnx --out flowers.onnx --check-on flowers/val
      shufflenet export model.safetensors --to litert --size 96x128
      shufflenet export shufflenet_g3_x0_5 --to web --single-file --out pets.html
    """
    with refusing(ValueError, ImportError, OSError):
        from shufflenet import exporters
        from shufflenet.exporters import report
        from shufflenet.files import printable

        if target is None:
            raise CannotStart(f"--to TARGET is missing; {exporters.targets()}")
        paths, problems = named_pictures(check_on)
        if problems:
            raise CannotStart(printable(problems[0]))
        result = exporters.export(
            model,
            target,
            out,
            size=parse_size(size) if size is not None else None,
            check_on=paths or None,
            check=not no_check,
            single_file=single_file,
        )
    if result.caution:
        log(f"{model}: {result.caution}")
    click.echo(json.dumps(report.described(result), indent=2, allow_nan=False) if as_json else report.text(result))
    sys.exit(0 if result.ok else 1)
