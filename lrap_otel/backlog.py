"""Records that found the channel full, until it has room again: a burst, while the telemetry process does not get the CPU."""

import _thread
import select
from _collections import deque  # type: ignore[import-not-found]  # the C part of `collections`, which costs 2 ms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from lrap_otel.records import Message

    Parts: TypeAlias = "tuple[bytes, ...] | None"
    Waiting: TypeAlias = tuple[Message, Parts, int]

# Of payloads, and what a record takes beside its payload and its texts. The function's memory is ours to spare: beyond, records
# are dropped.
LIMIT_BYTES = 8 * 1024 * 1024
_RECORD_BYTES = 1_024


class Backlog:
    """Keeps records in their order and sends them on a thread of its own, which ends when the last has gone.

    `waiting` is empty in all but such moments. While it is not, whoever has a record adds it, so that none overtakes another: what is
    being sent stays in it until it has gone.
    """

    __slots__ = ("_bytes", "_descriptor", "_is_closed", "_is_sending", "_lock", "_send", "waiting")

    def __init__(self, descriptor: int, send: "Callable[[Message, Parts, int], object]") -> None:
        """`send` gets a record, the parts of its payload (None: left behind) and their length. It raises BlockingIOError where
        `descriptor` has no room for it, and nothing else.
        """
        self.waiting: deque[Waiting] = deque()
        self._bytes = 0
        self._descriptor = descriptor
        self._is_closed = False
        self._is_sending = False
        self._lock = _thread.allocate_lock()
        self._send = send

    def add(self, message: "Message", parts: "Parts", length: int, *, always: bool = False) -> bool:
        """Keep a record whose payload has `length` bytes. False where there is no room, unless it must `always` be kept, and once
        the backlog is closed.
        """
        with self._lock:
            size = _size(message, length)
            has_room = always or self._bytes + size <= LIMIT_BYTES
            if self._is_closed or not has_room or not self._start():
                return False
            self._bytes += size
            self.waiting.append((message, parts, length))
            return True

    def _start(self) -> bool:
        if not self._is_sending:
            try:
                _thread.start_new_thread(self._send_all, ())
            except RuntimeError:
                return False  # no thread is to be had
            self._is_sending = True
        return True

    def close(self) -> None:
        """Nobody will read any more: let go of what waits, and take nothing."""
        with self._lock:
            self._is_closed = True
            self.waiting.clear()
            self._bytes = 0

    def _send_all(self) -> None:
        room = select.poll()
        room.register(self._descriptor, select.POLLOUT)
        room.poll()
        while (oldest := self._oldest()) is not None:
            if self._is_sent(oldest):
                self._has_gone(oldest)
            else:
                room.poll()

    def _is_sent(self, record: "Waiting") -> bool:
        try:
            self._send(*record)
        except BlockingIOError:
            return False
        return True

    def _oldest(self) -> "Waiting | None":
        with self._lock:
            self._is_sending = bool(self.waiting)
            return self.waiting[0] if self.waiting else None

    def _has_gone(self, record: "Waiting") -> None:
        with self._lock:
            if self.waiting and self.waiting[0] is record:  # else it was closed meanwhile
                self.waiting.popleft()
                self._bytes -= _size(record[0], record[2])


def _size(message: "Message", length: int) -> int:
    return _RECORD_BYTES + length + sum([len(field) for field in message[1] if isinstance(field, str)])
