"""A member of a .zip, which takes no more memory than it says."""

from __future__ import annotations

import zipfile


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """What is stored as ``name``.

    Raises:
        NotImplementedError: packed by bzip2 or LZMA, of which Python unpacks all before it looks at the size.
        Whatever else ``archive.read`` raises.
    """
    if archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotImplementedError("neither stored nor deflated")
    return archive.read(name)
