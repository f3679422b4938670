"""The largest events that Lambda delivers, 6 MB, through the whole product.

A payload above 8 KB has one way to the telemetry process: a memfd beside its record.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.e2e.conftest import HTTP_EVENT, emulated, function
from tests.telemetry.golden.batch_function import GIVES_BACK
from tests.telemetry.golden.spans import one_span, plain

if TYPE_CHECKING:
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

    from lrap_otel.emulator.emulator import Emulator
    from tests.telemetry.otlp_collector import Collector

LAMBDA_LIMIT_BYTES = 6 * 1_024 * 1_024
RECORDS = 10_000
# Each tenth message comes from a producer that nobody traces.
TRACED = RECORDS - RECORDS // 10
LINK_LIMIT = 128
BODY_BYTES = 120
# Of the oldest message; the newest was sent 10 s later.
AGE_S = 60


def trace_id_hex(number: int) -> str:
    return f"{number + 1:032x}"


def message(number: int, sent_ms: int) -> dict[str, Any]:
    context = f"00-{trace_id_hex(number)}-{number + 1:016x}-01"
    return {
        "messageId": f"059f36b4-87a3-44ab-83d2-{number:012d}",
        "receiptHandle": f"AQEBwJnKyrHigUMZj6rYigCg{number}",
        "body": "x" * BODY_BYTES,
        "attributes": {"SentTimestamp": str(sent_ms + number), "ApproximateReceiveCount": "1"},
        "messageAttributes": {}
        if number % 10 == 9
        else {"traceparent": {"stringValue": context, "dataType": "String"}},
        "md5OfBody": "7b270e59b47ff90a553787216d55d91d",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:my-queue",
        "awsRegion": "us-east-2",
    }


def batch(sent_ms: int) -> bytes:
    event = json.dumps(
        {"Records": [message(number, sent_ms) for number in range(RECORDS)]}, separators=(",", ":")
    )
    assert 0.9 * LAMBDA_LIMIT_BYTES < len(event) <= LAMBDA_LIMIT_BYTES
    return event.encode()


def attributes(of: Any) -> dict[str, Any]:
    return {attribute.key: plain(attribute.value) for attribute in of.attributes}


def test_the_largest_batch_reaches_the_function_whole_and_its_span_has_the_links_it_may_have_and_counts_the_rest(
    collector: Collector,
) -> None:
    config = function(
        "batch_function.handler",
        cwd=Path(__file__).parent / "golden",
        timeout_s=60.0,
        env=exporting_to(collector),
    )
    results = []
    sent_ms = int(time.time() - AGE_S) * 1_000

    async def script(emulator: Emulator) -> None:
        outcome = await emulator.invoke(batch(sent_ms))
        results.append(json.loads(outcome.payload))
        await asyncio.to_thread(check_span, collector, outcome.request_id)
        await asyncio.to_thread(check_metrics, collector)

    assert emulated(config, script) == []
    assert [result["count"] for result in results] == [RECORDS]
    assert results[0]["body_bytes"] == RECORDS * BODY_BYTES


def test_a_request_above_the_scanning_limit_reaches_the_function_untouched_and_its_span_says_all_of_it(
    collector: Collector,
) -> None:
    request = {**HTTP_EVENT, "body": "ü" * (LAMBDA_LIMIT_BYTES // 2 - 1_000)}
    config = function(timeout_s=60.0, env=exporting_to(collector))
    results = []

    async def script(emulator: Emulator) -> None:
        outcome = await emulator.invoke(json.dumps(request, ensure_ascii=False).encode())
        results.append(json.loads(outcome.payload))
        span = await asyncio.to_thread(one_span, collector)
        told = attributes(span)
        assert (span.name, told["http.request.method"], told["http.route"]) == (
            "/pets/{id}",
            "GET",
            "/pets/{id}",
        )
        assert (told["url.path"], told["http.response.status_code"]) == ("/pets/42", 200)
        assert f"Parent={span.span_id.hex()};" in results[0]["xray"]

    assert emulated(config, script) == []
    assert results[0]["headers"] == HTTP_EVENT["headers"]


def exporting_to(collector: Collector) -> dict[str, str]:
    """With time enough for a busy machine."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "LRAP_FLUSH_BUDGET_MS": "50000"}


def check_span(collector: Collector, request_id: str) -> None:
    span = one_span(collector)
    told = attributes(span)

    assert told["faas.invocation_id"] == request_id
    assert told["faas.trigger"] == "pubsub"
    assert told["messaging.batch.message_count"] == RECORDS
    assert told["messaging.destination.name"] == "my-queue"
    assert told["lrap.batch.item_failures"] == GIVES_BACK
    assert told["lrap.event.age"] >= AGE_S
    assert (len(span.links), span.dropped_links_count) == (LINK_LIMIT, TRACED - LINK_LIMIT)
    linked = [number for number in range(RECORDS) if number % 10 != 9][:LINK_LIMIT]
    assert [link.trace_id.hex() for link in span.links] == [
        trace_id_hex(number) for number in linked
    ]
    assert [attributes(link) for link in span.links] == [
        {"messaging.message.id": f"059f36b4-87a3-44ab-83d2-{number:012d}"} for number in linked
    ]


def check_metrics(collector: Collector) -> None:
    metrics = the_metrics(collector)

    assert [point.count for point in metrics["lrap.event.age"].histogram.data_points] == [1]
    assert [point.as_int for point in metrics["lrap.batch.item_failures"].sum.data_points] == [
        GIVES_BACK
    ]
    assert [point.as_int for point in metrics["faas.invocations"].sum.data_points] == [1]
    assert "lrap.records.dropped" not in metrics


def the_metrics(collector: Collector) -> dict[str, Metric]:
    (resource,) = collector.next("/v1/metrics").metrics().resource_metrics
    (scope,) = resource.scope_metrics
    return {metric.name: metric for metric in scope.metrics}
