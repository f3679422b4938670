"""The function's log, from the platform's events to the exporter: joined, cut to what is wanted,
encoded.
"""

from __future__ import annotations

from time import monotonic, time_ns

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.export.logs import LogExporter
from lrap_otel.telemetry.export.ways import Ways
from lrap_otel.telemetry.logs import severity
from lrap_otel.telemetry.logs.correlation import Correlation
from lrap_otel.telemetry.logs.reading import read
from lrap_otel.telemetry.otlp.logs import LogRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.telemetry.export.deadline import Deadline
    from lrap_otel.telemetry.logs.reading import Printed
    from lrap_otel.telemetry.metrics import Metrics
    from lrap_otel.telemetry.open_invocations import Invocation
    from lrap_otel.telemetry.otlp.wire import Resource
    from lrap_otel.telemetry.platform.batches import Event, Reader
    from lrap_otel.telemetry.settings import ExportSettings

# By LRAP_LOGS_LEVEL.
FLOORS = {
    "trace": severity.TRACE,
    "debug": severity.DEBUG,
    "info": severity.INFO,
    "warn": severity.WARN,
    "error": severity.ERROR,
    "fatal": severity.FATAL,
}
# What we print begins like that: were it sent, each export that fails would bring another one.
_OURS = ("lrap-otel: ", '{"resourceSpans":', '{"resourceMetrics":')
# Of records whose invocation has not come through the proxy yet: it may be a little late, or never
# come.
_PARKED_LIMIT, _PARKED_BYTES, _PARKED_NS = 2_000, 2 * 1024 * 1024, 1_000_000_000
RATE_LIMIT = "rate_limit"


class Logs:
    """Takes events, and gives records to `exporter`."""

    __slots__ = (
        "_correlation",
        "_cut",
        "_exporter",
        "_floor",
        "_parked",
        "_parked_bytes",
        "_rate",
        "_taken",
        "_window_s",
    )

    def __init__(self, settings: ExportSettings, exporter: LogExporter) -> None:
        self._exporter = exporter
        self._correlation = Correlation(is_managed=settings.is_managed_instances)
        self._floor = FLOORS[settings.logs_level]
        self._rate = settings.logs_rate
        self._window_s = monotonic()
        self._taken = self._cut = 0
        self._parked: list[Printed] = []
        self._parked_bytes = 0

    def take(self, event: Event, received_ns: int, reader: Reader) -> None:
        """A line, or an object, of the function's log or an extension's."""
        if (
            event.kind == "extension"
            and isinstance(event.record, str)
            and event.record.startswith(_OURS)
        ):
            return
        printed = read(event, received_ns, reader)
        if printed is None or severity.UNKNOWN < printed.log.severity < self._floor:
            return
        if not self._is_within_rate():
            return
        if event.kind != "function":
            printed.log.attributes = {**printed.log.attributes, semconv.LRAP_LOG_SOURCE: event.kind}
        if self._correlation.join(printed):
            self._exporter.add(printed.log)
        else:
            self._park(printed)
            while len(self._parked) > _PARKED_LIMIT or self._parked_bytes > _PARKED_BYTES:
                first = self._parked.pop(0)
                self._parked_bytes -= first.size_bytes
                self._exporter.add(first.log)

    def started(self, request_id: str) -> None:
        """The platform reports that an invocation has begun."""
        self._correlation.started(request_id)

    def delivered(self, invocation: Invocation) -> None:
        """The proxy has delivered an invocation: what it has printed already can leave."""
        self._correlation.delivered(invocation)
        if self._parked:
            request_id = invocation.delivered.request_id
            self._let_go(lambda printed: request_id in printed.request_ids.values())

    def release(self, *, is_last: bool) -> None:
        """Before an export, give up waiting for invocations that have not come in time; for all of
        them if it `is_last`.
        """
        if self._parked:
            long_ago_ns = time_ns() - _PARKED_NS
            self._let_go(lambda printed: is_last or printed.log.observed_ns <= long_ago_ns)
        self._say_what_was_cut()

    @property
    def is_waiting(self) -> bool:
        """Whether records wait for an export."""
        return self._exporter.is_waiting

    def seconds_until_due(self) -> float | None:
        """How long until an export is due that nobody asks for; None if none is."""
        due_s = self._exporter.seconds_until_due()
        if not self._parked:
            return due_s
        parked_s = max((self._parked[0].log.observed_ns + _PARKED_NS - time_ns()) / 1e9, 0.0)
        return parked_s if due_s is None else min(parked_s, due_s)

    def send(self, resource: Resource, deadline: Deadline, *, is_last: bool) -> bool:
        """Export what waits: see `LogExporter.send`."""
        return self._exporter.send(resource, deadline, is_last=is_last)

    @property
    def has_notes(self) -> bool:
        """Whether there is something for `note`."""
        return self._exporter.has_notes

    def note(self, metrics: Metrics) -> None:
        """Measure what was given up, and which exports failed."""
        self._exporter.note(metrics)

    def report_losses(self) -> None:
        """Nothing is sent any more: warn of all that was lost."""
        self._exporter.report_losses()

    def close(self) -> None:
        """Close the connection."""
        self._exporter.close()

    def _let_go(self, is_ready: Callable[[Printed], bool]) -> None:
        parked, self._parked, self._parked_bytes = self._parked, [], 0
        for printed in parked:
            if is_ready(printed):
                self._correlation.join(printed)
                self._exporter.add(printed.log)
            else:
                self._park(printed)

    def _park(self, printed: Printed) -> None:
        printed.size_bytes = printed.size_bytes or len(
            repr((printed.log.body, printed.log.attributes))
        )
        self._parked.append(printed)
        self._parked_bytes += printed.size_bytes

    def restored(self) -> None:
        """This is a new sandbox, made from a snapshot."""
        self._correlation.restored()
        self._parked, self._parked_bytes = [], 0
        self._exporter.forget()

    def _is_within_rate(self) -> bool:
        if not self._rate:
            return True
        now_s = monotonic()
        if now_s - self._window_s >= 1:
            self._say_what_was_cut()
            self._window_s, self._taken = now_s, 0
        self._taken += 1
        if self._taken <= self._rate:
            return True
        self._cut += 1
        return False

    def _say_what_was_cut(self) -> None:
        """A record in the place of those that were left out."""
        if not self._cut:
            return
        now_ns = time_ns()
        log = LogRecord(
            f"{self._cut} log records were left out (LRAP_LOGS_RATE={self._rate})",
            now_ns,
            now_ns,
            {},
        )
        log.severity, log.severity_text = severity.WARN, "WARN"
        self._exporter.count_dropped(self._cut, RATE_LIMIT)
        self._cut = 0
        self._exporter.add(log)


def logs_of(settings: ExportSettings, warn: Callable[[str], None]) -> Logs | None:
    """What `settings` ask for; None if it cannot be had, which is said."""
    way = Ways(settings, warn, lambda _: None).of_logs()
    if way is None:
        return None
    return Logs(settings, LogExporter(way, is_json=settings.logs.is_json, warn=warn))
