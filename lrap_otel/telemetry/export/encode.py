"""Export requests, with the scope that all our telemetry has."""

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.otlp import metrics, wire
from lrap_otel.telemetry.otlp.wire import Scope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrap_otel.telemetry.otlp.metrics import MetricsData
    from lrap_otel.telemetry.otlp.wire import Resource

SCOPE = Scope(semconv.SCOPE_NAME, semconv.SCOPE_VERSION, semconv.SCHEMA_URL)


def spans_request(resource: "Resource", encoded: "Sequence[bytes]") -> bytes:
    """One export request for spans of `resource` that `encode_span` has encoded, in order."""
    return wire.request(resource, SCOPE, encoded)


def metrics_request(data: "MetricsData") -> bytes:
    """One export request."""
    return metrics.metrics_request(data, SCOPE)
