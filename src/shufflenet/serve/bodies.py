"""Bodies of requests: read within limits of bytes and time, and taken apart into pictures."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import reprlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from starlette.requests import ClientDisconnect, Request

from shufflenet.serve.refusal import Refusal

_BODY_S = 30  # a body must be there by then
_ALL_BYTES = 64_000_000  # of bodies in a process's memory, or one body if that is larger
_MOST_PICTURES = 100  # of a request
_JSON_KEYS = ("image", "images", "inputs", "parameters", "top_k")


class Named(NamedTuple):
    """A picture of a request; the name is that of its file, if it has one."""

    name: str
    content: bytes


class Pictures(NamedTuple):
    """What a body asks for: one picture, or several even if they are one."""

    pictures: list[Named]
    several: bool
    top_k: int | None


class Bodies:
    """Reads bodies of at most ``max_bytes``, and counts the bytes that a process holds of all of them."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._all_bytes = max(_ALL_BYTES, max_bytes)
        self._held = 0

    @contextmanager
    def counted(self) -> Iterator[list[int]]:
        """For the time of a request; the list gets the length of each piece of its body."""
        pieces: list[int] = []
        try:
            yield pieces
        finally:
            self._held -= sum(pieces)

    async def read(self, request: Request, pieces: list[int]) -> bytes:
        """The whole body.

        Raises:
            Refusal: 413 if it is too long or says so, 408 if it comes too slowly, 429 if memory is full of others',
                415 if it is compressed, 400 if it ends too early.
        """
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Refusal(415, "the body is compressed; send it as it is")
        too_long = Refusal(413, f"a body of more than {self._max_bytes:,} bytes (--max-bytes)")
        if int(request.headers.get("content-length", 0)) > self._max_bytes:
            raise too_long
        body = []
        try:
            async with asyncio.timeout(_BODY_S):
                async for piece in request.stream():
                    body.append(piece)
                    pieces.append(len(piece))
                    self._held += len(piece)
                    if sum(pieces) > self._max_bytes:
                        raise too_long
                    if self._held > self._all_bytes:
                        raise Refusal(429, "too many bodies at once; try again later")
        except TimeoutError:
            raise Refusal(408, f"the body did not come within {_BODY_S} seconds") from None
        except ClientDisconnect:
            raise Refusal(400, "the body ends too early") from None
        return b"".join(body)


async def pictures_in(request: Request, body: bytes) -> Pictures:
    """Takes a body apart by its Content-Type: a form's files, JSON with base64, and else a picture as it is.

    Raises:
        Refusal: 422 if it is not what its type says, 413 if there are too many pictures.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        found = Pictures(await _in_form(request, body), True, None)
    elif kind == "application/json":
        found = _in_json(body)
    else:
        return Pictures([Named("", body)], False, None)
    if not found.pictures:
        raise Refusal(422, "no picture in the body")
    if len(found.pictures) > _MOST_PICTURES:
        raise Refusal(413, f"{len(found.pictures)} pictures; at most {_MOST_PICTURES} in one request")
    return found


async def _in_form(request: Request, body: bytes) -> list[Named]:
    from starlette.datastructures import UploadFile
    from starlette.formparsers import MultiPartException, MultiPartParser

    if not body.rstrip(b"\r\n").endswith(b"--"):  # its parser would leave the last part out
        raise Refusal(422, "the form ends too early")

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(
        request.headers, pieces(), max_files=_MOST_PICTURES + 1, max_fields=_MOST_PICTURES, max_part_size=len(body)
    )
    parser.spool_max_size = len(body) + 1  # the bytes are in memory already: no file on disk
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise Refusal(422, f"the form can't be read ({getattr(error, 'message', error)})") from None
    try:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        return [Named(_text(file.filename or ""), await file.read()) for file in files]
    finally:
        await form.close()


def _text(name: str) -> str:
    """A file's name as an answer can hold it: without the halves of letters that some of a form's encodings allow."""
    return name.encode(errors="replace").decode()


def _in_json(body: bytes) -> Pictures:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(422, "the body is not JSON") from None
    if not isinstance(document, dict):
        raise Refusal(422, f"the body must be a JSON object with {', '.join(_JSON_KEYS[:3])}")
    parameters = document.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise Refusal(422, "parameters must be a JSON object")
    if unknown := sorted(document.keys() - set(_JSON_KEYS)):
        raise Refusal(422, f"unknown key {reprlib.repr(unknown[0])}; known are {', '.join(_JSON_KEYS)}")
    top_k = parameters.get("top_k", document.get("top_k"))
    several = isinstance(document.get("images"), list)
    encoded = document["images"] if several else [document.get("image", document.get("inputs"))]
    return Pictures([Named("", _decoded(text)) for text in encoded], several, checked_top_k(top_k))


def checked_top_k(value: Any) -> int | None:
    """``value`` as the number of labels; None stays None.

    Raises:
        Refusal: 422, it is no whole number from 1 up.
    """
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if value is not None and (type(value) is not int or value < 1):
        raise Refusal(422, f"top_k must be a whole number from 1 up, not {reprlib.repr(value)}")
    return value


def _decoded(text: Any) -> bytes:
    if not isinstance(text, str):
        raise Refusal(422, "a picture must be a string of base64")
    if text.startswith("data:"):  # as browsers write it
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(422, "a picture is not base64") from None
