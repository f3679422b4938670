"""OTLP over HTTP as JSON: what a collector gets, and what it says in its own JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from lrap_otel.telemetry.export import encode_json
from tests.telemetry.otlp_collector import Collector, reply
from tests.telemetry.proxy_records import TRACE_ID_HEX, invocations

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.telemetry.telemetry_thread import Telemetry

    Start = Callable[..., Telemetry]

JSON = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_spans_and_metrics_arrive_as_json(
    start: Start, collector: Collector, compression: str
) -> None:
    telemetry = start(collector, **JSON, OTEL_EXPORTER_OTLP_COMPRESSION=compression)
    telemetry.offer(*invocations(2))
    assert telemetry.flush()

    traces, metrics = collector.next("/v1/traces"), collector.next("/v1/metrics")
    spans = json.loads(traces.content)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    names = {
        each["name"]
        for each in json.loads(metrics.content)["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    }
    assert {traces.fields["content-type"], metrics.fields["content-type"]} == {"application/json"}
    assert [(span["traceId"], span["kind"]) for span in spans] == [(TRACE_ID_HEX, 2)] * len(spans)
    assert "faas.invoke_duration" in names
    assert telemetry.warnings == []


def test_each_signal_has_its_own_protocol(start: Start, collector: Collector) -> None:
    telemetry = start(collector, OTEL_EXPORTER_OTLP_METRICS_PROTOCOL="http/json")
    telemetry.offer(*invocations(1))
    assert telemetry.flush()

    assert collector.next("/v1/traces").traces().resource_spans
    assert json.loads(collector.next("/v1/metrics").content)


def test_spans_that_a_json_collector_rejects_are_told(start: Start) -> None:
    response = b'{"partialSuccess": {"rejectedSpans": "1", "errorMessage": "no"}}'
    with Collector(
        lambda number, post: reply(body=response if post.path == "/v1/traces" else b"{}")
    ) as collector:
        telemetry = start(collector, **JSON)
        telemetry.offer(*invocations(1))
        assert telemetry.flush()
        assert telemetry.shutdown()

    assert any("took only a part of the spans" in warning for warning in telemetry.warnings)


@pytest.mark.parametrize("count", [0, 1, 2**31, 2**63 - 1])
def test_what_was_rejected_is_read_as_protobuf_writes_it(count: int) -> None:
    traces, metrics = ExportTraceServiceResponse(), ExportMetricsServiceResponse()
    traces.partial_success.rejected_spans = count
    metrics.partial_success.rejected_data_points = count

    for response in (traces, metrics):
        assert encode_json.rejected(json.dumps(MessageToDict(response)).encode()) == count


@given(
    st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.booleans()),
            lambda inner: st.dictionaries(
                st.sampled_from(["partialSuccess", "rejectedSpans", "x"]), inner
            ),
            max_leaves=5,
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_no_response_makes_reading_it_raise(response: Any) -> None:
    assert encode_json.rejected(response) >= 0
