"""`shufflenet quantize`: a model in 8 bits."""

from __future__ import annotations

import json
from pathlib import Path

import click

from shufflenet.commands.errors import failing, needs_torch, refusing
from shufflenet.commands.terminal import log, progress_line


@click.command(short_help="Make a model of 8-bit weights and activations.")
@click.argument("model")
@click.option("--calibrate", "calibration", required=True, type=click.Path(exists=True, path_type=Path),
              help="Pictures, best those of training: folders, or a .zip or shards of them.")  # fmt: skip
@click.option("--evaluate", "evaluation", type=click.Path(exists=True, path_type=Path),
              help="Class folders of other pictures: measure what 8 bits lose.")  # fmt: skip
@click.option("--most-loss", type=click.FloatRange(min=0), metavar="POINTS",
              help="Top-1 points above which nothing is written.  [default: 0.5]")  # fmt: skip
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path),
              help="PNG or HTML: noise, cost and time of each operator.")  # fmt: skip
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Model file to write.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def quantize(
    model: str, calibration: Path, evaluation: Path | None, most_loss: float | None, report: Path | None, out: Path,
    as_json: bool,
) -> None:  # fmt: skip
    """Write MODEL, a model file or a model's name, with weights and activations of 8 bits.

    Up to 4,096 pictures of --calibrate (of its train/ if it has one) show the range of each value. With
    --evaluate both models are measured on its val/; if the one in 8 bits loses more than --most-loss points of top-1
    accuracy, it is not written, the operators that cost most are named, and the exit code is 1.

    \b
    Examples:
      shufflenet quantize model.safetensors --calibrate flowers/ --evaluate flowers/ --out model-int8.safetensors
      shufflenet quantize shufflenet_g3_x0_5 --calibrate tiny-imagenet-200/ --out int8.safetensors --report noise.png
    """
    with needs_torch():
        from shufflenet.quantization import gate
        from shufflenet.quantization import quantize as quantizing
        from shufflenet.quantization import report as reports
        from shufflenet.quantization.calibration import MOST_LOSS
        from shufflenet.quantization.layer_costs import layer_costs
        from shufflenet.quantization.step_times import step_times
    from shufflenet import model_file
    from shufflenet.models import load_model

    with refusing(ValueError, ImportError, OSError):
        if most_loss is not None and evaluation is None:
            raise ValueError("--most-loss needs --evaluate: pictures to measure the loss on")
        if report is not None:
            reports.check_name(report)
        loaded = load_model(model)
        loaded.require_float()
        with progress_line("reading pictures") as progress:
            pictures = quantizing.read_pictures(loaded, calibration, progress)
    for failure in pictures.failures:
        log(failure)
    if unknown := quantizing.unknown_folders(pictures, loaded):
        log(f"{calibration}: folder {unknown[0]!r} is no class of the model; ranges of other pictures may not fit")
    with refusing(ValueError), progress_line("calibrating step") as progress:
        quantized = quantizing.quantize(loaded, pictures, progress=progress)
    assert quantized.quantized is not None
    loss = None
    if evaluation is not None:
        with refusing(ValueError, OSError), progress_line("evaluating") as progress:
            loss = gate.measure(loaded, quantized.quantized, evaluation, progress)
        quantized.accuracy = loss.accuracy_record(evaluation)
    allowed = MOST_LOSS if most_loss is None else most_loss
    refused = loss is not None and loss.points > allowed
    costs, times = [], []
    if refused or report is not None:
        with progress_line("costs of operator") as progress:
            x, targets = quantizing.pictures_of_costs(loaded, pictures, evaluation)
            costs = layer_costs(loaded, quantized.quantized, x, targets, progress)
    with failing(ValueError, OSError, gate.GateError):
        if report is not None:
            times = step_times(loaded, quantized.quantized, pictures.x[:1])
            reports.write(report, f"{model} in 8 bits", costs, times, loss)
        if loss is not None:
            gate.check(loss, allowed, costs)
        model_file.save(quantized, out)
    if as_json:
        click.echo(json.dumps(reports.described(out, pictures, loss, costs, times), indent=2, allow_nan=False))
    else:
        click.echo(reports.text(out, pictures, loss))
