"""Times measured elsewhere, by the C client or the upstream, in pytest-benchmark's own table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Replay = Callable[[Sequence[float], dict[str, Any]], None]


class ReplayClock:
    """A timer for pytest-benchmark that shows times measured elsewhere: by the C client, by the
    upstream.
    """

    def __init__(self) -> None:
        self._now_s = 0.0

    def __call__(self) -> float:
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Let that much time have gone by."""
        self._now_s += seconds


REPLAY_CLOCK = ReplayClock()
