"""One invocation: what the runtime is given, what comes back, and how it ended."""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrap_otel.emulator.outcome import Result

if TYPE_CHECKING:
    from lrap_otel.emulator.config import Config, Tracing


@dataclass(frozen=True)
class Line:
    """Something a process printed: when (Unix seconds), which (``function`` or an extension's
    name), and what.
    """

    at_s: float
    source: str
    text: str


class Invocation:
    """An event on its way through the sandbox; belongs to the running loop."""

    def __init__(
        self,
        config: Config,
        event: bytes,
        client_context: str,
        trace_header: str | None,
        request_id: str | None,
    ) -> None:
        self.request_id = request_id or str(uuid.uuid4())
        self.attempt_id = str(uuid.uuid4()) if config.invocation_id else ""
        self.event = event
        self.client_context = client_context
        self.trace_header = (
            new_trace_header(config.tracing) if trace_header is None else trace_header
        )
        self.arn = config.function_arn
        self.timeout_s = config.timeout_s
        self.result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.lines: list[Line] = []
        self.deadline_ms = 0
        self.init_ms = 0.0
        self.result_ms = 0.0
        # When the runtime began to answer, and when the clock started (Unix time).
        self.answer_ms = 0.0
        self.began_at_s = 0.0
        self._began_s = 0.0
        self._listener: asyncio.Queue[bytes | None] | None = None
        self._has_streamed = False

    def begin(self) -> None:
        """Start the clock and the deadline: at delivery, or before an init that the invocation has
        to wait for and pay. Only the first call counts.
        """
        if not self._began_s:
            self._began_s = time.monotonic()
            self.began_at_s = time.time()
            self.deadline_ms = int((time.time() + self.timeout_s) * 1000)

    @property
    def ends_at_s(self) -> float:
        """When its time is up, by the monotonic clock."""
        return (self._began_s or time.monotonic()) + self.timeout_s

    def elapsed_ms(self) -> float:
        """Since its clock started; 0 before that."""
        return (time.monotonic() - self._began_s) * 1000 if self._began_s else 0.0

    def answer_begins(self) -> None:
        """The head of the runtime's answer is here."""
        self.answer_ms = self.elapsed_ms()

    def listen(self) -> asyncio.Queue[bytes | None]:
        """The result piece by piece as it comes, then None; one piece if it is not streamed, none
        if it failed.
        """
        self._listener = asyncio.Queue()
        return self._listener

    def stream(self, piece: bytes) -> None:
        """A piece of a streamed result is here."""
        self._has_streamed = True
        if self._listener:
            self._listener.put_nowait(piece)

    def finish(self, result: Result) -> None:
        """The caller has its result; only the first one counts."""
        if self.result.done():
            return
        self.result_ms = self.elapsed_ms()
        self.result.set_result(result)
        if self._listener:
            if not self._has_streamed and result.error_type is None:
                self._listener.put_nowait(result.payload)
            self._listener.put_nowait(None)

    def fail(self, error_type: str, message: str) -> None:
        """Give the caller the platform's error, if the function has given no result."""
        text = f"RequestId: {self.request_id} Error: {message}"
        self.finish(
            Result(json.dumps({"errorType": error_type, "errorMessage": text}).encode(), error_type)
        )

    def headers(self) -> list[tuple[str, str]]:
        """What a ``/next`` reply says, in order and casing of the real one; empty values are left
        out.
        """
        fields = [
            ("Content-Type", "application/json"),
            ("Lambda-Runtime-Aws-Request-Id", self.request_id),
            ("Lambda-Runtime-Client-Context", self.client_context),
            ("Lambda-Runtime-Deadline-Ms", str(self.deadline_ms)),
            ("Lambda-Runtime-Invocation-Id", self.attempt_id),
            ("Lambda-Runtime-Invoked-Function-Arn", self.arn),
            ("Lambda-Runtime-Trace-Id", self.trace_header),
        ]
        return [(name, value) for name, value in fields if value]


def new_trace_header(tracing: Tracing) -> str:
    """An X-Ray header as Lambda makes one: passive has no Parent and no Sampled, active
    has both.
    """
    if tracing == "none":
        return ""
    root = f"Root=1-{int(time.time()):08x}-{os.urandom(12).hex()}"
    if tracing == "passive":
        return f"{root};Lineage=1:{os.urandom(4).hex()}:0"
    return f"{root};Parent={os.urandom(8).hex()};Sampled=1"
