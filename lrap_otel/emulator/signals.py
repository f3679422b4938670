"""Spans, metrics and logs as plain values, decoded from OTLP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
    from opentelemetry.proto.metrics.v1 import metrics_pb2
    from opentelemetry.proto.trace.v1 import trace_pb2

    Attributes = dict[str, Any]

KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
STATUSES = ("UNSET", "OK", "ERROR")
TEMPORALITIES = ("UNSPECIFIED", "DELTA", "CUMULATIVE")


@dataclass(frozen=True)
class Scope:
    """The instrumentation scope of a signal."""

    name: str
    version: str
    schema_url: str


@dataclass(frozen=True)
class Link:
    """A reference to another span."""

    trace_id_hex: str
    span_id_hex: str
    attributes: Attributes


@dataclass(frozen=True)
class Event:
    """Something noted within a span."""

    name: str
    time_ns: int
    attributes: Attributes


@dataclass(frozen=True)
class Span:
    """One span; ``parent_id_hex`` is empty for a root."""

    name: str
    kind: str
    trace_id_hex: str
    span_id_hex: str
    parent_id_hex: str
    start_ns: int
    end_ns: int
    status: str
    status_message: str
    attributes: Attributes
    links: list[Link]
    events: list[Event]
    trace_state: str
    flags: int
    resource: Attributes
    scope: Scope

    @property
    def duration_ms(self) -> float:
        """From start to end."""
        return (self.end_ns - self.start_ns) / 1e6

    @property
    def has_remote_parent(self) -> bool:
        """Whether its sender says that the parent lives in another process (bits 8 and 9 of the
        flags).
        """
        return self.flags & 0x300 == 0x300


@dataclass(frozen=True)
class Point:
    """One data point: ``value`` of a sum or gauge, the other fields of a histogram."""

    attributes: Attributes
    temporality: str
    value: float = 0.0
    count: int = 0
    sum: float = 0.0
    max: float | None = None
    bounds: tuple[float, ...] = ()
    bucket_counts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Metric:
    """One metric of one export."""

    name: str
    unit: str
    points: list[Point]
    resource: Attributes
    scope: Scope


@dataclass(frozen=True)
class LogRecord:
    """One log record."""

    body: Any
    severity: str
    trace_id_hex: str
    span_id_hex: str
    attributes: Attributes
    resource: Attributes
    scope: Scope
    time_ns: int = 0


def decode_spans(request: ExportTraceServiceRequest) -> list[Span]:
    """Every span of one export."""
    return [
        _span(span, attributes(group.resource.attributes), _scope(scoped.scope, scoped.schema_url))
        for group in request.resource_spans
        for scoped in group.scope_spans
        for span in scoped.spans
    ]


def decode_metrics(request: ExportMetricsServiceRequest) -> list[Metric]:
    """Every metric of one export."""
    return [
        Metric(
            metric.name,
            metric.unit,
            _points(metric),
            attributes(group.resource.attributes),
            _scope(scoped.scope, scoped.schema_url),
        )
        for group in request.resource_metrics
        for scoped in group.scope_metrics
        for metric in scoped.metrics
    ]


def decode_logs(request: ExportLogsServiceRequest) -> list[LogRecord]:
    """Every log record of one export."""
    return [
        LogRecord(
            plain(record.body),
            record.severity_text,
            record.trace_id.hex(),
            record.span_id.hex(),
            attributes(record.attributes),
            attributes(group.resource.attributes),
            _scope(scoped.scope, scoped.schema_url),
            record.time_unix_nano or record.observed_time_unix_nano,
        )
        for group in request.resource_logs
        for scoped in group.scope_logs
        for record in scoped.log_records
    ]


def attributes(pairs: Iterable[KeyValue]) -> Attributes:
    """Key-value pairs as a dictionary of plain values."""
    return {pair.key: plain(pair.value) for pair in pairs}


def plain(value: AnyValue) -> Any:
    """One attribute value as Python has it; None when it is empty."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return attributes(value.kvlist_value.values)
    return getattr(value, kind) if kind else None


def _scope(scope: InstrumentationScope, schema_url: str) -> Scope:
    return Scope(scope.name, scope.version, schema_url)


def _span(span: trace_pb2.Span, resource: Attributes, scope: Scope) -> Span:
    return Span(
        name=span.name,
        kind=KINDS[span.kind],
        trace_id_hex=span.trace_id.hex(),
        span_id_hex=span.span_id.hex(),
        parent_id_hex=span.parent_span_id.hex(),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        status=STATUSES[span.status.code],
        status_message=span.status.message,
        attributes=attributes(span.attributes),
        links=[
            Link(link.trace_id.hex(), link.span_id.hex(), attributes(link.attributes))
            for link in span.links
        ],
        events=[
            Event(event.name, event.time_unix_nano, attributes(event.attributes))
            for event in span.events
        ],
        trace_state=span.trace_state,
        flags=span.flags,
        resource=resource,
        scope=scope,
    )


def _points(metric: metrics_pb2.Metric) -> list[Point]:
    kind = metric.WhichOneof("data")
    if kind == "gauge":
        return [_number(point, "UNSPECIFIED") for point in metric.gauge.data_points]
    if kind == "sum":
        return [
            _number(point, TEMPORALITIES[metric.sum.aggregation_temporality])
            for point in metric.sum.data_points
        ]
    if kind == "histogram":
        return [
            _histogram(point, TEMPORALITIES[metric.histogram.aggregation_temporality])
            for point in metric.histogram.data_points
        ]
    return []


def _number(point: metrics_pb2.NumberDataPoint, temporality: str) -> Point:
    value = point.as_double if point.WhichOneof("value") == "as_double" else point.as_int
    return Point(attributes(point.attributes), temporality, value=value)


def _histogram(point: metrics_pb2.HistogramDataPoint, temporality: str) -> Point:
    return Point(
        attributes(point.attributes),
        temporality,
        count=point.count,
        sum=point.sum,
        max=point.max if point.HasField("max") else None,
        bounds=tuple(point.explicit_bounds),
        bucket_counts=tuple(point.bucket_counts),
    )
