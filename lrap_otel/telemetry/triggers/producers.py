"""The producers of a message: trace contexts in its attributes, headers or properties, or in a
message that it wraps.

Only the members that carry context are read.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64

from lrap_otel.propagation import b3, w3c, xray
from lrap_otel.propagation.carrier.model import NAMES
from lrap_otel.telemetry.json_text import as_list, as_object, as_text, parse_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lrap_otel.propagation.context import SpanContext

    # Members that carry context, in lower case.
    Carrier = dict[str, str]

_NAMES = frozenset(NAMES)


def contexts(carrier: Carrier, xray_header: str = "", body: Any = None) -> tuple[SpanContext, ...]:
    """The spans that a message names.

    One in W3C's or B3's notation, from its `carrier` or else from the message that its `body`
    wraps; and one in X-Ray's, unless it is the same span or not sampled. A producer that nobody
    traces has an X-Ray header too, whose unsampled Parent is made up.
    """
    own = _own(carrier)
    if own is None and isinstance(body, str):
        own = _own(_wrapped(body))
    header = xray_header or carrier.get("x-amzn-trace-id", "")
    segment = xray.context_of(xray.parse(header)) if header else None
    if (
        segment is None
        or not segment.trace_flags & 1
        or (own is not None and _is_same(segment, own))
    ):
        return (own,) if own is not None else ()
    return (own, segment) if own is not None else (segment,)


def _own(carrier: Carrier) -> SpanContext | None:
    return (w3c.extract(carrier) or b3.extract(carrier)) if carrier else None


def _is_same(one: SpanContext, other: SpanContext) -> bool:
    return (one.trace_id_hex, one.span_id_hex) == (other.trace_id_hex, other.span_id_hex)


def of_strings(value: Any) -> Carrier:
    """The strings among an object's members that carry context."""
    return {name: item for name, item in _named(value) if isinstance(item, str)}


def of_sqs_attributes(value: Any) -> Carrier:
    """The same from a record's ``messageAttributes``; a binary one (SNS, raw delivery) is used if
    it is text.
    """
    return {
        name: as_text(attribute.get("stringValue")) or _decoded_base64(attribute.get("binaryValue"))
        for name, attribute in _named(value)
        if isinstance(attribute, dict)
    }


def of_sns_attributes(value: Any) -> Carrier:
    """The same from a notification's ``MessageAttributes``."""
    return {
        name: _decoded_base64(attribute.get("Value"))
        if attribute.get("Type") == "Binary"
        else as_text(attribute.get("Value"))
        for name, attribute in _named(value)
        if isinstance(attribute, dict)
    }


def of_kafka_headers(value: Any) -> Carrier:
    """The same from a record's ``headers``: a list of objects whose values are lists of bytes."""
    return {
        name: _text_of_bytes(item) for header in as_list(value) for name, item in _named(header)
    }


def of_rabbitmq_headers(value: Any) -> Carrier:
    """The same from ``basicProperties.headers``: objects around lists of bytes."""
    return {name: _text_of_bytes(as_object(item).get("bytes")) for name, item in _named(value)}


def _named(value: Any) -> list[tuple[str, Any]]:
    """The members that may carry context, by lower-case name."""
    if not value or not isinstance(value, dict):
        return []
    return [
        (lower_name, item) for name, item in value.items() if (lower_name := name.lower()) in _NAMES
    ]


def _wrapped(body: str) -> Carrier:
    """The carrier in a message that wraps another: SNS without raw delivery, EventBridge, or one
    inside the other.
    """
    if "detail-type" not in body and "MessageAttributes" not in body:
        return {}
    inner = parse_object(body)
    if "TopicArn" in inner:
        return of_sns_attributes(inner.get("MessageAttributes")) or _event_in(
            as_text(inner.get("Message"))
        )
    return of_strings(inner.get("detail")) if "detail-type" in inner else {}


def _event_in(message: str) -> Carrier:
    """The carrier of an EventBridge event that a rule sent to a topic."""
    return of_strings(parse_object(message).get("detail")) if '"detail-type"' in message else {}


def _text_of_bytes(value: Any) -> str:
    """A list of bytes, signed or unsigned, as text; empty if it is something else."""
    numbers = [number & 0xFF for number in as_list(value) if type(number) is int]
    return bytes(numbers).decode("utf-8", "replace")


def _decoded_base64(value: Any) -> str:
    """Base64 as text; empty if it is not base64 or not text."""
    text = as_text(value)
    try:
        decoded = a2b_base64(text)
        # The decoder skips characters that are not base64.
        return decoded.decode() if b2a_base64(decoded, newline=False) == text.encode() else ""
    except ValueError:
        return ""
