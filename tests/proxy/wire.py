"""The bytes that runtimes and the Runtime API exchange, and both ends' views of one exchange."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.upstream import Peer, Upstream, connect, lines

if TYPE_CHECKING:
    from tests.proxy.conftest import Proxy

NEXT = (
    b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n"
    b"Host: 127.0.0.1:9001\r\n"
    b"Accept: */*\r\n"
    b"User-Agent: aws-lambda-python/3.11.7-4.2.2\r\n"
    b"\r\n"
)
PING = b"GET /2018-06-01/ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
ACCEPTED = (
    b"HTTP/1.1 202 Accepted\r\n"
    b"Content-Type: application/json\r\n"
    b"Date: Sun, 22 Nov 2026 07:05:00 GMT\r\n"
    b"Content-Length: 16\r\n"
    b"\r\n"
    b'{"status":"OK"}\n'
)
ACCEPTED_HEAD, ACCEPTED_BODY = ACCEPTED[:-16], ACCEPTED[-16:]
ARN = b"arn:aws:lambda:eu-central-1:123456789012:function:orders"


def event_head(
    request_id: bytes = b"8476a536-e9f4-11e8-9739-2dfe598c3fcd", fields: bytes = b""
) -> bytes:
    """The head of a reply to ``/next``, without its framing and its blank line; `fields` are whole
    lines.
    """
    return (
        b"HTTP/1.1 200 OK\r\n"
        b"Content-Type: application/json\r\n"
        b"Lambda-Runtime-Aws-Request-Id: " + request_id + b"\r\n"
        b"Lambda-Runtime-Deadline-Ms: 4102444800000\r\n"
        b"Lambda-Runtime-Invoked-Function-Arn: " + ARN + b"\r\n" + fields
    )


def event(
    request_id: bytes = b"8476a536-e9f4-11e8-9739-2dfe598c3fcd",
    body: bytes = b'{"n":1}',
    fields: bytes = b"",
) -> bytes:
    """A whole reply to ``/next``, framed by its length."""
    return event_head(request_id, fields) + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(body: bytes, size: int = 0) -> bytes:
    """A chunked body, in chunks of `size` bytes (0: all in one)."""
    size = size or len(body) or 1
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def post(target: bytes, body: bytes = b"", fields: bytes = b"") -> bytes:
    """A whole POST, framed by its length."""
    return post_head(target, b"Content-Length: %d\r\n" % len(body) + fields) + body


def post_head(target: bytes, fields: bytes) -> bytes:
    return b"POST " + target + b" HTTP/1.1\r\nHost: 127.0.0.1:9001\r\n" + fields + b"\r\n"


def result_target(
    request_id: bytes = b"8476a536-e9f4-11e8-9739-2dfe598c3fcd", endpoint: bytes = b"response"
) -> bytes:
    return b"/2018-06-01/runtime/invocation/" + request_id + b"/" + endpoint


def deliver(
    proxy: Proxy, upstream: Upstream, reply: bytes | None = None
) -> tuple[Peer, Peer, bytes, bytes]:
    """Send one event through the proxy. Returns the runtime, the Runtime API, and head and body as
    the runtime received them.
    """
    runtime = proxy.connect().send(NEXT)
    api = upstream.accept()
    api.read_head()
    api.send(event() if reply is None else reply)
    head, body = runtime.read_message()
    return runtime, api, head, body


def both_ends(upstream: Upstream, port: int, request: bytes, reply: bytes) -> tuple[bytes, bytes]:
    """All bytes of one exchange that reach upstream and the runtime.

    `port` is the proxy's or upstream's own: the result must not depend on it.
    """
    runtime = connect(port).send(request)
    api = upstream.accept()
    seen_upstream = api.read(len(request))
    assert not api.has_news(0)
    api.send(reply).end()
    seen_by_runtime = runtime.end().read_to_end()
    runtime.close()
    return seen_upstream, seen_by_runtime


def without_trace(head: bytes) -> set[bytes]:
    """A delivered head's lines without those that carry trace context or framing."""
    own = rb"(?i)(traceparent|tracestate|x-amzn-trace-id|lambda-runtime-trace-id|content-length|transfer-encoding):"
    return {line for line in lines(head) if not re.match(own, line)}
