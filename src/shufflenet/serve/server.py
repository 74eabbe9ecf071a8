"""Runs the application in one process of uvicorn's, or in several."""

from __future__ import annotations

import os
import resource
import signal
import socket
import tempfile
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from shufflenet.serve.application import Application
from shufflenet.serve.connection import IDLE_S, Connection
from shufflenet.serve.metrics import FOLDER_VARIABLE
from shufflenet.serve.settings import Settings

_BACKLOG = 2048


class _SharedPort:
    """A socket that each process makes for itself, so that the system divides connections among them."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port

    def __reduce__(self) -> tuple[Callable[[str, int], socket.socket], tuple[str, int]]:
        return bound, self._address


def bound(host: str, port: int) -> socket.socket:
    """A socket at an address that others of this server may have too.

    Raises:
        OSError: it can't be had; the error names the address.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        found.bind(address)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"{host}:{port}") from None
    return found


def serve(settings: Settings, ready: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT, then answers what was accepted.

    Args:
        ready: called with the address once it is the server's.

    Raises:
        OSError: the address can't be had.
    """
    _raise_file_limit()
    _check_free(settings)
    listening = bound(settings.host, settings.port)
    port = listening.getsockname()[1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    config = uvicorn.Config(
        Application(settings),
        http=Connection,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        workers=settings.processes,
        backlog=_BACKLOG,
        timeout_keep_alive=IDLE_S,
    )
    if settings.processes == 1:
        signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it once more when all is answered
        server = _Server(config, lambda: ready(f"http://{host}:{port}"))
        server.run([listening])
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ[FOLDER_VARIABLE] = folder
        shared: Any = _SharedPort(settings.host, port)
        ready(f"http://{host}:{port}")
        Multiprocess(config, [shared]).run()


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


def _check_free(settings: Settings) -> None:
    """Another server at the port would share it, if both allow it.

    Raises:
        OSError: something listens there; the error names the address.
    """
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise OSError(error.errno, error.strerror, f"{settings.host}:{settings.port}") from None


def _raise_file_limit() -> None:
    """Each connection is an open file; the limit is 1,024 by default and may be raised."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
