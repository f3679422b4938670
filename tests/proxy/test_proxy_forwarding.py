"""Group A: what passes through, passes through as it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.proxy.wire import (
    ACCEPTED,
    NEXT,
    both_ends,
    chunked,
    deliver,
    event,
    event_head,
    post,
    post_head,
    result_target,
    without_trace,
)
from tests.upstream import Upstream, connect, field, lines

if TYPE_CHECKING:
    from tests.proxy.conftest import Proxy, Start

SIZES = [0, 1_900, 3_000, 6_000_000]


def json_event(size: int) -> bytes:
    return b"" if size == 0 else b'{"text":"%s"}' % (b"x" * (size - 11))


@pytest.mark.parametrize("size", SIZES)
def test_an_event_with_a_length_reaches_the_runtime_byte_for_byte(
    proxy: Proxy, upstream: Upstream, size: int
) -> None:
    # A1, B5: 0 B and 1,900 B come with Content-Length
    body = json_event(size)
    _, _, head, received = deliver(proxy, upstream, event(body=body))
    assert received == body
    assert without_trace(head) == without_trace(event())
    assert field(head, "content-type") == b"application/json"


@pytest.mark.parametrize(
    ("size", "chunk"), [(3_000, 0), (6_000_000, 0), (6_000_000, 32_768), (500, 1)]
)
def test_a_chunked_event_reaches_the_runtime_whole_with_one_legal_framing(
    proxy: Proxy, upstream: Upstream, size: int, chunk: int
) -> None:
    # A1: 3,000 B chunked; 6 MB as classic sends it (one chunk) and as Managed Instances do (32 KB
    # chunks)
    body = json_event(size)
    reply = event_head() + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body, chunk)
    _, _, head, received = deliver(proxy, upstream, reply)
    assert received == body
    assert field(head, "content-length") == b"%d" % size
    assert field(head, "transfer-encoding") is None
    assert without_trace(head) == without_trace(event())


@pytest.mark.parametrize("chunk", [0, 7])
def test_without_telemetry_an_event_is_what_lambda_sent_to_the_byte(
    start: Start, upstream: Upstream, chunk: int
) -> None:
    # A1, B5: the pass-through
    proxy = start(is_on=False)
    reply = event_head() + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b'{"n": 1}', chunk)
    runtime = proxy.connect().send(NEXT)
    api = upstream.accept()
    assert api.read_head() == NEXT
    api.send(reply)
    assert runtime.read(len(reply)) == reply
    assert not runtime.has_news(0)


POSTS = {
    "A2 result": post(
        result_target(),
        b'{"ok":1}\n',
        b"Content-Type: application/json\r\nUser-Agent: aws-lambda-python/3.11.7-4.2.2\r\n",
    ),
    "A2 result without a content type (Rust)": post(result_target(), b'{"ok":1}\n'),
    "A3 error": post(
        result_target(endpoint=b"error"),
        b'{"errorMessage":"no","errorType":"KeyError"}',
        b'Lambda-Runtime-Function-Error-Type: Runtime.KeyError\r\nlambda-runtime-function-xray-error-cause: {"a":1}\r\n',
    ),
    "A3 init error": post(
        b"/2018-06-01/runtime/init/error",
        b'{"e":1}',
        b"Lambda-Runtime-Function-Error-Type: Runtime.Import\r\n",
    ),
    "A4 unknown path": b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n",
    "A4 telemetry": b"PUT /2022-07-01/telemetry HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
    "A4 ping": b"GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n\r\n",
    "A4 credentials": b"GET /2021-04-23/credentials HTTP/1.1\r\nHost: x\r\nAuthorization: secret\r\n\r\n",
    "A4 from the future": b"PATCH /2099-01-01/x HTTP/1.1\r\nHost: x\r\nX-Y:\r\n\r\n",
    "A5 POST on next": post(b"/2018-06-01/runtime/invocation/next"),
    "A7 register": post(
        b"/2020-01-01/extension/register",
        b'{"events":null}',
        b"Lambda-Extension-Name: GoLangEnableSIGTERM\r\n",
    ),
    "A9 restore error": post(
        b"/2018-06-01/runtime/restore/error",
        b"{}",
        b"Lambda-Runtime-Function-Error-Type: Runtime.Hook\r\n",
    ),
    "A10 invocation id": post(result_target(), b"1", b"lambda-runtime-invocation-id: 5b1e\r\n"),
    "A12 unknown field": post(result_target(), b"1", b"X-New: 2\r\n"),
    "A13 empty field": post(result_target(), b"1", b"X-Empty: \r\nX-None:\r\n"),
    "A14 features": post(
        result_target(), b"1", b"lambda-runtime-features: a  b\r\nUSER-AGENT:  bash \r\n"
    ),
    "B4 nothing": post(result_target()),
    "B10 content coding": post(
        result_target(), b"\x1f\x8b\x08\x00", b"Content-Encoding: gzip\r\nAccept-Encoding: gzip\r\n"
    ),
    "C5 streamed without response mode": post_head(
        result_target(),
        b"Content-Type: application/vnd.awslambda.http-integration-response\r\nTransfer-Encoding: chunked\r\n",
    )
    + chunked(b'{"statusCode":201}' + bytes(8) + b"abc", 5),
    "E12 repeated fields": post(result_target(), b"1", b"X-A: 1\r\nX-B: 2\r\nX-A: 3\r\n"),
    "E13 spellings": post(result_target(), b"1", b"x-lower: 1\r\nX-UPPER: 2\r\nX-cAmEl: 3\r\n"),
    "E16 bytes above 127": post(result_target(), b"1", b"X-Cause: \xc3\xa9\xff\x80\r\n"),
    "E20 no host": b"GET /2018-06-01/ping HTTP/1.1\r\nX: y\r\n\r\n",
    "E21 another host": b"GET /2018-06-01/ping HTTP/1.1\r\nHost: example.org:1\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", POSTS.values(), ids=POSTS.keys())
def test_a_call_and_its_reply_are_the_same_through_the_proxy_as_without_it(
    start: Start, upstream: Upstream, request_bytes: bytes
) -> None:
    direct = both_ends(upstream, upstream.port, request_bytes, ACCEPTED)
    assert direct == (request_bytes, ACCEPTED)
    assert both_ends(upstream, start().port, request_bytes, ACCEPTED) == direct
    assert both_ends(upstream, start(is_on=False).port, request_bytes, ACCEPTED) == direct


def test_a_result_within_an_invocation_is_passed_on_as_it_is_too(
    proxy: Proxy, upstream: Upstream
) -> None:
    # A2: the same, where the proxy also makes a record of it
    runtime, api, _, _ = deliver(proxy, upstream)
    request = post(result_target(), b'{"ok":1}\n', b"Content-Type: application/json\r\n")
    runtime.send(request)
    assert api.read(len(request)) == request
    api.send(ACCEPTED)
    assert runtime.read(len(ACCEPTED)) == ACCEPTED
    assert proxy.record().request_id == "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
    finished = proxy.record()
    assert (finished.endpoint, finished.status, finished.is_complete, finished.body_length) == (
        "response",
        202,
        True,
        9,
    )
    assert finished.payload == request


def test_an_error_within_an_invocation_is_recorded_as_one(proxy: Proxy, upstream: Upstream) -> None:
    # A3
    runtime, api, _, _ = deliver(proxy, upstream)
    request = post(
        result_target(endpoint=b"error"),
        b"{}",
        b"Lambda-Runtime-Function-Error-Type: Runtime.KeyError\r\n",
    )
    runtime.send(request)
    assert api.read(len(request)) == request
    api.send(ACCEPTED)
    assert runtime.read(len(ACCEPTED)) == ACCEPTED
    proxy.record()
    finished = proxy.record()
    assert finished.endpoint == "error"
    assert finished.payload == request


def test_a_failed_init_is_recorded(proxy: Proxy, upstream: Upstream) -> None:
    # A3
    request = post(b"/2018-06-01/runtime/init/error", b'{"errorType":"Import"}')
    both_ends(upstream, proxy.port, request, ACCEPTED)
    record = proxy.record()
    assert record.payload == request
    assert record.payload[record.head_length :] == b'{"errorType":"Import"}'


def test_a_wrong_method_gets_upstreams_405_and_its_allow(proxy: Proxy, upstream: Upstream) -> None:
    # A5
    request = post(b"/2018-06-01/runtime/invocation/next")
    reply = b"HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\nContent-Length: 0\r\n\r\n"
    assert both_ends(upstream, proxy.port, request, reply) == (request, reply)


def test_the_reply_to_head_has_no_body_and_the_connection_goes_on(
    proxy: Proxy, upstream: Upstream
) -> None:
    # A5
    runtime = proxy.connect()
    head = b"HEAD /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n\r\n"
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\n"
    runtime.send(head)
    api = upstream.accept()
    api.read_head()
    api.send(reply)
    assert runtime.read_head() == reply
    runtime.send(head)
    assert api.read_head() == head


TARGETS = [
    b"//2018-06-01/runtime/invocation/next",
    b"/2018-06-01/runtime/invocation/next/",
    b"/2018-06-01/ping?x=1&y=%20",
    b"/2018-06-01/runtime/invocation/a%2fb/response",
    b"/2018-06-01/runtime/invocation/8476A536-E9F4-11E8-9739-2DFE598C3FCD/response?q",
    b"http://127.0.0.1:9001/2018-06-01/ping",
    b"http://127.0.0.1:9001",
    b"*",
    b"/\xc3\xa9;a=b,c|d\"e'",
]


@pytest.mark.parametrize("target", TARGETS)
def test_a_request_target_reaches_lambda_unchanged(
    proxy: Proxy, upstream: Upstream, target: bytes
) -> None:
    # A6
    request = b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    assert both_ends(upstream, proxy.port, request, ACCEPTED) == (request, ACCEPTED)


@pytest.mark.parametrize(
    "target",
    [b"/2018-06-01/runtime/invocation/next?x=1", b"http://h/2018-06-01/runtime/invocation/next"],
)
def test_an_event_asked_for_in_another_notation_is_delivered_and_recorded(
    proxy: Proxy, upstream: Upstream, target: bytes
) -> None:
    # A6
    request = b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    runtime = proxy.connect().send(request)
    api = upstream.accept()
    assert api.read_head() == request
    api.send(event())
    assert field(runtime.read_head(), "traceparent") is not None
    assert proxy.record().request_id == "8476a536-e9f4-11e8-9739-2dfe598c3fcd"


@pytest.mark.parametrize(
    "path", [b"/2020-01-01/extension/event/next", b"/2018-06-01/runtime/restore/next"]
)
def test_a_call_that_is_answered_when_lambda_likes_is_held_open(
    proxy: Proxy, upstream: Upstream, path: bytes
) -> None:
    # A7 (Go's event/next stays open for the whole life), A8 (restore/next is held across the
    # snapshot); `make soak` waits longer
    request = b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nAccept-Encoding: identity\r\n\r\n"
    runtime = proxy.connect().send(request)
    api = upstream.accept()
    assert api.read_head() == request
    assert not runtime.has_news()
    assert not api.has_news(0)
    api.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert runtime.read_head() == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def test_after_a_restore_no_connection_from_before_the_snapshot_is_used(
    proxy: Proxy, upstream: Upstream
) -> None:
    # A8: such sockets look open and lead nowhere
    early, restoring = proxy.connect(), proxy.connect()
    early.send(b"GET /2018-06-01/ping HTTP/1.1\r\n\r\n")
    before = upstream.accept()
    before.read_head()
    before.send(ACCEPTED)
    early.read(len(ACCEPTED))
    restoring.send(b"GET /2018-06-01/runtime/restore/next HTTP/1.1\r\n\r\n")
    upstream.accept().send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    restoring.read_head()
    early.send(NEXT)
    assert upstream.accept().read_head() == NEXT
    restoring.send(NEXT)
    assert upstream.accept().read_head() == NEXT
    assert type(proxy.record()).__name__ == "Restored"


def test_a_refused_restore_is_not_recorded_as_one(proxy: Proxy, upstream: Upstream) -> None:
    # A8
    request = b"GET /2018-06-01/runtime/restore/next HTTP/1.1\r\n\r\n"
    reply = b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n"
    assert both_ends(upstream, proxy.port, request, reply) == (request, reply)
    assert not proxy.has_record()


DELIVERED_FIELDS = {
    "A10 invocation id": b"Lambda-Runtime-Invocation-Id: 5b1e\r\n",
    "A11 tenant, identity, client context": b"Lambda-Runtime-Aws-Tenant-Id: t1\r\n"
    b'Lambda-Runtime-Cognito-Identity: {"cognitoIdentityId":"i"}\r\n',
    "A12 unknown": b"Lambda-Runtime-Foo: 1\r\nX-Bar:  spaced  \r\n",
    "A13 empty": b"Lambda-Runtime-Cognito-Identity: \r\nLambda-Runtime-Aws-Tenant-Id:\r\n",
    "E12 twice": b"X-A: 1\r\nX-B: 2\r\nX-A: 1\r\nLambda-Runtime-Aws-Request-Id: another\r\n",
    "E13 spellings": b"x-lower: 1\r\nX-UPPER: 2\r\n",
    "E16 bytes above 127": b"X-Name: \xc3\xa9\xff\x80\r\n",
}


@pytest.mark.parametrize("fields", DELIVERED_FIELDS.values(), ids=DELIVERED_FIELDS.keys())
def test_what_lambda_says_beside_an_event_reaches_the_runtime(
    proxy: Proxy, upstream: Upstream, fields: bytes
) -> None:
    _, _, head, _ = deliver(proxy, upstream, event(fields=fields))
    came = [line for line in lines(event(fields=fields)) if not line.startswith(b"Content-Length")]
    own = (
        b"traceparent:",
        b"tracestate:",
        b"X-Amzn-Trace-Id:",
        b"Lambda-Runtime-Trace-Id:",
        b"Content-Length:",
    )
    assert [line for line in lines(head) if not line.startswith(own)] == came


def test_what_lambda_does_not_say_is_not_made_up(proxy: Proxy, upstream: Upstream) -> None:
    # A10, A13: absent stays absent
    _, _, head, _ = deliver(proxy, upstream)
    for name in ("invocation-id", "client-context", "cognito-identity", "aws-tenant-id"):
        assert field(head, f"lambda-runtime-{name}") is None


def test_an_empty_trace_header_does_not_stop_an_event(proxy: Proxy, upstream: Upstream) -> None:
    # A13: Managed Instances send it empty
    _, _, head, body = deliver(proxy, upstream, event(fields=b"Lambda-Runtime-Trace-Id: \r\n"))
    assert body == b'{"n":1}'
    assert head.lower().count(b"lambda-runtime-trace-id:") == 1
    assert proxy.sandbox.recorder.failures == 0


def test_a_gone_invocation_is_told_to_the_runtime(proxy: Proxy, upstream: Upstream) -> None:
    # A10, D15: 410 where the Invocation-Id does not match, or after a time-out
    reply = (
        b"HTTP/1.1 410 Gone\r\nContent-Type: application/json\r\nContent-Length: 62\r\n\r\n"
        b'{"errorMessage":"Invoke timeout","errorType":"InvokeTimeout"}\n'
    )
    runtime, api, _, _ = deliver(
        proxy, upstream, event(fields=b"Lambda-Runtime-Invocation-Id: a1\r\n")
    )
    request = post(result_target(), b"1", b"Lambda-Runtime-Invocation-Id: a1\r\n")
    runtime.send(request)
    assert api.read(len(request)) == request
    api.send(reply)
    assert runtime.read(len(reply)) == reply
    proxy.record()
    assert proxy.record().status == 410


def test_the_wrapper_learns_that_it_is_us_and_hands_over(proxy: Proxy, upstream: Upstream) -> None:
    runtime = proxy.connect().send(
        b"GET /lrap-otel/hello HTTP/1.1\r\nLrap-Handler: app.handler\r\nLrap-Log-Group: g\xff\r\n\r\n"
    )
    answer = runtime.read_to_end()
    assert answer.startswith(b"HTTP/1.1 200 lrap-otel\r\n")
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {}
    record = proxy.record()
    assert (record.handler, record.log_group, record.log_stream) == ("app.handler", "g\ufffd", "")
    assert not upstream.has_caller(0)


def test_a_spare_connection_is_kept_and_costs_lambda_nothing(
    proxy: Proxy, upstream: Upstream
) -> None:
    # D13, D11: Go and Node open connections that they do not use yet; no timer closes them
    spare = connect(proxy.port)
    runtime, _, _, _ = deliver(proxy, upstream)
    assert not spare.has_news()
    spare.send(b"GET /2018-06-01/ping HTTP/1.1\r\n\r\n")
    upstream.accept().send(ACCEPTED)
    assert spare.read(len(ACCEPTED)) == ACCEPTED
    spare.close()
    assert not runtime.has_news(0)
