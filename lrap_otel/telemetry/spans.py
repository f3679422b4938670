"""Makes spans from records, with the ids and times that the proxy decided."""

from lrap_otel.propagation.context import SAMPLED, SpanContext
from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.otlp.traces import ERROR, INTERNAL, SERVER, Event, Link, Span
from lrap_otel.telemetry.triggers.description import LinkTo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.ipc.records import Delivered
    from lrap_otel.telemetry.failures import Failure
    from lrap_otel.telemetry.limits import Limits
    from lrap_otel.telemetry.open_invocations import Invocation
    from lrap_otel.telemetry.otlp.wire import Resource
    from lrap_otel.telemetry.semconv import Attributes


def invocation_span(
    invocation: "Invocation", resource: "Resource", function_name: str, limits: "Limits"
) -> Span:
    """The span of an invocation that has ended: SERVER, named after the route where there is one,
    else the function.
    """
    delivered = invocation.delivered
    span = Span(
        invocation.description.span_name or function_name,
        SERVER,
        SpanContext(
            delivered.trace_id_hex,
            delivered.span_id_hex,
            delivered.trace_flags,
            delivered.trace_state,
        ),
        delivered.parent_span_id_hex,
        delivered.delivered_ns,
        invocation.end_ns,
        resource,
    )
    span.attributes, span.dropped_attributes = limits.applied(
        _attributes(invocation), limits.max_attributes
    )
    _add_links(span, [*_segment_links(delivered), *invocation.description.links], limits)
    _add_exception(span, invocation.failure, limits)
    if invocation.error_type:
        span.status = ERROR
        # An HTTP error has no description: the code says it all (HTTP conventions, "Status").
        span.status_message = invocation.failure.message if invocation.failure else ""
    return span


def init_span(
    context: SpanContext,
    start_ns: int,
    end_ns: int,
    failure: "Failure",
    resource: "Resource",
    limits: "Limits",
) -> Span:
    """The span of an initialization that failed: INTERNAL, a trace of its own."""
    span = Span("init", INTERNAL, context, "", min(start_ns, end_ns), end_ns, resource)
    attributes: Attributes = {semconv.FAAS_COLDSTART: True, semconv.ERROR_TYPE: failure.type}
    span.attributes, span.dropped_attributes = limits.applied(attributes, limits.max_attributes)
    _add_exception(span, failure, limits)
    span.status, span.status_message = ERROR, failure.message
    return span


def _attributes(invocation: "Invocation") -> "Attributes":
    delivered, description = invocation.delivered, invocation.description
    attributes: Attributes = {
        semconv.FAAS_TRIGGER: description.trigger,
        semconv.FAAS_INVOCATION_ID: delivered.request_id,
        semconv.FAAS_COLDSTART: delivered.cold_start,
        **invocation.head_attributes,
        **description.attributes,
    }
    if description.name:
        attributes[semconv.LRAP_TRIGGER] = description.name
    if invocation.event_age_s is not None:
        attributes[semconv.LRAP_EVENT_AGE] = invocation.event_age_s
    if invocation.item_failures is not None:
        attributes[semconv.LRAP_BATCH_ITEM_FAILURES] = invocation.item_failures
    if invocation.http_status is not None:
        attributes[semconv.HTTP_RESPONSE_STATUS_CODE] = invocation.http_status
    if invocation.refused_status:
        attributes[semconv.LRAP_RUNTIME_API_STATUS_CODE] = invocation.refused_status
    if invocation.error_type:
        attributes[semconv.ERROR_TYPE] = invocation.error_type
    return attributes


def _add_links(span: Span, links: "list[LinkTo]", limits: "Limits") -> None:
    kept = links[: limits.max_links]
    span.links = [
        Link(to.context, *limits.applied(to.attributes, limits.max_link_attributes)) for to in kept
    ]
    span.dropped_links = len(links) - len(kept)


def _segment_links(delivered: "Delivered") -> "list[LinkTo]":
    if not delivered.link_span_id_hex:
        return []
    # Only a sampled segment is ever linked (Lambda's unsampled ones are made up).
    segment = SpanContext(delivered.link_trace_id_hex, delivered.link_span_id_hex, SAMPLED)
    return [LinkTo(segment, {semconv.LRAP_LINK_SOURCE: semconv.LRAP_LINK_SOURCE_XRAY})]


def _add_exception(span: Span, failure: "Failure | None", limits: "Limits") -> None:
    if failure is None or not failure.is_exception:
        return
    if limits.max_events == 0:
        span.dropped_events = 1
        return
    attributes: Attributes = {semconv.EXCEPTION_TYPE: failure.type}
    if failure.message:
        attributes[semconv.EXCEPTION_MESSAGE] = failure.message
    if failure.stack:
        attributes[semconv.EXCEPTION_STACKTRACE] = failure.stack
    kept = limits.applied(attributes, limits.max_event_attributes)
    span.events = (Event(semconv.EXCEPTION_EVENT, span.end_ns, *kept),)
