"""What becomes of one event: through the proxy's tracer, the channel and the telemetry pipeline to
a collector, with all times and ids passed in.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from lrap_otel.ipc.channel import Channel, TelemetryEnd
from lrap_otel.propagation.context import SpanContext
from lrap_otel.proxy.polls import Event
from lrap_otel.proxy.recorder import Recorder
from lrap_otel.proxy.replies import ParsedReply
from lrap_otel.proxy.tracer import Tracer
from lrap_otel.sandbox.invocations import Invocations
from lrap_otel.settings import Settings
from lrap_otel.telemetry.export.deadline import Deadline
from lrap_otel.telemetry.pipeline import Pipeline
from lrap_otel.telemetry.settings import ExportSettings
from tests.telemetry import proxy_records as proxy
from tests.telemetry.golden.tables import Case, json_text
from tests.telemetry.otlp_collector import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

    from tests.telemetry.otlp_collector import Collector

DATA = Path(__file__).parents[2] / "data"

# Lambda's noise, where X-Ray does not trace: the trace gets its id and nothing else.
_XRAY_NOISE = "Lambda-Runtime-Trace-Id: Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad9;Sampled=0"
# From when an event was made to when the function gets it.
AGE_S = 2.5


def worked_off(case: Case, collector: Collector, warn: Callable[[str], None]) -> Pipeline:
    """A pipeline that has worked off this event and its result."""
    pipeline = Pipeline(_settings(collector), warn, print)
    channel = Channel()
    try:
        for offer in (_offer_delivered, _offer_finished):
            offer(case, channel)
            record = TelemetryEnd(channel.far).receive()
            assert record is not None
            pipeline.accept(record)
    finally:
        channel.near.close()
        channel.far.close()
    return pipeline


def golden(case: Case, collector: Collector) -> Case:
    """The whole span of this event and result, and what was measured beside it."""
    warnings: list[str] = []
    pipeline = worked_off(case, collector, warnings.append)
    try:
        assert pipeline.flush(Deadline(monotonic() + PATIENCE_S))
    finally:
        pipeline.close()
    assert not warnings
    entries: dict[str, str] = {}
    seen: Counter[str] = Counter()  # two messages may come from one span
    for key, value in (*_span_lines(one_span(collector)), *_metric_lines(collector)):
        entries[key + " again" * seen[key]] = value
        seen[key] += 1
    return Case(case.name, entries)


def _settings(collector: Collector) -> ExportSettings:
    return ExportSettings(
        proxy.VARIABLES | {b"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url.encode()}
    )


def _delivered_ns(case: Case) -> int:
    if "made" not in case.entries:
        return proxy.DELIVERED_NS
    made = datetime.fromisoformat(json.loads(case.entries["made"]).replace("Z", "+00:00"))
    age = timedelta(seconds=AGE_S)
    return (
        (made + age - datetime(1970, 1, 1, tzinfo=timezone.utc))
        // timedelta(microseconds=1)
        * 1_000
    )


def _offer_delivered(case: Case, channel: Channel) -> None:
    """As the proxy's tracer prepares it, but with a span id of ours."""
    payload = (DATA / case.event_path).read_bytes()
    now_ns = _delivered_ns(case)
    fields = [
        "HTTP/1.1 200 OK",
        "Content-Type: application/json",
        f"Content-Length: {len(payload)}",
        f"Lambda-Runtime-Aws-Request-Id: {proxy.REQUEST_ID}",
        f"Lambda-Runtime-Deadline-Ms: {now_ns // 1_000_000 + 3_000}",
        f"Lambda-Runtime-Invoked-Function-Arn: {proxy.ARN}",
    ]
    own = json.loads(case.entries.get("header", '""'))
    if not own.startswith("Lambda-Runtime-Trace-Id"):
        fields.append(_XRAY_NOISE)
    head = "\r\n".join([*fields, own] if own else fields).encode() + b"\r\n\r\n"
    event = Event(ParsedReply(head, b"GET"), payload, payload)
    invocation = Tracer(Settings({}), Invocations()).prepare(event, now_ns, closes=False).invocation
    assert invocation is not None
    made = invocation.context
    invocation.context = SpanContext(
        made.trace_id_hex, proxy.SPAN_ID_HEX, made.trace_flags, made.trace_state
    )
    Recorder(Invocations(), channel).delivered(invocation, event, 50_000)


def _offer_finished(case: Case, channel: Channel) -> None:
    if "error" in case.entries:
        channel.offer(*proxy.finished(case.entries["error"].encode(), endpoint="error"))
    else:
        channel.offer(*proxy.finished(case.entries.get("result", "null").encode()))


def one_span(collector: Collector) -> Span:
    """The only span of the next export."""
    (resource,) = collector.next("/v1/traces").traces().resource_spans
    (scope,) = resource.scope_spans
    (span,) = scope.spans
    return span


def _span_lines(span: Span) -> Iterator[tuple[str, str]]:
    yield "name", json_text(span.name)
    yield "kind", json_text(Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"))
    yield "status", json_text(Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"))
    if span.status.message:
        yield "description", json_text(span.status.message)
    yield "context", json_text(_context(span))
    if span.parent_span_id:
        yield "parent", json_text(span.parent_span_id.hex())
        yield "parent is remote", json_text(bool(span.flags & 0x200))
    if span.trace_state:
        yield "trace state", json_text(span.trace_state)
    yield "start", json_text(span.start_time_unix_nano)
    yield "lasts", json_text(span.end_time_unix_nano - span.start_time_unix_nano)
    for key, value in sorted(_attributes(span).items()):
        yield key, json_text(value)
    for link in span.links:
        yield f"link {_context(link)}", json_text(_attributes(link))
        if link.trace_state:
            yield f"trace state of link {_context(link)}", json_text(link.trace_state)
    for event in span.events:
        yield f"event {event.name} at {event.time_unix_nano}", json_text(_attributes(event))
    dropped = (span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count)
    yield "dropped attributes, events, links", json_text(dropped)


def _context(of: Span | Span.Link) -> str:
    """As in a traceparent; the low eight bits of OTLP's flags are W3C's."""
    return f"{of.trace_id.hex()}-{of.span_id.hex()}-{of.flags & 0xFF:02x}"


def _attributes(of: Span | Span.Link | Span.Event) -> dict[str, Any]:
    named = {attribute.key: plain(attribute.value) for attribute in of.attributes}
    assert len(named) == len(of.attributes)
    return named


def plain(value: Any) -> Any:
    """An OTLP value as Python's, of the same type."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(part) for part in value.array_value.values]
    return getattr(value, kind)


def _metric_lines(collector: Collector) -> Iterator[tuple[str, str]]:
    for resource in collector.next("/v1/metrics").metrics().resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if metric.name != "lrap.proxy.overhead":
                    yield from _points(metric)


def _points(metric: Metric) -> Iterator[tuple[str, str]]:
    kind = metric.WhichOneof("data")
    data = getattr(metric, kind)
    temporality = AggregationTemporality.Name(data.aggregation_temporality).removeprefix(
        "AGGREGATION_TEMPORALITY_"
    )
    for point in data.data_points:
        attributes = json_text(
            {attribute.key: plain(attribute.value) for attribute in point.attributes}
        )
        measured = {"count": point.count, "sum": point.sum} if kind == "histogram" else point.as_int
        yield (
            f"metric {metric.name} ({kind}, {metric.unit}, {temporality}) {attributes}",
            json_text(measured),
        )
