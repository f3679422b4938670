"""Export requests as OTLP JSON. As `encode`, which makes protobuf."""

from lrap_otel.telemetry.export.encode import SCOPE
from lrap_otel.telemetry.json_text import as_object, parse_object
from lrap_otel.telemetry.otlp import json_format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrap_otel.telemetry.otlp.metrics import MetricsData
    from lrap_otel.telemetry.otlp.traces import Span
    from lrap_otel.telemetry.otlp.wire import Resource

STORED_AS = "json"
_REJECTED = ("rejectedSpans", "rejectedDataPoints", "rejectedLogRecords")


def span(of: "Span") -> bytes:
    """The object of one span, for `spans_request`."""
    return json_format.span_json(of)


def size(of: "Span", encoded: bytes) -> int:  # noqa: ARG001 - as encode's
    """The bytes that it takes in a request."""
    return len(encoded)


def spans_request(resource: "Resource", encoded: "Sequence[bytes]") -> bytes:
    """One export request for spans of `resource` that `span` has encoded, in order."""
    return json_format.spans_request(resource, SCOPE, encoded)


def metrics_request(data: "MetricsData") -> bytes:
    """One export request."""
    return json_format.metrics_request(data, SCOPE)


def rejected(response: bytes) -> int:
    """How many spans, data points or log records a collector that accepted a request did not take.

    The response is a stranger's: what is no such object means that all were taken.
    """
    partial_success = as_object(parse_object(response).get("partialSuccess"))
    counts = [partial_success.get(name, 0) for name in _REJECTED]
    return max(map(_count, counts))


def _count(value: object) -> int:
    """A 64-bit number is a text; some write it as a number all the same."""
    if isinstance(value, str):
        return int(value) if len(value) < 20 and value.isascii() and value.isdigit() else 0
    return max(value, 0) if type(value) is int else 0
