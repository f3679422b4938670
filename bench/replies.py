"""Heads as Lambda and its runtime for Python write them, each with a request id of its own."""

from __future__ import annotations

_EVENT_HEAD = (
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    "Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-{number:012}\r\n"
    "Lambda-Runtime-Deadline-Ms: 99999999{number:05}\r\n"
    "Lambda-Runtime-Invoked-Function-Arn: "
    "arn:aws:lambda:eu-central-1:123456789012:function:bench\r\n"
    "Lambda-Runtime-Trace-Id: Root=1-67d448e8-3ae320be0e2c{number:012};Lineage=1:73f724a8:0\r\n"
    "Date: Sun, 22 Nov 2026 00:00:00 GMT\r\nContent-Length: {length}\r\n\r\n"
)
_RESULT_HEAD = (
    "POST /2018-06-01/runtime/invocation/8476a536-e9f4-11e8-9739-{number:012}/response HTTP/1.1\r\n"
    "Host: 127.0.0.1:9001\r\nAccept: */*\r\nUser-Agent: aws-lambda-python/3.11.7-4.2.2\r\n"
    "content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
)
RESULT = (
    b'{"statusCode": 200, "headers": {"content-type": "application/json"}, "body": '
    b'"{\\"ok\\": true}"}'
)
NEXT_HEAD = (
    b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: 127.0.0.1:9001\r\nAccept: */*\r\n"
    b"User-Agent: aws-lambda-python/3.11.7-4.2.2\r\n\r\n"
)
ACCEPTED_HEAD = (
    b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nDate: Sun, 22 Nov 2026 00:00:00 "
    b"GMT\r\n"
    b"Content-Length: 16\r\n\r\n"
)


def event_head(number: int, length: int) -> bytes:
    """Of the reply to ``/next`` that brings an event of `length` bytes."""
    return _EVENT_HEAD.format(number=number, length=length).encode()


def result_head(number: int) -> bytes:
    """Of the runtime's POST of a result."""
    return _RESULT_HEAD.format(number=number, length=len(RESULT)).encode()
