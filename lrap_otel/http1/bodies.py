"""HTTP/1.1 message bodies, without I/O: where they end, and the payload in their chunks.

Source: RFC 9112.
"""

from lrap_otel.http1.errors import RemoteProtocolError
from lrap_otel.http1.heads import CHUNKED, HEAD_LIMIT_BYTES, TEXT, UNTIL_CLOSE, only, parse_field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from lrap_otel.http1.heads import Framed

    Body: TypeAlias = "LengthBody | ChunkedBody"

# What follows the data of the last chunk but one.
LAST_CHUNK = b"\r\n0\r\n\r\n"

_HEX_DIGITS = only(b"0123456789abcdefABCDEF")
# Of a chunk, in hex: far above any body, far below what could overflow elsewhere; and zeros in
# front as Go takes them.
_SIZE_DIGITS = 15
_SIZE_DIGITS_WITH_ZEROS = 16
_CHUNK_LINE_LIMIT_BYTES = 4_096


class LengthBody:
    """A body whose length stands in the head, or that ends with the connection."""

    __slots__ = ("_left", "is_complete")

    def __init__(self, length: int) -> None:
        self._left = length
        self.is_complete = length == 0

    @property
    def expected_bytes(self) -> int:
        """How much is known to come."""
        return max(self._left, 0)

    # There is nothing to look at in any of it.
    unframed_bytes = expected_bytes

    def pass_over(self, length: int) -> None:
        """So many of those have come."""
        self._left -= length
        self.is_complete = self._left == 0

    def take(self, data: bytes) -> int:
        """How many bytes of `data` belong to this body."""
        if self._left == UNTIL_CLOSE:
            return len(data)
        taken = min(len(data), self._left)
        self._left -= taken
        self.is_complete = self._left == 0
        return taken


class ChunkedBody:
    """A chunked body, followed over any split of its bytes without changing or holding them."""

    __slots__ = ("_in_trailers", "_left", "_line", "_sender", "is_complete")

    def __init__(self, sender: str) -> None:
        self._left = 0  # bytes of the chunk still to come, its CRLF included; 0: a line comes next
        self._line = b""  # of the line that has begun
        self._in_trailers = False
        self._sender = sender
        self.is_complete = False

    @property
    def expected_bytes(self) -> int:
        """How much is known to come: the rest of a chunk, and the least that can follow it."""
        return self._left + len(b"0\r\n\r\n") if self._left else 0

    @property
    def unframed_bytes(self) -> int:
        """How much will come in which there is nothing to look at: the rest of a chunk."""
        return max(self._left - len(b"\r\n"), 0)

    def pass_over(self, length: int) -> None:
        """So many of those have come."""
        self._left -= length

    def take(self, data: bytes) -> int:
        """How many bytes of `data` belong to this body; `RemoteProtocolError` if it is
        malformed.
        """
        position = 0
        while position < len(data) and not self.is_complete:
            position = (
                self._take_line(data, position)
                if self._left == 0
                else self._take_chunk(data, position)
            )
        return position

    def _take_chunk(self, data: bytes, position: int) -> int:
        taken = min(self._left, len(data) - position)
        ending = (
            b"\r\n"[max(0, 2 - self._left) : 2 - self._left + taken]
            if self._left - taken < 2
            else b""
        )
        if data[position + taken - len(ending) : position + taken] != ending:
            raise RemoteProtocolError(self._sender, "a chunk does not end with CRLF")
        self._left -= taken
        return position + taken

    def _take_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position)
        stop = len(data) if end < 0 else end + 1
        self._line += data[position:stop]
        limit = HEAD_LIMIT_BYTES if self._in_trailers else _CHUNK_LINE_LIMIT_BYTES
        if len(self._line) > limit:
            raise RemoteProtocolError(self._sender, "a chunk's line is too long")
        if end >= 0:
            line, self._line = self._line, b""
            self._end_line(line)
        return stop

    def _end_line(self, line: bytes) -> None:
        if not line.endswith(b"\r\n"):
            raise RemoteProtocolError(self._sender, "a bare LF in a chunked body")
        line = line[:-2]
        if not self._in_trailers:
            size = chunk_size(line)
            if size is None:
                raise RemoteProtocolError(self._sender, f"chunk line {line[:40]!r}")
            self._in_trailers = size == 0
            self._left = size + 2 if size else 0
        elif line:
            parse_field(line, self._sender)
        else:
            self.is_complete = True


def chunk_size(line: bytes) -> int | None:
    """The size on one chunk line, its extensions left aside; None if it is malformed."""
    digits, _, extensions = line.partition(b";")
    if (
        digits.translate(_HEX_DIGITS) != digits
        or not 0 < len(digits) <= _SIZE_DIGITS_WITH_ZEROS
        or len(digits.lstrip(b"0")) > _SIZE_DIGITS
        or extensions.translate(TEXT) != extensions
    ):
        return None
    return int(digits, 16)


def body_of(head: "Framed") -> "Body":
    """Follows this head's body to its end."""
    return ChunkedBody(head.sender) if head.body_length == CHUNKED else LengthBody(head.body_length)


def dechunk(pieces: "Sequence[bytes | memoryview]") -> "bytes | memoryview":
    """The payload of a whole, valid chunked body, which came in these pieces."""
    first, last = pieces[0], pieces[-1]
    start = bytes(first[:_CHUNK_LINE_LIMIT_BYTES]).find(b"\r\n") + 2
    # One chunk, as Lambda sends what does not come in one piece: copied once, or not at all if it
    # came in one view.
    if len(pieces) > 1 and start > 2 and bytes(last).endswith(LAST_CHUNK):
        length = sum(map(len, pieces)) - start - len(LAST_CHUNK)
        if chunk_size(bytes(first[: start - 2])) == length:
            if len(pieces) == 2 and len(last) == len(LAST_CHUNK):
                return first[start:]
            return b"".join(
                (memoryview(first)[start:], *pieces[1:-1], memoryview(last)[: -len(LAST_CHUNK)])
            )
    return _dechunk(b"".join(pieces))


def _dechunk(body: bytes) -> bytes:
    payload = []
    position = 0
    while size := chunk_size(body[position : (line_end := body.index(b"\r\n", position))]):
        payload.append(body[line_end + 2 : line_end + 2 + size])
        position = line_end + 4 + size
    return b"".join(payload)
