"""What `shufflenet serve` is told; it goes to each of its processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shufflenet.models import DEFAULT_MODEL
from shufflenet.pictures.images import MAX_PIXELS


@dataclass(frozen=True)
class Settings:
    """How a model is served.

    Args:
        name: the model's, in the addresses that have one.
        threads: of each process, that each classify a picture of their own.
        waiting: requests of a process that may wait for a thread; when so many do, others are refused.
        max_bytes: of a request's body.
        max_pixels: of a picture, refused before it is decoded.
        token: what requests must bring as ``Authorization: Bearer TOKEN``; empty: nothing.
        page: a folder of static files for ``/``, such as `export --to web` writes.
    """

    model: str = DEFAULT_MODEL
    name: str = DEFAULT_MODEL
    host: str = "127.0.0.1"
    port: int = 8000
    processes: int = 1
    threads: int = 1
    waiting: int = 64
    max_bytes: int = 20_000_000
    max_pixels: int = MAX_PIXELS
    top_k: int = 5
    token: str = ""
    page: Path | None = None
