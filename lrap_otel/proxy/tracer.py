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
from lrap_otel.proxy.event_head import CLIENT_CONTEXT, Form, event_head
from lrap_otel.proxy.moulds import MouldedReply, trace_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.invocations import Invocations
    from lrap_otel.propagation.inject import Pieces
    from lrap_otel.propagation.places import Carrier, Fitted
    from lrap_otel.proxy.http1 import Response
    from lrap_otel.proxy.polls import Event
    from lrap_otel.settings import Settings

_NO_HEADERS: dict[str, str] = {}


class Tracer:
    """Prepares deliveries, by the settings of this process."""

    __slots__ = (
        "_forms",
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
        # By whether the context has a tracestate, whether X-Ray's field goes into Lambda's own, and whether the connection ends.
        self._forms = {
            (has_state, writes_xray, closes): Form(
                inject.field_names(settings.propagators, has_state=has_state),
                writes_xray=writes_xray and self._injects,
                closes=closes,
            )
            for has_state in (False, True)
            for writes_xray in (False, True)
            for closes in (False, True)
        }
        if self._sampler.warning:
            settings.warnings.append(self._sampler.warning)

    def prepare(self, event: "Event", now_ns: int, *, closes: bool) -> Delivery:
        """The event as the runtime gets it. `closes`: the runtime has announced that its connection ends."""
        reply = event.head
        request_id, invocation_id, deadline = reply.invocation()
        from_xray = trace_header(reply)
        carrier = carriers.find(event.payload, self._scan_limit_bytes) if self._injects else None
        # What came out of a mould has no fields that take more than a look.
        needs_a_look = type(reply) is not MouldedReply
        in_front = _from_proxy_in_front(reply) if needs_a_look and self._injects else None
        if in_front is not None and in_front.span_id_hex == from_xray.parent_id_hex:
            from_xray.sampled = None  # that proxy wrote it, not X-Ray
        invocation = self._invocations.find(request_id, invocation_id)
        if invocation is not None and 0 < invocation.deadline_ms < now_ns // 1_000_000:
            invocation = None  # it has timed out, and this is a retry
        is_redelivery = invocation is not None
        if invocation is None:
            deadline_ms = int(deadline) if deadline.isdecimal() and len(deadline) < 20 else 0
            invocation = Invocation(request_id, invocation_id, deadline_ms)
            parent = in_front or extract.parent_of(self._propagators, carrier or _NO_HEADERS, from_xray)
            if parent is None and needs_a_look and CLIENT_CONTEXT in reply.fields:
                headers = carriers.in_client_context(reply.fields[CLIENT_CONTEXT])
                parent = extract.parent_of(self._propagators, headers, from_xray)
            self._decide(invocation, parent, from_xray, now_ns // 1_000_000_000)
        parts = self._parts(event, carrier, invocation.context, from_xray, closes=closes)
        return Delivery(parts, invocation if request_id else None, now_ns, is_redelivery=is_redelivery)

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
        carrier: "Carrier | Fitted | None",
        context: SpanContext,
        from_xray: XRayHeader,
        *,
        closes: bool,
    ) -> "Pieces":
        """Head and payload with the context in both."""
        keeps_xray = not self._writes_xray or (self._keeps_sampled_xray and xray.is_traced(from_xray))
        form = self._forms[bool(context.trace_state), not keeps_xray, closes]
        values = inject.field_values(context, form.names, from_xray.lineage)
        written = inject.into_event(event.payload, carrier, form.names, values) if carrier is not None else None
        payload = written or [event.payload]
        return [event_head(event.head, form, values, sum(map(len, payload))), *payload]


def _from_proxy_in_front(reply: "Response") -> SpanContext | None:
    """The span of a proxy like ours, which alone writes these fields on the reply itself. Of two traceparents neither counts."""
    if b"traceparent" not in reply.fields:
        return None
    values: dict[str, list[str]] = {"traceparent": [], "tracestate": []}
    for name, value in reply.pairs:
        if name in {b"traceparent", b"tracestate"}:
            values[name.decode()].append(value.decode("latin-1"))
    if len(values["traceparent"]) != 1:
        return None
    return w3c.extract({name: ",".join(lines) for name, lines in values.items() if lines})
