"""Messages that AWS passes on: SQS, SNS, EventBridge (any bus, any source), also nested in one
another.
"""

from __future__ import annotations

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.json_text import as_object, as_text
from lrap_otel.telemetry.triggers import times
from lrap_otel.telemetry.triggers.description import Trigger
from lrap_otel.telemetry.triggers.events import arn_part, has, holds_records_of, records
from lrap_otel.telemetry.triggers.messages import Message, batch, named
from lrap_otel.telemetry.triggers.producers import (
    contexts,
    of_sns_attributes,
    of_sqs_attributes,
    of_strings,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lrap_otel.telemetry.triggers.description import Description, Event, Options


def _describe_sqs(event: Event, _options: Options) -> Description:
    found = records(event)
    description = batch(semconv.SYSTEM_SQS, [_sqs_message(record) for record in found])
    url = _queue_url(as_text(found[0].get("eventSourceARN"))) if found else ""
    if url:
        description.attributes[semconv.AWS_SQS_QUEUE_URL] = url
    description.result_names_failures = True
    return description


def _sqs_message(record: dict[str, Any]) -> Message:
    system = as_object(record.get("attributes"))
    return Message(
        named(as_text(record.get("messageId"))),
        arn_part(record.get("eventSourceARN"), 5),
        made_s=times.from_milliseconds(system.get("SentTimestamp")),
        contexts=contexts(
            of_sqs_attributes(record.get("messageAttributes")),
            # The system attribute. A message attribute of that name is the sender's own.
            as_text(system.get("AWSTraceHeader")),
            record.get("body"),
        ),
    )


def _queue_url(arn: str) -> str:
    parts = arn.split(":")
    if len(parts) != 6:
        return ""
    _, partition, _, region, account, name = parts
    domain = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
    return f"https://sqs.{region}.{domain}/{account}/{name}"


def _describe_sns(event: Event, _options: Options) -> Description:
    notifications = [as_object(record.get("Sns")) for record in records(event)]
    messages = [_sns_message(notification) for notification in notifications]
    description = batch(semconv.SYSTEM_SNS, messages, is_batch=len(messages) > 1)
    topic_arn = as_text(notifications[0].get("TopicArn")) if notifications else ""
    if topic_arn:
        description.attributes[semconv.AWS_SNS_TOPIC_ARN] = topic_arn
    return description


def _sns_message(notification: dict[str, Any]) -> Message:
    return Message(
        named(as_text(notification.get("MessageId"))),
        arn_part(notification.get("TopicArn"), 5),
        made_s=times.from_iso(notification.get("Timestamp")),
        contexts=contexts(
            of_sns_attributes(notification.get("MessageAttributes")),
            body=notification.get("Message"),
        ),
    )


def _describe_eventbridge(event: Event, _options: Options) -> Description:
    message = Message(
        named(as_text(event.get("id"))),
        made_s=times.from_iso(event.get("time")),
        contexts=contexts(of_strings(event.get("detail"))),
    )
    return batch(semconv.SYSTEM_EVENTBRIDGE, [message], is_batch=False)


TRIGGERS = (
    Trigger("sqs", "Records", holds_records_of("aws:sqs"), _describe_sqs),
    Trigger("sns", "Records", holds_records_of("aws:sns"), _describe_sns),
    Trigger("eventbridge", "detail-type", has("detail", "source"), _describe_eventbridge),
)
