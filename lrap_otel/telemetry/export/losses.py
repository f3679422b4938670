"""What telemetry lost, for the one line that says so at the end."""

from time import time

from lrap_otel.telemetry.dates import to_iso

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Losses:
    """How much was lost, since when, and why the last of it was."""

    __slots__ = ("_metric_requests", "_now_s", "_reason", "_since_s", "_spans")

    def __init__(self, now_s: "Callable[[], float]" = time) -> None:
        self._now_s = now_s
        self._since_s: float | None = None
        self._spans = 0
        self._metric_requests = 0
        self._reason = ""

    def add(self, reason: str, *, spans: int = 0, metric_requests: int = 0, since_s: float | None = None) -> None:
        """So much was lost, for `reason`; `since_s` (Unix time) is when it began, now by default."""
        if not spans and not metric_requests:
            return
        begun_s = self._now_s() if since_s is None else since_s
        self._since_s = begun_s if self._since_s is None else min(begun_s, self._since_s)
        self._spans += spans
        self._metric_requests += metric_requests
        self._reason = reason or self._reason

    def summary(self) -> str:
        """One line; empty if nothing was lost."""
        if self._since_s is None:
            return ""
        parts = [_counted(self._spans, "span"), _counted(self._metric_requests, "metric request")]
        lost = " and ".join(filter(None, parts))
        return f"lost since {to_iso(int(self._since_s))}: {lost}; the last because {self._reason}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}" if count else ""
