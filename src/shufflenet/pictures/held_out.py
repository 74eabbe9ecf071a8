"""The pictures that measure a model: none that it was trained on, as far as its model file tells."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from shufflenet.pictures.dataset import DataError, Dataset, Split, open_dataset, open_split

_SAMPLE = 64  # training pictures in a record
_KNOWN = 8  # so many of them make a folder one that was trained on; names and lengths meet by chance too


def record(dataset: Dataset) -> dict[str, Any]:
    """What `pictures_to_measure` needs to know of the training data, for JSON.

    It has the share of the pictures that was split off for validation (None: a folder of its own), a fingerprint of
    each split, and 64 training pictures, those with the lowest hash of class, file name and length.
    """
    return {
        "val_fraction": dataset.val_fraction,
        "train": dataset.train.fingerprint(),
        "val": dataset.val.fingerprint(),
        "sample": sorted(_hashes(dataset.train, dataset.classes))[:_SAMPLE],
    }


def pictures_to_measure(root: Path, classes: list[str], training: Mapping[str, Any], every: bool = False) -> Split:
    """The validation pictures of ``root``; without a folder for them, those that training split off, or all of them.

    Args:
        classes: of the model.
        training: the model file's record of the training; ``split`` in it is what `record` returned.
        every: all pictures of a folder without val/, whether or not the model was trained on them.

    Raises:
        DataError: the model was trained on pictures of ``root``, and there are no others; or as `open_split`.
    """
    known = _known(training)
    dataset = None if every else taken_apart(root, classes, training)
    if dataset is not None:
        return Split(dataset.val.pictures, dataset.val.targets, split_off=True)
    split = open_split(root, classes, every)
    if every or split.held_out:
        return split
    sample = known.get("sample")
    found = len(_hashes(split, classes) & {str(line) for line in sample}) if isinstance(sample, list) else 0
    of_this_name = not known and str(training.get("data", "")).startswith(f"{root.name}: ")
    if of_this_name or (isinstance(sample, list) and 0 < min(_KNOWN, len(sample)) <= found):
        raise DataError(
            f"{root}: the model was trained on these pictures, and there is no val/ beside them; give other pictures, "
            "or measure them all the same with --all"
        )
    return split


def taken_apart(root: Path, classes: list[str], training: Mapping[str, Any]) -> Dataset | None:
    """The data of ``root`` as the training split them; None: they had a folder for validation, or were others.

    The arguments are those of `pictures_to_measure`.
    """
    known = _known(training)
    if isinstance(known.get("val_fraction"), float):
        with suppress(DataError):
            dataset = open_dataset(root, known["val_fraction"])
            fingerprints = dataset.train.fingerprint(), dataset.val.fingerprint()
            if dataset.classes == classes and fingerprints == (known.get("train"), known.get("val")):
                return dataset
    return None


def _known(training: Mapping[str, Any]) -> dict[str, Any]:
    known = training.get("split")
    return known if isinstance(known, dict) else {}


def _hashes(split: Split, classes: list[str]) -> set[str]:
    """Eight hexadecimal digits for the class, file name and length of each picture."""
    lines = (
        f"{classes[target]}\0{os.path.basename(picture.name)}\0{picture.bytes_stored}"
        for picture, target in zip(split.pictures, split.targets.tolist(), strict=True)
    )
    return {hashlib.sha256(line.encode("utf-8", "surrogateescape")).hexdigest()[:8] for line in lines}
