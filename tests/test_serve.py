"""The server: its answers in every form, its limits, and that it loses nothing when it ends."""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from shufflenet import Classifier, Prediction, cli

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
pytest.importorskip("prometheus_client")
pytest.importorskip("python_multipart")

# ruff: noqa: E402 - imports that need these packages

from shufflenet.serve import bodies, connection
from shufflenet.serve.application import Application
from shufflenet.serve.connection import Connection
from shufflenet.serve.server import bound
from shufflenet.serve.settings import Settings

NAME = "shufflenet_g3_x0_5"


class Server:
    """A server on a thread of this process."""

    def __init__(self, **settings: Any) -> None:
        listening = bound("127.0.0.1", 0)
        self.port = listening.getsockname()[1]
        app = Application(Settings(**settings))
        config = uvicorn.Config(app, http=Connection, ws="none", lifespan="on", log_level="critical")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listening],))
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)

    def begin_to_end(self) -> None:
        self._server.should_exit = True

    def end(self) -> None:
        self.begin_to_end()
        self._thread.join()


def ask(port: int, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
    """Status, the JSON of the answer or its bytes, and the headers."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(client):
        client.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        return answer_of(client.getresponse())


def answer_of(response: http.client.HTTPResponse) -> tuple[int, Any, dict[str, str]]:
    content: Any = response.read()
    told = {name.lower(): value for name, value in response.getheaders()}
    if told.get("content-type") == "application/json":
        content = json.loads(content)
    return response.status, content, told


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server(threads=2, max_bytes=300_000, max_pixels=100_000)
    yield server
    server.end()


@pytest.fixture(scope="module")
def picture(photos: Path) -> bytes:
    file = io.BytesIO()
    Image.open(photos / "cat.jpg").resize((120, 90)).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture(scope="module")
def expected(picture: bytes) -> Prediction:
    return Classifier(NAME).predict(picture)


def columns(prediction: Prediction) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = prediction.document()["predictions"]
    return found


# Answers


def test_a_picture_as_it_is(server: Server, picture: bytes, expected: Prediction, tmp_path: Path) -> None:
    status, answer, _ = ask(server.port, "POST", "/predict", picture)
    assert (status, answer["source"]) == (200, "<bytes>")
    assert answer.keys() == expected.document().keys()
    path = tmp_path / "x.jpg"
    path.write_bytes(picture)
    printed = json.loads(CliRunner().invoke(cli.commands, ["predict", str(path), "--json"]).stdout)
    assert answer["predictions"] == printed["predictions"]  # all digits of each number
    status, answer, _ = ask(server.port, "POST", "/predict?top_k=2", picture, Content_Type="image/jpeg")
    assert (status, answer["predictions"]) == (200, columns(expected)[:2])


def form(files: dict[str, bytes]) -> tuple[bytes, str]:
    """A multipart body and its type."""
    parts = [
        f'--xyz\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode() + content + b"\r\n"
        for name, content in files.items()
    ]
    return b"".join([*parts, b"--xyz--\r\n"]), "multipart/form-data; boundary=xyz"


def test_a_form_of_several_pictures(server: Server, picture: bytes, expected: Prediction) -> None:
    body, kind = form({"a.jpg": picture, "b.txt": b"no picture", "c.jpg": picture})
    status, answer, _ = ask(server.port, "POST", "/predict", body, Content_Type=kind)
    assert status == 200
    assert [entry["source"] for entry in answer] == ["a.jpg", "b.txt", "c.jpg"]
    assert answer[0]["predictions"] == answer[2]["predictions"] == columns(expected)
    assert answer[1]["error"].startswith("not a picture in a format that can be read")


@pytest.mark.parametrize("start", ["", "data:image/jpeg;base64,"])
def test_json(server: Server, picture: bytes, expected: Prediction, start: str) -> None:
    text = start + base64.b64encode(picture).decode()
    for document in ({"image": text, "top_k": 2}, {"images": [text, text], "top_k": 2}):
        status, answer, _ = ask(
            server.port, "POST", "/predict", json.dumps(document), Content_Type="application/json; charset=utf-8"
        )
        assert status == 200
        answers = answer if "images" in document else [answer]
        assert [entry["predictions"] for entry in answers] == [columns(expected)[:2]] * len(answers)


def test_hugging_face_form(server: Server, picture: bytes, expected: Prediction) -> None:
    right = [{"label": row["label"], "score": row["probability"]} for row in columns(expected)]
    assert ask(server.port, "POST", "/", picture, Content_Type="image/jpeg")[:2] == (200, right)
    document = {"inputs": base64.b64encode(picture).decode(), "parameters": {"top_k": 1, "function_to_apply": None}}
    answer = ask(server.port, "POST", "/", json.dumps(document), Content_Type="application/json")
    assert answer[:2] == (200, right[:1])


def test_torchserve_form(server: Server, picture: bytes, expected: Prediction) -> None:
    right = dict(zip(expected.labels, expected.probabilities, strict=True))
    for method in ("POST", "PUT"):
        assert ask(server.port, method, f"/predictions/{NAME}", picture)[:2] == (200, right)
    assert ask(server.port, "GET", "/ping")[:2] == (200, {"status": "Healthy"})


def test_every_address_of_the_description_answers(server: Server, picture: bytes) -> None:
    status, described, _ = ask(server.port, "GET", "/openapi.json")
    assert (status, described["openapi"]) == (200, "3.1.0")
    for path, methods in described["paths"].items():
        for method in methods:
            body = picture if method != "get" else None
            assert ask(server.port, method.upper(), path, body)[0] == 200, path
    assert ask(server.port, "GET", "/")[2]["location"] == "/openapi.json"
    assert ask(server.port, "GET", f"/v2/models/{NAME}")[1]["outputs"][0]["shape"] == [200]


def test_metrics_count(picture: bytes) -> None:
    server = Server()
    ask(server.port, "POST", "/predict", picture)
    ask(server.port, "POST", "/predict", b"no picture")
    _, text, told = ask(server.port, "GET", "/metrics")
    server.end()
    assert told["content-type"].startswith("text/plain; version=0.0.4")
    lines = text.decode().splitlines()
    for line in (
        'shufflenet_requests_total{route="/predict",status="200"} 1.0',
        'shufflenet_requests_total{route="/predict",status="415"} 1.0',
        'shufflenet_pictures_total{result="labelled"} 1.0',
        'shufflenet_pictures_total{result="error"} 1.0',
        'shufflenet_request_seconds_count{route="/predict"} 2.0',
        "shufflenet_requests_in_progress 0.0",
    ):
        assert line in lines


def test_token_and_page(picture: bytes, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("a page")
    (tmp_path.parent / "secret").write_text("secret")
    server = Server(token="abc", page=tmp_path)
    for path in ("/predict", "/", "/metrics", "/openapi.json"):
        for wrong in ({}, {"Authorization": "Bearer abd"}):
            status, answer, told = ask(server.port, "POST", path, picture, **wrong)
            assert (status, told["www-authenticate"]) == (401, "Bearer")
            assert answer == {"error": "a token is needed: Authorization: Bearer TOKEN"}
    assert ask(server.port, "GET", "/ready")[0] == 200
    right = {"Authorization": "Bearer abc"}
    assert ask(server.port, "POST", "/", picture, **right)[0] == 200
    assert ask(server.port, "GET", "/", **right)[:2] == (200, b"a page")
    assert ask(server.port, "GET", "/../secret", **right)[0] == 404
    assert ask(server.port, "GET", "/%2e%2e/secret", **right)[0] == 404
    server.end()


# Refusals


def png(width: int, height: int) -> bytes:
    """The head of a picture of so many pixels, without them."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    return start + struct.pack(">I", 1000) + b"IDAT"


@pytest.mark.parametrize(
    ("path", "body", "kind", "status", "reason"),
    [
        ("/predict", b"", "", 415, "empty file"),
        ("/predict", b"hello", "image/jpeg", 415, "not a picture in a format that can be read"),
        ("/predict", png(1000, 1000), "", 413, "1000 x 1000 pixels, over the limit of 100,000"),
        ("/predict", png(60_000, 60_000), "", 413, "60000 x 60000 pixels"),
        ("/predict", png(10, 10), "", 422, "damaged picture"),
        ("/predict", bytes(300_001), "", 413, "a body of more than 300,000 bytes (--max-bytes)"),
        ("/predict?top_k=0", b"", "", 422, "top_k must be a whole number from 1 up, not 0"),
        ("/predict?top_k=x", b"", "", 422, "top_k must be a whole number from 1 up, not 'x'"),
        ("/predict", b"{", "application/json", 422, "the body is not JSON"),
        ("/predict", b"[" * 100_000, "application/json", 422, "the body is not JSON"),
        ("/predict", b"[]", "application/json", 422, "the body must be a JSON object"),
        ("/predict", b"{}", "application/json", 422, "a picture must be a string of base64"),
        ("/predict", b'{"images": []}', "application/json", 422, "no picture in the body"),
        ("/predict", b'{"image": "*"}', "application/json", 422, "a picture is not base64"),
        ("/predict", b'{"imgae": "*"}', "application/json", 422, "unknown key 'imgae'"),
        ("/predict", b'{"image": "", "top_k": 1.5}', "application/json", 422, "top_k must be a whole number"),
        ("/predict", json.dumps({"images": [""] * 101}).encode(), "application/json", 413, "101 pictures; at most 100"),
        ("/predict", b"x--", "multipart/form-data", 422, "the form can't be read"),
        ("/predict", b"x--", "multipart/form-data; boundary=x", 422, "the form can't be read"),
        ("/predict", form({"a": b""})[0][:-6], form({})[1], 422, "the form ends too early"),
        (
            "/predict",
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\ntext\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            422,
            "no picture in the body",
        ),
        ("/predict", form({str(i): b"" for i in range(101)})[0], form({})[1], 413, "101 pictures; at most 100"),
        ("/predictions/other", b"", "", 404, f"no such model; here is {NAME}"),
        ("/predictions/../../etc/passwd", b"", "", 404, "Not Found"),
        ("/predictions/..%2f..%2fetc%2fpasswd", b"", "", 404, "Not Found"),
        ("/predictions/%2e%2e", b"", "", 404, "no such model"),
        ("/nothing", b"", "", 404, "Not Found"),
        ("/metrics", b"", "", 405, "Method Not Allowed"),
    ],
)
def test_refusals(server: Server, path: str, body: bytes, kind: str, status: int, reason: str) -> None:
    got, answer, _ = ask(server.port, "POST", path, body, **({"Content-Type": kind} if kind else {}))
    assert got == status
    assert answer["error"].startswith(reason)
    assert ask(server.port, "GET", "/health")[0] == 200


def test_compressed_bodies_are_refused(server: Server) -> None:
    assert ask(server.port, "POST", "/predict", b"x", Content_Encoding="gzip")[0] == 415


def raw(server: Server, sent: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    client.sendall(sent)
    return client


def test_ten_gigabytes_are_refused_when_they_are_announced(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_LINGER_S", 0.1)
    client = raw(server, b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n\r\nbegin")
    response = http.client.HTTPResponse(client)
    response.begin()
    assert (response.status, json.loads(response.read())["error"][:9]) == (413, "a body of")
    assert client.recv(1) == b""  # and the connection ends, rather than swallow the rest
    client.close()


def test_a_body_of_unknown_length_is_refused_when_it_gets_too_long(server: Server) -> None:
    assert ask(server.port, "POST", "/predict", iter([bytes(100_000)] * 4))[0] == 413


def test_a_slow_body(server: Server, picture: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_BODY_S", 0.2)
    client = raw(server, b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nbegin")
    response = http.client.HTTPResponse(client)
    response.begin()
    assert (response.status, ask(server.port, "POST", "/predict", picture)[0]) == (408, 200)
    client.close()


def test_a_slow_head_ends_its_connection(picture: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IDLE_S", 0.1)
    server = Server()
    clients = [raw(server, begin) for begin in (b"", b"POST /predict HT")]
    assert [client.recv(1) for client in clients] == [b"", b""]
    for client in clients:
        client.close()
    server.end()


def test_cut_bodies_and_idle_connections_harm_nobody(server: Server, picture: bytes) -> None:
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
    for _ in range(20):
        raw(server, b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nbegin").close()
    assert ask(server.port, "POST", "/predict", picture)[0] == 200
    for client in idle:
        client.close()
    assert b"shufflenet_requests_in_progress 0.0" in ask(server.port, "GET", "/metrics")[1]


def test_when_it_is_full_others_are_refused_at_once(picture: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    predict = Classifier.predict

    def waiting(*arguments: Any, **options: Any) -> Any:
        assert go_on.wait(20)
        return predict(*arguments, **options)

    server = Server(threads=1, waiting=2)
    monkeypatch.setattr(Classifier, "predict", waiting)
    monkeypatch.setattr(connection, "_LINGER_S", 0.1)
    clients = []
    for _ in range(3):
        clients.append(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20))
        clients[-1].request("POST", "/predict", picture)
    refused = 0
    while refused < 10:  # the three may be on their way still
        status, answer, told = ask(server.port, "POST", "/predict", b"")
        if status == 429:
            refused += 1
            assert (told["retry-after"], answer["error"]) == ("1", "3 requests wait already; try again later")
    clients.append(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20))
    clients[-1].request("POST", "/predict", picture)
    assert answer_of(clients[-1].getresponse())[0] == 429
    time.sleep(0.3)  # longer than a connection stays whose body is refused before it is whole; this one was whole
    go_on.set()
    assert [answer_of(client.getresponse())[0] for client in clients[:3]] == [200] * 3
    clients[-1].request("POST", "/predict", picture)
    assert answer_of(clients[-1].getresponse())[0] == 200
    assert ask(server.port, "POST", "/predict", picture)[0] == 200
    for client in clients:
        client.close()
    server.end()


def test_memory_for_bodies_is_bounded(picture: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_ALL_BYTES", 0)
    server = Server(max_bytes=50_000)
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n"
    holding = raw(server, head + bytes(49_000))
    status = 200
    while status == 200:  # until the bytes above have come
        status, _, told = ask(server.port, "POST", "/predict", picture)
    assert (status, told["retry-after"]) == (429, "1")
    holding.close()
    while status == 429:
        status = ask(server.port, "POST", "/predict", picture)[0]
    assert status == 200
    server.end()


# The end


def test_a_request_on_its_way_when_the_server_ends_is_answered(picture: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_LAST_REQUEST_S", 20.0)  # "on its way" on the slowest machine
    server = Server()
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    client.request("POST", "/predict", picture)
    assert answer_of(client.getresponse())[0] == 200
    server.begin_to_end()
    with contextlib.suppress(ConnectionRefusedError):  # when nobody listens any more
        while True:
            socket.create_connection(("127.0.0.1", server.port)).close()
            time.sleep(0.01)  # a full queue of connections would keep the next one waiting for a second
    client.request("POST", "/predict", picture)
    status, _, told = answer_of(client.getresponse())
    assert (status, told["connection"]) == (200, "close")
    client.close()
    server.end()


class Process:
    """`shufflenet serve` in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "shufflenet", "serve", "--port", "0", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.port = int(self.process.stdout.readline().rpartition(":")[2])

    def end(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        _, messages = self.process.communicate(timeout=30)
        return self.process.returncode, messages


def until_it_answers(port: int) -> None:
    for _ in range(400):
        with contextlib.suppress(OSError):
            if ask(port, "GET", "/ready")[0] == 200:
                return
        time.sleep(0.05)
    raise AssertionError("no answer")


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["1", "2"])
def test_sigterm_under_load_loses_no_request(processes: str, picture: bytes) -> None:
    """Each client asks again on the same connection until the server closes it behind an answer."""
    process = Process("--processes", processes)
    until_it_answers(process.port)
    lost: list[str] = []
    answered = [0]

    def load() -> None:
        client = http.client.HTTPConnection("127.0.0.1", process.port, timeout=20)
        with contextlib.closing(client):
            client.connect()
            while True:
                try:
                    client.request("POST", "/predict", picture)
                    status, _, told = answer_of(client.getresponse())
                except (OSError, http.client.HTTPException) as error:
                    lost.append(repr(error))
                    return
                answered[0] += status == 200
                if told.get("connection") == "close":
                    return

    clients = [threading.Thread(target=load) for _ in range(8)]
    for client in clients:
        client.start()
    time.sleep(0.5)
    assert process.end() == (0, "")
    for client in clients:
        client.join()
    assert (lost, answered[0] > 8) == ([], True)


@pytest.mark.slow
def test_a_killed_process_comes_back_and_counts_go_on(picture: bytes) -> None:
    process = Process("--processes", "2")
    until_it_answers(process.port)
    for _ in range(40):
        ask(process.port, "POST", "/predict", picture)
    while len(workers := children(process.process.pid)) < 2:
        time.sleep(0.05)
    os.kill(workers[0], signal.SIGKILL)
    waits = 0
    while not set(children(process.process.pid)) - set(workers):  # the other one answers meanwhile
        with contextlib.suppress(OSError):
            assert ask(process.port, "POST", "/predict", picture)[0] == 200
        time.sleep(0.05)
        waits += 1
        assert waits < 600
    until_it_answers(process.port)
    assert ask(process.port, "POST", "/predict", picture)[0] == 200
    text = ask(process.port, "GET", "/metrics")[1].decode()
    (line,) = [line for line in text.splitlines() if line.startswith('shufflenet_pictures_total{result="labelled"}')]
    assert float(line.split()[-1]) >= 41
    assert process.end()[0] == 0


def children(parent: int) -> list[int]:
    """The processes that serve: those that multiprocessing started, without its own."""
    found = []
    for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        with contextlib.suppress(OSError):
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.safetensors"], "missing.safetensors: no such file"),
        (["--page", "."], "--page . has no index.html."),
        (["--token-file", "empty"], "--token-file empty must hold one line of ASCII letters and digits."),
        (["--host", "192.0.2.1"], "Error: 192.0.2.1:8000: Cannot assign requested address"),
    ],
)
def test_commands_that_cannot_start(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").touch()
    result = CliRunner().invoke(cli.commands, ["serve", *arguments])
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr


def test_a_port_that_is_taken(server: Server) -> None:
    result = CliRunner().invoke(cli.commands, ["serve", "--port", str(server.port)])
    assert (result.exit_code, result.stderr) == (2, f"Error: 127.0.0.1:{server.port}: Address already in use\n")
