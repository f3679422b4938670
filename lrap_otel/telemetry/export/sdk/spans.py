"""Our spans as the SDK's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from lrap_otel.telemetry.limits import encodable
from lrap_otel.telemetry.otlp import traces

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lrap_otel.propagation.context import SpanContext as OurContext
    from lrap_otel.telemetry.otlp import wire

_KINDS = {traces.INTERNAL: SpanKind.INTERNAL, traces.SERVER: SpanKind.SERVER}
_STATUSES = {traces.UNSET: StatusCode.UNSET, traces.ERROR: StatusCode.ERROR}
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


class _Counted(BoundedList[Any]):
    """Keeps everything and says how many were dropped before."""

    def __init__(self, every: Iterable[object], dropped: int) -> None:
        super().__init__(None)
        self.extend(list(every))
        self.dropped = dropped


def readable_span(span: traces.Span, scope: wire.Scope) -> ReadableSpan:
    """`span` as the SDK would have ended it, with a resource of its own."""
    context = span_context(span.context, is_remote=False)
    parent = None
    if span.parent_span_id_hex:
        parent = SpanContext(context.trace_id, int(span.parent_span_id_hex, 16), is_remote=True)
    return ReadableSpan(
        name=encodable(span.name),
        context=context,
        parent=parent,
        resource=sdk_resource(span.resource),
        attributes=_attributes(span.attributes, span.dropped_attributes),
        events=_Counted([_event(event) for event in span.events], span.dropped_events),
        links=_Counted([_link(link) for link in span.links], span.dropped_links),
        kind=_KINDS[span.kind],
        status=Status(_STATUSES[span.status], encodable(span.status_message) or None),
        start_time=span.start_ns,
        end_time=span.end_ns,
        instrumentation_scope=sdk_scope(scope),
    )


def sdk_resource(resource: wire.Resource) -> Resource:
    """`resource` alone: the SDK would add attributes of its own."""
    made = Resource({}, resource.schema_url)
    made._attributes = _attributes(resource.attributes)  # noqa: SLF001 - see there
    return made


def sdk_scope(scope: wire.Scope) -> InstrumentationScope:
    """The instrumentation scope."""
    return InstrumentationScope(scope.name, scope.version, scope.schema_url)


def span_context(context: OurContext, *, is_remote: bool) -> SpanContext:
    """A span's ids, flags and trace state."""
    return SpanContext(
        int(context.trace_id_hex, 16),
        int(context.span_id_hex, 16),
        is_remote,
        TraceFlags(context.trace_flags),
        TraceState.from_header([context.trace_state]) if context.trace_state else TraceState(),
    )


def sdk_attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as the SDK takes them: no lone surrogate, no number beyond 64 bits."""
    return {encodable(name): _value(value) for name, value in values.items()}


def _attributes(values: Mapping[str, Any], dropped: int = 0) -> BoundedAttributes:
    """Past the constructor, which looks at each value again, and knows no empty name: a user may
    have set one.
    """
    made = BoundedAttributes()
    made._dict = sdk_attributes(values)  # noqa: SLF001
    made.dropped = dropped
    return made


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if _LEAST <= value <= _MOST else str(value)
    if isinstance(value, (list, tuple)):
        return [_value(each) for each in value]
    return sdk_attributes(value) if isinstance(value, dict) else value


def _event(event: traces.Event) -> Event:
    return Event(
        encodable(event.name), _attributes(event.attributes, event.dropped_attributes), event.at_ns
    )


def _link(link: traces.Link) -> Link:
    attributes = _attributes(link.attributes, link.dropped_attributes)
    return Link(span_context(link.context, is_remote=True), attributes)
