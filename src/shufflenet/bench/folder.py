"""`shufflenet bench --folder`: `Classifier.classify` and `shufflenet predict` against the baseline on JPEG files.

Measured are images/s, from files to labels, and the peak memory of a whole process.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from shufflenet import model_file
from shufflenet.bench import onnx_file
from shufflenet.bench.baseline import BaselineClassifier
from shufflenet.bench.case import make_case
from shufflenet.bench.graph import tuned_networks
from shufflenet.bench.pictures import make_pictures
from shufflenet.bench.run import Status, machine
from shufflenet.bench.turns import images_per_second
from shufflenet.classifier import Classifier, Prediction
from shufflenet.networks.model import Model
from shufflenet.threads import usable_cores

_CHUNK = 100  # pictures in one turn
_MEMORY_PICTURES = 50

# Least share of pictures that both give the same label. The two resize differently, so a picture between two classes
# may get either.
LEAST_AGREEMENT = 0.97

# Program that starts another and prints its peak memory. It is small, because a process's peak memory counts that of
# its parent at the start.
_LAUNCHER = """
import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, 1, 0)])
_, status, usage = os.wait4(child, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True)
class FolderResults:
    """Both programs' figures; ``ordinary_...`` are the baseline's. These fields are the keys of the JSON file."""

    machine: dict[str, Any]
    model: str
    pictures: int
    threads: int  # of each program, one per core
    mean_kb: float  # size of a file
    images_per_s: float
    ordinary_images_per_s: float
    agreement: float  # share of the pictures with the same label
    peak_mb: float  # resident memory of a process that classifies `_MEMORY_PICTURES` pictures
    ordinary_peak_mb: float

    @property
    def ratio(self) -> float:
        """The package's images/s over the baseline's."""
        return self.images_per_s / self.ordinary_images_per_s

    def document(self) -> dict[str, Any]:
        """The results for JSON."""
        return asdict(self)


def folder_bench(model: Model, photos: Path, count: int, status: Status) -> FolderResults:
    """Times both programs on ``count`` JPEG files made from ``photos``, in turns of a hundred files.

    Args:
        model: its preprocessing must be the default one, 224 x 224 pixels, which the baseline has.
        photos: folder of .jpg files to cut crops from.

    Raises:
        ValueError: ``photos`` is no folder, or has no .jpg files.
    """
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        status(f"making {count} pictures")
        (folder / "pictures").mkdir()
        paths = make_pictures(photos, folder / "pictures", count)
        status("preparing both programs")
        model_path, network, labels = folder / "model.safetensors", folder / "network.onnx", folder / "labels.txt"
        model_file.save(model, model_path)
        labels.write_text("\n".join(model.labels), encoding="utf-8")
        case = make_case(model, 1, 224, 224, 1)
        (tuned,) = tuned_networks(case, ["gather"])
        onnx_file.write(tuned, case, network)
        classifier, baseline = Classifier(model_path), BaselineClassifier(network, model.labels, usable_cores())
        status("timing")
        our_labels: list[str] = []
        baseline_labels: list[str] = []
        programs = [
            _program(partial(_labels, classifier), our_labels),
            _program(baseline.classify, baseline_labels),
        ]
        chunks = [paths[start : start + _CHUNK] for start in range(0, count, _CHUNK)]
        ours, theirs = images_per_second(programs, chunks)
        status("measuring memory")
        some = paths[:_MEMORY_PICTURES]
        ours_mb = _peak_mb(["-m", "shufflenet", "predict", *some, "--model", str(model_path)])
        baseline_mb = _peak_mb(["-m", "shufflenet.bench.baseline", str(network), str(labels), *some])
        mean_kb = statistics.mean(os.path.getsize(path) for path in paths) / 1000
    same = sum(a == b for a, b in zip(our_labels, baseline_labels, strict=True)) / count
    return FolderResults(
        machine(), model.graph.name, count, usable_cores(), mean_kb, ours, theirs, same, ours_mb, baseline_mb
    )


def table(results: FolderResults) -> str:
    """The results as text: images/s and peak memory of both programs."""
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
    """The most probable label of each picture; the error's message for one that can't be read."""
    results = list(classifier.predict(paths, top_k=1, errors="yield"))
    return [result.labels[0] if isinstance(result, Prediction) else str(result) for result in results]


def _program(classify: Callable[[Sequence[str]], list[str]], labels: list[str]) -> Callable[[Sequence[str]], int]:
    """A program for `images_per_second` that appends each turn's labels to ``labels``."""

    def run(paths: Sequence[str]) -> int:
        labels.extend(classify(paths))
        return len(paths)

    return run


def _peak_mb(arguments: list[str]) -> float:
    """Peak resident memory, in MB, of a Python process with these arguments."""
    command = [sys.executable, "-I", "-S", "-c", _LAUNCHER, sys.executable, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, other systems KiB
    return int(done.stdout) * unit / 1e6
