"""Threads that each need a lot of memory for a while take turns, so that together they need no more than one may."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager


class MemoryBudget:
    """A number of bytes that threads share: each takes some for a block, and waits while too many are taken."""

    def __init__(self) -> None:
        self._held = 0
        self._changed = threading.Condition()
        _budgets.add(self)

    @contextmanager
    def taking(self, count: int, limit: int) -> Iterator[None]:
        """Holds ``count`` bytes for the block; waits until all hold at most ``limit`` together, or nobody else any."""
        process = os.getpid()
        with self._changed:
            self._changed.wait_for(lambda: self._held == 0 or self._held + count <= limit)
            self._held += count
        try:
            yield
        finally:
            if os.getpid() == process:  # a process forked meanwhile has a count of its own
                with self._changed:
                    self._held -= count
                    self._changed.notify_all()


_budgets: weakref.WeakSet[MemoryBudget] = weakref.WeakSet()


def _free_budgets() -> None:
    """In a forked process, which has none of the threads that hold memory or a lock."""
    for budget in _budgets:
        budget._held = 0
        budget._changed = threading.Condition()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_budgets)
