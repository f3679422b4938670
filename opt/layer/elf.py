"""ELF files, as far as a layer needs them: their libraries, their loader, and sections that nothing
reads.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MACHINES = {62: "x86_64", 183: "aarch64"}

_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3
_NEEDED, _STRING_TABLE = 1, 5
_NO_BITS = 8

# Sections that nothing reads while the program runs. Unwind tables are for C++ exceptions,
# debuggers and pthread_exit's libgcc_s, none of which is in a layer: a twelfth of the zip.
_UNREAD = frozenset(
    {b".eh_frame", b".eh_frame_hdr", b".note.stapsdt", b".gnu_debuglink", b".comment"}
)


class ElfError(ValueError):
    """Not a 64-bit little-endian ELF file, or a truncated one."""


class _Segment(NamedTuple):
    kind: int
    offset: int
    address: int
    size: int


def architecture(content: bytes) -> str:
    """``x86_64`` or ``aarch64``. Raises ElfError for another machine's file or no ELF file."""
    _check(content)
    (machine,) = struct.unpack_from("<H", content, 18)
    if machine not in MACHINES:
        raise ElfError(f"the file is for ELF machine {machine}")
    return MACHINES[machine]


def is_elf(content: bytes) -> bool:
    """Whether this is an ELF file of any kind."""
    return content[:4] == b"\x7fELF"


def loader(content: bytes) -> str:
    """The path of the loader that a program names (PT_INTERP); empty if it names none."""
    for segment in _segments(content):
        if segment.kind == _INTERPRETER:
            return content[segment.offset : segment.offset + segment.size].rstrip(b"\0").decode()
    return ""


def needed(content: bytes) -> list[str]:
    """The names of the shared libraries that a file loads (DT_NEEDED), in order."""
    segments = list(_segments(content))
    entries = [
        entry
        for segment in segments
        if segment.kind == _DYNAMIC
        for entry in _dynamic(content, segment)
    ]
    strings = next((_offset(segments, value) for tag, value in entries if tag == _STRING_TABLE), 0)
    return [_text(content, strings + value).decode() for tag, value in entries if tag == _NEEDED]


def trimmed(content: bytes) -> bytes:
    """The program with unread sections zeroed, which compress to nothing, and without the section
    table.

    Offsets do not change.
    """
    result = bytearray(content)
    for name, kind, offset, size in _sections(content):
        if name in _UNREAD and kind != _NO_BITS:
            result[offset : offset + size] = bytes(size)
    end = max(
        segment.offset + segment.size for segment in _segments(content) if segment.kind == _LOAD
    )
    struct.pack_into("<Q", result, 0x28, 0)
    struct.pack_into("<HH", result, 0x3C, 0, 0)
    return bytes(result[:end])


def _check(content: bytes) -> None:
    if not is_elf(content) or content[4:6] != b"\x02\x01" or len(content) < 64:
        raise ElfError("not a 64-bit little-endian ELF file")


def _segments(content: bytes) -> Iterator[_Segment]:
    _check(content)
    (table,) = struct.unpack_from("<Q", content, 0x20)
    size, count = struct.unpack_from("<HH", content, 0x36)
    for number in range(count):
        kind, _, offset, address, _, in_file, _, _ = struct.unpack_from(
            "<IIQQQQQQ", content, table + number * size
        )
        yield _Segment(kind, offset, address, in_file)


def _dynamic(content: bytes, segment: _Segment) -> Iterator[tuple[int, int]]:
    for offset in range(segment.offset, segment.offset + segment.size, 16):
        tag, value = struct.unpack_from("<QQ", content, offset)
        if tag == 0:
            return
        yield tag, value


def _offset(segments: list[_Segment], address: int) -> int:
    for segment in segments:
        if segment.kind == _LOAD and segment.address <= address < segment.address + segment.size:
            return address - segment.address + segment.offset
    raise ElfError(f"address {address:#x} is in no segment")


def _sections(content: bytes) -> Iterator[tuple[bytes, int, int, int]]:
    (table,) = struct.unpack_from("<Q", content, 0x28)
    size, count, names = struct.unpack_from("<HHH", content, 0x3A)
    if not table:
        return
    (names_offset,) = struct.unpack_from("<Q", content, table + names * size + 0x18)
    for number in range(count):
        name, kind, _, _, offset, length = struct.unpack_from(
            "<IIQQQQ", content, table + number * size
        )
        yield _text(content, names_offset + name), kind, offset, length


def _text(content: bytes, offset: int) -> bytes:
    return content[offset : content.index(b"\0", offset)]
