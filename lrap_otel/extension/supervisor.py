"""What the proxy process knows of its telemetry process: whether it lives, and how its last flush went."""

import _thread
import posix
import time

from lrap_otel import log, records
from lrap_otel.extension.flush import FAILURES_BEFORE_NO_HOLD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.channel import Channel
    from lrap_otel.invocations import Invocations


class Telemetry:
    """The telemetry process, seen from the proxy. All waits have a deadline, and end at once when it dies."""

    __slots__ = (
        "_awaited",
        "_channel",
        "_failed",
        "_flushed",
        "_invocations",
        "_is_ending",
        "_may_wait_for_ready",
        "_number",
        "failures_in_a_row",
        "is_alive",
        "is_ready",
    )

    def __init__(self, channel: "Channel", invocations: "Invocations") -> None:
        self._channel = channel
        self._invocations = invocations
        self._number = 0
        self._flushed = 0
        self._is_ending = False
        self._awaited = 0
        self._failed = 0
        self._may_wait_for_ready = True
        self.failures_in_a_row = 0
        self.is_alive = True
        self.is_ready = False

    def watch(self, process_id: int) -> None:
        """Start listening to its replies and waiting for its end."""
        _thread.start_new_thread(self._read_replies, ())
        _thread.start_new_thread(self._wait_for_end, (process_id,))

    def flush(self, wait_ms: int) -> None:
        """Have everything finished exported; wait for it at most `wait_ms`."""
        if not self.is_ready:
            # One hold may wait for its imports; on a small CPU they take longer than many invocations.
            wait_ms, self._may_wait_for_ready = (wait_ms if self._may_wait_for_ready else 0), False
        self._number += 1
        self._awaited = self._number if wait_ms else 0
        self._channel.offer(records.flush(self._number, wait_ms, self._channel.dropped))
        self._wait(wait_ms)
        if wait_ms and self.is_ready and self._flushed < self._number:
            self._awaited = 0
            self._fail(self._number)

    def shut_down(self, reason: str, wait_ms: int) -> None:
        """Have everything closed and exported; wait for it at most `wait_ms`."""
        self._number += 1
        self._is_ending = True
        deadline_ms = time.time_ns() // 1_000_000 + wait_ms
        message = records.shutdown(self._number, reason, deadline_ms, self._channel.dropped)
        if self.is_alive and self._channel.send_within(message, wait_ms):
            self._wait(deadline_ms - time.time_ns() // 1_000_000)

    def _wait(self, wait_ms: int) -> None:
        number = self._number
        self._invocations.wait_while(lambda: self.is_alive and self._flushed < number, wait_ms / 1_000)

    def _read_replies(self) -> None:
        while True:
            try:
                kind, fields = self._channel.receive_reply()
            except (OSError, ValueError, EOFError):
                return
            self._take_reply(kind, fields)

    def _take_reply(self, kind: int, fields: records.Fields) -> None:
        match kind, fields:
            case records.READY, ():
                self.is_ready = True
            case records.FLUSHED, (int(number), bool(ok)):
                self._take_outcome(number, ok=ok)
            case records.RELEASED, (int(length),):
                self._channel.release(length)
            case records.WARNING, (str(text),):
                log.warning(text)

    def _take_outcome(self, number: int, *, ok: bool) -> None:
        if not ok:
            self._fail(number)
        elif number == self._awaited:
            self.failures_in_a_row = 0
        else:
            # It succeeded in the time that nobody waited: the next hold is a trial.
            self.failures_in_a_row = min(self.failures_in_a_row, FAILURES_BEFORE_NO_HOLD - 1)
        self._flushed = number
        self._invocations.notify()

    def _fail(self, number: int) -> None:
        """Each flush fails once: when its wait is over, or when it says so."""
        if number > self._failed:
            self._failed = number
            self.failures_in_a_row += 1

    def _wait_for_end(self, process_id: int) -> None:
        try:
            _, status = posix.waitpid(process_id, 0)
        except OSError:
            status = 0
        self.is_alive = False
        self._channel.abandon()
        self._invocations.notify()
        if not self._is_ending:
            log.warning(
                f"the telemetry process has ended ({posix.waitstatus_to_exitcode(status)}); no more telemetry from this sandbox"
            )
