"""Spans and metrics as export requests, and what their answers say."""

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.otlp import metrics, responses, traces, wire
from lrap_otel.telemetry.otlp.wire import Scope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrap_otel.telemetry.otlp.metrics import MetricsData
    from lrap_otel.telemetry.otlp.traces import Span

SCOPE = Scope(semconv.SCOPE_NAME, semconv.SCOPE_VERSION, semconv.SCHEMA_URL)


def span(of: "Span") -> bytes:
    """The message of one span, for `spans_request`."""
    return traces.encode_span(of)


def spans_request(first: "Span", encoded: "Sequence[bytes]") -> bytes:
    """One export request for encoded spans of the resource that `first` has, in order."""
    return wire.request(first.resource, SCOPE, encoded)


def metrics_request(data: "MetricsData") -> bytes:
    """One export request."""
    return metrics.metrics_request(data, SCOPE)


def rejected_spans(reply: bytes) -> int:
    """How many spans of an accepted request the collector did not take; 0 if the reply cannot be read."""
    return responses.rejected(reply)


def rejected_points(reply: bytes) -> int:
    """How many data points of an accepted request the collector did not take; 0 if the reply cannot be read."""
    return responses.rejected(reply)
