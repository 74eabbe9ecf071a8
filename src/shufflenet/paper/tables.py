"""Tables 1 to 7 of the paper: the published figures, and ours beside them.

Our errors are small-scale errors, see `small_scale`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shufflenet.networks.shufflenet_v1 import ShuffleNetV1
from shufflenet.paper import published
from shufflenet.paper.cost import REASONS, cost, matches, million
from shufflenet.paper.table import Column, Table
from shufflenet.paper.trained import Trained

_NETWORK = Column("network", "network")
_MACS = (
    Column("paper_million_macs", "million MACs", "paper", ".0f"),
    Column("million_macs", "million MACs", "ours", ".1f"),
    Column("macs_difference", "difference, %", "", "+.1f"),
)
_PAPER_ERROR = Column("paper_error", "ImageNet error, %", "paper", ".1f")
_ERROR = (
    Column("error", "small-scale error, %", "ours", ".2f", "error_deviation"),
    Column("error_runs", "seeds", "ours", "d"),
)

Row = dict[str, Any]


def table1(trained: Trained) -> Table:
    """Table 1: ShuffleNet's complexity by groups, at 1x."""
    rows = []
    for groups, paper in published.TABLE1.items():
        arch = ShuffleNetV1(groups, 1.0)
        counted = cost(arch.name)
        assert counted is not None
        ours = counted.macs_without_classifier / 1e6
        rows.append(
            {
                "network": arch.name,
                **{f"stage{stage}": arch.stage_channels(stage) for stage in (2, 3, 4)},
                **_macs(paper, ours),
                "parameters": counted.parameters,
            }
        )
    channels = (Column(f"stage{stage}", f"stage {stage}", "channels") for stage in (2, 3, 4))
    columns = [_NETWORK, *channels, *_MACS, Column("parameters", "parameters", "ours", ",")]
    notes = ["Multiply-adds (the paper's FLOPs) without the classifier, which Table 1 does not count."]
    return Table(1, "ShuffleNet's complexity by groups", columns, rows, notes)


def table2(trained: Trained) -> Table:
    """Table 2: error by groups at equal complexity, at three scales."""
    rows = []
    for scale, errors in published.TABLE2.items():
        for groups, error in errors.items():
            name = ShuffleNetV1(groups, scale).name
            row = _entry(name, published.SCALE_MACS[scale], error) | _trained(trained, name)
            row["paper_gain"] = errors[1] - error if groups > 1 else None
            row |= _mean_gain(trained, name, ShuffleNetV1(1, scale).name) if groups > 1 else {}
            rows.append(row)
    columns = [_NETWORK, *_MACS, _PAPER_ERROR, _paper_gain("below g=1"), *_ERROR, _gain("below g=1")]
    notes = [*_reasons(rows), *_order(rows[-5:]), *_training_notes(trained)]
    return Table(2, "error by groups, at equal complexity", columns, rows, notes)


def table3(trained: Trained) -> Table:
    """Table 3: error with and without channel shuffle."""
    rows = []
    for (scale, groups), (without, with_shuffle) in published.TABLE3.items():
        name = ShuffleNetV1(groups, scale).name
        plain = f"{name}_no_shuffle"
        row = {"network": name, "paper_without": without, "paper_with": with_shuffle}
        row["paper_gain"] = without - with_shuffle
        row |= {key.replace("error", "without"): value for key, value in _trained(trained, plain).items()}
        row |= {key.replace("error", "with"): value for key, value in _trained(trained, name).items()}
        rows.append(row | _mean_gain(trained, name, plain))
    columns = [
        _NETWORK,
        Column("paper_without", "no shuffle, %", "paper", ".1f"),
        Column("paper_with", "shuffle, %", "paper", ".1f"),
        _paper_gain("gain"),
        Column("without", "no shuffle, %", "ours", ".2f", "without_deviation"),
        Column("with", "shuffle, %", "ours", ".2f", "with_deviation"),
        _gain("gain"),
        Column("with_runs", "seeds", "ours", "d"),
    ]
    return Table(3, "error with and without channel shuffle", columns, rows, _training_notes(trained))


def table4(trained: Trained) -> Table:
    """Table 4: error of networks built from other units, at equal complexity."""
    rows = []
    for budget, errors in published.TABLE4.items():
        for name, error in errors.items():
            # The Xception-like network is ShuffleNet with one group (section 4.2), and is trained under that name.
            trained_as = "shufflenet_g1_x0_25" if name == "xception_like_13m" else name
            row = _entry(name, budget, error) | _trained(trained, trained_as)
            counted = cost(name)
            assert counted is not None
            rows.append(row | {"stage4": counted.layers[-2].output_shape[0]})
    stage4 = Column("stage4", "stage 4", "channels")
    columns = [_NETWORK, stage4, *_MACS, _PAPER_ERROR, *_ERROR]
    notes = [
        "At 38 million the paper names 50, 192, 192, 288 and 576 channels in stage 4 for VGG-like, ResNet, ResNeXt, "
        "Xception-like networks and ShuffleNet.",
        *_reasons(rows),
        *_order(rows[-4:]),
        *_training_notes(trained),
    ]
    return Table(4, "error of several structures, at equal complexity", columns, rows, notes)


def table5(trained: Trained) -> Table:
    """Table 5: ShuffleNet and MobileNet v1."""
    rows = [_entry(*entry) | _trained(trained, entry.network) for entry in published.TABLE5]
    notes = [*_reasons(rows), *_order(rows[-3:]), *_training_notes(trained)]
    return Table(5, "ShuffleNet and MobileNet v1", [_NETWORK, *_MACS, _PAPER_ERROR, *_ERROR], rows, notes)


def table6(trained: Trained) -> Table:
    """Table 6: complexity of well-known networks and of ShuffleNets with about the same error."""
    rows = [_entry(*entry) for entry in published.TABLE6]
    notes = ["SqueezeNet is counted for 227 x 227 pixels. VGG-16 and GoogLeNet are not built here.", *_reasons(rows)]
    return Table(6, "complexity of well-known networks and ShuffleNets", [_NETWORK, *_MACS, _PAPER_ERROR], rows, notes)


def table7(trained: Trained) -> Table:
    """Table 7: object detection, the published figures only."""
    rows = [{"network": name, "map300": at300, "map600": at600} for name, (at300, at600) in published.TABLE7.items()]
    columns = [
        _NETWORK,
        Column("map300", "mAP at 300 pixels, %", "paper", ".1f"),
        Column("map600", "mAP at 600 pixels, %", "paper", ".1f"),
    ]
    notes = ["Not reproduced: training a Faster R-CNN on COCO takes days of several GPUs."]
    return Table(7, "object detection on COCO", columns, rows, notes)


TABLES: dict[int, Callable[[Trained], Table]] = {
    1: table1, 2: table2, 3: table3, 4: table4, 5: table5, 6: table6, 7: table7,
}  # fmt: skip


def _entry(network: str, paper_macs: int, paper_error: float | None) -> Row:
    """A row's multiply-adds, published and ours, and the published error."""
    return {"network": network, **_macs(paper_macs, million(network)), "paper_error": paper_error}


def _macs(paper: int, ours: float | None) -> Row:
    row: Row = {"paper_million_macs": paper}
    if ours is not None:
        row |= {"million_macs": ours, "macs_difference": 100 * (ours / paper - 1)}
    return row


def _trained(trained: Trained, name: str) -> Row:
    """A row's small-scale error of the network ``name``; empty if it was not trained."""
    mean = trained.mean(name)
    if mean is None:
        return {}
    return {"error": mean.error, "error_deviation": mean.deviation, "error_runs": mean.runs}


def _mean_gain(trained: Trained, name: str, over: str) -> Row:
    """A row's gain, the error of ``over`` less that of ``name``; empty if one of them was not trained."""
    mean = trained.mean_gain(name, over)
    return {} if mean is None else {"gain": mean.error, "gain_deviation": mean.deviation}


def _paper_gain(title: str) -> Column:
    return Column("paper_gain", title, "paper", "+.1f")


def _gain(title: str) -> Column:
    return Column("gain", title, "ours", "+.2f", "gain_deviation")


def _reasons(rows: list[Row]) -> list[str]:
    """Notes on the rows whose multiply-adds differ from the published ones: the reasons."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        ours = row.get("million_macs")
        if ours is not None and not matches(ours, row["paper_million_macs"]):
            reasons.setdefault(REASONS[row["network"]], []).append(row["network"])
    return [f"{', '.join(names)}: {reason}." for reason, names in reasons.items()]


def _order(rows: list[Row]) -> list[str]:
    """Two notes: the order of the trained networks by our error, and by the paper's."""
    trained = [row for row in rows if "error" in row]
    if len(trained) < 2:
        return []
    ours, paper = (
        ", ".join(row["network"] for row in sorted(trained, key=lambda row: row[key]))
        for key in ("error", "paper_error")
    )
    return [f"From the least error to the most, ours: {ours}.", f"The same in the paper: {paper}."]


def _training_notes(trained: Trained) -> list[str]:
    if not trained.runs:
        return ["No small-scale errors yet: --train DATA makes them."]
    return [trained.describe()]
