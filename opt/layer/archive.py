"""Archives that are the same in each build: names sorted, times fixed, modes by the
kind of file.
"""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Deflate = Callable[[bytes], bytes]

# 1980-01-01 00:00, the earliest time in a zip.
_DOS_DATE, _DOS_TIME = 0x21, 0
_VERSION, _MADE_ON_UNIX = 20, 3 << 8
_DEFLATED = 8
_DIRECTORY_ATTRIBUTE = 0x10


class Entry(NamedTuple):
    """One file or folder (whose name ends with ``/``) of a tree; `mode` is a full st_mode."""

    name: str
    mode: int
    content: bytes


def entries(root: Path) -> list[Entry]:
    """All files and folders below `root`, sorted by name. Symbolic links are refused: not every
    unzip program supports them.
    """
    found = []
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            raise ValueError(f"{path} is a symbolic link")
        if path.is_dir():
            found.append(Entry(f"{name}/", 0o040755, b""))
        else:
            found.append(
                Entry(
                    name, 0o100755 if path.stat().st_mode & 0o111 else 0o100644, path.read_bytes()
                )
            )
    return sorted(found)


def zlib_deflate(content: bytes) -> bytes:
    """Raw deflate at zlib's best compression."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    return compressor.compress(content) + compressor.flush()


def write_zip(root: Path, target: Path, deflate: Deflate) -> dict[str, int]:
    """Pack the content of `root`. Returns the bytes of each entry in the zip, headers included, by
    name.
    """
    directory, taken, offset = [], {}, 0
    with target.open("wb") as file:
        for entry in entries(root):
            packed = deflate(entry.content) if entry.content else b""
            if packed and zlib.decompress(packed, -15) != entry.content:
                raise ValueError(f"{entry.name}: what was deflated does not inflate to what it was")
            name = entry.name.encode()
            method = _DEFLATED if packed else 0
            sizes = (zlib.crc32(entry.content), len(packed), len(entry.content), len(name), 0)
            local = struct.pack(
                "<IHHHHHIIIHH", 0x04034B50, _VERSION, 0, method, _DOS_TIME, _DOS_DATE, *sizes
            )
            central = struct.pack(
                "<IHHHHHHIIIHHHHHII",
                0x02014B50,
                _MADE_ON_UNIX | _VERSION,
                _VERSION,
                0,
                method,
                _DOS_TIME,
                _DOS_DATE,
                *sizes,
                0,
                0,
                0,
                entry.mode << 16 | (_DIRECTORY_ATTRIBUTE if entry.name.endswith("/") else 0),
                offset,
            )
            file.write(local + name + packed)
            directory.append(central + name)
            taken[entry.name] = len(local) + len(name) + len(packed) + len(central) + len(name)
            offset += len(local) + len(name) + len(packed)
        index = b"".join(directory)
        count = len(directory)
        file.write(
            index + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(index), offset, 0)
        )
    return taken


def tar(found: Sequence[Entry]) -> bytes:
    """A tar archive of these entries, in their order, owned by root, at the epoch."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as file:
        for entry in found:
            info = tarfile.TarInfo(entry.name)
            info.mode, info.size = entry.mode & 0o7777, len(entry.content)
            info.type = tarfile.DIRTYPE if entry.name.endswith("/") else tarfile.REGTYPE
            file.addfile(info, io.BytesIO(entry.content))
    return packed.getvalue()


def checksum(path: Path) -> str:
    """SHA-256 of a file, as hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
