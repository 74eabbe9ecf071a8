"""What a user says of a network's input, as text."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from shufflenet.importers.checkpoint import CheckpointError
from shufflenet.json_object import checked_object
from shufflenet.pictures.preprocessing import Preprocessing

_NAMED = {
    "imagenet": Preprocessing(),
    "0..1": Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
    "-1..1": Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    "0..255": Preprocessing(mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255)),
}
_FIELDS = tuple(each.name for each in fields(Preprocessing))


def preprocessing(text: str) -> dict[str, Any]:
    """A name, or a JSON object with any of the fields of a model file's preprocessing -> fields of `Convention`.

    ``colour_order`` may be "BGR"; mean and standard deviation are of red, green and blue in any case.

    Raises:
        CheckpointError: neither, or a field is out of range.
    """
    if text in _NAMED:
        return {"preprocessing": _NAMED[text]}
    try:
        values = checked_object("preprocessing", json.loads(text))
        order = values.pop("colour_order", "RGB")
        if order not in ("RGB", "BGR"):
            raise ValueError(f"colour_order must be 'RGB' or 'BGR', not {order!r}")
        if unknown := values.keys() - set(_FIELDS):
            raise ValueError(
                f"no such field: {', '.join(sorted(unknown))}; there are colour_order, {', '.join(_FIELDS)}"
            )
        given: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return {"preprocessing": Preprocessing(**given), "bgr": order == "BGR"}
    except json.JSONDecodeError:
        reason = f'must be {", ".join(_NAMED)} or a JSON object such as {{"size": 32, "resize": 32}}, not {text!r}'
    except ValueError as error:
        reason = str(error)
    raise CheckpointError(f"preprocessing: {reason}")
