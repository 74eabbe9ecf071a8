"""Recipes as TOML files: written with what each field means, and read with every value checked."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from shufflenet.training.recipe import NEAREST, RECIPES, Recipe

_TYPES = {name: hint.__origin__ for name, hint in get_type_hints(Recipe, include_extras=True).items()}
_MEANINGS = {name: hint.__metadata__[0] for name, hint in get_type_hints(Recipe, include_extras=True).items()}


def text(recipe: Recipe) -> str:
    """The recipe as TOML that `read` reads: a field and its meaning a line."""
    lines = []
    for field in fields(Recipe):
        value = getattr(recipe, field.name)
        # JSON's strings, numbers, booleans and lists are TOML's too.
        lines.append((f"{field.name} = {json.dumps(value, allow_nan=False)}", _MEANINGS[field.name]))
    width = max(len(assignment) for assignment, _ in lines)
    return "\n".join(f"{assignment:{width}}  # {meaning}" for assignment, meaning in lines)


def read(path: str | os.PathLike[str]) -> Recipe:
    """A recipe from a TOML file; fields that it leaves out are those of the paper's, its name is the file's.

    Raises:
        OSError: the file can't be read.
        ValueError: it is not TOML, or a field is unknown, of another type or out of range; the message names it.
    """
    path = Path(path)
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a TOML file: {error}") from None
    try:
        values = {name: _checked(name, value) for name, value in given.items()}
        if values.get("name", path.stem) == NEAREST:
            raise ValueError(f"a recipe may not be called {NEAREST!r}, which trains nothing")
        return replace(RECIPES["paper"], **{"name": path.stem, **values})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _checked(name: str, value: Any) -> Any:
    """The value as the field's type; raises ValueError."""
    kind = _TYPES.get(name)
    if kind is None:
        near = difflib.get_close_matches(name, _TYPES, 1)
        raise ValueError(f"a recipe has no field {name!r}{f'; did you mean {near[0]}?' if near else ''}")
    if kind is bool or kind is str:
        good, expected = type(value) is kind, "true or false" if kind is bool else "a text"
    elif kind is int:
        good, expected = type(value) is int, "a whole number"
    elif kind is float:
        good, expected = type(value) in (int, float), "a number"
    else:
        good = type(value) is list and all(type(part) in (int, float) for part in value)
        value, expected = tuple(value) if good else value, "a list of numbers"
    if not good:
        raise ValueError(f"{name} must be {expected}, not {value!r}")
    return float(value) if kind is float else value
