"""The content of a carrier, and a context as header fields, independent of the code that found or
wrote them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrap_otel.propagation.carrier.find import find
from lrap_otel.propagation.carrier.learned import EventTemplates
from lrap_otel.propagation.carrier.model import NAMES
from lrap_otel.propagation.carrier.scanned import ScannedCarrier, text_fields
from lrap_otel.propagation.inject import field_names, field_values, into_event
from lrap_otel.text.learning import PatternCompiler

if TYPE_CHECKING:
    from lrap_otel.propagation.carrier.learned import Carrier
    from lrap_otel.propagation.context import SpanContext


class _Absent(str):
    """A header that is absent; compared by identity, since a header may have any value."""

    __slots__ = ()


_ABSENT = _Absent()


def learn(templates: EventTemplates, event: bytes) -> None:
    """As the proxy does when this event has been delivered."""
    carrier = find(event, 10_000_000, templates)
    if isinstance(carrier, ScannedCarrier):
        templates.learn(event, carrier)


def learned(*events: bytes) -> EventTemplates:
    """The templates of a sandbox that has seen each of these events twice."""
    templates = EventTemplates(PatternCompiler())
    for event in events:
        learn(templates, event)
        learn(templates, event)
    return templates


def told(carrier: Carrier) -> dict[str, str]:
    """The names that matter and are there, with their values."""
    values = {name: carrier.get(name, _ABSENT) for name in NAMES}
    return {name: value for name, value in values.items() if not isinstance(value, _Absent)}


def fields_of(
    context: SpanContext, propagators: tuple[str, ...], lineage: str = ""
) -> tuple[tuple[str, str], ...]:
    """The header fields of a context, as pairs."""
    names = field_names(propagators, has_state=bool(context.trace_state))
    return text_fields(names, field_values(context, names, lineage.encode()))


def written_into(
    event: bytes, carrier: Carrier, names: tuple[str, ...], values: tuple[str, ...]
) -> bytes | None:
    """The event with the fields in it, in one piece."""
    pieces = into_event(event, carrier, names, tuple(value.encode() for value in values))
    return None if pieces is None else b"".join(pieces)
