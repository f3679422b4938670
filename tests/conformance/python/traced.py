"""A function with OpenTelemetry's own instrumentation in it; here for ``awslambdaric``."""

from __future__ import annotations

from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.aws_lambda import AwsLambdaInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def handler(event: object, context: Any) -> object:
    """The event comes back as it is, unless it says ``fail``."""
    if isinstance(event, dict) and event.get("do") == "fail":
        raise ValueError("it broke")
    return event


provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
AwsLambdaInstrumentor().instrument(tracer_provider=provider)
