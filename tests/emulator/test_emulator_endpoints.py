"""The invoke endpoint and the OTLP receiver, over HTTP."""

from __future__ import annotations

import asyncio
import base64
import gzip
import http.client
import json
from asyncio import to_thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from lrap_otel.emulator import Config, Emulator

if TYPE_CHECKING:
    from collections.abc import Callable

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}


def post(
    url: str, body: bytes, headers: dict[str, str] | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.netloc)
    connection.request("POST", where.path, body, headers or {})
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response, data


def invoke(
    config: Config, body: bytes = b"{}", headers: dict[str, str] | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    async def run() -> tuple[http.client.HTTPResponse, bytes]:
        async with Emulator(config) as emulator:
            return await to_thread(post, emulator.invoke_url, body, headers)

    return asyncio.run(run())


def test_an_event_that_is_posted_gets_the_functions_result(config: Callable[..., Config]) -> None:
    response, body = invoke(config(), b'{"posted":true}')
    assert (response.status, body) == (200, b'{"posted":true}')
    assert response.headers["X-Amz-Executed-Version"] == "$LATEST"
    assert len(response.headers["X-Amzn-RequestId"]) == 36
    assert response.headers["X-Amz-Function-Error"] is None


def test_a_failure_is_marked(config: Callable[..., Config]) -> None:
    response, body = invoke(config("client.next()\nsys.exit(1)"))
    assert (response.status, response.headers["X-Amz-Function-Error"]) == (200, "Unhandled")
    assert b"Runtime.ExitError" in body


def test_client_context_and_trace_header_reach_the_runtime(config: Callable[..., Config]) -> None:
    runtime = """
event = client.next()
said = event["Lambda-Runtime-Client-Context"] + event["Lambda-Runtime-Trace-Id"]
client.respond(event["Lambda-Runtime-Aws-Request-Id"], said.encode())
client.next()
"""
    context = base64.b64encode(b'{"custom":{}}').decode()
    _, body = invoke(
        config(runtime), b"{}", {"X-Amz-Client-Context": context, "X-Amzn-Trace-Id": "Root=1-2-3"}
    )
    assert body == b'{"custom":{}}Root=1-2-3'


def test_a_client_context_that_is_not_base64_is_refused(config: Callable[..., Config]) -> None:
    response, _ = invoke(config(), b"{}", {"X-Amz-Client-Context": "***"})
    assert response.status == 400


def test_an_event_above_the_limit_is_refused(config: Callable[..., Config]) -> None:
    response, _ = invoke(config(), b"x" * 6_291_457)
    assert response.status == 413


def test_an_asynchronous_event_is_accepted_at_once_and_run(config: Callable[..., Config]) -> None:
    async def run() -> tuple[int, bytes]:
        async with Emulator(config()) as emulator:
            response, _ = await to_thread(
                post, emulator.invoke_url, b'"later"', {"X-Amz-Invocation-Type": "Event"}
            )
            return response.status, (await emulator.outcome(0)).payload

    assert asyncio.run(run()) == (202, b'"later"')


def test_trailers_of_a_streamed_result_are_seen_by_a_plain_client(
    config: Callable[..., Config],
) -> None:
    runtime = """
request_id = client.next()["Lambda-Runtime-Aws-Request-Id"]
client.send(f"POST /2018-06-01/runtime/invocation/{request_id}/response HTTP/1.1\\r\\nHost: x\\r\\n".encode())
client.send(b"Lambda-Runtime-Function-Response-Mode: streaming\\r\\nTransfer-Encoding: chunked\\r\\nTrailer: X-End\\r\\n\\r\\n")
client.send(b"2\\r\\nok\\r\\n0\\r\\nX-End: broken\\r\\n\\r\\n")
client.receive()
client.next()
"""
    response, body = invoke(config(runtime))
    assert (body, response.headers["x-end"]) == (b"ok", "broken")


def a_trace() -> ExportTraceServiceRequest:
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "shop"
    scoped = group.scope_spans.add(schema_url="https://example.com/1")
    scoped.scope.name = "maker"
    span = scoped.spans.add(
        name="GET",
        kind=2,
        trace_id=b"\1" * 16,
        span_id=b"\2" * 8,
        parent_span_id=b"\3" * 8,
        flags=0x301,
    )
    span.start_time_unix_nano, span.end_time_unix_nano = 1_000_000, 3_500_000
    span.status.code, span.status.message = 2, "broken"
    span.attributes.add(key="count").value.int_value = 3
    span.attributes.add(key="list").value.array_value.values.add().bool_value = True
    span.attributes.add(key="map").value.kvlist_value.values.add(key="a").value.double_value = 0.5
    span.attributes.add(key="none")
    span.links.add(trace_id=b"\4" * 16, span_id=b"\5" * 8).attributes.add(
        key="source"
    ).value.string_value = "x"
    span.events.add(name="exception", time_unix_nano=2)
    return message


def export(path: str, body: bytes, headers: dict[str, str]) -> tuple[int, Emulator]:
    async def run() -> tuple[int, Emulator]:
        async with Emulator(Config()) as emulator:
            response, _ = await to_thread(post, emulator.otlp.endpoint + path, body, headers)
            return response.status, emulator

    return asyncio.run(run())


@pytest.mark.parametrize("packed", [False, True])
def test_spans_arrive_whole_plain_or_gzipped(packed: bool) -> None:
    raw = a_trace().SerializeToString()
    headers = {**PROTOBUF, "Content-Encoding": "gzip"} if packed else PROTOBUF
    status, emulator = export("/v1/traces", gzip.compress(raw) if packed else raw, headers)
    (span,) = emulator.otlp.received
    assert status == 200
    assert (span.name, span.kind, span.status, span.status_message, span.duration_ms) == (
        "GET",
        "SERVER",
        "ERROR",
        "broken",
        2.5,
    )
    assert (span.trace_id_hex, span.span_id_hex, span.parent_id_hex) == (
        "01" * 16,
        "02" * 8,
        "03" * 8,
    )
    assert span.attributes == {"count": 3, "list": [True], "map": {"a": 0.5}, "none": None}
    assert (span.resource, span.scope.name, span.scope.schema_url) == (
        {"service.name": "shop"},
        "maker",
        "https://example.com/1",
    )
    assert (span.links[0].trace_id_hex, span.links[0].attributes) == ("04" * 16, {"source": "x"})
    assert (span.events[0].name, span.has_remote_parent) == ("exception", True)


def test_metrics_of_every_kind_arrive() -> None:
    message = ExportMetricsServiceRequest()
    metrics = message.resource_metrics.add().scope_metrics.add().metrics
    metrics.add(name="gauge").gauge.data_points.add(as_double=1.5)
    total = metrics.add(name="sum", unit="{call}").sum
    total.aggregation_temporality = 1
    total.data_points.add(as_int=7)
    spread = metrics.add(name="histogram", unit="s").histogram
    spread.aggregation_temporality = 2
    spread.data_points.add(count=3, sum=0.6, explicit_bounds=[0.1, 1.0], bucket_counts=[1, 2, 0])
    metrics.add(name="empty")
    status, emulator = export("/v1/metrics", message.SerializeToString(), PROTOBUF)
    gauge, counter, histogram, empty = emulator.otlp.metrics
    assert status == 200
    assert gauge.points[0].value == 1.5
    assert (counter.unit, counter.points[0].value, counter.points[0].temporality) == (
        "{call}",
        7,
        "DELTA",
    )
    point = histogram.points[0]
    assert (point.count, point.sum, point.bounds, point.bucket_counts) == (
        3,
        0.6,
        (0.1, 1.0),
        (1, 2, 0),
    )
    assert point.temporality == "CUMULATIVE"
    assert empty.points == []


def test_spans_arrive_as_json() -> None:
    spans = [
        {
            "traceId": "01" * 16,
            "spanId": "02" * 8,
            "parentSpanId": "03" * 8,
            "name": "n",
            "startTimeUnixNano": "7",
        }
    ]
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
    status, emulator = export(
        "/v1/traces", gzip.compress(body), {**JSON, "Content-Encoding": "gzip"}
    )
    (span,) = emulator.otlp.received
    assert status == 200
    assert (span.trace_id_hex, span.span_id_hex, span.parent_id_hex, span.name) == (
        "01" * 16,
        "02" * 8,
        "03" * 8,
        "n",
    )


def test_logs_arrive() -> None:
    message = ExportLogsServiceRequest()
    record = (
        message.resource_logs.add()
        .scope_logs.add()
        .log_records.add(severity_text="ERROR", trace_id=b"\1" * 16, span_id=b"\2" * 8)
    )
    record.body.string_value = "said"
    _, emulator = export("/v1/logs", message.SerializeToString(), PROTOBUF)
    (log,) = emulator.otlp.logs
    assert (log.body, log.severity, log.trace_id_hex) == ("said", "ERROR", "01" * 16)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"{}", JSON, 200),
        (b"[]", JSON, 400),
        (b"{", JSON, 400),
        (b'{"resourceSpans": 1}', JSON, 400),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz"}]}]}]}', JSON, 400),
        (b"[" * 100_000, JSON, 400),
        (b"\xff\xff", PROTOBUF, 400),
        (b"not gzip", {**PROTOBUF, "Content-Encoding": "gzip"}, 400),
    ],
)
def test_what_is_not_otlp_is_refused(body: bytes, headers: dict[str, str], status: int) -> None:
    assert export("/v1/traces", body, headers)[0] == status


def test_waiting_for_spans_ends_with_them_or_says_how_many_came() -> None:
    async def run() -> list[Any]:
        async with Emulator(Config()) as emulator:
            with pytest.raises(TimeoutError, match=r"0 of 1 spans came within 0\.05 s"):
                await emulator.otlp.spans(1, timeout_s=0.05)
            waiting = asyncio.ensure_future(emulator.otlp.spans(1))
            await to_thread(
                post, emulator.otlp.endpoint + "/v1/traces", a_trace().SerializeToString(), PROTOBUF
            )
            return list(await waiting)

    assert len(asyncio.run(run())) == 1
