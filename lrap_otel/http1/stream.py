"""A connected socket and what has been read from it ahead."""

import _socket
import select

from lrap_otel.http1.messages import HEAD_END, HEAD_LIMIT_BYTES, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

RECEIVE_BYTES = 65_536
# Of more than this no copy is made, unless it comes in so many parts. The kernel takes 1,024.
_ONE_PIECE_BYTES = 65_536
_PARTS_LIMIT = 256
_RESET_AT_CLOSE = b"\1\0\0\0\0\0\0\0"  # struct linger: on, 0 s


class BrokenError(Exception):
    """A peer went away, or sent nonsense, in the middle of a message."""


class Stream:
    """One side of an exchange.

    `ahead`: what has been read and not used. `is_reused`: a message has passed here before, so the peer may have closed it since. `restores`: see `Upstream`.
    """

    __slots__ = ("_beside", "_hang_up", "_news", "_watch", "ahead", "is_reused", "restores", "socket")

    def __init__(self, socket: _socket.socket, restores: int = 0) -> None:
        self.socket = socket
        self.restores = restores
        self.is_reused = False
        self.ahead = b""
        self._hang_up = select.poll()
        self._hang_up.register(socket, select.POLLRDHUP)
        self._beside: tuple[int, ...] = ()
        self._watch = self._hang_up
        self._news = select.poll()
        self._news.register(socket, select.POLLIN | select.POLLRDHUP)

    def read_head(self) -> bytes:
        """The next head with its blank line; empty where the peer ended in good order before the first byte.

        `BrokenError` where it ended later; `ProtocolError` where the head is too long (431), or where a blank line ends it
        for a lenient reader alone.
        """
        data = self.ahead or self.socket.recv(RECEIVE_BYTES)
        end = data.find(HEAD_END)
        if end < 0:
            if not data:
                return data
            data, end = self._read_to_head_end(data)
        end += 4
        self.ahead = data[end:]
        return data[:end]

    def _read_to_head_end(self, start: bytes) -> tuple[bytes, int]:
        data = bytearray(start)
        searched = 0
        while len(data) <= HEAD_LIMIT_BYTES:
            # A bare LF before what would be the blank line: whoever sent it waits for an answer now.
            if data.find(b"\n\n", searched) >= 0 or data.find(b"\n\r\n", searched) >= 0:
                raise ProtocolError("a bare LF in a head")
            more = self._receive_more()
            searched = max(0, len(data) - 3)
            data += more
            end = data.find(HEAD_END, searched)
            if 0 <= end <= HEAD_LIMIT_BYTES:
                return bytes(data), end
        raise ProtocolError("the head is longer than 1 MiB", status=431)

    def _receive_more(self) -> bytes:
        try:
            more = self.socket.recv(RECEIVE_BYTES)
        except ConnectionResetError as error:
            raise BrokenError("the connection was reset inside a head") from error
        if not more:
            raise BrokenError("the connection ended inside a head")
        return more

    def take_ahead(self) -> bytes:
        """What has been read and not used."""
        data, self.ahead = self.ahead, b""
        return data

    def send(self, data: bytes) -> None:
        """Send all of it, as fast as the peer takes it."""
        self.socket.sendall(data)

    def send_all(self, parts: "Sequence[bytes | memoryview]") -> None:
        """Send all of them, in one go: what the peer could see of a beginning alone would only wake it."""
        length = sum(map(len, parts))
        if length <= _ONE_PIECE_BYTES or len(parts) > _PARTS_LIMIT:
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
        """Nothing has come since the last message: neither bytes, which nobody asked for, nor the peer's end."""
        return not self.ahead and not self._news.poll(0)

    def wait_beside(self, descriptors: tuple[int, ...], timeout_ms: int | None) -> list[int]:
        """Wait until one of `descriptors` has something to read, and return those that have. None of them: the peer has
        ended its side, or the time is over. A negative descriptor is nobody's.
        """
        if descriptors != self._beside:
            self._watch = select.poll()
            self._watch.register(self.socket, select.POLLRDHUP)
            for descriptor in descriptors:
                if descriptor >= 0:
                    self._watch.register(descriptor, select.POLLIN)
            self._beside = descriptors
        ready = [descriptor for descriptor, _ in self._watch.poll(timeout_ms)]
        return [] if self.socket.fileno() in ready else ready

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
