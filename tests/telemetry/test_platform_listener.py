"""Where Lambda delivers the Telemetry API's events: 200 to everything, and nothing that a peer does
ends it.
"""

from __future__ import annotations

import queue
import socket
from typing import TYPE_CHECKING

import pytest

from lrap_otel.ipc.telemetry_port import open_port
from lrap_otel.telemetry.message_reader import BODY_LIMIT_BYTES
from lrap_otel.telemetry.platform import listener
from lrap_otel.telemetry.platform.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lrap_otel.telemetry.record_queue import Batch

PATIENCE_S = 5.0


class Served:
    """A listener, and what it has handed on."""

    def __init__(self) -> None:
        port = open_port("127.0.0.1")
        assert port is not None
        self.port = port
        self.address = port.getsockname()
        self._batches: queue.Queue[Batch] = queue.Queue()
        Listener(port, self._batches.put).start()

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, PATIENCE_S)

    def next_body(self, patience_s: float = PATIENCE_S) -> bytes:
        body = self._batches.get(timeout=patience_s).payload
        assert body is not None
        return body

    def is_empty(self) -> bool:
        return self._batches.empty()


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.port.shutdown(socket.SHUT_RDWR)
    served.port.close()


def answer(connection: socket.socket) -> bytes:
    """The status line of the next answer, which has no body."""
    said = b""
    while not said.endswith(b"\r\n\r\n"):
        more = connection.recv(1)
        if not more:
            return said
        said += more
    return said.partition(b"\r\n")[0]


def post(body: bytes, extra: str = "") -> bytes:
    return (
        f"POST / HTTP/1.1\r\nHost: sandbox.localdomain\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode()
        + body
    )


OK = b"HTTP/1.1 200 OK"


def test_each_batch_of_a_connection_is_answered_and_handed_on(served: Served) -> None:
    with served.connect() as connection:
        for body in (b"[1]", b"[" + b"2" * 200_000 + b"]"):
            connection.sendall(post(body))
            assert answer(connection) == OK
            assert served.next_body() == body


def test_a_request_may_come_byte_by_byte(served: Served) -> None:
    with served.connect() as connection:
        for byte in post(b"[1]"):
            connection.send(bytes([byte]))
        assert answer(connection) == OK
        assert served.next_body() == b"[1]"


def test_two_requests_may_come_at_once(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(post(b"[1]") + post(b"[2]"))
        assert (answer(connection), answer(connection)) == (OK, OK)
        assert (served.next_body(), served.next_body()) == (b"[1]", b"[2]")


def test_chunks_are_put_together(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n"
        )
        connection.sendall(b"0\r\n\r\n")
        assert answer(connection) == OK
        assert served.next_body() == b"[1,2]"


def test_a_chunk_may_end_as_a_last_chunk_does(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n[10\r\n\r\n")
        with pytest.raises(queue.Empty):
            served.next_body(0.2)
        connection.sendall(b"2]\r\n0\r\n\r\n" + post(b"[1]"))
        assert (answer(connection), answer(connection)) == (OK, OK)
        assert (served.next_body(), served.next_body()) == (b"[10\r\n\r\n2]", b"[1]")


def test_who_asks_whether_to_go_on_is_told_so(served: Served) -> None:
    with served.connect() as connection:
        whole = post(b"[1]", "Expect: 100-continue\r\n")
        connection.sendall(whole[:-3])
        assert answer(connection) == b"HTTP/1.1 100 Continue"
        connection.sendall(whole[-3:])
        assert answer(connection) == OK


@pytest.mark.parametrize("request_line", [b"GET / HTTP/1.1", b"PUT /x HTTP/1.0", b"nonsense"])
def test_what_has_no_body_is_answered_and_leaves_nothing(
    served: Served, request_line: bytes
) -> None:
    with served.connect() as connection:
        connection.sendall(request_line + b"\r\n\r\n")
        assert answer(connection) == OK
        connection.sendall(post(b"[1]"))
        assert answer(connection) == OK
    assert served.next_body() == b"[1]"
    assert served.is_empty()


def test_more_than_any_batch_has_is_answered_and_left_out(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(post(b"x" * (BODY_LIMIT_BYTES + 1)) + post(b"[1]"))
        assert (answer(connection), answer(connection)) == (OK, OK)
        assert served.next_body() == b"[1]"


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n[",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"x" * 100_000,
    ],
)
def test_a_peer_that_breaks_off_costs_its_own_connection(served: Served, said: bytes) -> None:
    broken = served.connect()
    broken.sendall(said)
    broken.shutdown(socket.SHUT_WR)
    try:
        while broken.recv(4_096):
            pass
    except ConnectionResetError:
        pass
    broken.close()
    with served.connect() as connection:
        connection.sendall(post(b"[1]"))
        assert answer(connection) == OK
    assert served.next_body() == b"[1]"


def test_a_burst_ends_the_oldest_each_once_though_no_thread_has_run_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "start_new_thread", lambda *_: None)
    pairs = [socket.socketpair() for _ in range(40)]
    served = Listener(pairs[0][0], lambda _: None)
    for near, _ in pairs:
        served._take(near)

    for _, far in pairs:
        far.setblocking(False)
    ended = [number for number, (_, far) in enumerate(pairs) if _has_ended(far)]
    assert ended == list(range(40 - 16))
    for near, far in pairs:
        near.close()
        far.close()


def _has_ended(far: socket.socket) -> bool:
    try:
        return far.recv(1) == b""
    except BlockingIOError:
        return False


def test_many_who_say_nothing_do_not_keep_lambda_out(served: Served) -> None:
    silent = [served.connect() for _ in range(40)]
    with served.connect() as connection:
        connection.sendall(post(b"[1]"))
        assert answer(connection) == OK
    assert served.next_body() == b"[1]"
    for each in silent:
        each.close()
