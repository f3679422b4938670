"""From Lambda's INVOKE and SHUTDOWN events to flushes: what holds ``event/next`` back, and for how
long.

The sandbox freezes once the runtime and every extension have asked for their next event. So ours
asks only when the telemetry of an invocation is out, or when there is reason to believe that
waiting would be in vain: SHUTDOWN comes only as the answer to that call, and a hold that waits for
a result that never comes costs us the spans and the function its time.
"""

import time

from lrap_otel import log
from lrap_otel.extension.flush import hold_ms, shutdown_ms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.extension.client import Client
    from lrap_otel.extension.flush import FlushSchedule
    from lrap_otel.extension.telemetry_process import TelemetryProcess
    from lrap_otel.proxy.polls import Polls
    from lrap_otel.proxy.recorder import Recorder
    from lrap_otel.sandbox.invocations import Invocations

_SHUTDOWN_BUDGET_MS = 2_000
# After a fault of our own, before the next event is asked for.
_PAUSE_S = 1.0
# No deadline is further off: the longest invocations, of Managed Instances, have 90 minutes.
_LONGEST_MS = 5_400_000


class Lifecycle:
    """Answers the Extensions API's events. `telemetry` is None if there is none to flush.

    Each step runs through the `recorder`: an extension that ends before SHUTDOWN takes the sandbox
    with it.
    """

    __slots__ = (
        "_budget_ms",
        "_client",
        "_has_warned",
        "_invocations",
        "_polls",
        "_recorder",
        "_schedule",
        "_telemetry",
    )

    def __init__(
        self,
        client: "Client",
        invocations: "Invocations",
        polls: "Polls",
        telemetry: "TelemetryProcess | None",
        recorder: "Recorder",
        flush_budget_ms: int,
        schedule: "FlushSchedule",
    ) -> None:
        self._client = client
        self._invocations = invocations
        self._polls = polls
        self._telemetry = telemetry
        self._recorder = recorder
        self._budget_ms = flush_budget_ms
        self._schedule = schedule
        self._has_warned = False

    def run(self) -> None:
        """Serve events until SHUTDOWN has been dealt with."""
        while True:
            event = self._recorder.observe(self._next_event)
            if event is None:
                time.sleep(_PAUSE_S)
            elif event.get("eventType") == "SHUTDOWN":
                self._recorder.observe(self._shut_down, event)
                return
            elif self._telemetry is not None:
                self._recorder.observe(
                    self._hold,
                    self._telemetry,
                    str(event.get("requestId", "")),
                    _deadline_ms(event),
                )

    def _next_event(self) -> dict[str, object]:
        telemetry = self._telemetry
        if telemetry is None or telemetry.is_ready:
            return self._client.next_event()
        telemetry.expect_event()
        event = self._client.next_event(telemetry.expect_nothing)
        telemetry.event_came()
        return event

    def _hold(self, telemetry: "TelemetryProcess", request_id: str, deadline_ms: int) -> None:
        """Wait for the invocation's result, then for its telemetry to be out, unless that is left
        to the next invocation.
        """
        invoked_ms = _now_ms()
        if self._schedule.begin(invoked_ms, can_flush=telemetry.is_ready):
            telemetry.flush(0)
        self._invocations.wait_while(
            lambda: telemetry.is_alive and self._is_awaited(request_id),
            (deadline_ms - _now_ms()) / 1_000,
        )
        began_ms = _now_ms()
        telemetry.resume()  # for the flush; if none follows, until we ask for the next event
        if self._invocations.has_ended(request_id) and telemetry.is_alive:
            is_flushed = self._schedule.end(began_ms, needs_hold=telemetry.needs_hold)
            if is_flushed:
                telemetry.flush(
                    hold_ms(self._budget_ms, deadline_ms, _now_ms(), telemetry.failures_in_a_row)
                )
            if log.is_printed("debug"):
                how = (
                    f"flushed in {_now_ms() - began_ms} ms"
                    if is_flushed
                    else "left to the next invocation's flush"
                )
                log.debug(f"{request_id}: {how} after {began_ms - invoked_ms} ms")
        elif (
            telemetry.is_alive
            and not self._invocations.was_delivered(request_id)
            and not self._recorder.failures
        ):
            self._warn_once()  # without a telemetry process the wait ends before the event can come
        # A retry has the same request id, and its INVOKE may come before its event: it must not
        # find the end of this attempt.
        self._invocations.forget_end(request_id)

    def _is_awaited(self, request_id: str) -> bool:
        """Whether its result may still come through the proxy."""
        if self._invocations.was_delivered(request_id):
            return self._invocations.is_open(request_id)
        return bool(self._polls.waiting)

    def _warn_once(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            log.warning(
                "an event did not come through the proxy, so it is not traced: "
                "does the function start through the wrapper "
                "(AWS_LAMBDA_EXEC_WRAPPER=/opt/lrap-otel/wrapper)?"
            )

    def _shut_down(self, event: dict[str, object]) -> None:
        if self._telemetry is not None:
            reason = str(event.get("shutdownReason", "")).lower()
            self._telemetry.shut_down(reason, shutdown_ms(_deadline_ms(event), _now_ms()))


def _deadline_ms(event: dict[str, object]) -> int:
    deadline_ms = event.get("deadlineMs")
    if isinstance(deadline_ms, int):
        return min(deadline_ms, _now_ms() + _LONGEST_MS)
    return _now_ms() + _SHUTDOWN_BUDGET_MS


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
