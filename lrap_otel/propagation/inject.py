"""Writing trace context into what the function receives, every other byte as it was."""

from _json import encode_basestring_ascii

from lrap_otel.propagation import b3, w3c, xray
from lrap_otel.propagation.carrier.model import STALE_WITH
from lrap_otel.propagation.carrier.scanned import edited, is_stale
from lrap_otel.text import json_scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.propagation.carrier.learned import Carrier
    from lrap_otel.propagation.carrier.model import Texts, Values
    from lrap_otel.propagation.carrier.scanned import Edit, Fields, Pieces
    from lrap_otel.propagation.context import SpanContext
    from lrap_otel.text.json_scan import Member

# The runtimes' HTTP clients take a header line up to 100 KB; the name and what they add count too.
_CLIENT_CONTEXT_LIMIT_BYTES = 100_000

_W3C_NAMES = ("traceparent", "tracestate")


def field_names(propagators: tuple[str, ...], *, has_state: bool) -> tuple[str, ...]:
    """The names, in lower case, of the header fields that tell whoever reads them of a context,
    with a tracestate or without one.

    W3C's and X-Ray's always, B3's where `propagators` names it, none at all for ``none``.
    """
    if not propagators or "none" in propagators:
        return ()
    names = ["traceparent", "x-amzn-trace-id"]
    if has_state:
        names.append("tracestate")
    if "b3" in propagators:
        names.append("b3")
    if "b3multi" in propagators:
        names += ["x-b3-traceid", "x-b3-spanid", "x-b3-sampled"]
    return tuple(names)


def field_values(context: "SpanContext", names: tuple[str, ...], lineage: bytes = b"") -> "Values":
    """The values of the fields of these names, which name `context` as the parent of whoever reads
    them.

    `lineage` is what `xray.parse` found in the header that this one replaces; without it Lambda
    does not see recursion.
    """
    if not names:
        return ()
    trace_id, span_id, flags = context.trace_id_hex, context.span_id_hex, context.trace_flags
    values = (
        w3c.format_traceparent(trace_id, span_id, flags),
        xray.format_header(trace_id, span_id, flags, lineage),
    )
    if len(names) == 2:
        return values
    others = {
        "tracestate": context.trace_state,
        **dict(b3.single_field(context)),
        **dict(b3.multi_fields(context)),
    }
    return (*values, *[others[name].encode() for name in names[2:]])


def into_event(
    event: "bytes | memoryview", carrier: "Carrier", names: "Texts", values: "Values"
) -> "Pieces | None":
    """`event` with the fields of these names and values in all its headers objects; None if it has
    to be left alone.

    It comes in pieces, so that the rest of a large event, after what is written, is not copied.
    `carrier` is what `carrier.find` made of this event. A member of a field's name, in any case,
    gets the field's value and name (``X-Amzn-Trace-Id`` keeps its spelling); others are added in
    front. A tracestate that belongs to another traceparent, and a ``b3`` or ``x-b3-flags`` that
    would outweigh ours, are emptied. All other bytes stay as they are.
    """
    return carrier.write(event, names, values) if names else None


def with_client_context(value: bytes, fields: "Fields") -> bytes | None:
    """A client context (the JSON of ``Lambda-Runtime-Client-Context``) with `fields`; None where it
    has to be left alone.

    Its `w3c` becomes traceparent, tracestate and the baggage it had; runtimes take that member out
    before the function sees the rest. In `custom` only members that already have a field's name
    change. All other bytes stay. The result is one line of less than 100,000 bytes.

    Source: how the runtimes' clients read it (awslambdaric 4.2.0, "w3c").
    """
    if not value or not fields:
        return None
    try:
        value.decode()
        text = value.decode("latin-1")
        json_scan.loads(text)
        members = json_scan.members(text)
        edits = [_w3c_edit(text, members, fields), *_custom_edits(text, members, fields)]
    except ValueError:
        return None
    written = b"".join(edited(value, text, edits))
    is_one_line = b"\n" not in written and b"\r" not in written
    return written if is_one_line and len(written) < _CLIENT_CONTEXT_LIMIT_BYTES else None


def _w3c_edit(text: str, members: "dict[str, Member]", fields: "Fields") -> "Edit":
    parts = [
        f'"{name}":{encode_basestring_ascii(value)}' for name, value in fields if name in _W3C_NAMES
    ]
    old = members.get("w3c")
    if old is None:
        start = text.index("{") + 1
        return start, start, f'"w3c":{{{",".join(parts)}}}' + ("," if members else "")
    start, end, _ = old
    baggage = json_scan.members(text, start).get("baggage") if text[start] == "{" else None
    if baggage is not None:
        parts.append(f'"baggage":{text[baggage[0] : baggage[1]]}')
    return start, end, f"{{{','.join(parts)}}}"


def _custom_edits(text: str, members: "dict[str, Member]", fields: "Fields") -> "list[Edit]":
    custom = members.get("custom")
    if custom is None or text[custom[0]] != "{":
        return []
    values = {name: "" for name in STALE_WITH if is_stale(name, fields)} | dict(fields)
    return [
        (start, end, encode_basestring_ascii(values[name.lower()]))
        for name, (start, end, _) in json_scan.members(text, custom[0]).items()
        if name.lower() in values
    ]
