"""Group C: a streamed result goes on as it comes, and an abort stays an abort."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.proxy.wire import (
    ACCEPTED,
    NEXT,
    both_ends,
    chunked,
    deliver,
    event,
    post,
    post_head,
    result_target,
)

if TYPE_CHECKING:
    from tests.proxy.conftest import Proxy
    from tests.upstream import Peer, Upstream

STREAMING = (
    b"Content-Type: application/octet-stream\r\n"
    b"Lambda-Runtime-Function-Response-Mode: streaming\r\n"
    b"Transfer-Encoding: chunked\r\n"
)
ERROR_TRAILERS = (
    b"Lambda-Runtime-Function-Error-Type: Runtime.StreamError\r\n"
    b"Lambda-Runtime-Function-Error-Body: eyJlcnJvck1lc3NhZ2UiOiJubyJ9\r\n"
)


def stream(proxy: Proxy, upstream: Upstream, fields: bytes = STREAMING) -> tuple[Peer, Peer]:
    """A result that has begun: its head has gone to Lambda."""
    runtime, api, _, _ = deliver(proxy, upstream)
    head = post_head(result_target(), fields)
    runtime.send(head)
    assert api.read(len(head)) == head
    return runtime, api


def test_each_chunk_reaches_lambda_before_the_next_one_is_made(
    proxy: Proxy, upstream: Upstream
) -> None:
    # C1
    runtime, api = stream(proxy, upstream)
    for number in range(100):
        chunk = b"4\r\n%04d\r\n" % number
        runtime.send(chunk)
        assert api.read(len(chunk)) == chunk
    runtime.send(b"0\r\n\r\n")
    assert api.read(5) == b"0\r\n\r\n"
    api.send(ACCEPTED)
    assert runtime.read(len(ACCEPTED)) == ACCEPTED


CLIENTS = {
    "C2 .NET: one line": (
        b"Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n",
        ERROR_TRAILERS,
    ),
    "C2 Go: one line, no space": (
        b"Trailer: Lambda-Runtime-Function-Error-Body,Lambda-Runtime-Function-Error-Type\r\n",
        ERROR_TRAILERS,
    ),
    "C3 Node: two lines": (
        b"Trailer: Lambda-Runtime-Function-Error-Type\r\nTrailer: Lambda-Runtime-Function-Error-Body\r\n",
        ERROR_TRAILERS,
    ),
    "C4 Go: declared and not sent": (
        b"Trailer: Lambda-Runtime-Function-Error-Body,Lambda-Runtime-Function-Error-Type\r\n",
        b"",
    ),
    "sent and not declared": (b"", ERROR_TRAILERS),
}


@pytest.mark.parametrize(("declaration", "trailers"), CLIENTS.values(), ids=CLIENTS.keys())
def test_trailers_reach_lambda_in_the_form_of_each_client(
    proxy: Proxy, upstream: Upstream, declaration: bytes, trailers: bytes
) -> None:
    request = (
        post_head(result_target(), STREAMING + declaration)
        + b"3\r\nabc\r\n0\r\n"
        + trailers
        + b"\r\n"
    )
    direct = both_ends(upstream, upstream.port, request, ACCEPTED)
    assert both_ends(upstream, proxy.port, request, ACCEPTED) == direct == (request, ACCEPTED)


def test_trailers_are_part_of_the_record(proxy: Proxy, upstream: Upstream) -> None:
    # C2: an error in mid-stream is told in them alone
    runtime, api = stream(proxy, upstream)
    body = b"3\r\nabc\r\n0\r\n" + ERROR_TRAILERS + b"\r\n"
    runtime.send(body)
    api.read(len(body))
    api.send(ACCEPTED)
    runtime.read(len(ACCEPTED))
    proxy.record()
    finished = proxy.record()
    assert finished.payload[finished.head_length :] == body


def test_the_prelude_of_an_http_response_is_not_touched_wherever_it_is_split(
    proxy: Proxy, upstream: Upstream
) -> None:
    # C6
    runtime, api = stream(proxy, upstream)
    prelude = b'{"statusCode":200}' + bytes(8) + b"body"
    for size in range(1, len(prelude)):
        pieces = b"%x\r\n%s\r\n%x\r\n%s\r\n" % (
            size,
            prelude[:size],
            len(prelude) - size,
            prelude[size:],
        )
        runtime.send(pieces)
        assert api.read(len(pieces)) == pieces


@pytest.mark.parametrize("how", ["reset", "end", "close"])
@pytest.mark.parametrize(
    "begun",
    [b"5\r\nhello\r\n", b"5\r\nhel", b"5", b""],
    ids=["chunk", "in a chunk", "line", "head"],
)
def test_a_runtime_that_breaks_off_leaves_a_truncated_body_and_never_a_clean_end(
    proxy: Proxy, upstream: Upstream, how: str, begun: bytes
) -> None:
    # C7
    runtime, api = stream(proxy, upstream)
    runtime.send(begun)
    assert api.read(len(begun)) == begun
    getattr(runtime, how)()
    assert api.read_to_any_end()[0] == b""
    proxy.record()
    finished = proxy.record()
    assert (finished.is_complete, finished.status, finished.body_length) == (False, 0, len(begun))


@pytest.mark.parametrize("how", ["reset", "end"])
def test_a_runtime_that_breaks_off_a_body_of_known_length_leaves_it_short(
    proxy: Proxy, upstream: Upstream, how: str
) -> None:
    # C7
    runtime, api = stream(proxy, upstream, b"Content-Length: 10\r\n")
    runtime.send(b"12345")
    assert api.read(5) == b"12345"
    getattr(runtime, how)()
    assert api.read_to_any_end()[0] == b""


@pytest.mark.parametrize("how", ["reset", "close", "end"])
def test_when_lambda_breaks_off_the_runtime_learns_it_at_once_and_gets_no_made_up_answer(
    proxy: Proxy, upstream: Upstream, how: str
) -> None:
    # C8
    runtime, api = stream(proxy, upstream)
    chunk = b"10000\r\n" + bytes(65_536) + b"\r\n"
    runtime.send(chunk)
    assert api.read(len(chunk)) == chunk
    getattr(api, how)()
    assert runtime.read_to_any_end()[0] == b""
    assert not upstream.has_caller()  # and it is not sent again


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_reply_that_lambda_breaks_off_ends_in_a_reset(
    proxy: Proxy, upstream: Upstream, how: str
) -> None:
    # C8, F6: in the other direction
    runtime = proxy.connect().send(b"GET /2021-04-23/credentials HTTP/1.1\r\n\r\n")
    api = upstream.accept()
    api.read_head()
    begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"
    api.send(begun)
    assert runtime.read(len(begun)) == begun
    getattr(api, how)()
    assert runtime.read_to_any_end() == (b"", True)


def test_a_runtime_that_leaves_while_it_is_answered_leaves_no_half_read_reply_to_the_next(
    proxy: Proxy, upstream: Upstream
) -> None:
    # C8
    runtime = proxy.connect().send(b"GET /2021-04-23/credentials HTTP/1.1\r\n\r\n")
    api = upstream.accept()
    api.read_head()
    begun = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n12345"
    api.send(begun)
    runtime.read(len(begun))
    runtime.reset()
    api.send(b"6" * 100_000)
    api.read_to_any_end()
    another = proxy.connect().send(b"GET /2018-06-01/ping HTTP/1.1\r\n\r\n")
    fresh = upstream.accept()
    assert fresh.read_head() == b"GET /2018-06-01/ping HTTP/1.1\r\n\r\n"
    fresh.send(ACCEPTED)
    assert another.read(len(ACCEPTED)) == ACCEPTED


def test_interim_and_early_final_answer_in_one_segment_both_arrive(
    proxy: Proxy, upstream: Upstream
) -> None:
    # C9, E1: the runtime is waiting, so nothing else will wake anybody
    runtime, api = stream(proxy, upstream, b"Content-Length: 2000000\r\nExpect: 100-continue\r\n")
    refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    api.send(b"HTTP/1.1 100 Continue\r\n\r\n" + refusal)
    assert runtime.read_head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert runtime.read_head().startswith(b"HTTP/1.1 400 ")


FORMS = {
    "extensions": b'3;a=b;c="d"\r\nabc\r\n0;last\r\n\r\n',
    "1-byte chunks": chunked(b"abcdefgh" * 50, 1),
    "a chunk of 1 MB": chunked(b"m" * 1_000_000),
    "upper-case hex": b"1A\r\n" + b"u" * 26 + b"\r\nA\r\n" + b"v" * 10 + b"\r\n0\r\n\r\n",
    "leading zeros": b"00000003\r\nabc\r\n0000\r\n\r\n",
    "nothing": b"0\r\n\r\n",
}


@pytest.mark.parametrize("body", FORMS.values(), ids=FORMS.keys())
def test_a_chunked_body_in_any_form_goes_on_as_it_is(
    proxy: Proxy, upstream: Upstream, body: bytes
) -> None:
    # C10
    request = post_head(result_target(), STREAMING) + body
    direct = both_ends(upstream, upstream.port, request, ACCEPTED)
    assert both_ends(upstream, proxy.port, request, ACCEPTED) == direct == (request, ACCEPTED)


def test_a_runtime_that_ends_its_side_after_its_result_still_gets_the_answer(
    proxy: Proxy, upstream: Upstream
) -> None:
    # C11
    runtime, api, _, _ = deliver(proxy, upstream)
    request = post(result_target(), b"{}")
    runtime.send(request).end()
    assert api.read(len(request)) == request
    api.send(ACCEPTED)
    assert runtime.read_to_end() == ACCEPTED


def test_a_stream_and_the_next_poll_on_another_connection_do_not_wait_for_each_other(
    proxy: Proxy, upstream: Upstream
) -> None:
    # C12: Node streams through an agent of its own
    curl, first, _, _ = deliver(proxy, upstream)
    agent = proxy.connect()
    request = post_head(result_target(), STREAMING) + b"3\r\nabc\r\n0\r\n\r\n"
    agent.send(request)
    second = upstream.accept()
    assert second.read(len(request)) == request
    second.send(ACCEPTED)
    assert agent.read(len(ACCEPTED)) == ACCEPTED
    curl.send(NEXT)
    assert first.read_head() == NEXT
    first.send(event(b"second"))
    assert b"Lambda-Runtime-Aws-Request-Id: second\r\n" in curl.read_head()


@pytest.mark.parametrize("mode", [b"buffered", b"Streaming", b""])
def test_a_bogus_response_mode_is_lambdas_to_refuse(
    proxy: Proxy, upstream: Upstream, mode: bytes
) -> None:
    # C13
    request = post(
        result_target(), b"{}", b"Lambda-Runtime-Function-Response-Mode: " + mode + b"\r\n"
    )
    reply = (
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 43\r\n\r\n"
        b'{"errorType":"InvalidFunctionResponseMode"}'
    )
    direct = both_ends(upstream, upstream.port, request, reply)
    assert both_ends(upstream, proxy.port, request, reply) == direct == (request, reply)
