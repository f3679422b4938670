"""One POST over one connection: whatever the server does, it is over at its deadline."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from contextlib import closing, contextmanager, suppress
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from lrap_otel.telemetry.export.connection import BrokenError, Connection, NotSentError, Reply
from lrap_otel.telemetry.export.deadline import Deadline
from lrap_otel.telemetry.export.tls import Tls
from lrap_otel.telemetry.export.wire import Wire
from lrap_otel.telemetry.settings import ExportSettings
from lrap_otel.telemetry.url import Url
from tests.telemetry.otlp_collector import PATIENCE_S, Collector, reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lrap_otel.telemetry.export.lookup import Address

# More than Linux buffers for a connection, so that it is sent in pieces.
LARGE = bytes(range(256)) * 65_536


def later(seconds: float = PATIENCE_S) -> Deadline:
    return Deadline(monotonic() + seconds)


def trust(certificate: Path) -> Tls:
    return Tls(ExportSettings({}).network, str(certificate))


def connection_to(
    collector: Collector, certificate: Path | None = None, path: str = "/"
) -> closing[Connection]:
    tls = trust(certificate) if certificate is not None else None
    return closing(Connection(Url(f"{collector.url}{path}"), None, tls))


def post(
    collector: Collector,
    certificate: Path | None = None,
    body: bytes = b"",
    seconds: float = PATIENCE_S,
) -> tuple[int, bytes]:
    with connection_to(collector, certificate) as connection:
        return said(connection.post({}, body, later(seconds)))


def said(answer: Reply) -> tuple[int, bytes]:
    return answer.status, answer.body


@contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[Url]:
    """`serve` has the listener, in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = Url(f"http://127.0.0.1:{listener.getsockname()[1]}")
        server = Thread(target=serve, args=(listener,))
        server.start()
        yield url
        server.join(PATIENCE_S)
        assert not server.is_alive()


@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + reply(200, b"yes"), id="after a 100"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=1\r\nye\r\n1\r\ns\r\n0\r\nA: b\r\n\r\n",
            id="in chunks, with a trailer",
        ),
    ],
)
def test_answers_that_come_byte_by_byte_are_understood_and_the_connection_is_kept(
    tls: ssl.SSLContext, certificate: Path, answer: bytes, *, is_secure: bool
) -> None:
    in_bytes = [bytes([byte]) for byte in answer]
    collector = Collector(lambda number, post: in_bytes, tls if is_secure else None)
    with collector, connection_to(collector, certificate if is_secure else None) as connection:
        for _ in range(2):
            assert said(connection.post({}, b"", later())) == (200, b"yes")
        assert {post.connection for post in collector.received()} == {1}


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nyes", b"yes", id="cut"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nyes",
            b"yes",
            id="cut in a chunk",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nyes",
            b"",
            id="no chunk size",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyesno",
            b"yes",
            id="no chunk end",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nyes", b"yes", id="until the end"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nyes", b"yes", id="1.0"),
        pytest.param(reply(200, b"yes", "Connection: Keep-Alive, Close\r\n"), b"yes", id="close"),
        pytest.param(reply(200, b"yes") + b"no", b"yes", id="more than it said"),
    ],
)
def test_a_status_counts_whatever_becomes_of_the_body_and_the_next_request_has_its_own_connection(
    answer: bytes, body: bytes
) -> None:
    def serve(listener: socket.socket) -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)
                # Until the client closes it, or is done.
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65_536):
                    pass

    with serving(serve) as url, closing(Connection(url)) as connection:
        for _ in range(2):
            assert said(connection.post({}, b"", later())) == (200, body)


def test_an_answer_longer_than_any_is_not_read_to_its_end() -> None:
    def go_on_for_ever(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                connection.sendall(b"10000\r\n" + bytes(65_536) + b"\r\n")

    with serving(go_on_for_ever) as url, closing(Connection(url)) as connection:
        assert said(connection.post({}, b"", later())) == (200, b"")


def test_a_body_that_never_comes_costs_no_more_than_the_deadline_and_the_status_counts() -> None:
    with Collector(
        lambda number, post: b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nyes"
    ) as collector:
        assert post(collector, seconds=0.2) == (200, b"yes")


def test_nothing_is_sent_after_its_deadline_and_the_connection_is_kept() -> None:
    with Collector() as collector, connection_to(collector) as connection:
        assert said(connection.post({"n": "1"}, b"", later())) == (200, b"")
        with pytest.raises(NotSentError) as caught:
            connection.post({"n": "2"}, b"", later(0))
        assert caught.value.error_type == "timeout"
        assert said(connection.post({"n": "3"}, b"", later())) == (200, b"")

        assert [(post.connection, post.fields["n"]) for post in collector.received()] == [
            (1, "1"),
            (1, "3"),
        ]


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
        serving(close_without_the_second_answer) as url,
        closing(Connection(url, dead_within_s=seconds / 3 or PATIENCE_S)) as connection,
    ):
        assert said(connection.post({}, b"", later())) == (200, b"")
        with pytest.raises(BrokenError) as caught:
            connection.post({}, b"", later())
        assert caught.value.error_type == ("connection_closed" if seconds else "connection_refused")


def test_a_server_that_never_comes_to_its_answer_is_given_up() -> None:
    def go_on_for_ever(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            while True:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    with serving(go_on_for_ever) as url, pytest.raises(BrokenError) as caught:
        Connection(url).post({}, b"", later())
    assert caught.value.error_type == "broken_reply"


@pytest.mark.parametrize("more", [b"x", b"a: b\r\n"], ids=["one line", "lines"])
def test_a_head_without_end_is_given_up(more: bytes) -> None:
    def go_on_for_ever(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                connection.sendall(100 * more)

    with serving(go_on_for_ever) as url, pytest.raises(BrokenError) as caught:
        Connection(url).post({}, b"", later())
    assert caught.value.error_type == "broken_reply"


def test_a_server_that_always_has_one_more_byte_costs_no_more_than_the_deadline() -> None:
    def dribble(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\na: ")
            while True:
                connection.sendall(b"x")
                time.sleep(0.01)

    begun_s = monotonic()
    with serving(dribble) as url, pytest.raises(BrokenError) as caught:
        Connection(url).post({}, b"", later(0.3))
    assert caught.value.error_type == "timeout"
    assert monotonic() - begun_s < PATIENCE_S


def test_a_request_larger_than_any_buffer_arrives_whole(
    tls: ssl.SSLContext, certificate: Path
) -> None:
    with Collector(lambda number, post: reply(200, b"%d" % len(post.body))) as collector:
        assert post(collector, body=LARGE) == (200, b"%d" % len(LARGE))
        assert collector.next().body == LARGE
    with Collector(tls=tls) as collector:
        assert post(collector, certificate, LARGE) == (200, b"")
        assert collector.next().body == LARGE


def test_an_answer_to_a_request_that_was_not_read_is_understood() -> None:
    def refuse_unread(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1)
            connection.sendall(reply(413))

    with serving(refuse_unread) as url, closing(Connection(url)) as connection:
        assert said(connection.post({}, LARGE, later())) == (413, b"")


def test_a_connection_that_is_reset_instead_of_answered_is_broken() -> None:
    def reset(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with serving(reset) as url, pytest.raises(BrokenError) as caught:
        Connection(url).post({}, b"", later())
    assert caught.value.error_type == "connection_closed"


def test_a_server_that_does_not_read_costs_no_more_than_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = Url(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(BrokenError) as caught:
            Connection(url).post({}, LARGE, later(0.2))
        assert caught.value.error_type == "timeout"


def addresses(*ports: int) -> Callable[[bytes, int], list[Address]]:
    """A resolver with these ports of 127.0.0.1 as the addresses of every name."""
    return lambda host, port: [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", one)) for one in ports
    ]


def test_an_address_that_does_not_answer_leaves_time_for_the_next_which_then_comes_first(
    full_port: int,
) -> None:
    with Collector() as collector:
        url = Url("http://collector.test/")
        connection = Connection(url, resolver=addresses(full_port, collector.port))
        with closing(connection):
            assert said(connection.post({}, b"", later(2))) == (200, b"")
            connection.close()

            # It would take half of this time to find that the first does not answer.
            begun_s = monotonic()
            assert said(connection.post({}, b"", later(2 * PATIENCE_S))) == (200, b"")
            assert monotonic() - begun_s < PATIENCE_S
            assert collector.next().fields["host"] == "collector.test"


def test_without_any_address_that_answers_the_last_one_s_reason_is_given(
    full_port: int, closed_port: int
) -> None:
    connection = Connection(
        Url("http://collector.test/"), resolver=addresses(full_port, closed_port)
    )
    with pytest.raises(NotSentError) as caught:
        connection.post({}, b"", later(0.4))
    assert (caught.value.error_type, str(caught.value)) == (
        "connection_refused",
        "connection refused",
    )


def test_a_name_that_never_resolves_costs_no_more_than_the_deadline_and_one_thread() -> None:
    asked, is_over = [], Event()

    def hang(host: bytes, port: int) -> list[Address]:
        asked.append(host)
        is_over.wait(PATIENCE_S)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    connection = Connection(Url("http://collector.test/"), resolver=hang)
    for _ in range(3):
        with pytest.raises(NotSentError) as caught:
            connection.post({}, b"", later(0.05))
        assert caught.value.error_type == "timeout"
        assert str(caught.value) == "the name collector.test was not resolved in time"
    assert asked == [b"collector.test"]

    is_over.set()
    with pytest.raises(NotSentError) as caught:
        connection.post({}, b"", later())
    assert caught.value.error_type == "name_not_resolved"
    assert "Name or service not known" in str(caught.value)


def test_a_name_that_resolves_late_is_used_by_the_next_attempt() -> None:
    is_over = Event()
    with Collector() as collector:
        resolve = addresses(collector.port)

        def late(host: bytes, port: int) -> list[Address]:
            is_over.wait(PATIENCE_S)
            return resolve(host, port)

        with closing(Connection(Url("http://collector.test/"), resolver=late)) as connection:
            with pytest.raises(NotSentError):
                connection.post({}, b"", later(0.05))
            is_over.set()
            assert said(connection.post({}, b"", later())) == (200, b"")


def test_a_resolver_that_raises_what_it_should_not_is_a_failed_lookup() -> None:
    def break_down(host: bytes, port: int) -> list[Address]:
        raise ZeroDivisionError

    with pytest.raises(NotSentError) as caught:
        Connection(Url("http://collector.test/"), resolver=break_down).post({}, b"", later())
    assert caught.value.error_type == "name_not_resolved"


class Handshakes:
    """A server's TLS that notes which handshakes resumed a session."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self.resumed: list[bool | None] = []

    def wrap_socket(self, connection: socket.socket, *, server_side: bool) -> ssl.SSLSocket:
        wire = self._tls.wrap_socket(connection, server_side=server_side)
        self.resumed.append(wire.session_reused)
        return wire


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_tls_session_is_resumed_by_the_next_connection_and_not_after_a_restore(
    tls: ssl.SSLContext, certificate: Path, version: ssl.TLSVersion
) -> None:
    tls.maximum_version = version
    handshakes: Any = Handshakes(tls)
    closing_answer = reply(200, b"", "Connection: close\r\n")
    collector = Collector(lambda number, post: closing_answer, handshakes)
    with collector, connection_to(collector, certificate) as connection:
        for _ in range(3):
            assert said(connection.post({}, b"", later())) == (200, b"")
        connection.forget()
        assert said(connection.post({}, b"", later())) == (200, b"")

    assert handshakes.resumed == [False, True, True, False]


def test_a_session_that_the_server_has_forgotten_costs_a_whole_handshake_and_nothing_else(
    tls: ssl.SSLContext, certificate: Path
) -> None:
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    other.load_cert_chain(certificate)
    contexts = iter([tls, other])

    class Restarted:
        def wrap_socket(self, connection: socket.socket, *, server_side: bool) -> ssl.SSLSocket:
            return next(contexts).wrap_socket(connection, server_side=server_side)

    restarted: Any = Restarted()
    closing_answer = reply(200, b"", "Connection: close\r\n")
    collector = Collector(lambda number, post: closing_answer, restarted)
    with collector, connection_to(collector, certificate) as connection:
        for _ in range(2):
            assert said(connection.post({}, b"", later())) == (200, b"")


def test_an_idle_connection_with_session_tickets_is_kept(
    tls: ssl.SSLContext, certificate: Path
) -> None:
    with Collector(tls=tls) as collector, connection_to(collector, certificate) as connection:
        # TLS 1.3 sends tickets after a handshake, which are no answer and no end.
        for _ in range(3):
            assert said(connection.post({}, b"", later())) == (200, b"")
        assert {post.connection for post in collector.received()} == {1}


def test_what_may_not_be_repeated_goes_again_only_if_the_server_cannot_have_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bodies: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        first, _ = listener.accept()
        with first:
            first.recv(65_536)
            first.sendall(reply())
        second, _ = listener.accept()
        with second:
            bodies.append(second.recv(65_536))
            second.sendall(reply())
            bodies.append(second.recv(65_536))

    # As where the server's end of the connection and our request cross.
    monkeypatch.setattr(Wire, "has_ended", lambda wire: False)
    with serving(serve) as url, closing(Connection(url)) as connection:
        assert said(connection.post({}, b"one", later(), may_repeat=False)) == (200, b"")
        assert select.select([connection._wire._socket], [], [], PATIENCE_S)[0]  # type: ignore[union-attr]
        assert said(connection.post({}, b"two", later(), may_repeat=False)) == (200, b"")
        with pytest.raises(BrokenError, match="closed without an answer"):
            connection.post({}, b"three", later(), may_repeat=False)
    assert [body.rpartition(b"\r\n")[2] for body in bodies] == [b"two", b"three"]


def test_an_idle_connection_that_the_server_has_closed_is_replaced_before_anything_is_sent() -> (
    None
):
    has_closed = Event()

    def serve(listener: socket.socket) -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(reply(200, b"yes"))
            has_closed.set()

    with serving(serve) as url, closing(Connection(url)) as connection:
        for _ in range(2):
            assert said(connection.post({}, b"", later())) == (200, b"yes")
            assert has_closed.wait(PATIENCE_S)
            assert select.select([connection._wire._socket], [], [], PATIENCE_S)[0]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("subject", "reason"),
    [("DNS:other.test", "IP address mismatch"), ("IP:127.0.0.2", "IP address mismatch")],
)
def test_a_certificate_for_another_host_is_not_accepted(
    subject: str, reason: str, certified: Any
) -> None:
    path = certified(subject)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    with Collector(tls=server) as collector, pytest.raises(NotSentError) as caught:
        post(collector, path)
    assert caught.value.error_type == "certificate"
    assert reason in str(caught.value)


def test_a_server_that_speaks_no_tls_is_told(certificate: Path) -> None:
    def speak_http(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(reply(400))

    with serving(speak_http) as url, pytest.raises(NotSentError) as caught:
        Connection(Url(str(url).replace("http:", "https:")), None, trust(certificate)).post(
            {}, b"", later()
        )
    assert caught.value.error_type == "tls"
    assert str(caught.value) == "the TLS handshake failed: wrong version number"
