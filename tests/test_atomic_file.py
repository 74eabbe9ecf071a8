"""Files written whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shufflenet.atomic_file import atomic_file, temporary_beside


def test_replaces_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with atomic_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("x"), KeyboardInterrupt()])
def test_a_failure_keeps_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail() -> None:
        with atomic_file(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(type(error)) as raised:
        fail()
    assert not isinstance(raised.value, OSError) or raised.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_errors_of_other_files_keep_their_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised, atomic_file(tmp_path / "a"):
        (tmp_path / "other").read_bytes()
    assert raised.value.filename == str(tmp_path / "other")


def test_what_can_not_be_written_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "no" / "a"
    with pytest.raises(FileNotFoundError) as raised, atomic_file(missing):
        pass
    assert raised.value.filename == str(missing)
    with pytest.raises(IsADirectoryError), atomic_file(tmp_path):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on a file's length")
def test_full_disk(tmp_path: Path) -> None:
    """No file may grow beyond 1000 bytes."""
    code = (
        "import resource, sys; from shufflenet.atomic_file import atomic_file\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    with atomic_file(sys.argv[1]) as file: file.write(bytes(100_000))\n"
        "except OSError as error: print(error.filename, error.strerror, sep='|')\n"
    )
    path = tmp_path / "a"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout == f"{path}|File too large\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="no such links and devices")
def test_links_and_devices_stay(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    for name in ("link", "pipe"):
        with atomic_file(tmp_path / name) as file:
            file.write(b"new")
    assert os.read(reader, 10) == b"new"
    os.close(reader)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    assert (tmp_path / "pipe").is_fifo()


def test_long_names(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 127)  # 254 bytes, of the 255 that a name may have
    with atomic_file(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert temporary_beside(path) != temporary_beside(path)
