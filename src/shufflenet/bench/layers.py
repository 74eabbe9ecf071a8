"""The engine's time layer by layer, beside each layer's multiply-adds."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import Any

from shufflenet.bench.case import Case
from shufflenet.bench.peak import Peak
from shufflenet.bench.runtime import FLOAT32, INT8, Precision
from shufflenet.engine.engine import Engine
from shufflenet.networks import complexity

_RUNS_BETWEEN_PEAKS = 10


@dataclass(frozen=True)
class LayerTime:
    """The time of one step of the engine's plan."""

    name: (
        str  # the layer in `complexity.summary`, several joined by plus signs, or the step's name where it is no layer
    )
    macs: int
    ms: float  # median


@dataclass(frozen=True)
class LayerTimes:
    """The times of all steps, in the order of the plan, and the core's peak in between."""

    case: Case
    precision: Precision
    peak_gmacs_per_s: float
    layers: list[LayerTime]

    def document(self) -> dict[str, Any]:
        """The results for JSON."""
        case = self.case
        measured = {
            "model": case.name, "precision": self.precision, "height": case.height, "width": case.width,
        }  # fmt: skip
        return {
            **measured,
            "peak_gmacs_per_s": self.peak_gmacs_per_s,
            "layers": [asdict(layer) for layer in self.layers],
        }


def layer_times(case: Case, rounds: int, precision: Precision = FLOAT32) -> LayerTimes:
    """Times each step of the engine over ``rounds`` runs of the case's first picture, with one thread."""
    engine, peak = Engine(case.quantized if precision == INT8 else case.model), Peak(int8=precision == INT8)
    passes = []
    for first in range(0, rounds, _RUNS_BETWEEN_PEAKS):
        peak.sample()
        passes.append(engine.step_seconds(case.x[:1], min(_RUNS_BETWEEN_PEAKS, rounds - first)))
    layers = complexity.summary(case.model.graph, case.height, case.width).layers
    macs = {layer.name: layer.macs for layer in layers}
    times = []
    for step in zip(*passes, strict=True):
        name, seconds = step[0][0], [second for _, some in step for second in some]
        step_macs = sum(macs.get(layer, 0) for layer in name.split(" + "))
        times.append(LayerTime(name, step_macs, 1000 * statistics.median(seconds)))
    return LayerTimes(case, precision, peak.gmacs_per_s, times)


def table(times: LayerTimes) -> str:
    """A line per layer and one for all: multiply-adds, milliseconds, share of the time and of the core's peak."""
    total = sum(layer.ms for layer in times.layers)
    macs = sum(layer.macs for layer in times.layers)
    case, peak = times.case, times.peak_gmacs_per_s
    lines = [
        f"{case.name}, {case.height} x {case.width}, {times.precision}, 1 thread, peak {peak:.1f} GMAC/s",
        f"{'layer':22} {'multiply-adds':>14} {'ms':>8} {'time %':>7} {'GMAC/s':>7} {'peak %':>7}",
    ]
    for layer in [*times.layers, LayerTime("all", macs, total)]:
        *others, name = layer.name.split(" + ")
        # Fused layers run a few lines or pixels at a time, in turns, so they have one time together.
        lines += [f"{other} +" for other in others]
        line = f"{name:22} {layer.macs:14,} {layer.ms:8.4f} {100 * layer.ms / total:7.1f}"
        if layer.macs and layer.ms:
            rate = layer.macs / layer.ms / 1e6
            line += f" {rate:7.1f} {100 * rate / peak:7.1f}"
        lines.append(line)
    return "\n".join(lines)
