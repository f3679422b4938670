"""Reads HTTP/1.1 messages whose sender is believed: a collector's answers, Lambda's deliveries.

It takes more than HTTP/1.1 allows, since the peer has done its part whatever its framing is like;
what the function gets or gives is read strictly, by `lrap_otel.http1`.
"""

from __future__ import annotations

from lrap_otel.telemetry.bodies import chunk_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.telemetry.heads import Head

HEAD_LIMIT_BYTES = 65_536
# OTLP's for an answer. A batch of the Telemetry API has up to twice the largest buffer, 1 MiB, and
# a little more. Source: OTLP specification, "OTLP/HTTP Response".
BODY_LIMIT_BYTES = 4 * 1024 * 1024
_LINE_LIMIT_BYTES = 4_096


class MessageReader:
    """Reads the messages of one connection, one after the other.

    `receive` returns the next bytes; none at the end. What it raises passes through. `ahead`: what
    has come and has not been read.
    """

    __slots__ = ("_receive", "ahead")

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        self.ahead = bytearray()

    def read_more(self) -> bool:
        """Receive what comes next. False at the end."""
        data = self._receive()
        self.ahead += data
        return bool(data)

    def head(self) -> bytes | None:
        """The next head without its blank line; None if the end or the limit comes first."""
        return self._until(b"\r\n\r\n", HEAD_LIMIT_BYTES)

    def body(self, head: Head, default_length: str = "") -> tuple[bytes, bool]:
        """The body of `head`, without chunk lines, and whether it came to its end, which the
        connection outlives.

        Of a body that breaks off or is malformed: what came before. Of one longer than
        `BODY_LIMIT_BYTES`: nothing, but it is read to its end. Without a length in `head` or by
        default it ends with the connection.
        """
        body = bytearray()
        length = head.get("content-length") or default_length
        if head.is_chunked:
            is_whole = self._chunks(body)
        elif length.isascii() and length.isdigit() and len(length) < 16:
            is_whole = self._exactly(int(length), body)
        else:
            while self.ahead or self.read_more():
                self._exactly(len(self.ahead), body)
            is_whole = False
        return bytes(body) if len(body) <= BODY_LIMIT_BYTES else b"", is_whole

    def _chunks(self, body: bytearray) -> bool:
        while size := chunk_size(self._until(b"\r\n", _LINE_LIMIT_BYTES) or b""):
            if not self._exactly(size, body) or self._until(b"\r\n", 2) != b"":
                return False
        trailers_bytes = 0
        while size == 0 and trailers_bytes < HEAD_LIMIT_BYTES:
            trailer = self._until(b"\r\n", _LINE_LIMIT_BYTES)
            if not trailer:
                return trailer == b""
            trailers_bytes += len(trailer)
        return False

    def _exactly(self, length: int, body: bytearray) -> bool:
        while length:
            if not self.ahead and not self.read_more():
                return False
            part = self.ahead[:length]
            del self.ahead[:length]
            length -= len(part)
            if len(body) <= BODY_LIMIT_BYTES:
                body += part
        return True

    def _until(self, mark: bytes, limit: int) -> bytes | None:
        """What comes before `mark`, which is taken as well; None if it is not within `limit`."""
        searched = 0
        while (end := self.ahead.find(mark, searched)) < 0:
            searched = max(0, len(self.ahead) - len(mark) + 1)
            if len(self.ahead) > limit or not self.read_more():
                return None
        found = bytes(self.ahead[:end])
        del self.ahead[: end + len(mark)]
        return found
