"""Our records as the SDK's own objects, so that its encoder can be asked about the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode
from otlp_values import encodable

from lrap_otel.telemetry.otlp import traces

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    from lrap_otel.propagation.context import SpanContext as OurContext
    from lrap_otel.telemetry.otlp import wire

_KINDS = {traces.INTERNAL: SpanKind.INTERNAL, traces.SERVER: SpanKind.SERVER}
_STATUSES = {traces.UNSET: StatusCode.UNSET, traces.ERROR: StatusCode.ERROR}


class _Counted(BoundedList[object]):
    """Keeps everything and says how many were dropped before it."""

    def __init__(self, every: Iterable[object], dropped: int) -> None:
        super().__init__(None)
        self.extend(list(every))
        self.dropped = dropped


def request_of_the_sdk(spans: Sequence[traces.Span], scope: wire.Scope) -> ExportTraceServiceRequest:
    """What the SDK's encoder makes of them, with what it leaves out (tested below): W3C flags and the links' trace state."""
    readable = [_readable(span, scope) for span in spans]
    request = encode_spans(readable)
    for encoded, span in zip(request.resource_spans[0].scope_spans[0].spans, readable, strict=True):
        encoded.flags |= span.context.trace_flags
        for encoded_link, link in zip(encoded.links, span.links, strict=True):
            encoded_link.flags |= link.context.trace_flags
            encoded_link.trace_state = link.context.trace_state.to_header()
    return request


def resource_of(resource: wire.Resource) -> Resource:
    made = Resource({}, resource.schema_url)
    made._attributes = _attributes(resource.attributes)
    return made


def _readable(span: traces.Span, scope: wire.Scope) -> ReadableSpan:
    context = context_of(span.context, is_remote=False)
    parent = None
    if span.parent_span_id_hex:
        parent = SpanContext(context.trace_id, int(span.parent_span_id_hex, 16), is_remote=True)
    made = ReadableSpan(
        name=encodable(span.name),
        context=context,
        parent=parent,
        resource=resource_of(span.resource),
        events=_Counted([_event(event) for event in span.events], span.dropped_events),
        links=_Counted([_link(link) for link in span.links], span.dropped_links),
        kind=_KINDS[span.kind],
        status=Status(_STATUSES[span.status], encodable(span.status_message) or None),
        start_time=span.start_ns,
        end_time=span.end_ns,
        instrumentation_scope=InstrumentationScope(scope.name, scope.version, scope.schema_url),
    )
    made._attributes = _attributes(span.attributes, span.dropped_attributes)
    return made


def _attributes(values: wire.Attributes, dropped: int = 0) -> BoundedAttributes:
    """Past the SDK's check, which takes no nested value and no lone surrogate: its encoder gets the first."""
    made = BoundedAttributes()
    made._dict = encodable(dict(values))
    made.dropped = dropped
    return made


def _event(event: traces.Event) -> Event:
    made = Event(encodable(event.name), {}, event.at_ns)
    made._attributes = _attributes(event.attributes, event.dropped_attributes)
    return made


def _link(link: traces.Link) -> Link:
    made = Link(context_of(link.context, is_remote=True), {})
    made._attributes = _attributes(link.attributes, link.dropped_attributes)
    return made


def context_of(context: OurContext, *, is_remote: bool) -> SpanContext:
    return SpanContext(
        int(context.trace_id_hex, 16),
        int(context.span_id_hex, 16),
        is_remote,
        TraceFlags(context.trace_flags),
        TraceState.from_header([context.trace_state]) if context.trace_state else TraceState(),
    )
