"""How an invocation and the extensions of its sandbox ended, as callers and tests see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Status = Literal["success", "error", "timeout", "crash"]
Reason = Literal["spindown", "timeout", "failure"]


@dataclass(frozen=True)
class ExtensionReport:
    """How one external extension ended.

    ``subscribed``: asked for SHUTDOWN. ``shutdown_seen``: fetched it. ``killed``: was still there
    when its time was up, or had not asked for SHUTDOWN. ``exit_code``: negative is a signal.
    ``ms``: from the start of the shutdown to its exit.
    """

    name: str
    subscribed: bool
    shutdown_seen: bool
    exit_code: int
    killed: bool
    ms: float

    @property
    def is_clean(self) -> bool:
        """Whether it ended by itself with 0, or had not subscribed to SHUTDOWN."""
        return not self.subscribed or (
            self.shutdown_seen and not self.killed and self.exit_code == 0
        )


@dataclass(frozen=True)
class Result:
    """What the caller gets. ``error_type`` is None unless the function failed."""

    payload: bytes
    error_type: str | None = None
    content_type: str = "application/json"
    response_mode: str = ""
    trailers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How an invocation ended.

    ``payload``, ``function_error``, ``error_type``: what the caller got. ``status``: how it ended
    in the sandbox, which may be later and worse. ``duration_ms``: delivery to result;
    ``billed_ms``: delivery to the end, extensions included. Both contain an init that ran within
    the invocation. ``init_ms``: of an init before the invocation; 0 when warm. ``reason``: one
    sentence when it timed out or crashed. ``reports``: the extensions' ends when the sandbox was
    reset.
    """

    request_id: str
    event: bytes
    result: Result
    status: Status
    duration_ms: float
    billed_ms: float
    init_ms: float = 0.0
    deadline_ms: int = 0
    trace_header: str = ""
    reason: str = ""
    reports: list[ExtensionReport] = field(default_factory=list)

    @property
    def payload(self) -> bytes:
        """The body the caller got."""
        return self.result.payload

    @property
    def error_type(self) -> str | None:
        """Such as ``Function.Unknown`` or ``Runtime.ExitError``; None for a good result."""
        return self.result.error_type

    @property
    def function_error(self) -> str | None:
        """X-Amz-Function-Error, which is ``Unhandled`` for every failure."""
        return "Unhandled" if self.result.error_type else None

    @property
    def trailers(self) -> dict[str, str]:
        """Trailers of a streamed result, names in lower case."""
        return self.result.trailers
