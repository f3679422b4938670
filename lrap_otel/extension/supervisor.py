"""What the proxy process knows of its telemetry process: whether it lives, and how its last flush went."""

import _thread
import posix
import time

from lrap_otel import log, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.channel import Channel
    from lrap_otel.invocations import Invocations


class Telemetry:
    """The telemetry process, seen from the proxy. All waits have a deadline, and end at once when it dies."""

    __slots__ = (
        "_channel",
        "_flushed",
        "_invocations",
        "_is_ending",
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
        self.failures_in_a_row = 0
        self.is_alive = True
        self.is_ready = False

    def watch(self, process_id: int) -> None:
        """Start listening to its replies and waiting for its end."""
        _thread.start_new_thread(self._read_replies, ())
        _thread.start_new_thread(self._wait_for_end, (process_id,))

    def flush(self, wait_ms: int) -> None:
        """Have everything finished exported; wait for it at most `wait_ms`."""
        self._number += 1
        self._channel.offer(records.flush(self._number, wait_ms, self._channel.dropped))
        self._wait(wait_ms)
        if wait_ms and self.is_ready and self._flushed < self._number:
            self.failures_in_a_row += 1

    def shut_down(self, reason: str, wait_ms: int) -> None:
        """Have everything closed and exported; wait for it at most `wait_ms`."""
        self._number += 1
        self._is_ending = True
        deadline_ms = time.time_ns() // 1_000_000 + wait_ms
        message = records.shutdown(self._number, reason, deadline_ms, self._channel.dropped)
        if self._channel.send_within(message, wait_ms):
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
                self._flushed = number
                self.failures_in_a_row = 0 if ok else self.failures_in_a_row + 1
                self._invocations.notify()
            case records.RELEASED, (int(length),):
                self._channel.release(length)
            case records.WARNING, (str(text),):
                log.warning(text)

    def _wait_for_end(self, process_id: int) -> None:
        try:
            _, status = posix.waitpid(process_id, 0)
        except OSError:
            status = 0
        self.is_alive = False
        self._invocations.notify()
        if not self._is_ending:
            log.warning(
                f"the telemetry process has ended ({posix.waitstatus_to_exitcode(status)}); no more telemetry from this sandbox"
            )
