"""The folders of training and validation pictures in a dataset, by the names that people and programs give them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

TRAIN_NAMES = ("train", "training")
VAL_NAMES = ("val", "valid", "validation", "test", "testing")  # the first that is there is validated on


@dataclass(frozen=True)
class SplitFolders:
    """Names of folders as they are written; None: there is no such folder."""

    train: str | None
    val: str | None


def split_folders(with_classes: Collection[str]) -> SplitFolders:
    """The folders for training and for validation among those that hold class folders, in upper or lower case.

    Raises:
        ValueError: two folders claim to be the one for training, or the one for validation.
    """
    return SplitFolders(_only(with_classes, TRAIN_NAMES, "training"), _first(with_classes))


def names_a_split(folder: str) -> bool:
    """Whether a folder of this name is for training or validation, rather than a class."""
    return folder.casefold() in TRAIN_NAMES + VAL_NAMES


def _first(folders: Collection[str]) -> str | None:
    found = (_only(folders, (name,), "validation") for name in VAL_NAMES)
    return next((folder for folder in found if folder is not None), None)


def _only(folders: Collection[str], names: tuple[str, ...], purpose: str) -> str | None:
    found = sorted(folder for folder in folders if folder.casefold() in names)
    if len(found) > 1:
        raise ValueError(f"{found[0]}/ and {found[1]}/ are both named for {purpose}; keep one, or rename it")
    return found[0] if found else None
