"""HTTP/1.1 as uvicorn reads it, with bounds that it lacks: on heads, on requests that do not wait, on connections."""

from __future__ import annotations

import asyncio
from typing import Any

from httptools import HttpParserError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 1 << 14
"""Of a request's line and headers, those behind its body included. As for gRPC's metadata."""
EACH_HEADER_BYTES = 64
"""What one costs beside its text."""
PIPELINED = 16
"""Requests of one connection that wait for the answer to another."""


class Bounded(HttpToolsProtocol):
    """Who sends more than that is told 400, or hung up on where the server has its fill of connections."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._head = self._unread = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The limit of concurrency is answered with 503; twice as many connections are not even held."""
        super().connection_made(transport)
        if self.limit_concurrency and len(self.connections) > 2 * self.limit_concurrency:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """``_unread``: bytes since the parser last found anything in them, such as those of a header without an end."""
        self._unread += len(data)
        super().data_received(data)
        if self._unread > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("Invalid HTTP request received.")

    def on_message_begin(self) -> None:
        """A new head."""
        super().on_message_begin()
        self._head = self._unread = 0

    def on_url(self, url: bytes) -> None:
        """May come in pieces."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One whole header."""
        self._count(len(name) + len(value) + EACH_HEADER_BYTES)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A request more, which waits where another is unanswered."""
        super().on_headers_complete()
        if len(self.pipeline) > PIPELINED:
            raise HttpParserError("too many requests wait for the answer to another")

    def on_body(self, body: bytes) -> None:
        """Bounded by who reads it."""
        self._unread = 0
        super().on_body(body)

    def _count(self, size: int) -> None:
        self._head, self._unread = self._head + size, 0
        if self._head > HEAD_BYTES:
            raise HttpParserError("its head is too long")
