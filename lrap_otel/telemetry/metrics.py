"""The metrics: what the proxy costs, how invocations went, what telemetry lost of itself.

Sources: OpenTelemetry, "Semantic conventions for FaaS metrics".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from opentelemetry.context import Context
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
from opentelemetry.trace import NonRecordingSpan, set_span_in_context

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.spans import invocation_context

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.metrics.view import Aggregation
    from opentelemetry.sdk.resources import Resource

    from lrap_otel.export_settings import ExportSettings
    from lrap_otel.telemetry.invocations import Invocation

_SECONDS_PER_NANOSECOND = 1e-9
# 10 us to 100 ms, in steps of 1, 2, 5, and finer where a proxy like this should be.
OVERHEAD_BUCKETS_S = (
    0.00001,
    0.00002,
    0.00003,
    0.00005,
    0.000075,
    0.0001,
    0.00015,
    0.0002,
    0.0003,
    0.0005,
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
)
# 1 ms (a synchronous call) to a day (a queue that somebody forgot); what is older is older than that.
AGE_BUCKETS_S = (
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    30,
    60,
    300,
    900,
    3_600,
    21_600,
    86_400,
)
# The convention's list ends at 10 s; Lambda lets a function run for 900.
DURATION_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 300, 900)


class Instrument(NamedTuple):
    """One metric: its kind is ``histogram`` or ``counter``; `buckets` are a histogram's upper bounds."""

    name: str
    kind: str
    unit: str
    description: str
    buckets: tuple[float, ...] = ()


INSTRUMENTS = (
    Instrument(
        semconv.LRAP_PROXY_OVERHEAD,
        "histogram",
        "s",
        "Time the proxy added to one Runtime API call.",
        OVERHEAD_BUCKETS_S,
    ),
    Instrument(
        semconv.FAAS_INVOKE_DURATION,
        "histogram",
        "s",
        "Measures the duration of the function's logic execution.",
        DURATION_BUCKETS_S,
    ),
    Instrument(semconv.FAAS_INVOCATIONS, "counter", "{invocation}", "Number of successful invocations."),
    Instrument(semconv.FAAS_ERRORS, "counter", "{error}", "Number of invocation errors."),
    Instrument(semconv.FAAS_TIMEOUTS, "counter", "{timeout}", "Number of invocation timeouts."),
    Instrument(semconv.FAAS_COLDSTARTS, "counter", "{coldstart}", "Number of invocation cold starts."),
    Instrument(
        semconv.LRAP_EVENT_AGE,
        "histogram",
        "s",
        "Age of the event, or of the oldest record of a batch, when the function got it.",
        AGE_BUCKETS_S,
    ),
    Instrument(
        semconv.LRAP_BATCH_ITEM_FAILURES,
        "counter",
        "{record}",
        "Records that functions gave back as failed in batches that otherwise succeeded.",
    ),
    Instrument(semconv.LRAP_RECORDS_DROPPED, "counter", "{record}", "Records that never became telemetry."),
    Instrument(semconv.LRAP_SPANS_DROPPED, "counter", "{span}", "Finished spans that were given up."),
    Instrument(
        semconv.LRAP_EXPORTS_FAILED, "counter", "{export}", "Export attempts that the collector did not accept."
    ),
)


class Metrics:
    """The instruments of one resource. A new resource (a restored snapshot) needs new ones."""

    def __init__(self, settings: ExportSettings, resource: Resource) -> None:
        self._reader = InMemoryMetricReader(
            preferred_temporality=_temporality(settings.metric_temporality),
            preferred_aggregation=_aggregation(settings.histogram_aggregation),
        )
        provider = MeterProvider([self._reader], resource, shutdown_on_exit=False)
        meter = provider.get_meter(semconv.SCOPE_NAME, semconv.SCOPE_VERSION, semconv.SCHEMA_URL)
        # Measurements of one invocation follow one another.
        self._measured: Invocation | None = None
        self._measured_in = Context()
        self._histograms = {
            one.name: meter.create_histogram(
                one.name, one.unit, one.description, explicit_bucket_boundaries_advisory=list(one.buckets)
            )
            for one in INSTRUMENTS
            if one.kind == "histogram"
        }
        self._counters = {
            one.name: meter.create_counter(one.name, one.unit, one.description)
            for one in INSTRUMENTS
            if one.kind == "counter"
        }

    def delivery(self, invocation: Invocation) -> None:
        """An event of a new invocation has been delivered."""
        if invocation.delivered.cold_start:
            self._count(semconv.FAAS_COLDSTARTS, 1, {semconv.FAAS_TRIGGER: invocation.description.trigger})
        if invocation.event_age_s is not None:
            self._histograms[semconv.LRAP_EVENT_AGE].record(
                invocation.event_age_s, _source(invocation), self._context(invocation)
            )

    def overhead(self, endpoint: str, overhead_ns: int, invocation: Invocation) -> None:
        """What the proxy added to one call: `endpoint` is ``next``, ``response`` or ``error``."""
        self._histograms[semconv.LRAP_PROXY_OVERHEAD].record(
            max(overhead_ns, 0) * _SECONDS_PER_NANOSECOND, {semconv.LRAP_ENDPOINT: endpoint}, self._context(invocation)
        )

    def end(self, invocation: Invocation) -> None:
        """An invocation has ended. An HTTP status of 5xx is the function's answer: to Lambda it succeeded."""
        trigger = {semconv.FAAS_TRIGGER: invocation.description.trigger}
        duration_ns = invocation.end_ns - invocation.delivered.delivered_ns
        self._histograms[semconv.FAAS_INVOKE_DURATION].record(
            duration_ns * _SECONDS_PER_NANOSECOND, trigger, self._context(invocation)
        )
        if invocation.is_timeout:
            self._count(semconv.FAAS_TIMEOUTS, 1, trigger)
        elif invocation.failure is not None:
            self._count(semconv.FAAS_ERRORS, 1, trigger)
        else:
            self._count(semconv.FAAS_INVOCATIONS, 1, trigger)
        self._count(semconv.LRAP_BATCH_ITEM_FAILURES, invocation.item_failures or 0, _source(invocation))

    def drop_records(self, count: int, reason: str) -> None:
        self._count(semconv.LRAP_RECORDS_DROPPED, count, {semconv.ERROR_TYPE: reason})

    def drop_spans(self, count: int, reason: str) -> None:
        self._count(semconv.LRAP_SPANS_DROPPED, count, {semconv.ERROR_TYPE: reason})

    def fail_export(self, signal: str, reason: str) -> None:
        self._count(semconv.LRAP_EXPORTS_FAILED, 1, {semconv.LRAP_SIGNAL: signal, semconv.ERROR_TYPE: reason})

    def collect(self) -> MetricsData | None:
        """What was measured since the last call (delta) or the start (cumulative); None where nothing was."""
        return self._reader.get_metrics_data()

    def _context(self, invocation: Invocation) -> Context:
        """Gives a measurement its exemplar: the invocation's span, if that is sampled."""
        if self._measured is not invocation:
            span = NonRecordingSpan(invocation_context(invocation.delivered))
            self._measured, self._measured_in = invocation, set_span_in_context(span, Context())
        return self._measured_in

    def _count(self, name: str, count: int, attributes: dict[str, str]) -> None:
        if count > 0:
            self._counters[name].add(count, attributes, Context())


def _source(invocation: Invocation) -> dict[str, str]:
    """One function has one source or a few, so this is one series or a few."""
    description = invocation.description
    return {semconv.FAAS_TRIGGER: description.trigger, semconv.LRAP_TRIGGER: description.name}


def _temporality(preference: str) -> dict[type, AggregationTemporality]:
    """Source: OTLP metrics exporter, "Additional environment variable configuration"."""
    delta = {
        "delta": (Counter, Histogram, ObservableCounter),
        "lowmemory": (Counter, Histogram),
        "cumulative": (),
    }[preference]
    return dict.fromkeys(delta, AggregationTemporality.DELTA)


def _aggregation(name: str) -> dict[type, Aggregation] | None:
    if name == "base2_exponential_bucket_histogram":
        return {Histogram: ExponentialBucketHistogramAggregation()}
    return None
