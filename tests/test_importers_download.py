"""Downloads from a server that cuts, lies or has nothing; and the commands that use what was downloaded."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from click.testing import CliRunner, Result

from shufflenet import cli, importers, model_file
from shufflenet.classifier import Classifier
from shufflenet.importers import download
from shufflenet.importers.download import DownloadError, cache_folder, fetch
from shufflenet.importers.source import PublicNetwork, Source
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1

CONTENT = bytes(range(256)) * 4000  # 1,024,000 bytes


class Server(ThreadingHTTPServer):
    """Serves one file at every address; the next answers can be told to go wrong."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.faults: list[str] = []  # one an answer, from the first; then answers are right
        self.ranges: list[str | None] = []  # as they were asked for

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/net.pth"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = cast(Server, self.server)
        fault = server.faults.pop(0) if server.faults else ""
        asked = self.headers["Range"]
        server.ranges.append(asked)
        if fault.isdigit():
            return self.send_error(int(fault))
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and fault != "no ranges" else 0
        if start >= len(server.content):
            return self.send_error(416)
        body = server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            if fault in ("cut", "stall"):
                self.wfile.write(body[:300_000])
                self.wfile.flush()
                if fault == "stall":
                    time.sleep(20)
            else:
                self.wfile.write(body)
        except ConnectionError:
            pass

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_WAIT_SECONDS", 0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def check(path: Path) -> None:
    if path.read_bytes() != CONTENT:
        raise ValueError("other content than expected")


def test_downloads_once(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "net.pth"
    assert fetch(server.address, path, check) == path
    assert fetch(server.address, path, check).read_bytes() == CONTENT
    assert server.ranges == [None]
    assert list(path.parent.iterdir()) == [path]


def test_resumes_after_cuts(server: Server, tmp_path: Path) -> None:
    server.faults = ["cut", "503", "cut"]
    fetch(server.address, tmp_path / "net.pth", check)
    assert server.ranges == [None, "bytes=300000-", "bytes=300000-", "bytes=600000-"]


def test_starts_anew_when_the_server_knows_no_ranges(server: Server, tmp_path: Path) -> None:
    server.faults = ["cut", "no ranges"]
    fetch(server.address, tmp_path / "net.pth", check)
    assert server.ranges == [None, "bytes=300000-"]


def test_resumes_after_giving_up(server: Server, tmp_path: Path) -> None:
    server.faults = ["cut"] + ["503"] * download.ATTEMPTS
    with pytest.raises(DownloadError, match=r"answers 503.*; the first 300,000 bytes are kept") as error:
        fetch(server.address, tmp_path / "net.pth", check)
    assert str(error.value).startswith(server.address)
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth.part"]
    server.faults = []
    fetch(server.address, tmp_path / "net.pth", check)
    assert server.ranges[-1] == "bytes=300000-"


def test_resumes_after_the_process_was_killed(server: Server, tmp_path: Path) -> None:
    server.faults = ["stall"]
    code = (
        "import sys; from pathlib import Path; from shufflenet.importers.download import fetch;"
        "fetch(sys.argv[1], Path(sys.argv[2]), lambda path: None)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, server.address, str(tmp_path / "net.pth")])
    partial = tmp_path / "net.pth.part"
    deadline = time.monotonic() + 30
    while not (partial.exists() and partial.stat().st_size > 100_000) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    assert not (tmp_path / "net.pth").exists()
    kept = partial.stat().st_size
    fetch(server.address, tmp_path / "net.pth", check)
    assert server.ranges == [None, f"bytes={kept}-"]


@pytest.mark.parametrize("kept", [b"another file's beginning", CONTENT, CONTENT + b"and more", CONTENT[:-1]])
def test_what_was_kept_may_be_of_any_kind(kept: bytes, server: Server, tmp_path: Path) -> None:
    (tmp_path / "net.pth.part").write_bytes(kept)
    fetch(server.address, tmp_path / "net.pth", check)
    assert (tmp_path / "net.pth").read_bytes() == CONTENT
    assert not (tmp_path / "net.pth.part").exists()


def test_a_damaged_file_in_the_cache_is_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(CONTENT[:-5])
    assert fetch(server.address, tmp_path / "net.pth", check).read_bytes() == CONTENT


def test_the_wrong_file_is_refused(server: Server, tmp_path: Path) -> None:
    server.content = b"something else"
    with pytest.raises(DownloadError, match="downloaded, but refused and deleted: other content than expected"):
        fetch(server.address, tmp_path / "net.pth", check)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", ["404", "403"])
def test_a_missing_file_is_said_at_once(code: str, server: Server, tmp_path: Path) -> None:
    server.faults = [code]
    with pytest.raises(DownloadError, match=rf"^http://127.0.0.1:\d+/net.pth: the server answers {code} \w+"):
        fetch(server.address, tmp_path / "net.pth", check)
    assert len(server.ranges) == 1


def test_no_network(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/net.pth"
        with pytest.raises(DownloadError, match="no connection") as error:
            fetch(address, tmp_path / "net.pth", check)
    assert "\n" not in str(error.value)


def test_too_much(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_MAX_BYTES", 500_000)
    with pytest.raises(DownloadError, match="more than 500,000 bytes"):
        fetch(server.address, tmp_path / "net.pth", check)


def test_a_folder_that_can_not_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="can't be written"):
        fetch(server.address, tmp_path / "file" / "net.pth", check)


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "shufflenet"
    for unusable in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        assert cache_folder() == Path.home() / ".cache" / "shufflenet"


# the commands


@pytest.fixture
def published(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a network that the server has."""
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(3)
    arch = ShuffleNetV1(3, 0.25, classes=4)
    state = {
        name: torch.from_numpy(np.abs(random.normal(0.1, 0.3, shape)).astype(np.float32))
        for name, shape in arch.graph().tensor_shapes().items()
    }
    torch.save(state, tmp_path / "served.pth")
    server.content = (tmp_path / "served.pth").read_bytes()
    sha256 = hashlib.sha256(server.content).hexdigest()
    network = PublicNetwork(arch.name, 61.7, 36.5, server.address, f"sha256:{sha256[:8]}", arch.classes)
    source = Source("here", "127.0.0.1", ".pointwise1.", {"net": network})
    monkeypatch.setitem(cast("dict[str, Source]", importers.SOURCES), "here", source)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return "here:net"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.commands, [str(argument) for argument in arguments])


def test_import_writes_a_model_file(published: str, server: Server, tmp_path: Path) -> None:
    result = run("import", published)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("net.safetensors: shufflenet_g3_x0_25, 4 classes without names (--labels")
    assert "published top-1 error 61.70 %" in result.stdout
    assert "of its hash only the beginning is known (sha256:" in result.stdout
    assert result.stderr == ""
    model = model_file.load(Path("net.safetensors"))
    assert model.labels == ["class 0", "class 1", "class 2", "class 3"]
    assert model.training["address"] == server.address
    assert model.training["sha256"] == hashlib.sha256(server.content).hexdigest()
    assert len(model.self_test) == 4

    again = run("import", published)
    assert again.exit_code == 2
    assert "net.safetensors is there already" in again.stderr
    Path("labels.txt").write_text("käse\nrock\nespresso\ncat\n", "utf-8")
    result = run("import", published, "--out", "net.safetensors", "--labels", "labels.txt", "--json")
    assert json.loads(result.stdout)["architecture"] == "shufflenet_g3_x0_25"
    assert model_file.load(Path("net.safetensors")).labels[0] == "käse"
    assert server.ranges == [None]


def test_predict_imports_on_first_use(published: str, server: Server, photos: Path) -> None:
    for _ in range(2):
        result = run("predict", photos / "cat.jpg", "--model", published, "--top-k", "1", "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["predictions"][0]["label"].startswith("class ")
    assert server.ranges == [None]
    run("import", published)
    x = model_file.test_input(Classifier(published).preprocessing)
    np.testing.assert_array_equal(Classifier("net.safetensors").logits(x), Classifier(published).logits(x))


def test_import_resumes(published: str, server: Server) -> None:
    server.faults = ["cut"]
    assert run("import", published).exit_code == 0
    assert server.ranges == [None, "bytes=300000-"]


@pytest.mark.parametrize("command", [["import"], ["predict", "cat.jpg", "--model"]])
def test_failed_downloads_are_one_line(command: list[str], published: str, server: Server) -> None:
    server.faults = ["404"]
    missing = run(*command, published)
    server.content = b"something else"
    wrong = run(*command, published)
    for result, message in ((missing, "404"), (wrong, "not here:net: its sha256 hash begins with")):
        assert result.exit_code == 2
        assert result.stdout == ""
        assert result.stderr.startswith("Error: http://127.0.0.1")
        assert message in result.stderr
        assert result.stderr.count("\n") == 1
    assert not list(Path("cache").rglob("*.pth*"))


def test_import_says_what_is_wrong_with_a_file(published: str) -> None:
    for arguments, message in (
        (["import"], "Give a SOURCE:NETWORK"),
        (["import", "--file", "nothing.pth"], "nothing.pth: no such file"),
        (["import", "paper", "--file", "bad.pth"], "bad.pth: not a PyTorch checkpoint"),
        (["import", "nowhere:net"], "no such source"),
        (["import", "torchvision:shufflenet_v2_x1_0"], "can't be imported"),
        (["import", published, "--labels", "bad.pth"], "not written, 1 labels for 4 classes"),
        (["import", published, "--labels", "empty.txt"], "0 labels for 4 classes"),
        (["import", published, "--labels", "nothing.txt"], "nothing.txt: no such file"),
        (["import", published, "--labels", "binary.txt"], "binary.txt: not a list of classes"),
        (["import", published, "--out", "no/folder/x.safetensors"], "No such file"),
    ):
        Path("bad.pth").write_text("hello")
        Path("empty.txt").touch()
        Path("binary.txt").write_bytes(b"\xff\xfe\x00")
        result = run(*arguments)
        assert result.exit_code == 2, arguments
        assert message in result.stderr
        assert result.stdout == ""
    assert not Path("net.safetensors").exists()


@pytest.mark.parametrize(
    ("file", "model"), [("mine.pth.tar", "mine"), ("a.b.pth.zip", "a.b"), ("1.0x.pth", "1.0x"), ("net", "net")]
)
def test_a_model_file_is_named_as_its_checkpoint(published: str, file: str, model: str) -> None:
    Path("served.pth").rename(file)
    result = run("import", "paper", "--file", file)
    assert result.exit_code == 0, result.output
    assert model_file.load(Path(f"{model}.safetensors")).training["file"] == file


def test_help_has_examples() -> None:
    assert "  shufflenet import pytorchcv:" in run("import", "--help").stdout.split("Examples")[1]


def test_list() -> None:
    rows = json.loads(run("import", "--list", "--json").stdout)
    table = run("import", "--list").stdout
    assert {row["name"].partition(":")[0] for row in rows} == {
        *("megvii", "pytorchcv", "mmpretrain", "tensorpack", "megengine", "jaxony", "ericsun99")
    }
    for row in rows:
        line = next(line for line in table.splitlines() if line.startswith(f"{row['name']} "))
        assert f" {row['top1_error']:.2f} " in line
        assert line.endswith("refused" if row["refused"] else "download" if row["address"] else "--file")
        assert bool(row["hash"]) == bool(row["address"])
    by_name = {row["name"]: row for row in rows}
    assert by_name["pytorchcv:shufflenet_g3_w1"]["address"] == (
        "https://github.com/osmr/imgclsmob/releases/download/v0.0.244/shufflenet_g3_w1-1348-ce54f64e.pth.zip"
    )
