"""Gives an event its trace context: extract a parent, make a span id, decide sampling, inject.

What comes out is ready to be sent; nothing here waits, and nothing is recorded yet.
"""

from posix import urandom

from lrap_otel import log
from lrap_otel.http1.messages import TRACE_ID
from lrap_otel.propagation import durable, extract, inject, w3c, xray
from lrap_otel.propagation.carrier import find
from lrap_otel.propagation.carrier.model import Fitted
from lrap_otel.propagation.context import NO_SPAN_ID, NO_TRACE_ID, RANDOM, SAMPLED, SpanContext
from lrap_otel.propagation.sampling import Sampler
from lrap_otel.proxy.delivery import Delivery
from lrap_otel.proxy.event_head import CLIENT_CONTEXT, Form, event_head
from lrap_otel.sandbox.invocations import Invocation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.http1.messages import Response
    from lrap_otel.proxy.head_templates import KnownReply
    from lrap_otel.proxy.polls import Event
    from lrap_otel.sandbox.invocations import Invocations
    from lrap_otel.settings import Settings

    # The bytes to send, and what is to be recorded.
    KnownDelivery = tuple[bytes, Invocation]

_NO_HEADERS: dict[str, str] = {}
_NO_TRACE_ID, _NO_SPAN_ID = NO_TRACE_ID.encode(), NO_SPAN_ID.encode()


class Tracer:
    """Prepares deliveries, by the settings of this process."""

    __slots__ = (
        "_forms",
        "_injects",
        "_invocations",
        "_is_usual",
        "_keeps_durable_xray",
        "_keeps_sampled_xray",
        "_propagators",
        "_sampler",
        "_says",
        "_scan_limit_bytes",
        "_writes_xray",
    )

    def __init__(self, settings: "Settings", invocations: "Invocations") -> None:
        self._invocations = invocations
        self._propagators = settings.propagators
        self._injects = "none" not in settings.propagators
        self._is_usual = settings.propagators == extract.USUAL
        self._sampler = Sampler(settings.sampler, settings.sampler_argument)
        self._scan_limit_bytes = settings.scan_limit_bytes
        self._says = log.is_printed("debug")
        self._writes_xray = settings.xray_header != "never"
        # Where X-Ray traces the function, its SDK and AWS's segments hang on that header.
        is_xray_backend = not {"xray", "xray-lambda"}.isdisjoint(settings.propagators)
        self._keeps_sampled_xray = settings.xray_header == "auto" and not is_xray_backend
        self._keeps_durable_xray = settings.xray_header != "always"
        # By whether the context has a tracestate, whether X-Ray's field goes into Lambda's own, and whether the connection ends.
        self._forms = [
            [
                [
                    Form(
                        inject.field_names(settings.propagators, has_state=has_state),
                        writes_xray=writes_xray and self._injects,
                        closes=closes,
                    )
                    for closes in (False, True)
                ]
                for writes_xray in (False, True)
            ]
            for has_state in (False, True)
        ]
        if self._sampler.warning:
            settings.warnings.append(self._sampler.warning)

    def prepare(self, event: "Event", now_ns: int, closes: bool) -> Delivery:
        """The event as the runtime gets it. `closes`: the runtime has announced that its connection ends."""
        reply = event.head
        request_id, invocation_id, deadline = reply.invocation()
        from_xray = xray.parse(reply.fields.get(TRACE_ID, b"").decode("latin-1"))
        carrier = find.find(event.payload, self._scan_limit_bytes) if self._injects else None
        is_durable = self._injects and carrier is None and durable.is_invocation(event.payload)
        in_front = _from_proxy_in_front(reply) if self._injects else None
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
            # All invocations of an execution are in one trace; only the first has a caller.
            is_in_its_trace = is_durable and from_xray.trace_id_hex != ""
            if parent is None and CLIENT_CONTEXT in reply.fields and not is_in_its_trace:
                headers = find.in_client_context(reply.fields[CLIENT_CONTEXT])
                parent = extract.parent_of(self._propagators, headers, from_xray)
            self._decide(invocation, parent, from_xray, now_ns)
            if is_in_its_trace and parent is None and from_xray.parent_id_hex and from_xray.sampled is not False:
                # Under that span the execution's own spans stand, sampled or undecided: ours stands beside them.
                invocation.link = (from_xray.trace_id_hex, from_xray.parent_id_hex)
        keeps_xray = is_durable and self._keeps_durable_xray
        keeps_xray = keeps_xray or (self._keeps_sampled_xray and xray.is_traced(from_xray))
        form = self._forms[invocation.context.trace_state != ""][self._writes_xray and not keeps_xray][closes]
        values = inject.field_values(invocation.context, form.names, from_xray.lineage.encode())
        written = inject.into_event(event.payload, carrier, form.names, values) if carrier is not None else None
        payload = written or [event.payload]
        if self._says:
            self._say(invocation, from_xray, form, is_in_event=written is not None, in_front=in_front)
        parts = [event_head(reply, form, values, sum(map(len, payload))), *payload]
        return Delivery(parts, invocation if request_id else None, now_ns, is_redelivery=is_redelivery)

    def prepare_known(self, data: bytes, known: "KnownReply", now_ns: int) -> "KnownDelivery | None":
        """The same for a reply with a known head, if its event is of a known shape or has no headers, and comes for the first time;
        None where it takes a closer look. The runtime's connection goes on.

        What `prepare` finds out step by step is at hand here, in the values of two patterns.
        """
        mould, head, _, start, end = known
        shape, rest = None, start
        kept: tuple[bytes, ...] = ()
        if self._injects and end - start <= self._scan_limit_bytes:
            carrier = find.find_known(data, start, end)
            if carrier is None:
                return None
            shape, kept, rest = carrier
        if shape is None and self._injects and durable.may_be_invocation(data, start, end):
            return None
        request_id = head[mould.request_id_at].decode()
        invocation_id = head[mould.attempt_at].decode() if mould.attempt_at else ""
        if not request_id or self._invocations.find(request_id, invocation_id) is not None:
            return None
        invocation = Invocation(request_id, invocation_id, int(head[mould.deadline_at] or 0))
        if shape is not None and shape.parent_at >= 0 and self._is_usual:
            trace_id, parent_id, flags = kept[shape.parent_at : shape.parent_at + 3]
            if trace_id == _NO_TRACE_ID or parent_id == _NO_SPAN_ID:
                return None
            trace_flags = SAMPLED if flags == b"01" else int(flags, 16)
            self._go_on(invocation, trace_id.decode(), parent_id.decode(), trace_flags)
        else:
            headers = Fitted(shape, kept, rest - start) if shape is not None else _NO_HEADERS
            from_xray = mould.trace_header(head)
            self._decide(invocation, extract.parent_of(self._propagators, headers, from_xray), from_xray, now_ns)
        context = invocation.context
        keeps_xray = self._keeps_sampled_xray and mould.is_traced(head)
        form = self._forms[context.trace_state != ""][self._writes_xray and not keeps_xray][False]
        values = inject.field_values(context, form.names, head[mould.lineage_at])
        written = inject.into_shape(shape, kept, form.names, values) if shape is not None else b""
        if self._says:
            self._say(invocation, mould.trace_header(head), form, is_in_event=shape is not None, in_front=None)
        length = b"%d" % (len(written) + end - rest)
        whole = b"".join((mould.template(form).filled(head + values + (length,)), written, data[rest:end]))
        return whole, invocation

    def _say(
        self,
        invocation: Invocation,
        from_xray: xray.XRayHeader,
        form: Form,
        *,
        is_in_event: bool,
        in_front: SpanContext | None,
    ) -> None:
        """What was decided, without a payload and without a header's value."""
        context = invocation.context
        if in_front is not None:
            parent = f"{invocation.parent_span_id_hex} (of a proxy in front)"
        elif invocation.parent_span_id_hex:
            parent = f"{invocation.parent_span_id_hex} (of the event or its client context)"
        else:
            parent = "none (X-Ray's trace)" if context.trace_id_hex == from_xray.trace_id_hex else "none (a new trace)"
        where = "reply and event" if is_in_event else "reply"
        log.debug(
            f"{invocation.request_id}: trace {context.trace_id_hex}, span {context.span_id_hex}, parent {parent}, "
            f"flags {context.trace_flags}, link {invocation.link[1] or 'none'}; "
            f"injected {', '.join(form.names) or 'nothing'} into the {where}"
        )

    def _decide(
        self, invocation: Invocation, parent: SpanContext | None, from_xray: xray.XRayHeader, now_ns: int
    ) -> None:
        """Ids, sampling and link of a new invocation."""
        if parent is not None:
            self._go_on(invocation, parent.trace_id_hex, parent.span_id_hex, parent.trace_flags, parent.trace_state)
        elif from_xray.trace_id_hex:
            # X-Ray, CloudWatch and the trace then agree on the id.
            self._begin(invocation, from_xray.trace_id_hex, 0)
            if xray.is_traced(from_xray):
                invocation.link = (from_xray.trace_id_hex, from_xray.parent_id_hex)
        else:
            self._begin(invocation, f"{now_ns // 1_000_000_000:08x}{urandom(12).hex()}", RANDOM)

    def _begin(self, invocation: Invocation, trace_id_hex: str, random: int) -> None:
        """A trace begins with this invocation."""
        sampled = SAMPLED if self._sampler.decide(None, trace_id_hex) else 0
        invocation.context = SpanContext(trace_id_hex, urandom(8).hex(), random | sampled)

    def _go_on(
        self, invocation: Invocation, trace_id_hex: str, parent_id_hex: str, flags: int, trace_state: str = ""
    ) -> None:
        """A trace goes on with this invocation."""
        invocation.parent_span_id_hex = parent_id_hex
        sampled = SAMPLED if self._sampler.decide(flags, trace_id_hex) else 0
        invocation.context = SpanContext(trace_id_hex, urandom(8).hex(), flags & RANDOM | sampled, trace_state)


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
