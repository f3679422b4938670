"""Requests that AWS takes: spans that say what is to be searchable, and nothing beyond its limits.

Sources: Amazon CloudWatch, "OTLP endpoints", limits; AWS X-Ray, "Annotations" of OpenTelemetry
spans.
"""

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.otlp.metrics import Metric, MetricsData
from lrap_otel.telemetry.otlp.traces import Event, Link, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from lrap_otel.telemetry.export.roles import Codec
    from lrap_otel.telemetry.otlp.wire import Attributes, Resource, Value

SPAN_LIMIT_BYTES = 200_000
POINTS_LIMIT = 1_000
# X-Ray makes other attributes metadata, which cannot be searched. It takes up to 50.
ANNOTATIONS = (
    semconv.FAAS_TRIGGER,
    semconv.FAAS_INVOCATION_ID,
    semconv.FAAS_COLDSTART,
    semconv.LRAP_TRIGGER,
    semconv.ERROR_TYPE,
    semconv.HTTP_ROUTE,
    semconv.HTTP_REQUEST_METHOD,
    semconv.HTTP_RESPONSE_STATUS_CODE,
    semconv.URL_PATH,
    semconv.MESSAGING_SYSTEM,
    semconv.MESSAGING_DESTINATION_NAME,
    semconv.MESSAGING_MESSAGE_ID,
    semconv.FAAS_DOCUMENT_COLLECTION,
    semconv.AWS_DURABLE_EXECUTION_ARN,
)
# What is left of a span that is too large, tried in turn: characters of each text, and how many
# attributes, events and links, None for all.
_CUTS = ((8_192, None), (1_024, None), (128, 64), (64, 16))


class AwsCodec:
    """As the module `inner`, with AWS's limits."""

    def __init__(self, inner: "Codec", warn: "Callable[[str], None]") -> None:
        self._inner = inner
        self._warn = warn
        self.STORED_AS = inner.STORED_AS
        self.rejected = inner.rejected
        self.size = inner.size

    def span(self, of: Span) -> "Any":
        """One span, for `spans_request`, with the names of what is to be searchable.

        A span that is too large loses the ends of its long texts.
        """
        names = [name for name in ANNOTATIONS if name in of.attributes]
        named = _copy(of, {semconv.AWS_XRAY_ANNOTATIONS: names, **of.attributes})
        encoded = self._inner.span(named)
        for characters, count in _CUTS:
            if self._inner.size(named, encoded) <= SPAN_LIMIT_BYTES:
                break
            named = _cut(named, characters, count)
            encoded = self._inner.span(named)
        return encoded

    def spans_request(self, resource: "Resource", encoded: "Sequence[Any]") -> "Any":
        """One export request."""
        return self._inner.spans_request(resource, encoded)

    def metrics_request(self, data: MetricsData) -> "Any":
        """One export request, of the first 1,000 data points."""
        left = POINTS_LIMIT
        kept = []
        for metric in data.metrics:
            points = metric.points[:left]
            left -= len(points)
            if points:
                kept.append(
                    Metric(metric.name, metric.unit, metric.description, metric.temporality, points)
                )
        lost = sum(len(metric.points) for metric in data.metrics) - (POINTS_LIMIT - left)
        if lost:
            self._warn(
                f"metrics are lost: AWS takes 1,000 data points in a request, and there are "
                f"{lost} more"
            )
        return self._inner.metrics_request(MetricsData(data.resource, kept))


def _copy(span: Span, attributes: "Attributes") -> Span:
    """Others may send the span as well, so it stays as it is."""
    copy = Span(
        *(span.name, span.kind, span.context, span.parent_span_id_hex),
        *(span.start_ns, span.end_ns, span.resource),
    )
    copy.attributes, copy.dropped_attributes = attributes, span.dropped_attributes
    copy.events, copy.dropped_events = span.events, span.dropped_events
    copy.links, copy.dropped_links = span.links, span.dropped_links
    copy.status, copy.status_message = span.status, span.status_message
    return copy


def _cut(span: Span, characters: int, count: "int | None") -> Span:
    """A copy with texts of at most so many `characters`, and so many attributes, events
    and links.
    """
    kept, dropped = _cut_attributes(span.attributes, characters, count)
    cut = _copy(span, kept)
    cut.name = span.name[:characters]
    cut.status_message = span.status_message[:characters]
    cut.dropped_attributes += dropped
    cut.events, cut.links = [], []
    for event in span.events[:count]:
        kept, dropped = _cut_attributes(event.attributes, characters, count)
        cut.events.append(
            Event(event.name[:characters], event.at_ns, kept, event.dropped_attributes + dropped)
        )
    for link in span.links[:count]:
        kept, dropped = _cut_attributes(link.attributes, characters, count)
        cut.links.append(Link(link.context, kept, link.dropped_attributes + dropped))
    cut.dropped_events += len(span.events) - len(cut.events)
    cut.dropped_links += len(span.links) - len(cut.links)
    return cut


def _cut_attributes(
    values: "Attributes", characters: int, count: "int | None"
) -> "tuple[Attributes, int]":
    """What is kept of them, and how many are not."""
    names = list(values)[:count]
    return {name: _cut_value(values[name], characters, count) for name in names}, len(values) - len(
        names
    )


def _cut_value(value: "Value", characters: int, count: "int | None") -> "Value":
    if isinstance(value, (str, bytes)):
        return value[:characters]
    if isinstance(value, dict):
        return _cut_attributes(value, characters, count)[0]
    if isinstance(value, (list, tuple)):
        return [_cut_value(each, characters, count) for each in value[:count]]
    return value
