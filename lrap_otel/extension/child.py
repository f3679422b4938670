"""A process of ours: signalled while it is there, waited for, and never mistaken for a later one of the same number."""

import _thread
import posix


class Child:
    """One child process. Other threads may signal it while one waits for its end."""

    __slots__ = ("_is_reaped", "_lock", "process_id")

    def __init__(self, process_id: int) -> None:
        self.process_id = process_id
        self._lock = _thread.allocate_lock()
        self._is_reaped = False

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens where it has ended."""
        with self._lock:
            if not self._is_reaped:  # from then on its number may be another's
                try:
                    posix.kill(self.process_id, number)
                except OSError:
                    return  # it has ended; where SIGCHLD is ignored, the kernel has reaped it

    def wait(self) -> int:
        """Wait for its end: its exit status, or the signal that ended it as a negative number. OSError if it is not ours."""
        try:
            posix.waitid(posix.P_PID, self.process_id, posix.WEXITED | posix.WNOWAIT)
        finally:
            with self._lock:
                self._is_reaped = True
        return posix.waitstatus_to_exitcode(posix.waitpid(self.process_id, 0)[1])
