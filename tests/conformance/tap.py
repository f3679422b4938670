"""A relay in front of the Runtime API that keeps the requests sent through it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

import h11

MAX_HEAD_BYTES = 1 << 20
# These name one connection, and the port in them differs with the proxy.
OF_THE_CONNECTION = {b"host", b"connection"}
# These differ in each run, so only their presence is compared.
OF_THE_RUN = {b"lambda-runtime-invocation-id", b"lambda-extension-identifier"}


@dataclass
class Call:
    """One request as the Runtime API received it: names in their order and casing."""

    method: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body: bytearray = field(default_factory=bytearray, repr=False)
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    is_whole: bool = False


class Tap:
    """Listens on 127.0.0.1. ``upstream`` (host:port) is set when it is known. ``calls`` grows."""

    def __init__(self) -> None:
        self.upstream = ""
        self.calls: list[Call] = []
        self._server: asyncio.Server | None = None
        self._relays: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        """Start listening. Returns host:port."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Stop listening and drop what is connected."""
        if self._server:
            self._server.close()
        for relay in self._relays:
            relay.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay = asyncio.ensure_future(self._relay(reader, writer))
        self._relays.add(relay)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await relay
        self._relays.discard(relay)
        writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.upstream.rpartition(":")
        from_upstream, to_upstream = await asyncio.open_connection(host, int(port))
        directions = {
            asyncio.ensure_future(_copy(reader, to_upstream, _Recorder(self.calls))),
            asyncio.ensure_future(_copy(from_upstream, writer, None)),
        }
        try:
            # One end is enough: no peer here sends after the other side has gone.
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            to_upstream.close()
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, recorder: _Recorder | None
) -> None:
    while data := await reader.read(1 << 18):
        if recorder:
            recorder.feed(data)
        writer.write(data)
        await writer.drain()


class _Recorder:
    """The requests of one connection, in the order of their heads among all connections."""

    def __init__(self, calls: list[Call]) -> None:
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._calls = calls
        self._call = Call("", "", [])

    def feed(self, data: bytes) -> None:
        self._h11.receive_data(data)
        while (event := self._h11.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Request):
                self._call = Call(
                    event.method.decode(), event.target.decode(), _comparable(event.headers)
                )
                self._calls.append(self._call)
            elif isinstance(event, h11.Data):
                self._call.body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self._call.trailers = list(event.headers.raw_items())
                self._call.is_whole = True
                if not self._goes_on():
                    return

    def _goes_on(self) -> bool:
        """h11 reads the next request when this one has an answer, so it gets one."""
        self._h11.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
        self._h11.send(h11.EndOfMessage())
        if self._h11.our_state is not h11.DONE:
            return False
        self._h11.start_next_cycle()
        return True


def _comparable(headers: h11.Headers) -> list[tuple[bytes, bytes]]:
    raw = [
        (name, value)
        for name, value in headers.raw_items()
        if name.lower() not in OF_THE_CONNECTION
    ]
    return [(name, b"..." if name.lower() in OF_THE_RUN else value) for name, value in raw]
