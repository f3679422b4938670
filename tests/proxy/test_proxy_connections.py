"""Group D, second part: connections that close, break, are refused, or are many."""

from __future__ import annotations

import errno
import os
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lrap_otel.ipc import records
from lrap_otel.proxy.listener import accept_connections
from lrap_otel.proxy.upstream import Upstream as Connections
from tests.proxy.wire import ACCEPTED, NEXT, deliver, event, post, post_head, result_target
from tests.upstream import Peer, Upstream, connect, field

if TYPE_CHECKING:
    from tests.proxy.conftest import Proxy, Spawn, Start

PING = b"GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n\r\n"
PONG = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\npong"


def answered(runtime: Peer, api: Peer) -> None:
    """One call through both ends."""
    runtime.send(PING)
    assert api.read_head() == PING
    api.send(PONG)
    assert runtime.read(len(PONG)) == PONG


@pytest.mark.parametrize("how", ["reset", "end", "close"])
def test_lambda_closing_an_idle_connection_goes_unnoticed(
    proxy: Proxy, upstream: Upstream, how: str
) -> None:
    # D7
    runtime = proxy.connect().send(PING)
    api = upstream.accept()
    api.read_head()
    api.send(PONG)
    runtime.read(len(PONG))
    getattr(api, how)()
    runtime.send(NEXT)
    fresh = upstream.accept()
    assert fresh.read_head() == NEXT
    fresh.send(event())
    assert runtime.read_message()[1] == b'{"n":1}'


def test_a_connection_that_lambda_announces_to_close_is_not_used_again(
    proxy: Proxy, upstream: Upstream
) -> None:
    # D7
    runtime = proxy.connect().send(PING)
    api = upstream.accept()
    api.read_head()
    api.send(PONG.replace(b"Content-Length", b"Connection: close\r\nContent-Length"))
    answer = runtime.read_to_end()
    assert b"\r\nConnection: close\r\n" in answer
    assert api.read_to_end() == b""


def test_bytes_that_nobody_asked_for_never_answer_the_next_call(
    proxy: Proxy, upstream: Upstream
) -> None:
    # D7, E9
    runtime = proxy.connect().send(PING)
    api = upstream.accept()
    api.read_head()
    api.send(PONG + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfake")
    assert runtime.read(len(PONG)) == PONG
    runtime.send(PING)
    fresh = upstream.accept()
    assert fresh.read_head() == PING
    fresh.send(PONG)
    assert runtime.read(len(PONG)) == PONG


def test_bytes_that_come_late_never_answer_the_next_runtimes_call(
    proxy: Proxy, upstream: Upstream
) -> None:
    # D7: after a broken reply nothing on that connection is believed
    runtime = proxy.connect().send(PING)
    api = upstream.accept()
    api.read_head()
    api.send(b"HTTP/9.9 200 OK\r\n\r\n")
    assert runtime.read_to_end() == b""
    assert api.read_to_any_end()[0] == b""
    another = proxy.connect().send(PING)
    fresh = upstream.accept()
    assert fresh.read_head() == PING
    assert not another.has_news(0)


@pytest.mark.parametrize("how", ["reset", "end"])
def test_a_result_is_never_sent_twice(proxy: Proxy, upstream: Upstream, how: str) -> None:
    # D9: Lambda may have processed it before the connection went
    runtime, api, _, _ = deliver(proxy, upstream)
    request = post(result_target(), b"{}")
    runtime.send(request)
    assert api.read(len(request)) == request
    getattr(api, how)()
    assert runtime.read_to_any_end()[0] == b""
    assert not upstream.has_caller()
    proxy.record()
    assert (
        proxy.record().status,
        proxy.invocations.is_open("8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
    ) == (0, False)


@pytest.mark.parametrize("how", ["reset", "end"])
@pytest.mark.parametrize(
    "begun", [b"H", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 100 Continue\r\n\r\n"]
)
def test_a_call_that_lambda_has_begun_to_answer_is_not_made_again(
    proxy: Proxy, upstream: Upstream, begun: bytes, how: str
) -> None:
    # D9
    runtime = proxy.connect().send(PING)
    api = upstream.accept()
    api.read_head()
    api.send(PONG)
    runtime.read(len(PONG))
    runtime.send(PING)
    api.read_head()
    api.send(begun)
    if begun.endswith(b"\r\n\r\n"):
        assert runtime.read_head() == begun
    getattr(api, how)()
    assert runtime.read_to_any_end()[0] == b""
    assert not upstream.has_caller()


@pytest.mark.parametrize("how", ["reset", "end"])
def test_a_get_on_a_connection_that_lambda_was_closing_is_made_again(
    proxy: Proxy, upstream: Upstream, how: str
) -> None:
    # D7
    runtime = proxy.connect().send(PING)
    api = upstream.accept()
    api.read_head()
    api.send(PONG)
    runtime.read(len(PONG))
    runtime.send(PING)
    api.read_head()
    getattr(api, how)()
    fresh = upstream.accept()
    assert fresh.read_head() == PING
    fresh.send(PONG)
    assert runtime.read(len(PONG)) == PONG


CALLS = {"next": NEXT, "result": post(result_target(), b"x" * 100_000), "ping": PING}


@pytest.mark.parametrize("request_bytes", CALLS.values(), ids=CALLS.keys())
def test_when_nobody_answers_at_lambdas_address_the_runtime_learns_it_at_once(
    proxy: Proxy, upstream: Upstream, request_bytes: bytes
) -> None:
    # D10, F4: with a content type, or Python's client crashes
    upstream.close()
    runtime = proxy.connect().send(request_bytes)
    head, body = runtime.read_message()
    assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert field(head, "content-type") == b"application/json"
    assert field(head, "connection") == b"close"
    assert b'"errorType":"RuntimeApiUnreachable"' in body
    assert runtime.read_to_end() == b""


def test_when_lambda_comes_back_the_proxy_serves_again(start: Start, upstream: Upstream) -> None:
    # D10: the proxy lives
    proxy = start()
    port = upstream.port
    upstream.close()
    assert proxy.connect().send(PING).read_head().startswith(b"HTTP/1.1 502 ")
    with socket.create_server(("127.0.0.1", port)) as server:
        server.settimeout(5.0)
        runtime = proxy.connect().send(PING)
        answered_by = Peer(server.accept()[0])
        assert answered_by.read_head() == PING
        answered_by.send(PONG)
        assert runtime.read(len(PONG)) == PONG


def test_an_address_that_takes_no_connections_is_given_up_within_the_time_a_runtime_gives_it(
    start: Start,
) -> None:
    # D10, hanging: its queue is full, so that a connect gets no answer at all
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for queued in waiting:
            queued.setblocking(False)
            queued.connect_ex(server.getsockname())
        proxy = start(upstream_port=server.getsockname()[1])
        assert proxy.connect().send(PING).read_head().startswith(b"HTTP/1.1 502 ")
        for queued in waiting:
            queued.close()


GARBAGE = {
    "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "another version": b"HTTP/2 200\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "status 42": b"HTTP/1.1 042 No\r\n\r\n",
    "both framings": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "odd length": b"HTTP/1.1 200 OK\r\nContent-Length: 3x\r\n\r\nabc",
    "odd coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
    "folded": b"HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\n\r\n",
    "NUL": b"HTTP/1.1 200 OK\r\nX-A: \x00\r\n\r\n",
    "head without end": b"HTTP/1.1 200 OK\r\nX-A: " + b"x" * 1_100_000,
    "unasked switch": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
    "garbage after an interim answer": b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\nX: y\n\n",
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
@pytest.mark.parametrize("request_bytes", CALLS.values(), ids=CALLS.keys())
def test_garbage_from_lambdas_address_closes_the_runtimes_connection_without_a_byte_of_it(
    proxy: Proxy, upstream: Upstream, garbage: bytes, request_bytes: bytes
) -> None:
    runtime = proxy.connect().send(request_bytes)
    api = upstream.accept()
    api.read(len(request_bytes))
    try:
        api.send(garbage)
    except OSError:
        assert len(garbage) > 1_000_000  # it was given up before all of it had gone
    answer, _ = runtime.read_to_any_end()
    assert answer in {b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"}
    assert (
        proxy.connect()
        .send(b"GET /lrap-otel/hello HTTP/1.1\r\n\r\n")
        .read_head()
        .startswith(b"HTTP/1.1 200")
    )


def test_10_000_calls_on_a_connection_each_leave_no_descriptor_behind(
    proxy: Proxy, upstream: Upstream
) -> None:
    # D12: Ruby's client
    request = b"GET /2018-06-01/ping HTTP/1.1\r\nConnection: close\r\n\r\n"
    runtime = connect(proxy.port).send(request)
    api = upstream.accept()
    for number in range(10_000):
        assert api.socket.recv(4_096) == b"GET /2018-06-01/ping HTTP/1.1\r\n\r\n"
        api.socket.sendall(PONG)
        assert runtime.read_to_end() == PONG.replace(
            b"\r\n\r\npong", b"\r\nConnection: close\r\n\r\npong"
        )
        runtime.close()
        if number == 10:
            open_before = len(list(Path("/proc/self/fd").iterdir()))
        runtime = connect(proxy.port).send(request)
    assert (
        len(list(Path("/proc/self/fd").iterdir())) <= open_before + 4
    )  # one connection is under way
    assert not upstream.has_caller(0)


def test_each_close_of_a_runtime_stays_on_its_side(proxy: Proxy, upstream: Upstream) -> None:
    # D12: an invocation in which every call has its own connection, and upstream sees one
    runtime = proxy.connect().send(NEXT[:-2] + b"Connection: close\r\n\r\n")
    api = upstream.accept()
    assert api.read_head() == NEXT
    api.send(event(b"one"))
    delivered = runtime.read_to_end()
    assert b"\r\nConnection: close\r\n" in delivered
    request = post(result_target(b"one"), b"{}", b"Connection: close\r\n")
    runtime = proxy.connect().send(request)
    assert api.read_message() == (request[:-2].replace(b"Connection: close\r\n", b""), b"{}")
    assert proxy.invocations.is_open("one")
    api.send(ACCEPTED)
    assert runtime.read_to_end().startswith(b"HTTP/1.1 202 Accepted\r\n")
    assert not upstream.has_caller(0)
    assert proxy.record().request_id == "one"
    assert proxy.record().status == 202


def test_900_connections_that_say_nothing_or_half_of_it_do_not_delay_a_runtime(
    spawn: Spawn, upstream: Upstream
) -> None:
    # E23, D20, D13: with the 1,024 descriptors that Lambda gives
    proxy = spawn(most_descriptors=1_024)
    slow = [connect(proxy.port) for _ in range(900)]
    for number, peer in enumerate(slow):
        peer.send(NEXT[: number % 40])
    runtime = proxy.connect().send(NEXT)
    api = upstream.accept()
    assert api.read_head() == NEXT
    api.send(event())
    assert runtime.read_message()[1] == b'{"n":1}'
    for peer in slow:
        peer.close()


def test_running_out_of_descriptors_is_survived(spawn: Spawn, upstream: Upstream) -> None:
    # D20, E23: who comes then waits until there is room
    proxy = spawn(most_descriptors=64)
    runtime = proxy.connect().send(PING)
    api = upstream.accept()
    api.read_head()
    api.send(PONG)
    runtime.read(len(PONG))
    idle = [connect(proxy.port) for _ in range(80)]
    answered(runtime, api)
    late = proxy.connect().send(PING)
    assert not late.has_news()
    for peer in idle:
        peer.close()
    fresh = upstream.accept()
    assert fresh.read_head() == PING
    fresh.send(PONG)
    assert late.read(len(PONG)) == PONG
    assert b"Traceback" not in proxy.close()


class Listener:
    """A listener whose first accepts fail, as accept(2) says that they may, or give a descriptor
    that is no socket.
    """

    def __init__(self, listener: socket.socket, *errors: int, descriptor: int = -1) -> None:
        self._listener, self._errors = listener, list(errors)
        self._descriptor = descriptor

    def _accept(self) -> tuple[int, object]:
        if self._errors:
            raise OSError(self._errors.pop(0), "no")
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            return descriptor, None
        return self._listener._accept()  # type: ignore[attr-defined,no-any-return]


def test_accepting_goes_on_after_any_error_and_ends_with_the_listener(
    proxy: Proxy, upstream: Upstream, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = Listener(server, errno.EPERM, errno.EPROTO, errno.ENETDOWN, errno.ECONNABORTED)
        thread = threading.Thread(target=lambda: accept_connections(listener, proxy.sandbox))  # type: ignore[arg-type]
        thread.start()
        runtime = connect(server.getsockname()[1]).send(PING)
        assert upstream.accept().read_head() == PING
        runtime.close()
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        assert not thread.is_alive()
    assert capfd.readouterr().err.count("no connection of the runtime is accepted") == 1


def test_accepting_goes_on_after_a_connection_that_is_no_socket_to_us(
    proxy: Proxy, upstream: Upstream, capfd: pytest.CaptureFixture[str]
) -> None:
    unusable = os.open("/dev/null", os.O_RDONLY)
    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = Listener(server, descriptor=unusable)
        thread = threading.Thread(target=lambda: accept_connections(listener, proxy.sandbox))  # type: ignore[arg-type]
        thread.start()
        runtime = connect(server.getsockname()[1]).send(PING)
        assert upstream.accept().read_head() == PING
        runtime.close()
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        assert not thread.is_alive()
    assert os.path.realpath(f"/proc/self/fd/{unusable}") != "/dev/null"
    assert capfd.readouterr().err.count("a connection could not be served") == 1


def test_a_runtime_is_served_once_a_thread_can_start(
    proxy: Proxy, upstream: Upstream, capfd: pytest.CaptureFixture[str]
) -> None:
    # No process has so much room for a stack.
    usual = threading.stack_size(1 << 47)
    try:
        runtime = proxy.connect().send(PING)
        assert not runtime.has_news(0.5)
    finally:
        threading.stack_size(usual)
    api = upstream.accept()
    assert api.read_head() == PING
    api.send(PONG)
    assert runtime.read(len(PONG)) == PONG
    assert capfd.readouterr().err.count("a connection waits to be served") == 1


def test_where_the_configured_address_is_dead_lambdas_own_serves_and_one_line_says_so(
    start: Start, upstream: Upstream, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as in_front:
        proxy = start()
        proxy.sandbox.upstream = Connections(in_front.getsockname(), ("127.0.0.1", upstream.port))
        before = proxy.connect().send(PING)
        passed_on = Peer(in_front.accept()[0])
        assert passed_on.read_head() == PING
        assert not upstream.has_caller(0)
    passed_on.close()
    assert before.read_to_end() == b""
    for _ in range(2):
        runtime = proxy.connect().send(PING)
        api = upstream.accept()
        assert api.read_head() == PING
        api.send(PONG)
        assert runtime.read(len(PONG)) == PONG
        api.close()
    said = capfd.readouterr().err
    assert said.count("LRAP_RUNTIME_API_ENDPOINT=127.0.0.1:") == said.count("\n") == 1


def test_where_both_addresses_are_dead_the_runtime_learns_it_and_the_first_is_asked_again(
    start: Start, upstream: Upstream
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        dead = gone.getsockname()
    proxy = start()
    proxy.sandbox.upstream = Connections(dead, dead)
    assert proxy.connect().send(PING).read_head().startswith(b"HTTP/1.1 502 ")
    with socket.create_server(("127.0.0.1", 0)) as gone:
        proxy.sandbox.upstream = Connections(gone.getsockname(), dead)
    assert proxy.connect().send(PING).read_head().startswith(b"HTTP/1.1 502 ")


def test_a_result_that_we_refuse_may_come_again_and_is_recorded_then(
    proxy: Proxy, upstream: Upstream
) -> None:
    runtime, api, _, _ = deliver(proxy, upstream)
    assert isinstance(proxy.record(), records.Delivered)
    runtime.send(post_head(result_target(), b"Transfer-Encoding: chunked\r\n") + b"zz\r\n")
    assert runtime.read_head().startswith(b"HTTP/1.1 400 ")
    api.read_to_any_end()
    again = proxy.connect()
    error = post(result_target(endpoint=b"error"), b'{"errorType":"E"}')
    again.send(error)
    api = upstream.accept()
    assert api.read(len(error)) == error
    api.send(ACCEPTED)
    again.read(len(ACCEPTED))
    record = proxy.record()
    assert isinstance(record, records.Finished)
    assert (record.endpoint, record.status) == ("error", 202)
    again.send(NEXT)
    assert api.read_head() == NEXT
    assert not proxy.has_record()
    assert proxy.invocations.has_ended("8476a536-e9f4-11e8-9739-2dfe598c3fcd")
