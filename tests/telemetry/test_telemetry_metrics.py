"""The metrics, as a collector receives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from proxy_records import SPAN_ID_HEX, TRACE_ID_HEX, delivered, finished
from telemetry_thread import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
    from otlp_collector import Collector
    from telemetry_thread import Telemetry

    Start = Callable[..., Telemetry]

DELTA, CUMULATIVE = 1, 2


def metrics_of(collector: Collector) -> dict[str, Metric]:
    """Of the last export."""
    scope = collector.received("/v1/metrics")[-1].metrics().resource_metrics[0].scope_metrics[0]
    assert (scope.scope.name, scope.schema_url) == ("lrap-otel", "https://opentelemetry.io/schemas/1.44.0")
    return {metric.name: metric for metric in scope.metrics}


def counted(metric: Metric) -> list[tuple[dict[str, Any], int]]:
    return [(plain(point.attributes), point.as_int) for point in metric.sum.data_points]


def test_the_overhead_of_each_call_is_a_histogram_in_seconds(start: Start, collector: Collector) -> None:
    telemetry = start(collector)
    telemetry.offer(delivered(), finished(), delivered(), finished(b"{}", "error", overhead_ns=9_000))
    assert telemetry.flush()

    metric = metrics_of(collector)["lrap.proxy.overhead"]
    points = {plain(point.attributes)["lrap.endpoint"]: point for point in metric.histogram.data_points}
    assert metric.unit == "s"
    assert metric.histogram.aggregation_temporality == DELTA
    assert {name: (point.count, round(point.sum, 9)) for name, point in points.items()} == {
        "next": (2, 0.0001),
        "response": (1, 0.00004),
        "error": (1, 0.000009),
    }
    assert (points["next"].explicit_bounds[0], points["next"].explicit_bounds[-1]) == (0.00001, 0.1)
    exemplar = points["response"].exemplars[0]
    assert (exemplar.trace_id.hex(), exemplar.span_id.hex()) == (TRACE_ID_HEX, SPAN_ID_HEX)


def test_invocations_are_counted_by_how_they_ended(start: Start, collector: Collector) -> None:
    telemetry = start(collector)
    telemetry.offer(
        *(delivered(cold_start=True), finished()),
        *(delivered(trace_flags=0), finished()),
        *(delivered(), finished(b"{}", "error")),
        *(delivered(), finished(status=413)),
    )
    assert telemetry.flush()

    metrics = metrics_of(collector)
    trigger = {"faas.trigger": "other"}
    assert counted(metrics["faas.coldstarts"]) == [(trigger, 1)]
    assert counted(metrics["faas.invocations"]) == [(trigger, 2)]
    assert counted(metrics["faas.errors"]) == [(trigger, 2)]
    assert "faas.timeouts" not in metrics
    (durations,) = metrics["faas.invoke_duration"].histogram.data_points
    assert (durations.count, round(durations.sum, 6)) == (4, 0.1)


def test_a_time_out_is_neither_an_error_nor_an_invocation(start: Start, collector: Collector) -> None:
    telemetry = start(collector)
    telemetry.offer(delivered())
    assert telemetry.shutdown("timeout")

    metrics = metrics_of(collector)
    assert counted(metrics["faas.timeouts"]) == [({"faas.trigger": "other"}, 1)]
    assert metrics.keys() & {"faas.errors", "faas.invocations"} == set()


def test_what_telemetry_lost_is_counted(start: Start, collector: Collector) -> None:
    telemetry = start(collector)
    # Results may overtake their events, so some are kept; these are of another sandbox, and one is too many.
    telemetry.offer(*(finished(request_id=f"of another sandbox {number}") for number in range(65)))
    assert telemetry.flush(dropped=3)
    first = metrics_of(collector)
    assert telemetry.flush(dropped=5)

    assert counted(first["lrap.records.dropped"]) == [
        ({"error.type": "unknown_invocation"}, 1),
        ({"error.type": "channel_full"}, 3),
    ]
    assert counted(metrics_of(collector)["lrap.records.dropped"]) == [({"error.type": "channel_full"}, 2)]


@pytest.mark.parametrize(
    ("preference", "expected"),
    [("", (DELTA, 1)), ("delta", (DELTA, 1)), ("LowMemory", (DELTA, 1)), ("CUMULATIVE", (CUMULATIVE, 2))],
)
def test_temporality_is_delta_unless_the_user_says_otherwise(
    start: Start, collector: Collector, preference: str, expected: tuple[int, int]
) -> None:
    telemetry = start(collector, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=preference)
    for _ in range(2):
        telemetry.offer(delivered(), finished())
        assert telemetry.flush()

    metric = metrics_of(collector)["faas.invocations"]
    assert (metric.sum.aggregation_temporality, metric.sum.data_points[0].as_int) == expected


def test_histograms_can_be_exponential(start: Start, collector: Collector) -> None:
    telemetry = start(
        collector, OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION="base2_exponential_bucket_histogram"
    )
    telemetry.offer(delivered(), finished())
    assert telemetry.flush()

    metric = metrics_of(collector)["lrap.proxy.overhead"]
    assert sum(point.count for point in metric.exponential_histogram.data_points) == 2
