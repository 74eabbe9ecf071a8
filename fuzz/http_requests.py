"""What clients send to `shufflenet serve`: each request is answered by what it asks for, a redirect or a refusal.

An input is all bytes of one connection. They come in pieces, as networks deliver them, to two servers without sockets:
one as it is by default, and one that wants a token and shows a page. Behind the last byte the client goes away.
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import json
import random
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from uvicorn import Config
from uvicorn.server import ServerState

from damage import damaged_bytes, damaged_json
from seeds import few_operators, random_model
from shufflenet import model_file
from shufflenet.serve import application
from shufflenet.serve.connection import Connection
from shufflenet.serve.settings import Settings
from target import fuzz, scratch_folder

# Those of answers, of a page's files, and of refusals.
_STATUSES = {200, 206, 304, 307, 400, 401, 404, 405, 413, 415, 416, 422, 429}
_MOST_LETTERS = 500  # of a refusal's sentence, which may quote a word of the request
_MOST_BYTES = 20_000
_MOST_PIXELS = 100_000
_MOST_REQUESTS = 4  # of a connection: more take time, and show little
_TURNS = 50  # of the event loop, in which a request that waits for nobody's work is answered
_NAME, _TOKEN = "few", "abc"

_Message = MutableMapping[str, Any]


def _page() -> Path:
    folder = _folder / "page"
    (folder / "folder").mkdir(parents=True)
    for name in ("index.html", "folder/index.html", "numbers.txt"):
        (folder / name).write_text("[1, 2]")
    return folder


_folder = scratch_folder()
_loop = asyncio.new_event_loop()
atexit.register(_loop.close)


@dataclass
class _Transport(asyncio.Transport):
    """A connection that goes nowhere, and notes what it is told."""

    closing: bool = False
    paused: bool = False
    written: bytearray = field(default_factory=bytearray)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data


class _Server:
    """A server of one model, and what it answered to the requests of a connection."""

    def __init__(self, **settings: Any) -> None:
        given = Settings(name=_NAME, max_bytes=_MOST_BYTES, max_pixels=_MOST_PIXELS, **settings)
        self._addresses = application._Addresses(given)
        self._app = self._addresses.application()
        self._answers: list[list[_Message]] = []
        self._config = Config(
            self._answer, http=Connection, ws="none", lifespan="off", interface="asgi3", log_level="critical",
            access_log=False, server_header=False, proxy_headers=False,
        )  # fmt: skip

    async def _answer(
        self,
        scope: _Message,
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        messages: list[_Message] = []
        self._answers.append(messages)

        async def noted(message: _Message) -> None:
            messages.append(message)
            await send(message)

        await self._app(scope, receive, noted)

    async def talk(self, pieces: list[bytes]) -> None:
        """Takes ``pieces`` from one client after the other, until the last one is answered or the client is gone.

        Raises:
            AssertionError: an answer is none that the server may give.
        """
        self._answers.clear()
        transport, state = _Transport(), ServerState()
        connection = Connection(self._config, state, {}, _loop)
        connection.connection_made(transport)
        for piece in pieces:
            while transport.paused and state.tasks:
                await asyncio.sleep(0)
            if transport.closing:
                break
            connection.data_received(piece)
            await asyncio.sleep(0)
        while state.tasks and (connection._whole or connection.pipeline):
            await asyncio.wait(state.tasks, return_when=asyncio.FIRST_COMPLETED)
        for _ in range(_TURNS if state.tasks else 0):
            await asyncio.sleep(0)
        assert not transport.written or transport.written.startswith(b"HTTP/1.1 ")
        answered = len(self._answers) - len(state.tasks)  # before the client left
        connection.connection_lost(None)
        if state.tasks:
            await asyncio.wait(state.tasks)
        for number, messages in enumerate(self._answers):
            _check(messages, number < answered)
        assert self._addresses._crew.begun == 0
        assert self._addresses._bodies._held == 0
        assert self._addresses._metrics.in_progress._value.get() == 0


def _check(messages: list[_Message], whole: bool) -> None:
    """Raises AssertionError if an answer is none that the server may give, or is not ``whole``."""
    assert messages, "no answer"
    start, *bodies = messages
    assert start["type"] == "http.response.start"
    assert start["status"] in _STATUSES, start["status"]
    if not whole:
        return
    assert [body.get("more_body", False) for body in bodies] == [True] * (len(bodies) - 1) + [False], "a cut answer"
    if dict(start["headers"]).get(b"content-type") != b"application/json":
        return
    answer = json.loads(b"".join(body.get("body", b"") for body in bodies), parse_constant=_no_number)
    if start["status"] >= 400:
        assert answer.keys() == {"error"}
    for error in (each["error"] for each in _objects(answer) if "error" in each):
        assert error.isprintable(), f"not one printable line: {error!r}"
        assert 0 < len(error) < _MOST_LETTERS, f"{len(error)} letters"


def _objects(answer: Any) -> list[dict[str, Any]]:
    return [each for each in (answer if isinstance(answer, list) else [answer]) if isinstance(each, dict)]


def _no_number(name: str) -> None:
    raise AssertionError(f"{name} in an answer")


@cache  # not at the import, so that `target.fuzz` can look into all functions first
def _servers() -> list[_Server]:
    model = _folder / "model.safetensors"
    model_file.save(random_model(few_operators()), model)
    return [_Server(model=str(model)), _Server(model=str(model), token=_TOKEN, page=_page())]


def run(data: bytes) -> None:
    """Sends ``data`` to both servers, in the same pieces.

    Raises:
        AssertionError: an answer is none that the server may give.
        Exception: the application's own.
    """
    chance = random.Random(zlib.crc32(data))
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.choice((0, 1, 2, 20))))
    pieces = [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if begin < end]
    for server in _servers():
        _loop.run_until_complete(server.talk(pieces))


_METHODS = b"GET POST PUT HEAD OPTIONS DELETE CONNECT PATCH PROPFIND X".split()
_PATHS = (
    *b"/ /predict /predictions/few /predictions/other /predictions/ /predictions/few/1 /health /ready /ping".split(),
    *b"/v2 /v2/ /v2/health/live /v2/health/ready /v2/models/few /v2/models/few/ready /v2/models/%00 /metrics".split(),
    *b"/openapi.json /folder /folder/ /numbers.txt /index.html // //host/a /../x /a%00b /%ff /predict/ *".split(),
    *b"/%2e%2e/%2e%2e/etc/passwd http://host/predict /predict%0d%0a /folder%5c.. /%f0%9f%90%88".split(),
    b"/" + b"a" * 300,
)
_QUERIES = (
    *b"?top_k=1 ?top_k=3 ?top_k=0 ?top_k=-1 ?top_k= ?top_k=1&top_k=2 ?top_k=1.5 ?top_k=%31 ?top_k=\xb2".split(),
    *b"?top_k=%EF%BC%91 ?top_k=999999999 ?%00=%ff&&=; ?top_k=%0a%1b[2J ?other=1 #part".split(),
    *(b"", b"?top_k=" + b"9" * 5000, b"?top_k=" + b"x" * 3000),
)
_FORM = b"content-type: multipart/form-data; "
_HEADERS = (
    *b"""content-type: image/jpeg
content-type: application/json
Content-Type: application/json; charset=utf-16
content-type: multipart/form-data
content-type: MULTIPART/FORM-DATA;boundary=xyz
content-type: ;
content-type: \xff
transfer-encoding: chunked
transfer-encoding: gzip, chunked
expect: 100-continue
expect: 200-ok
content-encoding: gzip
content-encoding: identity
content-encoding:
authorization: Bearer abc
authorization: Bearer abd
authorization: Bearer \xff
authorization:
connection: close
connection: keep-alive
if-none-match: *
if-none-match: W/"x"
if-range: x
if-modified-since: Tue, 01 Jan 2030 00:00:00 GMT
if-modified-since: 0
if-modified-since: 1 Jan 9999999999999999999 1:1 +99999999
range: lines=1-2
host: \xff
host: x:99999
accept: */*
cookie: a=\x01
\xe9: a
: a
a
 folded""".splitlines(),
    *(_FORM + b"boundary=xyz; charset=" + name for name in b"utf-7 idna none \xff unicode_escape utf-16 hex".split()),
    *(_FORM + boundary for boundary in (b"boundary=xyz", b'boundary=""', b'boundary="x\\"z"', b"boundary*=utf-8''xyz")),
    *(b"content-length: " + number for number in b"0 1 -1 +1 1e3 0x1 20001 99999999999999999999".split()),
    *(b"range: bytes=" + part for part in (*b"0-1 -1 5- 9-1 0-0,2-3 a-b --1".split(), b"", b"0-1," * 300 + b"2-")),
    *(b"connection: upgrade\r\nupgrade: " + protocol for protocol in (b"websocket", b"h2c")),
    b"x: " + b"y" * 2000,
)
_DISPOSITIONS = (
    *b"""form-data; name="file"; filename="a.jpg"
form-data; name="file"
form-data
form-data; filename="a"
attachment; name="file"; filename="a"

form-data; name=file; filename=""
form-data; name=file; filename="a/b"
form-data; name=file; filename="\xff"
form-data; name=file; filename="\xc3\xa9"
form-data; name=file; filename="+2AA-"
form-data; name=file; filename="\\ud800"
form-data; name=file; filename="a\\"b"
form-data; name=file; filename*=utf-8''%ff
form-data; name=file; filename*=utf-16''%00%d8
form-data; name=file; filename*=utf-7''+2AA-
form-data; name=file; filename*=x'
form-data; name=file; filename*=''""".splitlines(),
    b'form-data; name="' + b"n" * 3000 + b'"; filename="' + b"f" * 3000 + b'"',
)


def mutate(data: bytes, random: Random) -> bytes | None:
    """Changes the method, the address, headers or the body of the first request, or sends it twice.

    Then its length is most often told right.
    """
    head, found, body = data.partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    method, _, rest = line.partition(b" ")
    target, _, version = rest.rpartition(b" ")
    if not found or not target:
        return None
    choice = random.randrange(8)
    if choice == 0:
        method = random.choice(_METHODS)
    elif choice == 1:
        target = random.choice(_PATHS) + random.choice(_QUERIES)
    elif choice == 2:
        headers.insert(random.randrange(len(headers) + 1), random.choice(_HEADERS))
    elif choice == 3 and headers:
        place = random.randrange(len(headers))
        name = headers[place].partition(b":")[0].lower()
        others = [header for header in _HEADERS if header.lower().startswith(name + b":")]
        headers[place : place + 1] = [random.choice(others)] if others and random.random() < 0.8 else []
    elif choice == 4 and data.count(b" HTTP/") < _MOST_REQUESTS:
        return data + data
    else:
        body = _damaged_body(body, random)
        if random.random() < 0.9:
            headers = [header for header in headers if not header.lower().startswith(b"content-length:")]
            headers.append(b"content-length: %d" % len(body))
    return b"\r\n".join([b"%s %s %s" % (method, target, version), *headers]) + b"\r\n\r\n" + body


def _damaged_body(body: bytes, random: Random) -> bytes:
    if body.startswith(b"--"):
        return _damaged_form(body, random)
    if body.startswith(b"{"):
        return _damaged_json(body, random)
    return damaged_bytes(body, random)


def _damaged_form(body: bytes, random: Random) -> bytes:
    """A form with other parts, or with others' heads."""
    boundary = body.partition(b"\r\n")[0]
    first, *parts, last = body.split(boundary)
    if not parts:
        return damaged_bytes(body, random)
    place = random.randrange(len(parts))
    choice = random.randrange(7)
    if choice == 0:
        del parts[place]
    elif choice == 1:
        parts.insert(place, parts[random.randrange(len(parts))])
    elif choice == 2:
        parts *= 20
    elif choice == 3:
        parts[place] = damaged_bytes(parts[place], random)
    elif choice == 4:
        _, _, content = parts[place].partition(b"\r\n\r\n")
        parts[place] = b"\r\ncontent-disposition: %s\r\n\r\n%s" % (random.choice(_DISPOSITIONS), content)
    elif choice == 5:
        parts[place] = b"\r\n%s%s" % (random.choice(_HEADERS), parts[place])
    else:
        last = random.choice((b"", b"--", b"--\r\n", b"--\r\n" * 3, b"\r\n", b"--after", last))
    return boundary.join([first, *parts, last])


def _damaged_json(body: bytes, random: Random) -> bytes:
    """JSON with other values, or with damaged pictures within its base64."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return damaged_bytes(body, random)
    keys = [key for key in ("image", "inputs") if isinstance(document.get(key), str)]
    if keys and random.random() < 0.4:
        picture = base64.b64decode(document[keys[0]] + "===")  # of any length
        document[keys[0]] = base64.b64encode(damaged_bytes(picture, random)).decode()
    else:
        document = damaged_json(document, random)
    return random.choice(_ENCODINGS)(json.dumps(document, ensure_ascii=random.random() < 0.5))


_ENCODINGS: tuple[Callable[[str], bytes], ...] = (
    *(lambda text: text.encode(errors="surrogatepass"),) * 6,
    lambda text: text.encode("utf-16", "surrogatepass"),
    lambda text: text.replace(" 1", " 1e999").encode(errors="surrogatepass"),
    lambda text: text.replace(": ", ": " + "[" * 5000).encode(errors="surrogatepass"),
    lambda text: text.replace('"', '"\\ud800', 2).encode(errors="surrogatepass"),
)  # fmt: skip


if __name__ == "__main__":
    fuzz(run, mutate)
