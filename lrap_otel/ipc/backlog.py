"""Datagrams that found the channel full, until it has room again: a burst, while the telemetry
process does not get the CPU.
"""

import _thread
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from mmap import mmap

# The function's memory is ours to spare: beyond, records are dropped.
LIMIT_BYTES = 8 * 1024 * 1024
# In front of each datagram stands its length; this stands where the ring goes on at its start.
_LENGTH_BYTES = 4
_FROM_START = b"\xff\xff\xff\xff"


class Backlog:
    """Keeps datagrams in their order and sends them on a thread of its own, which ends when the
    last has gone.

    `waiting` counts them, and is 0 nearly always. While it is not, each sender adds its datagram
    here, so that none overtakes another: what is being sent counts until it has gone. `is_closed`:
    nobody reads any more. `lost` counts those that could not be sent.

    They are kept in a ring buffer of its own mapping, which is unmapped after the last of them;
    memory of `malloc` would stay with us.
    """

    __slots__ = (
        "_is_sending",
        "_last",
        "_lock",
        "_read_at",
        "_ring",
        "_send",
        "_socket",
        "_write_at",
        "is_closed",
        "lost",
        "waiting",
    )

    def __init__(self, socket: int, send: "Callable[[bytes], object]") -> None:
        """`send` raises BlockingIOError where `socket` has no room for a datagram, another OSError
        where it is lost.
        """
        self.waiting = 0
        self.lost = 0
        self.is_closed = False
        self._is_sending = False
        self._last: bytes | None = (
            None  # behind which nothing comes, and for which the ring had no room
        )
        self._lock = _thread.allocate_lock()
        self._read_at = self._write_at = 0
        self._ring: mmap | None = None
        self._send = send
        self._socket = socket

    def add(self, datagram: bytes, *, is_last: bool = False) -> bool:
        """Keep a datagram. False where there is no room, unless it `is_last`, and once the backlog
        is closed.
        """
        with self._lock:
            if self.is_closed or self._last is not None or not self._start():
                return False
            if not self._write(datagram):
                if not is_last:
                    return False
                self._last = datagram
            self.waiting += 1
            return True

    def _start(self) -> bool:
        if not self._is_sending:
            try:
                _thread.start_new_thread(self._send_all, ())
            except RuntimeError:
                return False  # no thread is to be had
            self._is_sending = True
        return True

    def _write(self, datagram: bytes) -> bool:
        entry = len(datagram).to_bytes(_LENGTH_BYTES, "little") + datagram
        start = self._place(len(entry))
        if start is None:
            return False
        if self._ring is None:
            self._ring = _new_ring()
            if self._ring is None:
                return False
        if start < self._write_at <= LIMIT_BYTES - _LENGTH_BYTES:
            self._ring[self._write_at : self._write_at + _LENGTH_BYTES] = _FROM_START
        self._write_at = start + len(entry)
        self._ring[start : self._write_at] = entry
        return True

    def _place(self, length: int) -> int | None:
        """Where in the ring so many bytes fit. It never becomes quite full, so that a full one is
        told from an empty one.
        """
        if not self.waiting:
            self._read_at = self._write_at = 0
        if self._write_at < self._read_at:
            return self._write_at if self._write_at + length < self._read_at else None
        if self._write_at + length <= LIMIT_BYTES:
            return self._write_at
        return 0 if length < self._read_at else None

    def close(self) -> None:
        """Nobody will read any more: let go of what waits, and take nothing."""
        with self._lock:
            self.is_closed = True
            self.waiting = 0
            self._end_ring()

    def _send_all(self) -> None:
        room = select.poll()
        room.register(self._socket, select.POLLOUT)
        room.poll()
        while (oldest := self._oldest()) is not None:
            if self._is_sent(oldest):
                self._has_gone(len(oldest))
            else:
                room.poll()

    def _oldest(self) -> bytes | None:
        with self._lock:
            self._is_sending = self.waiting > 0
            if not self.waiting:
                self._end_ring()
                return None
            if self._ring is None or (self.waiting == 1 and self._last is not None):
                return self._last
            length = self._ring[self._read_at : self._read_at + _LENGTH_BYTES]
            if len(length) < _LENGTH_BYTES or length == _FROM_START:
                self._read_at = 0
                length = self._ring[:_LENGTH_BYTES]
            start = self._read_at + _LENGTH_BYTES
            return self._ring[start : start + int.from_bytes(length, "little")]

    def _is_sent(self, datagram: bytes) -> bool:
        try:
            self._send(datagram)
        except BlockingIOError:
            return False
        except OSError:
            self.lost += 1
        return True

    def _has_gone(self, length: int) -> None:
        with self._lock:
            if not self.is_closed:
                self.waiting -= 1
                self._read_at += _LENGTH_BYTES + length

    def _end_ring(self) -> None:
        if self._ring is not None:
            self._ring.close()
            self._ring = None


def _new_ring() -> "mmap | None":
    """None where no memory is to be had, or no descriptor to load from."""
    try:
        from mmap import mmap  # noqa: PLC0415 - for a burst alone

        return mmap(-1, LIMIT_BYTES)
    except (ImportError, OSError):
        return None
