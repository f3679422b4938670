"""Group E: what could be read in two ways is refused, and the rest passes unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.proxy.wire import (
    ACCEPTED,
    NEXT,
    both_ends,
    deliver,
    event,
    event_head,
    post,
    post_head,
    result_target,
)
from tests.upstream import Upstream, field, lines

if TYPE_CHECKING:
    from tests.proxy.conftest import Proxy

TARGET = result_target()
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 1100000\r\n", b"Transfer-Encoding: chunked\r\n"]
)
def test_a_client_that_asks_before_it_sends_gets_lambdas_go_ahead_at_once(
    proxy: Proxy, upstream: Upstream, framing: bytes
) -> None:
    # E1: curl, above 1 MiB and for every chunked upload
    head = post_head(TARGET, framing + b"Expect: 100-continue\r\n")
    runtime = proxy.connect().send(head)
    api = upstream.accept()
    assert api.read(len(head)) == head
    assert not runtime.has_news()  # the go-ahead is Lambda's to give
    api.send(CONTINUE)
    assert runtime.read_head() == CONTINUE
    body = b"r" * 1_100_000 if b"Length" in framing else b"3\r\nabc\r\n0\r\n\r\n"
    runtime.send(body)
    assert api.read(len(body)) == body
    api.send(ACCEPTED)
    assert runtime.read(len(ACCEPTED)) == ACCEPTED
    assert not api.has_news(0)


def test_a_client_that_does_not_wait_for_the_go_ahead_is_served_as_well(
    proxy: Proxy, upstream: Upstream
) -> None:
    # E1
    request = post(TARGET, b"r" * 1_000, b"Expect: 100-continue\r\n")
    runtime = proxy.connect().send(request)
    api = upstream.accept()
    assert api.read(len(request)) == request
    api.send(CONTINUE + ACCEPTED)
    assert runtime.read(len(CONTINUE + ACCEPTED)) == CONTINUE + ACCEPTED


def test_a_refusal_instead_of_the_go_ahead_is_relayed_and_ends_the_connection(
    proxy: Proxy, upstream: Upstream
) -> None:
    # E2: Go's server, for a request id that it does not know
    runtime = proxy.connect().send(
        post_head(TARGET, b"Content-Length: 1100000\r\nExpect: 100-continue\r\n")
    )
    api = upstream.accept()
    api.read_head()
    refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    api.send(refusal)
    answer = runtime.read_to_end()
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b" 100 " not in answer


@pytest.mark.parametrize("status", [b"100 Continue", b"102 Processing", b"103 Early Hints"])
def test_interim_answers_pass_and_the_final_one_is_intact(
    proxy: Proxy, upstream: Upstream, status: bytes
) -> None:
    # E3
    interim = b"HTTP/1.1 " + status + b"\r\nLink: </x>\r\n\r\n"
    runtime = proxy.connect().send(NEXT)
    api = upstream.accept()
    api.read_head()
    api.send(interim + interim + event())
    assert runtime.read(2 * len(interim)) == interim * 2
    assert runtime.read_message()[1] == b'{"n":1}'


def smuggled(fields: bytes, body: bytes = b"abc") -> bytes:
    """A POST that one reader ends here and another there, where a second request then begins."""
    return (
        post_head(TARGET, fields)
        + body
        + b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
    )


REFUSED = {
    "E4 both framings": smuggled(
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"
    ),
    "E4 both framings, other order": smuggled(
        b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", b"0\r\n\r\n"
    ),
    "E5 two lengths": smuggled(b"Content-Length: 3\r\nContent-Length: 4\r\n"),
    "E6 equal lengths": smuggled(b"Content-Length: 3\r\nContent-Length: 3\r\n"),
    "E6 equal lengths in one field": smuggled(b"Content-Length: 3, 3\r\n"),
    "E7 plus": smuggled(b"Content-Length: +3\r\n"),
    "E7 minus": smuggled(b"Content-Length: -1\r\n"),
    "E7 hex": smuggled(b"Content-Length: 0x3\r\n"),
    "E7 space behind": smuggled(b"Content-Length: 3 \r\n"),
    "E7 space within": smuggled(b"Content-Length: 1 0\r\n"),
    "E7 underscore": smuggled(b"Content-Length: 1_0\r\n"),
    "E7 other digits": smuggled("Content-Length: \u0663\r\n".encode()),
    "E7 10^30": smuggled(b"Content-Length: 1000000000000000000000000000000\r\n"),
    "E7 empty": smuggled(b"Content-Length:\r\n"),
    "E8 chunked, gzip": smuggled(b"Transfer-Encoding: chunked, gzip\r\n"),
    "E8 gzip, chunked": smuggled(b"Transfer-Encoding: gzip, chunked\r\n"),
    "E8 xchunked": smuggled(b"Transfer-Encoding: xchunked\r\n"),
    "E8 identity": smuggled(b"Transfer-Encoding: identity\r\n"),
    "E8 vertical tab": smuggled(b"Transfer-Encoding: chunked\x0b\r\n"),
    "E8 quoted": smuggled(b'Transfer-Encoding: "chunked"\r\n'),
    "E8 twice": smuggled(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
    "E8 twice in one": smuggled(b"Transfer-Encoding: chunked, chunked\r\n"),
    "E8 empty": smuggled(b"Transfer-Encoding:\r\n"),
    "E8 in HTTP/1.0": b"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "E9 bare LF in a field": smuggled(b"X-A: 1\nContent-Length: 3\r\n"),
    "E9 bare LF throughout": b"GET /2018-06-01/ping HTTP/1.1\nHost: x\n\n",
    "E9 bare LF at the end": b"GET /2018-06-01/ping HTTP/1.1\r\nHost: x\n\r\n",
    "E9 folded": smuggled(b"X-A: 1\r\n 2\r\nContent-Length: 3\r\n"),
    "E9 folded framing": smuggled(b"Transfer-Encoding:\r\n chunked\r\n"),
    "E9 space before the colon": smuggled(b"Content-Length : 3\r\n"),
    "E9 space before the name": smuggled(b" Content-Length: 3\r\n"),
    "E9 NUL": smuggled(b"X-A: 1\x002\r\n"),
    "E9 bare CR": smuggled(b"X-A: 1\rContent-Length: 3\r\n"),
    "E9 no colon": smuggled(b"Content-Length 3\r\n"),
    "E9 no colon after a name seen before": b"GET / HTTP/1.1\r\nHost: x\r\nHost\r\n\r\n",
    "E9 no name": smuggled(b": 3\r\n"),
    "E9 bytes above 127 in a name": smuggled(b"Content-L\xe9ngth: 3\r\n"),
    "E19 h2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\n\r\n",
    "tab": b"GET\t/ HTTP/1.1\r\n\r\n",
    "space in the target": b"GET /a b HTTP/1.1\r\n\r\n",
    "NUL in the target": b"GET /a\x00 HTTP/1.1\r\n\r\n",
    "no target": b"GET  HTTP/1.1\r\n\r\n",
    "no method": b" / HTTP/1.1\r\n\r\n",
    "method with a colon": b"G:T / HTTP/1.1\r\n\r\n",
    "blank line first": b"\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", REFUSED.values(), ids=REFUSED.keys())
def test_a_head_that_two_readers_could_read_differently_is_refused_and_nothing_of_it_reaches_lambda(
    proxy: Proxy, upstream: Upstream, request_bytes: bytes
) -> None:
    runtime = proxy.connect().send(request_bytes)
    head, body = runtime.read_message()
    assert lines(head)[0] in {b"HTTP/1.1 400 Bad Request", b"HTTP/1.1 501 Not Implemented"}
    assert (field(head, "content-type"), field(head, "connection")) == (
        b"application/json",
        b"close",
    )
    assert b'"errorType":"InvalidRequest"' in body
    assert runtime.end().read_to_any_end()[0] == b""
    assert not upstream.has_caller(0)


BROKEN_BODIES = {
    "no size": b"\r\nabc",
    "bad size": b"3g\r\nabc\r\n0\r\n\r\n",
    "negative size": b"-3\r\nabc\r\n0\r\n\r\n",
    "prefixed size": b"0x3\r\nabc\r\n0\r\n\r\n",
    "spaced size": b"3 \r\nabc\r\n0\r\n\r\n",
    "size too large": b"fffffffffffffffff\r\nabc",
    "bare LF after the size": b"3\nabc\r\n0\r\n\r\n",
    "CR in an extension": b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "no end of line after the chunk": b"3\r\nabcd\r\n0\r\n\r\n",
    "bare LF after the chunk": b"3\r\nabc\n0\r\n\r\n",
    "endless size line": b"3;" + b"x" * 5_000,
    "trailer without colon": b"0\r\nnothing\r\n\r\n",
    "folded trailer": b"0\r\nX-A: 1\r\n 2\r\n\r\n",
    "NUL in a trailer": b"0\r\nX-A: \x00\r\n\r\n",
}


@pytest.mark.parametrize("body", BROKEN_BODIES.values(), ids=BROKEN_BODIES.keys())
@pytest.mark.parametrize("is_late", [False, True])
def test_a_malformed_chunked_body_is_truncated_for_lambda_and_begins_no_second_request(
    proxy: Proxy, upstream: Upstream, body: bytes, is_late: bool
) -> None:
    # E10
    runtime, api, _, _ = deliver(proxy, upstream)
    head = post_head(TARGET, b"Transfer-Encoding: chunked\r\n")
    smuggle = b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
    if is_late:
        runtime.send(head + b"2\r\nok\r\n")
        assert api.read(len(head) + 7) == head + b"2\r\nok\r\n"
        runtime.send(body + smuggle)
    else:
        runtime.send(head + body + smuggle)
    assert runtime.read_head().startswith(b"HTTP/1.1 400 ")
    seen, _ = api.read_to_any_end()
    assert not seen.endswith(b"0\r\n\r\n")
    assert b"init/error" not in seen
    proxy.record()
    # Once the runtime polls, no other result of this invocation comes.
    proxy.connect().send(NEXT)
    assert proxy.record().is_complete is False


@pytest.mark.parametrize(
    "headers",
    [
        '{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\\r\\nX-Evil: 1"}',
        (
            '{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","tracestate":"a=b\\r\\nX-Evil: 1"}'
        ),
        '{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","tracestate":"a=\\u20ac\\u0000"}',
        '{"x-amzn-trace-id":"Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=a\\r\\nX-Evil: 1"}',
    ],
)
def test_no_byte_of_an_event_ends_a_header_line(
    proxy: Proxy, upstream: Upstream, headers: str
) -> None:
    # E11
    body = (
        b'{"version":"2.0","requestContext":{"http":{"method":"GET"}},"headers":%s}'
        % headers.encode()
    )
    _, _, head, received = deliver(proxy, upstream, event(body=body))
    assert field(head, "x-evil") is None
    assert field(head, "traceparent") is not None
    assert field(head, "content-length") == b"%d" % len(received)
    assert proxy.sandbox.recorder.failures == 0


@pytest.mark.parametrize(
    "value",
    [
        b"Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=\xff\xc3\xa9;Self=\t",
        b"\xff\xfe",
        b"Root=;;=;Parent==",
        b";" * 5_000,
    ],
)
def test_odd_bytes_in_lambdas_trace_header_stay_on_their_line(
    proxy: Proxy, upstream: Upstream, value: bytes
) -> None:
    # E11, E16
    _, _, head, body = deliver(
        proxy, upstream, event(fields=b"Lambda-Runtime-Trace-Id: " + value + b"\r\n")
    )
    assert body == b'{"n":1}'
    assert head.lower().count(b"\r\nlambda-runtime-trace-id:") == 1
    assert proxy.sandbox.recorder.failures == 0


def test_a_field_of_900_kb_passes(proxy: Proxy, upstream: Upstream) -> None:
    # E14: X-Ray's error cause may be as long
    fields = b"Lambda-Runtime-Function-XRay-Error-Cause: " + b"x" * 900_000 + b"\r\n"
    request = post(result_target(endpoint=b"error"), b"{}", fields)
    assert both_ends(upstream, proxy.port, request, ACCEPTED) == (request, ACCEPTED)


@pytest.mark.parametrize("ending", [b"\r\n\r\n", b""], ids=["whole", "without end"])
def test_a_head_of_more_than_1_mib_gets_431(
    proxy: Proxy, upstream: Upstream, ending: bytes
) -> None:
    # E15: and no more than that is held of it
    runtime = proxy.connect().send(
        b"POST " + TARGET + b" HTTP/1.1\r\nX-A: " + b"x" * 1_100_000 + ending
    )
    head, _ = runtime.read_message()
    assert head.startswith(b"HTTP/1.1 431 ")
    assert field(head, "connection") == b"close"
    assert not upstream.has_caller(0)


def test_what_belongs_to_one_connection_stays_on_it(proxy: Proxy, upstream: Upstream) -> None:
    # E17
    fields = (
        b"Connection: keep-alive, X-A, transfer-encoding\r\nX-A: 1\r\nX-B: 2\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n"
        b"Upgrade: h2c\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: secret\r\nTrailer: X-T\r\n"
        b"Transfer-Encoding: chunked\r\n"
    )
    body = b"1\r\nx\r\n0\r\nX-T: 1\r\n\r\n"
    runtime = proxy.connect().send(post_head(TARGET, fields) + body)
    api = upstream.accept()
    kept = post_head(TARGET, b"X-B: 2\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n") + body
    assert api.read(len(kept)) == kept
    api.send(
        ACCEPTED.replace(b"Date:", b"Connection: X-C\r\nKeep-Alive: timeout=1\r\nX-C: 1\r\nDate:")
    )
    assert runtime.read(len(ACCEPTED)) == ACCEPTED
    runtime.send(NEXT)
    assert api.read_head() == NEXT


def test_what_belongs_to_lambdas_connection_is_not_delivered_with_an_event(
    proxy: Proxy, upstream: Upstream
) -> None:
    # E17
    reply = event(fields=b"Connection: close, X-A\r\nX-A: 1\r\nKeep-Alive: timeout=5\r\nX-B: 2\r\n")
    runtime = proxy.connect().send(NEXT)
    api = upstream.accept()
    api.read_head()
    api.send(reply)
    delivered = runtime.read_to_end()
    assert (field(delivered, "x-a"), field(delivered, "keep-alive")) == (None, None)
    assert (field(delivered, "x-b"), field(delivered, "connection")) == (b"2", b"close")


def test_an_http_1_0_client_gets_no_chunks_and_an_end(proxy: Proxy, upstream: Upstream) -> None:
    # E18
    runtime = proxy.connect().send(
        b"GET /2018-06-01/ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    )
    api = upstream.accept()
    assert api.read_head() == b"GET /2018-06-01/ping HTTP/1.0\r\n\r\n"
    api.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\npong").end()
    assert runtime.read_to_end() == b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\npong"


def test_an_http_1_0_client_gets_its_event(proxy: Proxy, upstream: Upstream) -> None:
    # E18
    runtime = proxy.connect().send(NEXT.replace(b"HTTP/1.1", b"HTTP/1.0"))
    api = upstream.accept()
    api.read_head()
    api.send(
        event_head() + b"Transfer-Encoding: chunked\r\n\r\n7\r\n" + b'{"n":1}' + b"\r\n0\r\n\r\n"
    )
    delivered = runtime.read_to_end()
    assert field(delivered, "transfer-encoding") is None
    assert delivered.endswith(b'\r\n\r\n{"n":1}')


def test_a_get_with_a_body_leaves_the_connection_in_step(proxy: Proxy, upstream: Upstream) -> None:
    # E22
    request = b"GET /2018-06-01/ping HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    runtime = proxy.connect().send(request + NEXT)
    api = upstream.accept()
    assert api.read(len(request)) == request
    api.send(ACCEPTED)
    assert runtime.read(len(ACCEPTED)) == ACCEPTED
    assert api.read_head() == NEXT


def test_a_proxy_in_the_environment_is_for_others(
    proxy: Proxy, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    # E24
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert deliver(proxy, upstream)[3] == b'{"n":1}'
