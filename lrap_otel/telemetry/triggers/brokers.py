"""Brokers of Amazon MQ: ActiveMQ and RabbitMQ."""

from __future__ import annotations

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.json_text import as_list, as_object, as_text
from lrap_otel.telemetry.triggers import times
from lrap_otel.telemetry.triggers.description import Trigger
from lrap_otel.telemetry.triggers.events import is_from
from lrap_otel.telemetry.triggers.messages import Message, batch, named
from lrap_otel.telemetry.triggers.producers import contexts, of_rabbitmq_headers, of_strings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lrap_otel.telemetry.triggers.description import Description, Event, Options


def _describe_activemq(event: Event, _options: Options) -> Description:
    messages = [_activemq_message(as_object(each)) for each in as_list(event.get("messages"))]
    return batch(semconv.SYSTEM_ACTIVEMQ, messages)


def _activemq_message(message: dict[str, Any]) -> Message:
    return Message(
        named(as_text(message.get("messageID"))),
        _queue_of(as_object(message.get("destination"))),
        made_s=times.from_milliseconds(message.get("timestamp")),
        contexts=contexts(of_strings(message.get("properties"))),
    )


def _queue_of(destination: dict[str, Any]) -> str:
    """The queue's name; EventBridge Pipes writes the member in lower case."""
    return as_text(destination.get("physicalName")) or as_text(destination.get("physicalname"))


def by_queue(records: list[Any]) -> dict[str, list[Any]]:
    """Group the records of EventBridge Pipes, each of which names its queue, into the form in which
    RabbitMQ's own events come.
    """
    queues: dict[str, list[Any]] = {}
    for record in records:
        queues.setdefault(as_text(as_object(record).get("eventSourceKey")), []).append(record)
    return queues


def _describe_rabbitmq(event: Event, _options: Options) -> Description:
    messages = [
        _rabbitmq_message(queue, as_object(as_object(each).get("basicProperties")))
        for queue, several in as_object(event.get("rmqMessagesByQueue")).items()
        for each in as_list(several)
    ]
    return batch(semconv.SYSTEM_RABBITMQ, messages)


def _rabbitmq_message(queue: str, properties: dict[str, Any]) -> Message:
    # One key holds the names of the queue and of the virtual host. The timestamp is a text without
    # a zone, so it is not used.
    return Message(
        named(as_text(properties.get("messageId"))),
        queue.rpartition("::")[0] or queue,
        contexts=contexts(of_rabbitmq_headers(properties.get("headers"))),
    )


TRIGGERS = (
    Trigger("activemq", "messages", is_from("aws:mq", "aws:amq"), _describe_activemq),
    Trigger("rabbitmq", "rmqMessagesByQueue", is_from("aws:rmq"), _describe_rabbitmq),
)
