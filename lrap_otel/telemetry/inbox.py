"""What has come over the channel and waits to be worked off.

A thread of its own reads from the first moment, so that the channel never fills while the SDK is being imported.
"""

from __future__ import annotations

from collections import deque
from threading import Condition, Thread
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from lrap_otel.records import Flush, Record, Shutdown

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT_RECORDS = 10_000
LIMIT_BYTES = 32 * 1024 * 1024


class Arrival(NamedTuple):
    """One record and when it came, in monotonic seconds. `record` is None at the end of the channel."""

    record: Record | None
    at_s: float


class Inbox:
    """A bounded queue between the reading thread and the worker. What does not fit is dropped and counted; a flush and
    a shutdown always fit.
    """

    def __init__(self, receive: Callable[[], Record | None]) -> None:
        """`receive` waits for the next record; None or OSError is the end."""
        self._receive = receive
        self._arrivals: deque[Arrival] = deque()
        self._bytes = 0
        self._dropped = 0
        self._malformed = 0
        self._changed = Condition()

    def start(self) -> None:
        """Start reading, on a thread that does not keep the process alive."""
        Thread(target=self._read, name="inbox", daemon=True).start()

    def take(self, timeout_s: float | None) -> Arrival | None:
        """The oldest record; None if none comes within `timeout_s`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._arrivals, timeout_s):
                return None
            arrival = self._arrivals.popleft()
            self._bytes -= _size(arrival.record)
            return arrival

    def take_counts(self) -> tuple[int, int]:
        """How many records found no room, and how many could not be read, since the last call."""
        with self._changed:
            counts = self._dropped, self._malformed
            self._dropped = self._malformed = 0
            return counts

    def _read(self) -> None:
        while True:
            try:
                record = self._receive()
            except OSError:
                record = None
            except Exception:  # noqa: BLE001 - the one broad except of this thread: whatever it was, the next record counts
                self._malformed += 1
                continue
            self._put(record)
            if record is None:
                return

    def _put(self, record: Record | None) -> None:
        with self._changed:
            is_full = len(self._arrivals) >= LIMIT_RECORDS or self._bytes >= LIMIT_BYTES
            if is_full and not isinstance(record, (Flush, Shutdown, type(None))):
                self._dropped += 1
                return
            self._arrivals.append(Arrival(record, monotonic()))
            self._bytes += _size(record)
            self._changed.notify()


def _size(record: Record | None) -> int:
    return len(record.payload) if record is not None and record.payload else 0
