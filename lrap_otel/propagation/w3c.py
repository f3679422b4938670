"""W3C Trace Context, level 2: ``traceparent`` and ``tracestate``."""

from lrap_otel.propagation.context import NO_SPAN_ID, NO_TRACE_ID, RANDOM, SAMPLED, SpanContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.propagation.carrier.model import Headers

_TRACEPARENT_LENGTH = 55
_TRACE_ID_LENGTH, _SPAN_ID_LENGTH = 32, 16

# A longer tracestate is dropped, as the SDK does; the recommendation asks for 512 at least.
_TRACESTATE_LIMIT = 8192
_TRACESTATE_MEMBERS = 32
_KEY_STARTS = "abcdefghijklmnopqrstuvwxyz0123456789"
_KEY_CHARACTERS = _KEY_STARTS + "_-*/@"
_KEY_LIMIT = _VALUE_LIMIT = 256


def parse_traceparent(value: str) -> SpanContext | None:
    """Decode one ``traceparent`` field value; blanks and tabs around it do not count.

    Version 00 is exactly 55 characters; a later version may append ``-`` and more, which is
    ignored. Anything else is None, and so are all-zero ids: malformed input is traffic, not an
    exception.

    Source: W3C Trace Context, "Versioning of traceparent".
    """
    if len(value) != _TRACEPARENT_LENGTH:
        value = _without_more(value)
    try:
        version, trace_id_hex, span_id_hex, flags = value.split("-")
        digits = version + trace_id_hex + span_id_hex + flags
        # Only lower-case hex digits without blanks among them come back the same.
        is_valid = bytes.fromhex(digits).hex() == digits
    except ValueError:
        return None
    if not is_valid or len(trace_id_hex) != _TRACE_ID_LENGTH or len(span_id_hex) != _SPAN_ID_LENGTH:
        return None
    if (
        len(version) != 2
        or version == "ff"
        or trace_id_hex == NO_TRACE_ID
        or span_id_hex == NO_SPAN_ID
    ):
        return None
    return SpanContext(trace_id_hex, span_id_hex, int(flags, 16))


def _without_more(value: str) -> str:
    """As much as is known, of a value that has blanks around it or is of a later version; else
    nothing.
    """
    value = value.strip(" \t")
    is_later = value.startswith("-", _TRACEPARENT_LENGTH) and not value.startswith("00")
    return value[:_TRACEPARENT_LENGTH] if is_later or len(value) == _TRACEPARENT_LENGTH else ""


def format_traceparent(trace_id_hex: str, span_id_hex: str, trace_flags: int) -> bytes:
    """The ``traceparent``, version 00, that names a span by its ids in hex."""
    # Of the flags only sampled and random go on, as level 2 asks.
    return f"00-{trace_id_hex}-{span_id_hex}-0{trace_flags & (SAMPLED | RANDOM)}".encode()


def parse_tracestate(value: str) -> str:
    """A ``tracestate`` field value as it may be passed on: without blanks around its members and
    without empty members.

    Several fields are joined with a comma first. One malformed member, a key that comes twice, more
    than 32 members or 8,192 characters: the whole is dropped, and the result is empty.

    Source: W3C Trace Context, level 2, "tracestate Header Field Values".
    """
    if not value or len(value) > _TRACESTATE_LIMIT:
        return ""
    members = [member for part in value.split(",") if (member := part.strip(" \t"))]
    keys = {_key_of(member) for member in members}
    if "" in keys or len(keys) != len(members) or len(members) > _TRACESTATE_MEMBERS:
        return ""
    return ",".join(members)


def _key_of(member: str) -> str:
    """The key of one list member, empty if the member is malformed.

    In level 2 a key has one form, where level 1 had two: the first character is a letter or a
    digit, and ``@`` may stand anywhere after it.
    """
    key, _, value = member.partition("=")
    is_key = 0 < len(key) <= _KEY_LIMIT and key[0] in _KEY_STARTS and not key.strip(_KEY_CHARACTERS)
    is_value = (
        0 < len(value) <= _VALUE_LIMIT
        and value.isascii()
        and value.isprintable()
        and "=" not in value
    )
    return key if is_key and is_value else ""


def extract(headers: "Headers") -> SpanContext | None:
    """The parent that ``traceparent`` and ``tracestate`` name among lower-cased header names, if
    they do.
    """
    value = headers.get("traceparent", "")
    if not value:
        return None
    parent = parse_traceparent(value)
    state = headers.get("tracestate", "") if parent is not None else None
    if parent is not None and state:
        parent.trace_state = parse_tracestate(state)
    return parent
