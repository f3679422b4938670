"""What HTTP-shaped events say about their request. Expected values are from the conventions, not
from the code.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.telemetry.trigger_events import of, of_file


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
        (
            "alb-lambda-target-request-headers-only",
            "lambda-test-alb-1334523864.us-east-1.elb.amazonaws.com",
        ),
        (
            "alb-lambda-target-request-multivalue-headers",
            "lambda-test-alb-1234567.us-east-1.elb.amazonaws.com",
        ),
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


def test_the_consoles_test_has_its_path_beside_the_route() -> None:
    event = {
        "httpMethod": "GET",
        "resource": "/pets/{id}",
        "path": "/pets/7",
        "requestContext": {"stage": "test-invoke-stage", "path": "/pets/{id}"},
    }

    assert of(event).attributes["url.path"] == "/pets/7"


def test_the_default_route_is_none_in_payload_format_1_either() -> None:
    event = {
        "httpMethod": "GET",
        "resource": "$default",
        "path": "/a",
        "requestContext": {"stage": "$default"},
    }

    assert (of(event).span_name, of(event).attributes.get("http.route")) == ("", None)


# RFC 7239; OpenTelemetry, "Semantic conventions for HTTP spans", "Setting server.address and
# server.port attributes".
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            {
                "X-Forwarded-For": "203.0.113.7:4711, 10.0.0.1",
                "X-Forwarded-Proto": "HTTPS, http",
                "Host": "inner",
            },
            ("203.0.113.7", "https", "inner", None),
        ),
        (
            {
                "Forwarded": 'For="[2001:db8::7]:4711";Proto=https;host="shop.example:8443", for=10.0.0.1;proto=http',
                "X-Forwarded-For": "10.0.0.1",
                "X-Forwarded-Proto": "http",
                "Host": "inner",
            },
            ("2001:db8::7", "https", "shop.example", 8443),
        ),
        (
            {"Forwarded": "by=10.0.0.9", "X-Forwarded-For": "2001:db8::7"},
            ("2001:db8::7", "http", None, None),
        ),
        ({"Forwarded": "", "Host": "[2001:db8::1]:81"}, (None, "http", "2001:db8::1", 81)),
    ],
)
def test_the_outermost_proxy_says_who_asked_whom(
    headers: dict[str, str], expected: tuple[object, ...]
) -> None:
    event = {"httpMethod": "GET", "path": "/", "headers": headers, "requestContext": {"elb": {}}}

    attributes = of(event).attributes

    names = ("client.address", "url.scheme", "server.address", "server.port")
    assert tuple(attributes.get(name) for name in names) == expected


def test_a_websocket_connection_has_its_query() -> None:
    event = {
        "queryStringParameters": {"room": "7"},
        "requestContext": {"eventType": "CONNECT", "connectionId": "1", "stage": "prod"},
    }

    assert of(event).attributes["url.query"] == "room=7"


def test_only_a_websocket_connect_is_a_request() -> None:
    connect, message = (
        of_file("apigw-websocket-request"),
        of_file("apigw-websocket-request-send-message"),
    )

    assert (connect.attributes["http.request.method"], connect.result_is_http) == ("GET", True)
    assert ("http.request.method" in message.attributes, message.result_is_http) == (False, False)


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("apigw-custom-auth-request-type-request", "GET"),
        ("apigw-v2-custom-authorizer-v1-request", "GET"),
        ("apigw-v2-custom-authorizer-v2-request", "POST"),
    ],
)
def test_an_authorizer_has_its_own_name_and_its_answer_is_no_http_response(
    name: str, method: str
) -> None:
    described = of_file(name)

    assert described.attributes["http.request.method"] == method
    assert described.span_name == ""
    assert not described.result_is_http


def test_a_token_alone_is_no_request() -> None:
    described = of_file("apigw-custom-auth-request")

    assert (described.trigger, described.attributes) == ("http", {})
    assert not described.result_is_http


# API Gateway, "Create an API Gateway API with WebSocket, Lambda REQUEST authorizer".
def test_a_websocket_connections_authorizer() -> None:
    described = of(
        {
            "type": "REQUEST",
            "methodArn": "arn:aws:execute-api:us-east-1:123456789012:abcdef123/default/$connect",
            "headers": {"Host": "abcdef123.execute-api.us-east-1.amazonaws.com"},
            "requestContext": {"eventType": "CONNECT", "connectionId": "d1", "stage": "default"},
        }
    )

    assert described.name == "api_gateway_authorizer"
    assert described.attributes["http.request.method"] == "GET"


# AWS, "AWS Lambda functions as targets in VPC Lattice", "Receive events from the VPC Lattice
# service".
@pytest.mark.parametrize(
    "event",
    [
        pytest.param(
            {
                "raw_path": "/a",
                "method": "GET",
                "headers": {"user-agent": "x"},
                "query_string_parameters": {"b": "1"},
            },
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

    assert described.trigger == "http"
    assert described.attributes == {
        "http.request.method": "GET",
        "url.path": "/a",
        "url.query": "b=1",
        "url.scheme": "https",
        "user_agent.original": "x",
    }


# AWS AppSync, "Resolver mapping template context reference".
@pytest.mark.parametrize(
    ("parent_type", "operation"),
    [
        ("Query", {"graphql.operation.type": "query"}),
        ("Mutation", {"graphql.operation.type": "mutation"}),
        ("Subscription", {"graphql.operation.type": "subscription"}),
        ("Pet", {}),
    ],
)
@pytest.mark.parametrize("is_batch", [False, True])
def test_an_appsync_resolver_event(
    parent_type: str, operation: dict[str, str], *, is_batch: bool
) -> None:
    field = {
        "arguments": {},
        "info": {"fieldName": "name", "parentTypeName": parent_type},
        "request": {"headers": {"user-agent": "x"}},
    }

    described = of([field, field] if is_batch else field)

    assert (described.trigger, described.attributes) == (
        "http",
        {"user_agent.original": "x"} | operation,
    )
    assert not described.result_is_http


# AWS AppSync, "Authorization and authentication", "AWS_LAMBDA authorization".
def test_an_appsync_authorizer_event() -> None:
    described = of(
        {
            "authorizationToken": "secret",
            "requestContext": {
                "apiId": "a",
                "queryString": "query MyQuery {...}",
                "operationName": "MyQuery",
            },
            "requestHeaders": {"user-agent": "x", "host": "a.appsync-api.us-east-1.amazonaws.com"},
        }
    )

    assert (described.trigger, described.attributes) == (
        "http",
        {
            "graphql.operation.name": "MyQuery",
            "server.address": "a.appsync-api.us-east-1.amazonaws.com",
            "user_agent.original": "x",
        },
    )
    assert not described.result_is_http
