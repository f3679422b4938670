"""The identity of a span, as it is passed from one service to the next."""

SAMPLED = 1
# W3C Trace Context level 2: at least the last seven bytes of the trace id are random.
RANDOM = 2
# Ids that are invalid.
NO_TRACE_ID, NO_SPAN_ID = "0" * 32, "0" * 16


class SpanContext:
    """The identity of one span. Always valid: the ids are lower-case hex, 32 and 16 digits, and not
    all zeros.

    `trace_flags` are the eight W3C flags as they were read. `trace_state` is a tracestate field
    value, empty for none.
    """

    __slots__ = ("span_id_hex", "trace_flags", "trace_id_hex", "trace_state")

    def __init__(
        self, trace_id_hex: str, span_id_hex: str, trace_flags: int, trace_state: str = ""
    ) -> None:
        self.trace_id_hex = trace_id_hex
        self.span_id_hex = span_id_hex
        self.trace_flags = trace_flags
        self.trace_state = trace_state
