"""When an attempt to export has to end."""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lrap_otel.bell import Bell

# What an attempt has for itself, whoever waits: most that are broken off have been sent, and metrics do not go twice. At
# SHUTDOWN, more than half of the time is left behind it.
ALONE_S = 0.75


class Deadline(NamedTuple):
    """`at_s`, in monotonic seconds; from `yields_s` on, also as soon as `bell` rings."""

    at_s: float
    yields_s: float = inf
    bell: Bell | None = None

    def has_come(self) -> bool:
        """Nothing is begun any more, and what waits has waited long enough."""
        now_s = monotonic()
        return now_s >= self.at_s or (now_s >= self.yields_s and self.bell is not None and self.bell.rings())

    def within(self, seconds: float) -> Deadline:
        """This one, or in so many seconds if that is sooner."""
        return self._replace(at_s=min(self.at_s, monotonic() + seconds))
