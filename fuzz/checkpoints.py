"""Checkpoints of PyTorch: each is refused by a line, or gives arrays; no instruction of a pickle runs anything."""

from __future__ import annotations

import codecs
import io
import pickletools
import zipfile
from contextlib import suppress
from itertools import pairwise
from random import Random

import numpy as np

from damage import damaged_bytes, damaged_zip, zipped
from shufflenet.importers import checkpoint
from target import Watch, check_message, fuzz, scratch_folder

_FORBIDDEN = ("builtins.input", "open", "os.", "subprocess.", "socket.", "shutil.", "exec", "compile", "import")
for _name in ("raw_unicode_escape", "unicode_escape"):  # of texts in pickles; Python loads a codec at its first use
    codecs.lookup(_name)
_folder = scratch_folder()
_file = _folder / "net.pth"


_watch = Watch(lambda event, arguments: event.startswith(_FORBIDDEN))


def run(data: bytes) -> None:
    """Reads ``data`` as a checkpoint.

    Raises:
        AssertionError: what `checkpoint.state_dict` promises is not so, or something was run.
    """
    _file.write_bytes(data)
    try:
        unpacked = checkpoint.read_bytes(_file)
        with _watch:
            arrays = checkpoint.state_dict(unpacked, str(_file))
    except checkpoint.CheckpointError as error:
        check_message(error, str(_file))
        return
    for name, array in arrays.items():
        assert isinstance(name, str)
        assert isinstance(array, np.ndarray)
        assert array.size <= len(unpacked)
        array.tobytes()  # reads every element


def mutate(data: bytes, random: Random) -> bytes | None:
    """Changes instructions of the pickle, or members of the archive around it, whose checksums stay right."""
    if not data.startswith(b"PK"):
        return _damaged_pickle(data, random)
    if random.random() < 0.4:
        return damaged_zip(data, random)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(member.filename, archive.read(member)) for member in archive.infolist()]
    except Exception:  # any kind, of a damaged one
        return None
    return zipped([(n, _damaged_pickle(held, random) if n.endswith(".pkl") else held) for n, held in members])


def _damaged_pickle(data: bytes, random: Random) -> bytes:
    """Some instructions changed, taken out, doubled or exchanged, as far as ``data`` has instructions."""
    places = [0]
    with suppress(Exception):  # of any kind, where the instructions end
        places += [place for _, _, place in pickletools.genops(data) if place]
    cuts = [*places, len(data)]
    pieces = [data[begin:end] for begin, end in pairwise(cuts)]
    for _ in range(random.randint(1, 3)):
        place, other = random.randrange(len(pieces)), random.randrange(len(pieces))
        choice = random.randrange(5)
        if choice == 0:
            pieces[place] = b""
        elif choice == 1:
            pieces.insert(place, pieces[other])
        elif choice == 2:
            pieces[place], pieces[other] = pieces[other], pieces[place]
        elif choice == 3:
            pieces[place] = damaged_bytes(pieces[place], random)
        else:
            pieces.insert(place, random.choice(_INSTRUCTIONS))
    return b"".join(pieces)


_INSTRUCTIONS = (
    *(bytes([number]) for number in b"(.012NRQ)]}lrdtabcesuh\x81\x85\x86\x87\x88\x89\x93\x94\x92\x91\x90\x8f"),
    *(b"cos\nsystem\n", b"cbuiltins\neval\n", b"ctorch\nFloatStorage\n", b"ctorch._utils\n_rebuild_tensor_v2\n"),
    *(
        b"J\xff\xff\xff\x7f",
        b"J\xff\xff\xff\xff",
        b"K\x00",
        b"M\xff\xff",
        b"\x8a\x09" + b"\xff" * 8 + b"\0",
        b"h\x00",
        b"q\x00",
    ),
    *(
        b"ccollections\nOrderedDict\n",
        b"X\x01\0\0\0a",
        b"I99999999999999999999\n",
        b"F1e309\n",
        b"\x8a\xff" + b"\x7f" * 255,
    ),
)


if __name__ == "__main__":
    fuzz(run, mutate)
