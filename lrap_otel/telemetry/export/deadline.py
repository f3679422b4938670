"""When an attempt to export has to end."""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.bell import Bell

# What an attempt has for itself, whoever waits: most that are broken off have been sent, and metrics do not go twice. At
# SHUTDOWN, more than half of the time is left behind it.
ALONE_S = 0.75
# Whoever waits looks at the clock so often.
LOOK_S = 0.25
# What is longer than that between two looks was a freeze.
_FREEZE_S = 0.35


class Awake:
    """A clock that stands still while the sandbox is frozen, for one thread that looks at it every `LOOK_S`."""

    def __init__(self) -> None:
        self._frozen_s = 0.0
        self._looked_s = monotonic()

    def now_s(self) -> float:
        """Since some moment, like `time.monotonic`."""
        now_s = monotonic()
        since_s, self._looked_s = now_s - self._looked_s, now_s
        if since_s > _FREEZE_S:
            self._frozen_s += since_s - LOOK_S
        return now_s - self._frozen_s


AWAKE = Awake()


class Deadline(NamedTuple):
    """`at_s`, in seconds of `clock`; from `yields_s` (monotonic) on, also as soon as `bell` rings.

    A freeze does not use up what `AWAKE` measures; what is monotonic it does, so that whoever rings then need not wait.
    """

    at_s: float
    yields_s: float = inf
    bell: Bell | None = None
    clock: Callable[[], float] = monotonic

    def has_come(self) -> bool:
        """Nothing is begun any more, and what waits has waited long enough."""
        return self.clock() >= self.at_s or (self.yields and self.bell is not None and self.bell.rings())

    @property
    def yields(self) -> bool:
        """The bell counts."""
        return monotonic() >= self.yields_s

    def left_s(self) -> float:
        """How long it surely does not come if nobody rings; 0 where it may have."""
        left_s = self.at_s - self.clock()
        return max(0.0, left_s if self.yields else min(left_s, self.yields_s - monotonic()))

    def within(self, seconds: float) -> Deadline:
        """This one, or in so many seconds if that is sooner."""
        return self._replace(at_s=min(self.at_s, self.clock() + seconds))


def attempt(limit_s: float, bell: Bell, awaited_s: float = 0.0) -> Deadline:
    """Of one that is over after `limit_s`, freezes not counted, and some time after `awaited_s`, the moment (monotonic) until
    which somebody waits for it. When the bell rings, nobody does any more.
    """
    now_s = monotonic()
    at_s = AWAKE.now_s() + max(limit_s, awaited_s - now_s + ALONE_S)
    return Deadline(at_s, now_s + ALONE_S, bell, AWAKE.now_s)
