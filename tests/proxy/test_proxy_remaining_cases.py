"""Cases that take several steps, played once straight against Lambda and once through the proxy:
both ends see the same.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.proxy.wire import ACCEPTED, NEXT, deliver, event_head, post, post_head, result_target
from tests.upstream import Peer, Upstream, connect

if TYPE_CHECKING:
    from tests.proxy.conftest import Proxy, Spawn, Start

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
REFUSED = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
ASKING = b"Expect: 100-continue\r\n"
EVENT = event_head() + b"Content-Length: 7\r\n\r\n" + b'{"n":1}'
RESULT = post(result_target(), b"true", b"Content-Type: application/json\r\n")


class Step(NamedTuple):
    """What the runtime sends, and the requests in it, each with Lambda's answer."""

    sent: bytes
    served: list[tuple[bytes, bytes]]


def one(sent: bytes, answer: bytes) -> Step:
    return Step(sent, [(sent, answer)])


def old(request: bytes, answer: bytes) -> Step:
    """The same in HTTP/1.0, as Go's server answers it."""
    closing = answer.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    return one(
        request.replace(b" HTTP/1.1", b" HTTP/1.0"), closing.replace(b"HTTP/1.1 ", b"HTTP/1.0 ")
    )


EXCHANGES = {
    "E1 a result that waits for the go-ahead": [
        one(post_head(result_target(), b"Content-Length: 1100000\r\n" + ASKING), CONTINUE),
        one(b"r" * 1_100_000, ACCEPTED),
        one(NEXT, EVENT),
    ],
    "E1 a chunked result that waits for the go-ahead": [
        one(post_head(result_target(), b"Transfer-Encoding: chunked\r\n" + ASKING), CONTINUE),
        one(b"3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n", ACCEPTED),
        one(NEXT, EVENT),
    ],
    "E1 a result that does not wait": [
        one(post(result_target(), b"r" * 1_000, ASKING), CONTINUE + ACCEPTED)
    ],
    "E2 a refusal instead of the go-ahead": [
        one(post_head(result_target(), b"Content-Length: 1100000\r\n" + ASKING), REFUSED)
    ],
    "D14 a result and the next poll at once": [
        Step(RESULT + NEXT, [(RESULT, ACCEPTED), (NEXT, EVENT)]),
        one(RESULT, ACCEPTED),
    ],
    "D14 five calls at once": [Step(RESULT * 5, [(RESULT, ACCEPTED)] * 5)],
    "E18 an event for HTTP/1.0": [old(NEXT, EVENT)],
    "E18 a result of HTTP/1.0": [old(RESULT, ACCEPTED)],
    "A5 HEAD on next": [
        one(
            NEXT.replace(b"GET", b"HEAD"),
            b"HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\nContent-Length: 19\r\n\r\n",
        ),
        one(NEXT, EVENT),
    ],
}


@pytest.mark.parametrize("steps", EXCHANGES.values(), ids=EXCHANGES.keys())
def test_an_exchange_in_several_steps_is_the_same_through_the_proxy_as_without_it(
    start: Start, upstream: Upstream, steps: list[Step]
) -> None:
    direct = play(upstream, upstream.port, steps)
    assert direct == (
        b"".join(step.sent for step in steps),
        b"".join(a for step in steps for _, a in step.served),
    )
    assert play(upstream, start(is_on=False).port, steps) == direct


def play(upstream: Upstream, port: int, steps: list[Step]) -> tuple[bytes, bytes]:
    """All that Lambda and the runtime see."""
    runtime = connect(port)
    api: Peer | None = None
    seen_upstream = seen_by_runtime = b""
    for step in steps:
        runtime.send(step.sent)
        api = api or upstream.accept()
        for request, answer in step.served:
            seen_upstream += api.read(len(request))
            api.send(answer)
            seen_by_runtime += runtime.read(len(answer))
    assert api is not None
    assert not api.has_news(0) or api.has_ended()
    if port == upstream.port:
        api.close()
    return seen_upstream, seen_by_runtime + runtime.end().read_to_end()


def test_a_head_without_end_is_refused_and_the_rest_of_it_takes_no_memory(spawn: Spawn) -> None:
    # E15: 64 MB of it, of which one is read
    process = spawn()
    runtime = process.connect()
    before_bytes = process.rss_bytes()
    with contextlib.suppress(ConnectionError):
        runtime.send(b"POST / HTTP/1.1\r\nX-A: ")
        for _ in range(64):
            runtime.send(b"x" * 1_048_576)
    answer, _ = runtime.read_to_any_end()
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert process.rss_bytes() - before_bytes < 8 * 1_048_576


def test_an_error_that_follows_a_refused_result_passes_and_stays_one_invocation(
    proxy: Proxy, upstream: Upstream
) -> None:
    # Java's client, after a 413: what it says then is about the refusal, which the first record
    # tells already
    runtime, api, _, _ = deliver(proxy, upstream)
    refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\n{}"
    late = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}"
    error = post(result_target(endpoint=b"error"), b'{"errorType":"LambdaRuntimeClientException"}')
    for request, answer in ((RESULT, refusal), (error, late)):
        runtime.send(request)
        assert api.read(len(request)) == request
        api.send(answer)
        assert runtime.read(len(answer)) == answer
    proxy.record()
    assert proxy.record().status == 413
    assert not proxy.has_record()
    assert not proxy.invocations.is_open("8476a536-e9f4-11e8-9739-2dfe598c3fcd")
