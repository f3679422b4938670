"""Spans as OTLP's protobuf.

Source: opentelemetry-proto, ``trace/v1/trace.proto``.
"""

from lrap_otel.telemetry.otlp import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrap_otel.propagation.context import SpanContext
    from lrap_otel.telemetry.otlp.wire import Attributes, Resource

INTERNAL, SERVER = 1, 2
UNSET, ERROR = 0, 2

# Bits above the W3C flags: whether the next bit is valid, and whether the parent is remote.
_IS_REMOTE_IS_KNOWN, _IS_REMOTE = 0x100, 0x200


class Event:
    """Something that happened during a span, at `at_ns`."""

    __slots__ = ("at_ns", "attributes", "dropped_attributes", "name")

    def __init__(
        self, name: str, at_ns: int, attributes: "Attributes", dropped_attributes: int = 0
    ) -> None:
        self.name = name
        self.at_ns = at_ns
        self.attributes = attributes
        self.dropped_attributes = dropped_attributes


class Link:
    """A link to another span, always of another process."""

    __slots__ = ("attributes", "context", "dropped_attributes")

    def __init__(
        self, context: "SpanContext", attributes: "Attributes", dropped_attributes: int = 0
    ) -> None:
        self.context = context
        self.attributes = attributes
        self.dropped_attributes = dropped_attributes


class Span:
    """A finished span.

    Times are Unix nanoseconds. `parent_span_id_hex` is empty for a root; a parent is always of
    another process. `dropped_*` count what the limits left out.
    """

    __slots__ = (
        "attributes",
        "context",
        "dropped_attributes",
        "dropped_events",
        "dropped_links",
        "end_ns",
        "events",
        "kind",
        "links",
        "name",
        "parent_span_id_hex",
        "resource",
        "start_ns",
        "status",
        "status_message",
    )

    def __init__(
        self,
        name: str,
        kind: int,
        context: "SpanContext",
        parent_span_id_hex: str,
        start_ns: int,
        end_ns: int,
        resource: "Resource",
    ) -> None:
        self.name = name
        self.kind = kind
        self.context = context
        self.parent_span_id_hex = parent_span_id_hex
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.resource = resource
        self.attributes: Attributes = {}
        self.events: Sequence[Event] = ()
        self.links: Sequence[Link] = ()
        self.status = UNSET
        self.status_message = ""
        self.dropped_attributes = 0
        self.dropped_events = 0
        self.dropped_links = 0


def encode_span(span: Span) -> bytes:
    """The message of one span."""
    context = span.context
    is_remote = _IS_REMOTE if span.parent_span_id_hex else 0
    return b"".join(
        [
            wire.data(1, bytes.fromhex(context.trace_id_hex)),
            wire.data(2, bytes.fromhex(context.span_id_hex)),
            wire.text(3, context.trace_state),
            wire.data(4, bytes.fromhex(span.parent_span_id_hex)),
            wire.text(5, span.name),
            wire.integer(6, span.kind),
            wire.fixed_64(7, span.start_ns),
            wire.fixed_64(8, span.end_ns),
            wire.attributes(9, span.attributes),
            wire.integer(10, span.dropped_attributes),
            *[wire.message(11, _event(event)) for event in span.events],
            wire.integer(12, span.dropped_events),
            *[wire.message(13, _link(link)) for link in span.links],
            wire.integer(14, span.dropped_links),
            wire.message(15, wire.text(2, span.status_message) + wire.integer(3, span.status)),
            wire.fixed_32(16, context.trace_flags | _IS_REMOTE_IS_KNOWN | is_remote),
        ]
    )


def _event(event: Event) -> bytes:
    return b"".join(
        [
            wire.fixed_64(1, event.at_ns),
            wire.text(2, event.name),
            wire.attributes(3, event.attributes),
            wire.integer(4, event.dropped_attributes),
        ]
    )


def _link(link: Link) -> bytes:
    context = link.context
    return b"".join(
        [
            wire.data(1, bytes.fromhex(context.trace_id_hex)),
            wire.data(2, bytes.fromhex(context.span_id_hex)),
            wire.text(3, context.trace_state),
            wire.attributes(4, link.attributes),
            wire.integer(5, link.dropped_attributes),
            wire.fixed_32(6, context.trace_flags | _IS_REMOTE_IS_KNOWN | _IS_REMOTE),
        ]
    )
