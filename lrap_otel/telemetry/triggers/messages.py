"""What messaging triggers have in common: attributes of a batch, and links to the producers of its messages.

Sources: OpenTelemetry, "AWS Lambda", "SQS"; "Semantic conventions for messaging spans".
"""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Any, NamedTuple

from lrap_otel.propagation import b3, w3c, xray
from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.json_text import as_list, as_object, as_text, parse_object
from lrap_otel.telemetry.triggers.description import Description, LinkTo

if TYPE_CHECKING:
    from lrap_otel.propagation.context import SpanContext
    from lrap_otel.telemetry.triggers.description import Attributes

_PROCESS = "process"


class Message(NamedTuple):
    """One message: its id, where it was sent, and by which contexts its producers can be found."""

    id: str
    destination: str
    contexts: list[SpanContext]


def batch(system: str, messages: list[Message], *, is_batch: bool = True) -> Description:
    """The description of an event that brings `messages`.

    Their producers become links, one span each, never the parent. `is_batch` is false where the source only ever brings
    one message.
    """
    attributes: Attributes = {
        semconv.MESSAGING_SYSTEM: system,
        semconv.MESSAGING_OPERATION_NAME: _PROCESS,
        semconv.MESSAGING_OPERATION_TYPE: _PROCESS,
    }
    destinations = {message.destination for message in messages}
    if len(destinations) == 1 and "" not in destinations:
        attributes[semconv.MESSAGING_DESTINATION_NAME] = messages[0].destination
    if is_batch:
        attributes[semconv.MESSAGING_BATCH_MESSAGE_COUNT] = len(messages)
    if len(messages) == 1 and messages[0].id:
        attributes[semconv.MESSAGING_MESSAGE_ID] = messages[0].id
    description = Description(semconv.TRIGGER_PUBSUB, attributes)
    description.links = [
        LinkTo(context, {semconv.MESSAGING_MESSAGE_ID: message.id} if message.id else {})
        for message in messages
        for context in message.contexts
    ]
    return description


def contexts(carrier: dict[str, str], xray_header: str = "") -> list[SpanContext]:
    """The spans that a message names: one in W3C's or B3's notation in its `carrier` (names in any case), and one in
    X-Ray's, unless that is the same or is not sampled.

    A producer that nobody traces has an X-Ray header too: its own runtime's, whose unsampled Parent is made up.
    """
    headers = {name.lower(): value for name, value in carrier.items()}
    own = w3c.extract(headers) or b3.extract(headers)
    found = [own] if own is not None else []
    header = xray_header or headers.get("x-amzn-trace-id", "")
    segment = xray.context_of(xray.parse(header)) if header else None
    if segment is not None and segment.trace_flags & 1 and not _is_among(segment, found):
        found.append(segment)
    return found


def _is_among(context: SpanContext, others: list[SpanContext]) -> bool:
    ids = [(other.trace_id_hex, other.span_id_hex) for other in others]
    return (context.trace_id_hex, context.span_id_hex) in ids


def strings(value: Any) -> dict[str, str]:
    """The members of an object that are strings."""
    return {name: item for name, item in as_object(value).items() if isinstance(item, str)}


def sqs_attributes(value: Any) -> dict[str, str]:
    """A record's ``messageAttributes``; a binary one (SNS, raw delivery) counts if it is text."""
    return {
        name: as_text(attribute.get("stringValue")) or decoded_base64(attribute.get("binaryValue"))
        for name, attribute in as_object(value).items()
        if isinstance(attribute, dict)
    }


def sns_attributes(value: Any) -> dict[str, str]:
    """A notification's ``MessageAttributes``."""
    return {
        name: decoded_base64(attribute.get("Value"))
        if attribute.get("Type") == "Binary"
        else as_text(attribute.get("Value"))
        for name, attribute in as_object(value).items()
        if isinstance(attribute, dict)
    }


def envelope_attributes(body: Any) -> dict[str, str]:
    """What carries context in a queued message that wraps another: SNS without raw delivery, or EventBridge."""
    if not isinstance(body, str) or ('"MessageAttributes"' not in body and '"detail-type"' not in body):
        return {}
    inner = parse_object(body)
    if "TopicArn" in inner:
        return sns_attributes(inner.get("MessageAttributes"))
    return strings(inner.get("detail")) if "detail-type" in inner else {}


def text_of_bytes(value: Any) -> str:
    """A list of bytes, signed or not, as text; empty if it is none."""
    numbers = [number & 0xFF for number in as_list(value) if type(number) is int]
    return bytes(numbers).decode("utf-8", "replace")


def decoded_base64(value: Any) -> str:
    """Base64 as text; empty if it is neither."""
    try:
        return b64decode(as_text(value), validate=True).decode()
    except ValueError:
        return ""


def arn_part(arn: Any, number: int) -> str:
    """Part `number` of an ARN (5 is the resource); empty if it has fewer."""
    parts = as_text(arn).split(":", 5)
    return parts[number] if number < len(parts) else ""


def arn_name(arn: Any) -> str:
    """The last word of an ARN's resource: ``orders`` of ``stream/orders``."""
    return arn_part(arn, 5).rpartition("/")[2].rpartition(":")[2]
