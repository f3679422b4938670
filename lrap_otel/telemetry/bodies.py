"""The body of a result or an error, as far as the proxy kept it: its first bytes, and of a long one its last."""

from __future__ import annotations

import re

from lrap_otel.telemetry.heads import Head, parse_fields

# Inside a chunked body that was cut, what stands between two chunks. JSON never holds a bare CR LF inside a string.
_CHUNK_SEAM = re.compile(rb"\r\n[0-9A-Fa-f]{1,16}(?:;[^\r\n]*)?\r\n")
_LAST_CHUNK = re.compile(rb"(?:\A|\r\n)0+(?:;[^\r\n]*)?\r\n")


class Body:
    """What is known of one body, its transfer coding taken off.

    `first` starts where the body starts. `last` ends where the body ends and is empty where `first` is the whole, which
    `is_whole` says. `trailers` are the fields after a chunked body, by lower-case name.
    """

    __slots__ = ("first", "is_whole", "last", "trailers")

    def __init__(self, head: Head, captured: bytes, first_length: int, body_length: int) -> None:
        first, last = captured[:first_length], captured[first_length:]
        overlap = len(captured) - body_length
        self.is_whole = overlap >= 0
        if self.is_whole:
            first, last = first + last[overlap:], b""
        self.trailers: dict[str, str] = {}
        if head.is_chunked:
            first, last = self._without_chunks(first, last)
        self.first = first
        self.last = last

    def _without_chunks(self, first: bytes, last: bytes) -> tuple[bytes, bytes]:
        data, rest = dechunk(first)
        if self.is_whole:
            self.trailers = _trailers(rest)
            return data, b""
        ends = list(_LAST_CHUNK.finditer(last))
        if ends:
            self.trailers = _trailers(last[ends[-1].end() :])
            last = last[: ends[-1].start()]
        return data, _CHUNK_SEAM.sub(b"", last)


def dechunk(data: bytes) -> tuple[bytes, bytes]:
    """Take the chunk framing off as far as it goes: the bytes within, and what follows the last chunk.

    Cut or broken framing ends the body there; nothing raises.

    Source: RFC 9112, 7.1.
    """
    parts: list[bytes] = []
    position = 0
    while (line_end := data.find(b"\r\n", position)) >= 0:
        size = _chunk_size(data[position:line_end])
        start = line_end + 2
        if size is None:
            break
        if size == 0:
            return b"".join(parts), data[start:]
        parts.append(data[start : start + size])
        position = start + size + 2
    return b"".join(parts), b""


def _chunk_size(line: bytes) -> int | None:
    digits = line.partition(b";")[0].strip()
    try:
        return int(digits, 16) if digits.isalnum() else None
    except ValueError:
        return None


def _trailers(data: bytes) -> dict[str, str]:
    return parse_fields(data.decode("utf-8", "replace").split("\r\n"))
