"""Results in order, errors in their place, nothing taken too far ahead."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest

from shufflenet.threads import map_in_order, usable_cores


def test_order_and_several_threads() -> None:
    together = threading.Barrier(4, timeout=30)
    names: set[str] = set()

    def work(item: int) -> int:
        if item < 4:
            together.wait()  # passes only if four threads work at once
        time.sleep(random.Random(item).random() / 500)
        names.add(threading.current_thread().name)
        return item * item

    assert list(map_in_order(work, range(100), threads=4)) == [item * item for item in range(100)]
    assert len(names) == 4


def test_by_default_a_thread_for_each_core() -> None:
    together = threading.Barrier(usable_cores(), timeout=30)
    assert sorted(map_in_order(lambda _: together.wait(), range(usable_cores()))) == list(range(usable_cores()))


def test_an_error_comes_in_its_place() -> None:
    def work(item: int) -> int:
        if item == 5:
            raise KeyError("five")
        return item

    results = map_in_order(work, range(100), threads=3)
    assert [next(results) for _ in range(5)] == list(range(5))
    with pytest.raises(KeyError, match="five"):
        next(results)
    assert list(results) == []


def test_an_error_of_the_items_comes_through() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        list(map_in_order(abs, items(), threads=2))


def test_few_items_are_taken_ahead() -> None:
    taken = []

    def items() -> Iterator[int]:
        for item in range(1000):
            taken.append(item)
            yield item

    for done, _ in enumerate(map_in_order(abs, items(), threads=2), start=1):
        assert len(taken) <= done + 5


def test_who_stops_early_waits_for_nothing() -> None:
    begun, go_on = [], threading.Event()

    def work(item: int) -> int:
        begun.append(item)
        if item:
            go_on.wait(30)
        return item

    results = map_in_order(work, range(1000), threads=2)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 3
    go_on.set()
    time.sleep(0.05)
    assert len(begun) <= 3, "what was not begun never is"
