"""What Linux writes about a core's second-level cache."""

from __future__ import annotations

import pytest

from shufflenet.engine.second_level_cache import bytes_of_a_core, parse


@pytest.mark.parametrize(
    ("size", "sharers", "kilobytes"),
    [
        ("2048K\n", "0\n", 2048),
        ("2048K\n", "0,56\n", 1024),
        ("4096K\n", "0-3\n", 1024),
        ("1024K\n", "0-3\n", 512),  # a quarter would leave no room for a strip
        ("16384K\n", "0\n", 2048),
        ("\n", "0\n", 512),
        ("2M\n", "0\n", 512),
        ("2048K\n", "\n", 512),
    ],
)
def test_parse(size: str, sharers: str, kilobytes: int) -> None:
    assert parse(size, sharers) == kilobytes << 10


def test_of_this_machine() -> None:
    assert 512 << 10 <= bytes_of_a_core() <= 2 << 20
