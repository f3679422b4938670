"""The metrics, as a collector receives them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.semconv._incubating.metrics import faas_metrics

from lrap_otel.ipc import records
from lrap_otel.telemetry.metrics import INSTRUMENTS
from tests.telemetry.otlp_collector import Collector, reply
from tests.telemetry.proxy_records import (
    DELIVERED_NS,
    SPAN_ID_HEX,
    TRACE_ID_HEX,
    delivered,
    finished,
    invocations,
)
from tests.telemetry.telemetry_thread import EVERY_FLUSH, plain, points

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

    from tests.telemetry.otlp_collector import Post
    from tests.telemetry.telemetry_thread import Telemetry

    Start = Callable[..., Telemetry]

DELTA, CUMULATIVE = 1, 2
METER = MeterProvider(shutdown_on_exit=False).get_meter("conventions")


def metrics_of(collector: Collector) -> dict[str, Metric]:
    """Of the last export."""
    scope = collector.received("/v1/metrics")[-1].metrics().resource_metrics[0].scope_metrics[0]
    assert (scope.scope.name, scope.schema_url) == (
        "lrap-otel",
        "https://opentelemetry.io/schemas/1.44.0",
    )
    return {metric.name: metric for metric in scope.metrics}


def counted(metric: Metric) -> list[tuple[dict[str, Any], int]]:
    return [(plain(point.attributes), point.as_int) for point in metric.sum.data_points]


def test_the_overhead_of_each_call_is_a_histogram_in_seconds(
    start: Start, collector: Collector
) -> None:
    telemetry = start(collector)
    telemetry.offer(
        delivered(), finished(), delivered(), finished(b"{}", "error", overhead_ns=9_000)
    )
    assert telemetry.flush()

    metric = metrics_of(collector)["lrap.proxy.overhead"]
    points = {
        plain(point.attributes)["lrap.endpoint"]: point for point in metric.histogram.data_points
    }
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


def test_a_time_out_is_neither_an_error_nor_an_invocation(
    start: Start, collector: Collector
) -> None:
    telemetry = start(collector)
    telemetry.offer(delivered())
    assert telemetry.shutdown("timeout")

    metrics = metrics_of(collector)
    assert counted(metrics["faas.timeouts"]) == [({"faas.trigger": "other"}, 1)]
    assert metrics.keys() & {"faas.errors", "faas.invocations"} == set()


def test_what_flushes_billed_is_counted_in_ms(start: Start, collector: Collector) -> None:
    telemetry = start(collector, **EVERY_FLUSH)
    telemetry.offer(delivered(), finished())
    assert telemetry.flush()
    assert "lrap.flush.billed" not in metrics_of(collector)
    assert telemetry.flush(billed_ms=12)
    metric = metrics_of(collector)["lrap.flush.billed"]
    assert (metric.unit, counted(metric)) == ("ms", [({}, 12)])


def test_what_telemetry_lost_is_counted(start: Start, collector: Collector) -> None:
    telemetry = start(collector, **EVERY_FLUSH)
    # Results may overtake their events, so some are kept; these are of another sandbox, and one is
    # too many.
    telemetry.offer(*(finished(request_id=f"of another sandbox {number}") for number in range(65)))
    assert telemetry.flush(dropped=3)
    assert telemetry.flush(dropped=5)
    assert telemetry.shutdown(dropped=5)

    # Of all exports: on a busy machine one may be due between two of these.
    counts: dict[str, int] = {}
    for post in collector.received("/v1/metrics"):
        for attributes, count in points(post, "lrap.records.dropped"):
            reason = attributes["error.type"]
            counts[reason] = counts.get(reason, 0) + count
    assert counts == {"unknown_invocation": 1, "channel_full": 5}


def sqs_event(*ages_ms: int) -> bytes:
    sent = [str(DELIVERED_NS // 1_000_000 - age_ms) for age_ms in ages_ms]
    records = [{"eventSource": "aws:sqs", "attributes": {"SentTimestamp": each}} for each in sent]
    return json.dumps({"Records": records}).encode()


def test_the_age_of_events_is_a_histogram_by_source(start: Start, collector: Collector) -> None:
    telemetry = start(collector)
    url = {
        "version": "2.0",
        "requestContext": {
            "http": {},
            "domainName": "a.lambda-url.x",
            "timeEpoch": 1_699_999_999_990,
        },
    }
    telemetry.offer(
        *(delivered(sqs_event(1_000, 90_000, 2_000)), finished()),
        *(delivered(sqs_event(4)), finished()),
        *(delivered(json.dumps(url).encode()), finished()),
        *(delivered(b"{}"), finished()),
        *(delivered(sqs_event(-60_000)), finished()),
    )
    assert telemetry.flush()

    metric = metrics_of(collector)["lrap.event.age"]
    points = {
        plain(point.attributes)["lrap.trigger"]: point for point in metric.histogram.data_points
    }
    assert metric.unit == "s"
    assert metric.histogram.aggregation_temporality == DELTA
    assert {name: (point.count, round(point.sum, 6)) for name, point in points.items()} == {
        "sqs": (2, 90.004),
        "function_url": (1, 0.01),
    }
    assert plain(points["sqs"].attributes) == {"faas.trigger": "pubsub", "lrap.trigger": "sqs"}
    assert (points["sqs"].explicit_bounds[0], points["sqs"].explicit_bounds[-1]) == (0.001, 86_400)
    assert points["sqs"].exemplars[0].span_id.hex() == SPAN_ID_HEX


def test_every_exemplar_names_the_invocation_that_was_measured(
    start: Start, collector: Collector
) -> None:
    telemetry = start(collector)
    spans = {"11" * 8: 4_000_000, "22" * 8: 400_000_000}
    for span_id_hex, duration_ns in spans.items():
        telemetry.offer(delivered(span_id_hex=span_id_hex), finished(duration_ns=duration_ns))
    assert telemetry.flush()

    (durations,) = metrics_of(collector)["faas.invoke_duration"].histogram.data_points
    found = {
        exemplar.span_id.hex(): round(exemplar.as_double * 1e9) for exemplar in durations.exemplars
    }
    assert found == spans


def test_records_that_functions_gave_back_are_counted(start: Start, collector: Collector) -> None:
    telemetry = start(collector)
    two = b'{"batchItemFailures":[{"itemIdentifier":"1"},{"itemIdentifier":"2"}]}'
    none = b'{"batchItemFailures":[]}'
    telemetry.offer(
        *(delivered(sqs_event(1, 2, 3)), finished(two)),
        *(delivered(sqs_event(1, 2, 3)), finished(two)),
        *(delivered(sqs_event(1)), finished(none)),
    )
    assert telemetry.flush()

    metrics = metrics_of(collector)
    source = {"faas.trigger": "pubsub", "lrap.trigger": "sqs"}
    assert counted(metrics["lrap.batch.item_failures"]) == [(source, 4)]
    assert counted(metrics["faas.invocations"]) == [({"faas.trigger": "pubsub"}, 3)]
    assert "faas.errors" not in metrics


# Names, units and descriptions of the conventions' own package.
def test_the_faas_metrics_are_those_of_the_conventions() -> None:
    theirs = [
        faas_metrics.create_faas_invoke_duration(METER),
        faas_metrics.create_faas_invocations(METER),
        faas_metrics.create_faas_errors(METER),
        faas_metrics.create_faas_timeouts(METER),
        faas_metrics.create_faas_coldstarts(METER),
        faas_metrics.create_faas_init_duration(METER),
        faas_metrics.create_faas_mem_usage(METER),
    ]
    ours = {
        one.name: (one.kind, one.unit, one.description)
        for one in INSTRUMENTS
        if one.name.startswith("faas.")
    }

    assert ours == {
        one.name: (type(one).__name__.lower().removeprefix("_"), one.unit, one.description)
        for one in theirs
    }


@pytest.mark.parametrize(
    ("preference", "expected"),
    [
        ("", (DELTA, 1)),
        ("delta", (DELTA, 1)),
        ("LowMemory", (DELTA, 1)),
        ("CUMULATIVE", (CUMULATIVE, 2)),
    ],
)
def test_temporality_is_delta_unless_the_user_says_otherwise(
    start: Start, collector: Collector, preference: str, expected: tuple[int, int]
) -> None:
    telemetry = start(
        collector, **EVERY_FLUSH, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=preference
    )
    for _ in range(2):
        telemetry.offer(delivered(), finished())
        assert telemetry.flush()

    metric = metrics_of(collector)["faas.invocations"]
    assert (metric.sum.aggregation_temporality, metric.sum.data_points[0].as_int) == expected


def test_histograms_can_be_exponential(start: Start, collector: Collector) -> None:
    telemetry = start(
        collector,
        OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION="base2_exponential_bucket_histogram",
    )
    telemetry.offer(delivered(), finished())
    assert telemetry.flush()

    metric = metrics_of(collector)["lrap.proxy.overhead"]
    assert sum(point.count for point in metric.exponential_histogram.data_points) == 2


HOUR = {"OTEL_METRIC_EXPORT_INTERVAL": "3600000"}


def counts(posts: list[Post]) -> list[int]:
    """How many invocations each export of metrics counts."""
    exports = [points(post, "faas.invocations") for post in posts if post.path == "/v1/metrics"]
    return [sum(count for _, count in export) for export in exports]


def test_metrics_go_with_the_first_flush_and_then_by_their_interval_and_none_is_lost(
    start: Start, collector: Collector
) -> None:
    telemetry = start(collector, **HOUR)
    for number in range(1, 6):
        telemetry.offer(*invocations(number))
        assert telemetry.flush()
    assert telemetry.shutdown()

    posts = collector.received()
    assert sum(post.path == "/v1/traces" for post in posts) == 5
    assert counts(posts) == [1, 4]


def test_the_deltas_of_an_interval_begin_where_the_ones_before_ended(
    start: Start, collector: Collector
) -> None:
    telemetry = start(collector, **HOUR)
    for number in range(1, 4):
        telemetry.offer(*invocations(number))
        assert telemetry.flush()
    assert telemetry.shutdown()

    first, last = [
        metric.sum.data_points[0]
        for post in collector.received("/v1/metrics")
        for metric in post.metrics().resource_metrics[0].scope_metrics[0].metrics
        if metric.name == "faas.invocations"
    ]
    assert (
        first.start_time_unix_nano
        < first.time_unix_nano
        == last.start_time_unix_nano
        < last.time_unix_nano
    )


def test_a_flush_after_the_interval_takes_the_metrics_along(
    start: Start, collector: Collector
) -> None:
    telemetry = start(collector, OTEL_METRIC_EXPORT_INTERVAL="1000")
    telemetry.offer(*invocations(1))
    assert telemetry.flush()
    time.sleep(1.0)
    telemetry.offer(*invocations(2))
    assert telemetry.flush()

    assert counts(collector.received()) == [1, 1]


def test_metrics_that_the_collector_refused_go_with_the_next_flush(start: Start) -> None:
    def answer(number: int, post: Post) -> bytes:
        return reply(503 if post.path == "/v1/metrics" and number == 0 else 200)

    with Collector(answer) as collector:
        telemetry = start(collector, **HOUR)
        telemetry.offer(*invocations(1))
        assert not telemetry.flush()
        telemetry.offer(*invocations(2))
        telemetry.flush()
        telemetry.shutdown()

        assert sum(counts(collector.received())[1:]) == 2


def test_metrics_go_without_any_flush(start: Start, collector: Collector) -> None:
    telemetry = start(collector, OTEL_METRIC_EXPORT_INTERVAL="200", OTEL_TRACES_EXPORTER="none")
    telemetry.offer(*invocations(1))

    assert points(collector.next("/v1/metrics"), "faas.invocations") == [
        ({"faas.trigger": "other"}, 1)
    ]


def test_what_was_measured_before_a_snapshot_is_restored_is_not_counted_after_it(
    start: Start, collector: Collector
) -> None:
    telemetry = start(collector, **HOUR)
    telemetry.offer(*invocations(1))
    assert telemetry.flush()
    telemetry.offer(*invocations(2), (records.restored(DELIVERED_NS), b""), *invocations(3))
    assert telemetry.flush()  # the first of the new sandbox

    assert counts(collector.received()) == [1, 1]
