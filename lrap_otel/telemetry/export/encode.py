"""Spans and metrics as OTLP's protobuf, by the SDK's own encoders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.trace import ReadableSpan


def traces_request(spans: Sequence[ReadableSpan]) -> bytes:
    """One export request for spans of one resource and one scope, in order.

    The SDK's encoder leaves out the W3C flags and the links' trace state; they are added.
    """
    request = encode_spans(spans)
    encoded_spans = [
        encoded
        for resource_spans in request.resource_spans
        for scope_spans in resource_spans.scope_spans
        for encoded in scope_spans.spans
    ]
    for encoded, span in zip(encoded_spans, spans, strict=True):
        encoded.flags |= span.context.trace_flags
        for encoded_link, link in zip(encoded.links, span.links, strict=True):
            encoded_link.flags |= link.context.trace_flags
            encoded_link.trace_state = link.context.trace_state.to_header()
    return request.SerializeToString()


def metrics_request(data: MetricsData) -> bytes:
    """One export request."""
    return encode_metrics(data).SerializeToString()


def rejected_spans(reply: bytes) -> int:
    """How many spans of an accepted request the collector did not take; 0 if the reply cannot be read."""
    try:
        return ExportTraceServiceResponse.FromString(reply).partial_success.rejected_spans
    except DecodeError:
        return 0


def rejected_points(reply: bytes) -> int:
    """How many data points of an accepted request the collector did not take; 0 if the reply cannot be read."""
    try:
        return ExportMetricsServiceResponse.FromString(reply).partial_success.rejected_data_points
    except DecodeError:
        return 0
