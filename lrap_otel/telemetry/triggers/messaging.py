"""Messaging events: SQS, SNS, Kinesis, Firehose, Kafka (MSK and self-managed), ActiveMQ, RabbitMQ, EventBridge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.json_text import as_list, as_object, as_text
from lrap_otel.telemetry.triggers.description import Trigger
from lrap_otel.telemetry.triggers.messages import (
    Message,
    arn_name,
    arn_part,
    batch,
    contexts,
    envelope_attributes,
    sns_attributes,
    sqs_attributes,
    strings,
    text_of_bytes,
)

if TYPE_CHECKING:
    from lrap_otel.telemetry.triggers.description import Description, Event, Options

_KAFKA_SOURCES = ("aws:kafka", "SelfManagedKafka")


def records(event: Event) -> list[dict[str, Any]]:
    """The objects among ``Records``."""
    return [record for record in as_list(event.get("Records")) if isinstance(record, dict)]


def comes_from(event: Event, source: str) -> bool:
    """Whether the first record names `source`; SNS alone capitalizes the member."""
    first = records(event)[:1]
    return any(source in (record.get("eventSource"), record.get("EventSource")) for record in first)


def _describe_sqs(event: Event, _options: Options) -> Description:
    found = records(event)
    description = batch(semconv.SYSTEM_SQS, [_sqs_message(record) for record in found])
    url = _queue_url(as_text(found[0].get("eventSourceARN")))
    if url:
        description.attributes[semconv.AWS_SQS_QUEUE_URL] = url
    return description


def _sqs_message(record: dict[str, Any]) -> Message:
    carrier = sqs_attributes(record.get("messageAttributes")) or envelope_attributes(record.get("body"))
    # The system attribute; among the message attributes it would be the sender's own.
    xray_header = as_text(as_object(record.get("attributes")).get("AWSTraceHeader"))
    return Message(
        as_text(record.get("messageId")), arn_part(record.get("eventSourceARN"), 5), contexts(carrier, xray_header)
    )


def _queue_url(arn: str) -> str:
    parts = arn.split(":")
    if len(parts) != 6:
        return ""
    _, partition, _, region, account, name = parts
    domain = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
    return f"https://sqs.{region}.{domain}/{account}/{name}"


def _describe_sns(event: Event, _options: Options) -> Description:
    messages = []
    topic_arn = ""
    for record in records(event):
        notification = as_object(record.get("Sns"))
        topic_arn = as_text(notification.get("TopicArn"))
        found = contexts(sns_attributes(notification.get("MessageAttributes")))
        messages.append(Message(as_text(notification.get("MessageId")), arn_part(topic_arn, 5), found))
    description = batch(semconv.SYSTEM_SNS, messages, is_batch=len(messages) > 1)
    if topic_arn:
        description.attributes[semconv.AWS_SNS_TOPIC_ARN] = topic_arn
    return description


def _describe_kinesis(event: Event, _options: Options) -> Description:
    found = records(event)
    stream = arn_name(found[0].get("eventSourceARN"))
    description = batch(
        semconv.SYSTEM_KINESIS, [Message(as_text(record.get("eventID")), stream, []) for record in found]
    )
    if stream:
        description.attributes[semconv.AWS_KINESIS_STREAM_NAME] = stream
    return description


def _describe_firehose(event: Event, _options: Options) -> Description:
    stream = arn_name(event.get("deliveryStreamArn"))
    found = [as_object(record) for record in as_list(event.get("records"))]
    return batch(semconv.SYSTEM_FIREHOSE, [Message(as_text(record.get("recordId")), stream, []) for record in found])


def _is_kafka(event: Event) -> bool:
    return event.get("eventSource") in _KAFKA_SOURCES and isinstance(event.get("records"), dict)


def _describe_kafka(event: Event, _options: Options) -> Description:
    found = [
        record
        for partition in as_object(event.get("records")).values()
        for record in as_list(partition)
        if isinstance(record, dict)
    ]
    description = batch(semconv.SYSTEM_KAFKA, [_kafka_message(record) for record in found])
    partitions = {record.get("partition") for record in found if isinstance(record.get("partition"), int)}
    if len(partitions) == 1:
        description.attributes[semconv.MESSAGING_DESTINATION_PARTITION_ID] = str(partitions.pop())
    if len(found) == 1 and isinstance(found[0].get("offset"), int):
        description.attributes[semconv.MESSAGING_KAFKA_OFFSET] = found[0]["offset"]
    return description


def _kafka_message(record: dict[str, Any]) -> Message:
    carrier: dict[str, str] = {}
    for header in as_list(record.get("headers")):
        carrier.update({name: text_of_bytes(value) for name, value in as_object(header).items()})
    return Message("", as_text(record.get("topic")), contexts(carrier))


def _describe_activemq(event: Event, _options: Options) -> Description:
    messages = []
    for each in as_list(event.get("messages")):
        message = as_object(each)
        destination = as_text(as_object(message.get("destination")).get("physicalName"))
        found = contexts(strings(message.get("properties")))
        messages.append(Message(as_text(message.get("messageID")), destination, found))
    return batch(semconv.SYSTEM_ACTIVEMQ, messages)


def _describe_rabbitmq(event: Event, _options: Options) -> Description:
    messages = [
        _rabbitmq_message(queue, as_object(as_object(each).get("basicProperties")))
        for queue, several in as_object(event.get("rmqMessagesByQueue")).items()
        for each in as_list(several)
    ]
    return batch(semconv.SYSTEM_RABBITMQ, messages)


def _rabbitmq_message(queue: str, properties: dict[str, Any]) -> Message:
    headers = as_object(properties.get("headers"))
    carrier = {name: text_of_bytes(as_object(value).get("bytes")) for name, value in headers.items()}
    # The queue's name and the virtual host's stand in one key.
    name = queue.rpartition("::")[0] or queue
    return Message(as_text(properties.get("messageId")), name, contexts(carrier))


def _is_eventbridge(event: Event) -> bool:
    return "detail-type" in event and "detail" in event and "source" in event


def _describe_eventbridge(event: Event, _options: Options) -> Description:
    message = Message(as_text(event.get("id")), "", contexts(strings(event.get("detail"))))
    return batch(semconv.SYSTEM_EVENTBRIDGE, [message], is_batch=False)


TRIGGERS = (
    Trigger("Kafka", _is_kafka, _describe_kafka),
    Trigger("SQS", lambda event: comes_from(event, "aws:sqs"), _describe_sqs),
    Trigger("SNS", lambda event: comes_from(event, "aws:sns"), _describe_sns),
    Trigger("Kinesis", lambda event: comes_from(event, "aws:kinesis"), _describe_kinesis),
    Trigger("Firehose", lambda event: "deliveryStreamArn" in event and "records" in event, _describe_firehose),
    Trigger("ActiveMQ", lambda event: event.get("eventSource") == "aws:mq", _describe_activemq),
    Trigger("RabbitMQ", lambda event: event.get("eventSource") == "aws:rmq", _describe_rabbitmq),
    Trigger("EventBridge", _is_eventbridge, _describe_eventbridge),
)
