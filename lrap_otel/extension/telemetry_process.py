"""The telemetry process as the rest of the proxy process sees it. `restart` deals with its end."""

import _thread
import time
from _signal import SIGKILL  # type: ignore[import-not-found]  # the C part of `signal`, which costs 5 ms

from lrap_otel import log
from lrap_otel.extension.flush import may_pause
from lrap_otel.extension.flusher import Flusher
from lrap_otel.extension.process import ProcessPauser
from lrap_otel.extension.restart import Restarter
from lrap_otel.extension.state import TelemetryState
from lrap_otel.ipc import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.ipc.channel import Channel
    from lrap_otel.sandbox.invocations import Invocations

# How long our end may wait until the telemetry process's last replies are read.
_LAST_REPLIES_S = 0.05
# What init may wait for READY: after the runtime has asked for an event, and in all.
_READY_AFTER_RUNTIME_S, _READY_LIMIT_S = 0.1, 1.0
# The runtime's asking is not notified.
_LOOK_AGAIN_S = 0.02


class TelemetryProcess:
    """Reads the replies of the telemetry process, and passes on what the lifecycle asks of it."""

    __slots__ = (
        "_channel",
        "_has_read_all",
        "_is_runtime_waiting",
        "_malformed",
        "_pauser",
        "_restarter",
        "flusher",
        "state",
    )

    def __init__(
        self,
        channel: "Channel",
        invocations: "Invocations",
        restart: "Callable[[], int] | None" = None,
        is_runtime_waiting: "Callable[[], bool]" = lambda: False,
        *,
        has_invoke_events: bool = True,
    ) -> None:
        """`restart` returns the id of a process that reads what is left on the channel, or raises
        OSError. `is_runtime_waiting`: has the runtime asked for an event? Without
        `has_invoke_events`, as under Managed Instances, the function always has one: the process is
        not paused, and not flushed.
        """
        self._channel = channel
        self._is_runtime_waiting = is_runtime_waiting
        self._has_read_all = False
        self._malformed = 0
        self._pauser: ProcessPauser | None = None
        if has_invoke_events:
            self._pauser = ProcessPauser(
                invocations, is_runtime_waiting, lambda: may_pause(channel.fullness())
            )
        self.state = TelemetryState()
        self.flusher = Flusher(
            channel, self.state, invocations, has_invoke_events=has_invoke_events
        )
        self._restarter = Restarter(
            channel, self.state, self.flusher, self._pauser, restart, gives_up=invocations.notify
        )

    @property
    def is_alive(self) -> bool:
        return self.state.is_alive

    @property
    def is_ready(self) -> bool:
        return self.state.is_ready

    @property
    def needs_hold(self) -> bool:
        """It is not ready, and may have one more hold for that."""
        return self.flusher.needs_hold

    @property
    def failures_in_a_row(self) -> int:
        """Flushes that have failed since one succeeded."""
        return self.flusher.failures_in_a_row

    def watch(self, process_id: int) -> None:
        """Wait for the replies and the end of this process, in threads."""
        self._restarter.watch(process_id)
        self.read_replies()

    def read_replies(self) -> None:
        """Wait for replies, in a thread."""
        _thread.start_new_thread(self._read_replies, ())

    def wait_until_ready(self) -> None:
        """Let the process finish its imports within init, which lasts until we ask for an event.

        This costs nothing while the runtime starts; once it has asked for an event, the wait may
        take a tenth of a second.
        """
        state, began_s = self.state, time.monotonic()
        asked_s = began_s

        def is_loading() -> bool:
            nonlocal asked_s
            now_s = time.monotonic()
            if not self._is_runtime_waiting():
                asked_s = now_s
            is_in_time = (
                now_s - asked_s <= _READY_AFTER_RUNTIME_S and now_s - began_s <= _READY_LIMIT_S
            )
            return state.is_alive and not state.is_ready and is_in_time

        state.condition.wait_while(is_loading, _READY_LIMIT_S, lambda: _LOOK_AGAIN_S)

    def flush(self, wait_ms: int) -> None:
        """Have everything exported that is finished, and wait for it at most `wait_ms`."""
        self.resume()
        self.flusher.flush(wait_ms)

    def shut_down(self, reason: str, wait_ms: int) -> None:
        """Have everything closed and exported; wait for it at most `wait_ms`."""
        was_alive = self.state.is_alive
        self._restarter.stop()
        if self._pauser is not None:
            self._pauser.end_for_all()
        self.flusher.flush_last(reason, wait_ms)
        if self._channel.mark_replies():
            # The end of the process may be seen before its last replies are read.
            self.state.condition.wait_while(lambda: not self._has_read_all, _LAST_REPLIES_S)
        if self.flusher.is_answered:
            return
        if self._restarter.process is not None:
            self._restarter.process.signal(
                SIGKILL
            )  # what is left of the time and of the quota is for our own end
        if was_alive and (lost := self.flusher.lost()):
            log.warning(f"the telemetry process did not answer SHUTDOWN{lost}")

    def expect_event(self) -> None:
        """We are about to ask for the next event."""
        if self._pauser is not None:
            self._pauser.expect_event()

    def event_came(self) -> None:
        """The event has come."""
        if self._pauser is not None:
            self._pauser.event_came()

    def expect_nothing(self) -> None:
        """No event has come for a while, in which the sandbox was not frozen."""
        if self._pauser is not None:
            self._pauser.expect_nothing()

    def resume(self) -> None:
        """No event is with the function, as far as anybody can know: let the process run."""
        if self._pauser is not None:
            self._pauser.resume()

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
                log.warning(
                    f"a reply of the telemetry process is malformed ({error}) and is passed over"
                )
        else:
            self._take_reply(kind, fields)
        return True

    def _take_reply(self, kind: int, fields: records.Fields) -> None:
        match kind, fields:
            case records.READY, (int(process_id),):
                self._take_ready(process_id)
            case records.FLUSHED, (int(number), bool(ok)):
                self.flusher.take_outcome(number, ok=ok)
            case records.RELEASED, (int(length),):
                self._channel.release(length)
            case records.WARNING, (str(text),):
                log.warning(text)
            case records.OUTPUT, (str(part),):
                log.output(part)
            case records.END_OF_REPLIES, ():
                self._has_read_all = True
                self.state.condition.notify()

    def _take_ready(self, process_id: int) -> None:
        process = self._restarter.process
        if process is None or process.process_id != process_id:
            return  # it has died since, and must not speak for the next one
        self.state.is_ready = True
        if self._pauser is not None:
            self._pauser.end()
        self.state.condition.notify()
