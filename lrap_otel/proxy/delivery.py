"""An event as the runtime gets it, and what our record of it says."""

from lrap_otel.ipc import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrap_otel.sandbox.invocations import Invocation


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


def delivered(
    invocation: "Invocation",
    delivered_ns: int,
    overhead_ns: int,
    head_length: int,
    body_length: int,
    is_redelivery: bool,
) -> records.Message:
    """The `delivered` record, whose payload is the reply's head and the event, or what of it is looked at."""
    context = invocation.context
    link_trace_id_hex, link_span_id_hex = invocation.link
    return records.delivered(
        invocation.request_id,
        invocation.invocation_id,
        delivered_ns,
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
        is_redelivery,
    )


def finished(
    invocation: "Invocation",
    endpoint: str,
    duration_ns: int,
    overhead_ns: int,
    status: int,
    head_length: int,
    first_length: int,
    last_length: int,
    body_length: int,
) -> records.Message:
    """The `finished` record, whose payload is the request's head and the ends of its body."""
    return records.finished(
        invocation.request_id,
        invocation.invocation_id,
        endpoint,
        duration_ns,
        overhead_ns,
        status,
        status != 0,
        head_length,
        first_length,
        last_length,
        body_length,
    )
