"""The parts of a job by Ray Data: a task for each part, an actor with the model for each core.

Ray runs a task anew whose node is lost. The driver writes what comes back, so the nodes need storage in common for the
pictures and the model only.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections.abc import Iterator
from typing import Any

import ray

from shufflenet.batch.parts import Job
from shufflenet.batch.plan import Part
from shufflenet.batch.run import Finished, finished_here
from shufflenet.batch.storage import is_url


class _Worker:
    """One actor of Ray, on one core; relative paths are those of the driver's folder."""

    def __init__(self, job: Job, folder: str) -> None:
        self._job = job
        if os.path.isdir(folder):
            os.chdir(folder)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """A batch of parts -> a row for each: the fields of `Finished`."""
        done = [self._finished(pickle.loads(part)) for part in batch["part"]]
        return {name: [finished[place] for finished in done] for place, name in enumerate(Finished._fields)}

    def _finished(self, part: Part) -> Finished:
        if part.pictures and not any(is_url(path) or os.path.lexists(path) for path in part.pictures):
            problem = (
                f"{part.pictures[0]}: not on {socket.gethostname()}; all nodes need the pictures at the same place"
            )
            return Finished(part.name, b"", 0, 0, problem)
        (finished,) = finished_here([part], self._job, threads=1)
        return finished


def finished_on_ray(parts: list[Part], job: Job, on: str) -> Iterator[Finished]:
    """Yields parts as they are done, in any order.

    Raises:
        ConnectionError: no Ray answers at the address.
        OSError: a node can't do its work: it lacks the package or the model, for example.
    """
    if not parts:
        return
    if not ray.is_initialized():
        # "local": a new cluster, instead of one of this machine's that may no longer answer.
        address = on.partition(":")[2] or os.environ.get("RAY_ADDRESS") or "local"
        ray.init(address=address, log_to_driver=False, logging_level="warning")
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    workers = max(1, min(len(parts), int(ray.cluster_resources().get("CPU", 1))))
    rows = [{"part": pickle.dumps(part)} for part in parts]  # as bytes, which Ray Data's tables hold
    done = ray.data.from_items(rows, override_num_blocks=len(parts)).map_batches(
        _Worker,
        fn_constructor_args=(job, os.getcwd()),
        batch_size=1,
        num_cpus=1,
        # A worker gets its next part when the driver has the last one, so that a stop costs one part a worker.
        compute=ray.data.ActorPoolStrategy(
            min_size=1, max_size=workers, initial_size=workers, max_tasks_in_flight_per_actor=1
        ),
    )
    try:
        # Without prefetching, which would keep each part until the next one is done.
        for batch in done.iter_batches(batch_size=1, prefetch_batches=0, batch_format="pyarrow"):
            yield from (Finished(**row) for row in batch.to_pylist())
    except (ray.exceptions.RayError, ray.data.exceptions.UserCodeException) as error:
        raise OSError(f"Ray: {str(error).strip().splitlines()[-1]}") from None
