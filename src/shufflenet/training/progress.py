"""What a run shows while it runs: a bar on a terminal, else a line per epoch; always on stderr."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Any

_EVERY_S = 0.2


class Progress:
    """Of a run of ``steps`` steps, the first ``done`` of which an earlier process made; silent if not ``shown``."""

    def __init__(self, steps: int, done: int, shown: bool) -> None:
        self.steps, self.done, self.shown = steps, done, shown
        self.bar = shown and sys.stderr.isatty()
        self.began, self.first = time.monotonic(), done
        self.last = 0.0

    def step(self, epoch: int, epochs: int, loss: float, learning_rate: float, images_per_s: float) -> None:
        self.done += 1
        now = time.monotonic()
        if not self.bar or now - self.last < _EVERY_S:
            return
        self.last = now
        left = (now - self.began) / (self.done - self.first) * (self.steps - self.done)
        text = (
            f" epoch {epoch}/{epochs}  loss {loss:.3f}  lr {learning_rate:.2g}  "
            f"{images_per_s:.0f} images/s  {duration(left)} left"
        )
        width = max(0, min(40, shutil.get_terminal_size().columns - len(text) - 4))
        filled = width * self.done // self.steps
        sys.stderr.write(f"\r[{'#' * filled}{'.' * (width - filled)}]{text}\x1b[K")
        sys.stderr.flush()

    def count(self, what: str, done: int, of: int) -> None:
        if self.bar:
            sys.stderr.write(f"\r{what} {done:,} of {of:,}\x1b[K")
            sys.stderr.flush()

    def epoch(self, row: dict[str, Any]) -> None:
        self.say(
            f"epoch {row['epoch']:3}  loss {row['loss']:.4f}  top-1 error {row['top1_error']:.2f} %  "
            f"top-5 {row['top5_error']:.2f} %  size {row['input_size']}  {row['images_per_s']:.0f} images/s"
        )

    def say(self, text: str) -> None:
        if self.shown:
            sys.stderr.write(("\r\x1b[K" if self.bar else "") + text + "\n")
            sys.stderr.flush()


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
