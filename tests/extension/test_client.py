"""The Extensions API client never gives up: an extension that ends before SHUTDOWN takes the
sandbox with it.
"""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from lrap_otel.extension.client import Client, RefusedError
from lrap_otel.http1.errors import SERVER, DisconnectedError, RemoteProtocolError
from lrap_otel.http1.stream import Stream
from tests.upstream import Peer, Upstream, connect

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def api() -> Iterator[Upstream]:
    api = Upstream()
    yield api
    api.close()


def started(api: Upstream) -> tuple[Client, Peer]:
    client = Client(
        Stream(connect(api.port).socket, SERVER), ("127.0.0.1", api.port), retry_pause_s=0.01
    )
    return client, api.accept()


def reply(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nLambda-Extension-Identifier: me\r\nContent-Length: %d\r\n\r\n%s" % (
        status,
        len(body),
        body,
    )


def test_a_refused_registration_says_what_lambda_said(api: Upstream) -> None:
    client, lambda_side = started(api)
    lambda_side.send(reply(b'{"errorType":"Extension.InvalidExtensionName"}', b"403 Forbidden"))
    with pytest.raises(RefusedError, match="403"):
        client.read_registration()


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"nonsense\r\n\r\n"],
    ids=["ends", "breaks off", "nonsense"],
)
def test_a_lambda_that_goes_away_before_it_answers_is_an_error(
    api: Upstream, answer: bytes
) -> None:
    client, lambda_side = started(api)
    lambda_side.send(answer).end()
    with pytest.raises((DisconnectedError, RemoteProtocolError)):
        client.read_registration()


def test_a_chunked_answer_and_one_that_is_no_object_are_read(api: Upstream) -> None:
    client, lambda_side = started(api)
    lambda_side.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    lambda_side.send(b'4\r\n{"a"\r\n3\r\n:1}\r\n0\r\n\r\n')
    assert client.read_registration() == {"a": 1}
    lambda_side.send(reply(b"[1"))
    assert client.next_event() == {}


@pytest.mark.parametrize("how", ["ends", "refuses", "nonsense", "in a chunk", "short"])
def test_the_next_event_is_asked_for_again_when_the_call_fails(api: Upstream, how: str) -> None:
    client, first = started(api)
    first.send(reply(b"{}"))
    client.read_registration()
    events: list[object] = []
    thread = threading.Thread(target=lambda: events.append(client.next_event()), daemon=True)
    thread.start()
    asked = first.read_head()
    if how == "ends":
        first.close()
    elif how == "in a chunk":
        first.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel").end()
    elif how == "short":
        first.send(reply(b'{"eventType":"SHUTDOWN"}')[:-3]).end()
    else:
        first.send(reply(b"{}", b"500 No") if how == "refuses" else b"nonsense\r\n\r\n")
    second = api.accept()
    assert second.read_head() == asked
    second.send(reply(b'{"eventType":"SHUTDOWN"}'))
    thread.join(5)
    assert events == [{"eventType": "SHUTDOWN"}]


def test_a_sandbox_that_stays_idle_is_told_of_and_one_whose_event_is_there_is_not(
    api: Upstream,
) -> None:
    client, lambda_side = started(api)
    told: list[str] = []
    idle = threading.Event()
    thread = threading.Thread(target=lambda: client.next_event(idle.set), daemon=True)
    thread.start()
    assert idle.wait(5)
    lambda_side.send(reply(b"{}"))
    thread.join(5)
    lambda_side.send(reply(b"{}"))
    client.next_event(lambda: told.append("idle"))
    assert told == []


def test_a_call_that_is_refused_again_and_again_is_made_less_and_less_often_and_said_once(
    api: Upstream, capfd: pytest.CaptureFixture[str]
) -> None:
    client, side = started(api)
    side.send(reply(b"{}"))
    client.read_registration()
    events: list[object] = []
    thread = threading.Thread(target=lambda: events.append(client.next_event()), daemon=True)
    thread.start()
    asked_at = []
    for _ in range(6):
        side.read_head()
        asked_at.append(time.monotonic())
        side.send(reply(b"{}", b"403 Forbidden"))
        side = api.accept()
    side.read_head()
    side.send(reply(b'{"eventType":"SHUTDOWN"}'))
    thread.join(5)
    assert events == [{"eventType": "SHUTDOWN"}]
    # The pauses are 10, 20, 40, 80, 160 ms: each is at least as long as it has to be.
    pauses = [later - earlier for earlier, later in pairwise(asked_at)]
    assert all(pause >= 0.01 * 2**number for number, pause in enumerate(pauses))
    assert capfd.readouterr().err.count("403") == 1


def test_an_event_that_is_nested_too_deep_is_an_empty_one(api: Upstream) -> None:
    client, side = started(api)
    side.send(reply(b"{}"))
    client.read_registration()
    side.send(reply(b'{"a":' * 100_000))
    assert client.next_event() == {}
