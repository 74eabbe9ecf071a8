"""The terminal's lines of a run, all on stderr: messages, a line for each epoch, and on a terminal a bar."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Any

_EVERY_S = 0.2


class Progress:
    """Writes what a run has to tell; nothing if it is not ``shown``, as by all processes of a run but the first."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._bar = shown and sys.stderr.isatty()
        self.begin(0, 0)

    def begin(self, steps: int, done: int) -> None:
        """Starts the clock of the time that is left; ``done`` of the ``steps`` steps were made before."""
        self._steps, self._done, self._done_before = steps, done, done
        self._began, self._last = time.monotonic(), 0.0

    def step(self, epoch: int, epochs: int, loss: float, learning_rate: float, images_per_s: float) -> None:
        """Counts a step, and moves the bar now and then."""
        self._done += 1
        now = time.monotonic()
        if not self._bar or now - self._last < _EVERY_S:
            return
        self._last = now
        left = (now - self._began) / (self._done - self._done_before) * (self._steps - self._done)
        text = (
            f" epoch {epoch}/{epochs}  loss {loss:.3f}  lr {learning_rate:.2g}  "
            f"{images_per_s:.0f} images/s  {duration(left)} left"
        )
        width = max(0, min(40, shutil.get_terminal_size().columns - len(text) - 4))
        filled = width * self._done // self._steps
        self._show(f"[{'#' * filled}{'.' * (width - filled)}]{text}")

    def count(self, what: str, done: int, of: int) -> None:
        """Shows "WHAT done of all" on the terminal's last line."""
        self._show(f"{what} {done:,} of {of:,}")

    def epoch(self, row: dict[str, Any], classes: int) -> None:
        """Says the line of an epoch, whose row in metrics.csv this is."""
        errors = shown_errors(row["top1_error"], row["top5_error"], classes)
        self.say(
            f"epoch {row['epoch']:3}  loss {row['loss']:.4f}  {errors}  "
            f"size {row['input_size']}  {row['images_per_s']:.0f} images/s"
        )

    def say(self, text: str) -> None:
        """Writes lines that stay."""
        if self._shown:
            sys.stderr.write(("\r\x1b[K" if self._bar else "") + text + "\n")
            sys.stderr.flush()

    def _show(self, text: str) -> None:
        """Writes over the terminal's last line."""
        if self._bar:
            sys.stderr.write(f"\r{text}\x1b[K")
            sys.stderr.flush()


def shown_errors(top1: float, top5: float, classes: int) -> str:
    """The errors in percent; of five classes or fewer all are among the first five, which says nothing."""
    return f"top-1 error {top1:.2f} %" + (f"  top-5 {top5:.2f} %" if classes > 5 else "")


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
