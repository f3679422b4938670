"""Writing trace context into what the function receives, every other byte as it was."""

from _json import encode_basestring_ascii

from lrap_otel.propagation import b3, w3c, xray
from lrap_otel.propagation.carrier.model import KEEPS_ITS_SPELLING, Fitted
from lrap_otel.text import json_scan
from lrap_otel.text.patterns import Template

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrap_otel.propagation.carrier.model import Carrier, Place, Shape, Slot, Spot
    from lrap_otel.propagation.context import SpanContext
    from lrap_otel.text.json_scan import Member
    from lrap_otel.text.patterns import Piece

    Texts = tuple[str, ...]
    Values = tuple[bytes, ...]
    Fields = tuple[tuple[str, str], ...]
    Pieces = list[bytes | memoryview]
    # Start and end of what goes, and what stands there instead.
    Edit = tuple[int, int, str]

# The rest of a smaller event is copied sooner than looked at through a memoryview.
_COPIED_BYTES = 16_384

# The runtimes' HTTP clients take a header line up to 100 KB; the name and what they add count too.
_CLIENT_CONTEXT_LIMIT_BYTES = 100_000

# What must not stay as it was beside a field of ours: a tracestate belongs to its traceparent, b3 outweighs x-b3-*, and
# x-b3-flags outweighs x-b3-sampled.
_STALE_WITH = {"tracestate": "traceparent", "b3": "x-b3-traceid", "x-b3-flags": "x-b3-traceid"}

_W3C_NAMES = ("traceparent", "tracestate")


def field_names(propagators: tuple[str, ...], *, has_state: bool) -> tuple[str, ...]:
    """The names, in lower case, of the header fields that tell whoever reads them of a context, with a tracestate or without one.

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
    """The values of the fields of these names, which name `context` as the parent of whoever reads them.

    `lineage` is what `xray.parse` found in the header that this one replaces; without it Lambda does not see recursion.
    """
    if not names:
        return ()
    trace_id, span_id, flags = context.trace_id_hex.encode(), context.span_id_hex.encode(), context.trace_flags
    values = w3c.format_traceparent(trace_id, span_id, flags), xray.format_header(trace_id, span_id, flags, lineage)
    if len(names) == 2:
        return values
    others = {"tracestate": context.trace_state, **dict(b3.single_field(context)), **dict(b3.multi_fields(context))}
    return (*values, *[others[name].encode() for name in names[2:]])


def into_event(
    event: "bytes | memoryview", carrier: "Carrier | Fitted", names: "Texts", values: "Values"
) -> "Pieces | None":
    """`event` with the fields of these names and values in all its headers objects, None where it has to be left alone.

    It comes in pieces, so that the rest of a large event, behind what is written, is not copied.
    `carrier` is what `carriers.find` made of this event. A member of a field's name, in any case, gets the field's value and
    name (``X-Amzn-Trace-Id`` keeps its spelling); others are added in front. A tracestate that belongs to another
    traceparent, and a ``b3`` or ``x-b3-flags`` that would outweigh ours, are emptied. All other bytes stay as they are.
    """
    if not names:
        return None
    if isinstance(carrier, Fitted):
        rest = event[carrier.end :] if len(event) <= _COPIED_BYTES else memoryview(event)[carrier.end :]
        return [into_shape(carrier.shape, carrier.values, names, values), rest]
    return _into_places(event, carrier, text_fields(names, values))


def text_fields(names: "Texts", values: "Values") -> "Fields":
    """The fields as text."""
    return tuple([(name, value.decode()) for name, value in zip(names, values, strict=True)])


def _into_places(event: "bytes | memoryview", carrier: "Carrier", fields: "Fields") -> "Pieces | None":
    if not carrier.places:
        return None
    edits: list[Edit] = []
    for place in carrier.places:
        added = ""
        for name, value in fields:
            written = encode_basestring_ascii(value)
            if place.has_arrays:
                written = f"[{written}]"
            if name in place.spots:
                _replace(edits, carrier.text, place.spots[name], name, written)
            elif place.takes_more:
                added += f'"{name}":{written},'
        if added:
            edits.append(_addition(place, added))
        for name, ours in _STALE_WITH.items():
            is_beside_ours = place.takes_more or ours in place.spots
            if name in place.spots and is_beside_ours and _is_stale(name, fields):
                _replace(edits, carrier.text, place.spots[name], name, '[""]' if place.has_arrays else '""')
    return _edited(event, carrier.text, edits) if edits else None


def into_shape(shape: "Shape", kept: "Values", names: "Texts", values: "Values") -> bytes:
    """An event of a known shape with the fields in it, as far as the shape's pattern reaches. `kept` are the pattern's values."""
    template = shape.templates.get(names)
    if template is None:
        template = shape.templates[names] = _template(shape, names)
    if len(names) > 2 or values[-1].find(b'"') >= 0 or values[-1].find(b"\\") >= 0:
        values = tuple([encode_basestring_ascii(value.decode())[1:-1].encode() for value in values])
    return template.filled(kept + values)


def _template(shape: "Shape", names: "Texts") -> Template:
    """How fields of these names are written into events of a shape: what is kept, and in each slot what is new or has to stay.

    The values of the fields are numbered behind the groups of its pattern.
    """
    numbers = {name: number for number, name in enumerate(names, shape.pattern.groups)}
    pieces: list[Piece] = []
    for kept, slot in zip(shape.kept, shape.slots, strict=False):
        pieces += kept, *_written(slot, numbers)
    return Template([*pieces, shape.kept[-1]], shape.pattern.groups + len(names))


def _written(slot: "Slot", numbers: "dict[str, int]") -> "Sequence[Piece]":
    if not slot.name:
        return _front(slot, numbers)
    if slot.name in numbers:
        return (slot.name.encode(),) if slot.is_name else (numbers[slot.name],)
    if _STALE_WITH.get(slot.name) in numbers:
        return (slot.name.encode(),) if slot.is_name else ()
    return slot.text


def _front(slot: "Slot", numbers: "dict[str, int]") -> "Sequence[Piece]":
    between, behind = (b'":["', b'"],') if slot.has_arrays else (b'":"', b'",')
    added = [(name, number) for name, number in numbers.items() if name not in slot.names]
    return [piece for name, number in added for piece in (b'"' + name.encode() + between, number, behind)]


def _is_stale(name: str, fields: "Fields") -> bool:
    names = [name for name, _ in fields]
    return name not in names and _STALE_WITH[name] in names


def _replace(edits: "list[Edit]", text: str, spots: "tuple[Spot, ...]", name: str, written: str) -> None:
    for start, value_start, value_end in spots:
        edits.append((value_start, value_end, written))
        if name != KEEPS_ITS_SPELLING and not text.startswith(name, start + 1):
            edits.append((start + 1, start + 1 + len(name), name))


def _addition(place: "Place", added: str) -> "Edit":
    if place.is_null:
        return place.start, place.start + len("null"), f"{{{added[:-1]}}}"
    return place.start + 1, place.start + 1, added[:-1] if place.is_empty else added


def _edited(data: "bytes | memoryview", text: str, edits: "list[Edit]") -> "Pieces":
    """`data` with the edits, in one piece from the first edit to the last; `text` is the same as characters."""
    edits.sort()
    first = copied = edits[0][0]
    pieces: list[str] = []
    for start, end, new in edits:
        pieces += text[copied:start], new
        copied = end
    return [data[:first], "".join(pieces).encode("latin-1"), memoryview(data)[copied:]]


def with_client_context(value: bytes, fields: "Fields") -> bytes | None:
    """A client context (the JSON of ``Lambda-Runtime-Client-Context``) with `fields`; None where it has to be left alone.

    Its `w3c` becomes traceparent, tracestate and the baggage it had; runtimes take that member out before the function sees
    the rest. In `custom` only members that already have a field's name change. All other bytes stay. The result is one
    line of less than 100,000 bytes.

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
    edited = b"".join(_edited(value, text, edits))
    is_one_line = b"\n" not in edited and b"\r" not in edited
    return edited if is_one_line and len(edited) < _CLIENT_CONTEXT_LIMIT_BYTES else None


def _w3c_edit(text: str, members: "dict[str, Member]", fields: "Fields") -> "Edit":
    parts = [f'"{name}":{encode_basestring_ascii(value)}' for name, value in fields if name in _W3C_NAMES]
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
    values = {name: "" for name in _STALE_WITH if _is_stale(name, fields)} | dict(fields)
    return [
        (start, end, encode_basestring_ascii(values[name.lower()]))
        for name, (start, end, _) in json_scan.members(text, custom[0]).items()
        if name.lower() in values
    ]
