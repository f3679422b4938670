"""One life of the telemetry process, with the test in the proxy's place: a real process, forked
from a server that has imported what it needs, so that a thousand of them cost no imports.
"""

from __future__ import annotations

import _socket
import multiprocessing
import os
import resource
import signal
import time
from multiprocessing.reduction import DupFd
from typing import TYPE_CHECKING, Any

from lrap_otel.ipc import records
from lrap_otel.ipc.channel import Channel
from lrap_otel.ipc.event_fd import EventFd
from lrap_otel.telemetry import pipeline
from lrap_otel.telemetry.export import spool
from lrap_otel.telemetry.worker import serve

if TYPE_CHECKING:
    from collections.abc import Iterable

_LOADED = (pipeline, spool)
_PATIENCE_S = 60.0
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload([__name__])


def live(
    far: Any, event_fd: Any, variables: dict[bytes, bytes], file_limit_bytes: int | None
) -> None:
    """What the process does. It is never nice: the tests' machine has others."""
    if file_limit_bytes is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit_bytes, file_limit_bytes))
    serve(_socket.socket(fileno=far.detach()), variables, EventFd(event_fd.detach()))
    os._exit(0)


class Life:
    """From start to end. `said` are its warnings."""

    def __init__(self, variables: dict[bytes, bytes], file_limit_bytes: int | None = None) -> None:
        """`file_limit_bytes`: no file gets longer, as on a disk that is full."""
        self.said: list[str] = []
        self._channel = Channel()
        self._number = 0
        arguments = (DupFd(self._channel.far.fileno()), DupFd(self._channel.event_fd.fileno()))
        self._process = processes.Process(
            target=live, args=(*arguments, variables, file_limit_bytes)
        )
        self._process.start()
        # Its end is the channel's: the proxy would keep a copy, for the next process.
        self._channel.far.close()
        assert self._reply(_PATIENCE_S, records.READY) is not None

    def offer(self, *sent: tuple[records.Message, bytes]) -> None:
        for message, payload in sent:
            assert self._channel.offer(message, payload)

    def flush(self, budget_ms: int = 30, *, wait_s: float = _PATIENCE_S) -> bool:
        """Whether the collector has all, as far as is known within `wait_s`."""
        self._number += 1
        self.offer((records.flush(self._number, budget_ms, 0, 0), b""))
        self._channel.event_fd.set()
        return self._answer(wait_s)

    def shut_down(self, reason: str, budget_s: float, clock_error_s: float = 0.0) -> bool:
        """As the proxy: what has not answered in time is killed. `clock_error_s` is how much later
        the deadline looks for a clock that has been set back meanwhile.
        """
        self._number += 1
        deadline_ms = int((time.time() + budget_s + clock_error_s) * 1_000)
        self.offer((records.shutdown(self._number, reason, deadline_ms, 0, 0), b""))
        self._channel.event_fd.set()
        # A process of the tests gets more than the proxy's: their machine is slow at times.
        has_all = self._answer(budget_s + 3.0)
        self.kill()
        return has_all

    def signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        self._hear_out()
        self._process.kill()
        self._process.join(_PATIENCE_S)
        self._process.close()
        self._channel.near.close()

    def _answer(self, wait_s: float) -> bool:
        end_s = time.monotonic() + wait_s
        while (fields := self._reply(end_s - time.monotonic(), records.FLUSHED)) is not None:
            if fields[0] == self._number:
                return bool(fields[1])
        return False

    def _hear_out(self) -> None:
        """What it has said until now."""
        while self._reply(0.0, records.END_OF_REPLIES) is not None:
            pass

    def _reply(self, wait_s: float, awaited: int) -> records.Fields | None:
        """The next reply of this kind; None if none comes in time, or none any more."""
        end_s = time.monotonic() + wait_s
        while True:
            self._channel.near.settimeout(max(end_s - time.monotonic(), 0.000_1))
            try:
                kind, fields = self._channel.receive_reply()
            except (OSError, EOFError):
                return None
            if kind == records.WARNING:
                self.said += [str(text) for text in fields]
            if kind == awaited:
                return fields


def invocation(number: int) -> Iterable[tuple[records.Message, bytes]]:
    """An event and its result; the span's id is the number."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    request_id = f"request-{number}"
    delivered = {
        "request_id": request_id,
        "invocation_id": "",
        "delivered_ns": time.time_ns(),
        "overhead_ns": 50_000,
        "head_length": len(head),
        "body_length": 2,
        "trace_id_hex": f"{number:032x}",
        "span_id_hex": f"{number:016x}",
        "parent_span_id_hex": "",
        "trace_flags": 1,
        "trace_state": "",
        "link_trace_id_hex": "",
        "link_span_id_hex": "",
        "cold_start": False,
        "is_redelivery": False,
    }
    result = b"POST /2018-06-01/runtime/invocation/x/response HTTP/1.1\r\n\r\n"
    finished = {
        "request_id": request_id,
        "invocation_id": "",
        "endpoint": "response",
        "duration_ns": 25_000_000,
        "overhead_ns": 40_000,
        "status": 202,
        "is_complete": True,
        "head_length": len(result),
        "first_length": 6,
        "last_length": 0,
        "body_length": 6,
    }
    return (
        (records.delivered(*delivered.values()), head + b"{}"),
        (records.finished(*finished.values()), result + b'"done"'),
    )
