"""What each kind of event says about its invocation. Expected values are from the conventions, not from the code."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from lrap_otel.telemetry.triggers import table
from lrap_otel.telemetry.triggers.description import Description, Options

EVENTS = Path(__file__).parents[1] / "data" / "events"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PRODUCER = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
XRAY_HEADER = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
SEGMENT = ("5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8")
PROCESS = {"messaging.operation.name": "process", "messaging.operation.type": "process"}

HTTP = "http"
PUBSUB = "pubsub"
DATASOURCE = "datasource"
OTHER = "other"
EVENTBRIDGE = ("autoscaling-", "codebuild-", "codedeploy-", "codepipeline-action", "codepipeline-exec", "ecr-", "ecs-")
NAMED = {
    "activemq": PUBSUB,
    "alb-": HTTP,
    "apigw-": HTTP,
    "cloudwatch-alarm-sns": PUBSUB,
    "dynamodb-": DATASOURCE,
    "kafka-": PUBSUB,
    "kinesis-analytics": OTHER,
    "kinesis-": PUBSUB,
    "lambda-urls-": HTTP,
    "rabbitmq-": PUBSUB,
    "s3-batch-": OTHER,
    "s3-object-lambda-": OTHER,
    "s3-": DATASOURCE,
    "sns-": PUBSUB,
    "sqs-": PUBSUB,
    **dict.fromkeys(EVENTBRIDGE, PUBSUB),
}


def real_events() -> list[str]:
    names = sorted(path.name.removesuffix(".json") for path in EVENTS.glob("*.json"))
    return [name for name in names if not name.endswith("-response") and "malformed" not in name]


def of_file(name: str) -> Description:
    return table.describe(json.loads((EVENTS / f"{name}.json").read_bytes()), Options())


def of(event: Any) -> Description:
    return table.describe(event, Options())


def links(description: Description) -> list[tuple[str, str]]:
    return [(link.context.trace_id_hex, link.context.span_id_hex) for link in description.links]


@pytest.mark.parametrize("name", real_events())
def test_every_real_event_has_its_trigger(name: str) -> None:
    expected = next((trigger for start, trigger in NAMED.items() if name.startswith(start)), OTHER)

    assert of_file(name).trigger == expected


@pytest.mark.parametrize("value", [None, True, 5, "text", [], [{"Records": []}], {}, {"Records": []}, {"Records": [5]}])
def test_what_nobody_knows_is_other(value: Any) -> None:
    described = of(value)

    assert (described.trigger, described.attributes) == (OTHER, {})


def test_api_gateway_rest_event() -> None:
    described = of_file("apigw-request")

    assert described.span_name == "/{proxy+}"
    assert described.attributes == {
        "http.request.method": "POST",
        "http.route": "/{proxy+}",
        "url.path": "/hello/world",
        "url.scheme": "https",
        "url.query": "name=me",
        "client.address": "54.240.196.186",
        "network.peer.address": "192.168.196.186",
        "network.protocol.version": "1.1",
        "server.address": "gy415nuibc.execute-api.us-east-1.amazonaws.com",
        "server.port": 443,
        "user_agent.original": "PostmanRuntime/2.4.5",
    }


def test_an_http_api_default_route_is_no_route() -> None:
    described = of_file("apigw-v2-request-no-authorizer")

    assert described.span_name == ""
    assert described.attributes == {
        "http.request.method": "GET",
        "url.path": "/",
        "url.scheme": "https",
        "client.address": "1.2.3.4",
        "network.peer.address": "1.2.3.4",
        "network.protocol.version": "1.1",
        "server.address": "aaaaaaaaaa.execute-api.us-west-2.amazonaws.com",
        "server.port": 443,
        "user_agent.original": "curl/7.58.0",
    }


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("alb-lambda-target-request-headers-only", "lambda-test-alb-1334523864.us-east-1.elb.amazonaws.com"),
        ("alb-lambda-target-request-multivalue-headers", "lambda-test-alb-1234567.us-east-1.elb.amazonaws.com"),
    ],
)
def test_a_load_balancers_event_in_either_form(name: str, address: str) -> None:
    described = of_file(name)

    assert (
        described.attributes.items()
        >= {
            "http.request.method": "GET",
            "url.path": "/",
            "url.scheme": "http",
            "url.query": "key=hello",
            "server.address": address,
            "server.port": 80,
            "user_agent.original": "curl/7.54.0",
        }.items()
    )
    assert (described.result_is_http, described.result_has_default_status) == (True, False)


def test_only_a_websocket_connect_is_a_request() -> None:
    assert of_file("apigw-websocket-request").attributes["http.request.method"] == "GET"
    assert "http.request.method" not in of_file("apigw-websocket-request-send-message").attributes


def test_an_authorizers_answer_is_no_http_response() -> None:
    described = of_file("apigw-v2-custom-authorizer-v2-request")

    assert described.attributes["http.request.method"] == "POST"
    assert not described.result_is_http


# AWS, "AWS Lambda functions as targets in VPC Lattice", "Receive events from the VPC Lattice service".
@pytest.mark.parametrize(
    "event",
    [
        pytest.param(
            {"raw_path": "/a", "method": "GET", "headers": {"user-agent": "x"}, "query_string_parameters": {"b": "1"}},
            id="format 1",
        ),
        pytest.param(
            {
                "version": "2.0",
                "path": "/a?b=1",
                "method": "GET",
                "headers": {"user-agent": ["x"]},
                "requestContext": {
                    "serviceNetworkArn": "arn:aws:vpc-lattice:us-east-1:1:servicenetwork/sn-0",
                    "identity": {},
                },
            },
            id="format 2",
        ),
    ],
)
def test_vpc_lattice_event(event: dict[str, Any]) -> None:
    described = of(event)

    assert described.trigger == HTTP
    assert described.attributes == {
        "http.request.method": "GET",
        "url.path": "/a",
        "url.query": "b=1",
        "url.scheme": "https",
        "user_agent.original": "x",
    }


# AWS, "AWS AppSync", "Resolver mapping template context reference".
def test_an_appsync_resolver_event() -> None:
    described = of({"arguments": {}, "info": {"fieldName": "getPet"}, "request": {"headers": {"user-agent": "x"}}})

    assert (described.trigger, described.attributes) == (HTTP, {"user_agent.original": "x"})


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
    return {"Records": [{"messageId": str(number)} | common | record for number, record in enumerate(records)]}


def string_attribute(value: str) -> dict[str, Any]:
    return {"traceparent": {"dataType": "String", "stringValue": value}}


NOTIFICATION = {
    "Type": "Notification",
    "TopicArn": "arn:aws:sns:us-east-1:123456789012:t",
    "MessageAttributes": {"traceparent": {"Type": "String", "Value": TRACEPARENT}},
}
EVENTBRIDGE_EVENT = {"detail-type": "OrderPlaced", "source": "shop", "id": "e1", "detail": {"traceparent": TRACEPARENT}}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param({"messageAttributes": string_attribute(TRACEPARENT)}, [PRODUCER], id="message attribute"),
        pytest.param(
            {"messageAttributes": {"traceparent": {"binaryValue": base64.b64encode(TRACEPARENT.encode()).decode()}}},
            [PRODUCER],
            id="binary, as SNS delivers raw",
        ),
        pytest.param({"attributes": {"AWSTraceHeader": XRAY_HEADER}}, [SEGMENT], id="system attribute"),
        pytest.param(
            {"attributes": {"AWSTraceHeader": XRAY_HEADER}, "messageAttributes": string_attribute(TRACEPARENT)},
            [PRODUCER, SEGMENT],
            id="both",
        ),
        pytest.param(
            {"attributes": {"AWSTraceHeader": XRAY_HEADER.replace("=1;P", "=1;P").replace("Sampled=1", "Sampled=0")}},
            [],
            id="unsampled",
        ),
        pytest.param({"body": json.dumps(NOTIFICATION)}, [PRODUCER], id="SNS in SQS"),
        pytest.param({"body": json.dumps(EVENTBRIDGE_EVENT)}, [PRODUCER], id="EventBridge in SQS"),
        pytest.param({"body": '{"MessageAttributes": {}'}, [], id="a body that only looks like it"),
        pytest.param({"messageAttributes": string_attribute("00-zz")}, [], id="malformed"),
    ],
)
def test_a_queued_message_is_linked_to_its_producer(record: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert links(of(sqs(record))) == expected


def test_every_message_of_a_batch_is_linked_with_its_id() -> None:
    described = of(
        sqs(*({"messageAttributes": string_attribute(TRACEPARENT[:-4] + f"{number}-01")} for number in (1, 2)))
    )

    assert [link.attributes for link in described.links] == [
        {"messaging.message.id": "0"},
        {"messaging.message.id": "1"},
    ]
    assert described.attributes["messaging.batch.message_count"] == 2
    assert "messaging.message.id" not in described.attributes


def test_an_sns_notification() -> None:
    described = of({"Records": [{"EventSource": "aws:sns", "Sns": NOTIFICATION | {"MessageId": "m1"}}]})

    assert links(described) == [PRODUCER]
    assert described.attributes == PROCESS | {
        "messaging.system": "aws.sns",
        "messaging.destination.name": "t",
        "messaging.message.id": "m1",
        "aws.sns.topic.arn": "arn:aws:sns:us-east-1:123456789012:t",
    }


def test_an_eventbridge_event() -> None:
    described = of(EVENTBRIDGE_EVENT)

    assert links(described) == [PRODUCER]
    assert described.attributes == PROCESS | {"messaging.system": "aws.eventbridge", "messaging.message.id": "e1"}


def test_a_kinesis_batch() -> None:
    assert of_file("kinesis-event").attributes == PROCESS | {
        "messaging.system": "aws.kinesis",
        "messaging.destination.name": "simple-stream",
        "messaging.batch.message_count": 2,
        "aws.kinesis.stream_name": "simple-stream",
    }


@pytest.mark.parametrize("source", ["aws:kafka", "SelfManagedKafka"])
def test_a_kafka_batch_is_linked_by_its_record_headers(source: str) -> None:
    headers = [{"Traceparent": list(TRACEPARENT.encode())}]
    partition = [{"topic": "t", "partition": 3, "offset": 9, "headers": headers}, {"topic": "t", "partition": 3}]
    described = of({"eventSource": source, "records": {"t-3": partition}})

    assert links(described) == [PRODUCER]
    assert described.attributes == PROCESS | {
        "messaging.system": "kafka",
        "messaging.destination.name": "t",
        "messaging.destination.partition.id": "3",
        "messaging.batch.message_count": 2,
    }


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


def test_a_dynamodb_stream() -> None:
    assert of_file("dynamodb-event").attributes == {
        "faas.document.collection": "Example-Table",
        "faas.document.operation": "insert",
        "faas.document.time": "2016-12-02T01:27:00.000Z",
    }


def test_an_s3_event_has_its_key_decoded() -> None:
    assert of_file("s3-event").attributes == {
        "faas.document.collection": "sourcebucket",
        "faas.document.operation": "insert",
        "faas.document.name": "Happy Face.jpg",
        "faas.document.time": "1970-01-01T00:00:00.123Z",
        "aws.s3.bucket": "sourcebucket",
        "aws.s3.key": "Happy Face.jpg",
    }


# AWS, "Using AWS Lambda with Amazon DocumentDB", "Example DocumentDB event".
def test_a_documentdb_batch_says_what_holds_for_all_of_it() -> None:
    change = {"ns": {"db": "shop", "coll": "orders"}, "operationType": "delete"}
    changes = [{"event": change}, {"event": change | {"operationType": "replace"}}]

    assert of({"eventSource": "aws:docdb", "events": changes[:1]}).attributes == {
        "faas.document.collection": "orders",
        "faas.document.operation": "delete",
    }
    assert of({"eventSource": "aws:docdb", "events": changes}).attributes == {"faas.document.collection": "orders"}


# AWS, "Using AWS Lambda with Amazon EventBridge (CloudWatch Events)"; EventBridge Scheduler, "Universal target".
@pytest.mark.parametrize("source", ["aws.events", "aws.scheduler"])
def test_a_schedule(source: str) -> None:
    event = {
        "source": source,
        "detail-type": "Scheduled Event",
        "time": "2026-11-22T18:00:00Z",
        "id": "1",
        "detail": {},
    }

    described = of(event)

    assert (described.trigger, described.attributes) == ("timer", {"faas.time": "2026-11-22T18:00:00Z"})


ODD_VALUES = [None, True, -1, 1e308, "", "text", "\ud800", [], [None], [[]], {}, {"a": None}]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in `value` with each of its keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    return [place for key in keys for place in [(value, key), *places(value[key])]]


@pytest.mark.parametrize("name", real_events())
def test_no_odd_value_anywhere_in_an_event_makes_describing_it_raise(name: str) -> None:
    event = json.loads((EVENTS / f"{name}.json").read_bytes())

    for container, key in places(event):
        kept = container[key]
        for odd in ODD_VALUES:
            container[key] = odd
            assert of(event).trigger in {HTTP, PUBSUB, DATASOURCE, OTHER, "timer"}
        container[key] = kept
