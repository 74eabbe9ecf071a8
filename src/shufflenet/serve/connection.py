"""Connections of uvicorn that lose no request when the server ends, and wait for nobody for ever."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

IDLE_S = 75  # until a connection is closed on which no request's head arrives
_LAST_REQUEST_S = 1.0  # for a request that is on its way when the server ends
_LINGER_S = 2.0  # for a client to read why its body is not wanted, before the connection is closed


class Connection(HttpToolsProtocol):
    """As uvicorn's own, but for three things.

    A head that doesn't come in `IDLE_S` closes the connection, also the first one's. A body that is refused before it
    is whole does so after a moment, in which the client can read the answer. And when the server ends, an idle
    connection waits a moment for a request that is on its way, and answers it.
    """

    _waiting: asyncio.TimerHandle | None = None
    _ending = False
    _whole = True

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait(IDLE_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        self._whole = False
        super().on_headers_complete()
        if self._ending:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._whole = True
        super().on_message_complete()
        if self.cycle.response_complete:  # it was refused before it was whole
            self._wait(_LAST_REQUEST_S if self._ending else IDLE_S)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():
            self._wait(IDLE_S if self._whole else _LINGER_S)

    def shutdown(self) -> None:
        """The server ends."""
        self._ending = True
        if self.cycle is None or self.cycle.response_complete:
            self._wait(_LAST_REQUEST_S)
        else:
            super().shutdown()

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._waiting = self.loop.call_later(seconds, self._close)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
