"""What the proxy process knows of its telemetry process: whether it lives, whether it stands aside, how its last flush went."""

import _thread
import time
from _signal import SIGKILL  # type: ignore[import-not-found]  # the C part of `signal`, which costs 5 ms

from lrap_otel import log
from lrap_otel.extension.child import Child
from lrap_otel.extension.flush import FAILURES_BEFORE_NO_HOLD, may_stand_aside, may_wait_for_ready
from lrap_otel.extension.lifeline import tie
from lrap_otel.extension.stand_aside import StandAside
from lrap_otel.ipc import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.ipc.channel import Channel
    from lrap_otel.sandbox.invocations import Invocations

# How long our end may wait until what the telemetry process said last has been printed.
_LAST_REPLIES_S = 0.05
# How often a fresh process takes over from one that died.
SUCCESSORS_LIMIT = 3


class Telemetry:
    """The telemetry process, seen from the proxy. All waits have a deadline, and end at once when it dies."""

    __slots__ = (
        "_asked_of",
        "_awaited",
        "_billed_ns",
        "_channel",
        "_child",
        "_dropped_before",
        "_dropped_sent",
        "_dropped_told",
        "_expects_event",
        "_exported",
        "_failed",
        "_flushed",
        "_has_read_all",
        "_holds_for_ready",
        "_invocations",
        "_is_ending",
        "_is_runtime_waiting",
        "_malformed",
        "_number",
        "_stand_aside",
        "_stands_aside",
        "_start_successor",
        "_starts",
        "failures_in_a_row",
        "is_alive",
        "is_ready",
    )

    def __init__(
        self,
        channel: "Channel",
        invocations: "Invocations",
        start_successor: "Callable[[], int] | None" = None,
        is_runtime_waiting: "Callable[[], bool]" = lambda: False,
        *,
        stands_aside: bool = True,
    ) -> None:
        """`start_successor` gives the id of a process that reads what is left on the channel, or raises OSError.

        `stands_aside`: until it is ready, the process runs only during init, and from a result until we too ask for the next
        event. `is_runtime_waiting` tells whether the runtime has asked.
        """
        self._channel = channel
        self._invocations = invocations
        self._start_successor = start_successor
        self._is_runtime_waiting = is_runtime_waiting
        self._expects_event = False
        self._stands_aside = stands_aside
        self._stand_aside: StandAside | None = None
        self._child: Child | None = None
        self._starts = 0
        self._number = 0
        self._flushed = 0
        self._is_ending = False
        self._awaited = 0
        self._billed_ns = 0
        self._failed = 0
        # How many results there were when the last flush was asked for, and when the last one that
        # left nothing behind was.
        self._asked_of = self._exported = 0
        self._has_read_all = False
        self._holds_for_ready = 0
        self._malformed = 0
        self._dropped_sent = self._dropped_told = self._dropped_before = 0
        self.failures_in_a_row = 0
        self.is_alive = True
        self.is_ready = False

    def watch(self, process_id: int) -> None:
        """Start listening to its replies and waiting for its end."""
        child = self._take_on(process_id)
        _thread.start_new_thread(self._read_replies, ())
        _thread.start_new_thread(self._look_after, (child,))

    def flush(self, wait_ms: int) -> None:
        """Have everything finished exported; wait for it at most `wait_ms`."""
        self.go_on()
        if not self.is_ready:
            wait_ms = wait_ms if may_wait_for_ready(self._holds_for_ready, self._channel.fullness()) else 0
            self._holds_for_ready += wait_ms > 0
        self._number += 1
        self._asked_of = self._invocations.results
        self._awaited = self._number if wait_ms else 0
        billed_ms = self._billed_ns // 1_000_000
        if self._channel.offer(records.flush(self._number, wait_ms, self._dropped(), billed_ms)):
            self._billed_ns -= billed_ms * 1_000_000
        self._channel.event_fd.set()
        began_ns = time.monotonic_ns()
        self._wait(wait_ms)
        if wait_ms:
            self._billed_ns += time.monotonic_ns() - began_ns
        if wait_ms and self.is_ready and self._flushed < self._number:
            self._awaited = 0
            self._fail(self._number)

    def shut_down(self, reason: str, wait_ms: int) -> None:
        """Have everything closed and exported; wait for it at most `wait_ms`."""
        was_alive = self.is_alive
        self._number += 1
        self._is_ending = True
        self._stop_standing_aside()
        deadline_ms = time.time_ns() // 1_000_000 + wait_ms
        billed_ms = self._billed_ns // 1_000_000
        message = records.shutdown(self._number, reason, deadline_ms, self._dropped(), billed_ms)
        if self.is_alive and self._channel.send_within(message, wait_ms):
            self._wait(deadline_ms - time.time_ns() // 1_000_000)
            # What a process that died on the way has left unread, its successor may still send.
            self._wait(deadline_ms - time.time_ns() // 1_000_000)
        if self._channel.mark_replies():
            # It may have ended, and its end been seen, before its last replies were read.
            self._invocations.wait_while(lambda: not self._has_read_all, _LAST_REPLIES_S)
        has_answered = self._flushed >= self._number
        if not has_answered and self._child is not None:
            self._child.signal(SIGKILL)  # what is left of the time and of the quota is for our own end
        if was_alive and not has_answered and (lost := self._lost()):
            log.warning(f"the telemetry process did not answer SHUTDOWN{lost}")

    def expect_event(self) -> None:
        """We ask for the next event: it comes at any moment, or the sandbox freezes.

        Not only at its delivery: what runs when the sandbox thaws has used up the quota before the event is here.
        """
        self._expects_event = True
        self._invocations.notify()

    def has_event(self) -> None:
        """The event has come."""
        self._expects_event = False

    def expect_nothing(self) -> None:
        """No event has come, and the sandbox has not been frozen either."""
        self._expects_event = False
        self._invocations.notify()

    def go_on(self) -> None:
        """No event is with the function, as far as anybody can tell: let the process run."""
        stand_aside = self._stand_aside
        if stand_aside is not None:
            stand_aside.go_on()

    def _dropped(self) -> int:
        """Records for which there was no room and of which no earlier telemetry process has told the collector."""
        self._dropped_sent = self._channel.dropped
        return self._dropped_sent - self._dropped_before

    def _lost(self) -> str:
        """For a warning: what is lost with the process. What it had not read yet, another may."""
        unexported = self._invocations.results - self._exported + self._invocations.open_count
        if not unexported:
            return ""
        if not self._stands_aside:  # nobody asks for flushes
            return "; what it had not exported is lost"
        return f"; what it had not exported is lost, of at most {unexported} invocation{'s' * (unexported != 1)}"

    def _wait(self, wait_ms: int) -> None:
        number, starts = self._number, self._starts
        self._invocations.wait_while(
            lambda: self.is_alive and self._starts == starts and self._flushed < number, wait_ms / 1_000
        )

    def _read_replies(self) -> None:
        while self._read_reply():
            pass

    def _read_reply(self) -> bool:
        """False once no more can come."""
        try:
            kind, fields = self._channel.receive_reply()
        except (OSError, EOFError):
            return False
        except ValueError as error:
            self._malformed += 1
            if self._malformed == 1:
                log.warning(f"a reply of the telemetry process is malformed ({error}) and is passed over")
        else:
            self._take_reply(kind, fields)
        return True

    def _take_reply(self, kind: int, fields: records.Fields) -> None:
        match kind, fields:
            case records.READY, (int(process_id),):
                # Not that of one that has died since, which would speak for its successor.
                if self._child is not None and self._child.process_id == process_id:
                    self.is_ready = True
                    self._stop_standing_aside()
            case records.FLUSHED, (int(number), bool(ok)):
                self._take_outcome(number, ok=ok)
            case records.RELEASED, (int(length),):
                self._channel.release(length)
            case records.WARNING, (str(text),):
                log.warning(text)
            case records.OUTPUT, (str(part),):
                log.output(part)
            case records.END_OF_REPLIES, ():
                self._has_read_all = True
                self._invocations.notify()

    def _take_outcome(self, number: int, *, ok: bool) -> None:
        if not ok:
            self._fail(number)
        else:
            if number == self._number:  # an earlier one has told less
                self._dropped_told = self._dropped_sent
                self._exported = self._asked_of
            self._succeed(number)
        self._flushed = number
        self._invocations.notify()

    def _succeed(self, number: int) -> None:
        if number == self._awaited:
            self.failures_in_a_row = 0
        elif number > self._failed:
            # It succeeded in the time of a flush for which nobody waited: the next hold is a trial.
            self.failures_in_a_row = min(self.failures_in_a_row, FAILURES_BEFORE_NO_HOLD - 1)

    def _fail(self, number: int) -> None:
        """Each flush fails once: when its wait is over, or when it says so."""
        if number > self._failed:
            self._failed = number
            self.failures_in_a_row += 1

    def _take_on(self, process_id: int) -> Child:
        """A process that has just been started: from now on it stands aside, until it is ready."""
        child = self._child = Child(process_id)
        tie(process_id, self._channel.lifeline)
        if self._stands_aside:
            self._stand_aside = StandAside(child, self._is_in_the_way)
            self._invocations.bystander = self._stand_aside.look
        self._starts += 1
        self._invocations.notify()
        return child

    def _is_in_the_way(self) -> bool:
        if self._is_ending or not may_stand_aside(self._channel.fullness()):
            return False
        return self._invocations.is_any_open() or (self._expects_event and self._is_runtime_waiting())

    def _stop_standing_aside(self) -> None:
        stand_aside, self._stand_aside = self._stand_aside, None
        self._invocations.bystander = None
        if stand_aside is not None:
            stand_aside.end()

    def _look_after(self, child: Child) -> None:
        """Wait for its end, and for those of its successors."""
        for successors in range(SUCCESSORS_LIMIT + 1):
            how = _end_of(child)
            self._stop_standing_aside()
            successor = self._successor(how) if successors < SUCCESSORS_LIMIT else None
            if successor is None:
                self._give_up(how)
                return
            child = successor

    def _successor(self, how: int) -> Child | None:
        """The process that takes over from one that ended so; None where there is none, or it would end the same way."""
        is_hopeless = how >= 0 and not self.is_ready
        if self._start_successor is None or self._is_ending or is_hopeless:
            return None
        self._dropped_before = self._dropped_told
        lost = self._lost()
        self._holds_for_ready = 0
        self.is_ready = False
        try:
            child = self._take_on(self._start_successor())
        except OSError:
            return None
        log.warning(f"the telemetry process has ended ({how}); another one takes over{lost}")
        return child

    def _give_up(self, how: int) -> None:
        self.is_alive = False
        self._channel.abandon()
        self._invocations.notify()
        if not self._is_ending:
            log.warning(f"the telemetry process has ended ({how}); no more telemetry from this sandbox{self._lost()}")


def _end_of(child: Child) -> int:
    try:
        return child.wait()
    except OSError:
        return 0
