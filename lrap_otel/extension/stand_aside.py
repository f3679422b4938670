"""Out of the function's way: a telemetry process that is not ready yet runs only while no event is with the function.

A 128 MB function has 7 % of a CPU, and a nice value saves none of it: what the imports use up, the function waits for.
"""

import _thread
from _signal import SIGCONT, SIGSTOP  # type: ignore[import-not-found]  # the C part of `signal`, which costs 5 ms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.extension.child import Child


class StandAside:
    """Stops and continues one process, until `end`."""

    __slots__ = ("_child", "_is_over", "_is_stopped", "_is_wanted", "_lock")

    def __init__(self, child: "Child", is_wanted: "Callable[[], bool]") -> None:
        """`is_wanted` tells whether the process should stand aside now."""
        self._child = child
        self._is_wanted = is_wanted
        self._lock = _thread.allocate_lock()
        self._is_stopped = False
        self._is_over = False

    def look(self) -> None:
        """What `is_wanted` reads has changed. Whoever comes last under the lock sees the last change."""
        with self._lock:
            self._stop(is_wanted=not self._is_over and self._is_wanted())

    def go_on(self) -> None:
        """Let it run until the next change."""
        with self._lock:
            self._stop(is_wanted=False)

    def end(self) -> None:
        """Let it run for good."""
        self._is_over = True
        self.go_on()

    def _stop(self, *, is_wanted: bool) -> None:
        if is_wanted != self._is_stopped:
            self._is_stopped = is_wanted
            self._child.signal(SIGSTOP if is_wanted else SIGCONT)
