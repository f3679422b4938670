"""When an attempt to export has to end, and waiting for a socket until then."""

import select
from time import monotonic, process_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from lrap_otel.ipc.event_fd import EventFd

    class HasDescriptor(Protocol):
        """A socket, or an event descriptor."""

        def fileno(self) -> int: ...


# An attempt may take this long even if something waits for its end: most attempts that are broken
# off have been sent, and metrics do not go twice. At SHUTDOWN, more than half of the time is left
# after it.
ALONE_S = 0.75
# The clock is looked at this often: no single wait is longer.
LOOK_S = 0.25
# A longer time between two looks was a freeze, unless there was work to do.
_FREEZE_S = 0.35
# The longest that work takes for each second of CPU: the smallest function has a fourteenth of one.
_SLOWEST = 20.0
_NEVER = float("inf")


class Clock:
    """A clock that stands still while the sandbox is frozen, and not while work is slow.

    One thread uses it, and looks at it every `LOOK_S`.
    """

    __slots__ = ("_cpu_s", "_frozen_s", "_looked_s", "_now_s", "_used_s")

    def __init__(
        self,
        now_s: "Callable[[], float]" = monotonic,
        cpu_s: "Callable[[], float]" = process_time,
    ) -> None:
        """`cpu_s` is the CPU time that this process has used."""
        self._now_s = now_s
        self._cpu_s = cpu_s
        self._frozen_s = 0.0
        self._looked_s = now_s()
        self._used_s = cpu_s()

    def now_s(self) -> float:
        """Seconds since some moment, like `time.monotonic`."""
        now_s, used_s = self._now_s(), self._cpu_s()
        since_s = now_s - self._looked_s
        longest_work_s = _SLOWEST * (used_s - self._used_s)
        self._looked_s, self._used_s = now_s, used_s
        if since_s > _FREEZE_S + longest_work_s:
            self._frozen_s += since_s - LOOK_S - longest_work_s
        return now_s - self._frozen_s

    def copy(self) -> "Clock":
        """A clock that shows the same time, for another thread."""
        copy = Clock(self._now_s, self._cpu_s)
        copy._frozen_s = self._frozen_s
        copy._looked_s, copy._used_s = self._looked_s, self._used_s
        return copy


class Monotonic:
    """A clock that never stands still."""

    __slots__ = ()

    def now_s(self) -> float:
        """`time.monotonic`."""
        return monotonic()

    def copy(self) -> "Monotonic":
        """For another thread."""
        return self


class Deadline:
    """The moment at which an attempt ends: `at_s`, in seconds of `clock`, monotonic by default.

    From `yields_s` on, a set `event_fd` ends it early. `yields_s` is plain monotonic time, so that
    somebody who waits is never kept by a freeze.
    """

    __slots__ = ("_clock", "_event_fd", "at_s", "yields_s")

    def __init__(
        self,
        at_s: float,
        yields_s: float = _NEVER,
        event_fd: "EventFd | None" = None,
        clock: Clock | Monotonic | None = None,
    ) -> None:
        self.at_s = at_s
        self.yields_s = yields_s
        self._event_fd = event_fd
        self._clock = clock or Monotonic()

    def has_come(self) -> bool:
        """Whether nothing may be begun any more."""
        return self._clock.now_s() >= self.at_s or (
            self._yields and self._event_fd is not None and self._event_fd.is_set()
        )

    def wait(self, file: "HasDescriptor", events: int) -> None:
        """Wait until `file` is ready for `events` (poll's).

        Raises TimeoutError if the deadline comes first.
        """
        poll = select.poll()
        poll.register(file, events)
        awaited = file.fileno()
        while True:
            if self._yields and self._event_fd is not None:
                poll.register(self._event_fd, select.POLLIN)
            limit_s = min(LOOK_S, self._surely_left_s())
            # Also if that is 0: what came while we were frozen, or busy, came in time.
            if any(descriptor == awaited for descriptor, _ in poll.poll(limit_s * 1_000)):
                return
            if self.has_come():
                raise TimeoutError

    def within(self, seconds: float) -> "Deadline":
        """This deadline, or in so many seconds if that is sooner."""
        at_s = min(self.at_s, self._clock.now_s() + seconds)
        return Deadline(at_s, self.yields_s, self._event_fd, self._clock)

    def part(self, count: int) -> "Deadline":
        """The first of `count` equal parts of the time that is left."""
        return self.within((self.at_s - self._clock.now_s()) / count)

    def apart(self) -> "Deadline":
        """The same deadline, for another thread."""
        return Deadline(self.at_s, self.yields_s, self._event_fd, self._clock.copy())

    @property
    def _yields(self) -> bool:
        return monotonic() >= self.yields_s

    def _surely_left_s(self) -> float:
        """Seconds until the deadline can first be due, if the event_fd is not set; 0.0 if it may
        be.
        """
        left_s = self.at_s - self._clock.now_s()
        return max(0.0, left_s if self._yields else min(left_s, self.yields_s - monotonic()))


def attempt(limit_s: float, event_fd: "EventFd", awaited_s: float = 0.0) -> Deadline:
    """The deadline of an export attempt.

    It is `limit_s` of unfrozen time from now, but at least `ALONE_S` after Lambda stops waiting
    (`awaited_s`, monotonic). After `ALONE_S`, a set `event_fd` ends it early.
    """
    now_s = monotonic()
    at_s = now_s + max(limit_s, awaited_s - now_s + ALONE_S)
    return Deadline(at_s, now_s + ALONE_S, event_fd, Clock())
