"""The content of a carrier, and a context as header fields, independent of the code that found or
wrote them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrap_otel.propagation.carrier.model import NAMES
from lrap_otel.propagation.inject import field_names, field_values, into_event, text_fields

if TYPE_CHECKING:
    from lrap_otel.propagation.carrier.model import Carrier, Fitted
    from lrap_otel.propagation.context import SpanContext


class _Absent(str):
    """A header that is absent; compared by identity, since a header may have any value."""

    __slots__ = ()


_ABSENT = _Absent()


def told(carrier: Carrier | Fitted) -> dict[str, str]:
    """The headers that matter and are present."""
    values = {name: carrier.get(name, _ABSENT) for name in NAMES}
    return {name: value for name, value in values.items() if not isinstance(value, _Absent)}


def fields_of(context: SpanContext, propagators: tuple[str, ...], lineage: str = "") -> tuple[tuple[str, str], ...]:
    """The header fields of a context, as pairs."""
    names = field_names(propagators, has_state=bool(context.trace_state))
    return text_fields(names, field_values(context, names, lineage.encode()))


def written_into(
    event: bytes, carrier: Carrier | Fitted, names: tuple[str, ...], values: tuple[str, ...]
) -> bytes | None:
    """The event with these fields written into it, in one piece."""
    pieces = into_event(event, carrier, names, tuple(value.encode() for value in values))
    return None if pieces is None else b"".join(pieces)
