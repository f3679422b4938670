"""What Lambda answers: the heads of its replies, and how one that brings an event is rewritten."""

from lrap_otel.http1.heads import HOP_BY_HOP, Response
from lrap_otel.propagation import inject, w3c, xray
from lrap_otel.propagation.carrier.scanned import text_fields
from lrap_otel.proxy.calls import INVOCATION_ID
from lrap_otel.text.byte_format import ByteFormat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.propagation.carrier.model import Texts
    from lrap_otel.propagation.context import SpanContext
    from lrap_otel.text.byte_format import Piece

# Of a reply to ``/next``: whose event it brings, which attempt it is, and until when.
REQUEST_ID = b"lambda-runtime-aws-request-id"
DEADLINE = b"lambda-runtime-deadline-ms"
TRACE_ID = b"lambda-runtime-trace-id"
CLIENT_CONTEXT = b"lambda-runtime-client-context"
_DEADLINE_DIGITS = 19

# What a delivery's head says anew, or must not say: it leaves with a Content-Length.
_FRAMING = HOP_BY_HOP | {b"content-length", b"transfer-encoding", b"trailer"}
# What `inject.field_names` may name; an old one beside it would contradict it.
_WITH_CONTEXT = _FRAMING.union(
    b"traceparent tracestate x-amzn-trace-id b3 x-b3-traceid x-b3-spanid x-b3-sampled "
    b"x-b3-flags".split()
)
_WITH_XRAY = _WITH_CONTEXT | {TRACE_ID}
_CLOSE = b"\r\nConnection: close"
# Where `inject.field_values` has X-Ray's.
_XRAY_VALUE = 1
# As Lambda spells them: a shell runtime may look for the letters.
_SPELLINGS = {
    "x-amzn-trace-id": "X-Amzn-Trace-Id",
    "lambda-runtime-trace-id": "Lambda-Runtime-Trace-Id",
}


class HeadRewrite:
    """How to rewrite a reply's head: the fields to drop (`replaced`) and the pieces to append
    (`added`).

    `names` are those of the context's fields, whose values, and then the body's length, are
    numbered in `added`; empty if there is no context. `writes_xray`: X-Ray's value goes into
    Lambda's own field as well. `closes`: our side ends the connection.
    """

    __slots__ = ("added", "closes", "names", "replaced")

    def __init__(self, names: "Texts", *, writes_xray: bool, closes: bool = False) -> None:
        self.names = names
        self.closes = closes
        self.replaced = _WITH_XRAY if writes_xray else _WITH_CONTEXT if names else _FRAMING
        fields = [
            *enumerate(names),
            *([(_XRAY_VALUE, "lambda-runtime-trace-id")] if writes_xray else []),
        ]
        pieces: list[Piece] = []
        for number, name in fields:
            pieces += f"\r\n{_SPELLINGS.get(name, name)}: ".encode(), number
        self.added = (
            *pieces,
            _CLOSE if closes else b"",
            b"\r\nContent-Length: ",
            len(names),
            b"\r\n\r\n",
        )


class ParsedReply(Response):
    """The head of a reply of the Runtime API. `method` is the request's."""

    __slots__ = ("_trace",)
    is_recognised = False

    def __init__(self, raw: bytes, method: bytes) -> None:
        super().__init__(raw, method)
        self._trace: xray.XRayHeader | None = None

    def invocation(self) -> tuple[str, str, int]:
        """Request id and invocation id, empty if they did not come, and the deadline in Unix time,
        0 if it did not.
        """
        field = self.fields.get
        deadline = field(DEADLINE, b"")
        return (
            field(REQUEST_ID, b"").decode("latin-1"),
            field(INVOCATION_ID, b"").decode("latin-1"),
            int(deadline) if deadline.isdigit() and len(deadline) <= _DEADLINE_DIGITS else 0,
        )

    def client_context(self) -> bytes:
        """Lambda's client context, JSON; empty if none came."""
        return self.fields.get(CLIENT_CONTEXT, b"")

    def parent(self) -> "SpanContext | None":
        """The span of a proxy like ours in front of us, which alone writes these fields on the
        reply itself.

        Of two traceparents neither counts.
        """
        if b"traceparent" not in self.fields:
            return None
        parents, states = self.values_of(b"traceparent"), self.values_of(b"tracestate")
        if len(parents) != 1:
            return None
        state = {"tracestate": b",".join(states).decode("latin-1")} if states else {}
        return w3c.extract({"traceparent": parents[0].decode("latin-1"), **state})

    def trace(self) -> xray.XRayHeader:
        """What Lambda says of the event's trace."""
        if self._trace is None:
            self._trace = trace = xray.parse(self.fields.get(TRACE_ID, b"").decode("latin-1"))
            parent = self.parent()
            if parent is not None and parent.span_id_hex == trace.parent_id_hex:
                trace.sampled = None  # the proxy in front wrote it, not X-Ray
        return self._trace

    def lineage(self) -> bytes:
        """Lambda's mark against recursion, from the same field."""
        return self.trace().lineage.encode()

    def is_traced(self) -> bool:
        """X-Ray traces the function: see `xray.is_traced`."""
        return xray.is_traced(self.trace())

    def rewritten(self, rewrite: HeadRewrite, values: tuple[bytes, ...], length: int) -> bytes:
        """The head of a payload of `length` bytes. `values` are those of the context's fields."""
        added = ByteFormat(rewrite.added, len(values) + 1).fill((*values, b"%d" % length))
        replaced = rewrite.replaced | self.options
        client_context = None
        if CLIENT_CONTEXT in self.fields:
            fields = text_fields(rewrite.names, values)
            client_context = inject.with_client_context(self.fields[CLIENT_CONTEXT], fields)
        if client_context is not None:
            added = b"\r\nLambda-Runtime-Client-Context: " + client_context + added
            replaced |= {CLIENT_CONTEXT}
        if b"content-type" not in self.fields:
            added = (
                b"\r\nContent-Type: application/json" + added
            )  # Python's client crashes without one
        if self.closes and not rewrite.closes:
            added = _CLOSE + added
        return self.without(replaced) + added
