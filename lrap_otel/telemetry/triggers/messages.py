"""What messaging triggers have in common: attributes of a batch, and links to the producers of its
messages.

Sources: OpenTelemetry, "AWS Lambda", "SQS"; "Semantic conventions for messaging spans".
"""

from __future__ import annotations

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.triggers.description import Description, LinkTo
from lrap_otel.telemetry.triggers.times import oldest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.propagation.context import SpanContext
    from lrap_otel.telemetry.semconv import Attributes

_PROCESS = "process"


class Message:
    """One message: `names` identify it (its id, or what the system has instead); where and when it
    was sent; the contexts of its producers. A value that is not known is empty.
    """

    __slots__ = ("contexts", "destination", "made_s", "names", "partition")

    def __init__(
        self,
        names: Attributes,
        destination: str = "",
        partition: str = "",
        made_s: float | None = None,
        contexts: tuple[SpanContext, ...] = (),
    ) -> None:
        self.names = names
        self.destination = destination
        self.partition = partition
        self.made_s = made_s
        self.contexts = contexts


def named(message_id: str) -> Attributes:
    """The attributes that identify a message by its id."""
    return {semconv.MESSAGING_MESSAGE_ID: message_id} if message_id else {}


def batch(system: str, messages: list[Message], *, is_batch: bool = True) -> Description:
    """The description of an event with `messages`.

    Each producer becomes a link, never the parent. What identifies a message is on its link, and on
    the span if it is the only message. `is_batch` is false for sources that always send one
    message.
    """
    attributes: Attributes = {
        semconv.MESSAGING_SYSTEM: system,
        semconv.MESSAGING_OPERATION_NAME: _PROCESS,
        semconv.MESSAGING_OPERATION_TYPE: _PROCESS,
    }
    _add_shared(
        attributes,
        semconv.MESSAGING_DESTINATION_NAME,
        {message.destination for message in messages},
    )
    _add_shared(
        attributes,
        semconv.MESSAGING_DESTINATION_PARTITION_ID,
        {message.partition for message in messages},
    )
    if is_batch:
        attributes[semconv.MESSAGING_BATCH_MESSAGE_COUNT] = len(messages)
    if len(messages) == 1:
        attributes.update(messages[0].names)
    description = Description(semconv.TRIGGER_PUBSUB, attributes)
    description.links = [
        LinkTo(context, message.names) for message in messages for context in message.contexts
    ]
    description.made_s = oldest([message.made_s for message in messages])
    return description


def _add_shared(attributes: Attributes, name: str, values: set[str]) -> None:
    if len(values) == 1 and "" not in values:
        attributes[name] = next(iter(values))
