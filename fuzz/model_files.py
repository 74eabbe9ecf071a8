"""Model files: each is refused by a line that names it, or is saved as it was read and gives finite logits."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import numpy as np

from damage import damaged_bytes, damaged_json
from shufflenet import model_file
from shufflenet.engine.engine import Engine
from target import check_message, fuzz, scratch_folder

_MOST_MACS_SIZE = 64  # larger inputs take more time than they show

_folder = scratch_folder()
_read, _written = _folder / "read.safetensors", _folder / "written.safetensors"


def run(data: bytes) -> None:
    """Loads a model file of ``data``; saves and runs what comes of it.

    Raises:
        AssertionError: what `model_file.load` promises is not so.
    """
    _read.write_bytes(data)
    try:
        model = model_file.load(_read)
    except model_file.ModelFileError as error:
        check_message(error, str(_read))
        return
    model_file.save(model, _written)
    again = model_file.load(_written)
    assert again.graph.name == model.graph.name
    assert all(np.array_equal(again.tensors[name], tensor) for name, tensor in model.tensors.items())
    if model.preprocessing.size > _MOST_MACS_SIZE:
        return
    with np.errstate(all="ignore"):
        logits = Engine(model).run(model_file.test_input(model.preprocessing)[None])[0]
    try:
        model_file.check_finite(str(_read), logits)
    except model_file.ModelFileError as error:
        check_message(error, str(_read))


def mutate(data: bytes, random: Random) -> bytes | None:
    """Changes the metadata, the header or the tensors, and lets the lengths fit."""
    end = 8 + int.from_bytes(data[:8], "little")
    try:
        header: dict[str, Any] = json.loads(data[8:end])
        metadata = dict(header["__metadata__"])
        described = json.loads(metadata["shufflenet"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    tensors = data[end:]
    metadata.pop("sha256", None)  # or all that is changed were refused as damaged
    choice = random.randrange(4)
    if choice < 2:
        described = damaged_json(described, random)
    elif choice == 2:
        header = damaged_json(header, random)
    else:
        tensors = damaged_bytes(tensors, random)
    metadata["shufflenet"] = json.dumps(described)
    if isinstance(header, dict):
        header["__metadata__"] = metadata
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + tensors


if __name__ == "__main__":
    fuzz(run, mutate)
