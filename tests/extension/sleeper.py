"""A process that stands for the telemetry process: it sleeps, and /proc tells whether it is
stopped.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

LIMIT_S = 10.0
# How long a test looks for what must not come.
QUIET_S = 0.05


class Sleeper:
    """Started at once. Whoever watches it reaps it."""

    def __init__(self) -> None:
        self.process_id = os.posix_spawn("/bin/sleep", ["sleep", "600"], {})

    @property
    def state(self) -> str:
        """One letter of proc(5), T for stopped; none once it has been reaped."""
        try:
            return Path(f"/proc/{self.process_id}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return ""

    def is_stopped(self) -> bool:
        """It is, or is before long."""
        return self._becomes(stopped=True, limit_s=LIMIT_S)

    def goes_on(self) -> bool:
        """It runs, or does before long."""
        return self._becomes(stopped=False, limit_s=LIMIT_S)

    def keeps_running(self) -> bool:
        """Nothing stops it."""
        return not self._becomes(stopped=True, limit_s=QUIET_S)

    def has_been_reaped(self) -> bool:
        """It has ended, and who watches it knows."""
        end = time.monotonic() + LIMIT_S
        while self.state and time.monotonic() < end:
            time.sleep(0.001)
        return not self.state

    def kill(self) -> None:
        """End it, whatever its state."""
        if self.state:
            os.kill(self.process_id, signal.SIGKILL)

    def _becomes(self, *, stopped: bool, limit_s: float) -> bool:
        end = time.monotonic() + limit_s
        while (self.state == "T") is not stopped:
            if time.monotonic() > end:
                return False
            time.sleep(0.001)
        return True
