"""A proxy between the runtime and the Runtime API address that it was given: bytes pass unchanged,
and what the function got is recorded.

So events are recorded as the function gets them, after any proxy extension has changed them. The
last command in the chain that starts the runtime is a shell: it writes the address it was given to
a file, and starts the runtime with this proxy's address in its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h11

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

NEXT = "/2018-06-01/runtime/invocation/next"
INVOCATION = "/2018-06-01/runtime/invocation/"
KEPT_BYTES = 256 * 1024
MAX_HEAD_BYTES = 1 << 20
# $0: the file; the first argument: this tap; the rest: the runtime's command.
SCRIPT = (
    'printf %s "$AWS_LAMBDA_RUNTIME_API" >"$0"; AWS_LAMBDA_RUNTIME_API=$1; export '
    'AWS_LAMBDA_RUNTIME_API; shift; exec "$@"'
)


@dataclass(frozen=True)
class Received:
    """What the function got of one event, and when (Unix seconds). ``body`` holds at most its first
    256 KB.
    """

    headers: list[tuple[str, str]]
    body: bytes
    at_s: float


class Tap:
    """Listens for one runtime; ``on_event(request id, received)`` and ``on_answer(request id, Unix
    seconds)``.
    """

    def __init__(
        self,
        note: Path,
        on_event: Callable[[str, Received], None],
        on_answer: Callable[[str, float], None],
    ) -> None:
        """``note`` is the file to which the shell writes the address it was given."""
        self._note = note
        self._on_event = on_event
        self._on_answer = on_answer
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._port = 0

    async def start(self) -> None:
        """Listen on any free port of 127.0.0.1."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]

    def command(self, command: Sequence[str]) -> list[str]:
        """The runtime's command line, with the shell that makes it use this proxy."""
        return ["/bin/sh", "-c", SCRIPT, str(self._note), f"127.0.0.1:{self._port}", *command]

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._server:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._relay(reader, writer))
        self._connections.add(task)
        try:
            with contextlib.suppress(OSError, ValueError, asyncio.CancelledError):
                await task
        finally:
            self._connections.discard(task)
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._note.read_text("utf-8").rpartition(":")
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        observer = _Observer(self._on_event, self._on_answer)
        to_upstream = asyncio.ensure_future(_copy(reader, up_writer, observer.sent))
        to_runtime = asyncio.ensure_future(_copy(up_reader, writer, observer.received))
        try:
            # A runtime may close its half and wait for the reply; what upstream closes is closed.
            await asyncio.wait([to_upstream, to_runtime], return_when=asyncio.FIRST_COMPLETED)
            if to_upstream.done() and not to_upstream.exception():
                await asyncio.wait([to_runtime])
        finally:
            to_upstream.cancel()
            to_runtime.cancel()
            await asyncio.gather(to_upstream, to_runtime, return_exceptions=True)
            up_writer.close()


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, observe: Callable[[bytes], None]
) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
        observe(data)
    writer.write_eof()


class _Observer:
    """Follows the requests and replies of one connection; bytes that it cannot parse end the
    recording, not the connection.
    """

    def __init__(
        self, on_event: Callable[[str, Received], None], on_answer: Callable[[str, float], None]
    ) -> None:
        self._on_event = on_event
        self._on_answer = on_answer
        self._runtime = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._upstream = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._is_lost = False
        self._path = ""
        self._head: h11.Response | None = None
        self._body = bytearray()

    def sent(self, data: bytes) -> None:
        """Bytes of the runtime, after they have gone on."""
        self._follow(self._runtime, data)

    def received(self, data: bytes) -> None:
        """Bytes for the runtime, after they have gone on."""
        self._follow(self._upstream, data)

    def _follow(self, side: h11.Connection, data: bytes) -> None:
        if self._is_lost:
            return
        try:
            side.receive_data(data)
            while self._step(self._runtime, self._upstream) or self._step(
                self._upstream, self._runtime
            ):
                pass
        except h11.ProtocolError:
            self._is_lost = True

    def _step(self, side: h11.Connection, other: h11.Connection) -> bool:
        """Whether an event was taken from one side; the other side's state follows it."""
        event: Any = side.next_event()
        if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
            return False
        self._look(side, event)
        other.send(event)
        states = {
            self._runtime.our_state,
            self._runtime.their_state,
            self._upstream.our_state,
            self._upstream.their_state,
        }
        if states == {h11.DONE}:
            self._runtime.start_next_cycle()
            self._upstream.start_next_cycle()
        return True

    def _look(self, side: h11.Connection, event: Any) -> None:
        if isinstance(event, h11.Request):
            self._path = event.target.decode("latin-1").partition("?")[0]
            if event.method == b"POST" and self._path.startswith(INVOCATION):
                self._on_answer(self._path[len(INVOCATION) :].partition("/")[0], time.time())
        elif isinstance(event, h11.Response):
            self._head = event
            self._body.clear()
        elif side is self._upstream and isinstance(event, h11.Data):
            self._body += event.data[: max(0, KEPT_BYTES - len(self._body))]
        elif (
            side is self._upstream
            and isinstance(event, h11.EndOfMessage)
            and self._path == NEXT
            and self._head
        ):
            headers = [
                (name.decode("latin-1"), value.decode("utf-8", "replace"))
                for name, value in self._head.headers.raw_items()
            ]
            request_id = next(
                (
                    value
                    for name, value in headers
                    if name.lower() == "lambda-runtime-aws-request-id"
                ),
                "",
            )
            self._on_event(request_id, Received(headers, bytes(self._body), time.time()))
