"""When to flush, and for how long the next event may wait for it. Pure: time and history are passed in."""

# Left to Lambda and the runtime before an invocation's deadline.
DEADLINE_MARGIN_MS = 100
# Left for our own exit before a SHUTDOWN's deadline: at 1.95 of 2 s Lambda already kills.
SHUTDOWN_MARGIN_MS = 150
FAILURES_BEFORE_NO_HOLD = 3
# At 7 % of a CPU, five to seven of the default budget are what its imports take.
HOLDS_FOR_READY = 8
# Of the channel's room: what a telemetry process that stands aside may leave unread before a hold gives it time, and before
# it runs beside the function, which is slower for it. What is lost then would be lost for good.
UNREAD_BEFORE_HOLD = 0.25
UNREAD_BEFORE_RUNNING = 0.5


def hold_ms(budget_ms: int, deadline_ms: int, now_ms: int, failures_in_a_row: int) -> int:
    """How long ``event/next`` may be held back for a flush: 0 is not at all.

    Never past the invocation's deadline less `DEADLINE_MARGIN_MS`, and not at all after `FAILURES_BEFORE_NO_HOLD`
    flushes in a row that failed, until one succeeds. `deadline_ms` and `now_ms` are Unix time.
    """
    if failures_in_a_row >= FAILURES_BEFORE_NO_HOLD:
        return 0
    return max(0, min(budget_ms, deadline_ms - DEADLINE_MARGIN_MS - now_ms))


def shutdown_ms(deadline_ms: int, now_ms: int) -> int:
    """How long the last export may take."""
    return max(0, deadline_ms - SHUTDOWN_MARGIN_MS - now_ms)


def may_wait_for_ready(holds: int, fullness: float) -> bool:
    """Whether one more hold may wait for a telemetry process that is not ready yet, after so many `holds` have.

    It stands aside, so that a hold is all the time it gets. A few may wait, then only those that find the channel filling
    up. `fullness` is the channel's, 0 to 1.
    """
    return holds < HOLDS_FOR_READY or fullness >= UNREAD_BEFORE_HOLD


def may_stand_aside(fullness: float) -> bool:
    """The telemetry process may be kept from reading a while longer."""
    return fullness < UNREAD_BEFORE_RUNNING
