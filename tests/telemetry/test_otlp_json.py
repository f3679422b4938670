"""OTLP as JSON: what protobuf's own JSON writer makes of the bytes that our other writer makes of
the same telemetry.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from test_otlp_logs import logs
from test_otlp_spans import spans

from lrap_otel.telemetry.otlp import json_format, metrics, traces, wire
from lrap_otel.telemetry.otlp import logs as otlp_logs
from lrap_otel.telemetry.otlp.metrics import (
    CUMULATIVE,
    DELTA,
    Exemplar,
    ExponentialPoint,
    HistogramPoint,
    SumPoint,
)
from lrap_otel.telemetry.otlp.traces import Span
from lrap_otel.telemetry.otlp.wire import Resource, Scope
from tests.telemetry.otlp_values import (
    ATTRIBUTES,
    CONTEXTS,
    COUNTS,
    DOUBLES,
    NUMBERS_64,
    SPAN_IDS,
    TEXTS,
    TIMES_NS,
    TRACE_IDS,
)

SCOPE = Scope("lrap-otel", "0.1.0", "https://opentelemetry.io/schemas/1.44.0")
# Source: OTLP specification, "JSON Protobuf Encoding": ids are no base64, unlike all other bytes.
IDS = {"traceId", "spanId", "parentSpanId"}
LONGS = st.integers(0, 2**64 - 1)


def by_protobuf(message: Any) -> Any:
    return _with_hex_ids(MessageToDict(message, use_integers_for_enums=True))


def _with_hex_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_hex_ids(each) for each in value]
    if isinstance(value, dict):
        return {
            name: base64.b64decode(each).hex()
            if name in IDS and isinstance(each, str)
            else _with_hex_ids(each)
            for name, each in value.items()
        }
    return value


def read(text: bytes) -> Any:
    """As a strict reader does: no NaN, no member twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(text.decode("ascii"), object_pairs_hook=unique, parse_constant=refuse)


@st.composite
def points(draw: st.DrawFn, kind: type) -> Any:
    if kind is SumPoint:
        return SumPoint(draw(ATTRIBUTES), draw(TIMES_NS), draw(TIMES_NS), draw(NUMBERS_64))
    point = kind(draw(ATTRIBUTES), draw(TIMES_NS), draw(TIMES_NS))
    point.sum, point.minimum, point.maximum = draw(DOUBLES), draw(DOUBLES), draw(DOUBLES)
    point.exemplars = draw(
        st.lists(
            st.builds(
                lambda at_ns, value, trace, span: Exemplar(
                    at_ns, value, f"{trace:032x}", f"{span:016x}"
                ),
                *(TIMES_NS, DOUBLES, TRACE_IDS, SPAN_IDS),
            ),
            max_size=2,
        )
    )
    if kind is HistogramPoint:
        point.bounds = draw(st.lists(DOUBLES, max_size=4))
        point.counts = draw(
            st.lists(st.integers(0, 2**40), min_size=len(point.bounds) + 1, max_size=5)
        )
    else:
        point.count, point.zero_count = draw(LONGS), draw(LONGS)
        point.scale, point.offset = (
            draw(st.integers(-10, 20)),
            draw(st.integers(-(2**31), 2**31 - 1)),
        )
        point.counts = draw(st.lists(LONGS, max_size=4))
    return point


@st.composite
def measured(draw: st.DrawFn) -> metrics.MetricsData:
    made = []
    for kind in draw(
        st.lists(st.sampled_from([SumPoint, HistogramPoint, ExponentialPoint]), max_size=3)
    ):
        of_kind = draw(st.lists(points(kind), min_size=1, max_size=3))
        texts = draw(st.tuples(TEXTS, TEXTS, TEXTS))
        made.append(metrics.Metric(*texts, draw(st.sampled_from([DELTA, CUMULATIVE])), of_kind))
    return metrics.MetricsData(draw(st.builds(Resource, ATTRIBUTES, TEXTS)), made)


@given(st.lists(spans(), min_size=1, max_size=3))
@settings(max_examples=50, deadline=None)
def test_spans_are_what_protobuf_writes_as_json(several: list[Span]) -> None:
    resource = several[0].resource
    ours = json_format.spans_request(
        resource, SCOPE, [json_format.span_json(each) for each in several]
    )
    encoded = wire.request(resource, SCOPE, [traces.encode_span(each) for each in several])

    assert read(ours) == by_protobuf(ExportTraceServiceRequest.FromString(encoded))


@given(measured())
@settings(max_examples=50, deadline=None)
def test_metrics_are_what_protobuf_writes_as_json(data: metrics.MetricsData) -> None:
    encoded = metrics.metrics_request(data, SCOPE)

    assert read(json_format.metrics_request(data, SCOPE)) == by_protobuf(
        ExportMetricsServiceRequest.FromString(encoded)
    )


@given(st.builds(Resource, ATTRIBUTES), st.lists(logs(), min_size=1, max_size=3))
@settings(max_examples=50, deadline=None)
def test_log_records_are_what_protobuf_writes_as_json(
    resource: Resource, several: list[otlp_logs.LogRecord]
) -> None:
    ours = json_format.logs_request(resource, SCOPE, map(json_format.log_json, several))
    encoded = otlp_logs.logs_request(resource, SCOPE, several)

    assert read(ours) == by_protobuf(ExportLogsServiceRequest.FromString(encoded))


@given(CONTEXTS, COUNTS)
@settings(deadline=None)
def test_a_request_is_one_line_of_ascii(context: Any, dropped: int) -> None:
    span = Span("a\nb\u2028ü", traces.SERVER, context, "", 1, 2, Resource({"k": "\r\n"}))
    span.dropped_attributes = dropped

    request = json_format.spans_request(span.resource, SCOPE, [json_format.span_json(span)])

    assert request.isascii()
    assert len(request.splitlines()) == 1
