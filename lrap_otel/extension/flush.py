"""When to flush, and for how long the next event may wait for it. Pure: time and history are passed
in.
"""

# Left to Lambda and the runtime before an invocation's deadline.
DEADLINE_MARGIN_MS = 100
# Left for our own exit before a SHUTDOWN's deadline: at 1.95 of 2 s Lambda already kills.
SHUTDOWN_MARGIN_MS = 150
FAILURES_BEFORE_NO_HOLD = 3
# A sandbox is busy once it has idled no longer than this between so many invocations in a row. Long
# enough for one call a second, short enough that a span of a busy sandbox is never late by more.
BUSY_GAP_MS = 1_000
BUSY_AFTER = 3
# A busy sandbox flushes once so much time has passed or so many invocations have ended: an export
# costs as much for ten spans as for one, and leaves the function's caches cold.
BUSY_FLUSH_MS = 500
BUSY_UNFLUSHED = 10
# At 7 % of a CPU, the telemetry process's imports take five to seven holds of the default budget.
HOLDS_FOR_READY = 8
# How full the channel may get while the telemetry process is paused: before a hold gives it time,
# and before it runs beside the function, which slows the function down. Records that find no room
# are lost.
UNREAD_BEFORE_HOLD = 0.25
UNREAD_BEFORE_RUNNING = 0.5


class FlushSchedule:
    """When to flush, by ``LRAP_FLUSH``. Times are Unix time in ms, passed in.

    - ``end``: each invocation ends with a flush, which Lambda bills.
    - ``overlap``: each invocation begins with a flush of what the ones before it left, which bills
      nothing as long as it ends first.
    - a number of ms: an invocation ends with a flush if the last one is that long ago.
    - ``auto``: ``end``; while the sandbox is busy, ``overlap`` for up to `BUSY_UNFLUSHED`
      invocations or `BUSY_FLUSH_MS` at once.

    What is at risk if the sandbox is killed without a SHUTDOWN: the invocation that runs, and with
    ``overlap`` the one before it, with ``auto`` up to `BUSY_UNFLUSHED`; with a number, those of
    that many ms.

    By each choice the first invocations end with a flush until the telemetry process is ready.
    """

    __slots__ = ("_choice", "_ended_ms", "_flushed_ms", "_short_gaps", "_unflushed")

    def __init__(self, choice: "str | int" = "auto") -> None:
        self._choice = choice
        self._ended_ms: int | None = None
        self._flushed_ms: int | None = None
        self._short_gaps = 0
        self._unflushed = 0

    def begin(self, now_ms: int, *, can_flush: bool = True) -> bool:
        """Called as an invocation begins. True if what earlier ones left should be flushed beside
        it.

        With `can_flush` False (nothing could take it yet) that is left to a later invocation.
        """
        if self._ended_ms is not None:
            # A clock that was set back is no gap.
            is_short = 0 <= now_ms - self._ended_ms <= BUSY_GAP_MS
            self._short_gaps = self._short_gaps + 1 if is_short else 0
        if (
            not can_flush
            or not self._unflushed
            or self._choice not in ("auto", "overlap")
            or self._may_wait(now_ms)
        ):
            return False
        self._flush(now_ms)
        return True

    def end(self, now_ms: int, *, needs_hold: bool = False) -> bool:
        """Called when an invocation has its result. True if its end should wait for a flush.

        With `needs_hold` (the telemetry process is not ready, and a hold is all the time it gets)
        the flush is not left to a later invocation.
        """
        self._ended_ms = now_ms
        self._unflushed += 1
        if not needs_hold and self._is_left_to_the_next(now_ms):
            return False
        self._flush(now_ms)
        return True

    def _may_wait(self, now_ms: int) -> bool:
        """Whether what earlier invocations left may be flushed beside a later one than this."""
        return (
            self._is_busy
            and self._unflushed < BUSY_UNFLUSHED
            and self._flushed_within(BUSY_FLUSH_MS, now_ms)
        )

    @property
    def _is_busy(self) -> bool:
        return self._choice == "auto" and self._short_gaps >= BUSY_AFTER

    def _flushed_within(self, ms: int, now_ms: int) -> bool:
        return self._flushed_ms is not None and 0 <= now_ms - self._flushed_ms < ms

    def _is_left_to_the_next(self, now_ms: int) -> bool:
        if isinstance(self._choice, int):
            return self._flushed_within(self._choice, now_ms)
        return self._choice == "overlap" or self._is_busy

    def _flush(self, now_ms: int) -> None:
        self._flushed_ms = now_ms
        self._unflushed = 0


def hold_ms(budget_ms: int, deadline_ms: int, now_ms: int, failures_in_a_row: int) -> int:
    """How long ``event/next`` may be held back for a flush: 0 is not at all.

    Never past the invocation's deadline less `DEADLINE_MARGIN_MS`, and not at all after
    `FAILURES_BEFORE_NO_HOLD` flushes in a row that failed, until one succeeds. `deadline_ms` and
    `now_ms` are Unix time.
    """
    if failures_in_a_row >= FAILURES_BEFORE_NO_HOLD:
        return 0
    return max(0, min(budget_ms, deadline_ms - DEADLINE_MARGIN_MS - now_ms))


def shutdown_ms(deadline_ms: int, now_ms: int) -> int:
    """How long the last export may take."""
    return max(0, deadline_ms - SHUTDOWN_MARGIN_MS - now_ms)


def may_wait_for_ready(holds: int, fullness: float) -> bool:
    """Whether one more hold may wait for a telemetry process that is not ready yet, after so many
    `holds` have.

    It is paused while the function runs, so that a hold is all the time it gets. A few may wait,
    then only those that find the channel filling up. `fullness` is the channel's, 0 to 1.
    """
    return holds < HOLDS_FOR_READY or fullness >= UNREAD_BEFORE_HOLD


def may_pause(fullness: float) -> bool:
    """Whether the telemetry process may be kept from reading a while longer."""
    return fullness < UNREAD_BEFORE_RUNNING
