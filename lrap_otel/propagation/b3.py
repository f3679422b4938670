"""B3, Zipkin's notation: one header ``b3`` or several ``x-b3-*``.

Both propagators read both; they write their own.
"""

from lrap_otel.propagation.context import SAMPLED, SpanContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.propagation.carrier.model import Headers

_HEX = "0123456789abcdefABCDEF"
_SAMPLED_VALUES = ("1", "true", "True", "d")


def extract(headers: "Headers") -> SpanContext | None:
    """The parent that B3 names among lower-cased header names: ``b3`` where it stands, else
    ``x-b3-*``.

    A trace id of 16 digits is padded. ``b3`` without a sampling state counts as sampled, ``x-b3-*``
    without one as not.

    Source: openzipkin/b3-propagation; the answers are those of OpenTelemetry's B3 propagators.
    """
    single = headers.get("b3", "")
    if single:
        return _parse_single(single)
    is_sampled = (
        headers.get("x-b3-sampled", "") in _SAMPLED_VALUES or headers.get("x-b3-flags", "") == "1"
    )
    return _context(headers.get("x-b3-traceid", ""), headers.get("x-b3-spanid", ""), is_sampled)


def _parse_single(value: str) -> SpanContext | None:
    parts = value.split("-")
    if not 2 <= len(parts) <= 4:
        return None
    return _context(parts[0], parts[1], len(parts) == 2 or parts[2] in _SAMPLED_VALUES)


def _context(trace_id: str, span_id: str, is_sampled: bool) -> SpanContext | None:
    if (
        len(trace_id) not in {16, 32}
        or len(span_id) != 16
        or trace_id.strip(_HEX)
        or span_id.strip(_HEX)
    ):
        return None
    if not (trace_id.strip("0") and span_id.strip("0")):
        return None
    return SpanContext(
        trace_id.lower().rjust(32, "0"), span_id.lower(), SAMPLED if is_sampled else 0
    )


def single_field(context: SpanContext) -> tuple[tuple[str, str], ...]:
    """What the propagator ``b3`` writes."""
    return (
        ("b3", f"{context.trace_id_hex}-{context.span_id_hex}-{context.trace_flags & SAMPLED}"),
    )


def multi_fields(context: SpanContext) -> tuple[tuple[str, str], ...]:
    """What the propagator ``b3multi`` writes."""
    return (
        ("x-b3-traceid", context.trace_id_hex),
        ("x-b3-spanid", context.span_id_hex),
        ("x-b3-sampled", f"{context.trace_flags & SAMPLED}"),
    )
