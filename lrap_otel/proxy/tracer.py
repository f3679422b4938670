"""Gives an event its trace context: extract a parent, make a span id, decide sampling, inject.

What comes out is ready to be sent; nothing here waits, and nothing is recorded yet.
"""

from posix import urandom

from lrap_otel.invocations import Invocation
from lrap_otel.propagation import carriers, extract, inject, w3c, xray
from lrap_otel.propagation.context import RANDOM, SAMPLED, SpanContext
from lrap_otel.propagation.sampling import Sampler
from lrap_otel.propagation.xray import XRayHeader
from lrap_otel.proxy.delivery import Delivery
from lrap_otel.proxy.http1 import HOP_BY_HOP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.invocations import Invocations
    from lrap_otel.propagation.places import Carrier
    from lrap_otel.proxy.http1 import Response
    from lrap_otel.proxy.polls import Event
    from lrap_otel.settings import Settings

_REQUEST_ID = b"lambda-runtime-aws-request-id"
_INVOCATION_ID = b"lambda-runtime-invocation-id"
_DEADLINE = b"lambda-runtime-deadline-ms"
_XRAY = b"lambda-runtime-trace-id"
_CLIENT_CONTEXT = b"lambda-runtime-client-context"

# What a delivery's head says anew, or must not say: it leaves with a Content-Length.
_FRAMING = HOP_BY_HOP | {b"content-length", b"transfer-encoding", b"trailer"}
# What `inject.header_fields` may write; an old one beside it would contradict it.
_WITH_CONTEXT = _FRAMING.union(
    b"traceparent tracestate x-amzn-trace-id b3 x-b3-traceid x-b3-spanid x-b3-sampled x-b3-flags".split()
)
_WITH_XRAY = _WITH_CONTEXT | {_XRAY}
# Where `inject.header_fields` has X-Ray's.
_XRAY_FIELD = 1
# As Lambda spells them: a shell runtime may look for the letters.
_SPELLINGS = {
    "x-amzn-trace-id": "X-Amzn-Trace-Id",
    "lambda-runtime-trace-id": "Lambda-Runtime-Trace-Id",
    "lambda-runtime-client-context": "Lambda-Runtime-Client-Context",
}
# An event up to this size is sent in one piece with its head; of a larger one no further copy is made.
_ONE_PIECE_BYTES = 65_536


class Tracer:
    """Prepares deliveries, by the settings of this process."""

    __slots__ = (
        "_injects",
        "_invocations",
        "_keeps_sampled_xray",
        "_propagators",
        "_sampler",
        "_scan_limit_bytes",
        "_writes_xray",
    )

    def __init__(self, settings: "Settings", invocations: "Invocations") -> None:
        self._invocations = invocations
        self._propagators = settings.propagators
        self._injects = "none" not in settings.propagators
        self._sampler = Sampler(settings.sampler, settings.sampler_argument)
        self._scan_limit_bytes = settings.scan_limit_bytes
        self._writes_xray = settings.xray_header != "never"
        # Where X-Ray traces the function, its SDK and AWS's segments hang on that header.
        is_xray_backend = not {"xray", "xray-lambda"}.isdisjoint(settings.propagators)
        self._keeps_sampled_xray = settings.xray_header == "auto" and not is_xray_backend
        if self._sampler.warning:
            settings.warnings.append(self._sampler.warning)

    def prepare(self, event: "Event", now_ns: int, *, closes: bool) -> Delivery:
        """The event as the runtime gets it. `closes`: the runtime has announced that its connection ends."""
        fields = event.head.fields
        request_id = fields.get(_REQUEST_ID, b"").decode("latin-1")
        invocation_id = fields.get(_INVOCATION_ID, b"").decode("latin-1")
        xray_text = fields.get(_XRAY, b"").decode("latin-1")
        from_xray = xray.parse(xray_text)
        carrier = carriers.find(event.payload, self._scan_limit_bytes) if self._injects else None
        in_front = _from_proxy_in_front(event.head) if self._injects and b"traceparent" in fields else None
        if in_front is not None and in_front.span_id_hex == from_xray.parent_id_hex:
            from_xray.sampled = None  # that proxy wrote it, not X-Ray
        invocation = self._invocations.find(request_id, invocation_id)
        if invocation is not None and 0 < invocation.deadline_ms < now_ns // 1_000_000:
            invocation = None  # it has timed out, and this is a retry
        is_redelivery = invocation is not None
        if invocation is None:
            invocation = Invocation(request_id, invocation_id, _whole_number(fields.get(_DEADLINE, b"")))
            parent = in_front or self._parent(fields, carrier, xray_text)
            self._decide(invocation, parent, from_xray, now_ns // 1_000_000_000)
        parts = self._parts(event, carrier, invocation.context, from_xray, closes=closes)
        return Delivery(parts, invocation if request_id else None, now_ns, is_redelivery=is_redelivery)

    def _parent(self, fields: dict[bytes, bytes], carrier: "Carrier | None", xray_text: str) -> SpanContext | None:
        headers = carrier.headers if carrier is not None else {}
        parent = extract.parent_of(self._propagators, headers, xray_text)
        if parent is None and _CLIENT_CONTEXT in fields:
            headers = carriers.in_client_context(fields[_CLIENT_CONTEXT])
            parent = extract.parent_of(self._propagators, headers, xray_text)
        return parent

    def _decide(self, invocation: Invocation, parent: SpanContext | None, from_xray: XRayHeader, now_s: int) -> None:
        """Ids, sampling and link of a new invocation."""
        trace_state = ""
        if parent is not None:
            trace_id_hex, random, trace_state = parent.trace_id_hex, parent.trace_flags & RANDOM, parent.trace_state
            invocation.parent_span_id_hex = parent.span_id_hex
        elif from_xray.trace_id_hex:
            # X-Ray, CloudWatch and the trace then agree on the id.
            trace_id_hex, random = from_xray.trace_id_hex, 0
            if xray.is_traced(from_xray):
                invocation.link = (from_xray.trace_id_hex, from_xray.parent_id_hex)
        else:
            trace_id_hex, random = f"{now_s:08x}{urandom(12).hex()}", RANDOM
        sampled = SAMPLED if self._sampler.decide(parent, trace_id_hex) else 0
        invocation.context = SpanContext(trace_id_hex, urandom(8).hex(), random | sampled, trace_state)

    def _parts(
        self,
        event: "Event",
        carrier: "Carrier | None",
        context: SpanContext,
        from_xray: XRayHeader,
        *,
        closes: bool,
    ) -> tuple[bytes, ...]:
        """Head and payload with the context in both."""
        payload = event.payload
        fields = inject.header_fields(context, self._propagators, from_xray.lineage)
        replaced = _WITH_CONTEXT if fields else _FRAMING
        if carrier is not None and fields:
            payload = inject.into_event(payload, carrier, fields) or payload
        client_context = inject.with_client_context(event.head.fields.get(_CLIENT_CONTEXT, b""), fields)
        if fields and self._writes_xray and not (self._keeps_sampled_xray and xray.is_traced(from_xray)):
            fields += (("lambda-runtime-trace-id", fields[_XRAY_FIELD][1]),)
            replaced = _WITH_XRAY
        if client_context is not None:
            fields += (("lambda-runtime-client-context", client_context.decode("latin-1")),)
            replaced |= {_CLIENT_CONTEXT}
        head = _head(event.head, replaced, fields, len(payload), closes=closes)
        return (head + payload,) if len(payload) <= _ONE_PIECE_BYTES else (head, payload)


def _head(
    reply: "Response", replaced: frozenset[bytes], fields: "inject.Fields", length: int, *, closes: bool
) -> bytes:
    """The reply's head with `fields` instead of those whose names are in `replaced`, for a payload of `length` bytes."""
    added = "".join([f"\r\n{_SPELLINGS.get(name, name)}: {value}" for name, value in fields])
    if b"content-type" not in reply.fields:
        added += "\r\nContent-Type: application/json"  # Python's client crashes without one
    if closes or reply.closes:
        added += "\r\nConnection: close"
    kept = reply.without(replaced | reply.options if reply.options else replaced)
    ending = f"{added}\r\nContent-Length: {length}\r\n\r\n".encode("latin-1")
    return b"\r\n".join((reply.start_line, *kept)) + ending


def _from_proxy_in_front(reply: "Response") -> SpanContext | None:
    """The span of a proxy like ours, which alone writes these fields on the reply itself. Of two traceparents neither counts."""
    values: dict[str, list[str]] = {"traceparent": [], "tracestate": []}
    for name, value in reply.pairs:
        if name in {b"traceparent", b"tracestate"}:
            values[name.decode()].append(value.decode("latin-1"))
    if len(values["traceparent"]) != 1:
        return None
    return w3c.extract({name: ",".join(lines) for name, lines in values.items() if lines})


def _whole_number(digits: bytes) -> int:
    return int(digits) if digits.isdigit() and len(digits) < 20 else 0
