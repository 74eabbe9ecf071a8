"""Milliseconds of the paper's networks on this machine, and Table 8: speed-up in time beside that in multiply-adds."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from shufflenet.atomic_file import write_json
from shufflenet.bench.case import Case, make_case
from shufflenet.bench.run import Results, Row, Status, bench
from shufflenet.bench.runtime import FLOAT32, INT8, OURS, Precision, Runtime, select
from shufflenet.networks import complexity
from shufflenet.networks.graph import Graph
from shufflenet.networks.random_model import random_model
from shufflenet.paper import published
from shufflenet.paper.cost import build
from shufflenet.paper.table import Column, Table
from shufflenet.paper.trained import ResultsError

_NAME = "times.json"
_PASSES = 3  # of all cases, see `_best_pass`
# Table 8's networks, and MobileNet v1 0.5x, which has about as many multiply-adds as ShuffleNet 1x.
NETWORKS = (*published.TABLE8, "mobilenet_v1_x0_5")
_CALIBRATED = 224  # pixels of each side of what 8 bits are found on
_AGAINST = "alexnet"  # speed-ups are over this network
# Pairs that the notes compare: the first network against the second.
_PAIRS = (("shufflenet_g3_x0_5", "alexnet"), ("shufflenet_g3_x1_0", "mobilenet_v1_x0_5"))


def measure(folder: Path, runtimes: list[Runtime], rounds: int, status: Status = lambda _: None) -> Results:
    """Times Table 8's networks at its sizes on all ``runtimes``, and writes the results to times.json in ``folder``.

    The other networks with a published error are timed at 224 x 224 pixels on the engine alone. All with one thread,
    batch 1, float32 and random weights; Table 8's on the engine also in 8 bits.

    Args:
        rounds: turns of each runtime and case, over all passes.
        status: shows what is under way.

    Raises:
        RuntimeError: the engine failed, or gave logits that differ from PyTorch's.
        OSError: the results can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    others = [name for name in published.errors() if name not in NETWORKS and build(name) is not None]
    cases = [(name, *size) for size in published.TABLE8_SIZES for name in NETWORKS]
    results = _best_pass(cases, runtimes, rounds, status)
    alone = _best_pass([(name, 224, 224) for name in others], select([OURS]), rounds, status)
    in_8_bits = bench((_int8_case(*case) for case in cases), select([OURS], [INT8]), rounds, status)
    results.rows += alone.rows + in_8_bits.rows
    results.int8_peak_gmacs_per_s = in_8_bits.int8_peak_gmacs_per_s
    for row in results.rows:
        if row.runtime == OURS and row.ms is None:
            raise RuntimeError(f"{row.model} at {row.height}x{row.width}: {row.problem}")
    write_json(folder / _NAME, results.document())
    return results


def load(folder: Path) -> Results | None:
    """The results that `measure` wrote to ``folder``; None if there are none yet.

    Raises:
        ResultsError: the file is damaged.
    """
    path = folder / _NAME
    try:
        found = Results.from_document(json.loads(path.read_text(encoding="utf-8")))
        table8(found)  # raises if the results lack something that the table needs
        return found
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsError(f"{path}: can't be used as results of a measurement ({error})") from None


def table8(times: Results | None) -> Table:
    """Table 8: each network's milliseconds, also in 8 bits, the fastest other runtime's, and the speed-up over AlexNet.

    Args:
        times: our results; None: published figures only.
    """
    cases = [(name, column) for column in range(len(published.TABLE8_SIZES)) for name in NETWORKS]
    rows = [_row(name, column, times) for name, column in cases]
    columns = [
        Column("network", "network"),
        Column("size", "input"),
        Column("million_macs", "million MACs", "ours", ",.0f"),
        Column("paper_ms", "ms", "paper", ",.1f"),
        Column("ms", "ms", "ours", ",.2f"),
        *([Column("int8_ms", "8 bits", "ours", ",.2f")] if any("int8_ms" in row for row in rows) else []),
        Column("other_ms", "ms", "best other", ",.2f"),
        Column("other", "runtime", "best other"),
        Column("theoretical", "theoretical", "speed-up", ".1f"),
        Column("paper_speedup", "paper", "speed-up", ".1f"),
        Column("speedup", "ours", "speed-up", ".1f"),
    ]
    notes = ["Speed-up over AlexNet at the same size; theoretical: the ratio of multiply-adds."]
    return Table(8, "time of one picture, one thread", columns, rows, [*notes, *_notes(times)])


def _best_pass(cases: list[tuple[str, int, int]], runtimes: list[Runtime], rounds: int, status: Status) -> Results:
    """Times all (name, height, width) in several passes; each row is that of its fastest pass.

    A pass times one case after the other, so a slow minute of the machine counts against a few cases only; the next
    pass makes up for it.
    """
    turns = -(-rounds // _PASSES)
    passes = [bench((_case(*case) for case in cases), runtimes, turns, status) for _ in range(min(_PASSES, rounds))]
    rows = zip(*(results.rows for results in passes), strict=True)
    return replace(passes[0], rows=[min(row, key=lambda r: math.inf if r.ms is None else r.ms) for row in rows])


def _case(name: str, height: int, width: int) -> Case:
    return make_case(random_model(_build(name)), 1, height, width, threads=1)


def _int8_case(name: str, height: int, width: int) -> Case:
    """Weights rounded to the nearest and crops of pictures, so that calibration takes seconds; a run is as long."""
    from shufflenet.bench.samples import like_trained, synthetic  # by PyTorch
    from shufflenet.quantization.calibration import Method

    samples = synthetic(1, _build(name).in_channels, height, width)
    model = like_trained(random_model(_build(name)), samples)
    small = replace(samples, calibration=samples.calibration[:, :, :_CALIBRATED, :_CALIBRATED])
    case = make_case(model, 1, height, width, threads=1, samples=small)
    return replace(case, method=Method(weights="nearest"))


def _build(name: str) -> Graph:
    """The network ``name``, which must be one that `build` knows."""
    built = build(name)
    assert built is not None
    return built


def _macs(name: str, column: int) -> int:
    return complexity.summary(_build(name), *published.TABLE8_SIZES[column]).macs


def _row(name: str, column: int, times: Results | None) -> dict[str, Any]:
    """The row of a network at the size ``TABLE8_SIZES[column]``."""
    height, width = published.TABLE8_SIZES[column]
    macs, against_macs = _macs(name, column), _macs(_AGAINST, column)
    row: dict[str, Any] = {"network": name, "size": f"{height} x {width}"}
    row |= {"million_macs": macs / 1e6, "theoretical": against_macs / macs}
    if name in published.TABLE8:
        paper_ms, against = published.TABLE8[name][column], published.TABLE8[_AGAINST][column]
        row |= {"paper_ms": paper_ms, "paper_speedup": against / paper_ms}
    ours, against_ours = _ours(times, name, column), _ours(times, _AGAINST, column)
    if ours is not None and against_ours is not None:
        row |= {"ms": ours.ms, "speedup": _ms(against_ours) / _ms(ours)}
    if in_8_bits := _ours(times, name, column, INT8):
        row |= {"int8_ms": in_8_bits.ms}
    others = [r for r in _rows(times, name, column) if r.runtime != OURS and r.ms is not None]
    if others:
        best = min(others, key=_ms)
        row |= {"other": best.runtime, "other_ms": best.ms}
    return row


def _notes(times: Results | None) -> list[str]:
    if times is None:
        return ["Not measured yet: --measure does."]
    notes = ["The paper's: Snapdragon 820. Ours: {processor}, shufflenet {shufflenet}.".format(**times.machine)]
    for name, against in _PAIRS:
        for column, (height, width) in enumerate(published.TABLE8_SIZES):
            ours, other = _ours(times, name, column), _ours(times, against, column)
            if ours is not None and other is not None:
                theoretical, actual = other.macs / ours.macs, _ms(other) / _ms(ours)
                notes.append(
                    f"{name} against {against} at {height} x {width}: {actual:.2f} of {theoretical:.2f} times faster, "
                    f"{actual / theoretical:.2f} of what theory allows."
                )
    return notes


def _rows(times: Results | None, name: str, column: int) -> list[Row]:
    size = published.TABLE8_SIZES[column]
    return [row for row in times.rows if row.model == name and (row.height, row.width) == size] if times else []


def _ours(times: Results | None, name: str, column: int, precision: Precision = FLOAT32) -> Row | None:
    rows = (row for row in _rows(times, name, column) if row.runtime == OURS and row.precision == precision)
    return next((row for row in rows if row.ms is not None), None)


def _ms(row: Row) -> float:
    assert row.ms is not None
    return row.ms
