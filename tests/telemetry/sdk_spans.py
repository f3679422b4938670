"""Our spans as the SDK's encoder writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from lrap_otel.telemetry.export.sdk.spans import readable_span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    from lrap_otel.telemetry.otlp import traces, wire


def request_of_the_sdk(
    spans: Sequence[traces.Span], scope: wire.Scope
) -> ExportTraceServiceRequest:
    """What the SDK's encoder makes of them, with what it leaves out (tested below): W3C flags and
    the links' trace state.
    """
    readable = [readable_span(span, scope) for span in spans]
    request = encode_spans(readable)
    for encoded, span in zip(request.resource_spans[0].scope_spans[0].spans, readable, strict=True):
        encoded.flags |= span.context.trace_flags
        for encoded_link, link in zip(encoded.links, span.links, strict=True):
            encoded_link.flags |= link.context.trace_flags
            encoded_link.trace_state = link.context.trace_state.to_header()
    return request
