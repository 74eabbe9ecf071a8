"""The folder of a training run: one process at a time, every file written whole or not at all.

recipe.json        settings, seed and versions; a run is only ever continued with the same settings
checkpoint-N.pt    all that training needs to go on after step N; the newest two are kept
metrics.csv        a row per epoch; curves.png draws them
cache/             decoded pictures, removed at the end; may be elsewhere, to be shared by several runs
result.json        the result's errors on the validation pictures, in percent; written last
model.safetensors  the result
"""

from __future__ import annotations

import csv
import errno
import io
import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch

from shufflenet.atomic_file import atomic_file
from shufflenet.training.recipe import completed

_CHECKPOINT = re.compile(r"checkpoint-(\d+)\.pt")
_KEPT = 2


class RunFolderError(ValueError):
    """The run folder can't be used. The message names it and says why."""


class RunFolder:
    """An existing or new folder ``path``, which this process alone uses within `lock`'s block.

    Args:
        cache: a folder for decoded pictures that outlives the run; default: one in ``path``.
    """

    def __init__(self, path: Path, cache: Path | None = None) -> None:
        self.path = path
        self.cache = cache or path / "cache"

    @property
    def model(self) -> Path:
        """The model file, which a finished run leaves."""
        return self.path / "model.safetensors"

    def write_result(self, top1_error: float, top5_error: float) -> None:
        """Writes result.json, errors in percent, which says that the run is finished; raises OSError."""
        self.write(
            "result.json", json.dumps({"top1_error": top1_error, "top5_error": top5_error}, allow_nan=False).encode()
        )

    def result(self) -> tuple[float, float] | None:
        """The top-1 and top-5 error in percent; None if the run is not finished."""
        try:
            result = json.loads((self.path / "result.json").read_text(encoding="utf-8"))
            return float(result["top1_error"]), float(result["top5_error"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Creates the folder; holds it until the block or the process ends, however that ends.

        Raises:
            RunFolderError: another process holds it, or it can't be written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = (self.path / "run.lock").open("a")
        except OSError as error:
            raise RunFolderError(f"{self.path}: can't be written to ({error.strerror})") from None
        with file:
            if not _lock(file):
                raise RunFolderError(f"{self.path}: another process is training in this folder")
            yield

    def write(self, name: str, data: bytes) -> None:
        """Replaces a file of the folder; one that can't be written whole is left as it was.

        Raises:
            OSError: the file can't be written.
        """
        with atomic_file(self.path / name) as file:
            file.write(data)

    def claim(self, settings: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        """Writes recipe.json; if a run has come to its first checkpoint here, compares ``settings`` with that run's.

        Raises:
            RunFolderError: the folder holds a run with other settings.
            OSError: recipe.json can't be written.
        """
        path = self.path / "recipe.json"
        settings = json.loads(json.dumps(settings, allow_nan=False))
        if not path.exists() or not (self._checkpoints() or self.result()):
            text = json.dumps({"settings": settings, **about}, indent=2, allow_nan=False)
            self.write("recipe.json", text.encode("utf-8", "backslashreplace"))
            return
        try:
            earlier = json.loads(path.read_text(encoding="utf-8"))["settings"]
            earlier["recipe"] = completed(earlier["recipe"])
        except (OSError, ValueError, KeyError, TypeError):
            raise RunFolderError(f"{path}: damaged; choose another --out, or remove the folder") from None
        differences = list(_differences(earlier, settings))
        if differences:
            further = f" (with --from {self.path} to train its result further)" if self.result() else ""
            raise RunFolderError(
                f"{self.path}: holds a run with other settings ({'; '.join(differences[:3])}); choose another --out"
                f"{further}, or remove the folder"
            )

    def save_checkpoint(self, step: int, state: Mapping[str, Any]) -> None:
        """Writes a checkpoint and removes old ones; raises OSError, and keeps them then."""
        data = io.BytesIO()  # torch.save to a full disk leaves a cut file and another kind of error
        torch.save(dict(state), data)
        self.write(f"checkpoint-{step}.pt", data.getvalue())
        for path in self._checkpoints()[_KEPT:]:
            path.unlink(missing_ok=True)

    def newest_checkpoint(self) -> dict[str, Any] | None:
        """The newest checkpoint that can be read, without running pickled code; None: there is none.

        Raises:
            RunFolderError: there are checkpoints, but none can be read.
        """
        paths = self._checkpoints()
        for path in paths:
            try:
                return dict(torch.load(path, map_location="cpu", weights_only=True))
            except Exception as error:  # a damaged zip or pickle can raise anything
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                print(f"{path}: left out, it can't be read ({reason[:200]})", file=sys.stderr)
        if paths:
            raise RunFolderError(f"{self.path}: none of its checkpoints can be read; remove the folder to start anew")
        return None

    def write_metrics(self, rows: list[dict[str, Any]]) -> None:
        """Writes metrics.csv, a line for each row; raises OSError."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self.write("metrics.csv", text.getvalue().encode())

    def tidy(self) -> None:
        """Removes the decoded pictures, and files that a killed process had begun to write."""
        shutil.rmtree(self.path / "cache", ignore_errors=True)
        for path in self.path.glob(".*.tmp"):
            path.unlink(missing_ok=True)

    def _checkpoints(self) -> list[Path]:
        """The checkpoints' files, newest first."""
        found = [(int(match[1]), path) for path in self.path.iterdir() if (match := _CHECKPOINT.fullmatch(path.name))]
        return [path for _, path in sorted(found, reverse=True)]


_SETTINGS = {
    "arch": "another --arch", "classes": "other classes", "data": "other pictures", "from": "another --from",
    "preprocessing": "another --size", "sync_bn": "--sync-bn or not", "teacher": "another --teacher",
}  # fmt: skip


def _lock(file: IO[str]) -> bool:
    """Takes the system's lock, which ends with the process, also if it is killed; False: another process has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Any other error comes from a file system without locks, which is no reason not to train.
        return error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
    return True


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """What differs between two runs' settings, in the words of the command's options where it has one."""
    before, now = old["recipe"], new["recipe"]
    if before["name"] != now["name"]:
        yield f"--recipe {before['name']}, now {now['name']}"
    else:
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) != now.get(key):
                option = "amp" if key == "bf16" else key.replace("_", "-")
                yield f"--{option} {before.get(key)}, now {now.get(key)}"[:120]
    for key in sorted((old.keys() | new.keys()) - {"recipe"}):
        if old.get(key) != new.get(key):
            yield _SETTINGS.get(key, key)
