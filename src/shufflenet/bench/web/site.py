"""The server of the page that times: it says what each runtime loads, and how large that is."""

from __future__ import annotations

import gzip
import http.server
import mimetypes
import re
from collections import defaultdict
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from shufflenet.bench.web import npm
from shufflenet.bench.web.server import answering

_PAGE = Path(__file__).parent / "page"

# Timers then count steps of 5 microseconds, and not of 100.
_ISOLATING = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# An import by a package's name; a browser wants a file's.
_BARE = re.compile(rb'(\bfrom\s*|\bimport\s*)"(@?[a-z][\w-]*(?:/[\w-]+)?)"')


@dataclass
class Site:
    """Files by their addresses: the page's, ``given``'s, each configuration's ``/of/ID/code`` and ``/of/ID/files``."""

    given: Path
    code: dict[str, Path] = field(default_factory=dict)  # by a configuration's id: folder of its runtime
    files: dict[str, Path] = field(default_factory=dict)  # folder of its network
    loaded: dict[str, set[Path]] = field(default_factory=lambda: defaultdict(set))  # files of its runtime

    def found(self, address: str) -> bytes | None:
        """What lies there; None: nothing."""
        if (path := self._path(address)) is None or not path.is_file():
            return None
        match address.split("/"):
            case ["", "of", name, "code", *_]:
                self.loaded[name].add(path)
                if path.suffix in (".js", ".mjs"):
                    return self._with_addresses(path.read_bytes(), name)
        return path.read_bytes()

    def download_bytes(self, name: str) -> int:
        """How much a browser loads of a configuration's runtime, as a server compresses it."""
        return sum(len(gzip.compress(path.read_bytes(), 9)) for path in self.loaded[name])

    def _path(self, address: str) -> Path | None:
        match address.split("/"):
            case ["", "of", name, "code" | "files" as kind, *rest]:
                folder, parts = (self.code if kind == "code" else self.files).get(name), rest
            case ["", "given", *parts]:
                folder = self.given
            case ["", *parts]:
                folder = _PAGE
            case _:
                return None
        return None if folder is None or ".." in parts else folder.joinpath(*parts)

    def _with_addresses(self, script: bytes, name: str) -> bytes:
        def address(found: re.Match[bytes]) -> bytes:
            package = found[2].decode()
            if not (self.code[name] / package / "package.json").is_file():
                return found[0]
            return found[1] + f'"/of/{name}/code/{npm.main_file(self.code[name], package)}"'.encode()

        return _BARE.sub(address, script)


def serving(site: Site) -> AbstractContextManager[str]:
    """Serves it; gives its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = unquote(urlsplit(self.path).path)
            content = site.found(address)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Type", mimetypes.guess_type(address)[0] or "application/octet-stream")
            self.send_header("Content-Length", str(len(content or b"")))
            self.send_header("Cache-Control", "no-store")
            for header, value in _ISOLATING.items():
                self.send_header(header, value)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            pass

    return answering(Handler)
