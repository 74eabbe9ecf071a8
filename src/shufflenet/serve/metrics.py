"""What Prometheus asks for, over all processes of a server."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    multiprocess,
)

# Where the processes of one server keep their numbers; prometheus_client looks for it when it is imported.
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """Counters of one application; those of several processes add up."""

    def __init__(self) -> None:
        # Else each has a second series, of when it began.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "shufflenet_requests", "Requests that were answered.", ["route", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "shufflenet_request_seconds",
            "Time from a request's head to its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.pictures = Counter(
            "shufflenet_pictures", "Pictures, by whether they have labels.", ["result"], registry=self._registry
        )
        self.in_progress = Gauge(
            "shufflenet_requests_in_progress",
            "Requests that are not answered yet.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        if folder := os.environ.get(FOLDER_VARIABLE):
            _forget_ended(Path(folder))

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        registry = self._registry
        if os.environ.get(FOLDER_VARIABLE):
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def _forget_ended(folder: Path) -> None:
    """Takes requests out of the count that were in progress in processes that ended."""
    for file in folder.glob("gauge_live*_*.db"):
        process = int(file.stem.rpartition("_")[2])
        if not Path(f"/proc/{process}").exists():
            multiprocess.mark_process_dead(process)  # type: ignore[no-untyped-call]
