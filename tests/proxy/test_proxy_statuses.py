"""Group F: what Lambda answers is what the runtime gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.proxy.wire import NEXT, both_ends, deliver, event_head, post, result_target
from tests.upstream import Upstream, field

if TYPE_CHECKING:
    from tests.proxy.conftest import Proxy

STATUSES = {
    400: b'{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}\n',
    403: b'{"errorMessage":"State transition is not allowed","errorType":"InvalidStateTransition"}\n',
    410: b'{"errorMessage":"Invoke timeout","errorType":"InvokeTimeout"}\n',
    413: b'{"errorMessage":"Exceeded","errorType":"RequestEntityTooLarge"}\n',
    431: b"Request Header Fields Too Large",
    500: b'{"errorMessage":"Container error","errorType":"InternalServerError"}\n',
}
TARGETS = [result_target(), result_target(endpoint=b"error"), b"/2018-06-01/runtime/init/error"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("closing", [b"", b"Connection: close\r\n"])
def test_a_refused_post_gets_lambdas_own_words(
    proxy: Proxy, upstream: Upstream, target: bytes, status: int, closing: bytes
) -> None:
    # F1
    body = STATUSES[status]
    reply = (
        b"HTTP/1.1 %d No\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s"
        % (
            status,
            len(body),
            closing,
            body,
        )
    )
    request = post(target, b"{}")
    direct = both_ends(upstream, upstream.port, request, reply)
    assert both_ends(upstream, proxy.port, request, reply) == direct == (request, reply)


@pytest.mark.parametrize("status", [403, 500])
def test_a_refused_poll_gets_lambdas_own_words_once(
    proxy: Proxy, upstream: Upstream, status: int
) -> None:
    # F2, F3: no retry, and the proxy goes on
    reply = b"HTTP/1.1 %d No\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        status,
        len(STATUSES[status]),
        STATUSES[status],
    )
    runtime = proxy.connect().send(NEXT)
    api = upstream.accept()
    api.read_head()
    api.send(reply)
    assert runtime.read(len(reply)) == reply
    assert not api.has_news()
    assert not upstream.has_caller(0)
    assert not proxy.has_record()
    runtime.send(NEXT)
    assert api.read_head() == NEXT


def test_an_event_without_content_type_gets_the_one_without_which_python_crashes(
    proxy: Proxy, upstream: Upstream
) -> None:
    # F4
    reply = (
        event_head().replace(b"Content-Type: application/json\r\n", b"")
        + b"Content-Length: 2\r\n\r\n{}"
    )
    _, _, head, _ = deliver(proxy, upstream, reply)
    assert field(head, "content-type") == b"application/json"


def test_a_reply_that_ends_with_its_connection_arrives_whole(
    proxy: Proxy, upstream: Upstream
) -> None:
    # F5
    reply = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n\r\n" + b"x" * 200_000
    request = post(result_target(), b"{}")
    runtime = proxy.connect().send(request)
    api = upstream.accept()
    api.read(len(request))
    api.send(reply).end()
    assert runtime.read_to_end() == reply


def test_an_event_that_ends_with_its_connection_arrives_whole(
    proxy: Proxy, upstream: Upstream
) -> None:
    # F5
    reply = event_head() + b"\r\n" + b"x" * 200_000
    runtime = proxy.connect().send(NEXT)
    api = upstream.accept()
    api.read_head()
    api.send(reply).end()
    assert runtime.read_to_end() == reply


def test_a_chunked_reply_to_a_result_stays_what_it_is(proxy: Proxy, upstream: Upstream) -> None:
    # F5
    reply = b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3;x\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"
    request = post(result_target(), b"{}")
    assert both_ends(upstream, proxy.port, request, reply) == (request, reply)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_a_reply_that_has_no_body_by_its_status_ends_with_its_head(
    proxy: Proxy, upstream: Upstream, status: bytes
) -> None:
    # F5
    reply = b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\n"
    request = b"GET /2018-06-01/ping HTTP/1.1\r\n\r\n"
    runtime = proxy.connect().send(request)
    api = upstream.accept()
    api.read_head()
    api.send(reply)
    assert runtime.read(len(reply)) == reply
    runtime.send(request)
    assert api.read_head() == request


@pytest.mark.parametrize("how", ["reset", "end"])
@pytest.mark.parametrize(
    "reply",
    [
        event_head() + b'Content-Length: 20\r\n\r\n{"half":',
        event_head() + b'Transfer-Encoding: chunked\r\n\r\n14\r\n{"half":',
        event_head() + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
        event_head() + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n",
        event_head() + b"Content-Le",
    ],
    ids=["length", "in a chunk", "between chunks", "bad chunk", "in the head"],
)
def test_a_truncated_event_is_a_closed_connection_and_never_a_shorter_event(
    proxy: Proxy, upstream: Upstream, reply: bytes, how: str
) -> None:
    # F6
    runtime = proxy.connect().send(NEXT)
    api = upstream.accept()
    api.read_head()
    api.send(reply)
    getattr(api, how)()
    assert runtime.read_to_any_end()[0] == b""
    assert not proxy.has_record()
