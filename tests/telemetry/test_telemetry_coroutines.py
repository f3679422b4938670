"""What waits for sockets, side by side."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from contextlib import closing, contextmanager, suppress
from threading import Event, Semaphore, Thread, Timer
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from otlp_collector import PATIENCE_S, Collector, reply

from lrap_otel.bell import new_bell
from lrap_otel.telemetry.export.coroutines import carry_out, until_ready
from lrap_otel.telemetry.export.deadline import ALONE_S, AWAKE, Deadline, attempt
from lrap_otel.telemetry.export.http1 import BrokenError, Connection, NotSentError, Reply, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lrap_otel.bell import Bell

# More than Linux buffers for a connection, so that it is sent in pieces.
LARGE = bytes(range(256)) * 65_536


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def later(seconds: float = PATIENCE_S) -> Deadline:
    return Deadline(monotonic() + seconds)


async def read(wire: socket.socket, deadline: Deadline) -> bytes:
    await until_ready(wire, select.POLLIN, deadline)
    return wire.recv(1)


async def ring(bell: Bell) -> bytes:
    """While the others wait in `poll` already."""
    Timer(0.05, bell.ring).start()
    return b"rung"


async def write(wire: socket.socket) -> bytes:
    wire.sendall(b"x")
    return b""


async def fail() -> bytes:
    raise ZeroDivisionError


async def write_after(wire: socket.socket, deadline: Deadline) -> bytes:
    time.sleep(max(0, deadline.at_s - monotonic()))  # noqa: ASYNC251 - this one does not leave the thread to others
    return await write(wire)


async def expect_time_out(wire: socket.socket, deadline: Deadline) -> bytes:
    with pytest.raises(TimeoutError):
        await until_ready(wire, select.POLLIN, deadline)
    return b"late"


def test_one_that_waits_leaves_the_thread_to_the_others(pair: tuple[socket.socket, socket.socket]) -> None:
    assert carry_out(read(pair[0], later()), write(pair[1])) == [b"x", b""]


def test_none_is_abandoned_when_another_raises(pair: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(ZeroDivisionError):
        carry_out(fail(), write(pair[0]), fail())

    assert pair[1].recv(1) == b"x"


def test_one_that_waits_is_not_abandoned_when_another_raises(pair: tuple[socket.socket, socket.socket]) -> None:
    ended = []

    async def read_to_the_end() -> bytes:
        ended.append(await read(pair[0], later()))
        return b""

    with pytest.raises(ZeroDivisionError):
        carry_out(read_to_the_end(), fail(), write(pair[1]))

    assert ended == [b"x"]


def test_each_has_its_own_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair

    assert carry_out(read(one, later()), expect_time_out(other, later(0.01)), write(other)) == [b"x", b"late", b""]


def test_nothing_is_waited_for_after_its_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    assert carry_out(expect_time_out(pair[0], later(0))) == [b"late"]


def test_what_is_there_after_its_deadline_came_in_time(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].sendall(b"x")

    assert carry_out(read(pair[0], later(0))) == [b"x"]


def test_what_came_while_another_was_busy_came_in_time(pair: tuple[socket.socket, socket.socket]) -> None:
    deadline = later(1)

    assert carry_out(read(pair[0], deadline), write_after(pair[1], deadline)) == [b"x", b""]


@pytest.mark.parametrize("yields_in_s", [0, 0.2], ids=["now", "soon"])
def test_from_some_moment_on_a_bell_ends_what_waits(
    pair: tuple[socket.socket, socket.socket], yields_in_s: float
) -> None:
    bell = new_bell()
    deadline = Deadline(later().at_s, later(yields_in_s).at_s, bell)

    jobs = (expect_time_out(pair[0], deadline), expect_time_out(pair[1], deadline), ring(bell))

    assert carry_out(*jobs) == [b"late", b"late", b"rung"]


def test_before_that_moment_the_bell_ends_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    bell = new_bell()
    bell.ring()
    Timer(0.2, pair[1].sendall, (b"x",)).start()

    assert carry_out(read(pair[0], Deadline(later().at_s, later().at_s, bell))) == [b"x"]


def test_an_attempt_yields_after_a_while_and_outlives_the_wait_for_it() -> None:
    bell = new_bell()
    begun_s, begun_awake_s = monotonic(), AWAKE.now_s()
    unawaited, awaited = attempt(2.0, bell), attempt(2.0, bell, begun_s + 100)
    ended_s, ended_awake_s = monotonic(), AWAKE.now_s()

    for one, limit_s in (unawaited, 2), (awaited, 100 + ALONE_S):
        assert begun_s + ALONE_S <= one.yields_s <= ended_s + ALONE_S
        # The second is reckoned from its end, 100 s behind `begun_s`.
        assert begun_awake_s + limit_s - 0.001 <= one.at_s <= ended_awake_s + limit_s + 0.001
        assert one.bell is bell


@contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[Target]:
    """`serve` has the listener, in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Thread(target=serve, args=(listener,))
        server.start()
        yield Target("http", *listener.getsockname(), "x", "/")
        server.join(PATIENCE_S)
        assert not server.is_alive()


async def post(collector: Collector, tls: ssl.SSLContext | None = None, body: bytes = b"") -> Reply:
    with closing(Connection(Target.from_url(collector.url), tls)) as connection:
        return await connection.post("/", {}, body, later())


def test_answers_that_come_byte_by_byte_are_understood(tls: ssl.SSLContext, certificate: Path) -> None:
    trust = ssl.create_default_context(cafile=certificate)
    answer = b"HTTP/1.1 100 Continue\r\n\r\n" + reply(200, b"yes")
    in_bytes = [bytes([byte]) for byte in answer]
    with Collector(lambda number, post: in_bytes) as plain, Collector(lambda number, post: in_bytes, tls) as secure:
        assert carry_out(post(plain), post(secure, trust)) == 2 * [Reply(200, b"yes")]


def test_an_answer_that_came_while_we_were_frozen_came_in_time(pair: tuple[socket.socket, socket.socket]) -> None:
    is_answered = Event()

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            pair[1].sendall(b"x")
            time.sleep(0.05)
            connection.sendall(reply(200, b"yes"))
            is_answered.set()

    async def freeze() -> Reply:
        await read(pair[0], later())
        is_answered.wait(PATIENCE_S)
        return Reply(0, b"")

    deadline = Deadline(1.0, clock=lambda: float(is_answered.is_set()))
    with serving(answer) as target, closing(Connection(target, None)) as connection:
        jobs = (connection.post("/", {}, b"", deadline), freeze())
        assert carry_out(*jobs) == [Reply(200, b"yes"), Reply(0, b"")]


def test_nothing_is_sent_after_its_deadline_and_the_connection_is_kept() -> None:
    with Collector() as collector, closing(Connection(Target.from_url(collector.url), None)) as connection:
        assert carry_out(connection.post("/1", {}, b"", later())) == [Reply(200, b"")]
        with pytest.raises(NotSentError, match="timeout"):
            carry_out(connection.post("/2", {}, b"", later(0)))
        assert carry_out(connection.post("/3", {}, b"", later())) == [Reply(200, b"")]

        assert [(post.connection, post.path) for post in collector.received()] == [(1, "/1"), (1, "/3")]


def test_a_handshake_that_took_all_of_the_time_is_not_made_again(tls: ssl.SSLContext, certificate: Path) -> None:
    handshakes = []

    class Secured(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            handshakes.append(self)

    trust = ssl.create_default_context(cafile=certificate)
    trust.sslsocket_class = Secured
    with Collector(tls=tls) as collector, closing(Connection(Target.from_url(collector.url), trust)) as connection:
        with pytest.raises(NotSentError, match="timeout"):
            carry_out(connection.post("/1", {}, b"", Deadline(1.0, clock=lambda: float(len(handshakes)))))
        # TLS 1.3 sends tickets behind a handshake, which are no answer and no end.
        assert select.select(handshakes, [], [], PATIENCE_S)[0]
        assert carry_out(connection.post("/2", {}, b"", later())) == [Reply(200, b"")]

        assert len(handshakes) == 1
        assert [post.path for post in collector.received()] == ["/2"]


@pytest.mark.parametrize("seconds", [0, 0.3], ids=["refused again", "closed late"])
def test_what_went_out_on_a_kept_connection_may_have_arrived(seconds: float) -> None:
    def close_without_the_second_answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(reply())
            connection.recv(65_536)
            time.sleep(seconds)
            if not seconds:
                listener.close()

    with (
        serving(close_without_the_second_answer) as target,
        closing(Connection(target, None, seconds / 3 or PATIENCE_S)) as connection,
    ):
        assert carry_out(connection.post("/", {}, b"", later())) == [Reply(200, b"")]
        with pytest.raises(BrokenError, match="connection_closed" if seconds else "connection_refused"):
            carry_out(connection.post("/", {}, b"", later()))


def test_a_server_that_never_comes_to_its_answer_is_given_up() -> None:
    def go_on_for_ever(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            while True:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    with serving(go_on_for_ever) as target, pytest.raises(BrokenError, match="broken_reply"):
        carry_out(Connection(target, None).post("/", {}, b"", later()))


def test_a_server_that_always_has_one_more_byte_costs_no_more_than_the_deadline(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    answer, has_begun = reply(200, b"yes"), Event()
    wanted, sent = Semaphore(0), Semaphore(0)

    def send_bytes(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            pair[1].sendall(b"x")
            for byte in answer:
                wanted.acquire(timeout=PATIENCE_S)
                with suppress(OSError):
                    connection.sendall(bytes([byte]))
                has_begun.set()
                sent.release()

    async def want_bytes() -> Reply:
        for _ in answer:
            # Never read: once the request is there, this goes on whenever the other waits.
            await until_ready(pair[0], select.POLLIN, later())
            wanted.release()
            sent.acquire(timeout=PATIENCE_S)
        return Reply(0, b"")

    deadline = Deadline(1.0, clock=lambda: float(has_begun.is_set()))
    with serving(send_bytes) as target, pytest.raises(BrokenError, match="timeout"):
        carry_out(Connection(target, None).post("/", {}, b"", deadline), want_bytes())


def test_two_requests_larger_than_any_buffer_arrive_whole() -> None:
    with Collector(lambda number, post: reply(200, b"%d" % len(post.body))) as collector:
        replies = carry_out(post(collector, body=LARGE), post(collector, body=LARGE))

        assert replies == 2 * [Reply(200, b"%d" % len(LARGE))]
        assert all(one.body == LARGE for one in collector.received())


def test_a_request_larger_than_any_buffer_arrives_whole_over_tls(tls: ssl.SSLContext, certificate: Path) -> None:
    trust = ssl.create_default_context(cafile=certificate)
    with Collector(tls=tls) as collector:
        assert carry_out(post(collector, trust, LARGE)) == [Reply(200, b"")]
        assert collector.next().body == LARGE


def refuse_unread(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(1)
        connection.sendall(reply(413))


def test_an_answer_to_a_request_that_was_not_read_is_understood() -> None:
    with serving(refuse_unread) as target, closing(Connection(target, None)) as connection:
        assert carry_out(connection.post("/", {}, LARGE, later())) == [Reply(413, b"")]


def reset(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65_536)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_connection_that_is_reset_instead_of_answered_is_broken() -> None:
    with serving(reset) as target, pytest.raises(BrokenError, match="connection_closed"):
        carry_out(Connection(target, None).post("/", {}, b"", later()))


def test_a_server_that_does_not_read_costs_no_more_than_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = Target("http", *listener.getsockname(), "x", "/")
        with pytest.raises(BrokenError, match="timeout"):
            carry_out(Connection(target, None).post("/", {}, LARGE, later(0.2)))
