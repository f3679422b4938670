"""HTTP/1.1 on asyncio streams; h11 knows the grammar, keeps request trailers and the casing of our
field names.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import h11

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    Handler = Callable[["Request"], Awaitable["Reply"]]

# Go's server answers 431 above this, and frames a reply with Content-Length only while it fits its
# buffer.
MAX_HEAD_BYTES = 1 << 20
CHUNKED_ABOVE_BYTES = 2048
BLANKS = str.maketrans("\r\n", "  ")
ACCEPTED = (202, {"status": "OK"})


class AbortedError(Exception):
    """The peer ended, or broke the framing, in the middle of a request body."""


@dataclass(frozen=True)
class Reply:
    """One answer. Date and framing are the server's; ``headers`` are sent in order, as they are
    written.
    """

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""


def json_reply(status: int, value: Any, headers: Sequence[tuple[str, str]] = ()) -> Reply:
    """Compact JSON with a newline, as Go's encoder writes it."""
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    return Reply(status, [("Content-Type", "application/json"), *headers], body)


def refusal(status: int, error_type: str, message: str) -> Reply:
    """An error as the Runtime API and the Extensions API word it."""
    return json_reply(status, {"errorMessage": message, "errorType": error_type})


@dataclass
class Request:
    """One request: head complete, body still on its way. Trailers are known after ``body()``."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    _exchange: _Exchange
    trailers: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The target without its query, and without scheme and host if the client sent them."""
        path = self.target.partition("?")[0]
        if path.startswith("http://"):
            path = "/" + path[len("http://") :].partition("/")[2]
        return path

    def header(self, name: str) -> str:
        """The first value of a field, any case; empty when it is absent."""
        return next((value for key, value in self.headers if key == name.lower()), "")

    async def body(self, on_piece: Callable[[bytes], None] | None = None) -> bytes:
        """The whole body, with any chunked framing taken off; AbortedError when it ends too early.
        ``on_piece`` gets each piece as it arrives.
        """
        pieces = []
        while isinstance(event := await self._exchange.receive(), h11.Data):
            pieces.append(bytes(event.data))
            if on_piece:
                on_piece(pieces[-1])
        if isinstance(event, h11.EndOfMessage):
            self.trailers = {
                name.decode(): value.decode("latin-1") for name, value in event.headers
            }
        return b"".join(pieces)


class _Exchange:
    """One connection: requests in, replies out, one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._reader = reader
        self._writer = writer

    async def serve(self, handler: Handler) -> None:
        while request := await self._next_request():
            # Nothing is read while the handler waits: a client that hangs up during a poll goes
            # unnoticed, as in Lambda.
            await self._send(await handler(request))
            if not await self._ready_for_another():
                return

    async def receive(self) -> Any:
        while (event := self._parse()) is h11.NEED_DATA:
            if self._h11.they_are_waiting_for_100_continue:
                await self._write(h11.InformationalResponse(status_code=100, headers=[]))
            self._h11.receive_data(await self._reader.read(1 << 16))
        return event

    def _parse(self) -> Any:
        try:
            return self._h11.next_event()
        except h11.RemoteProtocolError as error:
            if self._h11.our_state is h11.IDLE:
                raise
            raise AbortedError(str(error)) from error

    async def _next_request(self) -> Request | None:
        try:
            event = await self.receive()
        except h11.RemoteProtocolError as error:
            await self._refuse(error)
            return None
        if not isinstance(event, h11.Request):
            return None
        headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers
        ]
        return Request(event.method.decode(), event.target.decode("latin-1"), headers, self)

    async def _refuse(self, error: h11.RemoteProtocolError) -> None:
        text = f"{error.error_status_hint} {error}".encode()
        await self._send(
            Reply(
                error.error_status_hint,
                [("Content-Type", "text/plain"), ("Connection", "close")],
                text,
            )
        )

    async def _send(self, reply: Reply) -> None:
        # As Go does: a line break in a value becomes a blank.
        headers = [
            (name.encode(), value.translate(BLANKS).encode()) for name, value in reply.headers
        ]
        headers.append((b"Date", formatdate(usegmt=True).encode()))
        if len(reply.body) > CHUNKED_ABOVE_BYTES:
            headers.append((b"Transfer-Encoding", b"chunked"))
        else:
            headers.append((b"Content-Length", b"%d" % len(reply.body)))
        if self._h11.they_are_waiting_for_100_continue:
            headers.append((b"Connection", b"close"))
        await self._write(h11.Response(status_code=reply.status, headers=headers))
        if reply.body:
            await self._write(h11.Data(data=reply.body))
        await self._write(h11.EndOfMessage())

    async def _write(self, event: Any) -> None:
        self._writer.write(self._h11.send(event) or b"")
        await self._writer.drain()

    async def _ready_for_another(self) -> bool:
        while self._h11.their_state is h11.SEND_BODY and self._h11.our_state is not h11.MUST_CLOSE:
            await self.receive()
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            return False
        self._h11.start_next_cycle()
        return True


class HttpServer:
    """Serves one handler on 127.0.0.1."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, port: int) -> int:
        """Listen on ``port`` (0: any free one) and return it."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", port)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def drop_connections(self) -> None:
        """Close every connection at once, whatever it waits for; new ones are accepted."""
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._server:
            self._server.close()
        await self.drop_connections()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(_Exchange(reader, writer).serve(self._handler))
        self._connections.add(task)
        try:
            with contextlib.suppress(ConnectionError, AbortedError, asyncio.CancelledError):
                await task
        finally:
            self._connections.discard(task)
            writer.close()


def not_found() -> Reply:
    """Go's own 404."""
    return Reply(404, [("Content-Type", "text/plain; charset=utf-8")], b"404 page not found\n")


def wrong_method(allowed: str) -> Reply:
    """A path we know, a method it does not have."""
    return Reply(405, [("Allow", allowed)])
