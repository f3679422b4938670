"""Streams: Kinesis, Firehose, Kafka (MSK and self-managed)."""

from __future__ import annotations

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.json_text import as_list, as_object, as_text
from lrap_otel.telemetry.triggers import times
from lrap_otel.telemetry.triggers.description import Trigger
from lrap_otel.telemetry.triggers.events import arn_name, has, holds_records_of, is_from, records
from lrap_otel.telemetry.triggers.messages import Message, batch, named
from lrap_otel.telemetry.triggers.producers import contexts, of_kafka_headers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lrap_otel.telemetry.semconv import Attributes
    from lrap_otel.telemetry.triggers.description import Description, Event, Options


def _describe_kinesis(event: Event, _options: Options) -> Description:
    """A Kinesis batch. Its records have no place for a context: `data` is the producer's own."""
    found = records(event)
    stream = arn_name((found[0] if found else event).get("eventSourceARN"))
    description = batch(
        semconv.SYSTEM_KINESIS, [_kinesis_message(record, stream) for record in found]
    )
    if stream:
        description.attributes[semconv.MESSAGING_DESTINATION_NAME] = stream
        description.attributes[semconv.AWS_KINESIS_STREAM_NAME] = stream
    description.result_names_failures = True
    return description


def _kinesis_message(record: dict[str, Any], stream: str) -> Message:
    # EventBridge Pipes has the members of `kinesis` next to the others.
    arrived = as_object(record.get("kinesis", record)).get("approximateArrivalTimestamp")
    event_id = as_text(record.get("eventID"))
    # shardId-000000000006:49590338271490256608559692538361571095921575989136588898
    return Message(named(event_id), stream, event_id.partition(":")[0], times.from_seconds(arrived))


def _describe_firehose(event: Event, _options: Options) -> Description:
    stream = arn_name(event.get("deliveryStreamArn"))
    return batch(
        semconv.SYSTEM_FIREHOSE,
        [_firehose_message(each, stream) for each in as_list(event.get("records"))],
    )


def _firehose_message(each: Any, stream: str) -> Message:
    record = as_object(each)
    arrived = times.from_milliseconds(record.get("approximateArrivalTimestamp"))
    return Message(named(as_text(record.get("recordId"))), stream, made_s=arrived)


def _describe_kafka(event: Event, _options: Options) -> Description:
    found = [
        record
        for partition in as_object(event.get("records")).values()
        for record in as_list(partition)
        if isinstance(record, dict)
    ]
    description = batch(semconv.SYSTEM_KAFKA, [_kafka_message(record) for record in found])
    description.result_names_failures = True
    return description


def _kafka_message(record: dict[str, Any]) -> Message:
    """A record's id is its position. A record without a value deletes its key: a tombstone."""
    partition, offset = record.get("partition"), record.get("offset")
    names: Attributes = {}
    if type(partition) is int:
        names[semconv.MESSAGING_DESTINATION_PARTITION_ID] = str(partition)
    if type(offset) is int:
        names[semconv.MESSAGING_KAFKA_OFFSET] = offset
    if record.get("value", "") is None:
        names[semconv.MESSAGING_KAFKA_MESSAGE_TOMBSTONE] = True
    return Message(
        names,
        as_text(record.get("topic")),
        str(partition) if type(partition) is int else "",
        times.from_milliseconds(record.get("timestamp")),
        contexts(of_kafka_headers(record.get("headers"))),
    )


TRIGGERS = (
    Trigger(
        "kafka",
        "records",
        is_from("aws:kafka", "SelfManagedKafka", "aws:SelfManagedKafka"),
        _describe_kafka,
    ),
    Trigger("kinesis", "Records", holds_records_of("aws:kinesis"), _describe_kinesis),
    Trigger("firehose", "records", has("deliveryStreamArn"), _describe_firehose),
)
