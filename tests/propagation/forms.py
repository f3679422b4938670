"""The forms in which Lambda hands over one HTTP request's header lines, as whole events."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    # Name and value, in the order in which they came.
    Lines = Sequence[tuple[str, str]]


def _arrays(lines: Lines) -> dict[str, list[str]]:
    arrays: dict[str, list[str]] = {}
    for name, value in lines:
        arrays.setdefault(name, []).append(value)
    return arrays


def _joined(lines: Lines) -> dict[str, str]:
    return {
        name: ",".join(values)
        for name, values in _arrays([(name.lower(), value) for name, value in lines]).items()
    }


def rest_api(lines: Lines) -> Any:
    """API Gateway, REST: the last line of each name, and all of them."""
    return {
        "resource": "/pets/{id}",
        "path": "/pets/7",
        "httpMethod": "GET",
        "headers": dict(lines),
        "multiValueHeaders": _arrays(lines),
        "requestContext": {"resourcePath": "/pets/{id}", "stage": "prod"},
        "body": None,
    }


def http_api(lines: Lines) -> Any:
    """API Gateway, HTTP: names in lower case, lines joined."""
    return {
        "version": "2.0",
        "routeKey": "GET /pets/{id}",
        "rawPath": "/pets/7",
        "headers": _joined(lines),
        "requestContext": {"http": {"method": "GET", "path": "/pets/7"}},
    }


def load_balancer(lines: Lines) -> Any:
    """ALB with multi-value headers."""
    return {
        "requestContext": {
            "elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/t/1"}
        },
        "httpMethod": "GET",
        "path": "/",
        "multiValueHeaders": _arrays([(name.lower(), value) for name, value in lines]),
        "body": "",
    }


def websocket(lines: Lines) -> Any:
    """API Gateway, WebSocket: the connection's request."""
    return {
        "headers": dict(lines),
        "multiValueHeaders": _arrays(lines),
        "requestContext": {"routeKey": "$connect", "eventType": "CONNECT"},
        "isBase64Encoded": False,
    }


def lattice_1(lines: Lines) -> Any:
    """VPC Lattice, first version."""
    return {
        "raw_path": "/",
        "method": "GET",
        "headers": _joined(lines),
        "body": "",
        "is_base64_encoded": False,
    }


def lattice_2(lines: Lines) -> Any:
    """VPC Lattice, second version: arrays in `headers`."""
    return {
        "version": "2.0",
        "path": "/",
        "method": "GET",
        "headers": _arrays([(name.lower(), value) for name, value in lines]),
        "requestContext": {
            "serviceArn": "arn:aws:vpc-lattice:us-east-1:1:service/s",
            "region": "us-east-1",
        },
    }


def appsync(lines: Lines) -> Any:
    """AppSync, a resolver."""
    return {
        "arguments": {"id": "7"},
        "identity": None,
        "source": None,
        "request": {"headers": _joined(lines), "domainName": None},
        "info": {"fieldName": "pet", "parentTypeName": "Query", "variables": {}},
    }


def appsync_without_arguments(lines: Lines) -> Any:
    """AppSync, a resolver of a field that takes none."""
    return {name: value for name, value in appsync(lines).items() if name != "arguments"}


def amplify(lines: Lines) -> Any:
    """AppSync, a resolver with Amplify's template."""
    return {
        "typeName": "Query",
        "fieldName": "pet",
        "request": {"headers": _joined(lines)},
        "prev": {},
    }


def appsync_events(lines: Lines) -> Any:
    """AppSync, a handler of the Event API."""
    info = {
        "channel": {"path": "/orders/eu"},
        "channelNamespace": {"name": "orders"},
        "operation": "PUBLISH",
    }
    return {
        "identity": None,
        "request": {"headers": _joined(lines)},
        "info": info,
        "events": [{"id": "1"}],
    }


def appsync_authorizer(lines: Lines) -> Any:
    """AppSync, an authorizer."""
    context = {"apiId": "abc", "operation": "EVENT_PUBLISH", "channel": "/orders/eu"}
    return {
        "authorizationToken": "token",
        "requestContext": context,
        "requestHeaders": _joined(lines),
    }


FORMS: list[Callable[[Lines], Any]] = [
    rest_api,
    http_api,
    load_balancer,
    websocket,
    lattice_1,
    lattice_2,
    appsync,
    appsync_without_arguments,
    amplify,
    appsync_events,
    appsync_authorizer,
]


def payload(event: Any) -> bytes:
    """An event as Lambda writes it."""
    return json.dumps(event, separators=(",", ":")).encode()


def headers_of(event: Any) -> list[dict[str, list[str]]]:
    """All objects of an event that hold headers, their values as lists."""
    found = [event.get(name) for name in ("headers", "multiValueHeaders", "requestHeaders")]
    found.append(event.get("request", {}).get("headers"))
    return [
        {name: value if isinstance(value, list) else [value] for name, value in headers.items()}
        for headers in found
        if headers is not None
    ]
