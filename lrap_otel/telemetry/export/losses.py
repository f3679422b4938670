"""What telemetry lost, for the one line that says so at the end."""

from time import time

from lrap_otel.telemetry.dates import to_iso

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Losses:
    """How much was lost, since when, and why the last of it was; and what the next process may
    still send.
    """

    __slots__ = ("_kept_spans", "_metric_requests", "_now_s", "_reason", "_since_s", "_spans")

    def __init__(self, now_s: "Callable[[], float]" = time) -> None:
        self._now_s = now_s
        self._since_s: float | None = None
        self._spans = 0
        self._metric_requests = 0
        self._kept_spans = 0
        self._reason = ""

    def add(
        self,
        reason: str,
        *,
        spans: int = 0,
        metric_requests: int = 0,
        kept_spans: int = 0,
        since_s: float | None = None,
    ) -> None:
        """So much was lost, and so many spans were kept in a file, for `reason`; `since_s` (Unix
        time) is when it began, now by default.
        """
        if not spans and not metric_requests and not kept_spans:
            return
        begun_s = self._now_s() if since_s is None else since_s
        self._since_s = begun_s if self._since_s is None else min(begun_s, self._since_s)
        self._spans += spans
        self._metric_requests += metric_requests
        self._kept_spans += kept_spans
        self._reason = reason or self._reason

    def lines(self) -> list[str]:
        """What to say about it; nothing if nothing was lost or kept."""
        if self._since_s is None:
            return []
        since = to_iso(int(self._since_s))
        parts = [_counted(self._spans, "span"), _counted(self._metric_requests, "metric request")]
        lost = " and ".join(filter(None, parts))
        lines = [f"lost since {since}: {lost}; the last because {self._reason}"] if lost else []
        if self._kept_spans:
            kept = _counted(self._kept_spans, "span")
            lines.append(
                f"not delivered since {since}: {kept}, which the next start of this sandbox sends; "
                f"if there is "
                f"none, they are lost; the last because {self._reason}"
            )
        return lines


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}" if count else ""
