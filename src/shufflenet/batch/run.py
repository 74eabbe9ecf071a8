"""Runs a job: finds what is left to do, has it done here or on Ray, and writes each part as it comes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from shufflenet.batch.classify import Classify, Row
from shufflenet.batch.parts import Folder, Job, Written, part_bytes
from shufflenet.batch.plan import Part, SourceError, plan
from shufflenet.batch.storage import is_url
from shufflenet.files import printable, why_unreadable
from shufflenet.models import DEFAULT_MODEL
from shufflenet.pictures.images import MAX_PIXELS
from shufflenet.threads import map_in_order


@dataclass
class Progress:
    """How far a job is. Pictures and errors are those of parts that are written, also by earlier runs.

    Args:
        total: pictures of the job; None: shards don't say how many they hold.
        begun: pictures of parts that are not written yet.
        failed: a line for each part that was not written; the same command tries it again.
    """

    parts: int
    total: int | None
    parts_done: int = 0
    pictures: int = 0
    errors: int = 0
    begun: int = 0
    parts_before: int = 0
    pictures_before: int = 0
    failed: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Time that this run has taken."""
        return time.monotonic() - self.began

    @property
    def pictures_per_s(self) -> float:
        """Pictures of this run in a second."""
        return (self.pictures + self.begun - self.pictures_before) / max(self.seconds, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """By this run's pace, of pictures where their number is known, else of parts; None: no pace yet."""
        if self.total is not None:
            done, of = self.pictures + self.begun - self.pictures_before, self.total - self.pictures_before
        else:
            done, of = self.parts_done - self.parts_before, self.parts - self.parts_before
        return self.seconds * (of - done) / done if done else None

    def add(self, written: Written) -> None:
        """Counts a part that is there."""
        self.parts_done += 1
        self.pictures += written.pictures
        self.errors += written.errors


class Finished(NamedTuple):
    """A part that was worked on: its file's content, or why there is none."""

    name: str
    content: bytes
    pictures: int
    errors: int
    problem: str = ""


def predict_to(
    sources: Iterable[str],
    to: str | os.PathLike[str],
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    top_k: int = 5,
    max_pixels: int = MAX_PIXELS,
    on: str = "",
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Writes the labels of pictures as Parquet files to the folder ``to``, and goes on where an earlier run stopped.

    Args:
        sources: as for `plan.plan`.
        to: a folder on disk or behind a URL. Parts that it has are left as they are.
        on: "" is all cores of this machine; "ray" a Ray cluster, that of ``RAY_ADDRESS`` or a new one on this machine;
            "ray:ADDRESS" the cluster there.
        progress: called at the beginning, and whenever some pictures or parts are done.

    Raises:
        SourceError: a source can't be listed.
        PartsError: the folder has parts of another job.
        ModelFileError: the model can't be used.
        OSError: the folder can't be written.
    """
    sources = list(sources)
    for source in sources:
        if _lies_in(os.fspath(to), source):
            raise SourceError(f"{to}: in {source}, so the next run would take labels for pictures; name another folder")
    parts = plan(sources)
    job = Job.of(os.fspath(model), top_k, max_pixels)
    folder = Folder(os.fspath(to))
    there = folder.parts_of(job, (part.name for part in parts))
    known = all(not part.shard for part in parts)
    done = Progress(len(parts), sum(len(part.pictures) for part in parts) if known else None)
    for written in there.values():
        done.add(written)
    done.parts_before, done.pictures_before = done.parts_done, done.pictures
    progress(done)
    left = [part for part in parts if part.name not in there]
    if on:
        from shufflenet.batch.on_ray import finished_on_ray

        results = finished_on_ray(left, job, on)
    else:

        def one_more(so_far: int) -> None:
            done.begun = so_far
            progress(done)

        results = finished_here(left, job, one_more)
    for part in results:
        if part.problem:
            done.failed.append(part.problem)
        else:
            folder.write(part.name, part.content)
            done.add(Written(part.pictures, part.errors))
        done.begun = 0
        progress(done)
    return done


def _lies_in(folder: str, source: str) -> bool:
    if not is_url(folder) and not is_url(source):
        folder, source = os.path.realpath(folder), os.path.realpath(source)
    return f"{folder}/".startswith(f"{source.rstrip('/')}/")


def finished_here(
    parts: Iterable[Part], job: Job, counted: Callable[[int], None] = lambda count: None, threads: int | None = None
) -> Iterator[Finished]:
    """Works on parts one after the other, each of ``threads`` on a picture of its own; default: as many as cores.

    Args:
        counted: called with the number of pictures of a part that are done, one more each time.

    Raises:
        ModelFileError: this machine has another model at the path.
    """
    classify = Classify(job.model, job.top_k, job.max_pixels, job.model_hash)

    def pictures() -> Iterator[tuple[Part, Any]]:
        """All parts' pictures; behind each part, None or the error that ended it."""
        for part in parts:
            problem = None
            try:
                for picture in part.read():
                    yield part, picture
            except OSError as error:
                problem = error
            yield part, problem

    def work(item: tuple[Part, Any]) -> tuple[Part, Row | OSError | None]:
        part, picture = item
        return part, classify.row(*picture) if isinstance(picture, tuple) else picture

    rows: list[Row] = []
    for part, result in map_in_order(work, pictures(), threads):
        if isinstance(result, Row):
            rows.append(result)
            counted(len(rows))
            continue
        if result is None:
            yield Finished(part.name, part_bytes(rows, job), len(rows), sum(row.error is not None for row in rows))
        else:
            yield Finished(part.name, b"", 0, 0, f"{printable(part.shard)}: {why_unreadable(result)}")
        rows = []
