"""Log records as OTLP's protobuf.

Source: opentelemetry-proto, ``logs/v1/logs.proto``.
"""

from lrap_otel.telemetry.otlp import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrap_otel.telemetry.otlp.wire import Attributes, Resource, Scope, Value


class LogRecord:
    """One log record.

    Times are Unix nanoseconds, 0 if unknown; `severity` is OTLP's number, 0 if unknown; the ids are
    empty outside a span; `body` may be any value.
    """

    __slots__ = (
        "attributes",
        "body",
        "dropped_attributes",
        "event_name",
        "observed_ns",
        "severity",
        "severity_text",
        "span_id_hex",
        "time_ns",
        "trace_flags",
        "trace_id_hex",
    )

    def __init__(
        self, body: "Value", time_ns: int, observed_ns: int, attributes: "Attributes"
    ) -> None:
        self.body = body
        self.time_ns = time_ns
        self.observed_ns = observed_ns
        self.attributes = attributes
        self.dropped_attributes = 0
        self.severity = 0
        self.severity_text = ""
        self.trace_id_hex = ""
        self.span_id_hex = ""
        self.trace_flags = 0
        self.event_name = ""


def logs_request(resource: "Resource", scope: "Scope", logs: "Sequence[LogRecord]") -> bytes:
    """One export request, the records in order."""
    return wire.request(resource, scope, [encode_log(log) for log in logs])


def encode_log(log: LogRecord) -> bytes:
    """The message of one log record."""
    return b"".join(
        [
            wire.fixed_64(1, log.time_ns),
            wire.integer(2, log.severity),
            wire.text(3, log.severity_text),
            wire.message(5, wire.any_value(log.body)),
            wire.attributes(6, log.attributes),
            wire.integer(7, log.dropped_attributes),
            wire.fixed_32(8, log.trace_flags),
            wire.data(9, bytes.fromhex(log.trace_id_hex)),
            wire.data(10, bytes.fromhex(log.span_id_hex)),
            wire.fixed_64(11, log.observed_ns),
            wire.text(12, log.event_name),
        ]
    )
