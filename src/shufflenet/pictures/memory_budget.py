"""Threads that each need a lot of memory for a while take turns, so that together they need no more than one may."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class MemoryBudget:
    """A number of bytes that threads share: each takes some for a block, and waits while too many are taken."""

    def __init__(self) -> None:
        self._held = 0
        self._changed = threading.Condition()

    @contextmanager
    def taking(self, count: int, limit: int) -> Iterator[None]:
        """Holds ``count`` bytes for the block; waits until all hold at most ``limit`` together, or nobody else any."""
        with self._changed:
            self._changed.wait_for(lambda: self._held == 0 or self._held + count <= limit)
            self._held += count
        try:
            yield
        finally:
            with self._changed:
                self._held -= count
                self._changed.notify_all()
