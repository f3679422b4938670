"""The SDK itself as the judge: a span made by its tracer, sent by its stock exporter,
against ours.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace.status import Status, StatusCode

from lrap_otel import __version__
from tests.telemetry.proxy_records import (
    ARN,
    DELIVERED_NS,
    PARENT_SPAN_ID_HEX,
    REQUEST_ID,
    SPAN_ID_HEX,
    TRACE_ID_HEX,
    delivered,
    finished,
)
from tests.telemetry.telemetry_thread import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    from tests.telemetry.otlp_collector import Collector
    from tests.telemetry.telemetry_thread import Telemetry

    Start = Callable[..., Telemetry]

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
PRODUCER = SpanContext(
    int("4bf92f3577b34da6a3ce929d0e0e4736", 16), int("00f067aa0ba902b7", 16), is_remote=True
)
EVENT = {
    "Records": [
        {
            "messageId": "m1",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:q",
            "messageAttributes": {
                "traceparent": {
                    "stringValue": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
                }
            },
        }
    ]
}


class OurIds(IdGenerator):
    def generate_trace_id(self) -> int:
        return int(TRACE_ID_HEX, 16)

    def generate_span_id(self) -> int:
        return int(SPAN_ID_HEX, 16)


def by_the_sdk(url: str, resource: dict[str, object]) -> None:
    provider = TracerProvider(
        resource=Resource(resource, SCHEMA_URL), id_generator=OurIds(), shutdown_on_exit=False
    )
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
    tracer = provider.get_tracer("lrap-otel", __version__, schema_url=SCHEMA_URL)
    parent = SpanContext(
        int(TRACE_ID_HEX, 16),
        int(PARENT_SPAN_ID_HEX, 16),
        is_remote=True,
        trace_flags=TraceFlags(1),
    )
    span = tracer.start_span(
        "orders",
        set_span_in_context(NonRecordingSpan(parent)),
        SpanKind.SERVER,
        {
            "faas.trigger": "pubsub",
            "faas.invocation_id": REQUEST_ID,
            "faas.coldstart": False,
            "cloud.resource_id": ARN,
            "cloud.account.id": "123456789012",
            "aws.lambda.invoked_arn": ARN,
            "messaging.system": "aws_sqs",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": "q",
            "messaging.batch.message_count": 1,
            "messaging.message.id": "m1",
            "aws.sqs.queue.url": "https://sqs.us-east-1.amazonaws.com/123456789012/q",
            "lrap.trigger": "sqs",
            "error.type": "ValueError",
        },
        [Link(PRODUCER, {"messaging.message.id": "m1"})],
        DELIVERED_NS,
    )
    told = {
        "exception.type": "ValueError",
        "exception.message": "no",
        "exception.stacktrace": "a\nb",
    }
    span.add_event("exception", told, DELIVERED_NS + 25_000_000)
    span.set_status(Status(StatusCode.ERROR, "no"))
    span.end(DELIVERED_NS + 25_000_000)
    provider.shutdown()


def without_flags(request: ExportTraceServiceRequest) -> ExportTraceServiceRequest:
    """The SDK's encoder does not send the W3C flags (OTLP says it should); we do."""
    for span in request.resource_spans[0].scope_spans[0].spans:
        span.flags &= ~0xFF
    return request


def test_our_span_is_what_the_sdk_would_have_sent(start: Start, collector: Collector) -> None:
    telemetry = start(collector)
    body = b'{"errorType":"ValueError","errorMessage":"no","stackTrace":["a\\n","b"]}'
    telemetry.offer(
        delivered(json.dumps(EVENT).encode(), parent_span_id_hex=PARENT_SPAN_ID_HEX),
        finished(body, "error"),
    )
    assert telemetry.flush()
    ours = collector.next("/v1/traces").traces()

    by_the_sdk(collector.url, plain(ours.resource_spans[0].resource.attributes))
    theirs = collector.next("/v1/traces").traces()

    assert without_flags(ours) == without_flags(theirs)
