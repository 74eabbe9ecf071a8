"""Our engine's time layer by layer, beside what each layer has to compute: where the time goes."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import Any

from shufflenet.bench.case import Case
from shufflenet.bench.peak import Peak
from shufflenet.engine.engine import Engine
from shufflenet.networks import complexity

_RUNS_BETWEEN_PEAKS = 10


@dataclass(frozen=True)
class LayerTime:
    name: str  # a layer of `complexity.summary`, several joined by plus signs, or what the engine does besides
    macs: int
    ms: float


@dataclass(frozen=True)
class LayerTimes:
    case: Case
    peak_gmacs_per_s: float
    layers: list[LayerTime]

    def document(self) -> dict[str, Any]:
        measured = {"model": self.case.name, "height": self.case.height, "width": self.case.width}
        return {
            **measured,
            "peak_gmacs_per_s": self.peak_gmacs_per_s,
            "layers": [asdict(layer) for layer in self.layers],
        }


def layer_times(case: Case, rounds: int) -> LayerTimes:
    """Medians over ``rounds`` runs of one picture, one thread; the peak is measured in between."""
    engine, peak = Engine(case.model), Peak()
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
    return LayerTimes(case, peak.gmacs_per_s, times)


def table(times: LayerTimes) -> str:
    total = sum(layer.ms for layer in times.layers)
    macs = sum(layer.macs for layer in times.layers)
    case, peak = times.case, times.peak_gmacs_per_s
    lines = [
        f"{case.name}, {case.height} x {case.width}, float32, 1 thread, peak {peak:.1f} GMAC/s",
        f"{'layer':22} {'multiply-adds':>14} {'ms':>8} {'time %':>7} {'GMAC/s':>7} {'peak %':>7}",
    ]
    for layer in [*times.layers, LayerTime("all", macs, total)]:
        *others, name = layer.name.split(" + ")
        # They take turns, a few lines or pixels at a time: one time for all.
        lines += [f"{other} +" for other in others]
        line = f"{name:22} {layer.macs:14,} {layer.ms:8.4f} {100 * layer.ms / total:7.1f}"
        if layer.macs and layer.ms:
            rate = layer.macs / layer.ms / 1e6
            line += f" {rate:7.1f} {100 * rate / peak:7.1f}"
        lines.append(line)
    return "\n".join(lines)
