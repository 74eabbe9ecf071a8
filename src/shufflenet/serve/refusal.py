"""Why a request gets no labels, as a status and a sentence."""

from __future__ import annotations

from shufflenet.pictures.images import ImageError, TooLargeError, UnknownFormatError


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of the program
    """A request is answered with ``status``, one of 4xx or 503, and ``reason``."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


def refusal_of(error: ImageError) -> Refusal:
    """413 for what is over a limit, 415 for what is no picture, 422 for a damaged one."""
    status = 413 if isinstance(error, TooLargeError) else 415 if isinstance(error, UnknownFormatError) else 422
    return Refusal(status, str(error).removeprefix("<bytes>: "))
