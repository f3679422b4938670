"""The Runtime API: one runtime, one event at a time, and the states between (facts as measured on
AWS's own emulator).

Under Managed Instances a runtime polls with many workers at once, and each event has a life of its
own.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

from lrap_otel.emulator.http import ACCEPTED, Reply, json_reply, not_found, refusal, wrong_method
from lrap_otel.emulator.outcome import Result

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lrap_otel.emulator.changes import Changes
    from lrap_otel.emulator.http import Request
    from lrap_otel.emulator.invocation import Invocation

PREFIX = "/2018-06-01/runtime/"
MAX_PAYLOAD_BYTES = 6 * 1024 * 1024 + 100
MAX_STREAMED_BYTES = 200 * 1024 * 1024
STREAMED_CONTENT_TYPE = "application/vnd.awslambda.http-integration-response"
ERROR_TYPE = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")


class State(Enum):
    """What the runtime is doing; the values are the names in Lambda's own error messages."""

    STARTED = "RuntimeStartedState"
    INIT_ERROR = "RuntimeInitErrorState"
    RESTORE_READY = "RuntimeRestoreReadyState"
    RESTORING = "RuntimeRestoringState"
    READY = "RuntimeReadyState"
    RUNNING = "RuntimeRunningState"
    RESPONDING = "RuntimeInvocationResponseState"
    REPORTING = "RuntimeInvocationErrorResponseState"
    RESPONSE_SENT = "RuntimeResponseSentState"


class RuntimeApi:
    """The Runtime API of one runtime process. A new process gets a new object."""

    def __init__(self, changes: Changes, *, has_snapshot: bool = False) -> None:
        """``has_snapshot``: a runtime may wait for the restore of its sandbox."""
        self.state = State.STARTED
        self.init_error: Result | None = None
        self.restore_error: Result | None = None
        self._restore: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changes = changes
        self._calls: dict[str, tuple[str, Callable[[Request], Awaitable[Reply]]]] = {
            "invocation/next": ("GET", self._next),
            "init/error": ("POST", self._init_error),
        }
        if has_snapshot:
            self._calls |= {
                "restore/next": ("GET", self._next_restore),
                "restore/error": ("POST", self._restore_error),
            }
        self._current: Invocation | None = None
        # First in, first out, alive or not: Lambda does not notice that a poller hung up, and its
        # next event is lost.
        self._pollers: deque[asyncio.Future[Invocation]] = deque()

    @property
    def is_ready(self) -> bool:
        """The runtime has polled: init is over, or the invocation."""
        return self.state is State.READY

    @property
    def waits_for_restore(self) -> bool:
        """Init is over, and the runtime goes on once its sandbox has been restored."""
        return self.state is State.RESTORE_READY

    def restore(self) -> None:
        """The sandbox was made from the snapshot; its runtime goes on."""
        self._move(State.RESTORING)
        self._restore.set_result(None)

    def deliver(self, invocation: Invocation) -> None:
        """Hand the event to the poller that has waited longest."""
        self._current = invocation
        self._move(State.RUNNING)
        self._pollers.popleft().set_result(invocation)

    @property
    def can_take_event(self) -> bool:
        """Somebody polls."""
        return bool(self._pollers)

    def is_over(self, invocation: Invocation) -> bool:
        """It has its result, and the runtime has come back for more."""
        return invocation.result.done() and self.is_ready

    def finish(self, invocation: Invocation) -> None:
        """The invocation has ended; its id is unknown from now on."""
        if self._current is invocation:
            self._current = None

    async def answer(self, request: Request) -> Reply:
        """The reply to any request below ``PREFIX``, or 404 / 405."""
        path = request.path.removeprefix(PREFIX)
        if path in self._calls:
            method, call = self._calls[path]
            return await call(request) if request.method == method else wrong_method(method)
        verb, _, rest = path.partition("/")
        request_id, _, kind = rest.partition("/")
        if verb != "invocation" or kind not in {"response", "error"}:
            return not_found()
        if request.method != "POST":
            return wrong_method("POST")
        return await self._result(request, request_id, kind)

    async def _next(self, _: Request) -> Reply:
        if self.state is State.RUNNING and self._current:
            return _event(self._current)
        if self.state not in {State.STARTED, State.RESTORING, State.READY, State.RESPONSE_SENT}:
            return self._not_allowed("Ready")
        poller: asyncio.Future[Invocation] = asyncio.get_running_loop().create_future()
        self._pollers.append(poller)
        self._move(State.READY)
        return _event(await poller)

    async def _next_restore(self, _: Request) -> Reply:
        if self.state is not State.STARTED:
            return self._not_allowed("RestoreReady")
        self._move(State.RESTORE_READY)
        await self._restore
        return Reply(200, [("Content-Type", "application/json")])

    async def _restore_error(self, request: Request) -> Reply:
        if self.state is not State.RESTORING:
            return self._not_allowed("RestoreError")
        self.restore_error = Result(
            await request.body(), _error_type(request, "Runtime.RestoreError")
        )
        self._changes.notify()
        return json_reply(*ACCEPTED)

    async def _result(self, request: Request, request_id: str, kind: str) -> Reply:
        invocation = self._find(request_id)
        if invocation is None:
            return refusal(400, "InvalidRequestID", "Invalid request ID")
        if request.header("Lambda-Runtime-Invocation-Id") not in {"", invocation.attempt_id}:
            return refusal(410, "InvokeTimeout", "Invoke timeout")
        if not self._admits_answer(invocation):
            return self._not_allowed(
                "InvocationResponse" if kind == "response" else "InvocationErrorResponse"
            )
        invocation.answer_begins()
        return await (
            self._response(request, invocation)
            if kind == "response"
            else self._error(request, invocation)
        )

    def _find(self, request_id: str) -> Invocation | None:
        current = self._current
        return current if current and current.request_id == request_id else None

    def _admits_answer(self, invocation: Invocation) -> bool:
        return self._current is invocation and self.state is State.RUNNING

    async def _response(self, request: Request, invocation: Invocation) -> Reply:
        self._move(State.RESPONDING)
        mode = request.header("Lambda-Runtime-Function-Response-Mode")
        if mode not in {"", "streaming"}:
            return refusal(400, "InvalidFunctionResponseMode", "Invalid function response mode")
        content_type = request.header("Content-Type")
        is_streamed = bool(mode) or content_type == STREAMED_CONTENT_TYPE
        body = await request.body(invocation.stream if is_streamed else None)
        limit_bytes = MAX_STREAMED_BYTES if is_streamed else MAX_PAYLOAD_BYTES
        if len(body) > limit_bytes:
            return self._too_large(invocation, len(body), limit_bytes)
        trailers = {name.lower(): value for name, value in request.trailers.items()}
        return self._accept(
            invocation,
            Result(body, None, content_type, "streaming" if is_streamed else "", trailers),
        )

    async def _error(self, request: Request, invocation: Invocation) -> Reply:
        self._move(State.REPORTING)
        error_type = _error_type(request, "Function.Unknown")
        return self._accept(
            invocation, Result(await request.body(), error_type, request.header("Content-Type"))
        )

    def _accept(self, invocation: Invocation, result: Result) -> Reply:
        invocation.finish(result)
        self._move(State.RESPONSE_SENT)
        return json_reply(*ACCEPTED)

    def _too_large(self, invocation: Invocation, size_bytes: int, limit_bytes: int) -> Reply:
        said = (
            f"Response payload size ({size_bytes} bytes) exceeded maximum allowed payload "
            f"size ({limit_bytes} bytes)."
        )
        invocation.fail("Function.ResponseSizeTooLarge", said)
        self._move(State.RESPONSE_SENT)
        refused = f"Exceeded maximum allowed payload size ({limit_bytes} bytes)."
        return refusal(413, "RequestEntityTooLarge", refused)

    async def _init_error(self, request: Request) -> Reply:
        if self.state is not State.STARTED:
            return self._not_allowed("InitError")
        self._move(State.INIT_ERROR)
        self.init_error = Result(await request.body(), _error_type(request, "Runtime.Unknown"))
        return json_reply(*ACCEPTED)

    def _move(self, state: State) -> None:
        self.state = state
        self._changes.notify()

    def _not_allowed(self, wanted: str) -> Reply:
        text = (
            f"State transition from {self.state.value} to {wanted} failed for runtime. "
            f"Error: State transition is not allowed"
        )
        return refusal(403, "InvalidStateTransition", text)


class ManagedRuntimeApi(RuntimeApi):
    """The same for Managed Instances: as many events at once as there are polls, each with the
    runtime until its result comes.
    """

    def __init__(self, changes: Changes) -> None:
        super().__init__(changes)
        self._has_polled = False
        self._running: dict[str, Invocation] = {}
        self._answered: set[str] = set()

    @property
    def is_ready(self) -> bool:
        """A worker has polled."""
        return self._has_polled

    def deliver(self, invocation: Invocation) -> None:
        """Hand the event to the poller that has waited longest."""
        self._running[invocation.request_id] = invocation
        self._pollers.popleft().set_result(invocation)

    def is_over(self, invocation: Invocation) -> bool:
        """It has its result; whether its worker polls again is another matter."""
        return invocation.result.done()

    def finish(self, invocation: Invocation) -> None:
        """The invocation has ended; its id is unknown from now on."""
        self._running.pop(invocation.request_id, None)
        self._answered.discard(invocation.request_id)

    async def _next(self, _: Request) -> Reply:
        poller: asyncio.Future[Invocation] = asyncio.get_running_loop().create_future()
        self._pollers.append(poller)
        self._has_polled = True
        self._changes.notify()
        return _event(await poller)

    def _find(self, request_id: str) -> Invocation | None:
        return self._running.get(request_id)

    def _admits_answer(self, invocation: Invocation) -> bool:
        is_first = invocation.request_id not in self._answered
        self._answered.add(invocation.request_id)
        return is_first


def _event(invocation: Invocation) -> Reply:
    return Reply(200, invocation.headers(), invocation.event[:MAX_PAYLOAD_BYTES])


def _error_type(request: Request, unknown: str) -> str:
    said = request.header("Lambda-Runtime-Function-Error-Type")
    return said if ERROR_TYPE.fullmatch(said) else unknown
