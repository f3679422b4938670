"""A child process of ours: signalled, waited for, paused, and continued if we die."""

import _thread
import fcntl
import posix
from _signal import SIGCONT, SIGSTOP  # type: ignore[import-not-found]  # the C part of `signal`, which costs 5 ms

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable

    from lrap_otel.sandbox.invocations import Invocations


class Process:
    """One child process. Other threads may signal it while one waits for its end."""

    __slots__ = ("_is_reaped", "_lock", "process_id")

    def __init__(self, process_id: int) -> None:
        self.process_id = process_id
        self._lock = _thread.allocate_lock()
        self._is_reaped = False

    def signal(self, number: int) -> None:
        """Send a signal. Nothing happens if the process has ended."""
        with self._lock:
            if not self._is_reaped:  # from then on another process may have its number
                try:
                    posix.kill(self.process_id, number)
                except OSError:
                    return  # it has ended; with SIGCHLD ignored, the kernel has reaped it

    def wait(self) -> int:
        """Wait for its end.

        Returns the exit status, or the signal that ended it as a negative number; 0 if the process
        is not our child.
        """
        try:
            posix.waitid(posix.P_PID, self.process_id, posix.WEXITED | posix.WNOWAIT)
        except OSError:
            return 0
        finally:
            with self._lock:
                self._is_reaped = True
        return posix.waitstatus_to_exitcode(posix.waitpid(self.process_id, 0)[1])

    def continue_when_we_end(self, lifeline: "_socket.socket") -> None:
        """Have the kernel send it SIGCONT when the other end of `lifeline` closes, as it does when
        we are killed: a stopped process could not see the end of the channel. A running one does
        not notice.

        The process holds that other end. Nothing may ever be sent on `lifeline`. Source: fcntl(2),
        "Managing signals".
        """
        try:
            fcntl.fcntl(lifeline, fcntl.F_SETOWN, self.process_id)
            fcntl.fcntl(lifeline, fcntl.F_SETSIG, SIGCONT)
            fcntl.fcntl(
                lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | posix.O_ASYNC
            )
        except OSError:
            return  # it has ended already


class ProcessPauser:
    """Stops a telemetry process that is not ready while the function has an event.

    A 128 MB function has 7 % of a CPU, and a nice value saves none of it: the function waits for
    what the imports use up. So until it is ready, the process runs during init, and from a result
    until we too ask for the next event.
    """

    __slots__ = (
        "_expects_event",
        "_invocations",
        "_is_over",
        "_is_runtime_waiting",
        "_is_stopped",
        "_lock",
        "_may_pause",
        "_process",
    )

    def __init__(
        self,
        invocations: "Invocations",
        is_runtime_waiting: "Callable[[], bool]",
        may_pause: "Callable[[], bool]",
    ) -> None:
        """`is_runtime_waiting`: has the runtime asked for an event? `may_pause` is asked before
        each pause.
        """
        self._invocations = invocations
        self._is_runtime_waiting = is_runtime_waiting
        self._may_pause = may_pause
        self._lock = _thread.allocate_lock()
        self._process: Process | None = None
        self._expects_event = False
        self._is_stopped = False
        self._is_over = False

    def begin(self, process: Process) -> None:
        """A process has just been started: pause this one from now on."""
        with self._lock:
            if self._is_over:
                return
            self._process, self._is_stopped = process, False
            self._invocations.observer = self.update

    def update(self) -> None:
        """Stop or continue the process by the present state. Called after each change of it, so
        that the last caller sees the last change.
        """
        with self._lock:
            self._stop(is_wanted=self._is_function_busy() and self._may_pause())

    def expect_event(self) -> None:
        """We ask for the next event: it comes at any moment, or the sandbox freezes.

        A pause at the event's delivery would be too late: what runs when the sandbox thaws has used
        up the quota before the event is here.
        """
        self._expects_event = True
        self.update()

    def event_came(self) -> None:
        """The event that was expected has come."""
        self._expects_event = False

    def expect_nothing(self) -> None:
        """No event has come, and the sandbox has not been frozen either."""
        self._expects_event = False
        self.update()

    def resume(self) -> None:
        """Let the process run until the next change."""
        with self._lock:
            self._stop(is_wanted=False)

    def end(self) -> None:
        """Let the process run for good: it is ready, or has ended."""
        with self._lock:
            self._invocations.observer = None
            self._stop(is_wanted=False)
            self._process = None

    def end_for_all(self) -> None:
        """Let this process and all later ones run for good: SHUTDOWN has come."""
        self._is_over = True
        self.end()

    def _is_function_busy(self) -> bool:
        return self._invocations.is_any_open() or (
            self._expects_event and self._is_runtime_waiting()
        )

    def _stop(self, *, is_wanted: bool) -> None:
        if self._process is not None and is_wanted != self._is_stopped:
            self._is_stopped = is_wanted
            self._process.signal(SIGSTOP if is_wanted else SIGCONT)
