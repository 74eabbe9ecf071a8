"""`shufflenet train`: trains a network on labelled pictures and writes a model file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from shufflenet.commands.errors import failing, needs_torch, refusing
from shufflenet.training.recipe import NEAREST, RECIPES

_RUNNING = {"workers", "checkpoint_minutes", "skip_broken", "sync_bn", "device"}  # options that no dry run needs

_NAMES = (*RECIPES, NEAREST)

if TYPE_CHECKING:
    _Text = click.ParamType[str]
else:  # in click 8.1 the class takes no type
    _Text = click.ParamType


class RecipeType(_Text):
    """A recipe's name, nearest, or a TOML file."""

    name = "recipe"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in _NAMES and not value.endswith(".toml"):
            self.fail(f"{value!r} is neither one of {', '.join(_NAMES)} nor a file that ends in .toml", param, ctx)
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        names = [CompletionItem(name) for name in _NAMES if name.startswith(incomplete)]
        return [*names, CompletionItem(incomplete, type="file")]


def _show_recipe(ctx: click.Context, _: click.Parameter, name: str | None) -> None:
    from shufflenet.training import recipe_file

    if name is not None and not ctx.resilient_parsing:
        click.echo(recipe_file.text(RECIPES[name]))
        ctx.exit()


@click.command(short_help="Train on class folders of pictures.")
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Run folder.  [default: runs/DATA]")
@click.option("--name", help="Name of the model, after which exports are named.  [default: the run folder's]")
@click.option(
    "--recipe",
    type=RecipeType(),
    metavar="NAME|FILE",
    help="Schedule, epochs and augmentation: paper, short, finetune, quantize or a .toml file; or nearest, which takes "
    "seconds.  [default: finetune with --from, quantize with --quantize, else paper]",
)
@click.option(
    "--show-recipe",
    type=click.Choice(list(RECIPES)),
    is_eager=True,
    expose_value=False,
    callback=_show_recipe,
    help="Print this recipe as a TOML file to begin from, and stop.",
)
@click.option(
    "--from", "start", metavar="MODEL", help="Fine-tune a model that comes with the package, or a model file."
)
@click.option("--arch", help="Architecture to train from scratch.  [default: shufflenet_g3_x0_5]")
@click.option(
    "--size",
    type=click.IntRange(32, 4096),
    help="Side of the square input, in pixels.  [default: --from's, else the pictures' up to 96, else 128]",
)
@click.option(
    "--epochs", type=click.IntRange(0), help="Passes over the data; 0: only the last layer of --from is trained."
)
@click.option(
    "--batch-size",
    type=click.IntRange(2),
    help="Pictures in a step, over all processes.  [default: 128, fewer for small data]",
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, 1000, min_open=True),
    help="Peak learning rate at batch size 1024; it scales with the batch.",
)
@click.option("--seed", type=click.IntRange(0), help="Seed of every random choice.  [default: 0]")
@click.option(
    "--val-fraction",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of the pictures that becomes val where DATA has no val/.  [default: 0.2]",
)
@click.option("--skip-broken", is_flag=True, help="Leave out pictures that can't be read, and list them.")
@click.option("--class-weights", is_flag=True, help="Weight the loss so that each class counts the same.")
@click.option("--mixup", type=click.FloatRange(0), help="Mixup: alpha of its Beta distribution, such as 0.2.")
@click.option("--cutmix", type=click.FloatRange(0), help="CutMix: alpha of its Beta distribution, such as 1.")
@click.option(
    "--flip/--no-flip",
    default=None,
    help="Mirror half of the pictures; not where left and right differ.  [default: yes]",
)
@click.option("--vertical-flip", is_flag=True, help="Turn half of the pictures upside down.")
@click.option(
    "--crop",
    type=click.FloatRange(0.01, 1),
    help="Smallest share of the picture in random crops.  [default: the recipe's; paper: 0.25]",
)
@click.option("--rotate", type=click.FloatRange(0, 180), help="Turn pictures by up to this angle, in degrees.")
@click.option(
    "--colour", type=click.FloatRange(0, 1), help="Vary brightness, contrast and saturation by up to this share."
)
@click.option("--teacher", metavar="MODEL", help="Distil from this model file or torchvision network.")
@click.option(
    "--freeze",
    type=click.Choice(["stem", "stage2", "stage3", "stage4"]),
    help="Keep the weights of the layers up to this one.",
)
@click.option(
    "--start-share",
    type=click.FloatRange(0, 1, max_open=True),
    help="Average the result with --from's weights at this share, such as 0.3; often better than either.",
)
@click.option(
    "--quantize", is_flag=True, help="Fine-tune --from in 8 bits: the last layer alone, or all with --epochs."
)
@click.option("--amp", is_flag=True, help="Mixed precision in bfloat16: faster on GPUs, slower on CPUs.")
@click.option(
    "--device", metavar="NAME", help="Train on cpu, cuda, cuda:1 or mps.  [default: cuda where there is one, else cpu]"
)
@click.option("--sync-bn/--no-sync-bn", default=True, help="Batch norm statistics over all processes.  [default: yes]")
@click.option(
    "--workers",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Threads that prepare batches ahead of the training step.",
)
@click.option(
    "--checkpoint-minutes", type=click.FloatRange(0), default=5, show_default=True, help="Minutes between checkpoints."
)
@click.option("--dry-run", is_flag=True, help="Print what would be trained and an estimate of the time, and stop.")
@click.pass_context
def train(ctx: click.Context, /, data: Path, out: Path | None, **options: Any) -> None:
    """Train on DATA/train and DATA/val, each with one folder of pictures per class; or fine-tune a model with --from.

    DATA may also be a single folder of class folders, of which a share becomes val, or a .zip file of either. The same
    command resumes a run that was interrupted. torchrun runs it on several processes or machines.

    \b
    Examples:
      shufflenet train flowers/ --from shufflenet_g3_x0_5
      shufflenet train flowers/ --from shufflenet_g3_x1_0 --recipe nearest
      shufflenet train pets.zip --recipe short --arch shufflenet_g3_x1_0 --dry-run
      shufflenet train arrows/ --no-flip --crop 0.7
      shufflenet train --show-recipe short > mine.toml
      shufflenet train photos/ --recipe mine.toml --rotate 10 --colour 0.3
      shufflenet train photos/ --val-fraction 0.1 --teacher resnet50 --out runs/photos
      shufflenet train flowers/ --from runs/flowers/model.safetensors --quantize --out runs/flowers-int8
      torchrun --nproc_per_node 2 -m shufflenet train flowers/
    """
    with needs_torch():
        from shufflenet.training import dry_run
        from shufflenet.training import train as training
        from shufflenet.training.job import prepare
        from shufflenet.training.stop import Stopped
    with refusing(ValueError, OSError):
        if options.pop("dry_run"):
            click.echo(dry_run.estimate(prepare(data, **{key: options[key] for key in options.keys() - _RUNNING})))
            return
        try:
            with failing(training.TrainingError):
                folder = training.train(data, out=out, command=_command(ctx, data), **options)
        except Stopped as stopped:
            sys.exit(128 + stopped.signal_number)
    if os.environ.get("RANK", "0") == "0":  # torchrun starts several processes; the first prints
        click.echo(folder.model)


def _command(ctx: click.Context, data: Path) -> str:
    """The command line as typed, without paths of this machine; the model file records it."""
    words = ["shufflenet train", data.resolve().name]
    for option in ctx.command.params:
        value = ctx.params.get(option.name or "")
        given = ctx.get_parameter_source(option.name or "") is click.core.ParameterSource.COMMANDLINE
        if given and option.name not in ("data", "out", "workers", "checkpoint_minutes", "device"):
            words.append(option.opts[0] if value is not False else option.secondary_opts[0])
            words += [os.path.basename(str(value))] * (not isinstance(value, bool))
    return " ".join(words)
