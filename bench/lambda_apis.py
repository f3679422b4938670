"""Lambda's Runtime API, Extensions API and Telemetry API, served by one thread that polls all
connections.
"""

from __future__ import annotations

import json
import socket
import time
from contextlib import ExitStack, suppress
from datetime import datetime, timezone
from selectors import EVENT_READ, DefaultSelector
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench.replies import ACCEPTED_HEAD, event_head

if TYPE_CHECKING:
    from collections.abc import Callable

FUNCTION_LIMIT_MS = 30_000
SHUTDOWN_LIMIT_MS = 2_000
# How long events of the Telemetry API are collected: the least that a subscriber may ask for.
BUFFER_NS = 25_000_000


class StandstillError(Exception):
    """What was waited for has not come in time."""


class Peer:
    """A connection whose other end sends whole messages, each with a Content-Length or without a
    body.

    `answers` is how many replies have come over it.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.has_ended = False
        self.answers = 0
        self._ahead = b""

    def receive(self) -> tuple[bytes, bytes] | None:
        """Take what has come; the head and the body of a message once all of it is there."""
        data = self.socket.recv(65_536)
        self.has_ended = not data
        self._ahead += data
        head, blank, body = self._ahead.partition(b"\r\n\r\n")
        length = int(_field(head, b"content-length") or 0)
        if not blank or len(body) < length:
            return None
        self._ahead = body[length:]
        return head, body[:length]

    def send_json(self, fields: str, value: object) -> None:
        """Answer 200 with `fields`, whole lines, and a value."""
        body = json.dumps(value)
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{fields}Content-Length: "
            f"{len(body)}\r\n\r\n"
        )
        self.socket.sendall(f"{head}{body}".encode())


class Lambda:
    """Both APIs on one port. It works only inside `serve_until` and `serve_for`. `close` it in any
    case.

    `registered` and `waiting` have the extensions by identifier: those that there are, and those to
    which an event is owed, with the moment at which they asked for it. All moments are
    CLOCK_MONOTONIC in ns.
    """

    def __init__(self, event: bytes) -> None:
        self._event, self._cleanup = event, ExitStack()
        self._selector = self._cleanup.enter_context(DefaultSelector())
        self._listener = self._cleanup.enter_context(socket.create_server(("127.0.0.1", 0)))
        self._selector.register(self._listener, EVENT_READ)
        self.port: int = self._listener.getsockname()[1]
        self.number = 0
        self.registered: list[str] = []
        self.waiting: dict[str, int] = {}
        self.poll_ns = self.result_ns = 0
        self._poll: Peer | None = None
        self._peers: dict[str, Peer] = {}
        self._takes_invoke: set[str] = set()
        self._subscriber = 0
        self._platform: list[object] = []
        self._platform_due_ns = 0

    @property
    def is_idle(self) -> bool:
        """Whether the runtime and every extension wait for an event."""
        return self.has_poll and len(self.waiting) == len(self.registered)

    @property
    def has_poll(self) -> bool:
        """Whether the runtime waits for an event."""
        return self._poll is not None

    def deliver(self) -> int:
        """Send the next event to the runtime and INVOKE to the extensions that take it; the moment
        before.
        """
        self.number += 1
        begin_ns = time.monotonic_ns()
        deadline_ms = time.time_ns() // 1_000_000 + FUNCTION_LIMIT_MS
        request_id = f"8476a536-e9f4-11e8-9739-{self.number:012}"
        invoke = {"eventType": "INVOKE", "deadlineMs": deadline_ms, "requestId": request_id}
        for identifier in self._takes_invoke & self.waiting.keys():
            self._peers[identifier].send_json("", invoke)
            del self.waiting[identifier]
        if self._poll:
            self._poll.socket.sendall(event_head(self.number, len(self._event)) + self._event)
        self._poll = None
        self._report("platform.start", {"requestId": request_id, "version": "$LATEST"})
        return begin_ns

    def end_of_extensions_ns(self, begin_ns: int) -> int:
        """The moment at which the last extension that takes INVOKE asked for the next event;
        `begin_ns` where none does.
        """
        return max(
            (self.waiting[identifier] for identifier in self._takes_invoke), default=begin_ns
        )

    def shut_down(self) -> None:
        """Send SHUTDOWN to every extension that waits."""
        deadline_ms = time.time_ns() // 1_000_000 + SHUTDOWN_LIMIT_MS
        for identifier in self.waiting:
            reason = {
                "eventType": "SHUTDOWN",
                "deadlineMs": deadline_ms,
                "shutdownReason": "spindown",
            }
            self._peers[identifier].send_json("", reason)
        self.waiting.clear()

    def watch(self, connection: socket.socket) -> Peer:
        """Serve this connection as well."""
        peer = Peer(self._cleanup.enter_context(connection))
        self._selector.register(connection, EVENT_READ, peer)
        return peer

    def serve_until(self, is_there: Callable[[], bool], limit_s: float = 10.0) -> None:
        """Serve until that is so. StandstillError after the limit."""
        end = time.monotonic() + limit_s
        while not is_there():
            if time.monotonic() > end:
                raise StandstillError(f"stands still in invocation {self.number}")
            self._serve_once(0.1)

    def serve_for(self, seconds: float) -> None:
        """Serve for so long."""
        end = time.monotonic() + seconds
        while (left_s := end - time.monotonic()) > 0:
            self._serve_once(left_s)

    def close(self) -> None:
        """Drop all connections."""
        self._cleanup.close()

    def _report(self, kind: str, record: dict[str, object]) -> None:
        """Have the subscriber, if there is one, get an event within `BUFFER_NS`."""
        if not self._subscriber:
            return
        if not self._platform:
            self._platform_due_ns = time.monotonic_ns() + BUFFER_NS
        at = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
        self._platform.append({"time": at, "type": kind, "record": record})

    def _report_result(self) -> None:
        request_id = f"8476a536-e9f4-11e8-9739-{self.number:012}"
        metrics = {"durationMs": 1.234, "producedBytes": 2}
        self._report(
            "platform.runtimeDone",
            {"requestId": request_id, "status": "success", "metrics": metrics},
        )
        metrics = {
            "durationMs": 1.234,
            "billedDurationMs": 2,
            "memorySizeMB": 1_769,
            "maxMemoryUsedMB": 60,
        }
        self._report(
            "platform.report", {"requestId": request_id, "status": "success", "metrics": metrics}
        )

    def _deliver_platform(self) -> None:
        body = json.dumps(self._platform).encode()
        self._platform.clear()
        head = (
            b"POST / HTTP/1.1\r\nHost: sandbox.localdomain\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        )
        with suppress(OSError):  # it has ended
            peer = self.watch(socket.create_connection(("127.0.0.1", self._subscriber)))
            peer.socket.sendall(head % len(body) + body)

    def _serve_once(self, wait_s: float) -> None:
        if self._platform:
            left_s = (self._platform_due_ns - time.monotonic_ns()) / 1e9
            if left_s <= 0:
                self._deliver_platform()
            wait_s = min(wait_s, max(left_s, 0.0))
        for key, _ in self._selector.select(wait_s):
            if key.data is None:
                self.watch(self._listener.accept()[0])
            else:
                self._serve(key.data)

    def _serve(self, peer: Peer) -> None:
        message = peer.receive()
        if peer.has_ended:
            self._selector.unregister(peer.socket)
            peer.socket.close()
        elif message and message[0].startswith(b"HTTP/1.1 "):
            peer.answers += 1
        elif message:
            self._answer(peer, *message)

    def _answer(self, peer: Peer, head: bytes, body: bytes) -> None:
        """As Lambda answers the runtime and the extensions."""
        target = head.split(b" ", 2)[1]
        if target.endswith(b"/invocation/next"):
            self._poll, self.poll_ns = peer, time.monotonic_ns()
        elif target.endswith(b"/event/next"):
            identifier = _field(head, b"lambda-extension-identifier")
            self._peers[identifier], self.waiting[identifier] = peer, time.monotonic_ns()
        elif target.endswith(b"/register"):
            self._register(peer, body)
        elif target.endswith(b"/telemetry"):
            self._subscriber = urlsplit(json.loads(body)["destination"]["URI"]).port or 0
            peer.socket.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"OK"')
        else:
            self.result_ns = time.monotonic_ns()
            self._report_result()
            peer.socket.sendall(ACCEPTED_HEAD + b'{"status":"OK"}\n')

    def _register(self, peer: Peer, body: bytes) -> None:
        identifier = f"3b1f2c9e-0000-4000-8000-{len(self.registered):012}"
        self.registered.append(identifier)
        if b'"INVOKE"' in body:
            self._takes_invoke.add(identifier)
        function = {
            "functionName": "bench",
            "functionVersion": "$LATEST",
            "handler": "answer.handler",
        }
        peer.send_json(
            f"Lambda-Extension-Identifier: {identifier}\r\n",
            function | {"accountId": "123456789012"},
        )


def _field(head: bytes, wanted: bytes) -> str:
    """The value of a field by its lower-case name; empty where it is not there."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == wanted:
            return value.strip().decode("latin-1")
    return ""
