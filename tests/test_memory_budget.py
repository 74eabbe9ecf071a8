"""Threads that take turns."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from shufflenet.pictures.memory_budget import MemoryBudget


def test_never_more_than_the_limit_but_one_alone_whatever_it_takes() -> None:
    budget, lock = MemoryBudget(), threading.Lock()
    held: list[int] = []
    seen: list[list[int]] = []

    def work(count: int) -> None:
        with budget.taking(count, limit=100):
            with lock:
                held.append(count)
                seen.append(list(held))
            threading.Event().wait(0.001)
            with lock:
                held.remove(count)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [30, 40, 60, 10, 150, 100, 20] * 20))
    assert all(sum(counts) <= 100 or counts == [150] for counts in seen)
    assert max(map(len, seen)) > 1


def test_a_failed_block_gives_back() -> None:
    budget = MemoryBudget()
    with pytest.raises(KeyError), budget.taking(100, limit=100):
        raise KeyError
    with budget.taking(100, limit=100):
        pass
