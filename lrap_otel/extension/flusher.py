"""Has the telemetry process export, waits for it, and knows how the last flushes went."""

import time

from lrap_otel.extension.flush import FAILURES_BEFORE_NO_HOLD, may_wait_for_ready
from lrap_otel.ipc import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.extension.state import TelemetryState
    from lrap_otel.ipc.channel import Channel
    from lrap_otel.sandbox.invocations import Invocations


class Flusher:
    """Flushes are numbered from 1. Each wait has a deadline, and ends when the process does.

    `answered` is the number of the last flush that the telemetry process has answered.
    `failures_in_a_row` counts flushes that failed, or were too late, since one succeeded in time.
    """

    __slots__ = (
        "_awaited",
        "_billed_ns",
        "_channel",
        "_dropped_before",
        "_dropped_reported",
        "_dropped_sent",
        "_exported",
        "_failed",
        "_has_invoke_events",
        "_holds_for_ready",
        "_invocations",
        "_number",
        "_results_asked_for",
        "_state",
        "answered",
        "failures_in_a_row",
    )

    def __init__(
        self,
        channel: "Channel",
        state: "TelemetryState",
        invocations: "Invocations",
        *,
        has_invoke_events: bool,
    ) -> None:
        """`has_invoke_events`: Lambda reports invocations, so that each is followed by a flush."""
        self._channel = channel
        self._has_invoke_events = has_invoke_events
        self._state = state
        self._invocations = invocations
        # The last flush that was sent; that is waited for (0: none is); that failed.
        self._number = self._awaited = self._failed = 0
        self._billed_ns = 0
        # Results at the last flush that was sent, and at the last one that exported everything.
        self._results_asked_for = self._exported = 0
        # Of dropped records: sent with the last flush; reported to the collector; reported by the
        # telemetry processes before this one.
        self._dropped_sent = self._dropped_reported = self._dropped_before = 0
        self._holds_for_ready = 0
        self.answered = 0
        self.failures_in_a_row = 0

    @property
    def needs_hold(self) -> bool:
        """The telemetry process is not ready, and one more hold may wait until it is."""
        return not self._state.is_ready and may_wait_for_ready(
            self._holds_for_ready, self._channel.fullness()
        )

    def flush(self, wait_ms: int) -> None:
        """Have everything exported that is finished, and wait for it at most `wait_ms`."""
        if not self._state.is_ready:
            wait_ms = wait_ms if self.needs_hold else 0
            self._holds_for_ready += wait_ms > 0
        self._number += 1
        self._results_asked_for = self._invocations.results
        self._awaited = self._number if wait_ms else 0
        billed_ms = self._billed_ns // 1_000_000
        if self._channel.offer(
            records.flush(self._number, wait_ms, self._count_dropped(), billed_ms)
        ):
            self._billed_ns -= billed_ms * 1_000_000
        self._channel.event_fd.set()
        if wait_ms:
            began_ns = time.monotonic_ns()
            self._wait(wait_ms)
            self._billed_ns += time.monotonic_ns() - began_ns
            if self._state.is_ready and self.answered < self._number:
                self._awaited = 0
                self._fail(self._number)

    def flush_last(self, reason: str, wait_ms: int) -> None:
        """Have everything closed and exported, and wait for it at most `wait_ms`."""
        self._number += 1
        deadline_ms = time.time_ns() // 1_000_000 + wait_ms
        billed_ms = self._billed_ns // 1_000_000
        message = records.shutdown(
            self._number, reason, deadline_ms, self._count_dropped(), billed_ms
        )
        if self._state.is_alive and self._channel.send_within(message, wait_ms):
            self._wait(deadline_ms - time.time_ns() // 1_000_000)
            # A process that died meanwhile has left records unread, which the next may still send.
            self._wait(deadline_ms - time.time_ns() // 1_000_000)

    @property
    def is_answered(self) -> bool:
        """Whether the last flush has been answered."""
        return self.answered >= self._number

    def take_outcome(self, number: int, *, ok: bool) -> None:
        """The telemetry process has answered a flush."""
        if not ok:
            self._fail(number)
        else:
            if number == self._number:  # an earlier one knew of fewer
                self._dropped_reported = self._dropped_sent
                self._exported = self._results_asked_for
            self._succeed(number)
        self.answered = number
        self._state.condition.notify()

    def expect_another_process(self) -> None:
        """The telemetry process has ended, and another one is about to start."""
        self._dropped_before = self._dropped_reported
        self._holds_for_ready = 0

    def lost(self) -> str:
        """For a warning: what the telemetry process takes with it if it ends now, at most.

        Another process may still send what is unread on the channel.
        """
        unexported = self._invocations.results - self._exported + self._invocations.open_count
        if not unexported:
            return ""
        if not self._has_invoke_events:
            return "; what it had neither exported nor kept is lost"
        return (
            f"; what it had neither exported nor kept is lost, of at most {unexported} "
            f"invocation{'s' * (unexported != 1)}"
        )

    def _count_dropped(self) -> int:
        """Records for which there was no room and which no earlier telemetry process
        has reported.
        """
        self._dropped_sent = self._channel.dropped
        return self._dropped_sent - self._dropped_before

    def _wait(self, wait_ms: int) -> None:
        state, number, starts = self._state, self._number, self._state.starts
        state.condition.wait_while(
            lambda: state.is_alive and state.starts == starts and self.answered < number,
            wait_ms / 1_000,
        )

    def _succeed(self, number: int) -> None:
        if number == self._awaited:
            self.failures_in_a_row = 0
        elif number > self._failed:
            # It succeeded later than anybody waited: the next hold is a trial.
            self.failures_in_a_row = min(self.failures_in_a_row, FAILURES_BEFORE_NO_HOLD - 1)

    def _fail(self, number: int) -> None:
        """Each flush fails once: when its wait is over, or when its answer says so."""
        if number > self._failed:
            self._failed = number
            self.failures_in_a_row += 1
