"""Where an event carries trace context: the headers of HTTP-shaped events, and the client context.

Every event passes here before the function has it, so the usual ones take a few calls into C: one scan of the text up to the
last member that matters, then searches. What is not as Lambda usually writes it is left to `closer_look`.
"""

from lrap_otel import json_scan
from lrap_otel.propagation import closer_look
from lrap_otel.propagation.places import NAMES, Carrier, Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lrap_otel.propagation.places import Spot

# A batch has many producers and is never edited; it is told by its first bytes, so that it costs nothing.
_BATCHES = (b'{"Records"', b'{"records"', b'{"eventSource"', b'{"invocationId"')

_HEADERS = b'"headers":{'
_MULTI_VALUE_HEADERS = b'"multiValueHeaders":{'
_REQUEST_CONTEXT = b'"requestContext":{'
_NAMES = frozenset(NAMES)
# How both kinds of headers end.
_ANY_HEADERS = b'eaders"'


def find(event: bytes, limit_bytes: int) -> Carrier | None:
    """The carrier in an HTTP-shaped event, None where there is none, or where there is any doubt.

    HTTP-shaped are API Gateway (REST, HTTP, WebSocket connect), Function URL, ALB, VPC Lattice, and AppSync with
    ``request.headers``. Batches, other payloads, what is not an object, not UTF-8, too deep or larger than `limit_bytes`
    are None. What stands behind the members that are needed is not looked at.
    """
    if len(event) > limit_bytes or event.startswith(_BATCHES):
        return None
    count = event.count(_ANY_HEADERS)
    if count == 0:
        return None
    try:
        if not event.isascii():
            event.decode()
        return _at_a_glance(event, count) or closer_look.find(event.decode("latin-1"))
    except ValueError:
        return None


def _at_a_glance(event: bytes, count: int) -> Carrier | None:
    """The carrier of an event in the form that Lambda sends; `count` members of it, at any depth, may be headers.

    None means that it takes a closer look, not that there is none.
    """
    context, headers = event.find(_REQUEST_CONTEXT), event.find(_HEADERS)
    multi = -1 if count == 1 and headers >= 0 else event.find(_MULTI_VALUE_HEADERS)
    # These names stand nowhere else in the event, so they stand where the scan finds them.
    if context < 0 or (headers >= 0) + (multi >= 0) != count:
        return None
    last = max(headers, multi, context)
    head = event[:last].decode("latin-1")
    # They can be spelled in another way only with a backslash and a u.
    if head[:1] != "{" or head[-1] not in "{," or ("\\" in head and "\\u" in head):
        return None
    # The event's own members up to `last`. If that lies deeper in some object, the scan does not end with our brace and
    # misses a value: no error that would cost an import, as one in an array does. If it lies behind the event, it ends before.
    members, end = _object_at(head + '"":0},"":', 0)
    if (
        members is None
        or end != last + len('"":0}')
        or (context != last and type(members.get("requestContext")) is not dict)
    ):
        return None
    # A large body is not even decoded.
    text = head if context == last else event.decode("latin-1")
    carrier = Carrier(text, {}, [])
    if headers >= 0:
        end = multi if multi > headers else context
        if not _add_headers(carrier, members, headers, end):
            return None
    if multi >= 0:
        end = headers if headers > multi else context
        if not _add_multi_value_headers(carrier, members, multi, end):
            return None
    return carrier


def _object_at(text: str, start: int) -> "tuple[Any, int]":
    try:
        return json_scan.outline(text, start)
    except ValueError:
        return None, start


def _add_headers(carrier: Carrier, members: "dict[str, Any]", position: int, end: int) -> bool:
    """`end` is somewhere behind the object, or before it where `members` ends before it."""
    start = position + len(_HEADERS) - 1
    values: Any = members.get("headers")
    if end < start:
        values, end = _object_at(carrier.text, start)
    try:
        "".join(values.values())
    except (AttributeError, TypeError):
        return False
    return _add_place(carrier, start, end, values, has_arrays=False)


def _add_multi_value_headers(carrier: Carrier, members: "dict[str, Any]", position: int, end: int) -> bool:
    """See `_add_headers`."""
    start = position + len(_MULTI_VALUE_HEADERS) - 1
    arrays = members.get("multiValueHeaders")
    if end < start:
        arrays, end = _object_at(carrier.text, start)
    if type(arrays) is not dict or not set(map(type, arrays.values())) <= {list}:
        return False
    try:
        values = dict(zip(arrays, map(",".join, arrays.values()), strict=True))
    except TypeError:
        return False
    return _add_place(carrier, start, end, values, has_arrays=True)


def _add_place(carrier: Carrier, start: int, end: int, values: dict[str, str], has_arrays: bool) -> bool:
    """Look for the names that matter; False if one does not stand in `text[start:end]` plainly and once."""
    text = carrier.text
    all_names = "".join(values)
    is_lower = all_names.lower() == all_names
    names = _NAMES.intersection(values) if is_lower else [name for name in values if name.lower() in _NAMES]
    spots: dict[str, tuple[Spot, ...]] = {}
    between, behind = ('":["', '"]') if has_arrays else ('":"', '"')
    for name in names:
        value = values[name]
        member = f'"{name}{between}{value}{behind}'
        spot = text.find(member, start, end)
        lower = name.lower()
        # The scan has found this name with this value. So it is the member that stands here, if the name stands nowhere else.
        if spot < 0 or lower in spots or text.count(f'"{name}"', start, end) != 1:
            return False
        carrier.headers[lower] = value
        spots[lower] = ((spot, spot + len(name) + 3, spot + len(member)),)
    carrier.places.append(Place(start, spots, has_arrays, is_empty=not values))
    return True


def in_client_context(value: bytes) -> dict[str, str]:
    """The carrier in a client context (the JSON of ``Lambda-Runtime-Client-Context``): `w3c` where that has a traceparent, else
    `custom`.

    Names are lower-cased; members that are no strings are left out. Empty where the value cannot be read.
    """
    try:
        context = json_scan.loads(value.decode())
    except ValueError:
        return {}
    if not isinstance(context, dict):
        return {}
    w3c = _strings(context.get("w3c"))
    return w3c if "traceparent" in w3c else _strings(context.get("custom"))


def _strings(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {name.lower(): item for name, item in value.items() if isinstance(item, str)}
