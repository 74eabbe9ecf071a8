"""Damage that leaves a file's outer form whole, so that what lies behind the first check is reached: JSON, .zip, bytes.

`random.Random` in all functions is the only source of chance.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from random import Random
from typing import Any

_NUMBERS = (0, 1, -1, 2, 3, 16, 255, 256, 65536, 2**31 - 1, 2**31, 2**32, 2**63, 10**30, 0.5, -0.0, 1e-320, 1e308)
_VALUES: tuple[Any, ...] = (*_NUMBERS, None, True, False, "", "a", "ä\n\x1b", "x" * 300, [], {}, [[]], {"": None})
_NAMES = (
    "",
    "/",
    "..",
    "../a",
    "a/b/c/d/e.png",
    ".a",
    "a\\b",
    "CON",
    "a\x00b",
    "é",
    "a" * 300,
    "__MACOSX/a.png",
    "classes.tsv",
)
_MOST_MEMBERS = 200


def damaged_json(value: Any, random: Random) -> Any:
    """A copy of ``value`` in which one or two entries, at any depth, are others, gone or there twice."""
    for _ in range(random.randint(1, 2)):
        value = _changed(value, random)
    return value


def _changed(value: Any, random: Random) -> Any:
    if isinstance(value, dict) and value and random.random() < 0.95:
        key = random.choice(list(value))
        if random.random() < 0.8:
            return {**value, key: _changed(value[key], random)}
        rest = {k: v for k, v in value.items() if k != key}
        return random.choice(({**rest, str(random.choice(_VALUES)): value[key]}, rest, {**value, "more": 1}))
    if isinstance(value, list) and value and random.random() < 0.9:
        place = random.randrange(len(value))
        if random.random() < 0.8:
            return [*value[:place], _changed(value[place], random), *value[place + 1 :]]
        return random.choice((value[:place] + value[place + 1 :], [*value, value[place]], value[::-1]))
    if isinstance(value, int | float) and random.random() < 0.6:
        return random.choice((value + 1, value - 1, -value, value * 2, value / 2, *_NUMBERS))
    if isinstance(value, str) and value and random.random() < 0.5:
        place = random.randrange(len(value))
        return random.choice((value[:place], value + value, value[:place] + "." + value[place:], value.upper()))
    return random.choice(_VALUES)


def damaged_bytes(data: bytes, random: Random) -> bytes:
    """Some bytes changed, taken out, put in or moved."""
    result = bytearray(data)
    for _ in range(random.randint(1, 3)):
        place, length = random.randrange(len(result) + 1), random.choice((1, 1, 2, 4, 8, 50))
        choice = random.randrange(4)
        if choice == 0:
            result[place : place + length] = random.randbytes(min(length, len(result) - place))
        elif choice == 1:
            del result[place : place + length]
        elif choice == 2:
            result[place:place] = random.choice((b"\0", b"\xff", b"\x7f")) * length
        else:
            result[place : place + length] = random.choice(_NUMBERS[:12]).to_bytes(16, "little", signed=True)[:length]
    return bytes(result)


def damaged_zip(data: bytes, random: Random) -> bytes | None:
    """A .zip with other members, whose checksums are right; None: ``data`` is none that can be read.

    Which of its members become others is left to chance, and so is how they are packed.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(member.filename, archive.read(member)) for member in archive.infolist()[:_MOST_MEMBERS]]
    except Exception:  # any kind, of a damaged one
        return None
    if not members:
        return None
    place = random.randrange(len(members))
    name, content = members[place]
    choice = random.randrange(6)
    if choice == 0:
        members[place] = (random.choice(_NAMES), content)
    elif choice == 1:
        del members[place]
    elif choice == 2:
        members.append((random.choice((name, name + "/", name + random.choice(_NAMES))), content))
    elif choice == 3:
        members = [(prefix + other, held) for prefix in (random.choice(_NAMES),) for other, held in members]
    else:
        members[place] = (name, damaged_bytes(content, random))
    return zipped(
        members, random.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    )


def zipped(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """A .zip of names and contents; a name may be there twice."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            member = zipfile.ZipInfo(name)
            member.filename = name  # also one that no file could have
            member.compress_type = method
            if name not in archive.NameToInfo:  # or it warns
                archive.writestr(member, content)
    return file.getvalue()


def with_png_checksums(data: bytes) -> bytes:
    """A PNG's chunks with their right checksums, as far as they can be told."""
    result, place = bytearray(data), 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        end = place + 8 + length
        if end + 4 > len(data):
            break
        result[end : end + 4] = zlib.crc32(data[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return bytes(result)
