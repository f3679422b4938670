"""Our points as the SDK's own objects, so that its encoder can be asked about the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Buckets as BucketsPoint
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from sdk_spans import resource_of

from lrap_otel.telemetry.otlp import metrics

if TYPE_CHECKING:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    from lrap_otel.telemetry.otlp import wire


def request_of_the_sdk(data: metrics.MetricsData, scope: wire.Scope) -> ExportMetricsServiceRequest:
    """What the SDK's encoder makes of them."""
    resource, told = resource_of(data.resource), InstrumentationScope(scope.name, scope.version, scope.schema_url)
    every = ScopeMetrics(told, [_metric(metric) for metric in data.metrics], scope.schema_url)
    return encode_metrics(MetricsData([ResourceMetrics(resource, [every], data.resource.schema_url)]))


def _metric(metric: metrics.Metric) -> Metric:
    points = [_point(point) for point in metric.points]
    temporality = AggregationTemporality(metric.temporality)
    kinds: dict[type, Any] = {
        NumberDataPoint: lambda: Sum(points, temporality, is_monotonic=True),
        HistogramDataPoint: lambda: Histogram(points, temporality),
        ExponentialHistogramDataPoint: lambda: ExponentialHistogram(points, temporality),
    }
    return Metric(metric.name, metric.description, metric.unit, kinds[type(points[0])]())


def _point(point: metrics.SumPoint | metrics.HistogramPoint | metrics.ExponentialPoint) -> Any:
    common = {
        "attributes": dict(point.attributes),
        "start_time_unix_nano": point.start_ns,
        "time_unix_nano": point.end_ns,
    }
    if isinstance(point, metrics.SumPoint):
        return NumberDataPoint(value=point.value, **common)
    common |= {"sum": point.sum, "min": point.minimum, "max": point.maximum}
    common["exemplars"] = [
        Exemplar({}, each.value, each.at_ns, int(each.span_id_hex, 16), int(each.trace_id_hex, 16))
        for each in point.exemplars
    ]
    if isinstance(point, metrics.HistogramPoint):
        return HistogramDataPoint(
            count=sum(point.counts), bucket_counts=point.counts, explicit_bounds=point.bounds, **common
        )
    return ExponentialHistogramDataPoint(
        count=point.count,
        scale=point.scale,
        zero_count=point.zero_count,
        positive=BucketsPoint(point.offset, point.counts),
        negative=BucketsPoint(0, []),
        flags=0,
        **common,
    )
