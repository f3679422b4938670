"""OTLP as JSON: spans, metrics and log records, field for field what the protobuf writers encode.

Ids are hexadecimal, 64-bit numbers are texts, enumerations are numbers, bytes are base64, and what
is zero or empty is left out.

Sources: OTLP specification, "JSON Protobuf Encoding"; Protocol Buffers, "ProtoJSON Format".
"""

from _json import encode_basestring_ascii  # `json` itself takes 9 ms to import
from binascii import b2a_base64

from lrap_otel.telemetry.otlp.metrics import HistogramPoint, SumPoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lrap_otel.telemetry.otlp.logs import LogRecord
    from lrap_otel.telemetry.otlp.metrics import Exemplar, ExponentialPoint, Metric, MetricsData
    from lrap_otel.telemetry.otlp.traces import Event, Link, Span
    from lrap_otel.telemetry.otlp.wire import Attributes, Resource, Scope, Value

# See traces.py.
_IS_REMOTE_IS_KNOWN, _IS_REMOTE = 0x100, 0x200
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


def span_json(span: "Span") -> bytes:
    """The object of one span, for `spans_request`."""
    context = span.context
    is_remote = _IS_REMOTE if span.parent_span_id_hex else 0
    status = _object(_text("message", span.status_message), _number("code", span.status))
    return _object(
        _text("traceId", context.trace_id_hex),
        _text("spanId", context.span_id_hex),
        _text("traceState", context.trace_state),
        _text("parentSpanId", span.parent_span_id_hex),
        _text("name", span.name),
        _number("kind", span.kind),
        _long("startTimeUnixNano", span.start_ns),
        _long("endTimeUnixNano", span.end_ns),
        _attributes(span.attributes),
        _number("droppedAttributesCount", span.dropped_attributes),
        _list("events", map(_event, span.events)),
        _number("droppedEventsCount", span.dropped_events),
        _list("links", map(_link, span.links)),
        _number("droppedLinksCount", span.dropped_links),
        f'"status":{status}',
        _number("flags", context.trace_flags | _IS_REMOTE_IS_KNOWN | is_remote),
    ).encode("ascii")


def log_json(log: "LogRecord") -> bytes:
    """The object of one log record, for `logs_request`."""
    return _object(
        _long("timeUnixNano", log.time_ns),
        _number("severityNumber", log.severity),
        _text("severityText", log.severity_text),
        f'"body":{_any_value(log.body)}',
        _attributes(log.attributes),
        _number("droppedAttributesCount", log.dropped_attributes),
        _number("flags", log.trace_flags),
        _text("traceId", log.trace_id_hex),
        _text("spanId", log.span_id_hex),
        _long("observedTimeUnixNano", log.observed_ns),
        _text("eventName", log.event_name),
    ).encode("ascii")


def spans_request(resource: "Resource", scope: "Scope", spans: "Iterable[bytes]") -> bytes:
    """One export request with the objects that `span_json` has made, in order."""
    return _request("Spans", "spans", resource, scope, spans)


def metrics_request(data: "MetricsData", scope: "Scope") -> bytes:
    """One export request."""
    objects = [_metric(each).encode("ascii") for each in data.metrics]
    return _request("Metrics", "metrics", data.resource, scope, objects)


def logs_request(resource: "Resource", scope: "Scope", logs: "Iterable[bytes]") -> bytes:
    """One export request with the objects that `log_json` has made, in order."""
    return _request("Logs", "logRecords", resource, scope, logs)


def _request(
    signal: str, name: str, resource: "Resource", scope: "Scope", objects: "Iterable[bytes]"
) -> bytes:
    of_scope = _object(
        f'"scope":{_object(_text("name", scope.name), _text("version", scope.version))}',
        _text("schemaUrl", scope.schema_url),
    )
    of_resource = _object(
        f'"resource":{_object(_attributes(resource.attributes))}',
        _text("schemaUrl", resource.schema_url),
    )
    # Neither is ended: the list of objects is the last member of all.
    start = f'{{"resource{signal}":[{of_resource[:-1]},"scope{signal}":[{of_scope[:-1]}'
    joined = b",".join(objects)
    listed = b',"%s":[%s]' % (name.encode("ascii"), joined) if joined else b""
    return b"%s%s}]}]}" % (start.encode("ascii"), listed)


def _event(event: "Event") -> str:
    return _object(
        _long("timeUnixNano", event.at_ns),
        _text("name", event.name),
        _attributes(event.attributes),
        _number("droppedAttributesCount", event.dropped_attributes),
    )


def _link(link: "Link") -> str:
    context = link.context
    return _object(
        _text("traceId", context.trace_id_hex),
        _text("spanId", context.span_id_hex),
        _text("traceState", context.trace_state),
        _attributes(link.attributes),
        _number("droppedAttributesCount", link.dropped_attributes),
        _number("flags", context.trace_flags | _IS_REMOTE_IS_KNOWN | _IS_REMOTE),
    )


def _metric(metric: "Metric") -> str:
    first = metric.points[0]
    is_sum = isinstance(first, SumPoint)
    kind = (
        "sum"
        if is_sum
        else "histogram"
        if isinstance(first, HistogramPoint)
        else "exponentialHistogram"
    )
    of_kind = _object(
        _list("dataPoints", map(_point, metric.points)),
        _number("aggregationTemporality", metric.temporality),
        '"isMonotonic":true' if is_sum else "",
    )
    return _object(
        _text("name", metric.name),
        _text("description", metric.description),
        _text("unit", metric.unit),
        f'"{kind}":{of_kind}',
    )


def _point(point: "SumPoint | HistogramPoint | ExponentialPoint") -> str:
    common = [
        _attributes(point.attributes),
        _long("startTimeUnixNano", point.start_ns),
        _long("timeUnixNano", point.end_ns),
    ]
    if isinstance(point, SumPoint):
        return _object(*common, f'"asInt":"{point.value}"')
    common += [
        _double("sum", point.sum),
        _double("min", point.minimum),
        _double("max", point.maximum),
        _list("exemplars", map(_exemplar, point.exemplars)),
    ]
    if isinstance(point, HistogramPoint):
        return _object(
            *common,
            _long("count", sum(point.counts)),
            _longs("bucketCounts", point.counts),
            _list("explicitBounds", map(_double_value, point.bounds)),
        )
    buckets = _object(_number("offset", point.offset), _longs("bucketCounts", point.counts))
    return _object(
        *common,
        _long("count", point.count),
        _number("scale", point.scale),
        _long("zeroCount", point.zero_count),
        f'"positive":{buckets}' if point.counts else "",
    )


def _exemplar(exemplar: "Exemplar") -> str:
    return _object(
        _long("timeUnixNano", exemplar.at_ns),
        _double("asDouble", exemplar.value),
        _text("spanId", exemplar.span_id_hex),
        _text("traceId", exemplar.trace_id_hex),
    )


def _attributes(values: "Attributes") -> str:
    return _list("attributes", _key_values(values))


def _key_values(values: "Attributes") -> "list[str]":
    return [
        _object(_text("key", key), f'"value":{_any_value(value)}') for key, value in values.items()
    ]


def _any_value(value: "Value") -> str:
    """Like `wire.any_value`: a number beyond 64 bits becomes a text of its digits."""
    if isinstance(value, str):
        return f'{{"stringValue":{_quoted(value)}}}'
    if isinstance(value, bool):
        return '{"boolValue":true}' if value else '{"boolValue":false}'
    if isinstance(value, int):
        kind = "intValue" if _LEAST <= value <= _MOST else "stringValue"
        return f'{{"{kind}":"{value}"}}'
    if isinstance(value, float):
        return f'{{"doubleValue":{_double_value(value)}}}'
    return "{}" if value is None else _compound(value)


def _compound(value: "bytes | Sequence[Value] | Mapping[str, Value]") -> str:
    if isinstance(value, bytes):
        return f'{{"bytesValue":"{b2a_base64(value, newline=False).decode()}"}}'
    if isinstance(value, dict):
        return f'{{"kvlistValue":{_object(_list("values", _key_values(value)))}}}'
    return f'{{"arrayValue":{_object(_list("values", map(_any_value, value)))}}}'


def _object(*members: str) -> str:
    """An object of the `members` that are not empty."""
    return f"{{{','.join(filter(None, members))}}}"


def _text(name: str, value: str) -> str:
    return f'"{name}":{_quoted(value)}' if value else ""


def _quoted(text: str) -> str:
    """A string; a lone surrogate, which UTF-8 cannot encode, becomes a question mark."""
    return encode_basestring_ascii(
        text if text.isascii() else text.encode("utf-8", "replace").decode()
    )


def _number(name: str, value: int) -> str:
    """A number of at most 32 bits."""
    return f'"{name}":{value}' if value else ""


def _long(name: str, value: int) -> str:
    """A number of 64 bits, as a text."""
    return f'"{name}":"{value}"' if value else ""


def _double(name: str, value: float) -> str:
    """A floating-point number, which is written even if it is zero."""
    return f'"{name}":{_double_value(value)}'


def _double_value(value: float) -> str:
    text = repr(float(value))
    return {"inf": '"Infinity"', "-inf": '"-Infinity"', "nan": '"NaN"'}.get(text, text)


def _longs(name: str, values: "Sequence[int]") -> str:
    return _list(name, [f'"{value}"' for value in values])


def _list(name: str, values: "Iterable[str]") -> str:
    joined = ",".join(values)
    return f'"{name}":[{joined}]' if joined else ""
