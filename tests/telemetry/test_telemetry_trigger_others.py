"""Data sources, timers, and what the events of all other services say. Expected values are from the
conventions.
"""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from lrap_otel.telemetry.triggers import monitoring
from tests.telemetry.trigger_events import of, of_file


def test_a_dynamodb_stream() -> None:
    assert of_file("dynamodb-event").attributes == {
        "faas.document.collection": "Example-Table",
        "faas.document.operation": "insert",
        "faas.document.time": "2016-12-02T01:27:00Z",
    }


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("s3-restore-event", "edit"),
        ("s3-lifecycle-event", "edit"),
        ("s3-intelligenttier-event", "edit"),
        ("s3-replication-event", None),
    ],
)
def test_what_happened_to_an_object(name: str, operation: str | None) -> None:
    assert of_file(name).attributes.get("faas.document.operation") == operation


def test_the_end_of_a_dynamodb_window_names_its_table() -> None:
    arn = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2026-11-22T00:00:00.000"

    assert of({"Records": [], "window": {}, "eventSourceARN": arn}).attributes == {
        "faas.document.collection": "orders"
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
    change = {
        "ns": {"db": "shop", "coll": "orders"},
        "operationType": "delete",
        "clusterTime": {"$timestamp": {"t": 1676588775, "i": 9}},
    }
    changes = [
        {"event": change},
        {"event": change | {"operationType": "replace", "clusterTime": {}}},
    ]

    assert of({"eventSource": "aws:docdb", "events": changes[:1]}).attributes == {
        "faas.document.collection": "shop",
        "faas.document.name": "orders",
        "faas.document.operation": "delete",
        "faas.document.time": "2023-02-16T23:06:15Z",
    }
    assert of({"eventSource": "aws:docdb", "events": changes}).attributes == {
        "faas.document.collection": "shop",
        "faas.document.name": "orders",
    }


# AWS, "Using AWS Lambda with Amazon EventBridge (CloudWatch Events)"; EventBridge Scheduler,
# "Universal target".
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

    assert (described.trigger, described.attributes) == (
        "timer",
        {"faas.time": "2026-11-22T18:00:00Z"},
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "code-commit-event",
            {
                "vcs.repository.name": "my-repo",
                "vcs.ref.head.name": "master",
                "vcs.ref.head.type": "branch",
                "vcs.ref.head.revision": "5c4ef1049f1d27deadbeeff313e0730018be182b",
            },
        ),
        (
            "secretsmanager-secret-rotation-event",
            {
                "aws.secretsmanager.secret.arn": "arn:aws:secretsmanager:us-east-1:111122223333:secret:id-ABCD1E"
            },
        ),
        (
            "s3-batch-job-event-request-1.0",
            {"aws.s3.bucket": "awsexamplebucket", "aws.s3.key": "customerImage1.jpg"},
        ),
        (
            "s3-batch-job-event-request-2.0",
            {"aws.s3.bucket": "awsexamplebucket", "aws.s3.key": "customerImage1.jpg"},
        ),
        ("cognito-event-userpools-presignup", {}),
        ("codepipeline-job-event", {}),
        ("iot-custom-auth-request", {}),
        ("s3-object-lambda-event-get-object-iam", {}),
    ],
)
def test_what_has_no_trigger_of_its_own_says_what_the_conventions_name(
    name: str, expected: dict[str, str]
) -> None:
    described = of_file(name)

    assert (described.trigger, described.attributes) == ("other", expected)


def test_pushes_to_several_branches_name_none_of_them() -> None:
    references = [
        {"commit": "a", "ref": "refs/heads/one"},
        {"commit": "b", "ref": "refs/heads/two"},
    ]
    event = {
        "Records": [{"eventSource": "aws:codecommit", "codecommit": {"references": references}}]
    }

    assert of(event).attributes == {}


# Bedrock, "Configure Lambda functions to send information that an agent elicits from the user",
# "Lambda input event".
def test_a_bedrock_agents_event() -> None:
    event = {
        "messageVersion": "1.0",
        "agent": {"name": "claims", "id": "A24XQQYHYV", "alias": "TSTALIASID", "version": "DRAFT"},
        "inputText": "a customer's words",
        "sessionId": "123456789012345",
        "actionGroup": "Weather",
        "function": "getWeather",
    }

    assert of(event).attributes == {
        "gen_ai.agent.id": "A24XQQYHYV",
        "gen_ai.agent.name": "claims",
        "gen_ai.agent.version": "DRAFT",
        "gen_ai.conversation.id": "123456789012345",
    }


# Step Functions, "Accessing execution data from the Context object"; the whole input, or where
# others put it.
@pytest.mark.parametrize(
    "wrap",
    [lambda value: value, lambda value: {"Payload": value}, lambda value: {"_datadog": value}],
)
def test_a_state_that_passes_its_context_on(wrap: Any) -> None:
    machine = "arn:aws:states:us-east-1:123456789012:stateMachine:m"
    context = {
        "Execution": {"Id": "arn:aws:states:us-east-1:123456789012:execution:m:e"},
        "State": {"Name": "Pay", "EnteredTime": "2026-11-22T18:00:00.500Z"},
        "StateMachine": {"Id": machine},
    }

    described = of(wrap(context))

    assert described.attributes == {"aws.step_functions.state_machine.arn": machine}
    assert described.made_s == 1_795_370_400.5


def subscription(logs: bytes) -> dict[str, Any]:
    return {"awslogs": {"data": base64.b64encode(gzip.compress(logs)).decode()}}


def logs_of(message: str) -> bytes:
    event = {"id": "1", "timestamp": 1_795_370_400_000, "message": message}
    later = event | {"timestamp": 1_795_370_500_000}
    head = {"messageType": "DATA_MESSAGE", "logGroup": "timestamp", "logEvents": [event, later]}
    return json.dumps(head).encode()


@pytest.mark.parametrize("message", ["text", '{"timestamp": 1}', "x" * 1_000_000])
def test_log_events_are_as_old_as_the_first_of_them(message: str) -> None:
    described = of(subscription(logs_of(message)))

    assert (described.trigger, described.attributes) == ("other", {})
    assert described.made_s == 1_795_370_400


def test_of_a_gigabyte_in_a_megabyte_only_the_first_bytes_are_unpacked() -> None:
    bomb = subscription(bytes(200_000_000))["awslogs"]["data"]

    assert len(bomb) < 300_000
    assert len(monitoring._unpacked(bomb)) == monitoring.UNPACKED_LIMIT_BYTES
    assert of({"awslogs": {"data": bomb}}).made_s is None


@pytest.mark.parametrize(
    "data",
    ["", "A", "====", "\ud800", "AAAA", base64.b64encode(gzip.compress(b"{}")[:12]).decode(), 5],
)
def test_log_data_that_is_none_is_no_reason_to_raise(data: Any) -> None:
    assert of({"awslogs": {"data": data}}).name == "cloudwatch_logs"
