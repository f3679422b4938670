"""A connected socket and what has been read from it ahead."""

import _socket
import select

from lrap_otel.http1.bodies import body_of
from lrap_otel.http1.errors import DisconnectedError, RemoteProtocolError
from lrap_otel.http1.heads import CHUNKED, HEAD_END, HEAD_LIMIT_BYTES, UNTIL_CLOSE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from lrap_otel.http1.bodies import Body
    from lrap_otel.http1.heads import Framed

    class Readable(Protocol):
        """Something to wait for beside a stream."""

        def fileno(self) -> int: ...


RECEIVE_BYTES = 65_536
# Of more than this no copy is made, unless it comes in so many parts. The kernel takes 1,024.
ONE_PIECE_BYTES = 65_536
_PARTS_LIMIT = 256
_RESET_AT_CLOSE = b"\1\0\0\0\0\0\0\0"  # struct linger: on, 0 s
# Of a body of this size the memory may be kept for the next; page by page it would take half the
# time that its bytes take. It is not kept for one that needs far less.
LARGE_BYTES = 16_384
_LARGER_AT_MOST = 8
# Of the rest of a large body, which is read whole before it goes on: fewer, larger pieces.
_LARGE_RECEIVE_BYTES = 1_048_576
# What chunk lines may add to a body that is within its limit.
_FRAMING_BYTES = 262_144


class ReusedMemory:
    """Memory into which large bodies are read, one after the other."""

    __slots__ = ("_buffer", "is_used")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.is_used = False

    def view(self, length: int) -> memoryview:
        """So many bytes, which may have been those of the view before."""
        self.is_used = True
        if not length <= len(self._buffer) <= _LARGER_AT_MOST * length:
            self._buffer = bytearray(length)
        return memoryview(self._buffer)[:length]

    def __len__(self) -> int:
        return len(self._buffer)

    def release(self) -> None:
        """Keep none of it."""
        if self.is_used:
            self._buffer = bytearray()
            self.is_used = False


class Stream:
    """One side of an exchange.

    `peer`, `CLIENT` or `SERVER`, is at the other end. `buffered`: what has been read and not used.
    `is_reused`: a message has passed here before, so the peer may have closed it since.
    `snapshot_generation`: see `Upstream`.
    """

    __slots__ = (
        "_hang_up",
        "_news",
        "_watch",
        "_watched",
        "buffered",
        "is_reused",
        "peer",
        "snapshot_generation",
        "socket",
    )

    def __init__(self, socket: _socket.socket, peer: str, snapshot_generation: int = 0) -> None:
        self.socket = socket
        self.peer = peer
        self.snapshot_generation = snapshot_generation
        self.is_reused = False
        self.buffered = b""
        self._hang_up = select.poll()
        self._hang_up.register(socket, select.POLLRDHUP)
        self._news = select.poll()
        self._news.register(socket, select.POLLIN | select.POLLRDHUP)
        # One poll over this stream and others: what it was made for, by descriptor.
        self._watch = self._hang_up
        self._watched: tuple[Readable, ...] = ()

    def receive(self) -> bytes:
        """What was buffered, or what comes next; empty at the peer's end."""
        data = self.buffered
        if data:
            self.buffered = b""
            return data
        return self.socket.recv(RECEIVE_BYTES)

    def read_head(self) -> bytes:
        """The next head with its blank line; empty if the peer ended in good order before the first
        byte.

        `DisconnectedError` if it ended later. `RemoteProtocolError` if the head is too long (431),
        or if a blank line ends it only for a lenient reader.
        """
        data = self.buffered or self.socket.recv(RECEIVE_BYTES)
        end = data.find(HEAD_END)
        if end < 0:
            if not data:
                return data
            data, end = self._read_to_head_end(data)
        end += 4
        self.buffered = data[end:]
        return data[:end]

    def _read_to_head_end(self, start: bytes) -> tuple[bytes, int]:
        data = bytearray(start)
        searched = 0
        while len(data) <= HEAD_LIMIT_BYTES:
            # A bare LF before what would be the blank line: the sender waits for an answer now.
            if data.find(b"\n\n", searched) >= 0 or data.find(b"\n\r\n", searched) >= 0:
                raise RemoteProtocolError(self.peer, "a bare LF in a head")
            more = self._receive_more()
            searched = max(0, len(data) - 3)
            data += more
            end = data.find(HEAD_END, searched)
            if 0 <= end <= HEAD_LIMIT_BYTES:
                return bytes(data), end
        raise RemoteProtocolError(self.peer, "the head is longer than 1 MiB", status=431)

    def _receive_more(self) -> bytes:
        try:
            more = self.socket.recv(RECEIVE_BYTES)
        except ConnectionResetError as error:
            raise DisconnectedError(self.peer, "the connection was reset inside a head") from error
        if not more:
            raise DisconnectedError(self.peer, "the connection ended inside a head")
        return more

    def read_body(
        self, head: "Framed", limit_bytes: int, memory: ReusedMemory | None = None
    ) -> "list[bytes | memoryview] | None":
        """The whole body of `head` as framed on the wire, in the pieces in which it comes.

        None, and nothing of it used up, if it is longer than the limit. Most of a large one is a
        view of `memory`, which the next large one is read into as well.

        `DisconnectedError` if the peer breaks off, `RemoteProtocolError` if a chunk is malformed.
        """
        buffered = self.buffered
        if len(buffered) == head.body_length:  # the usual message: all of it has come
            self.buffered = b""
            if memory is not None:
                memory.release()
            return [buffered]
        body = body_of(head)
        buffered = self.take(body, self.receive()) if buffered else b""
        parts: list[bytes | memoryview] = [buffered] if buffered else []
        if memory is not None:
            length = len(buffered) + body.unframed_bytes
            if body.unframed_bytes and LARGE_BYTES <= length <= limit_bytes:
                parts = [self._read_unframed(body, buffered, memory.view(length))]
            else:
                memory.release()
        length = sum(map(len, parts))
        most = limit_bytes + (_FRAMING_BYTES if head.body_length == CHUNKED else 0)
        while not body.is_complete:
            if length > most:
                self.buffered = b"".join(parts) + self.buffered
                return None
            # No larger than what will come: memory that was not there before is what takes the
            # time.
            expected = max(RECEIVE_BYTES, min(body.expected_bytes, _LARGE_RECEIVE_BYTES))
            data = self.take(body, self.socket.recv(expected))
            if data:
                parts.append(data)
                length += len(data)
            elif head.body_length == UNTIL_CLOSE:
                break
            else:
                raise self.broke_off()
        return parts

    def _read_unframed(self, body: "Body", buffered: bytes, view: memoryview) -> memoryview:
        """`buffered` and what follows it up to the next thing to look at."""
        position, end = len(buffered), len(view)
        view[:position] = buffered
        while position < end:
            received = self.socket.recv_into(view[position : position + _LARGE_RECEIVE_BYTES])
            if not received:
                raise self.broke_off()
            body.pass_over(received)
            position += received
        return view

    def take(self, body: "Body", data: bytes) -> bytes:
        """The part of `data`, just received, that belongs to this body; the rest is buffered."""
        used = body.take(data)
        if used < len(data):
            self.buffered = data[used:]
            return data[:used]
        return data

    def broke_off(self) -> DisconnectedError:
        """The peer has gone in the middle of a body."""
        return DisconnectedError(self.peer, f"the {self.peer} broke off a body")

    def send(self, data: bytes) -> None:
        """Send all of it, as fast as the peer takes it."""
        self.socket.sendall(data)

    def send_all(self, parts: "Sequence[bytes | memoryview]") -> None:
        """Send all of them, in one go: a beginning that the peer sees alone would only wake it."""
        if len(parts) == 1:
            self.socket.sendall(parts[0])
            return
        length = sum(map(len, parts))
        if length <= ONE_PIECE_BYTES or len(parts) > _PARTS_LIMIT:
            self.socket.sendall(b"".join(parts))
            return
        sent = self.socket.sendmsg(parts)
        for part in parts if sent < length else ():
            self.socket.sendall(memoryview(part)[sent:])
            sent = max(0, sent - len(part))

    def is_gone(self) -> bool:
        """Has the peer ended its side? A send would succeed all the same, and be lost."""
        return bool(self._hang_up.poll(0))

    def is_quiet(self) -> bool:
        """Nothing has come since the last message: neither bytes, which nobody asked for, nor the
        peer's end.
        """
        return not self.buffered and not self._news.poll(0)

    def wait_for_any(
        self, others: "tuple[Readable, ...]", timeout_ms: int | None
    ) -> "list[Readable]":
        """Wait until one of `others` has something to read, and return those that have.

        None of them: the peer has ended its side, or the time is over.
        """
        if others != self._watched:
            self._watch_others(others)
        ready = [descriptor for descriptor, _ in self._watch.poll(timeout_ms)]
        if self.socket.fileno() in ready:
            return []
        return [other for other in others if other.fileno() in ready]

    def _watch_others(self, others: "tuple[Readable, ...]") -> None:
        """Make the poll once: it stays the same from one call of a runtime to the next."""
        self._watch = select.poll()
        self._watch.register(self.socket, select.POLLRDHUP)
        for other in others:
            descriptor = other.fileno()
            if descriptor >= 0:
                self._watch.register(descriptor, select.POLLIN)
        self._watched = others

    def fileno(self) -> int:
        """For `poll`; negative once it is closed."""
        return self.socket.fileno()

    def abort(self) -> None:
        """Close so that the peer sees a reset, never what could pass for a whole message."""
        try:
            self.socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, _RESET_AT_CLOSE)
        except OSError:
            pass  # it is gone already
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()
