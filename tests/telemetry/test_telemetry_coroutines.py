"""What waits for sockets, side by side."""

from __future__ import annotations

import select
import socket
import ssl
import time
from contextlib import closing
from threading import Thread, Timer
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from otlp_collector import PATIENCE_S, Collector, reply

from lrap_otel.bell import new_bell
from lrap_otel.telemetry.export.coroutines import carry_out, until_ready
from lrap_otel.telemetry.export.deadline import Deadline
from lrap_otel.telemetry.export.http1 import BrokenError, Connection, NotSentError, Reply, Target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otlp_collector import Post

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


def test_no_wait_begins_after_its_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].sendall(b"x")

    assert carry_out(expect_time_out(pair[0], later(0))) == [b"late"]


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
    one, other = pair
    bell, deadline = new_bell(), later(0.2)

    jobs = (read(one, Deadline(deadline.at_s, later().at_s, bell)), expect_time_out(other, deadline))

    assert carry_out(*jobs, ring(bell), write_after(other, deadline)) == [b"x", b"late", b"rung", b""]


def test_no_wait_begins_where_the_bell_rings_already(pair: tuple[socket.socket, socket.socket]) -> None:
    bell = new_bell()
    bell.ring()
    pair[1].sendall(b"x")

    assert carry_out(expect_time_out(pair[0], Deadline(later().at_s, monotonic(), bell))) == [b"late"]


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
    deadline = later(1)

    def answer_soon(number: int, post: Post) -> bytes:
        pair[1].sendall(b"x")
        time.sleep(0.1)
        return reply(200, b"yes")

    async def freeze() -> bytes:
        await read(pair[0], later())
        return await write_after(pair[0], deadline)

    with Collector(answer_soon) as collector, closing(Connection(Target.from_url(collector.url), None)) as connection:
        jobs = (connection.post("/", {}, b"", deadline), freeze())

        assert carry_out(*jobs) == [Reply(200, b"yes"), b""]


def test_nothing_is_sent_after_its_deadline_and_the_connection_is_kept() -> None:
    with Collector() as collector, closing(Connection(Target.from_url(collector.url), None)) as connection:
        assert carry_out(connection.post("/1", {}, b"", later())) == [Reply(200, b"")]
        with pytest.raises(NotSentError, match="timeout"):
            carry_out(connection.post("/2", {}, b"", later(0)))
        assert carry_out(connection.post("/3", {}, b"", later())) == [Reply(200, b"")]

        assert [(post.connection, post.path) for post in collector.received()] == [(1, "/1"), (1, "/3")]


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
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Thread(target=refuse_unread, args=(listener,))
        server.start()
        target = Target("http", *listener.getsockname(), "x", "/")
        with closing(Connection(target, None)) as connection:
            assert carry_out(connection.post("/", {}, LARGE, later())) == [Reply(413, b"")]
        server.join(PATIENCE_S)


def test_a_server_that_does_not_read_costs_no_more_than_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = Target("http", *listener.getsockname(), "x", "/")
        with pytest.raises(BrokenError, match="timeout"):
            carry_out(Connection(target, None).post("/", {}, LARGE, later(0.2)))
