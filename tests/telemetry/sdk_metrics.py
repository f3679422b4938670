"""Our metrics as the SDK's encoder writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics

from lrap_otel.telemetry.export.sdk.metrics import sdk_metrics

if TYPE_CHECKING:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    from lrap_otel.telemetry.otlp import metrics, wire


def request_of_the_sdk(data: metrics.MetricsData, scope: wire.Scope) -> ExportMetricsServiceRequest:
    """What the SDK's encoder makes of them."""
    return encode_metrics(sdk_metrics(data, scope))
