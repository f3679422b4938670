"""Export requests, with the scope that all our telemetry has."""

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.otlp import metrics, responses, traces, wire
from lrap_otel.telemetry.otlp.wire import Scope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrap_otel.telemetry.otlp.metrics import MetricsData
    from lrap_otel.telemetry.otlp.traces import Span
    from lrap_otel.telemetry.otlp.wire import Resource

SCOPE = Scope(semconv.SCOPE_NAME, semconv.SCOPE_VERSION, semconv.SCHEMA_URL)
# What the spool calls the bytes of these spans; empty for a codec whose spans are not kept there.
STORED_AS = "protobuf"


def span(of: "Span") -> bytes:
    """The message of one span, for `spans_request`."""
    return traces.encode_span(of)


def size(of: "Span", encoded: bytes) -> int:  # noqa: ARG001 - not every exporter's spans are bytes
    """The bytes that it takes in a request."""
    return len(encoded)


def spans_request(resource: "Resource", encoded: "Sequence[bytes]") -> bytes:
    """One export request for spans of `resource` that `span` has encoded, in order."""
    return wire.request(resource, SCOPE, encoded)


def metrics_request(data: "MetricsData") -> bytes:
    """One export request."""
    return metrics.metrics_request(data, SCOPE)


def rejected(response: bytes) -> int:
    """How many spans or data points a collector that accepted a request did not take."""
    return responses.rejected(response)
