"""A stand-in for the Hugging Face Hub: repositories in memory, by the requests of huggingface_hub that we cause."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

COMMIT = "0123456789012345678901234567890123456789"


class Hub(ThreadingHTTPServer):
    """``files``: by repository and name, their bytes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.files: dict[str, dict[str, bytes]] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def running() -> Iterator[Hub]:
    hub = Hub()
    thread = Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


class _Requests(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else f"me/{asked['name']}"
            self.server.files.setdefault(name, {})
            self._answer({"url": f"{self.server.address}/{name}", "id": name, "name": name})
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", self.path.split("?")[0]):
            wanted = [each["path"] for each in json.loads(body)["files"]]
            how = [{"path": path, "uploadMode": "regular", "shouldIgnore": False, "oid": None} for path in wanted]
            self._answer({"files": how})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", self.path.split("?")[0]):
            for line in body.splitlines():
                each = json.loads(line)
                if each["key"] == "file":
                    value = each["value"]
                    self.server.files[found[1]][value["path"]] = base64.b64decode(value["content"])
            about = {"commitOid": COMMIT, "commitUrl": f"{self.server.address}/{found[1]}/commit/{COMMIT}"}
            self._answer(about | {"success": True, "hookOutput": ""})
        else:
            self._answer({"error": f"no such request: {self.path}"}, 404)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/.*)?", self.path.split("?")[0]):
            self._answer({"id": found[1], "sha": COMMIT, "siblings": []})
            return
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", self.path)
        data = self.server.files.get(found[1], {}).get(found[2]) if found else None
        if data is None:
            self._answer({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
        self._send(data, 200, headers | {"Content-Type": "application/octet-stream"})

    def _answer(self, about: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(about, allow_nan=False).encode()
        self._send(data, status, (headers or {}) | {"Content-Type": "application/json"})

    def _send(self, data: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
