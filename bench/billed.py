"""What an invocation is billed: from Lambda's event until the runtime and the extension have both
asked for the next one.

Lambda and the runtime are played here, by one thread that looks at all connections: what is
measured are milliseconds. The extension has a CPU, we have the others.
"""

from __future__ import annotations

import signal
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.lambda_apis import Lambda, StandstillError
from bench.machine import cpu_ns, one_cpu
from bench.process_group import Group
from bench.replies import NEXT_HEAD, RESULT, result_head
from bench.rig import STOP_LIMIT_S, RigError, free_port, variables

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.lambda_apis import Peer
    from bench.sink import Sink
    from bench.targets import Target


@dataclass(frozen=True)
class Billed:
    """One invocation, in seconds from its event: when the runtime asked for the next, and when the
    extension did, if there is one.
    """

    runtime_s: float
    extension_s: float

    @property
    def billed_s(self) -> float:
        """What Lambda bills."""
        return max(self.runtime_s, self.extension_s)


class Sandbox:
    """Lambda and a runtime, and between them the extension of `target`; nothing where that has no
    command.

    The event is delivered again and again. `close` it in any case.
    """

    def __init__(self, target: Target, folder: Path, sink: Sink, event: bytes) -> None:
        folder.mkdir()
        self._log, self._cleanup = folder / "log", ExitStack()
        self._lambda = Lambda(event)
        self._cleanup.callback(self._lambda.close)
        self._group: Group | None = None
        try:
            self._runtime = self._start(target, sink)
        except BaseException:
            self.close()
            raise

    def invoke(self, function_s: float, pause_s: float) -> Billed:
        """One invocation of a function that takes `function_s`, and a freeze of
        `pause_s` after it.
        """
        begin_ns = self._deliver()
        self._lambda.serve_for(function_s)
        self._send(result_head(self._lambda.number) + RESULT)
        self._runtime.socket.sendall(NEXT_HEAD)
        self._serve_until(lambda: self._lambda.is_idle)
        self._freeze(pause_s)
        extension_ns = self._lambda.end_of_extensions_ns(begin_ns)
        return Billed((self._lambda.poll_ns - begin_ns) / 1e9, (extension_ns - begin_ns) / 1e9)

    def cpu_ns(self) -> list[int]:
        """CPU time of each process of the extension, the first one first."""
        return [cpu_ns(pid) for pid in self._group.workers()] if self._group else []

    def shut_down(self) -> None:
        """End the extension as Lambda does. RigError where it does not end well."""
        if self._group and self._lambda.waiting:
            self._lambda.shut_down()
            if not self._group.ended_within(STOP_LIMIT_S) or self._group.status():
                raise self._error(
                    f"after SHUTDOWN: status {self._group.status()}, left {self._group.left()}"
                )

    def close(self) -> None:
        """End whatever still runs."""
        self._cleanup.close()

    def _start(self, target: Target, sink: Sink) -> Peer:
        """Give the runtime, which has polled."""
        port = api_port = self._lambda.port
        if target.command:
            port = free_port()
            self._group = Group(
                target.command, variables(api_port, sink, port), self._log, one_cpu()
            )
            self._cleanup.callback(self._group.kill)
            self._serve_until(lambda: bool(self._lambda.waiting))
            self._group.settle()
        runtime = self._lambda.watch(socket.create_connection(("127.0.0.1", port)))
        runtime.socket.sendall(NEXT_HEAD)
        self._serve_until(lambda: self._lambda.has_poll)
        return runtime

    def _deliver(self) -> int:
        """The next event, until the runtime has it; the moment before."""
        answers = self._runtime.answers
        begin_ns = self._lambda.deliver()
        self._serve_until(lambda: self._runtime.answers > answers)
        return begin_ns

    def _send(self, message: bytes) -> None:
        """To the Runtime API, until it has answered."""
        answers = self._runtime.answers
        self._runtime.socket.sendall(message)
        self._serve_until(lambda: self._runtime.answers > answers)

    def _serve_until(self, is_there: Callable[[], bool]) -> None:
        try:
            self._lambda.serve_until(is_there)
        except StandstillError as error:
            raise self._error(str(error)) from error

    def _freeze(self, seconds: float) -> None:
        if seconds and self._group:
            self._group.signal(signal.SIGSTOP)
        time.sleep(seconds)
        if seconds and self._group:
            self._group.signal(signal.SIGCONT)

    def _error(self, text: str) -> RigError:
        written = self._log.read_text(errors="replace")[-1500:] if self._log.exists() else ""
        return RigError(f"{text}\n{written}".rstrip())
