"""Archives as data sets, .zip or shards of .tar: each is refused by a line, or gives classes and pictures."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path
from random import Random

from damage import damaged_bytes, damaged_zip
from shufflenet.pictures import dataset, images
from target import check_message, fuzz, scratch_folder

_MOST_PICTURES = 10

_folder = scratch_folder()
_zip, _shards = _folder / "data.zip", _folder / "shards"


def run(data: bytes) -> None:
    """Opens ``data`` as a data set: as a .zip, or as a shard for training beside the same for validation.

    Raises:
        AssertionError: what `dataset.open_dataset` promises is not so.
    """
    if data.startswith(b"PK"):
        root = _zip
        root.write_bytes(data)
    else:
        root = _shards
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        for name in ("train-0.tar", "val-0.tar"):
            (root / name).write_bytes(data)
    for read in (_whole_dataset, dataset.pictures_below):
        try:
            pictures = read(root)
        except dataset.DataError as error:
            check_message(error, str(root))
            continue
        for picture in pictures[:_MOST_PICTURES]:
            try:
                picture.beginning()
                assert picture.decode(resize=8).mode == "RGB"
            except images.ImageError as error:
                check_message(error, str(root))


def _whole_dataset(root: Path) -> list[dataset.Picture]:
    found = dataset.open_dataset(root)
    assert len(found.classes) == len(found.labels) >= 2
    assert all(line.isprintable() for line in found.describe().splitlines())
    for split in (found.train, found.val):
        assert len(split.targets) == len(split.pictures) > 0
        assert 0 <= split.targets.min() <= split.targets.max() < len(found.classes)
        split.fingerprint()
    return found.train.pictures + found.val.pictures


def mutate(data: bytes, random: Random) -> bytes | None:
    """Changes names and contents of members; the checksums of .zip and .tar stay right."""
    return damaged_zip(data, random) if data.startswith(b"PK") else _damaged_tar(data, random)


def _damaged_tar(data: bytes, random: Random) -> bytes | None:
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            members = [(member, tar.extractfile(member)) for member in tar.getmembers()]
            contents = [(member, file.read() if file else b"") for member, file in members]
    except Exception:  # any kind, of a damaged one
        return None
    if not contents:
        return None
    place = random.randrange(len(contents))
    member, held = contents[place]
    choice = random.randrange(5)
    if choice == 0:
        member.name = random.choice((".png", "0.png", "a/0.png", "x.cls", "..", "é.png", "a" * 300 + ".png"))
    elif choice == 1:
        member.type = random.choice(
            (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE)
        )
    elif choice == 2:
        del contents[place]
    elif choice == 3:
        held = damaged_bytes(held, random)
        member.size = len(held)
        contents[place] = (member, held)
    else:
        member.pax_headers = {
            random.choice(("path", "size", "GNU.sparse.map", "hdrcharset")): random.choice(("9", "-1", "é", ""))
        }
    file = io.BytesIO()
    try:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for member, held in contents:
                tar.addfile(member, io.BytesIO(held))
    except Exception:  # what `tarfile` does not write
        return None
    return file.getvalue()


if __name__ == "__main__":
    fuzz(run, mutate)
