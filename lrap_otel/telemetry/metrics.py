"""The metrics: what the proxy costs, how invocations went, what telemetry lost of itself.

Sources: OpenTelemetry, "Semantic conventions for FaaS metrics".
"""

from time import time_ns

from lrap_otel.propagation.context import SAMPLED, SpanContext
from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.aggregation import ExponentialHistogram, Histogram, Sum
from lrap_otel.telemetry.otlp.metrics import CUMULATIVE, DELTA, Metric, MetricsData

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.telemetry.open_invocations import Invocation
    from lrap_otel.telemetry.otlp.wire import Resource
    from lrap_otel.telemetry.platform.reports import Measured
    from lrap_otel.telemetry.settings import ExportSettings

    # Of one series: names and values.
    Key = tuple[tuple[str, str], ...]

_SECONDS_PER_NANOSECOND = 1e-9
# Lambda has four.
_INIT_TYPES_LIMIT = 16
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
# 1 ms (a synchronous call) to a day (a queue that somebody forgot); what is older is older than
# that.
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
# The convention's list ends at 10 s; Lambda lets a function run for 900, and Managed Instances for
# 5,400.
DURATION_BUCKETS_S = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.25,
    0.5,
    0.75,
    1,
    2.5,
    5,
    7.5,
    10,
    30,
    60,
    300,
    900,
    1_800,
    5_400,
)


# 16 MiB to 10 GiB, the most that a function may have.
MEMORY_BUCKETS_BYTES = tuple(
    float(mib * 1_048_576)
    for mib in (
        16,
        32,
        64,
        96,
        128,
        192,
        256,
        384,
        512,
        768,
        1_024,
        1_536,
        2_048,
        3_072,
        4_096,
        6_144,
        8_192,
        10_240,
    )
)
# 0.1 ms to the two seconds that some extensions take to flush.
EXTENSION_BUCKETS_S = (
    0.0001,
    0.0002,
    0.0005,
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
)


class Instrument:
    """One metric: its kind is ``histogram`` or ``counter``; `buckets` are a histogram's upper
    bounds.
    """

    __slots__ = ("buckets", "description", "kind", "name", "unit")

    def __init__(
        self, name: str, kind: str, unit: str, description: str, buckets: tuple[float, ...] = ()
    ) -> None:
        self.name = name
        self.kind = kind
        self.unit = unit
        self.description = description
        self.buckets = buckets


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
    Instrument(
        semconv.FAAS_INVOCATIONS, "counter", "{invocation}", "Number of successful invocations."
    ),
    Instrument(semconv.FAAS_ERRORS, "counter", "{error}", "Number of invocation errors."),
    Instrument(semconv.FAAS_TIMEOUTS, "counter", "{timeout}", "Number of invocation timeouts."),
    Instrument(
        semconv.FAAS_COLDSTARTS, "counter", "{coldstart}", "Number of invocation cold starts."
    ),
    Instrument(
        semconv.FAAS_INIT_DURATION,
        "histogram",
        "s",
        "Measures the duration of the function's initialization, such as a cold start.",
        DURATION_BUCKETS_S,
    ),
    Instrument(
        semconv.FAAS_MEM_USAGE,
        "histogram",
        "By",
        "Distribution of max memory usage per invocation.",
        MEMORY_BUCKETS_BYTES,
    ),
    Instrument(
        semconv.LRAP_PLATFORM_INVOKE_DURATION,
        "histogram",
        "s",
        "Duration of an invocation as Lambda measured it, extensions included.",
        DURATION_BUCKETS_S,
    ),
    Instrument(
        semconv.LRAP_BILLED_DURATION,
        "histogram",
        "s",
        "Duration of an invocation that Lambda billed.",
        DURATION_BUCKETS_S,
    ),
    Instrument(
        semconv.LRAP_EXTENSION_OVERHEAD,
        "histogram",
        "s",
        "Time from the runtime's end of an invocation to that of all extensions, as Lambda "
        "measured it.",
        EXTENSION_BUCKETS_S,
    ),
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
    Instrument(
        semconv.LRAP_FLUSH_BILLED,
        "counter",
        "ms",
        "Time that invocations waited for flushes, which Lambda bills.",
    ),
    Instrument(
        semconv.LRAP_RECORDS_DROPPED, "counter", "{record}", "Records that never became telemetry."
    ),
    Instrument(
        semconv.LRAP_SPANS_DROPPED, "counter", "{span}", "Finished spans that were given up."
    ),
    Instrument(semconv.LRAP_LOGS_DROPPED, "counter", "{record}", "Log records that were given up."),
    Instrument(
        semconv.LRAP_EXPORTS_FAILED,
        "counter",
        "{export}",
        "Export attempts that the collector did not accept.",
    ),
)

_BUCKETS = {one.name: one.buckets for one in INSTRUMENTS}


class Metrics:
    """The instruments of one resource. A new resource (a restored snapshot) needs new ones.

    A series is what one instrument measured with the same attributes. These are fixed words, so
    that series are few.
    """

    def __init__(self, settings: "ExportSettings", resource: "Resource") -> None:
        self._resource = resource
        self._is_exponential = (
            settings.histogram_aggregation == "base2_exponential_bucket_histogram"
        )
        # The third preference differs from delta for observable instruments alone, and there are
        # none.
        self._is_delta = settings.metric_temporality != "cumulative"
        self._exemplar_filter = settings.exemplar_filter
        self._start_ns = time_ns()
        self._sums: dict[str, dict[Key, Sum]] = {}
        self._histograms: dict[str, dict[Key, Histogram | ExponentialHistogram]] = {}

    def delivery(self, invocation: "Invocation") -> None:
        """An event of a new invocation has been delivered."""
        if invocation.delivered.cold_start:
            self._count(semconv.FAAS_COLDSTARTS, 1, _trigger(invocation))
        if invocation.event_age_s is not None:
            self._record(
                semconv.LRAP_EVENT_AGE,
                invocation.event_age_s,
                _source(invocation),
                _span_of(invocation),
            )

    def overhead(self, endpoint: str, overhead_ns: int, invocation: "Invocation") -> None:
        """What the proxy added to one call: `endpoint` is ``next``, ``response`` or ``error``."""
        overhead_s = max(overhead_ns, 0) * _SECONDS_PER_NANOSECOND
        key = ((semconv.LRAP_ENDPOINT, endpoint),)
        self._record(semconv.LRAP_PROXY_OVERHEAD, overhead_s, key, _span_of(invocation))

    def end(self, invocation: "Invocation") -> None:
        """An invocation has ended. An HTTP status of 5xx is the function's answer: to Lambda it
        succeeded.
        """
        trigger = _trigger(invocation)
        duration_s = (
            invocation.end_ns - invocation.delivered.delivered_ns
        ) * _SECONDS_PER_NANOSECOND
        self._record(semconv.FAAS_INVOKE_DURATION, duration_s, trigger, _span_of(invocation))
        if invocation.is_timeout:
            self._count(semconv.FAAS_TIMEOUTS, 1, trigger)
        elif invocation.failure is not None:
            self._count(semconv.FAAS_ERRORS, 1, trigger)
        else:
            self._count(semconv.FAAS_INVOCATIONS, 1, trigger)
        self._count(
            semconv.LRAP_BATCH_ITEM_FAILURES, invocation.item_failures or 0, _source(invocation)
        )

    def init(self, duration_s: float, kind: str) -> None:
        """The platform has reported an init or a restore, by its initialization type.

        Anybody in the sandbox may say so: types beyond the first few are left out.
        """
        name = semconv.FAAS_INIT_DURATION
        known = self._histograms.get(name, {})
        key = ((semconv.LRAP_INIT_TYPE, kind),) if kind else ()
        is_one_too_many = key not in known and len(known) >= _INIT_TYPES_LIMIT
        self._record(name, duration_s, () if is_one_too_many else key, None)

    def report(self, measured: "Measured", trigger: str, span: SpanContext | None) -> None:
        """The platform has reported an invocation; `trigger` and `span` are empty and None if the
        proxy has not seen it.
        """
        for name, value in (
            (semconv.FAAS_MEM_USAGE, measured.memory_bytes),
            (semconv.LRAP_PLATFORM_INVOKE_DURATION, measured.duration_s),
            (semconv.LRAP_BILLED_DURATION, measured.billed_s),
            (semconv.LRAP_EXTENSION_OVERHEAD, measured.extension_overhead_s),
        ):
            if value is not None:
                self._record(name, value, _trigger_key(trigger), span)

    def fail(self, trigger: str, *, is_timeout: bool) -> None:
        """The platform reports a bad end of an invocation that the proxy saw succeed."""
        self._count(
            semconv.FAAS_TIMEOUTS if is_timeout else semconv.FAAS_ERRORS, 1, _trigger_key(trigger)
        )

    def drop_records(self, count: int, reason: str) -> None:
        """Records were lost for `reason`."""
        self._count(semconv.LRAP_RECORDS_DROPPED, count, ((semconv.ERROR_TYPE, reason),))

    def drop_spans(self, count: int, reason: str) -> None:
        """Spans were given up for `reason`."""
        self._count(semconv.LRAP_SPANS_DROPPED, count, ((semconv.ERROR_TYPE, reason),))

    def drop_logs(self, count: int, reason: str) -> None:
        """Log records were given up for `reason`."""
        self._count(semconv.LRAP_LOGS_DROPPED, count, ((semconv.ERROR_TYPE, reason),))

    def bill_flush(self, billed_ms: int) -> None:
        """Invocations were held for flushes, and so billed for `billed_ms` more."""
        self._count(semconv.LRAP_FLUSH_BILLED, billed_ms, ())

    def fail_export(self, signal: str, reason: str) -> None:
        """An export of `signal` failed for `reason`."""
        self._count(
            semconv.LRAP_EXPORTS_FAILED,
            1,
            ((semconv.LRAP_SIGNAL, signal), (semconv.ERROR_TYPE, reason)),
        )

    def collect(self) -> MetricsData | None:
        """What was measured since the last call (delta) or the start (cumulative); None where
        nothing was.
        """
        start_ns, end_ns = self._start_ns, max(time_ns(), self._start_ns)
        temporality = DELTA if self._is_delta else CUMULATIVE
        metrics = []
        for one in INSTRUMENTS:
            series = self._sums.get(one.name) or self._histograms.get(one.name) or {}
            points = [each.point(dict(key), start_ns, end_ns) for key, each in series.items()]
            if points:
                metrics.append(Metric(one.name, one.unit, one.description, temporality, points))
        if self._is_delta:
            self._sums, self._histograms = {}, {}
            self._start_ns = end_ns
        return MetricsData(self._resource, metrics) if metrics else None

    def _record(self, name: str, value: float, key: "Key", span: SpanContext | None) -> None:
        series = self._histograms.setdefault(name, {})
        histogram = series.get(key)
        if histogram is None:
            histogram = (
                ExponentialHistogram() if self._is_exponential else Histogram(_BUCKETS[name])
            )
            series[key] = histogram
        histogram.record(value, span if self._makes_exemplar(span) else None)

    def _count(self, name: str, count: int, key: "Key") -> None:
        if count > 0:
            series = self._sums.setdefault(name, {})
            if key not in series:
                series[key] = Sum()
            series[key].add(count)

    def _makes_exemplar(self, span: SpanContext | None) -> bool:
        """Whether what is measured in `span` makes an exemplar."""
        if span is None:
            return False
        is_sampled = bool(span.trace_flags & SAMPLED)
        return self._exemplar_filter == "always_on" or (
            self._exemplar_filter == "trace_based" and is_sampled
        )


def _span_of(invocation: "Invocation") -> SpanContext:
    delivered = invocation.delivered
    return SpanContext(delivered.trace_id_hex, delivered.span_id_hex, delivered.trace_flags)


def _trigger_key(trigger: str) -> "Key":
    return ((semconv.FAAS_TRIGGER, trigger),) if trigger else ()


def _trigger(invocation: "Invocation") -> "Key":
    return ((semconv.FAAS_TRIGGER, invocation.description.trigger),)


def _source(invocation: "Invocation") -> "Key":
    """One function has one source or a few, so this is one series or a few."""
    description = invocation.description
    return (semconv.FAAS_TRIGGER, description.trigger), (semconv.LRAP_TRIGGER, description.name)
