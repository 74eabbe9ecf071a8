"""The paper's claims as plots: the published figures on the left, ours on the right."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from shufflenet.bench.run import Results
from shufflenet.bench.runtime import OURS
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1
from shufflenet.paper import published
from shufflenet.paper.cost import million
from shufflenet.paper.trained import Trained

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = "#010203"  # `Plot.svg` replaces it by the colour of the page's text
_STYLE: Any = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK),
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
    "grid.alpha": 0.25, "grid.color": "gray",
    "font.size": 9, "legend.frameon": False,
}  # fmt: skip


class _Family(NamedTuple):
    """How a family of networks is drawn. A network belongs to the first of `_FAMILIES` whose prefix fits."""

    prefix: str  # of the networks' names
    name: str  # in the legend
    colour: str
    marker: str


_FAMILIES = (
    _Family("shufflenet", "ShuffleNet", "#2f9e78", "o"),
    _Family("xception", "Xception-like", "#3b82c4", "D"),
    _Family("mobilenet", "MobileNet v1", "#d9822b", "s"),
    _Family("resnext", "ResNeXt", "#a05fc0", "v"),
    _Family("resnet", "ResNet", "#d0453e", "^"),
    _Family("vgg", "VGG", "#8a8f98", "P"),
    _Family("alexnet", "AlexNet", "#b08d57", "X"),
    _Family("squeezenet", "SqueezeNet", "#c65b94", "*"),
    _Family("googlenet", "GoogLeNet", "#6c7a89", "p"),
)


@dataclass(frozen=True)
class Plot:
    """A figure with its caption."""

    name: str  # of a file, without suffix
    text: str  # the caption
    figure: Figure

    def png(self) -> bytes:
        """The figure as a PNG file's content, on white."""
        data = io.BytesIO()
        self.figure.savefig(data, format="png", dpi=130, facecolor="white", metadata={"Software": None})
        return data.getvalue()

    def svg(self) -> str:
        """The figure as an <svg> element for HTML, transparent; equal figures give equal text."""
        import matplotlib

        data = io.StringIO()
        with matplotlib.rc_context({"svg.hashsalt": self.name, "svg.fonttype": "none"}):
            self.figure.savefig(data, format="svg", transparent=True, metadata={"Date": None})
        text = data.getvalue()
        # Ids must be unique in a page that has several plots, so each begins with the plot's name.
        text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{self.name}-", text)
        return text[text.index("<svg") :].replace(_INK, "currentColor")


@dataclass(frozen=True)
class _Point:
    """A network in a scatter plot: its cost ``x``, its top-1 error in percent, and that error's standard deviation."""

    network: str
    x: float
    error: float
    deviation: float | None = None


def plots(trained: Trained, times: Results | None) -> list[Plot]:
    """The plots for which there are figures.

    Args:
        trained: our errors.
        times: our milliseconds; None: not measured, and the plot of error against milliseconds is left out.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise ImportError("the plots need matplotlib: pip install matplotlib") from None
    with matplotlib.rc_context(_STYLE):
        found = [_error_by_macs(trained), _error_by_ms(times), _error_by_groups(trained), _gain_of_shuffle(trained)]
    return [plot for plot in found if plot is not None]


def _error_by_macs(trained: Trained) -> Plot:
    entries = {entry.network: entry.million_macs for entry in (*published.TABLE5, *published.TABLE6)}
    paper = [_Point(name, million(name) or entries[name], error) for name, error in published.errors().items()]
    ours = _trained_points(trained)
    figure, axes = _panels(2 if ours else 1)
    _scatter(axes[0], paper, "the paper: ImageNet, top-1 error, %", "million multiply-adds at 224 x 224 pixels")
    if ours:
        _scatter(axes[1], ours, "ours, small scale: top-1 error, %", "million multiply-adds at 224 x 224 pixels")
    _legend(figure, [*paper, *ours])
    return Plot("error-by-macs", "Error against multiply-adds.", figure)


def _trained_points(trained: Trained) -> list[_Point]:
    """The trained networks with a shuffle, at their million multiply-adds."""
    points = []
    for name in sorted({run.network for run in trained.runs}):
        mean, macs = trained.mean(name), million(name)
        if mean is not None and macs is not None and not name.endswith("_no_shuffle"):
            points.append(_Point(name, macs, mean.error, mean.deviation))
    return points


def _error_by_ms(times: Results | None) -> Plot | None:
    if times is None:
        return None
    errors = published.errors()
    paper = [_Point(name, ms[0], errors[name]) for name, ms in published.TABLE8.items()]
    ours = [
        _Point(row.model, row.ms, errors[row.model])
        for row in times.rows
        if row.runtime == OURS and (row.height, row.width) == (224, 224) and row.model in errors and row.ms is not None
    ]
    figure, axes = _panels(2)
    _scatter(axes[0], paper, "ImageNet, top-1 error (the paper), %", "ms, the paper: Snapdragon 820, one thread")
    _scatter(axes[1], ours, "ImageNet, top-1 error (the paper), %", "ms, ours: this package's engine, one thread")
    _legend(figure, [*paper, *ours])
    return Plot("error-by-ms", "Error against milliseconds of one picture of 224 x 224 pixels.", figure)


def _error_by_groups(trained: Trained) -> Plot:
    groups = list(published.TABLE1)
    means = [trained.mean(ShuffleNetV1(g, 0.25).name) for g in groups]
    ours = [(g, mean) for g, mean in zip(groups, means, strict=True) if mean is not None]
    figure, axes = _panels(2 if ours else 1)
    for (scale, errors), marker in zip(published.TABLE2.items(), "os^", strict=True):
        axes[0].plot(groups, [errors[g] for g in groups], f"{marker}-", color="#2f9e78", label=f"{scale:g}x")
    axes[0].set(xlabel="groups", ylabel="the paper: ImageNet, top-1 error, %", xticks=groups)
    axes[0].legend()
    if ours:
        axes[1].errorbar(
            [g for g, _ in ours], [mean.error for _, mean in ours], [mean.deviation or 0 for _, mean in ours],
            fmt="^-", color="#2f9e78", capsize=3, label="0.25x",
        )  # fmt: skip
        axes[1].set(xlabel="groups", ylabel="ours, small scale: top-1 error, %", xticks=groups)
        axes[1].legend()
    return Plot("error-by-groups", "Error by the number of groups, at equal complexity.", figure)


def _gain_of_shuffle(trained: Trained) -> Plot:
    names = {key: ShuffleNetV1(key[1], key[0]).name for key in published.TABLE3}
    figure, (axes,) = _panels(1)
    places = range(len(names))
    paper = [without - with_shuffle for without, with_shuffle in published.TABLE3.values()]
    axes.bar([p - 0.2 for p in places], paper, 0.38, color="#9aa5b1", label="the paper, ImageNet")
    means = [trained.mean_gain(name, f"{name}_no_shuffle") for name in names.values()]
    ours = [(place, mean) for place, mean in zip(places, means, strict=True) if mean is not None]
    if ours:
        axes.bar(
            [p + 0.2 for p, _ in ours], [mean.error for _, mean in ours], 0.38, color="#2f9e78", ecolor=_INK,
            yerr=[mean.deviation or 0 for _, mean in ours], capsize=3, label="ours, small scale",
        )  # fmt: skip
    axes.set(ylabel="error without shuffle less error with, points")
    axes.set_xticks(list(places), [f"{scale:g}x\ng={groups}" for scale, groups in names])
    axes.legend()
    return Plot("gain-of-shuffle", "By how much channel shuffle lowers the error.", figure)


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure  # pyplot would look for a display

    figure = Figure(figsize=(5 * count, 3.8), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def _scatter(axes: Axes, points: Iterable[_Point], ylabel: str, xlabel: str) -> None:
    from matplotlib.ticker import LogLocator

    for point in points:
        family = _family(point.network)
        axes.errorbar(
            point.x, point.error, point.deviation or 0, fmt=family.marker, color=family.colour, markersize=6, capsize=3
        )
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.set(xlabel=xlabel, ylabel=ylabel)


def _legend(figure: Figure, points: Iterable[_Point]) -> None:
    from matplotlib.lines import Line2D

    seen = {_family(point.network) for point in points}
    lines = [
        Line2D([], [], color=family.colour, marker=family.marker, linestyle="", label=family.name)
        for family in _FAMILIES
        if family in seen
    ]
    figure.legend(handles=lines, loc="outside lower center", ncols=3 if len(figure.axes) == 1 else 5)


def _family(network: str) -> _Family:
    return next(family for family in _FAMILIES if network.lower().startswith(family.prefix))
