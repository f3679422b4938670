"""Aggregation, judged by the SDK's: the same values give the same points."""

from __future__ import annotations

from math import inf, nextafter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
from opentelemetry.sdk.resources import Resource as SdkResource
from opentelemetry.trace import NonRecordingSpan, set_span_in_context

from lrap_otel.propagation.context import SpanContext
from lrap_otel.telemetry import aggregation
from lrap_otel.telemetry.export.sdk.spans import span_context
from lrap_otel.telemetry.otlp import metrics
from lrap_otel.telemetry.otlp.wire import Resource, Scope
from tests.telemetry import sdk_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

BOUNDS = (0.001, 0.01, 0.1, 1.0, 10.0)
SCOPE = Scope("lrap-otel", "0.1.0", "https://opentelemetry.io/schemas/1.44.0")
SPAN = SpanContext("5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8", 1)
TEMPORALITIES = {"delta": (metrics.DELTA, AggregationTemporality.DELTA)}
TEMPORALITIES["cumulative"] = (metrics.CUMULATIVE, AggregationTemporality.CUMULATIVE)
POWERS = st.integers(-1_022, 1_023).map(lambda exponent: 2.0**exponent)
VALUES = st.one_of(
    st.just(0.0),
    POWERS,
    POWERS.map(lambda value: nextafter(value, inf)),
    POWERS.map(lambda value: nextafter(value, 0.0)),
    st.floats(1e-5, 1e3),
    st.floats(0.0, 1e300),
    st.sampled_from([5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, *BOUNDS]),
)
# Sums of the largest would be no numbers.
SEVERAL = st.lists(VALUES.filter(lambda value: value < 1e305), min_size=1, max_size=60)


class BySdk:
    """One histogram and one counter of the SDK's."""

    def __init__(self, temporality: AggregationTemporality, *, is_exponential: bool) -> None:
        preferred = {Histogram: ExponentialBucketHistogramAggregation()} if is_exponential else None
        self._reader = InMemoryMetricReader(
            {Counter: temporality, Histogram: temporality}, preferred
        )
        provider = MeterProvider(
            [self._reader], SdkResource({"a": "b"}, "r"), shutdown_on_exit=False
        )
        meter = provider.get_meter(SCOPE.name, SCOPE.version, SCOPE.schema_url)
        self.histogram = meter.create_histogram(
            "h", "s", "d", explicit_bucket_boundaries_advisory=list(BOUNDS)
        )
        self.counter = meter.create_counter("c", "{x}", "e")

    def record(self, value: float) -> None:
        span = set_span_in_context(NonRecordingSpan(span_context(SPAN, is_remote=False)), Context())
        self.histogram.record(value, {"k": "v"}, span)

    def request(self) -> ExportMetricsServiceRequest:
        data = self._reader.get_metrics_data()
        assert data is not None
        return encode_metrics(data)


def encoded(temporality: int, **points: Any) -> ExportMetricsServiceRequest:
    """Ours, of the same instruments."""
    told = {"h": ("s", "d"), "c": ("{x}", "e")}
    made = [
        metrics.Metric(name, *told[name], temporality, [point]) for name, point in points.items()
    ]
    data = metrics.MetricsData(Resource({"a": "b"}, "r"), made)
    request = metrics.metrics_request(data, SCOPE)
    read = ExportMetricsServiceRequest.FromString(request)
    assert read == sdk_metrics.request_of_the_sdk(data, SCOPE)
    assert request == read.SerializeToString(deterministic=True)
    return read


def comparable(request: ExportMetricsServiceRequest) -> ExportMetricsServiceRequest:
    """Without what depends on the clock, and without the room that the SDK has at the end of its
    buckets.
    """
    for metric in request.resource_metrics[0].scope_metrics[0].metrics:
        for point in getattr(metric, metric.WhichOneof("data")).data_points:
            point.start_time_unix_nano = point.time_unix_nano = 0
            for exemplar in point.exemplars:
                exemplar.time_unix_nano = 0
            if metric.HasField("exponential_histogram"):
                _trim(point)
    return request


def _trim(point: Any) -> None:
    point.ClearField("negative")
    counts = point.positive.bucket_counts
    while counts and counts[-1] == 0:
        counts.pop()
    if not counts:
        point.ClearField("positive")
    # Which are kept is chance; that they are among the measured is tested below.
    point.ClearField("exemplars")


def start(temporality: str, *, is_exponential: bool) -> tuple[int, BySdk]:
    ours, theirs = TEMPORALITIES[temporality]
    return ours, BySdk(theirs, is_exponential=is_exponential)


@pytest.mark.parametrize("temporality", TEMPORALITIES)
@given(SEVERAL)
@settings(max_examples=60, deadline=None)
def test_a_histogram_counts_as_the_sdk_does(temporality: str, values: Sequence[float]) -> None:
    number, sdk = start(temporality, is_exponential=False)
    histogram = aggregation.Histogram(BOUNDS)
    for value in values:
        histogram.record(value, SPAN)
        sdk.record(value)

    ours = encoded(number, h=histogram.point({"k": "v"}, 1, 2))
    assert comparable(ours) == comparable(sdk.request())


@pytest.mark.parametrize("temporality", TEMPORALITIES)
@given(SEVERAL)
@settings(max_examples=150, deadline=None)
def test_an_exponential_histogram_counts_as_the_sdk_does(
    temporality: str, values: Sequence[float]
) -> None:
    number, sdk = start(temporality, is_exponential=True)
    histogram = aggregation.ExponentialHistogram()
    for value in values:
        histogram.record(value, None)
        sdk.record(value)

    ours = encoded(number, h=histogram.point({"k": "v"}, 1, 2))
    assert comparable(ours) == comparable(sdk.request())


# The SDK adds sums of sums: numbers whose sums are exact.
@given(
    st.lists(
        st.lists(st.integers(0, 2**30).map(float), min_size=1, max_size=20), min_size=2, max_size=4
    )
)
@settings(max_examples=60, deadline=None)
def test_cumulative_points_go_on_as_the_sdks_do(several: Sequence[Sequence[float]]) -> None:
    sdk = BySdk(AggregationTemporality.CUMULATIVE, is_exponential=False)
    histogram, counter = aggregation.Histogram(BOUNDS), aggregation.Sum()
    for values in several:
        for value in values:
            histogram.record(value, SPAN)
            sdk.record(value)
        counter.add(len(values))
        sdk.counter.add(len(values), {"k": "v"}, Context())

        ours = encoded(
            metrics.CUMULATIVE,
            h=histogram.point({"k": "v"}, 1, 2),
            c=counter.point({"k": "v"}, 1, 2),
        )
        assert comparable(ours) == comparable(sdk.request())


@pytest.mark.parametrize("count", [2**63 - 1, 1])
def test_a_counter_counts_up_to_64_bits(count: int) -> None:
    sdk, counter = BySdk(AggregationTemporality.DELTA, is_exponential=False), aggregation.Sum()
    counter.add(count)
    sdk.counter.add(count, {"k": "v"}, Context())

    assert comparable(encoded(metrics.DELTA, c=counter.point({"k": "v"}, 1, 2))) == comparable(
        sdk.request()
    )


@given(VALUES.filter(lambda value: value > 0))
@settings(max_examples=200, deadline=None)
def test_a_value_lies_in_its_bucket_at_every_scale(value: float) -> None:
    finest = aggregation.bucket_index(value, 20)
    for scale in range(20, -11, -1):
        index = aggregation.bucket_index(value, scale)
        # Merged or counted anew; a logarithm may be one off, at the edges of the finest buckets
        # alone.
        assert abs(index - (finest >> (20 - scale))) <= 1
        if value > 2**-1_022:
            lower, upper = index * 2.0**-scale, (index + 1) * 2.0**-scale
            exponent = aggregation.log(value) / aggregation.log(2)
            assert lower - 1e-9 <= exponent <= upper + 1e-9


def test_many_values_stay_in_160_buckets_and_few_exemplars() -> None:
    histogram = aggregation.ExponentialHistogram()
    values = [1.01**number for number in range(2_000)]
    for value in values:
        histogram.record(value, SPAN)

    point = histogram.point({}, 1, 2)
    assert len(point.counts) <= 160 < 2 * len(point.counts)
    assert sum(point.counts) == point.count == len(values)
    assert len(point.exemplars) == 20
    assert {exemplar.value for exemplar in point.exemplars} < set(values)
    assert (
        max(exemplar.value for exemplar in point.exemplars) > values[100]
    )  # not the first ones alone


def test_exemplars_go_once() -> None:
    for histogram in (aggregation.Histogram(BOUNDS), aggregation.ExponentialHistogram()):
        histogram.record(0.5, SPAN)
        (exemplar,) = histogram.point({}, 1, 2).exemplars
        assert (exemplar.value, exemplar.span_id_hex) == (0.5, SPAN.span_id_hex)
        again = histogram.point({}, 2, 3)
        assert list(again.exemplars) == []
        assert sum(again.counts) == 1
