"""What batches of messages say, and to whom they are linked. Expected values are from the
conventions, not from the code.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.telemetry.trigger_events import (
    PROCESS,
    PRODUCER,
    SEGMENT,
    TRACEPARENT,
    XRAY_HEADER,
    links,
    of,
    of_file,
)


def test_sqs_event() -> None:
    assert of_file("sqs-event").attributes == PROCESS | {
        "messaging.system": "aws_sqs",
        "messaging.destination.name": "SQSQueue",
        "messaging.batch.message_count": 1,
        "messaging.message.id": "MessageID_1",
        "aws.sqs.queue.url": "https://sqs.us-west-2.amazonaws.com/123456789012/SQSQueue",
    }


def sqs(*records: dict[str, Any]) -> dict[str, Any]:
    common = {"eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:q"}
    return {
        "Records": [
            {"messageId": str(number)} | common | record for number, record in enumerate(records)
        ]
    }


def string_attribute(value: str) -> dict[str, Any]:
    return {"traceparent": {"dataType": "String", "stringValue": value}}


EVENTBRIDGE_EVENT = {
    "detail-type": "OrderPlaced",
    "source": "shop",
    "id": "e1",
    "detail": {"traceparent": TRACEPARENT},
}
NOTIFICATION = {
    "Type": "Notification",
    "TopicArn": "arn:aws:sns:us-east-1:123456789012:t",
    "MessageAttributes": {"traceparent": {"Type": "String", "Value": TRACEPARENT}},
}
NOTIFICATION_OF_EVENT = {
    "TopicArn": NOTIFICATION["TopicArn"],
    "Message": json.dumps(EVENTBRIDGE_EVENT),
}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(
            {"messageAttributes": string_attribute(TRACEPARENT)}, [PRODUCER], id="message attribute"
        ),
        pytest.param(
            {
                "messageAttributes": {
                    "traceparent": {"binaryValue": base64.b64encode(TRACEPARENT.encode()).decode()}
                }
            },
            [PRODUCER],
            id="binary, as SNS delivers raw",
        ),
        pytest.param(
            {"attributes": {"AWSTraceHeader": XRAY_HEADER}}, [SEGMENT], id="system attribute"
        ),
        pytest.param(
            {
                "attributes": {"AWSTraceHeader": XRAY_HEADER},
                "messageAttributes": string_attribute(TRACEPARENT),
            },
            [PRODUCER, SEGMENT],
            id="both",
        ),
        pytest.param(
            {
                "attributes": {"AWSTraceHeader": XRAY_HEADER},
                "messageAttributes": string_attribute(f"00-{SEGMENT[0]}-{SEGMENT[1]}-01"),
            },
            [SEGMENT],
            id="both, and the same",
        ),
        pytest.param(
            {"attributes": {"AWSTraceHeader": XRAY_HEADER.replace("Sampled=1", "Sampled=0")}},
            [],
            id="unsampled",
        ),
        pytest.param(
            {"messageAttributes": {"b3": {"stringValue": "-".join(PRODUCER)}}}, [PRODUCER], id="B3"
        ),
        pytest.param({"body": json.dumps(NOTIFICATION)}, [PRODUCER], id="SNS in SQS"),
        pytest.param({"body": json.dumps(EVENTBRIDGE_EVENT)}, [PRODUCER], id="EventBridge in SQS"),
        pytest.param(
            {"body": json.dumps(NOTIFICATION_OF_EVENT)}, [PRODUCER], id="EventBridge in SNS in SQS"
        ),
        pytest.param(
            {
                "messageAttributes": {"color": {"stringValue": "red"}},
                "body": json.dumps(NOTIFICATION),
            },
            [PRODUCER],
            id="SNS in SQS, with an attribute beside it",
        ),
        pytest.param(
            {"messageAttributes": string_attribute("00-zz"), "body": json.dumps(NOTIFICATION)},
            [PRODUCER],
            id="SNS in SQS, with a malformed attribute beside it",
        ),
        pytest.param({"body": '{"MessageAttributes": {}'}, [], id="a body that only looks like it"),
        pytest.param({"messageAttributes": string_attribute("00-zz")}, [], id="malformed"),
    ],
)
def test_a_queued_message_is_linked_to_its_producer(
    record: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert links(of(sqs(record))) == expected


def test_every_message_of_a_batch_is_linked_with_its_id() -> None:
    described = of(
        sqs(
            *(
                {"messageAttributes": string_attribute(TRACEPARENT[:-4] + f"{number}-01")}
                for number in (1, 2)
            )
        )
    )

    assert [link.attributes for link in described.links] == [
        {"messaging.message.id": "0"},
        {"messaging.message.id": "1"},
    ]
    assert described.attributes["messaging.batch.message_count"] == 2
    assert "messaging.message.id" not in described.attributes


def test_an_sns_notification() -> None:
    described = of(
        {"Records": [{"EventSource": "aws:sns", "Sns": NOTIFICATION | {"MessageId": "m1"}}]}
    )

    assert links(described) == [PRODUCER]
    assert described.attributes == PROCESS | {
        "messaging.system": "aws.sns",
        "messaging.destination.name": "t",
        "messaging.message.id": "m1",
        "aws.sns.topic.arn": "arn:aws:sns:us-east-1:123456789012:t",
    }


def test_an_eventbridge_event_inside_sns_is_linked_to_its_producer() -> None:
    described = of({"Records": [{"EventSource": "aws:sns", "Sns": NOTIFICATION_OF_EVENT}]})

    assert links(described) == [PRODUCER]
    assert described.attributes["messaging.system"] == "aws.sns"


@pytest.mark.parametrize("bus", ["default", "custom"])
def test_an_eventbridge_event(bus: str) -> None:
    # Only rules of a custom bus see events that AWS's services did not send; the event does not
    # name its bus.
    described = of(EVENTBRIDGE_EVENT | {"source": "aws.ecs" if bus == "default" else "shop"})

    assert links(described) == [PRODUCER]
    assert described.attributes == PROCESS | {
        "messaging.system": "aws.eventbridge",
        "messaging.message.id": "e1",
    }


def test_a_kinesis_batch() -> None:
    assert of_file("kinesis-event").attributes == PROCESS | {
        "messaging.system": "aws.kinesis",
        "messaging.destination.name": "simple-stream",
        "messaging.destination.partition.id": "shardId-000000000000",
        "messaging.batch.message_count": 2,
        "aws.kinesis.stream_name": "simple-stream",
    }


def test_the_end_of_a_kinesis_window_names_its_stream() -> None:
    described = of(
        {
            "Records": [],
            "window": {},
            "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/s",
        }
    )

    assert described.attributes == PROCESS | {
        "messaging.system": "aws.kinesis",
        "messaging.destination.name": "s",
        "messaging.batch.message_count": 0,
        "aws.kinesis.stream_name": "s",
    }


def test_a_firehose_batch() -> None:
    event = {
        "deliveryStreamArn": "arn:aws:firehose:us-east-1:123456789012:deliverystream/logs",
        "records": [{"recordId": "1"}],
    }

    assert of(event).attributes == PROCESS | {
        "messaging.system": "aws.firehose",
        "messaging.destination.name": "logs",
        "messaging.batch.message_count": 1,
        "messaging.message.id": "1",
    }


def signed(text: str) -> list[int]:
    """Java's bytes."""
    return [byte - 256 if byte > 127 else byte for byte in text.encode()]


@pytest.mark.parametrize("source", ["aws:kafka", "SelfManagedKafka"])
def test_a_kafka_batch_is_linked_by_its_record_headers(source: str) -> None:
    headers = [
        {"name": signed("größe")},
        {"Traceparent": signed(TRACEPARENT)},
        {"tracestate": signed("vendor=1")},
    ]
    partition = [
        {"topic": "t", "partition": 3, "offset": 9, "headers": headers},
        {"topic": "t", "partition": 3},
    ]
    described = of({"eventSource": source, "records": {"t-3": partition}})

    assert links(described) == [PRODUCER]
    assert described.links[0].context.trace_state == "vendor=1"
    assert described.links[0].attributes == {
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 9,
    }
    assert described.attributes == PROCESS | {
        "messaging.system": "kafka",
        "messaging.destination.name": "t",
        "messaging.destination.partition.id": "3",
        "messaging.batch.message_count": 2,
    }


def test_one_kafka_record_has_its_offset() -> None:
    event = {
        "eventSource": "aws:kafka",
        "records": {"t-3": [{"topic": "t", "partition": 3, "offset": 0}]},
    }

    assert of(event).attributes["messaging.kafka.offset"] == 0


def test_a_kafka_record_without_a_value_is_a_tombstone() -> None:
    def of_value(**value: Any) -> Any:
        event = {"eventSource": "aws:kafka", "records": {"t-3": [{"topic": "t"} | value]}}
        return of(event).attributes.get("messaging.kafka.message.tombstone")

    assert of_value(value=None) is True
    assert of_value(value="eA==") is None
    assert of_value() is None


def test_broker_messages_are_linked_by_their_properties() -> None:
    active = {"eventSource": "aws:mq", "messages": [{"properties": {"traceparent": TRACEPARENT}}]}
    rabbit_headers = {"traceparent": {"bytes": list(TRACEPARENT.encode())}, "number": 10}
    rabbit = {
        "eventSource": "aws:rmq",
        "rmqMessagesByQueue": {"orders::/": [{"basicProperties": {"headers": rabbit_headers}}]},
    }

    assert links(of(active)) == [PRODUCER]
    assert links(of(rabbit)) == [PRODUCER]
    assert of(rabbit).attributes["messaging.destination.name"] == "orders"


# The sources whose records have a place for context; Kinesis, Firehose, S3 and DynamoDB have none.
@pytest.mark.parametrize(
    ("event", "record", "place"),
    [
        (
            {},
            {"eventSource": "aws:sqs", "messageAttributes": string_attribute(TRACEPARENT)},
            "Records",
        ),
        ({}, {"EventSource": "aws:sns", "Sns": NOTIFICATION}, "Records"),
        ({"eventSource": "aws:mq"}, {"properties": {"traceparent": TRACEPARENT}}, "messages"),
    ],
)
def test_a_link_for_every_record_however_many(
    event: dict[str, Any], record: dict[str, Any], place: str
) -> None:
    described = of(event | {place: [record] * 1_000})

    assert links(described) == [PRODUCER] * 1_000
    assert described.attributes["messaging.batch.message_count"] == 1_000


def test_pipes_hands_on_records_without_a_name_for_them() -> None:
    described = of(sqs({"messageAttributes": string_attribute(TRACEPARENT)}, {})["Records"])

    assert links(described) == [PRODUCER]
    assert described.attributes["messaging.batch.message_count"] == 2


def test_kafka_records_of_pipes_are_counted() -> None:
    described = of([{"eventSource": "aws:kafka", "topic": "t", "partition": 1, "offset": 2}] * 3)

    assert described.attributes["messaging.batch.message_count"] == 3
