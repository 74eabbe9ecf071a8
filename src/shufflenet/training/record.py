"""What a run writes into its folder while it goes on: checkpoints, metrics.csv, curves.png and TensorBoard's events.

A full disk does not end a run: a message says what was not written, room can be made meanwhile, and the next
checkpoint succeeds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from shufflenet.training import curves, parallel
from shufflenet.training.progress import Progress
from shufflenet.training.run_folder import RunFolder
from shufflenet.training.state import State
from shufflenet.training.stop import Stop

_BOARD = ("loss", "learning_rate", "top1_error", "top5_error", "images_per_s")  # columns that TensorBoard shows


class Record:
    """A run's record in ``folder``, a checkpoint every ``minutes``. The first of several processes writes it."""

    def __init__(self, folder: RunFolder, progress: Progress, stop: Stop, minutes: float) -> None:
        self.saved_step = 0  # the newest checkpoint's step; 0: there is none
        self._folder, self._progress, self._stop = folder, progress, stop
        self._minutes, self._last_save = minutes, time.monotonic()
        self._drawn = 0  # epochs in curves.png
        self._board: Any = None

    def due(self) -> bool:
        """Whether the last checkpoint is old enough for another one."""
        return time.monotonic() - self._last_save >= 60 * self._minutes

    def checkpoint(self, state: State) -> None:
        """Writes a checkpoint, and draws the curves if epochs have ended since the last one."""
        self._last_save = time.monotonic()
        if parallel.rank() > 0:
            return
        if self._write("checkpoint", lambda: self._folder.save_checkpoint(state.step, state.to_checkpoint())):
            self.saved_step = state.step
        if len(state.history) > self._drawn:
            self._drawn = len(state.history)
            picture = curves.draw(state.history)
            if picture is not None:
                self._write("curves.png", lambda: self._folder.write("curves.png", picture))

    def epoch(self, history: list[dict[str, Any]]) -> None:
        """Writes metrics.csv anew, and tells TensorBoard the last row."""
        if parallel.rank() > 0:
            return
        if self._board is not None:
            for key in _BOARD:
                self._board.add_scalar(key, history[-1][key], history[-1]["epoch"])
        self._write("metrics.csv", lambda: self._folder.write_metrics(history))

    @contextmanager
    def tensorboard(self) -> Iterator[None]:
        """Within the block epochs go to TensorBoard too, if it is installed."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            yield
            return
        if parallel.rank() > 0:
            yield
            return
        with SummaryWriter(str(self._folder.path / "tensorboard")) as self._board:
            yield

    def _write(self, what: str, write: Callable[[], None]) -> bool:
        """Whether ``write`` succeeded; if not, a message says why."""
        try:
            write()
        except OSError as error:
            goes_on = "" if self._stop.signal_number else "training goes on, "
            self._progress.say(
                f"{self._folder.path}: {what} not written ({error.strerror}); {goes_on}the last one is kept"
            )
            return False
        return True
