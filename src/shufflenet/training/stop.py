"""How Ctrl-C and SIGTERM end a run: between two steps, with a checkpoint written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from shufflenet.training import parallel

_Item = TypeVar("_Item")


class Stopped(Exception):  # noqa: N818 - it is not an error
    """A signal ended the run; the checkpoint that it goes on from is written."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number


class Stop:
    """Whether this process is asked to end the run."""

    def __init__(self) -> None:
        self.signal_number = 0  # the first signal that came; 0: none yet

    def check(self) -> None:
        """Raises `Stopped` if a signal came; called between pieces of work that can be done again.

        Several processes have to end behind the same step, so they go on to its end.
        """
        if self.signal_number and parallel.world_size() == 1:
            raise Stopped(self.signal_number)

    def checked(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """The items, with a `check` before each."""
        for item in items:
            self.check()
            yield item


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Within the block SIGINT and SIGTERM are noted only; outside Python's main thread none can be."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(number: int, frame: object) -> None:
        stop.signal_number = stop.signal_number or number

    numbers = (signal.SIGINT, signal.SIGTERM)
    earlier = [signal.signal(number, note) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, earlier, strict=True):
            signal.signal(number, handler)
