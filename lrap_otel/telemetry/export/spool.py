"""The spool: a copy of the spans that no export could deliver, in one file that outlives this
process.

A reset of the sandbox and a kill leave ``/tmp`` as it is, so the next start sends them. Loaded only
once an export has failed, or if a file is there.

The file is append-only: a line that names the version and the encoding, then records of kind,
length, checksum and body. `RESOURCE` precedes the spans that it speaks for; `SPAN` is one encoded
span; `OVER` says how many spans, counted from the oldest, need not be sent any more; `MISSING` how
many older ones had no room. Records are read up to the first that is torn or damaged.

The function has the same user and shares ``/tmp``, so what lies in the spool's place counts as a
stranger's until it proves to be a plain file of ours. Nothing here waits.
"""

import posix
from binascii import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    # An encoded resource and an encoded span.
    Stored = tuple[bytes, bytes]

RESOURCE, SPAN, OVER, MISSING = range(1, 5)
_HEAD_BYTES = 9
_COUNT_BYTES = 4
# A stranger's file may hold a million empty ones. Of ours, 8 MiB hold a fifth of this.
_SPANS_LIMIT = 100_000
# Once the file is full, the newest spans that take this share of it are written anew.
_KEPT_SHARE = 0.75
_KIND, _REGULAR = 0o170000, 0o100000
_OTHERS = 0o077
_FLAGS = posix.O_RDWR | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC | posix.O_APPEND


class NotOursError(OSError):
    """Something lies in the spool's place that cannot be used. The text is for people."""


class Content:
    """What a file holds: `spans` that are not over, oldest first; `missing`, how many older ones
    were given up for want of room; `intact_bytes` before the first record that is torn or damaged.
    """

    __slots__ = ("intact_bytes", "is_damaged", "missing", "spans")

    def __init__(self) -> None:
        self.spans: list[Stored] = []
        self.missing = 0
        self.intact_bytes = 0
        self.is_damaged = False


def header(encoding: str) -> bytes:
    """The first line of a file whose spans are encoded so."""
    return f"lrap-otel spool 1 {encoding}\n".encode()


def record(kind: int, body: bytes) -> bytes:
    """One record."""
    head = bytes((kind,)) + len(body).to_bytes(4, "big")
    return head + crc32(body, crc32(head)).to_bytes(4, "big") + body


def counted(kind: int, count: int) -> bytes:
    """A record that is a number."""
    return record(kind, count.to_bytes(_COUNT_BYTES, "big"))


def parse(data: bytes, encoding: str) -> Content:
    """Read a file's bytes. They may be anything: nothing is raised, and no record is taken whose
    checksum is wrong.
    """
    content = Content()
    first_line = header(encoding)
    if not data.startswith(first_line):
        content.is_damaged = True
        return content
    resource: bytes | None = None
    position = len(first_line)
    while (found := _record_at(data, position)) is not None:
        kind, body, end = found
        if kind == RESOURCE:
            resource = body
        elif kind == SPAN and resource is not None and len(content.spans) < _SPANS_LIMIT:
            content.spans.append((resource, body))
        elif kind in {OVER, MISSING} and len(body) == _COUNT_BYTES:
            _count(content, kind, int.from_bytes(body, "big"))
        else:
            break
        position = end
    content.intact_bytes = position
    content.is_damaged = position < len(data)
    return content


def _record_at(data: bytes, position: int) -> tuple[int, bytes, int] | None:
    """The kind, body and end of a record; None if none begins here that is whole and right."""
    body_at = position + _HEAD_BYTES
    end = body_at + int.from_bytes(data[position + 1 : position + 5], "big")
    if body_at > len(data) or end > len(data):
        return None
    body = data[body_at:end]
    checksum = crc32(body, crc32(data[position : position + 5]))
    if checksum != int.from_bytes(data[position + 5 : body_at], "big"):
        return None
    return data[position], body, end


def _count(content: Content, kind: int, count: int) -> None:
    if kind == MISSING:
        content.missing += count
        return
    of_missing = min(count, content.missing)
    content.missing -= of_missing
    del content.spans[: count - of_missing]


class Spool:
    """The file, as one process has it. Its methods raise OSError, and the file is then as it was or
    gone.
    """

    def __init__(self, path: str, limit_bytes: int, encoding: str) -> None:
        """`encoding` names what the spans' bytes are; a file with another is not read."""
        self.path = path
        self._limit_bytes = limit_bytes
        self._encoding = encoding
        self._file = -1
        self._size = 0
        self._spans = 0
        self._resource: bytes | None = None

    def take(self) -> Content | None:
        """What an earlier process left, which stays in the file until it is `over`; None if nothing
        is there.

        Raises BlockingIOError while another process has the file, and NotOursError.
        """
        file = self._opened()
        if file is None:
            return None
        try:
            content = parse(_read(file, self._limit_bytes), self._encoding)
            posix.ftruncate(file, content.intact_bytes)
        except BaseException:
            posix.close(file)
            raise
        self._file, self._size = file, content.intact_bytes
        self._spans = len(content.spans) + content.missing
        self._resource = None
        if content.missing or not content.spans:
            try:
                self.over(content.missing)
            except OSError:
                return content  # a full disk: the next process counts the missing ones once more
        return content

    def keep(
        self, new: "Sequence[Stored]", known: int, everything: "Callable[[], Sequence[Stored]]"
    ) -> None:
        """Have `new` spans in the file, after the `known` that it has had. `everything` returns
        both, oldest first: the file may have to be written anew. If there is no room, the oldest
        are left out.
        """
        if not self._is_as_we_left_it():
            self.close()
        data = self._encoded(new, self._resource)
        if self._file < 0 or self._size + len(data) > self._limit_bytes:
            self._write_anew(everything())
            return
        try:
            _write(self._file, data)
        except OSError:
            posix.ftruncate(self._file, self._size)
            raise
        self._size += len(data)
        self._spans = known + len(new)
        self._resource = new[-1][0]

    def over(self, count: int) -> None:
        """The oldest `count` spans need not be sent any more. Once that is all, the file goes."""
        if self._file < 0:
            return
        self._spans -= count
        if self._spans <= 0:
            self.remove()
        elif count:
            mark = counted(OVER, count)
            _write(self._file, mark)
            self._size += len(mark)

    def remove(self) -> None:
        """Remove the file, whichever process wrote it; what is not ours stays."""
        file = self._file if self._file >= 0 else self._opened()
        if file is None:
            return
        self._file = file
        try:
            ours, there = posix.fstat(file), posix.lstat(self.path)
            if (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino):
                posix.unlink(self.path)
        except FileNotFoundError:
            return
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the file, which stays."""
        if self._file >= 0:
            posix.close(self._file)
        self._file, self._size, self._spans, self._resource = -1, 0, 0, None

    def _is_as_we_left_it(self) -> bool:
        if self._file < 0:
            return False
        status = posix.fstat(self._file)
        return status.st_nlink == 1 and status.st_size == self._size

    def _opened(self) -> int | None:
        """The file that is there, locked while it is open; None if none is there."""
        try:
            file = posix.open(self.path, _FLAGS)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise NotOursError(f"{self.path} cannot be used: {error.strerror}") from error
        try:
            self._check(file)
            posix.lockf(file, posix.F_TLOCK, 0)
        except BaseException:
            posix.close(file)
            raise
        return file

    def _check(self, file: int) -> None:
        """Raises NotOursError unless it is a plain file of this user, with one name, for nobody
        else.
        """
        status = posix.fstat(file)
        if (
            status.st_mode & _KIND != _REGULAR
            or status.st_mode & _OTHERS
            or status.st_uid != posix.geteuid()
            or status.st_nlink != 1
        ):
            raise NotOursError(
                f"{self.path} cannot be used: it is not a plain file of this user alone"
            )

    def _write_anew(self, waiting: "Sequence[Stored]") -> None:
        """Write a file with as many of the newest as it may hold, and put it in the place of the
        one that is there. A kill on the way leaves the earlier one.
        """
        kept = self._newest(waiting)
        missing = len(waiting) - len(kept)
        start = header(self._encoding) + (counted(MISSING, missing) if missing else b"")
        data = start + self._encoded(kept, None)
        if self._file < 0 and (there := self._opened()) is not None:
            posix.close(there)  # an earlier one of ours; nothing else is replaced
        new = f"{self.path}.new"
        file = _create(new)
        try:
            posix.lockf(file, posix.F_TLOCK, 0)
            _write(file, data)
            posix.rename(new, self.path)
        except BaseException:
            posix.close(file)
            posix.unlink(new)
            raise
        self.close()
        self._file, self._size, self._spans = file, len(data), len(waiting)
        self._resource = kept[-1][0] if kept else None

    def _newest(self, waiting: "Sequence[Stored]") -> "Sequence[Stored]":
        room_bytes = (
            int(self._limit_bytes * _KEPT_SHARE)
            - len(header(self._encoding))
            - _HEAD_BYTES
            - _COUNT_BYTES
        )
        resource: bytes | None = None
        for number in range(len(waiting) - 1, -1, -1):
            of_span, span = waiting[number]
            room_bytes -= _HEAD_BYTES + len(span)
            if of_span is not resource:
                room_bytes -= _HEAD_BYTES + len(of_span)
                resource = of_span
            if room_bytes < 0:
                return waiting[number + 1 :]
        return waiting

    def _encoded(self, spans: "Sequence[Stored]", resource: bytes | None) -> bytes:
        """The records of these spans, after one whose resource was this."""
        records = []
        for of_span, span in spans:
            if of_span != resource:
                records.append(record(RESOURCE, of_span))
                resource = of_span
            records.append(record(SPAN, span))
        return b"".join(records)


def _create(path: str) -> int:
    """A new file, for this user alone. What a kill has left there is removed first."""
    flags = _FLAGS | posix.O_CREAT | posix.O_EXCL
    try:
        return posix.open(path, flags, 0o600)
    except FileExistsError:
        posix.unlink(path)
        return posix.open(path, flags, 0o600)


def _read(file: int, limit_bytes: int) -> bytes:
    pieces = []
    while limit_bytes > 0 and (piece := posix.read(file, limit_bytes)):
        pieces.append(piece)
        limit_bytes -= len(piece)
    return b"".join(pieces)


def _write(file: int, data: bytes) -> None:
    """Raises OSError if not all of it is written: the disk is full."""
    left = memoryview(data)
    while left:
        left = left[posix.write(file, left) :]
