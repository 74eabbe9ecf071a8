"""Checks of what other programs wrote as JSON: objects with a fixed set of keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def checked_object(what: str, value: Any) -> dict[str, Any]:
    """Returns ``value`` if it is an object; raises ValueError if not. ``what`` names it in the message."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be a JSON object, not {value!r}")
    return value


def check_keys(what: str, value: Any, keys: Iterable[str]) -> None:
    """Raises ValueError if ``value`` is no object, or its keys are not exactly these."""
    given, expected = checked_object(what, value).keys(), list(keys)
    if missing := [key for key in expected if key not in given]:
        raise ValueError(f"{what} lacks {missing[0]!r}")
    if unknown := sorted(given - set(expected)):
        raise ValueError(f"{what} has an unknown key {unknown[0]!r}")
