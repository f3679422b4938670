"""What `lrap_otel.telemetry.export.encode` does, for exporters that take the SDK's objects in the
place of bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrap_otel.telemetry.export import encode
from lrap_otel.telemetry.export.sdk.metrics import sdk_metrics
from lrap_otel.telemetry.export.sdk.spans import readable_span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.trace import ReadableSpan

    from lrap_otel.telemetry.otlp import metrics, traces
    from lrap_otel.telemetry.otlp.wire import Resource


# Its spans are objects, which the spool cannot hold.
STORED_AS = ""


def span(of: traces.Span) -> ReadableSpan:
    """The SDK's span."""
    return readable_span(of, encode.SCOPE)


def size(of: traces.Span, encoded: ReadableSpan) -> int:  # noqa: ARG001 - encode's has the same parameters
    """About the bytes it takes on a wire. A gRPC server takes 4 MiB with all that goes around the
    spans.
    """
    ours = len(encode.span(of))
    return ours + ours // 8


def spans_request(resource: Resource, encoded: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:  # noqa: ARG001
    """One batch; each span has its resource."""
    return encoded


def metrics_request(data: metrics.MetricsData) -> MetricsData:
    """The SDK's metrics."""
    return sdk_metrics(data, encode.SCOPE)


def rejected(response: bytes) -> int:  # noqa: ARG001 - encode's has the same parameter
    """An exporter does not say."""
    return 0
