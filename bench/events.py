"""Events: what Lambda delivers in these benchmarks, of any size, with any number of headers or
records, in any order.
"""

from __future__ import annotations

import json
from base64 import b64encode
from random import Random
from typing import Any

HEADERS = {
    "accept": "*/*",
    "content-type": "application/json",
    "host": "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101",
    "x-amzn-trace-id": "Root=1-67d448e8-3ae320be0e2cdf2f53ccdaba",
    "x-forwarded-for": "203.0.113.7",
    "x-forwarded-port": "443",
    "x-forwarded-proto": "https",
    "content-length": "0",
}
BODIES = ("plain", "base64", "escapes")
# A line of what clients post: in a body each of its quotes takes a backslash.
_POSTED = '{"id":4711,"name":"Ada","note":"two\\nlines","tags":["a","b"]},'


def http_event(
    size: int, *, headers: int = len(HEADERS), body: str = "plain", body_first: bool = False
) -> bytes:
    """An API Gateway HTTP event of exactly `size` bytes, unless the rest needs more: most of it its
    body, of kind `body`.

    Lambda writes the headers before the body. `body_first` is the other order, which API Gateway
    does not send.
    """
    first: dict[str, Any] = {"body": ""} if body_first else {}
    event = first | {
        "version": "2.0",
        "routeKey": "POST /orders",
        "rawPath": "/orders",
        "rawQueryString": "",
        "headers": _headers(headers),
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "a1b2c3d4e5",
            "http": {
                "method": "POST",
                "path": "/orders",
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "stage": "$default",
            "timeEpoch": 1795300000000,
        },
        "body": "",
        "isBase64Encoded": body == "base64",
    }
    return _filled(event, size, body)


def rest_event(size: int) -> bytes:
    """An API Gateway REST event of exactly `size` bytes, which names its twenty headers twice."""
    headers = _headers(20)
    event = {
        "resource": "/orders/{id}",
        "path": "/orders/4711",
        "httpMethod": "POST",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": {"full": "true"},
        "multiValueQueryStringParameters": {"full": ["true"]},
        "pathParameters": {"id": "4711"},
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "a1b2c3d4e5",
            "domainName": "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com",
            "httpMethod": "POST",
            "identity": {"sourceIp": "203.0.113.7", "userAgent": HEADERS["user-agent"]},
            "path": "/prod/orders/4711",
            "protocol": "HTTP/1.1",
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "requestTimeEpoch": 1795300000000,
            "resourceId": "123456",
            "resourcePath": "/orders/{id}",
            "stage": "prod",
        },
        "body": "",
        "isBase64Encoded": False,
    }
    return _filled(event, size, "plain")


def batch_event(records: int) -> bytes:
    """An SQS batch in which every message brings a trace context."""
    return _json({"Records": [_message(number) for number in range(records)]})


def _message(number: int) -> dict[str, Any]:
    context = f"00-4bf92f3577b34da6a3ce929d0e0e4736-{number + 1:016x}-01"
    return {
        "messageId": f"059f36b4-87a3-44ab-83d2-{number:012x}",
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "body": '{"order":4711}',
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1795300000000",
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": "1795300000001",
        },
        "messageAttributes": {"traceparent": {"stringValue": context, "dataType": "String"}},
        "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:orders",
        "awsRegion": "eu-central-1",
    }


def _headers(count: int) -> dict[str, str]:
    more = {
        f"x-more-{number:03}": f"value {number} of a header"
        for number in range(count - len(HEADERS))
    }
    return HEADERS | more


def _filled(event: dict[str, Any], size: int, body: str) -> bytes:
    """The event with a body that fills it up; what escapes leave over goes into the path."""
    room = size - len(_json(event))
    event["body"] = _body(body, room)
    missing = size - len(_json(event))
    name = "rawPath" if "rawPath" in event else "path"
    event[name] += "x" * missing
    return _json(event)


def _body(kind: str, size: int) -> str:
    """A text that takes at most `size` bytes as JSON."""
    if kind == "plain":
        return "x" * size
    if kind == "base64":
        return b64encode(Random(4711).randbytes(max(size, 0) // 4 * 3)).decode()
    return _POSTED * (size // (len(json.dumps(_POSTED)) - 2))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
