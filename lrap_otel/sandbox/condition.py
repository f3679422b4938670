"""Waiting for what other threads change."""

import _thread
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Condition:
    """One thread waits, any other notifies. `is_awaited` is True while somebody waits.

    A lock that is held while nothing has changed is enough for one waiter, and does not import
    `threading`.
    """

    __slots__ = ("_nothing_new", "is_awaited")

    def __init__(self) -> None:
        self._nothing_new = _thread.allocate_lock()
        self.is_awaited = False

    def wait_while(
        self,
        condition: "Callable[[], bool]",
        timeout_s: float,
        interval_s: "Callable[[], float] | None" = None,
    ) -> None:
        """Wait until `condition` returns False, but at most `timeout_s`.

        It is called at each notification, and after `interval_s()` without any.
        """
        end_s = monotonic() + timeout_s
        self.is_awaited = True
        while condition() and (left_s := end_s - monotonic()) > 0:
            self._nothing_new.acquire(
                timeout=left_s if interval_s is None else min(left_s, interval_s())
            )
        self.is_awaited = False

    def notify(self) -> None:
        """Have the waiter call its condition again."""
        if self.is_awaited:
            try:
                self._nothing_new.release()
            except RuntimeError:
                return  # it has not seen the notification before this one yet
