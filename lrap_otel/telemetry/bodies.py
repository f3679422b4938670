"""The body of a result or an error as the record contains it: its first bytes and, if it is long,
its last.
"""

from __future__ import annotations

from lrap_otel.telemetry.heads import Head, parse_fields

_HEX = b"0123456789ABCDEFabcdef"
_SIZE_LIMIT_DIGITS = 16


class Body:
    """What is known of one body, without its transfer coding.

    `first` starts at the beginning of the body. `last` ends at its end, and is empty if `first` is
    the whole body (`is_whole`). `trailers` are the fields after a chunked body, by lower-case name.
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
        lines = last.split(b"\r\n")
        end = _last_chunk(lines)
        if end >= 0:
            self.trailers = _trailers(b"\r\n".join(lines[end + 1 :]))
            lines = lines[:end]
        return data, _without_seams(lines)


def _last_chunk(lines: list[bytes]) -> int:
    """The index of the last chunk's line among the final lines of a chunked body; -1 if it is not
    there.

    Searched backwards: two empty strings (the blank line and the end), trailer fields only, then
    the chunk of size zero. Data further up that looks like an end is not considered.

    Source: RFC 9112, 7.1.
    """
    number = len(lines) - 3
    if lines[-2:] != [b"", b""]:
        return -1
    while number >= 0 and lines[number].find(b":") > 0 and chunk_size(lines[number]) is None:
        number -= 1
    return number if number >= 0 and chunk_size(lines[number]) == 0 else -1


def _without_seams(lines: list[bytes]) -> bytes:
    """The data in the end of a chunked body, without the lines between two chunks.

    The first chunk's beginning is not known, so any line that looks like a size is taken for one.
    JSON has no such line: there is no bare CR LF inside a string.
    """
    parts = lines[:1]
    is_seam = False
    for number, line in enumerate(lines[1:], start=1):
        was_seam, is_seam = (
            is_seam,
            not is_seam and number < len(lines) - 1 and chunk_size(line) is not None,
        )
        if not is_seam:
            parts.append(line if was_seam else b"\r\n" + line)
    return b"".join(parts)


def dechunk(data: bytes) -> tuple[bytes, bytes]:
    """The data of a chunked body, and what follows its last chunk.

    Cut or malformed framing ends the data there; nothing is raised.

    Source: RFC 9112, 7.1.
    """
    parts: list[bytes] = []
    position = 0
    while (line_end := data.find(b"\r\n", position)) >= 0:
        size = chunk_size(data[position:line_end])
        start = line_end + 2
        if size is None:
            break
        if size == 0:
            return b"".join(parts), data[start:]
        parts.append(data[start : start + size])
        position = start + size + 2
    return b"".join(parts), b""


def chunk_size(line: bytes) -> int | None:
    """The size on a chunk's line; None if it has none."""
    digits = line.partition(b";")[0].strip()
    is_size = 0 < len(digits) <= _SIZE_LIMIT_DIGITS and not digits.strip(_HEX)
    return int(digits, 16) if is_size else None


def _trailers(data: bytes) -> dict[str, str]:
    return parse_fields(data.decode("utf-8", "replace").split("\r\n"))
