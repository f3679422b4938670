"""OpenTelemetry's own propagators as the oracle, by their names in OTEL_PROPAGATORS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.aws import AwsXRayPropagator
from opentelemetry.propagators.aws.aws_xray_propagator import AwsXRayLambdaPropagator
from opentelemetry.propagators.b3 import B3MultiFormat, B3SingleFormat
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.context import Context

    # Trace id, span id, flags, tracestate.
    Found = tuple[str, str, int, str]

PROPAGATORS = {
    "tracecontext": TraceContextTextMapPropagator(),
    "baggage": W3CBaggagePropagator(),
    "b3": B3SingleFormat(),
    "b3multi": B3MultiFormat(),
    "xray": AwsXRayPropagator(),
    "xray-lambda": AwsXRayLambdaPropagator(),
}


class AnyCase(Getter[Any]):
    """Headers whose names are compared in any case. A value may be a list: several lines of that
    name.
    """

    def get(self, carrier: Mapping[str, Any], key: str) -> list[str] | None:
        found = [value for name, value in carrier.items() if name.lower() == key.lower()]
        return [
            line for value in found for line in ([value] if isinstance(value, str) else value)
        ] or None

    def keys(self, carrier: Mapping[str, Any]) -> list[str]:
        return list(carrier)


def composite(names: Sequence[str]) -> CompositePropagator:
    """The SDK's propagator for a value of ``OTEL_PROPAGATORS``; one ``none`` in it means none at
    all.
    """
    return CompositePropagator([] if "none" in names else [PROPAGATORS[name] for name in names])


def extracted(
    names: Sequence[str], headers: Mapping[str, Any], runtime_trace_id: str = ""
) -> Found | None:
    """The parent that the SDK finds in `headers` if Lambda's runtime has set ``_X_AMZN_TRACE_ID``
    to `runtime_trace_id`.
    """
    with pytest.MonkeyPatch.context() as patch:
        if runtime_trace_id:
            patch.setenv("_X_AMZN_TRACE_ID", runtime_trace_id)
        else:
            patch.delenv("_X_AMZN_TRACE_ID", raising=False)
        return found(composite(names).extract(headers, getter=AnyCase()))


def found(context: Context) -> Found | None:
    """The current span of `context`."""
    span = trace.get_current_span(context).get_span_context()
    if not span.is_valid:
        return None
    return (
        f"{span.trace_id:032x}",
        f"{span.span_id:016x}",
        int(span.trace_flags),
        span.trace_state.to_header(),
    )


def injected(names: Sequence[str], span: Found) -> dict[str, str]:
    """The header fields that the SDK writes for `span`, names in lower case."""
    trace_id_hex, span_id_hex, flags, state = span
    context = trace.SpanContext(
        int(trace_id_hex, 16),
        int(span_id_hex, 16),
        is_remote=False,
        trace_flags=trace.TraceFlags(flags),
        trace_state=trace.TraceState.from_header([state]),
    )
    carrier: dict[str, str] = {}
    composite(names).inject(carrier, trace.set_span_in_context(trace.NonRecordingSpan(context)))
    return {name.lower(): value for name, value in carrier.items()}
