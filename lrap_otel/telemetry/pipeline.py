"""From records to spans and metrics, and out."""

from __future__ import annotations

from posix import urandom
from time import monotonic, time_ns

from lrap_otel.ipc.records import (
    Delivered,
    Finished,
    InitError,
    Restored,
    Runtime,
    Started,
    Subscribed,
)
from lrap_otel.propagation.context import RANDOM, SAMPLED, SpanContext
from lrap_otel.propagation.sampling import Sampler
from lrap_otel.telemetry import failures
from lrap_otel.telemetry.bodies import Body
from lrap_otel.telemetry.export.at_once import at_once
from lrap_otel.telemetry.export.compose import exporter_of
from lrap_otel.telemetry.export.deadline import attempt
from lrap_otel.telemetry.heads import Head
from lrap_otel.telemetry.limits import Limits
from lrap_otel.telemetry.metrics import Metrics
from lrap_otel.telemetry.open_invocations import Invocation, Invocations
from lrap_otel.telemetry.record_queue import Batch
from lrap_otel.telemetry.redaction import Privacy
from lrap_otel.telemetry.resource import build_resource
from lrap_otel.telemetry.spans import init_span, invocation_span
from lrap_otel.telemetry.triggers.description import HTTP_METHODS, Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.ipc.event_fd import EventFd
    from lrap_otel.ipc.records import Record
    from lrap_otel.telemetry.export.deadline import Deadline
    from lrap_otel.telemetry.keep import Keeper
    from lrap_otel.telemetry.logs.gathering import Logs
    from lrap_otel.telemetry.otlp.traces import Span
    from lrap_otel.telemetry.otlp.wire import Resource
    from lrap_otel.telemetry.platform.observer import Observer
    from lrap_otel.telemetry.settings import ExportSettings

OPEN_INVOCATIONS_LIMIT = 10_000
# After a failure nothing is tried sooner that nobody asks for, however short the intervals are: the
# exporter's own pauses begin with about as much.
_AFTER_FAILURE_S = 1.0


class _Sandbox:
    """Who we are, and the instruments that speak for it."""

    __slots__ = ("metrics", "resource")

    def __init__(self, resource: Resource, metrics: Metrics) -> None:
        self.resource = resource
        self.metrics = metrics


class Pipeline:
    """What the telemetry process knows. One thread uses it."""

    def __init__(
        self,
        settings: ExportSettings,
        warn: Callable[[str], None],
        print_out: Callable[[str], None],
        *,
        hears_platform: bool = False,
    ) -> None:
        """`warn` takes a line for people, `print_out` a part of a line for the function's log.
        `hears_platform`: `Batch` records will come.
        """
        self._settings = settings
        self.limits = Limits(settings)
        self._options = _options(settings)
        self.sampler = Sampler(settings.sampler, settings.sampler_argument)
        self._keeper = _keeper(settings)
        self._exporter = exporter_of(settings, warn, print_out)
        self._invocations = Invocations(OPEN_INVOCATIONS_LIMIT)
        self._started: Started | None = None
        self._runtime: Runtime | None = None
        self._made: _Sandbox | None = None
        self._channel_dropped = 0
        self._oldest_span_s: float | None = None
        self._oldest_measurement_s: float | None = None
        # From then on (monotonic) an export takes with it what was measured.
        self._metrics_due_s = 0.0
        # When they last went, or might have; some receivers want a pause between two requests.
        self._metrics_went_s = monotonic()
        self._last_failed = self._last_metrics_failed = False
        self._observer: Observer | None = None
        self._logs: Logs | None = None
        if hears_platform and settings.telemetry_types:
            from lrap_otel.telemetry.platform.observer import Observer  # noqa: PLC0415 - where the platform is heard

            self._logs = _logs(settings, warn)
            self._observer = Observer(self, self._logs)

    def accept(self, record: Record) -> None:
        """Work off one record that is not a command."""
        if isinstance(record, Delivered):
            self._deliver(record)
        elif isinstance(record, Finished):
            self._finish(record)
        elif isinstance(record, Started):
            self._started = record
        elif isinstance(record, Runtime):
            self._runtime = record
        elif isinstance(record, InitError):
            self._fail_init(record)
        elif isinstance(record, Restored):
            self._restore()
        elif isinstance(record, Subscribed) and self._observer is not None:
            self._observer.is_subscribed = True
        elif isinstance(record, Batch) and self._observer is not None:
            self.count_dropped(0, 0, self._observer.take(record))

    def flush(self, deadline: Deadline, *, is_last: bool = False) -> bool:
        """Export what is finished before `deadline`; whether the collector has it.

        Metrics go with the first flush, with one that comes `OTEL_METRIC_EXPORT_INTERVAL` or more
        after they last went, with the one after a failure, and with the last. They go at the same
        time as the spans: a function is billed for it.
        """
        has_logs = self._logs is not None and self._logs.seconds_until_due() is not None
        if self._made is None and not has_logs and not is_last:
            return True
        # In a pause after a failure metrics stay here, and that is no failure: to wait for the
        # spans is worth it.
        measured = is_last or (self._takes_metrics and self._exporter.may_send_metrics)
        has_all = self._export(deadline, measured=measured, is_last=is_last)
        if is_last:
            self._exporter.report_losses()
            if self._logs is not None:
                self._logs.report_losses()
        return has_all

    def close_open(self, reason: str) -> None:
        """The sandbox ends for `reason`: so does what is still open."""
        now_ns = time_ns()
        for invocation in self._invocations.take_all():
            invocation.close(reason, now_ns)
            if self._observer is not None:
                invocation.failure = self._observer.failure_of(invocation) or invocation.failure
            self._end(invocation)
        if self._observer is not None:
            self._observer.close(reason)

    def seconds_until_due(self) -> float | None:
        """How long until an export is due that nobody asks for; None if none is."""
        due = []
        if self._oldest_span_s is not None:
            is_now = self._exporter.has_full_batch and not self._last_failed
            delay_s = self._settings.schedule_delay_ms / 1_000
            delay_s = max(delay_s, _AFTER_FAILURE_S) if self._last_failed else delay_s
            due.append(self._oldest_span_s + (0 if is_now else delay_s))
        logs_s = self._logs.seconds_until_due() if self._logs is not None else None
        if logs_s is not None:
            due.append(monotonic() + logs_s)
        if self._oldest_measurement_s is not None:
            interval_s = self._settings.metric_interval_ms / 1_000
            interval_s = (
                max(interval_s, _AFTER_FAILURE_S) if self._last_metrics_failed else interval_s
            )
            due.append(max(self._oldest_measurement_s + interval_s, self._metrics_allowed_s))
        return max(min(due) - monotonic(), 0) if due else None

    def export_due(self, event_fd: EventFd) -> None:
        """Export what is due, as OpenTelemetry's batching does. Where nobody sends flushes, this
        alone exports.

        A slow collector is given up for what `event_fd` rings for.
        """
        self._export(
            attempt(self._settings.export_timeout_ms / 1_000, event_fd),
            spans=self._oldest_span_s is not None,
            measured=self._takes_metrics,
        )

    def count_dropped(self, in_channel: int, in_inbox: int, malformed: int) -> None:
        """Records that were lost: `in_channel` since the start, the others since the last call."""
        self._drop_records(in_channel - self._channel_dropped, "channel_full")
        self._channel_dropped = max(in_channel, self._channel_dropped)
        self._drop_records(in_inbox, "queue_full")
        self._drop_records(malformed, "malformed")

    def count_billed(self, billed_ms: int) -> None:
        """Invocations waited for flushes, `billed_ms` more than was counted before."""
        if billed_ms:
            self.metrics.bill_flush(billed_ms)

    def close(self) -> None:
        """Close the connections."""
        self._exporter.close()
        if self._logs is not None:
            self._logs.close()

    @property
    def awaits_platform(self) -> bool:
        """The platform speaks, and has not yet reported all invocations."""
        return self._observer is not None and self._observer.is_awaiting

    @property
    def resource(self) -> Resource:
        """Who we are, final with its first use."""
        return self._sandbox.resource

    @property
    def _sandbox(self) -> _Sandbox:
        """The resource is final with its first use."""
        if self._made is None:
            resource = build_resource(self._settings, self._started, self._runtime)
            self._made = _Sandbox(resource, Metrics(self._settings, resource))
        return self._made

    @property
    def metrics(self) -> Metrics:
        """For a measurement."""
        if self._oldest_measurement_s is None:
            self._oldest_measurement_s = monotonic()
        return self._sandbox.metrics

    @property
    def _takes_metrics(self) -> bool:
        """Something was measured, and metrics may go again."""
        is_due = monotonic() >= max(self._metrics_due_s, self._metrics_allowed_s)
        return self._oldest_measurement_s is not None and is_due

    @property
    def _metrics_allowed_s(self) -> float:
        """From then on (monotonic) the receiver takes metrics."""
        apart_s = self._exporter.metrics_apart_s
        return self._metrics_went_s + apart_s if apart_s else 0.0

    @property
    def _function_name(self) -> str:
        return self._settings.function_name or (
            self._started.function_name if self._started else ""
        )

    @property
    def _function_version(self) -> str:
        return self._settings.function_version or (
            self._started.function_version if self._started else ""
        )

    def _deliver(self, record: Delivered) -> None:
        known = self._invocations.find(record)
        if known is not None and record.is_redelivery:
            self.metrics.overhead("next", record.overhead_ns, known)
            return
        if known is not None:
            # A retry of an id whose first attempt never ended.
            known.close("timeout", record.delivered_ns)
            self._end(known)
        invocation = Invocation(record, self._function_version, self._options)
        self.metrics.delivery(invocation)
        self.metrics.overhead("next", record.overhead_ns, invocation)
        if self._invocations.open(invocation) is not None:
            self._drop_records(1, "queue_full")
        if self._observer is not None:
            self._observer.delivered(invocation)
        early = self._invocations.take_early(record)
        if early is not None:
            self._finish(early)

    def _finish(self, record: Finished) -> None:
        invocation = self._invocations.take(record)
        if invocation is None:
            if self._invocations.keep_early(record) is not None:
                self._drop_records(1, "unknown_invocation")
            return
        invocation.finish(record)
        self.metrics.overhead(record.endpoint, record.overhead_ns, invocation)
        self._end(invocation)

    def _end(self, invocation: Invocation) -> None:
        self.metrics.end(invocation)
        is_sampled = invocation.is_sampled
        span = None
        if is_sampled or self._keeper is not None:
            name = self._function_name or "invocation"
            span = invocation_span(invocation, self._sandbox.resource, name, self.limits)
            self.add(span, is_sampled=is_sampled, is_cold=invocation.delivered.cold_start)
        if self._observer is not None:
            self._observer.ended(invocation, span)

    def _fail_init(self, record: InitError) -> None:
        told_ns = self._observer.init_failed() if self._observer is not None else 0
        trace_id_hex = urandom(16).hex()
        # The proxy samples invocations; a failed init has none, and its span is a root of its own.
        is_sampled = self.sampler.decide(None, trace_id_hex)
        if not is_sampled and self._keeper is None:
            return
        flags = RANDOM | SAMPLED if is_sampled else RANDOM
        context = SpanContext(trace_id_hex, urandom(8).hex(), flags)
        payload = record.payload or b""
        head, rest = Head(payload[: record.head_length]), payload[record.head_length :]
        failure = failures.from_error(head, Body(head, rest, len(rest), len(rest)))
        failure = self._options.privacy.of_failure(failure)
        start_ns = told_ns or (self._started.at_ns if self._started else record.at_ns)
        span = init_span(
            context, start_ns, record.at_ns, failure, self._sandbox.resource, self.limits
        )
        self.add(span, is_sampled=is_sampled, is_cold=True)

    def _restore(self) -> None:
        self._made = None
        self._oldest_span_s = self._oldest_measurement_s = None
        self._metrics_due_s = 0.0
        self._metrics_went_s = monotonic()
        self._exporter.forget()
        if self._observer is not None:
            self._observer.restored()

    def add(self, span: Span, *, is_sampled: bool, is_cold: bool) -> None:
        """Keep a finished span until the next export, if it is to be sent."""
        if not is_sampled and self._keeper is None:
            return
        if self._keeper is not None and not self._keeper.keeps(
            span, is_sampled=is_sampled, is_cold=is_cold
        ):
            return
        self._exporter.add(span, self._sandbox.metrics)
        if self._oldest_span_s is None and self._exporter.has_spans:
            self._oldest_span_s = monotonic()

    def _drop_records(self, count: int, reason: str) -> None:
        if count > 0:
            self.metrics.drop_records(count, reason)

    def _export(
        self,
        deadline: Deadline,
        *,
        spans: bool = True,
        measured: bool = True,
        is_last: bool = False,
    ) -> bool:
        """Whether the collector has all that was to be sent."""
        # Before the attempt: were it to raise, this must not be due again at once.
        if spans:
            self._oldest_span_s, self._last_failed = monotonic(), True
        if measured:
            self._oldest_measurement_s = None
            self._metrics_went_s = monotonic()
        next_s = monotonic() + self._settings.metric_interval_ms / 1_000
        has_logs = True
        if self._logs is not None:
            self._logs.release(is_last=is_last)
            if self._logs.has_notes:
                self._logs.note(self.metrics)
        if self._logs is None or not self._logs.is_waiting:
            has_spans, has_metrics = self._exporter.export(
                self._sandbox.metrics, deadline, spans=spans, measured=measured, is_last=is_last
            )
        else:
            apart = deadline.apart()
            sandbox, logs, exporter = self._sandbox, self._logs, self._exporter
            (has_spans, has_metrics), has_logs = at_once(
                lambda: exporter.export(
                    sandbox.metrics, deadline, spans=spans, measured=measured, is_last=is_last
                ),
                lambda: logs.send(sandbox.resource, apart, is_last=is_last),
            )
            if logs.has_notes:
                logs.note(self.metrics)
        if spans:
            self._last_failed = self._exporter.has_spans
            self._oldest_span_s = monotonic() if self._last_failed else None
        if measured:
            self._last_metrics_failed = not has_metrics
        if measured and has_metrics:
            self._metrics_due_s = next_s
        elif measured:
            self._oldest_measurement_s = monotonic()
        return has_spans and has_metrics and has_logs


def _logs(settings: ExportSettings, warn: Callable[[str], None]) -> Logs | None:
    if not settings.logs.enabled:
        return None
    from lrap_otel.telemetry.logs.gathering import logs_of  # noqa: PLC0415 - few ask for logs

    return logs_of(settings, warn)


def _keeper(settings: ExportSettings) -> Keeper | None:
    if not settings.keep:
        return None
    from lrap_otel.telemetry.keep import Keeper  # noqa: PLC0415 - few ask for it

    return Keeper(settings.keep, settings.sampler, settings.max_attributes)


def _options(settings: ExportSettings) -> Options:
    named = frozenset(
        method.strip() for method in settings.known_http_methods.split(",") if method.strip()
    )
    privacy = Privacy.of_names(
        settings.redacted_names,
        has_query=settings.captures_query,
        has_client_address=settings.captures_client_address,
        exception=settings.captured_exception,
    )
    return Options(named or HTTP_METHODS, privacy)
