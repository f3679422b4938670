"""The head that an event leaves with: Lambda's, with our fields instead of old ones, and with the payload's length."""

from lrap_otel.http1.messages import HOP_BY_HOP
from lrap_otel.propagation import inject
from lrap_otel.text.patterns import Template

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.http1.messages import Response
    from lrap_otel.text.patterns import Piece

    Texts = tuple[str, ...]

CLIENT_CONTEXT = b"lambda-runtime-client-context"

# What a delivery's head says anew, or must not say: it leaves with a Content-Length.
_FRAMING = HOP_BY_HOP | {b"content-length", b"transfer-encoding", b"trailer"}
# What `inject.field_names` may name; an old one beside it would contradict it.
_WITH_CONTEXT = _FRAMING.union(
    b"traceparent tracestate x-amzn-trace-id b3 x-b3-traceid x-b3-spanid x-b3-sampled x-b3-flags".split()
)
_WITH_XRAY = _WITH_CONTEXT | {b"lambda-runtime-trace-id"}
_CLOSE = b"\r\nConnection: close"
# Where `inject.field_values` has X-Ray's.
_XRAY_VALUE = 1
# As Lambda spells them: a shell runtime may look for the letters.
_SPELLINGS = {
    "x-amzn-trace-id": "X-Amzn-Trace-Id",
    "lambda-runtime-trace-id": "Lambda-Runtime-Trace-Id",
}


class Form:
    """Which fields of Lambda's head do not go on, and what stands behind those that do: `pieces`, with the numbers of the values of
    the context's fields and, behind those, of the length.

    `names` are those fields' names, empty where there is no context. `writes_xray`: X-Ray's value goes into Lambda's own field as
    well. `closes`: our side ends the connection.
    """

    __slots__ = ("closes", "names", "pieces", "replaced", "template")

    def __init__(self, names: "Texts", *, writes_xray: bool, closes: bool = False) -> None:
        self.names = names
        self.closes = closes
        self.replaced = _WITH_XRAY if writes_xray else _WITH_CONTEXT if names else _FRAMING
        fields = [*enumerate(names), *([(_XRAY_VALUE, "lambda-runtime-trace-id")] if writes_xray else [])]
        pieces: list[Piece] = []
        for number, name in fields:
            pieces += f"\r\n{_SPELLINGS.get(name, name)}: ".encode(), number
        self.pieces = *pieces, _CLOSE if closes else b"", b"\r\nContent-Length: ", len(names), b"\r\n\r\n"
        self.template = Template(self.pieces, len(names) + 1)


def event_head(reply: "Response", form: Form, values: tuple[bytes, ...], length: int) -> bytes:
    """The head of a payload of `length` bytes. `values` are those of the context's fields."""
    added, replaced = form.template.filled((*values, b"%d" % length)), form.replaced | reply.options
    client_context = None
    if CLIENT_CONTEXT in reply.fields:
        fields = inject.text_fields(form.names, values)
        client_context = inject.with_client_context(reply.fields[CLIENT_CONTEXT], fields)
    if client_context is not None:
        added = b"\r\nLambda-Runtime-Client-Context: " + client_context + added
        replaced |= {CLIENT_CONTEXT}
    if b"content-type" not in reply.fields:
        added = b"\r\nContent-Type: application/json" + added  # Python's client crashes without one
    if reply.closes and not form.closes:
        added = _CLOSE + added
    return reply.without(replaced) + added
