"""Gives an event its trace context: extract a parent, make a span id, decide sampling, inject.

What comes out is ready to be sent; nothing here waits, and nothing is recorded yet.
"""

from posix import urandom

from lrap_otel import log
from lrap_otel.http1.stream import ONE_PIECE_BYTES
from lrap_otel.propagation import durable, extract, inject, xray
from lrap_otel.propagation.carrier.find import find, in_client_context, is_batch
from lrap_otel.propagation.carrier.scanned import ScannedCarrier
from lrap_otel.propagation.context import RANDOM, SAMPLED, SpanContext
from lrap_otel.propagation.sampling import Sampler
from lrap_otel.proxy.replies import HeadRewrite
from lrap_otel.sandbox.invocations import Invocation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.propagation.carrier.learned import Carrier, EventTemplates
    from lrap_otel.propagation.carrier.model import Headers
    from lrap_otel.proxy.head_templates import Reply
    from lrap_otel.proxy.polls import Event
    from lrap_otel.sandbox.invocations import Invocations
    from lrap_otel.settings import Settings

_NO_HEADERS: dict[str, str] = {}


class Tracer:
    """Prepares deliveries, by the settings of this process.

    Without `templates` every event is scanned.
    """

    __slots__ = (
        "_injects",
        "_invocations",
        "_is_default",
        "_keeps_durable_xray",
        "_keeps_sampled_xray",
        "_propagators",
        "_rewrites",
        "_sampler",
        "_says",
        "_scan_limit_bytes",
        "_templates",
        "_writes_xray",
    )

    def __init__(
        self,
        settings: "Settings",
        invocations: "Invocations",
        templates: "EventTemplates | None" = None,
    ) -> None:
        self._templates = templates
        self._invocations = invocations
        self._propagators = settings.propagators
        self._injects = "none" not in settings.propagators
        self._is_default = settings.propagators == extract.DEFAULT_PROPAGATORS
        self._sampler = Sampler(settings.sampler, settings.sampler_argument)
        self._scan_limit_bytes = settings.scan_limit_bytes
        self._says = log.is_printed("debug")
        self._writes_xray = settings.xray_header != "never"
        # Where X-Ray traces the function, its SDK and AWS's segments hang on that header.
        is_xray_backend = not {"xray", "xray-lambda"}.isdisjoint(settings.propagators)
        self._keeps_sampled_xray = settings.xray_header == "auto" and not is_xray_backend
        self._keeps_durable_xray = settings.xray_header != "always"
        # By whether the context has a tracestate, whether X-Ray's field goes into Lambda's own, and
        # whether the connection ends.
        self._rewrites = [
            HeadRewrite(
                inject.field_names(settings.propagators, has_state=has_state),
                writes_xray=writes_xray and self._injects,
                closes=closes,
            )
            for has_state in (False, True)
            for writes_xray in (False, True)
            for closes in (False, True)
        ]
        if self._sampler.warning:
            settings.warnings.append(self._sampler.warning)

    def prepare(self, event: "Event", now_ns: int, closes: bool) -> "Event":
        """The same event, and in it how the runtime gets it.

        `closes`: the runtime has announced that its connection ends.
        """
        reply, payload = event.head, event.payload
        carrier, is_durable = None, False
        if self._injects:
            carrier = find(payload, self._scan_limit_bytes, self._templates)
            if carrier is None and not is_batch(payload):
                is_durable = durable.is_invocation(payload)
        request_id, invocation_id, deadline_ms = reply.invocation()
        invocation = self._invocations.find(request_id, invocation_id)
        if invocation is not None and 0 < invocation.deadline_ms < now_ns // 1_000_000:
            invocation = None  # it has timed out, and this is a retry
        is_redelivery = invocation is not None
        if invocation is None:
            invocation = Invocation(request_id, invocation_id, deadline_ms)
            self._decide(invocation, reply, carrier, is_durable, now_ns)
        context = invocation.context
        keeps_xray = (self._keeps_sampled_xray and reply.is_traced()) or (
            is_durable and self._keeps_durable_xray
        )
        rewrite = self._rewrites[
            (4 if context.trace_state else 0)
            + (2 if self._writes_xray and not keeps_xray else 0)
            + (1 if closes else 0)
        ]
        names = rewrite.names
        values = inject.field_values(context, names, reply.lineage())
        written = (
            inject.into_event(payload, carrier, names, values) if carrier is not None else None
        )
        parts: list[bytes | memoryview] = [payload] if written is None else written
        length = len(parts[0]) if len(parts) == 1 else sum(map(len, parts))
        parts.insert(0, reply.rewritten(rewrite, values, length))
        if length <= ONE_PIECE_BYTES:
            parts = [b"".join(parts)]
        if self._says:
            self._say(invocation, reply, rewrite, is_in_event=written is not None)
        event.parts = parts
        event.invocation = invocation
        event.delivered_ns = now_ns
        event.is_redelivery = is_redelivery
        event.scanned = carrier if isinstance(carrier, ScannedCarrier) else None
        return event

    def learn(self, event: "Event", scanned: ScannedCarrier) -> None:
        """Learn from an event that has been delivered and had to be scanned."""
        if self._templates is not None:
            self._templates.learn(event.payload, scanned)

    def _decide(
        self,
        invocation: Invocation,
        reply: "Reply",
        carrier: "Carrier | None",
        is_durable: bool,
        now_ns: int,
    ) -> None:
        """Ids, sampling and link of a new invocation."""
        parent = reply.parent() if self._injects else None
        if parent is None and carrier is not None:
            parent = carrier.parent() if self._is_default else self._parent_of(carrier, reply)
        if parent is not None:
            self._continue_trace(invocation, parent)
            return
        from_xray = reply.trace()
        # All invocations of an execution are in one trace; only the first has a caller.
        is_in_its_trace = is_durable and from_xray.trace_id_hex != ""
        if carrier is None and not self._is_default:
            parent = self._parent_of(_NO_HEADERS, reply)
        client_context = reply.client_context() if parent is None and not is_in_its_trace else b""
        if client_context:
            parent = self._parent_of(in_client_context(client_context), reply)
        if parent is not None:
            self._continue_trace(invocation, parent)
            return
        if from_xray.trace_id_hex:
            # X-Ray, CloudWatch and the trace then agree on the id.
            self._start_trace(invocation, from_xray.trace_id_hex, 0)
            is_in_execution = (
                is_in_its_trace and from_xray.parent_id_hex and from_xray.sampled is not False
            )
            # The execution's own spans, sampled or undecided, are children of that span: ours is
            # beside them.
            if is_in_execution or xray.is_traced(from_xray):
                invocation.link = (from_xray.trace_id_hex, from_xray.parent_id_hex)
        else:
            self._start_trace(
                invocation, f"{now_ns // 1_000_000_000:08x}{urandom(12).hex()}", RANDOM
            )

    def _parent_of(self, headers: "Headers", reply: "Reply") -> SpanContext | None:
        return extract.parent_of(self._propagators, headers, reply.trace())

    def _start_trace(self, invocation: Invocation, trace_id_hex: str, random: int) -> None:
        """A trace begins with this invocation."""
        sampled = SAMPLED if self._sampler.decide(None, trace_id_hex) else 0
        invocation.context = SpanContext(trace_id_hex, urandom(8).hex(), random | sampled)

    def _continue_trace(self, invocation: Invocation, parent: SpanContext) -> None:
        """A trace goes on with this invocation. The parent's context becomes ours."""
        invocation.parent_span_id_hex = parent.span_id_hex
        flags = parent.trace_flags
        parent.span_id_hex = urandom(8).hex()
        sampled = SAMPLED if self._sampler.decide(flags, parent.trace_id_hex) else 0
        parent.trace_flags = flags & RANDOM | sampled
        invocation.context = parent

    def _say(
        self, invocation: Invocation, reply: "Reply", rewrite: HeadRewrite, *, is_in_event: bool
    ) -> None:
        """What was decided, without a payload and without a header's value."""
        context = invocation.context
        if self._injects and reply.parent() is not None:
            parent = f"{invocation.parent_span_id_hex} (of a proxy in front)"
        elif invocation.parent_span_id_hex:
            parent = f"{invocation.parent_span_id_hex} (of the event or its client context)"
        else:
            is_xrays = context.trace_id_hex == reply.trace().trace_id_hex
            parent = "none (X-Ray's trace)" if is_xrays else "none (a new trace)"
        where = "reply and event" if is_in_event else "reply"
        log.debug(
            f"{invocation.request_id}: trace {context.trace_id_hex}, span {context.span_id_hex}, "
            f"parent {parent}, "
            f"flags {context.trace_flags}, link {invocation.link[1] or 'none'}; "
            f"injected {', '.join(rewrite.names) or 'nothing'} into the {where}"
        )
