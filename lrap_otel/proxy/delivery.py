"""An event as the runtime gets it, and what our record of it says."""

from lrap_otel.ipc import records
from lrap_otel.proxy.calls import RESULT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrap_otel.propagation.carrier.scanned import ScannedCarrier
    from lrap_otel.propagation.context import SpanContext
    from lrap_otel.proxy.capture import Capture
    from lrap_otel.sandbox.invocations import Invocation


class Delivery:
    """The bytes to send, in order.

    `invocation` is None if there is nothing to record. `scanned` is the event's carrier if no
    template matched.
    """

    __slots__ = ("delivered_ns", "invocation", "is_redelivery", "parts", "scanned")

    def __init__(
        self,
        parts: "Sequence[bytes | memoryview]",
        invocation: "Invocation | None" = None,
        delivered_ns: int = 0,
        is_redelivery: bool = False,
        scanned: "ScannedCarrier | None" = None,
    ) -> None:
        self.parts = parts
        self.invocation = invocation
        self.delivered_ns = delivered_ns
        self.is_redelivery = is_redelivery
        self.scanned = scanned


def delivered(
    delivery: Delivery,
    invocation: "Invocation",
    context: "SpanContext",
    overhead_ns: int,
    head_length: int,
    body_length: int,
) -> records.Message:
    """The `delivered` record, whose payload is the reply's head and the event, or what of it is
    looked at.
    """
    link_trace_id_hex, link_span_id_hex = invocation.link
    return records.delivered(
        invocation.request_id,
        invocation.invocation_id,
        delivery.delivered_ns,
        overhead_ns,
        head_length,
        body_length,
        context.trace_id_hex,
        context.span_id_hex,
        invocation.parent_span_id_hex,
        context.trace_flags,
        context.trace_state,
        link_trace_id_hex,
        link_span_id_hex,
        invocation.is_cold_start,
        delivery.is_redelivery,
    )


def finished(
    invocation: "Invocation", kind: int, duration_ns: int, head_length: int, capture: "Capture"
) -> records.Message:
    """The `finished` record, whose payload is the request's head and the ends of its body."""
    return records.finished(
        invocation.request_id,
        invocation.invocation_id,
        "response" if kind == RESULT else "error",
        duration_ns,
        capture.overhead_ns,
        capture.status,
        capture.status != 0,
        head_length,
        len(capture.first),
        len(capture.last),
        capture.length,
    )
