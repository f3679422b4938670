"""As much of HTTP/1.1 as it takes to POST to a collector: one deadline over the whole exchange, connections kept, two
exchanges at once.

`http.client` costs a quarter of what the SDK costs to import, and its time-outs are for each read alone, so that a
collector that sends a byte now and then would hold a flush for ever. No proxy variable is ever looked at: the collector
is where the endpoint says.
"""

from __future__ import annotations

import select
import socket
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import urlsplit

from lrap_otel.telemetry.bodies import dechunk
from lrap_otel.telemetry.export.coroutines import until_ready
from lrap_otel.telemetry.heads import Head

if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext

    from lrap_otel.telemetry.export.deadline import Deadline

# A kept connection that lives so long may have taken the request, and be closed for another reason.
_DEAD_WITHIN_S = 5.0
_HEAD_LIMIT_BYTES = 65_536
_BODY_LIMIT_BYTES = 4 * 1024 * 1024
_READ_BYTES = 65_536
_HEAD_END = b"\r\n\r\n"
_DEFAULT_PORTS = {"http": 80, "https": 443}
# What TLS says instead of BlockingIOError. By name: `ssl` takes 8 ms to import, which http does not need.
_TLS_WAITS = {"SSLWantReadError": select.POLLIN, "SSLWantWriteError": select.POLLOUT}

T = TypeVar("T")


class NotSentError(Exception):
    """The server cannot have acted on the request: nothing of it was sent. Says why, in a word."""


class BrokenError(Exception):
    """The request may have arrived; no answer did. Says why, in a word."""


class Reply(NamedTuple):
    status: int
    body: bytes


class Target(NamedTuple):
    """Where a URL leads: `address` is the ``Host`` field, `path` has the query."""

    scheme: str
    host: str
    port: int
    address: str
    path: str

    @classmethod
    def from_url(cls, url: str) -> Target:
        """ValueError where the port is none."""
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        host = parts.hostname or ""
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(scheme, host, parts.port or _DEFAULT_PORTS[scheme], parts.netloc.rpartition("@")[2], path)


class Connection:
    """A connection to one target, opened when it is first needed and kept. One request at a time."""

    def __init__(self, target: Target, tls: SSLContext | None, dead_within_s: float = _DEAD_WITHIN_S) -> None:
        """`dead_within_s`: see `post`."""
        self._dead_within_s = dead_within_s
        self._target = target
        self._tls = tls
        self._socket: socket.socket | None = None

    async def post(self, path: str, fields: dict[str, str], body: bytes, deadline: Deadline) -> Reply:
        """Send one POST to `path` and read the answer before `deadline`.

        A kept connection that turns out dead within `dead_within_s`, before it has answered a byte, is replaced once.

        Raises NotSentError or BrokenError; the connection is closed then, unless it is as good as new.
        """
        request = self._request(path, fields, body)
        begun_s = monotonic()
        kept = self._take_kept()
        if kept is None:
            return await self._exchange_anew(request, deadline)
        try:
            return await self._exchange(kept, request, deadline)
        except _StaleError as error:
            if monotonic() - begun_s > self._dead_within_s:
                raise BrokenError("connection_closed") from error
        try:
            return await self._exchange_anew(request, deadline)
        except NotSentError as error:
            raise BrokenError(str(error)) from error  # the first time it may have arrived

    def close(self) -> None:
        """Close it; the next request opens a new one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _take_kept(self) -> socket.socket | None:
        """The kept socket, unless it has ended."""
        kept, self._socket = self._socket, None
        if kept is not None and _has_ended(kept):
            kept.close()
            return None
        return kept

    def _request(self, path: str, fields: dict[str, str], body: bytes) -> bytes:
        lines = [f"POST {path} HTTP/1.1", f"Host: {self._target.address}"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        lines += [f"Content-Length: {len(body)}", "", ""]
        return "\r\n".join(lines).encode("utf-8", "replace") + body

    async def _opened(self, deadline: Deadline) -> socket.socket:
        try:
            plain = await _connected(self._target.host, self._target.port, deadline)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return await _secured(plain, self._tls, self._target.host, deadline) if self._tls else plain
        except TimeoutError as error:
            raise NotSentError("timeout") from error
        except ConnectionRefusedError as error:
            raise NotSentError("connection_refused") from error
        except (OSError, ValueError) as error:
            raise NotSentError(type(error).__name__) from error

    async def _exchange_anew(self, request: bytes, deadline: Deadline) -> Reply:
        try:
            return await self._exchange(await self._opened(deadline), request, deadline)
        except _StaleError as error:
            raise BrokenError("connection_closed") from error

    async def _exchange(self, wire: socket.socket, request: bytes, deadline: Deadline) -> Reply:
        if deadline.has_come():
            self._socket = wire
            raise NotSentError("timeout")
        is_reusable = False
        try:
            await _send(wire, request, deadline)
            reply, is_reusable = await _read_reply(wire, deadline)
        except TimeoutError as error:
            raise BrokenError("timeout") from error
        finally:
            if is_reusable:
                self._socket = wire
            else:
                wire.close()
        return reply


class _StaleError(Exception):
    """The connection ended before it answered a byte."""


async def _connected(host: str, port: int, deadline: Deadline) -> socket.socket:
    """To the first address that answers. `socket.create_connection` would give each the whole time."""
    error: OSError = ConnectionRefusedError()
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        wire = socket.socket(family, kind, protocol)
        try:
            wire.setblocking(False)
            # Called again once it is writable, `connect` says how it went.
            await _patiently(wire, partial(wire.connect, address), select.POLLOUT, deadline)
        except OSError as refused:
            wire.close()
            error = refused
        else:
            return wire
    raise error


def _has_ended(wire: socket.socket) -> bool:
    """Whether an idle connection has something to read, which is its end, or an answer that nobody waits for. Tickets of TLS
    are neither.
    """
    try:
        wire.recv(1)
    except OSError as error:
        return not isinstance(error, BlockingIOError) and type(error).__name__ not in _TLS_WAITS
    return True


async def _secured(plain: socket.socket, tls: SSLContext, host: str, deadline: Deadline) -> socket.socket:
    wire = plain
    try:
        wire = secured = tls.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
        await _patiently(secured, secured.do_handshake, select.POLLIN, deadline)
    except (OSError, ValueError):
        wire.close()
        raise
    return secured


async def _send(wire: socket.socket, request: bytes, deadline: Deadline) -> None:
    left = memoryview(request)
    try:
        while left:
            left = left[await _patiently(wire, partial(wire.send, left), select.POLLOUT, deadline) :]
    except TimeoutError:
        raise
    except OSError:
        # The server may have refused before it read all (413, say) and closed: its answer may be there to read.
        return


async def _read_reply(wire: socket.socket, deadline: Deadline) -> tuple[Reply, bool]:
    """The reply, and whether another can follow it on this connection."""
    # A round trip away, however near the server: what else is to be sent goes first.
    await until_ready(wire, select.POLLIN, deadline)
    data = await _receive(wire, deadline)
    if not data:
        raise _StaleError
    status = heads_bytes = 0
    while status < 200:
        head, data = await _read_head(wire, data, deadline)
        status = _status(head)
        heads_bytes += len(head)
        if heads_bytes > _HEAD_LIMIT_BYTES:
            raise BrokenError("broken_reply")
    fields = Head(head)
    body, is_reusable = await _read_body(wire, fields, status, data, deadline)
    closes = fields.get("connection").lower() == "close" or head.startswith(b"HTTP/1.0")
    return Reply(status, body), is_reusable and not closes


async def _read_head(wire: socket.socket, data: bytes, deadline: Deadline) -> tuple[bytes, bytes]:
    while _HEAD_END not in data:
        more = await _receive(wire, deadline)
        if not more or len(data) > _HEAD_LIMIT_BYTES:
            raise BrokenError("broken_reply")
        data += more
    head, _, rest = data.partition(_HEAD_END)
    return head, rest


async def _read_body(
    wire: socket.socket, fields: Head, status: int, data: bytes, deadline: Deadline
) -> tuple[bytes, bool]:
    if status in {204, 304}:
        return b"", not data
    length = fields.get("content-length")
    if fields.is_chunked:
        return dechunk(await _read_until(wire, data, deadline, _holds_last_chunk))[0], False
    if length.isascii() and length.isdigit() and len(length) < 16:
        data = await _read_until(wire, data, deadline, lambda so_far: len(so_far) >= int(length))
        return data[: int(length)], len(data) == int(length)
    return await _read_until(wire, data, deadline, lambda _: False), False


async def _read_until(
    wire: socket.socket, data: bytes, deadline: Deadline, is_enough: Callable[[bytes], bool]
) -> bytes:
    while not is_enough(data) and len(data) < _BODY_LIMIT_BYTES:
        more = await _receive(wire, deadline)
        if not more:
            break
        data += more
    return data


async def _receive(wire: socket.socket, deadline: Deadline) -> bytes:
    """The next bytes; none where the connection has ended, in whichever way."""
    try:
        return await _patiently(wire, partial(wire.recv, _READ_BYTES), select.POLLIN, deadline)
    except TimeoutError:
        raise
    except OSError:
        return b""


async def _patiently(wire: socket.socket, operation: Callable[[], T], events: int, deadline: Deadline) -> T:
    """What `operation` returns or raises, once it need not wait for `events` or for what TLS has to do first."""
    while True:
        try:
            return operation()
        except OSError as error:
            awaited = events if isinstance(error, BlockingIOError) else _TLS_WAITS.get(type(error).__name__)
            if awaited is None:
                raise
        if deadline.has_come():
            raise TimeoutError
        await until_ready(wire, awaited, deadline)


def _status(head: bytes) -> int:
    parts = head.split(b"\r\n", 1)[0].split(b" ")
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit() or len(parts[1]) != 3:
        raise BrokenError("broken_reply")
    return int(parts[1])


def _holds_last_chunk(data: bytes) -> bool:
    return data.startswith(b"0\r\n") or b"\r\n0\r\n" in data
