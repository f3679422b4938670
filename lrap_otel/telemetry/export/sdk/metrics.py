"""Our metrics as the SDK's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from opentelemetry.sdk.metrics.export import Buckets as SdkBuckets

from lrap_otel.telemetry.export.sdk.spans import sdk_attributes, sdk_resource, sdk_scope
from lrap_otel.telemetry.otlp import metrics

if TYPE_CHECKING:
    from lrap_otel.telemetry.otlp import wire

    Point = metrics.SumPoint | metrics.HistogramPoint | metrics.ExponentialPoint


def sdk_metrics(data: metrics.MetricsData, scope: wire.Scope) -> MetricsData:
    """`data` as a reader of the SDK's would have collected it."""
    of_scope = ScopeMetrics(
        sdk_scope(scope), [_metric(metric) for metric in data.metrics], scope.schema_url
    )
    resource = sdk_resource(data.resource)
    return MetricsData([ResourceMetrics(resource, [of_scope], data.resource.schema_url)])


def _metric(metric: metrics.Metric) -> Metric:
    points: list[Any] = [_point(point) for point in metric.points]
    temporality = AggregationTemporality(metric.temporality)
    data: Sum | Histogram | ExponentialHistogram
    if isinstance(metric.points[0], metrics.SumPoint):
        data = Sum(points, temporality, is_monotonic=True)
    elif isinstance(metric.points[0], metrics.HistogramPoint):
        data = Histogram(points, temporality)
    else:
        data = ExponentialHistogram(points, temporality)
    return Metric(metric.name, metric.description, metric.unit, data)


def _point(point: Point) -> NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint:
    common: dict[str, Any] = {
        "attributes": sdk_attributes(point.attributes),
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
            count=sum(point.counts),
            bucket_counts=point.counts,
            explicit_bounds=point.bounds,
            **common,
        )
    return ExponentialHistogramDataPoint(
        count=point.count,
        scale=point.scale,
        zero_count=point.zero_count,
        positive=SdkBuckets(point.offset, point.counts),
        negative=SdkBuckets(0, []),
        flags=0,
        **common,
    )
