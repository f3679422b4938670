"""Group B: bodies of every size and content."""

from __future__ import annotations

import gc
import hashlib
import select
import socket
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from lrap_otel.http1.errors import CLIENT
from lrap_otel.http1.stream import ReusedMemory, Stream
from tests.proxy.wire import (
    ACCEPTED,
    NEXT,
    chunked,
    deliver,
    event,
    event_head,
    post,
    post_head,
    result_target,
)
from tests.upstream import QUIET_S, Peer, Upstream, field

if TYPE_CHECKING:
    from tests.proxy.conftest import Proxy, ProxyProcess, Spawn, Start

MIB = 1_048_576
LIMIT = 6 * MIB + 100
REFUSAL = b'{"errorMessage":"Exceeded maximum allowed payload size (6291556 bytes).","errorType":"RequestEntityTooLarge"}\n'
TOO_LARGE = (
    b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(REFUSAL), REFUSAL)
)


def pour(source: Peer, data: bytes, sink: Peer, expected: int) -> bytes:
    """Send on one side while reading on the other, until `expected` bytes have come out."""
    received = []
    left = memoryview(data)
    while expected:
        readable, writable, _ = select.select(
            [sink.socket], [source.socket] if left else [], [], 5.0
        )
        assert readable or writable
        if writable:
            left = left[source.socket.send(left[:MIB], 0x40) :]  # MSG_DONTWAIT
        if readable:
            received.append(sink.socket.recv(min(MIB, expected)))
            expected -= len(received[-1])
    return b"".join(received)


def test_an_event_of_6_mib_arrives_whole(proxy: Proxy, upstream: Upstream) -> None:
    # B1
    body = bytes(range(256)) * (6 * MIB // 256)
    _, _, _, received = deliver(proxy, upstream, event(body=body))
    assert hashlib.sha256(received).digest() == hashlib.sha256(body).digest()


def test_a_result_at_lambdas_limit_is_accepted(proxy: Proxy, upstream: Upstream) -> None:
    # B2
    runtime, api, _, _ = deliver(proxy, upstream)
    request = post(result_target(), b"r" * LIMIT)
    assert pour(runtime, request, api, len(request)) == request
    api.send(ACCEPTED)
    assert runtime.read(len(ACCEPTED)) == ACCEPTED


def test_a_result_over_the_limit_gets_lambdas_own_413_and_the_runtime_polls_on(
    proxy: Proxy, upstream: Upstream
) -> None:
    # B3: classic reads the whole body first and keeps the connection
    runtime, api, _, _ = deliver(proxy, upstream)
    request = post(result_target(), b"r" * (LIMIT + 1))
    assert pour(runtime, request, api, len(request)) == request
    api.send(TOO_LARGE)
    assert runtime.read(len(TOO_LARGE)) == TOO_LARGE
    runtime.send(NEXT)
    assert api.read_head() == NEXT


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_reply_longer_than_any_event_streams_through_as_it_is(
    proxy: Proxy, upstream: Upstream, is_chunked: bool
) -> None:
    # beyond B1: nothing is held, so nothing is spliced in
    body = b"e" * (LIMIT + 300_000)
    framed = chunked(body) if is_chunked else body
    framing = (
        b"Transfer-Encoding: chunked\r\n\r\n"
        if is_chunked
        else b"Content-Length: %d\r\n\r\n" % len(body)
    )
    reply = event_head() + framing + framed
    runtime = proxy.connect().send(NEXT)
    api = upstream.accept()
    api.read_head()
    assert pour(api, reply, runtime, len(reply)) == reply
    runtime.send(NEXT)
    assert api.read_head() == NEXT


# Several receives long.
REST = (
    b'"},"requestContext":{"http":{"method":"POST"}},"body":"'
    + b"b" * 300_000
    + b'","isBase64Encoded":false}'
)
LARGE_EVENT = b'{"headers":{"x":"' + REST
FRAMINGS = {
    "by length": lambda body: (b"Content-Length: %d\r\n\r\n" % len(body), body),
    "one chunk": lambda body: (b"Transfer-Encoding: chunked\r\n\r\n", chunked(body)),
    "chunks": lambda body: (b"Transfer-Encoding: chunked\r\n\r\n", chunked(body, 32_768)),
    "an extension": lambda body: (
        b"Transfer-Encoding: chunked\r\n\r\n", b"%x;a=b\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    ),
    "a trailer": lambda body: (b"Transfer-Encoding: chunked\r\n\r\n", chunked(body)[:-2] + b"X: 1\r\n\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("cut", [0, 1, 3, 7, 20, 70_000, -8, -7, -6, -5, -1])
def test_a_large_event_gets_its_context_however_it_is_framed_and_comes(
    proxy: Proxy, upstream: Upstream, framing: str, cut: int
) -> None:
    head, framed = FRAMINGS[framing](LARGE_EVENT)
    runtime = proxy.connect()
    api = None
    for number in range(3):  # at first, as it is learned from, as it is known
        runtime.send(NEXT)
        api = api or upstream.accept()
        api.read_head()
        api.send(event_head(b"id-%d" % number) + head + framed[:cut])
        api.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        api.send(framed[cut:])
        told, body = runtime.read_message()
        trace_parent = field(told, "traceparent")
        assert trace_parent is not None
        assert body.startswith(
            b'{"headers":{"traceparent":"' + trace_parent + b'","x-amzn-trace-id":"Root=1-'
        )
        assert body.endswith(b'","x":"' + REST)
        assert len(body) == len(LARGE_EVENT) + body.index(b'"x":"') - len(b'{"headers":{')
        record = proxy.record()
        assert record.payload is not None
        assert record.payload.endswith(
            b'\r\n\r\n{"headers":{"x":"' + REST[: REST.index(b',"body"')] + b"}"
        )
        assert record.body_length == len(LARGE_EVENT)
        runtime.send(post(result_target(b"id-%d" % number), b"{}"))
        api.read_message()
        api.send(ACCEPTED)
        runtime.read(len(ACCEPTED))
        proxy.record()


def test_a_stream_sends_all_of_many_parts_to_a_peer_that_is_slow() -> None:
    near, far = socket.socketpair()
    near.settimeout(5.0)  # a call then takes what there is room for
    parts = [b"%06d" % number * 20 for number in range(200)] + [b"x" * 3_000_000, b"", b"end"]
    for some in (parts, [b"%06d" % number for number in range(100_000)], parts[-2:], [b""]):
        received: list[bytes] = []
        reader = Thread(target=read, args=(far, sum(map(len, some)), received))
        reader.start()
        Stream(near, CLIENT).send_all(some)
        reader.join()
        assert received == [b"".join(some)]
    far.close()
    with pytest.raises(OSError, match="pipe"):
        Stream(near, CLIENT).send_all(parts)


def read(source: socket.socket, length: int, into: list[bytes]) -> None:
    into.append(source.recv(length, socket.MSG_WAITALL))


TEXTS = {
    "B6 not JSON": b"hello",
    "B6 binary": b"\x00\xff\xfe",
    "B7 equal names": b'{"a":1,"a":2, "headers" :1}',
    "B7 NaN": b'{"n":NaN,"i":-Infinity}',
    "B7 numbers": b'{"n":1e400,"b":' + b"9" * 5_000 + b"}",
    "B7 lone surrogate": b'{"s":"\\ud800"}',
    "B7 byte order mark": b'\xef\xbb\xbf{"a":1}',
    "B7 order and space": b' {\n "b" : 1 ,"a":\t2 } \n',
    "B7 deep": b"[" * 100_000,
    "a batch": b'{"Records":[{"headers":{}}]}',
}


@pytest.mark.parametrize("body", TEXTS.values(), ids=TEXTS.keys())
def test_an_event_that_carries_no_context_is_not_touched(
    proxy: Proxy, upstream: Upstream, body: bytes
) -> None:
    _, _, head, received = deliver(proxy, upstream, event(body=body))
    assert received == body
    assert field(head, "traceparent") is not None
    assert proxy.sandbox.recorder.failures == 0


def test_a_stream_of_200_mb_takes_no_memory_and_is_no_faster_than_lambda_takes_it(
    spawn: Spawn, upstream: Upstream
) -> None:
    # B8
    proxy = spawn()
    runtime = proxy.connect().send(post_head(result_target(), b"Transfer-Encoding: chunked\r\n"))
    api = upstream.accept()
    api.read_head()
    chunk = b"100000\r\n" + bytes(MIB) + b"\r\n"
    sent = _fill(runtime, chunk)
    assert sent < 24 * MIB  # what the kernel's buffers on the way hold
    before = proxy.rss_bytes()
    idle_s = proxy.cpu_s()
    assert not select.select([], [runtime.socket], [], QUIET_S)[1]
    assert (
        proxy.cpu_s() - idle_s <= 0.02
    )  # it waits for room, and does not look for it all the time
    assert _stream(proxy, runtime, api, chunk, sent) - before < 8 * MIB


def _fill(runtime: Peer, chunk: bytes) -> int:
    """Send while nobody reads: how much goes before it stands still."""
    runtime.socket.setblocking(False)
    sent = 0
    while select.select([], [runtime.socket], [], 4 * QUIET_S)[1]:
        sent += runtime.socket.send(memoryview(chunk)[sent % len(chunk) :])
    return sent


def _stream(proxy: ProxyProcess, runtime: Peer, api: Peer, chunk: bytes, sent: int) -> int:
    """Send 200 chunks, of which so many bytes have gone, and the end, and read it all; the most
    memory meanwhile.
    """
    most = 0
    buffer = memoryview(bytearray(4 * MIB))
    tail = b""
    total = 200 * len(chunk)
    while not tail.endswith(b"\r\n0\r\n\r\n"):
        readable, writable, _ = select.select(
            [api.socket], [runtime.socket] if sent < total else [], [], 5.0
        )
        assert readable or writable
        if writable:
            sent += runtime.socket.send(memoryview(chunk)[sent % len(chunk) :])
            if sent == total:
                runtime.socket.setblocking(True)
                runtime.send(b"0\r\n\r\n")
        if readable:
            count = api.socket.recv_into(buffer)
            tail = (tail + bytes(buffer[max(0, count - 7) : count]))[-7:]
            most = max(most, proxy.rss_bytes())
    return most


@pytest.mark.parametrize("is_late", [False, True])
def test_an_early_413_reaches_a_runtime_that_is_still_sending(
    proxy: Proxy, upstream: Upstream, is_late: bool
) -> None:
    # B9, C9: Managed Instances refuse before they read, and close; a late reader has sent
    # everything before it looks
    runtime = proxy.connect()
    size = 3 * MIB
    runtime.send(post_head(result_target(endpoint=b"error"), b"Content-Length: %d\r\n" % size))
    api = upstream.accept()
    api.read_head()
    refusal = TOO_LARGE.replace(b"Content-Length", b"Connection: close\r\nContent-Length")
    api.send(refusal).end()
    if is_late:
        runtime.send(b"r" * size)
    answer = runtime.read_until(REFUSAL)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nConnection: close\r\n" in answer
    runtime.end()
    assert runtime.read_to_any_end()[0] == b""


def test_an_early_answer_that_keeps_upstream_open_still_ends_the_runtimes_connection_in_the_open(
    proxy: Proxy, upstream: Upstream
) -> None:
    # C9: the body's rest cannot be told from a next request, so the runtime is told that the
    # connection ends
    runtime = proxy.connect().send(post_head(result_target(), b"Content-Length: 10\r\n"))
    api = upstream.accept()
    api.read_head()
    api.send(TOO_LARGE)
    head, body = runtime.read_message()
    assert (body, field(head, "connection")) == (REFUSAL, b"close")
    assert runtime.read_to_end() == b""
    assert (
        api.read_to_end() == b""
    )  # upstream sees the body truncated at once, while the runtime may still read


def test_an_answer_sent_while_the_body_was_on_its_way_is_not_lost_when_upstream_resets(
    proxy: Proxy, upstream: Upstream
) -> None:
    # B9: upstream answers and closes with bytes unread, which the kernel turns into a reset
    runtime = proxy.connect().send(
        post_head(result_target(), b"Content-Length: %d\r\n" % MIB) + b"r" * 100_000
    )
    api = upstream.accept()
    api.read_head()
    api.send(TOO_LARGE.replace(b"Content-Length", b"Connection: close\r\nContent-Length"))
    api.close()
    assert runtime.read_until(REFUSAL).startswith(b"HTTP/1.1 413 ")


def test_a_coded_reply_is_not_decoded(proxy: Proxy, upstream: Upstream) -> None:
    # B10
    runtime = proxy.connect().send(NEXT.replace(b"Accept: */*", b"Accept-Encoding: gzip"))
    api = upstream.accept()
    assert field(api.read_head(), "accept-encoding") == b"gzip"
    api.send(event(body=b"\x1f\x8b\x08\x00", fields=b"Content-Encoding: gzip\r\n"))
    head, body = runtime.read_message()
    assert (field(head, "content-encoding"), body) == (b"gzip", b"\x1f\x8b\x08\x00")


def test_an_answer_to_a_head_that_upstream_did_not_read_to_its_end_is_not_lost(
    proxy: Proxy, upstream: Upstream
) -> None:
    # E15, B9: the head is still being sent when upstream answers, closes and resets
    runtime = proxy.connect().send(
        post(result_target(), b"{}", b"X-A: " + b"x" * 1_000_000 + b"\r\n")
    )
    api = upstream.accept()
    api.read(1_000)
    refusal = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    api.send(refusal).close()
    assert runtime.read(len(refusal)) == refusal


@pytest.mark.parametrize("is_chunked", [False, True])
def test_large_events_one_after_the_other_are_each_their_own(
    proxy: Proxy, upstream: Upstream, is_chunked: bool
) -> None:
    runtime = proxy.connect()
    api = None
    for number, size in enumerate((300_000, 2_500_000, 100_000, 10, 6_000_000, 70_000, 300_000)):
        body = (b"%d," % number * size)[:size]
        framing = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % size
        reply = (
            event_head(b"id-%d" % number)
            + framing
            + b"\r\n\r\n"
            + (chunked(body) if is_chunked else body)
        )
        runtime.send(NEXT)
        api = api or upstream.accept()
        api.read_head()
        api.send(reply)
        assert runtime.read_message()[1] == body
        record = proxy.record()
        assert record.payload is not None
        assert record.payload.endswith(b"\r\n\r\n" + body)
        runtime.send(post(result_target(b"id-%d" % number), b"{}"))
        api.read_message()
        api.send(ACCEPTED)
        runtime.read(len(ACCEPTED))
        proxy.record()


@pytest.mark.parametrize("size", [100_000, 3_000_000])
def test_a_large_event_that_is_kept_for_the_next_runtime_is_whole(
    proxy: Proxy, upstream: Upstream, size: int
) -> None:
    kept, other = b"k" * size, b"o" * size
    leaving = proxy.connect().send(NEXT)
    api = upstream.accept()
    api.read_head()
    leaving.end()
    api.send(event_head(b"kept") + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(kept))
    runtime = proxy.connect().send(NEXT)
    assert runtime.read_message()[1] == kept
    runtime.send(NEXT)
    api.read_head()
    api.send(event_head(b"other") + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(other))
    assert runtime.read_message()[1] == other


@pytest.mark.parametrize("framing", [b"Content-Length: 300000", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("length", [20_000, 70_000, 299_000])
def test_a_large_event_that_breaks_off_is_not_delivered(
    proxy: Proxy, upstream: Upstream, framing: bytes, length: int
) -> None:
    runtime = proxy.connect().send(NEXT)
    api = upstream.accept()
    api.read_head()
    api.send(event_head(b"broken") + framing + b"\r\n\r\n" + chunked(b"e" * 300_000)[:length]).end()
    assert runtime.read_to_any_end()[0] == b""
    assert not proxy.invocations.was_delivered("broken")


def buffers(size: int) -> int:
    """How many connections keep memory for an event of this size."""
    gc.collect()
    return sum(isinstance(found, ReusedMemory) and len(found) == size for found in gc.get_objects())


@pytest.mark.parametrize("small_events", [1, 4])
def test_the_memory_of_a_large_event_goes_with_the_next_small_one(
    proxy: Proxy, upstream: Upstream, small_events: int
) -> None:
    size = 333_333 + small_events  # no other test's
    runtime = proxy.connect()
    api = None
    for number in range(small_events + 2):  # the last of four small ones is recognised
        is_large = number == small_events
        runtime.send(NEXT)
        api = api or upstream.accept()
        api.read_head()
        assert buffers(size) == (number == small_events + 1)
        api.send(event(b"id-%d" % number, b"e" * (size if is_large else 10)))
        runtime.read_message()
        runtime.send(post(result_target(b"id-%d" % number), b"{}"))
        api.read_message()
        api.send(ACCEPTED)
        runtime.read(len(ACCEPTED))
    assert buffers(size) == 0


def test_the_memory_of_a_large_event_is_not_kept_for_one_that_needs_far_less(
    proxy: Proxy, upstream: Upstream
) -> None:
    runtime = proxy.connect()
    api = None
    for number, size in enumerate((1_234_567, 1_000_000, 100_000)):
        runtime.send(NEXT)
        api = api or upstream.accept()
        api.read_head()
        api.send(event(b"id-%d" % number, b"e" * size))
        assert runtime.read_message()[1] == b"e" * size
        runtime.send(post(result_target(b"id-%d" % number), b"{}"))
        api.read_message()
        assert (buffers(1_234_567), buffers(100_000)) == ((1, 0) if size > 100_000 else (0, 1))
        api.send(ACCEPTED)
        runtime.read(len(ACCEPTED))


def test_a_worker_among_many_keeps_no_memory_for_large_events(
    start: Start, upstream: Upstream
) -> None:
    proxy = start(AWS_LAMBDA_INITIALIZATION_TYPE="lambda-managed-instances")
    size = 444_444
    runtime, api, _, body = deliver(proxy, upstream, event(body=b"e" * size))
    assert body == b"e" * size
    runtime.send(post(result_target(), b"{}"))
    api.read_message()
    assert buffers(size) == 0
