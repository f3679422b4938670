"""An event as the runtime gets it, and what our record of it says."""

from lrap_otel import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrap_otel.invocations import Invocation
    from lrap_otel.proxy.polls import Event


class Delivery:
    """The bytes to send, in order; `invocation` is None where there is nothing to record."""

    __slots__ = ("delivered_ns", "invocation", "is_redelivery", "parts")

    def __init__(
        self,
        parts: "Sequence[bytes | memoryview]",
        invocation: "Invocation | None" = None,
        delivered_ns: int = 0,
        *,
        is_redelivery: bool = False,
    ) -> None:
        self.parts = parts
        self.invocation = invocation
        self.delivered_ns = delivered_ns
        self.is_redelivery = is_redelivery

    def record(self, invocation: "Invocation", overhead_ns: int, event: "Event") -> records.Message:
        """The `delivered` record, its payload being the reply's head and the event, both as they came."""
        context = invocation.context
        return records.delivered(
            request_id=invocation.request_id,
            invocation_id=invocation.invocation_id,
            delivered_ns=self.delivered_ns,
            overhead_ns=overhead_ns,
            head_length=len(event.head.raw),
            body_length=len(event.payload),
            trace_id_hex=context.trace_id_hex,
            span_id_hex=context.span_id_hex,
            parent_span_id_hex=invocation.parent_span_id_hex,
            trace_flags=context.trace_flags,
            trace_state=context.trace_state,
            link_trace_id_hex=invocation.link[0],
            link_span_id_hex=invocation.link[1],
            cold_start=invocation.is_cold_start,
            is_redelivery=self.is_redelivery,
        )
