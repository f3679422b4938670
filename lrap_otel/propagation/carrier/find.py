"""Where an event carries trace context: the headers that some have, and the client context.

Every event passes here before the function has it, so those of a shape that was met before take a few calls into C (`shapes`).
What is not as Lambda usually writes it is left to `closer_look`.
"""

from lrap_otel.propagation.carrier import scan, templates
from lrap_otel.text import json_scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.propagation.carrier.model import Carrier, Fitted, Shape

    # A shape and the values in it; where its pattern ends. Or no shape and no values; where the event begins.
    Known = tuple[Shape | None, tuple[bytes, ...], int]

# A batch has many producers and is never edited; it is told by its first bytes, so that it costs nothing.
_BATCHES = (b'{"Records"', b'{"records"', b'{"eventSource"', b'{"invocationId"')
# As API Gateway's passthrough template spells it.
_PASSTHROUGH_HEADERS = b'"header"'
_LONGEST_START_BYTES = max(map(len, _BATCHES))


def find(payload: "bytes | memoryview", limit_bytes: int) -> "Carrier | Fitted | None":
    """The carrier in an event with headers, None where there is none, or where there is any doubt.

    These are API Gateway (REST, HTTP, WebSocket connect), Function URL, ALB, VPC Lattice, AppSync (``request.headers``, of
    authorizers ``requestHeaders``), any other object whose ``headers`` hold a trace field, and API Gateway's passthrough template
    (``params.header``, which is only read). Batches, other payloads, what is not an object, not UTF-8, too deep or larger than
    `limit_bytes` are None. What stands behind the members that are needed is not looked at.
    """
    if len(payload) > limit_bytes or _is_batch(bytes(payload[:_LONGEST_START_BYTES])):
        return None
    event = bytes(payload)  # a copy only of what came as a view
    fitted = templates.find(event)
    if fitted is None and not _may_have_headers(event, 0):
        return None
    try:
        if not event.isascii():
            event.decode()
        fitted = fitted or templates.find_with_escapes(event)
        if fitted is not None:
            return fitted
        carrier = scan.find(event.decode("latin-1"))
    except ValueError:
        return None
    if carrier is not None and carrier.places:
        templates.learn(event, carrier)
    return carrier


def find_known(data: bytes, start: int, end: int) -> "Known | None":
    """The carrier in an event of a known shape, or of one without headers, which stands there in `data`; None where it takes a closer
    look.
    """
    for shape in templates.known:
        found = shape.pattern.match(data, start)
        if found is not None:
            rest = found.end()
            # What stands behind the pattern must not have headers as well, which would be the ones that count.
            if data.find(templates.ANY_HEADERS, rest) < 0 and (data.isascii() or _is_utf8(data[start:end])):
                templates.brake.in_vain = 0
                return shape, found.groups(), rest
            return None
    if _is_batch(data, start) or not _may_have_headers(data, start):
        return None, (), start
    event = data[start:end]
    fitted = templates.find_with_escapes(event) if event.find(b"\\") >= 0 and _is_utf8(event) else None
    return (fitted.shape, fitted.values, fitted.end + start) if fitted is not None else None


def _may_have_headers(data: bytes, start: int) -> bool:
    # `x in bytes` tries x as a number first, and makes and drops an error: slower than the search.
    return data.find(templates.ANY_HEADERS, start) >= 0 or data.find(_PASSTHROUGH_HEADERS, start) >= 0


def _is_batch(data: bytes, start: int = 0) -> bool:
    return data.startswith(_BATCHES, start)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except ValueError:
        return False
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
