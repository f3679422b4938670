"""Every kind of event has its row in the table, and no event, whatever it holds, makes describing
it raise.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.telemetry.triggers import table
from tests.telemetry.trigger_events import event_of, made_events, of, of_file, real_events

TRIGGER_WORDS = {"http", "pubsub", "datasource", "timer", "other"}
# By how the names of the files start; the longer ones first. Parts of events that the library keeps
# have no row.
ROWS = {
    "activemq": ("pubsub", "activemq"),
    "alb-": ("http", "load_balancer"),
    "apigw-custom-auth": ("http", "api_gateway_authorizer"),
    "apigw-re": ("http", "api_gateway_rest"),
    "apigw-v2-custom-authorizer": ("http", "api_gateway_authorizer"),
    "apigw-v2-request": ("http", "api_gateway_http"),
    "apigw-websocket": ("http", "api_gateway_websocket"),
    "appsync-identity": ("other", ""),
    "appsync-lambda-auth": ("http", "appsync_authorizer"),
    "autoscaling-": ("pubsub", "eventbridge"),
    "clientvpn-": ("other", "client_vpn"),
    "cloudwatch-alarm-sns": ("pubsub", "sns"),
    "cloudwatch-logs": ("other", "cloudwatch_logs"),
    "code-commit": ("other", "codecommit"),
    "codebuild-": ("pubsub", "eventbridge"),
    "codedeploy-": ("pubsub", "eventbridge"),
    "codepipeline-job": ("other", "codepipeline"),
    "codepipeline-": ("pubsub", "eventbridge"),
    "cognito-event-userpools": ("other", "cognito_user_pool"),
    "cognito-": ("other", "cognito_sync"),
    "config-": ("other", "config"),
    "connect-": ("other", "connect"),
    "dynamodb-": ("datasource", "dynamodb"),
    "ecr-": ("pubsub", "eventbridge"),
    "ecs-": ("pubsub", "eventbridge"),
    "iot-1-click": ("other", "iot_1_click"),
    "iot-button": ("other", "iot_button"),
    "iot-custom-auth": ("other", "iot_authorizer"),
    "iot-preprovision": ("other", "iot_provisioning"),
    "kafka-": ("pubsub", "kafka"),
    "kinesis-analytics": ("other", "kinesis_analytics"),
    "kinesis-firehose": ("pubsub", "firehose"),
    "kinesis-": ("pubsub", "kinesis"),
    "lambda-urls-": ("http", "function_url"),
    "lex-": ("other", "lex"),
    "rabbitmq-": ("pubsub", "rabbitmq"),
    "s3-batch-": ("other", "s3_batch"),
    "s3-object-lambda-": ("other", "s3_object_lambda"),
    "s3-": ("datasource", "s3"),
    "secretsmanager-": ("other", "secrets_manager"),
    "ses-": ("other", "ses"),
    "sns-": ("pubsub", "sns"),
    "sqs-": ("pubsub", "sqs"),
}


@pytest.mark.parametrize("name", real_events())
def test_every_real_event_has_its_row(name: str) -> None:
    described = of_file(name)

    assert (described.trigger, described.name) == next(
        row for start, row in ROWS.items() if name.startswith(start)
    )


# None of these is among the real ones. What they look like is from AWS's documentation of the
# service named.
@pytest.mark.parametrize(
    ("event", "row"),
    [
        # AppSync, "Resolver mapping template context reference"; several fields of one batch come
        # as a list.
        (
            {"arguments": {}, "info": {"fieldName": "getPet"}, "request": {"headers": {}}},
            ("http", "appsync_resolver"),
        ),
        ([{"arguments": {}, "info": {"fieldName": "getPet"}}], ("http", "appsync_resolver")),
        (
            {"request": {"headers": {}}, "info": {"fieldName": "getPet"}},
            ("http", "appsync_resolver"),
        ),
        # Amplify, "Function directive": a template of its own.
        (
            {"typeName": "Query", "fieldName": "getPet", "request": {}, "prev": {}},
            ("http", "appsync_resolver"),
        ),
        ({"typeName": "Query", "fieldName": "getPet"}, ("other", "")),
        # AppSync Events, "Context reference for the Event API", "Lambda authorization".
        (
            {
                "request": {"headers": {}},
                "info": {"channel": {"path": "/a"}, "operation": "PUBLISH"},
                "events": [],
            },
            ("http", "appsync_events"),
        ),
        ({"info": {"channel": {"path": "/a"}}}, ("other", "")),
        *(
            (
                {"authorizationToken": "t", "requestContext": {"operation": operation}},
                ("http", "appsync_authorizer"),
            )
            for operation in ("EVENT_CONNECT", "EVENT_SUBSCRIBE", "EVENT_PUBLISH")
        ),
        ({"authorizationToken": "t", "requestContext": {"operation": "GET"}}, ("other", "")),
        # API Gateway, cut down to what it is known by.
        (
            {"resource": "/a", "path": "/a", "httpMethod": "GET", "requestContext": {}},
            ("http", "api_gateway_rest"),
        ),
        # VPC Lattice, "Receive events from the VPC Lattice service".
        ({"raw_path": "/a", "method": "GET", "headers": {}}, ("http", "vpc_lattice")),
        (
            {
                "version": "2.0",
                "method": "GET",
                "requestContext": {"serviceNetworkArn": "arn:aws:x"},
            },
            ("http", "vpc_lattice"),
        ),
        # EventBridge Pipes, "Amazon SQS queue as a source".
        ([{"eventSource": "aws:sqs", "messageId": "1"}], ("pubsub", "sqs")),
        ({"eventSource": "SelfManagedKafka", "records": {}}, ("pubsub", "kafka")),
        ({"eventSource": "aws:SelfManagedKafka", "records": {}}, ("pubsub", "kafka")),
        ({"eventSource": "aws:amq", "messages": []}, ("pubsub", "activemq")),
        # EventBridge Pipes, "Sources": its lists of the other sources.
        ([{"eventSource": "aws:amq", "messageID": "1"}], ("pubsub", "activemq")),
        ([{"eventSource": "aws:rmq", "eventSourceKey": "q::/"}], ("pubsub", "rabbitmq")),
        ([{"eventSource": "aws:kafka", "topic": "t"}], ("pubsub", "kafka")),
        ([{"eventSource": "SelfManagedKafka", "topic": "t"}], ("pubsub", "kafka")),
        ({"eventSource": "aws:docdb", "events": []}, ("datasource", "documentdb")),
        # Lambda, "Stateful stream processing": the last event of a window has no records.
        (
            {"Records": [], "window": {}, "eventSourceARN": "arn:aws:kinesis:us-east-1:1:stream/s"},
            ("pubsub", "kinesis"),
        ),
        (
            {
                "Records": [],
                "window": {},
                "eventSourceARN": "arn:aws:dynamodb:us-east-1:1:table/t/stream/1",
            },
            ("datasource", "dynamodb"),
        ),
        (
            {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}},
            ("timer", "schedule"),
        ),
        (
            {"source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": "{}"},
            ("timer", "schedule"),
        ),
        ({"source": "shop", "detail-type": "OrderPlaced", "detail": {}}, ("pubsub", "eventbridge")),
        # CloudWatch, "Invoke a Lambda function from an alarm".
        (
            {"source": "aws.cloudwatch", "alarmArn": "arn:aws:x", "alarmData": {}},
            ("other", "cloudwatch_alarm"),
        ),
        # Bedrock, "Lambda input event from Amazon Bedrock".
        (
            {"messageVersion": "1.0", "agent": {}, "actionGroup": "g", "apiPath": "/a"},
            ("other", "bedrock_agent"),
        ),
        # Step Functions, "Accessing execution data from the Context object".
        (
            {"Execution": {"Id": "arn:aws:states:us-east-1:1:execution:m:e"}, "State": {}},
            ("other", "step_functions"),
        ),
        (
            {
                "Payload": {
                    "Execution": {"Id": "arn:aws:states:us-east-1:1:execution:m:e"},
                    "State": {},
                }
            },
            ("other", "step_functions"),
        ),
        *(
            (event, ("other", "step_functions"))
            for context in [
                {"Execution": {"Id": "arn:aws:states:us-east-1:1:execution:m:e"}, "State": {}}
            ]
            for event in (
                {"n": 1, "context": context},
                {"FunctionName": "f", "Payload": {"n": 1, "context": context}},
                {"Payload": {"_datadog": context}},
            )
        ),
        (
            {"Execution": {"Id": "arn:aws:lambda:us-east-1:1:function:f"}, "State": {}},
            ("other", ""),
        ),
        # Lambda, "Durable functions".
        (
            {"DurableExecutionArn": "arn:aws:x", "CheckpointToken": "t"},
            ("other", "durable_execution"),
        ),
        ({"DurableExecutionArn": "arn:aws:x"}, ("other", "")),
        # CloudFormation, "Custom resource request objects".
        (
            {"RequestType": "Create", "ResponseURL": "https://x", "StackId": "arn:aws:x"},
            ("other", "cloudformation"),
        ),
        # Lambda, "Capturing records of Lambda asynchronous invocations".
        (
            {"requestContext": {}, "requestPayload": {}, "responseContext": {}},
            ("other", "lambda_destination"),
        ),
        # Lex V2, "AWS Lambda input event format for Lex V2".
        ({"bot": {}, "sessionState": {}, "invocationSource": "DialogCodeHook"}, ("other", "lex")),
    ],
)
def test_every_documented_event_has_its_row(event: Any, row: tuple[str, str]) -> None:
    described = of(event)

    assert (described.trigger, described.name) == row


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        5,
        "text",
        [],
        [5],
        [{"Records": []}],
        {},
        {"Records": []},
        {"Records": [5]},
        {"Records": [{}]},
    ],
)
def test_what_nobody_knows_is_other(value: Any) -> None:
    described = of(value)

    assert (described.trigger, described.name, described.attributes, described.made_s) == (
        "other",
        "",
        {},
        None,
    )


def test_the_words_for_rows_differ() -> None:
    names = [trigger.name for family, _ in table.FAMILIES for trigger in table.rows_of(family)]

    assert sorted(set(names)) == sorted(names)


ODD_VALUES = [
    None,
    True,
    -1,
    10**400,
    math.nan,
    "",
    "text",
    "\ud800",
    "9" * 5_000,
    [],
    [None],
    [[]],
    {},
    {"a": None},
]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in `value` with each of its keys."""
    keys = (
        list(value)
        if isinstance(value, dict)
        else range(len(value))
        if isinstance(value, list)
        else []
    )
    return [place for key in keys for place in [(value, key), *places(value[key])]]


@pytest.mark.parametrize("name", real_events() + made_events())
def test_no_odd_value_anywhere_in_an_event_makes_describing_it_raise(name: str) -> None:
    event = event_of(name)

    for container, key in places(event):
        kept = container[key]
        for odd in ODD_VALUES:
            container[key] = odd
            assert of(event).trigger in TRIGGER_WORDS
        container[key] = kept


def words(value: Any) -> set[str]:
    """The names and the short texts in `value`."""
    if isinstance(value, dict):
        return set(value).union(*map(words, value.values()))
    if isinstance(value, list):
        return set().union(*map(words, value))
    return {value} if isinstance(value, str) and len(value) < 40 else set()


# What rows are told by stands among these, so that some of what is made of them matches.
WORDS = st.sampled_from(sorted(words([event_of(name) for name in real_events() + made_events()])))
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=20,
)


@given(ANYTHING)
def test_no_json_value_makes_describing_it_raise(event: Any) -> None:
    assert of(event).trigger in TRIGGER_WORDS


@given(st.sampled_from(real_events() + made_events()), st.data())
def test_no_other_values_in_an_event_make_describing_it_raise(
    name: str, data: st.DataObject
) -> None:
    event = event_of(name)
    for _ in range(data.draw(st.integers(1, 5))):
        container, key = data.draw(st.sampled_from(places(event) or [({}, "")]))
        container[key] = data.draw(ANYTHING)

    assert of(event).trigger in TRIGGER_WORDS


@pytest.mark.parametrize(
    ("family", "members"), table.FAMILIES, ids=[family for family, _ in table.FAMILIES]
)
def test_a_family_is_loaded_for_every_event_that_one_of_its_rows_may_match(
    family: str, members: frozenset[str] | None
) -> None:
    own = {trigger.member for trigger in table.rows_of(family)}

    assert members == (None if None in own else own)
