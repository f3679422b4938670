"""A command and its descendants as one process group: stopped, continued, watched and ended
together.

It is no session of its own: the kernel divides the CPU among sessions first (autogroup), and nice
values count only within one. A telemetry process of nice 19 would get as much as the client.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

from bench.machine import executable, pinned, process_fields, processes, thread_states

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

SHELLS = ("bash", "busybox", "dash", "sh")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Group:
    """Started at once, on `cpus`, its output in `log`; `begin_ns` is CLOCK_MONOTONIC
    just before.
    """

    def __init__(
        self,
        command: Sequence[str],
        variables: Mapping[str, str],
        log: Path | str,
        cpus: Collection[int],
    ) -> None:
        written = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        actions = [(os.POSIX_SPAWN_OPEN, 1, log, written, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2)]
        self._status: int | None = None
        with pinned(cpus):
            self.begin_ns = time.monotonic_ns()
            self.pid = os.posix_spawnp(
                command[0], command, variables, file_actions=actions, setpgroup=0
            )

    def members(self) -> list[int]:
        """Its processes, the first one first."""
        return sorted(pid for pid in processes() if process_fields(pid)[2:3] == [str(self.pid)])

    def workers(self) -> list[int]:
        """Its processes but for a shell, which only waits for the others."""
        return [pid for pid in self.members() if executable(pid) not in SHELLS]

    def left(self) -> str:
        """Its processes with their states (R, S, T, Z and so on), for a message."""
        return ", ".join(f"{pid} {''.join(process_fields(pid)[:1])}" for pid in self.members())

    def cpu_s(self) -> list[float]:
        """User and system time of each process in seconds, by ticks of 10 ms."""
        return [
            sum(int(ticks) for ticks in process_fields(pid)[11:13]) * TICK_S
            for pid in self.workers()
        ]

    def settle(self, quiet_s: float = 0.1, limit_s: float = 60) -> None:
        """Wait until it has done what it had left to do: none of its threads is about to run, and
        it has used a tick at most.

        On a busy machine a process that waits for its turn uses no CPU either, so the one does not
        follow from the other.
        """
        end = time.monotonic() + limit_s
        used = sum(self.cpu_s())
        while time.monotonic() < end:
            is_idle = self._is_idle_for(quiet_s)
            before, used = used, sum(self.cpu_s())
            if is_idle and used - before <= TICK_S * 1.5:
                return

    def _is_idle_for(self, seconds: float) -> bool:
        looks = 5
        is_idle = True
        for _ in range(looks):
            time.sleep(seconds / looks)
            is_idle = is_idle and all(
                set(thread_states(pid)) <= {"S", "Z"} for pid in self.members()
            )
        return is_idle

    def signal(self, number: int) -> None:
        """Send a signal to all that are left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def status(self) -> int | None:
        """The exit status of the first process, None while it runs."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status

    def wait(self) -> int:
        """Wait for the first process alone, without a limit; give its exit status."""
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status

    def ended_within(self, limit_s: float) -> bool:
        """Wait until its first process has ended, then end the others: with an extension that has
        exited, Lambda's sandbox goes.
        """
        end = time.monotonic() + limit_s
        while self.status() is None:
            if time.monotonic() > end:
                return False
            time.sleep(0.005)
        self.kill()
        return True

    def kill(self) -> None:
        """End whatever is left."""
        if self.status() is None or self.members():
            self.signal(signal.SIGKILL)
        self.wait()
