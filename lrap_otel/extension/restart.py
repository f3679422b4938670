"""Waits for the end of the telemetry process, and starts another one in its place.

By `posix_spawn`, never by a fork: threads exist by now, and a lock that one of them holds would
stay locked in the child.
"""

import _thread
import posix
import sys

from lrap_otel import log
from lrap_otel.extension.process import Process
from lrap_otel.ipc import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lrap_otel.extension.flusher import Flusher
    from lrap_otel.extension.process import ProcessPauser
    from lrap_otel.extension.state import TelemetryState
    from lrap_otel.ipc.channel import Channel

RESTARTS_LIMIT = 3

_ROOT = __file__.rpartition("/lrap_otel/")[0]
_STDIN, _STDOUT, _LIFELINE, _PLATFORM = 0, 1, 3, 4


class Restarter:
    """Watches the telemetry process, and up to `RESTARTS_LIMIT` more after it.

    `process` is the one that was started last; None before the first. `gives_up` is called once
    there will be no other.
    """

    __slots__ = (
        "_channel",
        "_flusher",
        "_gives_up",
        "_is_ending",
        "_pauser",
        "_restart",
        "_state",
        "process",
    )

    def __init__(
        self,
        channel: "Channel",
        state: "TelemetryState",
        flusher: "Flusher",
        pauser: "ProcessPauser | None",
        restart: "Callable[[], int] | None",
        gives_up: "Callable[[], None]",
    ) -> None:
        """`restart` returns the id of a new process that reads what is left on the channel, or
        raises OSError; it is None if there is to be no other.
        """
        self._channel = channel
        self._state = state
        self._flusher = flusher
        self._pauser = pauser
        self._restart = restart
        self._gives_up = gives_up
        self._is_ending = False
        self.process: Process | None = None

    def watch(self, process_id: int) -> None:
        """Wait for the end of this process, in a thread."""
        _thread.start_new_thread(self._run, (self._take(process_id),))

    def stop(self) -> None:
        """Start no other process: SHUTDOWN has come."""
        self._is_ending = True

    def _take(self, process_id: int) -> Process:
        process = self.process = Process(process_id)
        process.continue_when_we_end(self._channel.lifeline)
        if self._pauser is not None:
            self._pauser.begin(process)
        self._state.starts += 1
        self._state.condition.notify()
        return process

    def _run(self, process: Process) -> None:
        for restarts in range(RESTARTS_LIMIT + 1):
            status = process.wait()
            if self._pauser is not None:
                self._pauser.end()
            following = self._start_another(status) if restarts < RESTARTS_LIMIT else None
            if following is None:
                self._give_up(status)
                return
            process = following

    def _start_another(self, status: int) -> Process | None:
        """The process after one that ended with this status; None if there is none."""
        # One that ended by itself while it was loading would end the same way again.
        is_hopeless = status >= 0 and not self._state.is_ready
        if self._restart is None or self._is_ending or is_hopeless:
            return None
        lost = self._flusher.lost()
        self._flusher.expect_another_process()
        self._state.is_ready = False
        try:
            process = self._take(self._restart())
        except OSError:
            return None
        log.warning(f"the telemetry process has ended ({status}); another one takes over{lost}")
        return process

    def _give_up(self, status: int) -> None:
        self._state.is_alive = False
        self._channel.abandon()
        self._state.condition.notify()
        self._gives_up()
        if not self._is_ending:
            log.warning(
                f"the telemetry process has ended ({status}); no more telemetry from this "
                f"sandbox{self._flusher.lost()}"
            )


def start(channel: "Channel", earlier: "Sequence[records.Message]") -> int:
    """Start a telemetry process that reads `earlier` first, then what is on the channel.

    Returns its process id. OSError if it cannot be started.
    """
    script = f"{_ROOT}/lrap_otel/telemetry/__main__.py"
    passed = [
        (posix.POSIX_SPAWN_DUP2, channel.far.fileno(), _STDIN),
        (posix.POSIX_SPAWN_DUP2, channel.event_fd.fileno(), _STDOUT),
        (posix.POSIX_SPAWN_DUP2, channel.lifeline.fileno(), _LIFELINE),
    ]
    if channel.platform is not None:
        passed.append((posix.POSIX_SPAWN_DUP2, channel.platform.fileno(), _PLATFORM))
    again = [records.encode(message, None).hex() for message in earlier]
    return posix.posix_spawn(
        "/proc/self/exe",
        [*_interpreter(), "-I", "-S", "-X", "utf8", script, _ROOT, *again],
        posix.environ,
        file_actions=passed,
    )


def _interpreter() -> list[str]:
    """How this interpreter was started: by itself, or by a loader of its own (``ld-linux.so.2 ...
    python3``).
    """
    with open("/proc/self/cmdline", "rb") as file:
        started = file.read().decode("utf-8", "surrogateescape").split("\0")[:-1]
    return started[: len(started) - len(sys.orig_argv) + 1]
