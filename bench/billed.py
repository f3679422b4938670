"""What an invocation is billed: from Lambda's event until the runtime and the extension have both asked for the next one.

Lambda and the runtime are played here, by one thread that looks at all connections: what is measured are milliseconds. The
extension has a CPU, we have the others.
"""

from __future__ import annotations

import json
import signal
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from selectors import EVENT_READ, DefaultSelector
from typing import TYPE_CHECKING

from bench.group import Group
from bench.lane import STOP_LIMIT_S, LaneError, free_port, variables
from bench.machine import cpu_ns, one_cpu
from bench.replies import ACCEPTED_HEAD, NEXT_HEAD, RESULT, event_head, result_head

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.sink import Sink
    from bench.yardsticks import Yardstick

LIMIT_S = 10.0
FUNCTION_LIMIT_MS = 30_000
SHUTDOWN_LIMIT_MS = 2_000


@dataclass(frozen=True)
class Billed:
    """One invocation, in seconds from its event: when the runtime asked for the next, and when the extension did, if there is one."""

    runtime_s: float
    extension_s: float

    @property
    def billed_s(self) -> float:
        """What Lambda bills."""
        return max(self.runtime_s, self.extension_s)


class Peer:
    """A connection whose other end sends whole messages, each with a Content-Length or without a body."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.has_ended = False
        self._ahead = b""

    def receive(self) -> bytes | None:
        """Take what has come; the head of a message once all of it is there."""
        data = self.socket.recv(65_536)
        self.has_ended = not data
        self._ahead += data
        head, blank, body = self._ahead.partition(b"\r\n\r\n")
        length = _content_length(head)
        if not blank or len(body) < length:
            return None
        self._ahead = body[length:]
        return head

    def send_json(self, fields: str, value: object) -> None:
        """Answer 200 with `fields`, whole lines, and a value."""
        body = json.dumps(value)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
        self.socket.sendall(f"{head}{body}".encode())


class Sandbox:
    """Lambda and a runtime, and between them the extension of `yardstick`; nothing where that has no command.

    The event is delivered again and again. `close` it in any case.
    """

    def __init__(self, yardstick: Yardstick, folder: Path, sink: Sink, event: bytes) -> None:
        folder.mkdir()
        self._event, self._log, self._cleanup = event, folder / "log", ExitStack()
        self._selector = self._cleanup.enter_context(DefaultSelector())
        self._listener = self._cleanup.enter_context(socket.create_server(("127.0.0.1", 0)))
        self._selector.register(self._listener, EVENT_READ)
        # Those to whom Lambda owes an event, and when they asked for it.
        self._poll: Peer | None = None
        self._extension: Peer | None = None
        self._poll_ns = self._extension_ns = 0
        self._number = 0
        self._is_answered = False
        self._group: Group | None = None
        try:
            self._runtime = self._start(yardstick, sink)
        except BaseException:
            self.close()
            raise

    def invoke(self, function_s: float, pause_s: float) -> Billed:
        """One invocation of a function that takes `function_s`, and a freeze of `pause_s` behind it."""
        self._number += 1
        begin_ns = time.monotonic_ns()
        self._deliver()
        self._await_answer()
        self._serve_for(function_s)
        self._runtime.socket.sendall(result_head(self._number) + RESULT)
        self._await_answer()
        self._runtime.socket.sendall(NEXT_HEAD)
        self._serve_until(lambda: bool(self._poll and (self._extension or not self._group)))
        self._freeze(pause_s)
        extension_ns = self._extension_ns if self._group else begin_ns
        return Billed((self._poll_ns - begin_ns) / 1e9, (extension_ns - begin_ns) / 1e9)

    def cpu_ns(self) -> list[int]:
        """CPU time of each process of the extension, the first one first."""
        return [cpu_ns(pid) for pid in self._group.workers()] if self._group else []

    def shut_down(self) -> None:
        """End the extension as Lambda does. LaneError where it does not end well."""
        if self._group and self._extension:
            deadline_ms = time.time_ns() // 1_000_000 + SHUTDOWN_LIMIT_MS
            reason = {"eventType": "SHUTDOWN", "deadlineMs": deadline_ms, "shutdownReason": "spindown"}
            self._extension.send_json("", reason)
            if not self._group.ended_within(STOP_LIMIT_S) or self._group.status():
                raise self._error(f"after SHUTDOWN: status {self._group.status()}, left {self._group.left()}")

    def close(self) -> None:
        """End whatever still runs."""
        self._cleanup.close()

    def _start(self, yardstick: Yardstick, sink: Sink) -> Peer:
        """Give the runtime, which has polled."""
        port = api_port = self._listener.getsockname()[1]
        if yardstick.command:
            port = free_port()
            self._group = Group(yardstick.command, variables(api_port, sink, port), self._log, one_cpu())
            self._cleanup.callback(self._group.kill)
            self._serve_until(lambda: self._extension is not None)
            self._group.settle()
        runtime = self._watch(socket.create_connection(("127.0.0.1", port)))
        runtime.socket.sendall(NEXT_HEAD)
        self._serve_until(lambda: self._poll is not None)
        return runtime

    def _deliver(self) -> None:
        if self._extension:
            deadline_ms = time.time_ns() // 1_000_000 + FUNCTION_LIMIT_MS
            request_id = f"8476a536-e9f4-11e8-9739-{self._number:012}"
            event = {"eventType": "INVOKE", "deadlineMs": deadline_ms, "requestId": request_id}
            self._extension.send_json("", event)
        if self._poll:
            self._poll.socket.sendall(event_head(self._number, len(self._event)) + self._event)
        self._poll = self._extension = None

    def _await_answer(self) -> None:
        """Until the runtime has been answered."""
        self._is_answered = False
        self._serve_until(lambda: self._is_answered)

    def _serve_until(self, is_there: Callable[[], bool]) -> None:
        end = time.monotonic() + LIMIT_S
        while not is_there():
            if time.monotonic() > end:
                raise self._error(f"stands still in invocation {self._number}")
            self._serve_once(0.1)

    def _serve_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left_s := end - time.monotonic()) > 0:
            self._serve_once(left_s)

    def _serve_once(self, wait_s: float) -> None:
        for key, _ in self._selector.select(wait_s):
            if key.data is None:
                self._watch(self._listener.accept()[0])
            else:
                self._serve(key.data)

    def _serve(self, peer: Peer) -> None:
        head = peer.receive()
        if peer.has_ended:
            self._selector.unregister(peer.socket)
        elif head and head.startswith(b"HTTP/1.1 "):
            self._is_answered = True
        elif head:
            self._answer(peer, head.split(b" ", 2)[1])

    def _answer(self, peer: Peer, target: bytes) -> None:
        """As Lambda answers the runtime and the extension."""
        if target.endswith(b"/invocation/next"):
            self._poll, self._poll_ns = peer, time.monotonic_ns()
        elif target.endswith(b"/event/next"):
            self._extension, self._extension_ns = peer, time.monotonic_ns()
        elif target.endswith(b"/register"):
            peer.send_json("Lambda-Extension-Identifier: 3b1f2c9e\r\n", {"functionName": "bench"})
        else:
            peer.socket.sendall(ACCEPTED_HEAD + b'{"status":"OK"}\n')

    def _watch(self, connection: socket.socket) -> Peer:
        peer = Peer(self._cleanup.enter_context(connection))
        self._selector.register(connection, EVENT_READ, peer)
        return peer

    def _freeze(self, seconds: float) -> None:
        if seconds and self._group:
            self._group.signal(signal.SIGSTOP)
        time.sleep(seconds)
        if seconds and self._group:
            self._group.signal(signal.SIGCONT)

    def _error(self, text: str) -> LaneError:
        written = self._log.read_text(errors="replace")[-1500:] if self._log.exists() else ""
        return LaneError(f"{text}\n{written}".rstrip())


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
