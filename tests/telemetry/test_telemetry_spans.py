"""The span of an invocation, as a collector receives it."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from lrap_otel.ipc import records
from tests.telemetry.proxy_records import (
    ARN,
    DEADLINE_MS,
    DELIVERED_NS,
    PARENT_SPAN_ID_HEX,
    REQUEST_ID,
    SPAN_ID_HEX,
    TRACE_ID_HEX,
    delivered,
    finished,
)
from tests.telemetry.telemetry_thread import plain, spans_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from tests.telemetry.otlp_collector import Collector
    from tests.telemetry.telemetry_thread import Telemetry

    Trace = Callable[..., Span]
    Start = Callable[..., Telemetry]

HTTP_EVENT = json.dumps(
    {
        "version": "2.0",
        "routeKey": "GET /pets/{id}",
        "rawPath": "/pets/7",
        "rawQueryString": "page=2&X-Amz-Signature=secret",
        "headers": {
            "x-forwarded-proto": "https",
            "host": "api.example.com:8443",
            "x-forwarded-for": "203.0.113.7, 10.0.0.1",
        },
        "requestContext": {
            "domainName": "api.example.com",
            "http": {
                "method": "GET",
                "protocol": "HTTP/1.1",
                "sourceIp": "10.0.0.1",
                "userAgent": "curl/8",
            },
        },
    }
).encode()
FUNCTION_URL_EVENT = json.dumps(
    {
        "version": "2.0",
        "rawPath": "/",
        "rawQueryString": "",
        "requestContext": {
            "domainName": "abc.lambda-url.us-east-1.on.aws",
            "http": {"method": "BREW", "protocol": "HTTP/1.1"},
        },
    }
).encode()
OK, ERROR, UNSET = 1, 2, 0
SERVER, INTERNAL = 2, 1


# Also with keys of level 2, which the SDK would refuse.
@pytest.mark.parametrize("trace_state", ["vendor=1,other=2", "1abc=x,vendor@=y", "a= 1,b=c d", ""])
def test_an_invocation_becomes_a_server_span_with_the_ids_the_function_saw(
    trace: Trace, trace_state: str
) -> None:
    span = trace(
        delivered(
            parent_span_id_hex=PARENT_SPAN_ID_HEX,
            trace_flags=3,
            trace_state=trace_state,
            cold_start=True,
        ),
        finished(),
    )

    assert (span.trace_id.hex(), span.span_id.hex()) == (TRACE_ID_HEX, SPAN_ID_HEX)
    assert span.parent_span_id.hex() == PARENT_SPAN_ID_HEX
    assert span.trace_state == trace_state
    assert span.flags == 0x300 | 3
    assert (span.kind, span.name) == (SERVER, "orders")
    assert span.start_time_unix_nano == DELIVERED_NS
    assert span.end_time_unix_nano == DELIVERED_NS + 25_000_000
    assert span.status.code == UNSET
    assert plain(span.attributes) == {
        "faas.trigger": "other",
        "faas.invocation_id": REQUEST_ID,
        "faas.coldstart": True,
        "cloud.resource_id": ARN,
        "cloud.account.id": "123456789012",
        "aws.lambda.invoked_arn": ARN,
    }


def test_a_root_span_has_no_parent(trace: Trace) -> None:
    assert trace(delivered(), finished()).parent_span_id == b""


def test_an_alias_is_replaced_by_the_version_it_led_to(trace: Trace) -> None:
    attributes = plain(trace(delivered(arn=f"{ARN}:live"), finished()).attributes)

    assert attributes["cloud.resource_id"] == f"{ARN}:7"
    assert attributes["aws.lambda.invoked_arn"] == f"{ARN}:live"


def test_the_x_ray_segment_of_the_runtime_becomes_a_link(trace: Trace) -> None:
    span = trace(delivered(link_trace_id_hex="11" * 16, link_span_id_hex="22" * 8), finished())

    assert [
        (link.trace_id.hex(), link.span_id.hex(), plain(link.attributes)) for link in span.links
    ] == [("11" * 16, "22" * 8, {"source": "x-ray-env"})]


def test_an_http_event_gives_route_and_request_attributes(trace: Trace) -> None:
    span = trace(delivered(HTTP_EVENT), finished(b'{"statusCode":404,"body":""}'))

    assert span.name == "/pets/{id}"
    assert span.status.code == UNSET
    assert (
        plain(span.attributes).items()
        >= {
            "faas.trigger": "http",
            "http.request.method": "GET",
            "http.route": "/pets/{id}",
            "http.response.status_code": 404,
            "url.path": "/pets/7",
            "url.query": "page=2&X-Amz-Signature=REDACTED",
            "url.scheme": "https",
            "client.address": "203.0.113.7",
            "network.peer.address": "10.0.0.1",
            "network.protocol.version": "1.1",
            "server.address": "api.example.com",
            "server.port": 8443,
            "user_agent.original": "curl/8",
        }.items()
    )


def test_a_method_that_is_none_is_kept_apart(trace: Trace) -> None:
    span = trace(delivered(FUNCTION_URL_EVENT), finished(b'"hello"'))

    attributes = plain(span.attributes)
    assert span.name == "orders"
    assert attributes["http.request.method"] == "_OTHER"
    assert attributes["http.request.method_original"] == "BREW"
    assert attributes["http.response.status_code"] == 200


def test_a_method_the_user_knows_is_one(trace: Trace) -> None:
    span = trace(
        delivered(FUNCTION_URL_EVENT),
        finished(),
        OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS="GET,BREW",
    )

    assert plain(span.attributes)["http.request.method"] == "BREW"


def test_an_answer_of_5xx_is_an_error_without_a_description(trace: Trace) -> None:
    span = trace(delivered(HTTP_EVENT), finished(b'{"statusCode":503}'))

    assert (span.status.code, span.status.message) == (ERROR, "")
    assert plain(span.attributes)["error.type"] == "503"
    assert not span.events


ERROR_BODY = b'{"errorType":"ValueError","errorMessage":"no such order","stackTrace":["  File \\"a.py\\", line 1\\n","    raise\\n"]}'
CAUSE = json.dumps(
    {
        "exceptions": [
            {
                "type": "KeyError",
                "message": "'id'",
                "stack": [{"path": "app.py", "line": 3, "label": "handler"}],
            },
        ],
        "paths": ["app.py"],
    }
)


@pytest.mark.parametrize(
    ("body", "fields", "expected"),
    [
        pytest.param(
            ERROR_BODY,
            "",
            ("ValueError", "no such order", '  File "a.py", line 1\n    raise'),
            id="Python",
        ),
        pytest.param(
            b"5f\r\n"
            + ERROR_BODY[:95]
            + b"\r\n"
            + f"{len(ERROR_BODY) - 95:x}".encode()
            + b"\r\n"
            + ERROR_BODY[95:]
            + b"\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n",
            ("ValueError", "no such order", '  File "a.py", line 1\n    raise'),
            id="chunked, as Go sends it",
        ),
        pytest.param(
            b'{"errorType":"Error","errorMessage":"no","trace":["Error: no","    at handler"]}',
            "",
            ("Error", "no", "Error: no\n    at handler"),
            id="Node",
        ),
        pytest.param(
            b'{"errorType":"errorString","errorMessage":"no","stackTrace":[{"path":"m.go","line":7,"label":"main"}]}',
            "",
            ("errorString", "no", "main (m.go:7)"),
            id="Go",
        ),
        pytest.param(
            b"not JSON",
            f"Lambda-Runtime-Function-XRay-Error-Cause: {CAUSE}\r\n",
            ("KeyError", "'id'", "handler (app.py:3)"),
            id="only the X-Ray cause tells",
        ),
        pytest.param(
            b"",
            "Lambda-Runtime-Function-Error-Type: Runtime.Odd\r\n",
            ("Runtime.Odd", None, None),
            id="only the type's field",
        ),
        pytest.param(b"[1,2]", "", ("_OTHER", None, None), id="nothing tells"),
    ],
)
def test_an_error_of_the_function_is_an_exception(
    trace: Trace, body: bytes, fields: str, expected: tuple[str, str | None, str | None]
) -> None:
    span = trace(delivered(), finished(body, "error", fields))

    (event,) = span.events
    told = plain(event.attributes)
    assert (event.name, event.time_unix_nano) == ("exception", span.end_time_unix_nano)
    assert (
        told["exception.type"],
        told.get("exception.message"),
        told.get("exception.stacktrace"),
    ) == expected
    assert (span.status.code, span.status.message) == (ERROR, expected[1] or "")
    assert plain(span.attributes)["error.type"] == expected[0]


def test_a_stream_that_fails_midway_is_an_error_though_the_runtime_api_took_it(
    trace: Trace,
) -> None:
    error_body = base64.b64encode(b'{"errorType":"Boom","errorMessage":"halfway"}').decode()
    wire = (
        b"4\r\npart\r\n0\r\nLambda-Runtime-Function-Error-Type: Function.Boom\r\n"
        + f"Lambda-Runtime-Function-Error-Body: {error_body}\r\n\r\n".encode()
    )

    span = trace(delivered(), finished(wire, fields="Transfer-Encoding: chunked\r\n"))

    assert (span.status.code, span.status.message) == (ERROR, "halfway")
    assert plain(span.attributes)["error.type"] == "Boom"


def test_a_result_that_broke_off_is_an_error(trace: Trace) -> None:
    span = trace(delivered(), finished(b"par", status=0, is_complete=False))

    assert span.status.code == ERROR
    assert plain(span.attributes)["error.type"] == "Runtime.TruncatedResponse"


@pytest.mark.parametrize(
    ("status", "error_type"), [(413, "Function.ResponseSizeTooLarge"), (403, "403")]
)
def test_a_result_that_lambda_refused_is_an_error(
    trace: Trace, status: int, error_type: str
) -> None:
    span = trace(delivered(), finished(status=status))

    attributes = plain(span.attributes)
    assert span.status.code == ERROR
    assert (attributes["error.type"], attributes["lrap.runtime_api.status_code"]) == (
        error_type,
        status,
    )


def test_a_redelivery_of_an_open_invocation_is_one_span(start: Start, collector: Collector) -> None:
    telemetry = start(collector)
    telemetry.offer(
        delivered(), delivered(is_redelivery=True, delivered_ns=DELIVERED_NS + 5), finished()
    )

    assert telemetry.flush()
    assert [span.start_time_unix_nano for span in spans_of(collector)] == [DELIVERED_NS]


def test_a_retry_after_the_result_is_a_span_of_its_own(start: Start, collector: Collector) -> None:
    telemetry = start(collector)
    telemetry.offer(delivered(), finished(), delivered(span_id_hex="ab" * 8), finished())

    assert telemetry.flush()
    assert [span.span_id.hex() for span in spans_of(collector)] == [SPAN_ID_HEX, "ab" * 8]


def test_a_retry_after_the_deadline_ends_the_attempt_before_as_timed_out(
    start: Start, collector: Collector
) -> None:
    telemetry = start(collector)
    telemetry.offer(delivered(), delivered(span_id_hex="ab" * 8), finished())

    assert telemetry.flush()
    first, second = spans_of(collector)
    assert (first.span_id.hex(), plain(first.attributes)["error.type"]) == (SPAN_ID_HEX, "timeout")
    assert (second.span_id.hex(), second.status.code) == ("ab" * 8, 0)


def test_a_result_whose_record_overtakes_its_events_ends_the_same_span(
    start: Start, collector: Collector
) -> None:
    telemetry = start(collector)
    telemetry.offer(finished(), delivered())
    assert telemetry.flush()
    (span,) = spans_of(collector)
    assert span.end_time_unix_nano > span.start_time_unix_nano == DELIVERED_NS


def test_two_attempts_at_once_with_one_request_id_are_told_apart_by_invocation_id(
    start: Start, collector: Collector
) -> None:
    telemetry = start(collector)
    telemetry.offer(
        delivered(invocation_id="a", span_id_hex="aa" * 8),
        delivered(invocation_id="b", span_id_hex="bb" * 8),
        finished(invocation_id="b", duration_ns=1),
        finished(invocation_id="a", duration_ns=2),
    )

    assert telemetry.flush()
    ended = {
        span.span_id.hex(): span.end_time_unix_nano - DELIVERED_NS for span in spans_of(collector)
    }
    assert ended == {"aa" * 8: 2, "bb" * 8: 1}


def test_a_runtime_that_does_not_echo_the_invocation_id_ends_its_span_all_the_same(
    trace: Trace,
) -> None:
    assert trace(delivered(invocation_id="a"), finished()).span_id.hex() == SPAN_ID_HEX


def test_an_unsampled_invocation_has_no_span(start: Start, collector: Collector) -> None:
    telemetry = start(collector)
    telemetry.offer(delivered(trace_flags=2), finished())

    assert telemetry.flush()
    assert {post.path for post in collector.received()} == {"/v1/metrics"}


@pytest.mark.parametrize(
    ("reason", "error_type"),
    [("timeout", "timeout"), ("failure", "crash"), ("spindown", "shutdown")],
)
def test_an_invocation_that_is_open_at_shutdown_ends_with_its_reason(
    start: Start, collector: Collector, reason: str, error_type: str
) -> None:
    telemetry = start(collector)
    telemetry.offer(delivered())

    before_ns = time.time_ns()
    assert telemetry.shutdown(reason)
    (span,) = spans_of(collector)
    assert span.status.code == ERROR
    assert plain(span.attributes)["error.type"] == error_type
    if reason == "timeout":
        assert span.end_time_unix_nano == DEADLINE_MS * 1_000_000
    else:
        assert span.end_time_unix_nano >= before_ns


def test_a_failed_initialization_is_a_span_of_its_own(start: Start, collector: Collector) -> None:
    head = b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\n\r\n"
    telemetry = start(collector)
    telemetry.offer(
        (records.started(DELIVERED_NS, "orders", "7", "app.handler", None), b""),
        (
            records.init_error(DELIVERED_NS + 9, len(head)),
            head
            + b'{"errorType":"Runtime.ImportModuleError","errorMessage":"no app","stackTrace":[]}',
        ),
    )

    assert telemetry.flush()
    (span,) = spans_of(collector)
    assert (span.name, span.kind, span.parent_span_id) == ("init", INTERNAL, b"")
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (DELIVERED_NS, DELIVERED_NS + 9)
    assert (span.status.code, span.status.message) == (ERROR, "no app")
    assert plain(span.attributes) == {
        "faas.coldstart": True,
        "error.type": "Runtime.ImportModuleError",
    }
    assert [event.name for event in span.events] == ["exception"]


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_TRACES_SAMPLER": "always_off"},
        {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
    ],
)
def test_a_failed_initialization_is_sampled_like_any_root(
    start: Start, collector: Collector, variables: dict[str, str]
) -> None:
    telemetry = start(collector, **variables)
    telemetry.offer((records.init_error(DELIVERED_NS, 0), b"{}"))

    assert telemetry.flush()
    assert not collector.received("/v1/traces")


def test_a_record_that_came_without_its_payload_still_makes_a_span(trace: Trace) -> None:
    message, _ = delivered()
    result, _ = finished()

    span = trace((message, b""), (result, b""))

    assert span.span_id.hex() == SPAN_ID_HEX
    assert plain(span.attributes)["faas.trigger"] == "other"


def test_an_event_too_large_for_a_datagram_has_a_link_for_every_record_up_to_the_limit(
    trace: Trace,
) -> None:
    messages: list[dict[str, Any]] = [
        {
            "messageId": str(number),
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:orders-queue",
            "body": "x" * 500,
            "messageAttributes": {
                "traceparent": {
                    "dataType": "String",
                    "stringValue": f"00-{TRACE_ID_HEX}-{number + 1:016x}-01",
                }
            },
        }
        for number in range(3_000)
    ]

    span = trace(delivered(json.dumps({"Records": messages}).encode()), finished())

    assert (len(span.links), span.dropped_links_count) == (128, 2_872)
    assert plain(span.attributes)["messaging.batch.message_count"] == 3_000
    assert not span.parent_span_id


def test_text_that_no_encoding_has_does_not_lose_the_span(trace: Trace) -> None:
    span = trace(
        delivered(rb'{"source":"a","detail-type":"b","detail":{},"id":"\ud800x"}'), finished()
    )

    assert plain(span.attributes)["messaging.message.id"] == "?x"


def test_limits_of_the_user_are_kept(trace: Trace) -> None:
    span = trace(
        delivered(HTTP_EVENT),
        finished(),
        OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT="4",
        OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="8",
    )

    attributes = plain(span.attributes)
    assert len(attributes) == 8
    assert attributes["faas.invocation_id"] == REQUEST_ID[:4]
