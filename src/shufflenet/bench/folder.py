"""A folder of photos, as a user has it: `Classifier.classify` against the baseline way, and each one's memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from shufflenet import model_file
from shufflenet.bench import onnx_file
from shufflenet.bench.baseline import BaselineClassifier
from shufflenet.bench.case import make_case
from shufflenet.bench.graph import tuned_networks
from shufflenet.bench.pictures import make_pictures
from shufflenet.bench.run import Status, machine
from shufflenet.classifier import Classifier, Prediction
from shufflenet.networks.model import Model
from shufflenet.threads import usable_cores

_CHUNK = 100  # pictures of one turn
_MEMORY_PICTURES = 50

# The two resample in other ways, so a picture between two classes may get either.
LEAST_AGREEMENT = 0.97

# A small process starts the other: a process's peak memory counts what its parent had when it was started.
_LAUNCHER = """
import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, 1, 0)])
_, status, usage = os.wait4(child, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True)
class FolderResults:
    machine: dict[str, Any]
    model: str
    pictures: int
    threads: int  # of each way: one for each core
    mean_kb: float
    images_per_s: float
    ordinary_images_per_s: float
    agreement: float  # share of the pictures with the same label
    peak_mb: float  # resident memory of a whole process
    ordinary_peak_mb: float

    @property
    def ratio(self) -> float:
        return self.images_per_s / self.ordinary_images_per_s

    def document(self) -> dict[str, Any]:
        return asdict(self)


def folder_bench(model: Model, photos: Path, count: int, status: Status) -> FolderResults:
    """Times both ways on ``count`` pictures made from ``photos``, in turns of a hundred.

    Args:
        model: of the usual preprocessing, 224 x 224 pixels.

    Raises:
        ValueError: there are no photos.
    """
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        status(f"making {count} pictures")
        (folder / "pictures").mkdir()
        paths = make_pictures(photos, folder / "pictures", count)
        status("preparing both ways")
        model_path, network, labels = folder / "model.safetensors", folder / "network.onnx", folder / "labels.txt"
        model_file.save(model, model_path)
        labels.write_text("\n".join(model.labels), encoding="utf-8")
        case = make_case(model, 1, 224, 224, 1)
        (tuned,) = tuned_networks(case, ["gather"])
        onnx_file.write(tuned, case, network)
        classifier, baseline = Classifier(model_path), BaselineClassifier(network, model.labels, usable_cores())
        status("timing")
        speeds, labels_by = _time([lambda chunk: _labels(classifier, chunk), baseline.classify], paths)
        status("measuring memory")
        some = paths[:_MEMORY_PICTURES]
        ours_mb = _peak_mb(["-m", "shufflenet", "predict", *some, "--model", str(model_path)])
        ordinary_mb = _peak_mb(["-m", "shufflenet.bench.baseline", str(network), str(labels), *some])
        mean_kb = statistics.mean(os.path.getsize(path) for path in paths) / 1000
    same = sum(a == b for a, b in zip(*labels_by, strict=True)) / count
    ours, theirs = speeds
    return FolderResults(
        machine(), model.graph.name, count, usable_cores(), mean_kb, ours, theirs, same, ours_mb, ordinary_mb
    )


def table(results: FolderResults) -> str:
    r = results
    baseline = f"Pillow, numpy, ONNX Runtime, {r.threads} thread{'s' * (r.threads != 1)}"
    return "\n".join(
        [
            f"{r.pictures:,} JPEG files of {r.mean_kb:.0f} KB on average, {r.model}, {r.machine['processor']}",
            f"{'':42} {'images/s':>9} {'peak MB':>8}",
            f"{'shufflenet':42} {r.images_per_s:9.1f} {r.peak_mb:8.0f}",
            f"{baseline:42} {r.ordinary_images_per_s:9.1f} {r.ordinary_peak_mb:8.0f}",
            f"{r.ratio:.2f} times the images/s; the same label for {100 * r.agreement:.1f} % of the pictures",
        ]
    )


def _labels(classifier: Classifier, paths: Sequence[str]) -> list[str]:
    results = list(classifier.classify(paths, top_k=1))
    return [result.labels[0] if isinstance(result, Prediction) else str(result) for result in results]


def _time(
    ways: list[Callable[[Sequence[str]], list[str]]], paths: Sequence[str]
) -> tuple[list[float], list[list[str]]]:
    """Images/s of each way, median over the chunks, and its labels. Every other chunk starts with the other way."""
    speeds: list[list[float]] = [[] for _ in ways]
    labels: list[list[str]] = [[] for _ in ways]
    for number, start in enumerate(range(0, len(paths), _CHUNK)):
        chunk = paths[start : start + _CHUNK]
        for way in range(len(ways)) if number % 2 == 0 else reversed(range(len(ways))):
            began = perf_counter()
            labels[way] += ways[way](chunk)
            speeds[way].append(len(chunk) / (perf_counter() - began))
    return [statistics.median(samples) for samples in speeds], labels


def _peak_mb(arguments: list[str]) -> float:
    """Peak resident memory of a Python process with these arguments."""
    command = [sys.executable, "-I", "-S", "-c", _LAUNCHER, sys.executable, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return int(done.stdout) * unit / 1e6
