"""Where an event carries trace context: the headers that some have, and the client context.

Every event passes here before the function has it. One that matches a template takes a few calls
into C (`templates`); others are scanned (`scan`).
"""

from lrap_otel.propagation.carrier import scan
from lrap_otel.propagation.carrier.templates import ANY_HEADERS
from lrap_otel.text import json_scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.propagation.carrier.learned import Carrier, EventTemplates

# A batch has many producers and is never edited; its first bytes show it, so that it costs nothing.
_BATCHES = (b'{"Records"', b'{"records"', b'{"eventSource"', b'{"invocationId"')
# As API Gateway's passthrough template spells it.
_PASSTHROUGH_HEADERS = b'"header"'
_LONGEST_START_BYTES = max(map(len, _BATCHES))


def find(
    payload: "bytes | memoryview", limit_bytes: int, templates: "EventTemplates | None" = None
) -> "Carrier | None":
    """The carrier in an event with headers; None if there is none, or any doubt.

    Such events are those of API Gateway (REST, HTTP, WebSocket connect), Function URL, ALB, VPC
    Lattice, AppSync (``request.headers``, of authorizers ``requestHeaders``), any other object
    whose ``headers`` hold a trace field, and API Gateway's passthrough template (``params.header``,
    which is only read). None: batches, other payloads, what is not an object, not UTF-8, too deep
    or larger than `limit_bytes`. Nothing after the members that are needed is looked at.
    """
    if len(payload) > limit_bytes:
        return None
    event = payload if isinstance(payload, bytes) else _copied(payload)
    match = templates.find(event) if templates is not None else None
    try:
        if match is not None:
            if not event.isascii():
                event.decode()
            return match
        # `x in bytes` tries x as a number first, and makes and drops an error: slower than the
        # search.
        if event.startswith(_BATCHES) or (
            event.find(ANY_HEADERS) < 0 and event.find(_PASSTHROUGH_HEADERS) < 0
        ):
            return None
        event.decode()
        match = templates.find_with_escapes(event) if templates is not None else None
        return match or scan.find(event.decode("latin-1"))
    except ValueError:
        return None


def _copied(event: memoryview) -> bytes:
    """Only the first bytes of a batch, which may be large and is not looked at."""
    return bytes(event[:_LONGEST_START_BYTES] if is_batch(event) else event)


def is_batch(event: "bytes | memoryview") -> bool:
    """Whether these are records of many producers."""
    return bytes(event[:_LONGEST_START_BYTES]).startswith(_BATCHES)


def in_client_context(value: bytes) -> dict[str, str]:
    """The carrier in a client context (the JSON of ``Lambda-Runtime-Client-Context``).

    It is `w3c` if that has a traceparent, else `custom`. Names are lower-cased; members that are no
    strings are left out. Empty if the value cannot be read.
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
