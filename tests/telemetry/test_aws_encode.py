"""What AWS is sent keeps its limits, whatever is in a span; and which hosts are AWS's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ReadSpan
from test_otlp_spans import spans

from lrap_otel.propagation.context import SpanContext
from lrap_otel.telemetry.export import encode, encode_json
from lrap_otel.telemetry.export.aws.encode import POINTS_LIMIT, SPAN_LIMIT_BYTES, AwsCodec
from lrap_otel.telemetry.export.aws.endpoint import AwsEndpoint
from lrap_otel.telemetry.export.aws.hosts import otlp_service_of
from lrap_otel.telemetry.export.compose import exporter_of
from lrap_otel.telemetry.otlp.metrics import DELTA, Metric, MetricsData, SumPoint
from lrap_otel.telemetry.otlp.traces import SERVER, Event, Link, Span
from lrap_otel.telemetry.otlp.wire import Resource
from lrap_otel.telemetry.settings import ExportSettings
from tests.telemetry.telemetry_thread import plain

CONTEXT = SpanContext("1" * 32, "2" * 16, 1)
LONG = "\U0001f600" * 2_000


def span(**attributes: Any) -> Span:
    made = Span("n", SERVER, CONTEXT, "", 1, 2, Resource({}))
    made.attributes = attributes
    return made


@given(spans())
@settings(max_examples=50, deadline=None)
def test_a_span_within_the_limits_has_nothing_but_the_annotations_more(of: Span) -> None:
    ours, theirs = (
        ReadSpan.FromString(each.span(of)) for each in (AwsCodec(encode, print), encode)
    )
    added = ours.attributes.pop(0)

    assert added.key == "aws.xray.annotations"
    assert ours.SerializeToString(deterministic=True) == theirs.SerializeToString(
        deterministic=True
    )


@pytest.mark.parametrize("codec", [encode, encode_json])
@pytest.mark.parametrize(
    "large",
    [
        span(**{f"a{number}": LONG for number in range(128)}),
        span(nested={"a": [LONG] * 3, "b": LONG.encode()}),
        span(many=["x" * 40] * 20_000),
    ],
    ids=["many texts", "nested", "a long list"],
)
def test_a_span_beyond_the_limit_is_cut_until_it_fits_and_stays_itself(
    codec: Any, large: Span
) -> None:
    large.events = [Event("exception", 1, {"exception.stacktrace": LONG})] * 128
    large.links = [Link(CONTEXT, {"a": LONG})] * 128
    large.status_message = LONG
    before = codec.span(large)

    cut = AwsCodec(codec, print).span(large)

    assert 0 < len(cut) <= SPAN_LIMIT_BYTES < len(before)
    assert codec.span(large) == before  # others get all of it


def test_what_was_cut_off_is_counted() -> None:
    large = span(**{f"a{number}": LONG for number in range(100)})
    large.links = [Link(CONTEXT, {})] * 100

    read = ReadSpan.FromString(AwsCodec(encode, print).span(large))

    assert (len(read.links), read.dropped_links_count) == (64, 36)
    assert len(read.attributes) + read.dropped_attributes_count == 101


def test_the_annotations_are_attributes_that_the_span_has() -> None:
    read = ReadSpan.FromString(
        AwsCodec(encode, print).span(span(**{"faas.trigger": "http", "x": 1}))
    )

    assert plain(read.attributes)["aws.xray.annotations"] == ["faas.trigger"]


def test_metrics_beyond_the_limit_are_told_and_the_first_are_sent() -> None:
    warnings: list[str] = []
    points = [SumPoint({"n": number}, 1, 2, 1) for number in range(700)]
    data = MetricsData(
        Resource({}), [Metric(name, "1", "", DELTA, points) for name in ("a", "b", "c")]
    )

    request = AwsCodec(encode, warnings.append).metrics_request(data)

    (scope,) = ExportMetricsServiceRequest.FromString(request).resource_metrics[0].scope_metrics
    assert [len(metric.sum.data_points) for metric in scope.metrics] == [700, POINTS_LIMIT - 700]
    assert warnings == [
        f"metrics are lost: AWS takes 1,000 data points in a request, and there are {2_100 - POINTS_LIMIT} more"
    ]


def test_no_request_has_more_spans_than_aws_takes() -> None:
    variables = {b"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": b"50000", b"OTEL_BSP_MAX_QUEUE_SIZE": b"50000"}
    exporter = exporter_of(ExportSettings(variables | {b"LRAP_SPOOL_BYTES": b"0"}), print, print)
    for _ in range(10_000):
        assert not exporter.has_full_batch
        exporter.add(span(), None)  # type: ignore[arg-type]  # nothing is measured of a span that is kept
    assert exporter.has_full_batch


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("xray.eu-west-1.amazonaws.com", ("xray", "eu-west-1")),
        ("logs.us-gov-west-1.amazonaws.com", ("logs", "us-gov-west-1")),
        ("monitoring-fips.us-east-1.amazonaws.com", ("monitoring", "us-east-1")),
        ("xray.cn-northwest-1.amazonaws.com.cn", ("xray", "cn-northwest-1")),
        ("logs.ap-southeast-5.api.aws", ("logs", "ap-southeast-5")),
        ("vpce-0a1b-2c3d.xray.eu-west-1.vpce.amazonaws.com", ("xray", "eu-west-1")),
        (
            "vpce-0a1b-2c3d-eu-west-1a.monitoring.eu-west-1.vpce.amazonaws.com",
            ("monitoring", "eu-west-1"),
        ),
        ("s3.eu-west-1.amazonaws.com", ("", "")),
        ("xray.amazonaws.com", ("", "")),
        ("xray.eu-west-1.amazonaws.com.evil.example", ("", "")),
        ("xray.eu-west-1.evilamazonaws.com", ("", "")),
        ("a.xray.eu-west-1.amazonaws.com", ("", "")),
        ("xray.eu-west-1", ("", "")),
        ("", ("", "")),
    ],
)
def test_which_hosts_are_awss(host: str, expected: tuple[str, str]) -> None:
    assert otlp_service_of(host) == expected


def test_logs_need_a_group_and_a_stream() -> None:
    def endpoint(headers: str) -> AwsEndpoint:
        read = ExportSettings(
            {
                b"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": b"http://logs.eu-west-1.amazonaws.com/v1/logs",
                b"OTEL_EXPORTER_OTLP_HEADERS": headers.encode(),
            }
        )
        return AwsEndpoint(read.traces, read.network, {}, read.environment)

    assert endpoint("x-aws-log-group=/g,X-AWS-Log-Stream=s")
    with pytest.raises(ValueError, match="x-aws-log-group=GROUP,x-aws-log-stream=STREAM"):
        endpoint("x-aws-log-group=/g")
