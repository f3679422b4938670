"""The head that an event leaves with: Lambda's, with our fields instead of old ones, and with the payload's length."""

from lrap_otel.propagation import inject
from lrap_otel.proxy.http1 import HOP_BY_HOP
from lrap_otel.proxy.moulds import MouldedReply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.proxy.http1 import Response

    Texts = tuple[str, ...]

CLIENT_CONTEXT = b"lambda-runtime-client-context"

# What a delivery's head says anew, or must not say: it leaves with a Content-Length.
_FRAMING = HOP_BY_HOP | {b"content-length", b"transfer-encoding", b"trailer"}
# What `inject.field_names` may name; an old one beside it would contradict it.
_WITH_CONTEXT = _FRAMING.union(
    b"traceparent tracestate x-amzn-trace-id b3 x-b3-traceid x-b3-spanid x-b3-sampled x-b3-flags".split()
)
_WITH_XRAY = _WITH_CONTEXT | {b"lambda-runtime-trace-id"}
# Where `inject.field_values` has X-Ray's.
_XRAY_VALUE = 1
# As Lambda spells them: a shell runtime may look for the letters.
_SPELLINGS = {
    "x-amzn-trace-id": "X-Amzn-Trace-Id",
    "lambda-runtime-trace-id": "Lambda-Runtime-Trace-Id",
}


class Form:
    """Which fields of Lambda's head do not go on, and which stand behind those that do (`text`, with a place for each value).

    `names` are those of the context's fields, empty where there is none; `writes_xray`: X-Ray's goes into Lambda's own as well.
    """

    __slots__ = ("names", "replaced", "text", "text_to_end", "writes_xray")

    def __init__(self, names: "Texts", *, writes_xray: bool) -> None:
        self.names = names
        self.writes_xray = writes_xray
        self.replaced = _WITH_XRAY if writes_xray else _WITH_CONTEXT if names else _FRAMING
        added = (*names, "lambda-runtime-trace-id") if writes_xray else names
        self.text = "".join(f"\r\n{_SPELLINGS.get(name, name)}: %s" for name in added)
        self.text_to_end = f"{self.text}\r\nContent-Length: %d\r\n\r\n"


def event_head(reply: "Response", form: Form, values: "Texts", length: int, *, closes: bool) -> bytes:
    """The head of a payload of `length` bytes. `values` are those of the context's fields; `closes`: our side ends the connection."""
    written = (*values, values[_XRAY_VALUE]) if form.writes_xray else values
    # A moulded reply has no field that needs more than a look.
    if type(reply) is MouldedReply and not closes:
        return reply.without(form.replaced) + (form.text_to_end % (*written, length)).encode("latin-1")
    added = form.text % written
    replaced = form.replaced
    if type(reply) is not MouldedReply:
        client_context = inject.with_client_context(
            reply.fields.get(CLIENT_CONTEXT, b""), tuple(zip(form.names, values, strict=True))
        )
        if client_context is not None:
            added += f"\r\nLambda-Runtime-Client-Context: {client_context.decode('latin-1')}"
            replaced |= {CLIENT_CONTEXT}
        if b"content-type" not in reply.fields:
            added += "\r\nContent-Type: application/json"  # Python's client crashes without one
        replaced |= reply.options
    if closes or reply.closes:
        added += "\r\nConnection: close"
    return reply.without(replaced) + f"{added}\r\nContent-Length: {length}\r\n\r\n".encode("latin-1")
