"""Metrics as OTLP's protobuf.

Source: opentelemetry-proto, ``metrics/v1/metrics.proto``.
"""

from lrap_otel.telemetry.otlp import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrap_otel.telemetry.otlp.wire import Attributes, Resource, Scope

DELTA, CUMULATIVE = 1, 2


class Exemplar:
    """One measurement, and the span in which it was made."""

    __slots__ = ("at_ns", "span_id_hex", "trace_id_hex", "value")

    def __init__(self, at_ns: int, value: float, trace_id_hex: str, span_id_hex: str) -> None:
        self.at_ns = at_ns
        self.value = value
        self.trace_id_hex = trace_id_hex
        self.span_id_hex = span_id_hex


class SumPoint:
    """The total of a counter."""

    __slots__ = ("attributes", "end_ns", "start_ns", "value")

    def __init__(self, attributes: "Attributes", start_ns: int, end_ns: int, value: int) -> None:
        self.attributes = attributes
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.value = value


class HistogramPoint:
    """The measurements of a histogram with explicit bounds: `counts` has one more entry than
    `bounds`, which are upper ends.
    """

    __slots__ = (
        "attributes",
        "bounds",
        "counts",
        "end_ns",
        "exemplars",
        "maximum",
        "minimum",
        "start_ns",
        "sum",
    )

    def __init__(self, attributes: "Attributes", start_ns: int, end_ns: int) -> None:
        self.attributes = attributes
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.sum = 0.0
        self.minimum = 0.0
        self.maximum = 0.0
        self.counts: Sequence[int] = ()
        self.bounds: Sequence[float] = ()
        self.exemplars: Sequence[Exemplar] = ()


class ExponentialPoint:
    """The measurements of an exponential histogram, none below zero: bucket ``offset + i`` of
    `counts` ends, inclusively, at ``2 ** ((offset + i + 1) * 2 ** -scale)``.
    """

    __slots__ = (
        "attributes",
        "count",
        "counts",
        "end_ns",
        "exemplars",
        "maximum",
        "minimum",
        "offset",
        "scale",
        "start_ns",
        "sum",
        "zero_count",
    )

    def __init__(self, attributes: "Attributes", start_ns: int, end_ns: int) -> None:
        self.attributes = attributes
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.count = 0
        self.sum = 0.0
        self.minimum = 0.0
        self.maximum = 0.0
        self.scale = 0
        self.zero_count = 0
        self.offset = 0
        self.counts: Sequence[int] = ()
        self.exemplars: Sequence[Exemplar] = ()


class Metric:
    """The points of one instrument, all of one class."""

    __slots__ = ("description", "name", "points", "temporality", "unit")

    def __init__(
        self,
        name: str,
        unit: str,
        description: str,
        temporality: int,
        points: "Sequence[SumPoint | HistogramPoint | ExponentialPoint]",
    ) -> None:
        self.name = name
        self.unit = unit
        self.description = description
        self.temporality = temporality
        self.points = points


class MetricsData:
    """All metrics of one resource."""

    __slots__ = ("metrics", "resource")

    def __init__(self, resource: "Resource", metrics: "Sequence[Metric]") -> None:
        self.resource = resource
        self.metrics = metrics


def metrics_request(data: MetricsData, scope: "Scope") -> bytes:
    """One export request."""
    return wire.request(data.resource, scope, [_metric(metric) for metric in data.metrics])


def _metric(metric: Metric) -> bytes:
    first = metric.points[0]
    number = 7 if isinstance(first, SumPoint) else 9 if isinstance(first, HistogramPoint) else 10
    of_kind = [wire.message(1, _point(point)) for point in metric.points]
    of_kind.append(wire.integer(2, metric.temporality))
    if number == 7:
        of_kind.append(wire.integer(3, 1))  # monotonic: a counter never decreases
    return b"".join(
        [
            wire.text(1, metric.name),
            wire.text(2, metric.description),
            wire.text(3, metric.unit),
            wire.message(number, b"".join(of_kind)),
        ]
    )


def _point(point: SumPoint | HistogramPoint | ExponentialPoint) -> bytes:
    times = wire.fixed_64(2, point.start_ns) + wire.fixed_64(3, point.end_ns)
    if isinstance(point, SumPoint):
        value = b"\x31" + point.value.to_bytes(
            8, "little", signed=True
        )  # part of a oneof, so zero is written
        return times + value + wire.attributes(7, point.attributes)
    return (
        _histogram(point, times)
        if isinstance(point, HistogramPoint)
        else _exponential(point, times)
    )


def _histogram(point: HistogramPoint, times: bytes) -> bytes:
    return b"".join(
        [
            times,
            wire.fixed_64(4, sum(point.counts)),
            wire.double(5, point.sum),
            wire.packed_fixed_64(6, point.counts),
            wire.packed_doubles(7, point.bounds),
            *[wire.message(8, _exemplar(exemplar)) for exemplar in point.exemplars],
            wire.attributes(9, point.attributes),
            wire.double(11, point.minimum),
            wire.double(12, point.maximum),
        ]
    )


def _exponential(point: ExponentialPoint, times: bytes) -> bytes:
    buckets = wire.signed(1, point.offset) + wire.packed_varints(2, point.counts)
    return b"".join(
        [
            wire.attributes(1, point.attributes),
            times,
            wire.fixed_64(4, point.count),
            wire.double(5, point.sum),
            wire.signed(6, point.scale),
            wire.fixed_64(7, point.zero_count),
            wire.message(8, buckets) if point.counts else b"",
            *[wire.message(11, _exemplar(exemplar)) for exemplar in point.exemplars],
            wire.double(12, point.minimum),
            wire.double(13, point.maximum),
        ]
    )


def _exemplar(exemplar: Exemplar) -> bytes:
    return b"".join(
        [
            wire.fixed_64(2, exemplar.at_ns),
            wire.double(3, exemplar.value),
            wire.data(4, bytes.fromhex(exemplar.span_id_hex)),
            wire.data(5, bytes.fromhex(exemplar.trace_id_hex)),
        ]
    )
