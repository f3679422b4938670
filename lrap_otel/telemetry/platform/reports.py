"""What the platform reports of each invocation: attributes of its span, measurements, why it
failed.

Source: AWS Lambda, "Lambda Telemetry API Event schema reference", "platform.start",
"platform.runtimeDone", "platform.report".
"""

from __future__ import annotations

from lrap_otel.propagation.context import SpanContext
from lrap_otel.telemetry import json_text, semconv
from lrap_otel.telemetry.failures import TIMEOUT, Failure
from lrap_otel.telemetry.platform.phases import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lrap_otel.telemetry.open_invocations import Invocation
    from lrap_otel.telemetry.otlp.traces import Span
    from lrap_otel.telemetry.platform.batches import Event
    from lrap_otel.telemetry.semconv import Attributes

# Lambda's own names of what it measured, as X-Ray's annotations have them.
_MEASURED = {
    "responseLatency": semconv.AWS_RESPONSE_LATENCY,
    "responseDuration": semconv.AWS_RESPONSE_DURATION,
    "runtimeOverhead": semconv.AWS_RUNTIME_OVERHEAD,
    "extensionOverhead": semconv.AWS_EXTENSION_OVERHEAD,
}
# Lambda's MB is 2 to the 20th power.
_BYTES_PER_MB = 1_048_576
_SECONDS_PER_MILLISECOND = 1e-3
_SUCCESS = "success"
OUT_OF_MEMORY = "out_of_memory"
# What runtimes print when there is no memory left: Go, Java, Node.js, Python, Ruby, .NET, and
# Lambda itself.
_SIGNATURES = (
    "fatal error: runtime: out of memory",
    "java.lang.OutOfMemoryError",
    "JavaScript heap out of memory",
    "MemoryError",
    "failed to allocate memory (NoMemoryError)",
    "OutOfMemoryException",
)


class Reported:
    """One invocation, by its request id, as the proxy saw it and as the platform reports it.

    `context` is its span's and `trigger` its ``faas.trigger``: None and empty if its event did not
    come through the proxy. `span` is there once it has ended and is sampled. `later` is another
    attempt under the same id.
    """

    __slots__ = (
        "attributes",
        "context",
        "failure",
        "has_ended",
        "has_failed",
        "has_run_out_of_memory",
        "is_reported",
        "later",
        "span",
        "trigger",
    )

    def __init__(self, invocation: Invocation | None = None) -> None:
        self.context: SpanContext | None = None
        self.trigger = ""
        self.span: Span | None = None
        self.has_ended = self.has_failed = self.has_run_out_of_memory = self.is_reported = False
        self.attributes: Attributes = {}
        self.failure: Failure | None = None
        self.later: Reported | None = None
        if invocation is not None:
            self.join(invocation)

    @property
    def cause(self) -> Failure | None:
        """Why it failed, as far as is known; None if it did not."""
        is_of_memory = (
            self.has_run_out_of_memory and self.failure is not None and self.failure.type != TIMEOUT
        )
        return Failure(OUT_OF_MEMORY, is_exception=False) if is_of_memory else self.failure

    def join(self, invocation: Invocation) -> None:
        """The proxy has delivered it."""
        delivered = invocation.delivered
        self.context = SpanContext(
            delivered.trace_id_hex, delivered.span_id_hex, delivered.trace_flags
        )
        self.trigger = invocation.description.trigger

    def take(self, event: Event) -> None:
        """What `event` (``platform.runtimeDone`` or ``platform.report``) says of the span and of
        how it ended.
        """
        record = event.members
        for each in json_text.as_list(record.get("spans")):
            measured = json_text.as_object(each)
            name = _MEASURED.get(json_text.as_text(measured.get("name")), "")
            duration_ms = number(measured.get("durationMs"))
            if name and duration_ms is not None:
                self.attributes[name] = duration_ms
        self.failure = _failure(record) or self.failure

    def take_report(self, event: Event) -> Measured:
        """The same, of ``platform.report``: with what it measured."""
        self.take(event)
        self.is_reported = True
        measured = Measured(event.members)
        if measured.billed_s is not None:
            self.attributes[semconv.LRAP_BILLED_DURATION] = measured.billed_s
        if measured.memory_bytes is not None:
            self.attributes[semconv.LRAP_MEMORY_USED] = measured.memory_bytes
        self.has_run_out_of_memory = self.has_run_out_of_memory or measured.has_used_all_memory
        return measured

    def apply(self, most: int) -> None:
        """Set on the span what the platform has reported, `most` attributes in all.

        If the span has left already, nobody reads it.
        """
        span = self.span
        if span is None:
            return
        kept = dict(span.attributes)
        for name, value in self.attributes.items():
            if name in kept or len(kept) < most:
                kept[name] = value
            else:
                span.dropped_attributes += 1
        span.attributes = kept
        self.attributes = {}


class Measured:
    """The measurements of one ``platform.report``; None for each that it lacks."""

    __slots__ = (
        "billed_s",
        "duration_s",
        "extension_overhead_s",
        "has_used_all_memory",
        "memory_bytes",
        "status",
    )

    def __init__(self, record: dict[str, Any]) -> None:
        metrics = json_text.as_object(record.get("metrics"))
        self.status = json_text.as_text(record.get("status"))
        self.duration_s = _seconds(metrics.get("durationMs"))
        self.billed_s = _seconds(metrics.get("billedDurationMs"))
        used_mb, size_mb = (
            number(metrics.get("maxMemoryUsedMB")),
            number(metrics.get("memorySizeMB")),
        )
        self.memory_bytes = int(used_mb * _BYTES_PER_MB) if used_mb is not None else None
        self.has_used_all_memory = (
            used_mb is not None and size_mb is not None and used_mb >= size_mb > 0
        )
        self.extension_overhead_s: float | None = None
        for each in json_text.as_list(record.get("spans")):
            span = json_text.as_object(each)
            if span.get("name") == "extensionOverhead":
                self.extension_overhead_s = _seconds(span.get("durationMs"))


def is_out_of_memory(record: Any) -> bool:
    """Whether what a function has printed says that there is no memory left."""
    text = (
        record
        if isinstance(record, str)
        else json_text.as_text(json_text.as_object(record).get("errorType"))
    )
    return "emory" in text and any(signature in text for signature in _SIGNATURES)


def _seconds(value: Any) -> float | None:
    milliseconds = number(value)
    return None if milliseconds is None else milliseconds * _SECONDS_PER_MILLISECOND


def _failure(record: dict[str, Any]) -> Failure | None:
    """Why it failed, in the platform's words; None if it succeeded or the record has no status."""
    status = json_text.as_text(record.get("status"))
    if status in {"", _SUCCESS}:
        return None
    if status == TIMEOUT:
        return Failure(TIMEOUT, is_exception=False)
    return Failure(json_text.as_text(record.get("errorType")) or status, is_exception=False)
