"""Records as the proxy sends them."""

from __future__ import annotations

from typing import Any

from lrap_otel.ipc import records

REQUEST_ID = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
TRACE_ID_HEX = "5759e988bd862e3fe1be46a994272793"
SPAN_ID_HEX = "53995c3f42cd8ad8"
PARENT_SPAN_ID_HEX = "00f067aa0ba902b7"
ARN = "arn:aws:lambda:us-east-1:123456789012:function:orders"
DELIVERED_NS = 1_700_000_000_000_000_000
DEADLINE_MS = 1_700_000_003_000

VARIABLES = {
    b"AWS_LAMBDA_FUNCTION_NAME": b"orders",
    b"AWS_LAMBDA_FUNCTION_VERSION": b"7",
    b"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": b"128",
    b"AWS_REGION": b"us-east-1",
    # /tmp is everybody's.
    b"LRAP_SPOOL_BYTES": b"0",
}


def delivered(
    event: bytes = b"{}", arn: str = ARN, **changed: Any
) -> tuple[records.Message, bytes]:
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        f"Lambda-Runtime-Aws-Request-Id: {REQUEST_ID}\r\nLambda-Runtime-Deadline-Ms: {DEADLINE_MS}\r\n"
        f"Lambda-Runtime-Invoked-Function-Arn: {arn}\r\n\r\n"
    ).encode()
    fields = {
        "request_id": REQUEST_ID,
        "invocation_id": "",
        "delivered_ns": DELIVERED_NS,
        "overhead_ns": 50_000,
        "head_length": len(head),
        "body_length": len(event),
        "trace_id_hex": TRACE_ID_HEX,
        "span_id_hex": SPAN_ID_HEX,
        "parent_span_id_hex": "",
        "trace_flags": 1,
        "trace_state": "",
        "link_trace_id_hex": "",
        "link_span_id_hex": "",
        "cold_start": False,
        "is_redelivery": False,
    }
    return records.delivered(*(fields | changed).values()), head + event


def finished(
    body: bytes = b'"done"', endpoint: str = "response", fields: str = "", **changed: Any
) -> tuple[records.Message, bytes]:
    head = (
        f"POST /2018-06-01/runtime/invocation/{REQUEST_ID}/{endpoint} HTTP/1.1\r\nContent-Type: application/json\r\n{fields}\r\n"
    ).encode()
    first = body[: records.CAPTURE_FIRST_BYTES]
    last = body[records.CAPTURE_FIRST_BYTES :][-records.CAPTURE_LAST_BYTES :]
    values = {
        "request_id": REQUEST_ID,
        "invocation_id": "",
        "endpoint": endpoint,
        "duration_ns": 25_000_000,
        "overhead_ns": 40_000,
        "status": 202,
        "is_complete": True,
        "head_length": len(head),
        "first_length": len(first),
        "last_length": len(last),
        "body_length": len(body),
    }
    return records.finished(*(values | changed).values()), head + first + last


def invocations(*ids: int) -> list[tuple[records.Message, bytes]]:
    """Whole invocations, an event and its result each, with the numbers as span ids."""
    return [
        record for number in ids for record in (delivered(span_id_hex=f"{number:016x}"), finished())
    ]
