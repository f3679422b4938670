"""How the extension asks for the Telemetry API's events, and what it makes of each answer."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.extension.extension_process import REGISTERED as WELCOME
from tests.extension.extension_process import Extension, reply
from tests.processes import children, proxies_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.upstream import Peer

NEXT = b"GET /2020-01-01/extension/event/next HTTP/1.1\r\n"
SHUTDOWN = reply({"eventType": "SHUTDOWN", "shutdownReason": "spindown", "deadlineMs": 2**60})


@pytest.fixture
def extension() -> Iterator[Extension]:
    extension = Extension(
        LRAP_TELEMETRY_API="auto", OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="none"
    )
    yield extension
    extension.close()


def registered(extension: Extension) -> tuple[Peer, Peer, bytes, dict[str, Any]]:
    """Lambda's side of the connection for events and of the subscription, with what it asks."""
    extension.read_registration()
    events = extension.lambda_side
    assert events is not None
    events.send(WELCOME)
    subscription = extension.api.accept()
    head, body = subscription.read_message()
    return events, subscription, head, json.loads(body)


def answered(status: str, body: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def test_it_asks_for_the_platforms_events_in_small_batches(extension: Extension) -> None:
    events, subscription, head, asked = registered(extension)

    assert head.startswith(b"PUT /2022-07-01/telemetry HTTP/1.1\r\n")
    assert b"\r\nLambda-Extension-Identifier: me\r\n" in head
    destination = asked.pop("destination")
    assert asked == {
        "schemaVersion": "2025-01-29",
        "types": ["platform"],
        "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25},
    }
    uri, _, port = destination["URI"].rpartition(":")
    assert (destination["protocol"], uri) == ("HTTP", "http://sandbox.localdomain")
    # Lambda may deliver before it has answered.
    with socket.create_connection(("127.0.0.1", int(port)), 5) as lambda_side:
        lambda_side.sendall(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]")
        assert lambda_side.recv(64).startswith(b"HTTP/1.1 200 OK")
    subscription.send(answered("200 OK", '"OK"'))
    assert events.read_head().startswith(NEXT)
    events.send(SHUTDOWN)
    assert extension.end() == (0, b"")


def test_it_asks_for_its_first_event_only_once_it_is_subscribed(extension: Extension) -> None:
    """Lambda takes no subscription after that."""
    events, subscription, _, _ = registered(extension)
    assert not events.has_news(0.01)
    subscription.send(answered("200 OK", '"OK"'))
    assert events.read_head().startswith(NEXT)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (answered("202 Accepted", '{"errorType":"Telemetry.NotSupported"}'), b""),
        (
            answered("400 Bad Request", '{"errorMessage":"no\x1b[0m"}'),
            b"refused the subscription with 400",
        ),
        (answered("403 Forbidden", "{}"), b"refused the subscription with 403"),
        (answered("500 Oops"), b"refused the subscription with 500"),
        (b"nonsense", b"refused the subscription with no status"),
        (b"", b"refused the subscription with no status"),
        (None, b"does not answer"),
    ],
)
def test_whatever_the_answer_is_it_goes_on(
    extension: Extension, answer: bytes | None, said: bytes
) -> None:
    events, subscription, _, _ = registered(extension)
    if answer is not None:
        subscription.send(answer)
        subscription.socket.shutdown(socket.SHUT_WR)
    assert events.read_head().startswith(NEXT)
    events.send(SHUTDOWN)
    status, errors = extension.end()
    assert status == 0
    assert said in errors
    assert len(errors.splitlines()) == bool(said)
    assert b"\x1b" not in errors


def test_a_runtime_that_has_asked_does_not_wait_for_the_answer(extension: Extension) -> None:
    """The runtime's call is passed on, and init ends, whatever the Telemetry API does."""
    events, _, _, _ = registered(extension)
    runtime = extension.connect()
    runtime.send(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"/invocation/next" in extension.api.accept().read_head()
    assert events.read_head().startswith(NEXT)


def test_off_asks_for_nothing() -> None:
    extension = Extension(LRAP_TELEMETRY_API="off")
    try:
        extension.register()
        with pytest.raises(TimeoutError):
            extension.api.accept()
    finally:
        extension.close()


def deliver(port: int) -> socket.socket:
    """Lambda's connection, over which one batch has been acknowledged."""
    connection = socket.create_connection(("127.0.0.1", port), 20)
    connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]")
    assert connection.recv(64).startswith(b"HTTP/1.1 200 OK")
    return connection


def test_a_process_that_takes_over_hears_on_the_same_port(extension: Extension) -> None:
    events, subscription, _, asked = registered(extension)
    subscription.send(answered("200 OK", '"OK"'))
    assert events.read_head().startswith(NEXT)
    port = int(asked["destination"]["URI"].rpartition(":")[2])
    (proxy,) = proxies_of(extension.process.pid)
    (first,) = children(proxy)
    with deliver(port) as connection:
        os.kill(first, signal.SIGKILL)
        assert connection.recv(1) == b""
    deliver(port).close()
    (second,) = children(proxy)
    assert second != first
