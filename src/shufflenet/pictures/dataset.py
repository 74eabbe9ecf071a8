"""A dataset as a list of pictures: a folder per class below train/ and val/, or one folder, or a .zip of either.

`split_folders` has the other names of train/ and val/. Shards are read too: train-*.tar and val-*.tar as WebDataset
writes them, where the picture NAME.jpg has its class in NAME.cls: a name, or a number, which counts the lines of a
classes.tsv beside the shards if there is one.

Only names are read here; every list comes in the order of the names, so that it is the same on every machine.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shufflenet.files import Archive, printable, walk, why_unreadable
from shufflenet.labels import checked_names
from shufflenet.pictures import images
from shufflenet.pictures.split_folders import TRAIN_NAMES, SplitFolders, names_a_split, split_folders

_DEEPEST = 2  # parts of a class folder's name, such as train/cat
DEFAULT_VAL_FRACTION = 0.2  # of a folder without val/
_SHOWN = 12  # classes in `Dataset.describe`


class DataError(ValueError):
    """A data folder can't be used. The message, one line, names the folder or picture and says why."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))  # names within an archive may be anything


@dataclass(frozen=True)
class Picture:
    """One picture of a folder or of a .zip, not read yet."""

    name: str  # its path, for messages; within a .zip it goes on from the archive's path
    bytes_stored: int
    archive: Archive | Path | None = None  # a Path: of a shard
    member: str = ""
    offset: int = 0  # in the shard

    def source(self) -> str | bytes:
        """What `images.decode` reads: the path, or the bytes out of the archive.

        Raises:
            images.ImageError: the archive is damaged at this picture, or locked.
        """
        if self.archive is None:
            return self.name
        if self.bytes_stored > images.MAX_PIXELS * 4:
            raise images.ImageError(f"{printable(self.name)}: {self.bytes_stored:,} bytes, too large")
        if isinstance(self.archive, Path):
            try:
                with self.archive.open("rb") as file:
                    file.seek(self.offset)
                    return file.read(self.bytes_stored)
            except OSError as error:
                raise images.ImageError(f"{printable(self.name)}: {why_unreadable(error)}") from None
        return _read_member(self.archive, self.member, self.name)

    def beginning(self) -> bytes:
        """The first bytes, which tell the format whatever the name says; raises as `source`."""
        if isinstance(self.archive, Archive):
            return _read_member(self.archive, self.member, self.name, 8)
        try:
            with open(self.archive or self.name, "rb") as file:
                file.seek(self.offset)
                return file.read(min(8, self.bytes_stored))
        except OSError as error:
            raise images.ImageError(f"{printable(self.name)}: {why_unreadable(error)}") from None

    def decode(self, resize: int | None = None) -> Image.Image:
        """The picture as upright RGB; ``resize`` as for `images.decode`.

        Raises:
            images.ImageError: it can't be read; the message names it.
        """
        if self.archive is None:
            return images.decode(self.name, resize=resize)
        with images.file_bytes_held(self.bytes_stored):
            source = self.source()
            try:
                return images.decode(source, resize=resize)
            except images.ImageError as error:
                reason = str(error).partition(": ")[2]
        raise images.ImageError(f"{printable(self.name)}: {reason}")


@dataclass(frozen=True)
class Split:
    """Pictures and their classes.

    Args:
        held_out: they are in a folder for validation.
        split_off: they are the part of a folder without val/ that training split off.
    """

    pictures: list[Picture]
    targets: NDArray[np.int64]  # [len(pictures)] class indices
    held_out: bool = False
    split_off: bool = False

    def __len__(self) -> int:
        return len(self.pictures)

    def fingerprint(self) -> str:
        """Changes when a picture comes, goes, or gets another length; 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for picture, target in zip(self.pictures, self.targets.tolist(), strict=True):
            line = f"{os.path.basename(picture.name)}\0{picture.bytes_stored}\0{target}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]

    def without(self, broken: Iterable[int]) -> Split:
        """The split less the pictures at these places."""
        keep = np.ones(len(self), dtype=bool)
        keep[list(broken)] = False
        return Split([picture for picture, kept in zip(self.pictures, keep, strict=True) if kept], self.targets[keep])


@dataclass(frozen=True)
class Dataset:
    """Training and validation pictures; the class folders sorted by name are the class indices.

    Args:
        classes: names of the class folders.
        labels: the classes' texts, from classes.tsv beside the folders; without it the names.
        folders: where ``train`` and ``val`` come from; without a folder for validation, ``val_fraction`` of each class.
        notes: a sentence about each thing below ``root`` that is left out or may be misread.
    """

    root: Path
    classes: list[str]
    labels: list[str]
    train: Split
    val: Split
    folders: SplitFolders
    val_fraction: float | None = None
    notes: tuple[str, ...] = ()

    def describe(self) -> str:
        """What was taken for training pictures, validation pictures and classes, a line each; and the notes."""
        train, val = (self.root / (name or ".") for name in (self.folders.train, self.folders.val))
        where = str(val) if self.val_fraction is None else f"{self.val_fraction:.0%} of each class in {train}"
        shown = ", ".join(self.classes[:_SHOWN]) + (", ..." if len(self.classes) > _SHOWN else "")
        lines = [
            f"train     {len(self.train):,} pictures: {train}",
            f"val       {len(self.val):,} pictures: {where}",
            f"classes   {len(self.classes)}: {shown}",
            *(f"note      {note}" for note in self.notes),
        ]
        return "\n".join(map(printable, lines))


def open_dataset(root: Path, val_fraction: float | None = None) -> Dataset:
    """Lists the pictures of ``root``: with train/ and val/ in it, or class folders of which a part becomes val.

    The folders may have any name of `split_folders`. Without one for validation, ``val_fraction`` of each class's
    pictures, the same ones every time, are for validation; default 0.2.

    Raises:
        DataError: classes are missing, empty or differ between train and val, or no model file could hold their names.
    """
    tree = _Tree(root)
    folders = _split_folders(tree)
    top = () if folders.train is None else (folders.train,)
    if folders.train is not None and folders.val is not None:
        if val_fraction is not None:
            raise DataError(
                f"{root}: has {folders.val}/ already, so there is nothing to split: leave --val-fraction out"
            )
        classes = _class_names(tree, *top)
        if unknown := sorted(tree.subfolders(folders.val) - set(classes)):
            raise DataError(f"{root}: class folder {unknown[0]!r} is in {folders.val}/, but not in {folders.train}/")
        if missing := sorted(set(classes) - tree.subfolders(folders.val)):
            raise DataError(f"{root}: class folder {missing[0]!r} is in {folders.train}/, but not in {folders.val}/")
        train, val = _split(tree, top, classes), _split(tree, (folders.val,), classes)
    elif folders.val is not None:
        raise DataError(f"{tree.path()}: has {folders.val}/, but no train/")
    else:
        classes = _class_names(tree, *top)
        val_fraction = DEFAULT_VAL_FRACTION if val_fraction is None else val_fraction
        train, val = _take_apart(root, _split(tree, top, classes), classes, val_fraction)
    labels = _read_labels(tree, classes)
    try:  # now, not when hours later the model is written
        checked_names("class", classes, len(classes))
        checked_names("label", labels, len(classes))
    except ValueError as error:
        raise DataError(f"{root}: {error}") from None
    return Dataset(root, classes, labels, train, val, folders, val_fraction, tuple(_notes(tree, folders, classes)))


def _split_folders(tree: _Tree) -> SplitFolders:
    """The folders at the top of ``tree`` for training and validation, which have their names and hold folders.

    Raises:
        DataError: two of them have the same purpose, or they hold pictures, but no class folders.
    """
    tops = tree.subfolders()
    with_classes = {parts[0] for parts in tree.folders if len(parts) > 1}
    if not with_classes and tops and all(map(names_a_split, tops)):
        raise DataError(f"{tree.path(min(tops))}: holds no class folders: a folder for the pictures of each class")
    try:
        return split_folders(with_classes)
    except ValueError as error:
        raise DataError(f"{tree.path()}: {error}") from None


def _notes(tree: _Tree, folders: SplitFolders, classes: list[str]) -> Iterator[str]:
    """Yields what of ``tree`` is left out, and the classes that hold nothing but folders."""
    used = {name for name in (folders.train, folders.val) if name is not None}
    if folders.train is not None:
        for name in sorted(tree.subfolders() - used):
            count = sum(parts[0] == name for parts in tree.pictures)
            why = "" if tree.subfolders(name) or not names_a_split(name) else ", since it holds no class folders"
            yield f"{tree.path(name)} is left out{why}: {count:,} pictures"
        if loose := sum(len(parts) == 1 for parts in tree.pictures):
            yield f"pictures outside {' and '.join(f'{name}/' for name in sorted(used))} are left out: {loose:,}"
    top = () if folders.train is None else (folders.train,)
    inner: dict[str, set[str]] = {name: set() for name in classes}  # the folders of a class; "": pictures of its own
    for parts in tree.pictures:
        if parts[: len(top)] == top and len(parts) > len(top) + 1:
            inner[parts[len(top)]].add(parts[len(top) + 1] if len(parts) > len(top) + 2 else "")
    nested = [name for name, within in inner.items() if within and "" not in within]
    if nested:
        listed = sorted(inner[nested[0]])
        within = ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "")
        others = f", and so are {len(nested) - 1} others" if len(nested) > 1 else ""
        yield f"{tree.path(*top, nested[0])} is one class, though it holds nothing but folders ({within}){others}"


def open_split(root: Path, classes: list[str], train_too: bool = False) -> Split:
    """The pictures of ``root``/val, or of ``root`` itself if it holds class folders; for a model of ``classes``.

    Args:
        train_too: those of ``root``/train where there is no val/; otherwise that is an error.

    Raises:
        DataError: there are none, or a class folder has a name that is not in ``classes``.
    """
    tree = _Tree(root)
    found = _split_folders(tree) if not tree.subfolders() <= set(classes) else SplitFolders(None, None)
    if found.val is None and found.train is not None and not train_too:
        raise DataError(f"{root}: has {found.train}/, but no val/ to evaluate on; --all evaluates on {found.train}/")
    top = tuple(name for name in (found.val or found.train,) if name is not None)
    folders = tree.subfolders(*top)
    if unknown := sorted(folders - set(classes)):
        known = ", ".join(classes[:3]) + (", ..." if len(classes) > 3 else "")
        raise DataError(
            f"{tree.path(*top, unknown[0])}: the model knows no class of this folder's name; it knows {known}"
        )
    split = _split(tree, top, [name for name in classes if name in folders], empty_allowed=True)
    if not len(split):
        raise DataError(f"{tree.path(*top)}: no pictures in class folders")
    index = np.array([classes.index(name) for name in classes if name in folders])
    return Split(split.pictures, index[split.targets], held_out=found.val is not None)


def pictures_below(root: Path) -> list[Picture]:
    """All of a folder, a .zip or shards, whether or not they are in class folders.

    Raises:
        DataError: it can't be read.
    """
    return list(_Tree(root).pictures.values())


def training_pictures(root: Path) -> tuple[list[Picture], list[str]]:
    """The pictures below ``root``/train, or ``root`` if it has no train/, and the names of the folders they are in.

    They need not be in class folders; those that are alone at the top are in none.

    Raises:
        DataError: it can't be read, or there are none.
    """
    tree = _Tree(root)
    train = next((name for name in sorted(tree.subfolders()) if name.casefold() in TRAIN_NAMES), None)
    top = () if train is None else (train,)
    chosen = {name: picture for name, picture in sorted(tree.pictures.items()) if name[: len(top)] == top}
    if not chosen:
        raise DataError(f"{tree.path(*top)}: no pictures")
    return list(chosen.values()), sorted({name[len(top)] for name in chosen if len(name) > len(top) + 1})


@dataclass
class _Tree:
    """Folders and picture files below ``root``, which may be a .zip; names are tuples of their parts.

    A folder that is alone at the top of a .zip is left out of the names: zipping a folder makes one.
    """

    root: Path
    folders: set[tuple[str, ...]] = field(default_factory=set)
    pictures: dict[tuple[str, ...], Picture] = field(default_factory=dict)
    texts: dict[tuple[str, ...], str] = field(default_factory=dict)  # classes.tsv
    prefix: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.root.is_dir():
            shards = sorted(path for path in self.root.glob("*.tar") if path.name.startswith(("train-", "val-")))
            if shards:
                self._read_shards(shards)
            else:
                self._read_folder()
        elif self.root.suffix.lower() == ".zip" and self.root.is_file():
            try:
                self._read_zip()
            except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
                raise DataError(f"{self.root}: not a .zip that can be read ({error})") from None
            except images.ImageError as error:
                raise DataError(str(error)) from None
            except ValueError:
                raise DataError(f"{self.root}: not a .zip that can be read") from None
        else:
            raise DataError(f"{self.root}: neither a folder nor a .zip file")

    def subfolders(self, *top: str) -> set[str]:
        return {parts[-1] for parts in self.folders if parts[:-1] == top}

    def path(self, *parts: str) -> str:
        return os.path.join(self.root, *self.prefix, *parts)

    def _read_folder(self) -> None:
        for parent, folders, files in walk(self.root, _refuse):
            folders[:] = [name for name in folders if not name.startswith(".")]
            relative = os.path.relpath(parent, self.root)
            parts = () if relative == "." else tuple(relative.split(os.sep))
            self.folders.update((*parts, name) for name in folders)
            for name in files:
                path = os.path.join(parent, name)
                if _is_picture(name):
                    size = os.stat(path).st_size if os.path.exists(path) else 0  # a dead link is reported when read
                    self.pictures[(*parts, name)] = Picture(path, size)
                elif name == "classes.tsv":
                    self.texts[(*parts, name)] = Path(path).read_text(encoding="utf-8", errors="replace")

    def _read_shards(self, shards: list[Path]) -> None:
        """Reads the headers of each .tar and the classes; the pictures stay where they are."""
        table = self.root / "classes.tsv"
        if table.exists():
            self.texts[("classes.tsv",)] = table.read_text(encoding="utf-8", errors="replace")
        listed = [line.split("\t")[0] for line in self.texts.get(("classes.tsv",), "").splitlines() if line.strip()]
        samples: list[tuple[str, str, Picture]] = []
        for shard in shards:
            try:
                samples += _samples(shard)
            except DataError:
                raise
            except Exception as error:  # headers are texts, of which `tarfile` makes numbers
                raise DataError(f"{shard}: not a .tar that can be read ({str(error)[:200]})") from None
        digits = max((len(name) for _, name, _ in samples if name.isascii() and name.isdigit()), default=0)
        for split, name, picture in samples:
            if name.isascii() and name.isdigit():
                number = int(name)
                if listed and number >= len(listed):
                    raise DataError(f"{picture.name}: class {number}, but {table} has {len(listed)} lines")
                name = listed[number] if listed else f"{number:0{digits}}"
            self.folders.update(((split,), (split, name)))
            self.pictures[(split, name, os.path.relpath(picture.name, self.root))] = picture

    def _read_zip(self) -> None:
        archive = Archive(self.root)
        members = {}
        for info in archive.zip.infolist():
            parts = tuple(part for part in info.filename.split("/") if part)
            if parts and not any(part.startswith(".") or part == "__MACOSX" for part in parts):
                members[parts] = info
        tops = {parts[0] for parts in members}
        if len(tops) == 1 and not any(map(names_a_split, tops)):
            self.prefix = (*tops,)
            members = {parts[1:]: info for parts, info in members.items() if len(parts) > 1}
        for parts, info in members.items():
            name = self.path(*parts)
            depth = min(len(parts) + info.is_dir(), _DEEPEST + 1)
            self.folders.update(parts[:end] for end in range(1, depth))
            if not info.is_dir() and _is_picture(parts[-1]):
                self.pictures[parts] = Picture(name, info.file_size, archive, info.filename)
            elif parts[-1] == "classes.tsv" and info.file_size < 10_000_000:
                self.texts[parts] = _read_member(archive, info.filename, name).decode("utf-8", "replace")


def _read_member(archive: Archive, member: str, name: str, count: int | None = None) -> bytes:
    try:
        return archive.read(member, count)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        reason = f"damaged .zip ({error})"
    except OSError as error:
        reason = "damaged .zip" if error.errno == errno.EINVAL else why_unreadable(error)  # begins before the file
    except Exception:  # zlib has errors of its own
        reason = "damaged .zip"
    raise images.ImageError(f"{printable(name)}: {reason}")


def _samples(shard: Path) -> list[tuple[str, str, Picture]]:
    """Split, class and picture of each sample: files of one name before the first dot of the last part."""
    split = "train" if shard.name.startswith("train-") else "val"
    pictures: dict[str, Picture] = {}
    classes: dict[str, str] = {}
    with tarfile.open(shard, "r:") as tar:  # not compressed: its pictures are read in place
        for member in tar:
            if not member.isfile():
                continue
            folder, _, base = member.name.rpartition("/")
            key = f"{folder}/{base.partition('.')[0]}"
            if base.endswith(".cls") and (file := tar.extractfile(member)):
                classes[key] = file.read(1000).decode("utf-8", "replace").strip()
            elif _is_picture(base):
                name = os.path.join(shard, member.name.lstrip("/"))
                pictures[key] = Picture(name, member.size, shard, member.name, member.offset_data)
    if missing := sorted(pictures.keys() - classes.keys()):
        raise DataError(f"{pictures[missing[0]].name}: a picture without a class (no {missing[0].strip('/')}.cls)")
    return [(split, classes[key], picture) for key, picture in pictures.items()]


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: {error.strerror}")


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in images.SUFFIXES


def _class_names(tree: _Tree, *top: str) -> list[str]:
    names = sorted(tree.subfolders(*top))
    if len(names) == 1 and len(tree.subfolders(*top, *names)) > 1:
        raise DataError(f"{tree.path(*top)}: holds one folder, {names[0]}; if the classes are in it, give its path")
    if len(names) < 2:
        raise DataError(f"{tree.path(*top)}: at least two class folders are needed, found {len(names)}")
    return names


def _split(tree: _Tree, top: tuple[str, ...], classes: list[str], empty_allowed: bool = False) -> Split:
    depth = len(top)
    index = {name: i for i, name in enumerate(classes)}
    found: list[tuple[int, tuple[str, ...]]] = []
    for parts in tree.pictures:
        if parts[:depth] == top:
            if len(parts) == depth + 1:
                raise DataError(f"{tree.path(*parts)}: a picture outside the class folders; move or remove it")
            found.append((index[parts[depth]], parts))
    found.sort()
    counts = Counter(target for target, _ in found)
    empty = [name for i, name in enumerate(classes) if not counts[i]]
    if empty and not empty_allowed:
        raise DataError(f"{tree.path(*top, empty[0])}: a class folder with no pictures in it")
    return Split([tree.pictures[parts] for _, parts in found], np.array([t for t, _ in found], dtype=np.int64))


def _take_apart(root: Path, whole: Split, classes: list[str], fraction: float) -> tuple[Split, Split]:
    """Which pictures are for validation hangs on their names alone: new ones move few others, none of another class."""
    if not 0 < fraction < 1:
        raise DataError(f"--val-fraction must be between 0 and 1, not {fraction}")
    val = np.zeros(len(whole), dtype=bool)
    for target, name in enumerate(classes):
        members = np.flatnonzero(whole.targets == target)
        if len(members) < 2:
            raise DataError(f"{root}: class {name!r} has one picture, too few to split into train and val")
        keys = [hashlib.sha256(os.path.basename(whole.pictures[i].name).encode("utf-8", "surrogateescape")).digest()
                for i in members]  # fmt: skip
        order = sorted(range(len(members)), key=lambda i: keys[i])
        val[members[order[: min(max(1, round(fraction * len(members))), len(members) - 1)]]] = True
    return whole.without(np.flatnonzero(val).tolist()), whole.without(np.flatnonzero(~val).tolist())


def _read_labels(tree: _Tree, classes: list[str]) -> list[str]:
    text = tree.texts.get(("classes.tsv",))
    if text is None:
        return classes
    rows = [line.split("\t") for line in text.splitlines() if line.strip()]
    labels = {row[0]: row[-1].strip() for row in rows}
    path = tree.path("classes.tsv")
    if missing := [name for name in classes if name not in labels]:
        raise DataError(f"{path}: no line for class folder {missing[0]!r}")
    doubled = [label for label, count in Counter(labels[name] for name in classes).items() if count > 1]
    # Tiny ImageNet's words are not unique ("crane" the bird and the machine); folder names are.
    return [f"{labels[name]} ({name})" if labels[name] in doubled else labels[name] for name in classes]
