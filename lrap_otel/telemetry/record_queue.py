"""What has come over the channel and waits to be worked off.

A thread of its own reads from the first moment, so that the channel never fills while the rest is
being imported.
"""

from __future__ import annotations

from _collections import deque  # type: ignore[import-not-found]  # of `collections`, which takes 4 ms to import
from _thread import allocate_lock, start_new_thread
from time import monotonic

from lrap_otel.ipc.event_fd import new_event_fd
from lrap_otel.ipc.records import Flush, Record, Shutdown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT_RECORDS = 10_000
LIMIT_BYTES = 32 * 1024 * 1024
# Of batches among them: a function may print faster than we read, and its spans must find room
# beside that.
LIMIT_BATCHES_BYTES = 8 * 1024 * 1024
# What a batch counts at least, so that small ones do not take all places.
_BATCH_BYTES = 4_096
# How the platform's events begin.
_EVENT_BEGINS = b'{"time"'
# Records are worked off together: while one alone is, the function that shares our CPU waits behind
# a cold cache.
TOGETHER_RECORDS = 64
TOGETHER_S = 0.1


class QueuedRecord:
    """One record and when it came, in monotonic seconds. `record` is None at the end of the
    channel.
    """

    __slots__ = ("at_s", "record")

    def __init__(self, record: Record | None, at_s: float) -> None:
        self.record = record
        self.at_s = at_s


class Batch(Record):
    """What the Telemetry API has delivered with one request: its body is the payload, and it came
    at `received_ns` (Unix time). It does not cross the channel.
    """

    received_ns: int

    def __init__(self, received_ns: int, payload: bytes) -> None:
        super().__init__(received_ns)
        self.payload = payload


class RecordQueue:
    """A bounded queue between the reading thread and the worker. What does not fit is dropped and
    counted; a flush and a shutdown always fit.
    """

    def __init__(
        self, receive: Callable[[], Record | None], rest: Callable[[], None] = lambda: None
    ) -> None:
        """`receive` waits for the next record; None or OSError is the end. `rest` is called after
        each but the commands.

        `event_fd` rings while something waits in it that somebody else waits for. OSError where no
        descriptor is free.
        """
        self.event_fd = new_event_fd()
        self._commands = 0
        self._awaited = 0
        self._receive = receive
        self._rest = rest
        self._arrivals: deque[QueuedRecord] = deque()
        self._bytes = self._batches_bytes = 0
        self._dropped = 0
        self._malformed = 0
        self._is_due = False
        self._together_s = TOGETHER_S
        self._lock = allocate_lock()
        # Nobody holds it from when there is news until the worker, who alone waits for it, has
        # taken note.
        self._no_news = allocate_lock()
        self._no_news.acquire()

    def hurry(self) -> None:
        """From now on each record is due at once."""
        with self._lock:
            self._together_s = 0.0

    def start(self) -> None:
        """Start reading, on a thread that does not keep the process alive."""
        start_new_thread(self._read, ())

    def take(self, timeout_s: float | None) -> QueuedRecord | None:
        """The oldest record; None if none is due within `timeout_s`.

        Due are all that are there when a flush, a shutdown or the end comes, when there are
        `TOGETHER_RECORDS`, or when the oldest has waited for `TOGETHER_S`.
        """
        end_s = None if timeout_s is None else monotonic() + timeout_s
        while True:
            with self._lock:
                if self._is_any_due():
                    return self._taken()
                left_s = self._until_due_s(end_s)
            if left_s is not None and left_s <= 0:
                return None
            self._no_news.acquire(timeout=-1 if left_s is None else left_s)

    def _taken(self) -> QueuedRecord:
        arrival: QueuedRecord = self._arrivals.popleft()
        self._bytes -= _size(arrival.record)
        self._batches_bytes -= _size_of_batch(arrival.record)
        self._commands -= _is_command(arrival.record)
        if _is_awaited(arrival.record):
            self._awaited -= 1
            if not self._awaited:
                self.event_fd.clear()
        self._is_due = bool(self._arrivals)
        return arrival

    def _is_any_due(self) -> bool:
        if self._arrivals and monotonic() >= self._arrivals[0].at_s + self._together_s:
            self._is_due = True
        return self._is_due

    def _until_due_s(self, end_s: float | None) -> float | None:
        now_s = monotonic()
        ends_s = [] if end_s is None else [end_s - now_s]
        if self._arrivals:
            ends_s.append(self._arrivals[0].at_s + self._together_s - now_s)
        return min(ends_s) if ends_s else None

    @property
    def has_command(self) -> bool:
        """A flush, a shutdown or the end waits in it."""
        with self._lock:
            return self._commands > 0

    def take_counts(self) -> tuple[int, int]:
        """How many records found no room, and how many could not be read, since the last call."""
        with self._lock:
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
                with self._lock:
                    self._malformed += 1
                continue
            self.put(record)
            if record is None:
                return
            if not _is_command(record):
                self._rest()

    def put(self, record: Record | None) -> None:
        """Add one; None is the end. Any thread may."""
        with self._lock:
            is_command = _is_command(record)
            is_full = len(self._arrivals) >= LIMIT_RECORDS or self._bytes >= LIMIT_BYTES
            if is_full and not is_command:
                self._dropped += 1
                return
            self._make_room(record)
            self._arrivals.append(QueuedRecord(record, monotonic()))
            self._bytes += _size(record)
            self._commands += is_command
            if _is_awaited(record):
                self._awaited += 1
                self.event_fd.set()
            self._is_due = self._is_due or is_command or len(self._arrivals) >= TOGETHER_RECORDS
            if (self._is_due or len(self._arrivals) == 1) and self._no_news.locked():
                self._no_news.release()

    def _make_room(self, record: Record | None) -> None:
        """The oldest batches give way to a new one."""
        self._batches_bytes += _size_of_batch(record)
        while self._batches_bytes > LIMIT_BATCHES_BYTES and _size_of_batch(record):
            oldest = next((each for each in self._arrivals if isinstance(each.record, Batch)), None)
            if oldest is None:
                return
            self._arrivals.remove(oldest)
            self._bytes -= _size(oldest.record)
            self._batches_bytes -= _size_of_batch(oldest.record)
            payload = (oldest.record.payload if oldest.record is not None else None) or b""
            self._dropped += max(payload.count(_EVENT_BEGINS), 1)


def _is_command(record: Record | None) -> bool:
    return record is None or isinstance(record, (Flush, Shutdown))


def _is_awaited(record: Record | None) -> bool:
    """Somebody waits for what it asks; or nobody ever will again, which is as urgent."""
    return (
        record is None
        or isinstance(record, Shutdown)
        or (isinstance(record, Flush) and record.budget_ms > 0)
    )


def _size(record: Record | None) -> int:
    return len(record.payload) if record is not None and record.payload else 0


def _size_of_batch(record: Record | None) -> int:
    """0 of what is none."""
    return max(_size(record), _BATCH_BYTES) if isinstance(record, Batch) else 0
