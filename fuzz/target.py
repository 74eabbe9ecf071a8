"""What the targets in Python share: the promises that each input is held to, and libFuzzer, by atheris, to find inputs.

A target is a module with a function `run`, which raises if an input breaks a promise, and a function `mutate`, which
changes an input in a way that its format asks for.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

_MOST_LETTERS = 1_000_000  # of a message; a name within a .zip may have 65,535, and escapes of six letters each
_MUTATED_BY_BYTES = 0.3  # the share of inputs that libFuzzer changes, which knows no formats


def scratch_folder() -> Path:
    """An empty folder, in memory where the system has one there."""
    return Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))


class Watch:
    """In a ``with`` block, no event of Python's audit hooks may come that ``forbidden`` is true for.

    Raises:
        AssertionError: at the block's end, if one came.
    """

    def __init__(self, forbidden: Callable[[str, tuple[object, ...]], bool]) -> None:
        self._forbidden = forbidden
        self._on = False
        self._seen: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self._on and self._forbidden(event, arguments):
            self._seen.append(f"{event} {arguments!r}"[:200])

    def __enter__(self) -> None:
        self._seen.clear()
        self._on = True

    def __exit__(self, *_: object) -> None:
        self._on = False
        assert not self._seen, self._seen


def check_message(error: Exception, name: str) -> None:
    """A message is one line that any terminal shows, says which file it is about, and stays short.

    Raises:
        AssertionError: it is not.
    """
    text = str(error)
    assert text.isprintable(), f"not one printable line: {text!r}"
    assert name in text, f"doesn't name {name}: {text!r}"
    assert len(text) < _MOST_LETTERS, f"{len(text)} letters"


def fuzz(run: Callable[[bytes], None], mutate: Callable[[bytes, random.Random], bytes | None]) -> None:
    """Fuzzes ``run`` with libFuzzer's arguments of the command line; ends the process."""
    import atheris

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        source = random.Random(seed)
        changed = None if source.random() < _MUTATED_BY_BYTES else mutate(data, source)
        result: bytes = atheris.Mutate(data, most) if changed is None else changed
        return result[:most]

    _instrument()
    atheris.Setup(sys.argv, run, custom_mutator=mutated)
    atheris.Fuzz()


def _instrument() -> None:
    """Lets libFuzzer see which lines of the package an input reaches, in all modules that are loaded by now."""
    import atheris

    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "shufflenet":
            _instrument_functions(vars(module), name, atheris.instrument_func)


def _instrument_functions(namespace: dict[str, Any], module: str, instrument: Callable[[Any], Any]) -> None:
    for value in list(namespace.values()):
        if getattr(value, "__module__", None) != module:
            continue  # another's
        if isinstance(value, type):
            _instrument_functions(dict(vars(value)), module, instrument)
        elif hasattr(value, "__code__"):
            instrument(value)
