"""A local Lambda for one function: its APIs, its sandbox, its invoke endpoint and a receiver for
what it exports.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from lrap_otel.emulator import extensions_api, runtime_api, telemetry_api
from lrap_otel.emulator.changes import Changes
from lrap_otel.emulator.environment import runtime_environment
from lrap_otel.emulator.history import History
from lrap_otel.emulator.http import HttpServer, Reply, not_found, refusal, wrong_method
from lrap_otel.emulator.http_front import HttpFront
from lrap_otel.emulator.invocation import Invocation, Line
from lrap_otel.emulator.invoke import PATH, InvokeApi
from lrap_otel.emulator.otlp import Receiver
from lrap_otel.emulator.outcome import Outcome
from lrap_otel.emulator.page import Page
from lrap_otel.emulator.sandbox import Sandbox, SandboxError, SandboxTimeoutError
from lrap_otel.emulator.shutdown import shut_down
from lrap_otel.emulator.tap import Tap
from lrap_otel.emulator.usage import measure
from lrap_otel.emulator.web import WebServer, no_other_sites

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from lrap_otel.emulator.config import Config
    from lrap_otel.emulator.http import Request
    from lrap_otel.emulator.outcome import ExtensionReport, Reason, Status
    from lrap_otel.emulator.process import OnLine
    from lrap_otel.emulator.sandbox import OnStep

KEPT_PAYLOADS = 100
# Of one invocation.
KEPT_LINES = 2000
LOGS_API = "/2020-08-15/logs"


class Emulator:
    """``async with Emulator(config) as emulator``: serves inside the block; no process is left
    after it.

    ``output`` holds (source, line) of everything printed; ``on_line`` and ``on_step`` are called as
    it happens. ``outcomes`` holds every ended invocation; ``otlp`` what was exported.
    """

    def __init__(
        self, config: Config, on_line: OnLine | None = None, on_step: OnStep | None = None
    ) -> None:
        self.config = config
        self.output: list[tuple[str, str]] = []
        self.outcomes: list[Outcome] = []
        self.history = History() if config.is_observed else None
        self.otlp = Receiver(self.history)
        self.runtime_api = ""
        self.environment: dict[str, str] = {}
        self._server = HttpServer(self._answer)
        self._invoke_api = InvokeApi(self.begin, config, self._step)
        self._web: WebServer | None = None
        self._front = HttpFront(self.begin, config, self._invoke_api)
        # Invocations that are running.
        self._open: list[Invocation] = []
        self._tap: Tap | None = None
        self._sandbox: Sandbox | None = None
        self._ended = Changes()
        # One event at a time, except under Managed Instances. `_change`: one init or one end of a
        # sandbox at a time, always.
        self._turn = contextlib.nullcontext() if config.is_managed else asyncio.Lock()
        self._change = asyncio.Lock()
        self._init_ran_out_of_time = False
        self._running: set[asyncio.Task[Outcome]] = set()
        self._on_line = on_line
        self._on_step = on_step

    async def __aenter__(self) -> Self:
        """Start the servers; the sandbox starts with ``start()`` or the first invocation."""
        try:
            self.runtime_api = f"127.0.0.1:{await self._server.start(self.config.runtime_api_port)}"
            await self.otlp.start(self.config.otlp_port)
            application = web.Application(middlewares=[no_other_sites])
            self._invoke_api.add_to(application)
            if self.history:
                Page(self.history, self.otlp, self.begin, self.config).add_to(application)
            self._web = WebServer(application)
            await self._web.start(self.config.invoke_port)
            if self.config.http_port is not None:
                await self._front.start(self.config.http_port)
        except BaseException:
            await self._close()
            raise
        self._folder = Path(tempfile.mkdtemp(prefix="lrap-otel-"))
        if self.history and self.config.command:
            self._tap = Tap(self._folder / "runtime-api", self.history.deliver, self.history.answer)
            await self._tap.start()
        self.environment = runtime_environment(
            self.config, self.runtime_api, self.otlp.endpoint, str(self._folder)
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill what still runs, close the servers."""
        await self._invoke_api.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._sandbox:
            await self._sandbox.destroy()
            await self._sandbox.telemetry.close()
        if self._tap:
            await self._tap.close()
        await self._close()
        shutil.rmtree(self._folder)

    @property
    def invoke_url(self) -> str:
        """The URL to which events are posted."""
        return f"http://127.0.0.1:{self._web.port if self._web else 0}{PATH}"

    @property
    def http_url(self) -> str:
        """The URL for plain HTTP requests."""
        return self._front.url

    def otlp_elsewhere(self) -> dict[str, str]:
        """Variables of the function that send its telemetry to another receiver than ``otlp``, with
        their URLs (no credentials, no query).
        """
        return {
            name: _without_secrets(value)
            for name, value in self.environment.items()
            if re.fullmatch(r"OTEL_EXPORTER_OTLP_([A-Z]+_)?ENDPOINT", name)
            and not f"{value}/".startswith(f"{self.otlp.endpoint}/")
        }

    async def start(self) -> float:
        """Init the sandbox now, and return the milliseconds it took; SandboxError when it fails
        (SHUTDOWN has been sent then).

        After an init that ran out of time, the next invocation starts with a second one, as
        Lambda's do.
        """
        async with self._turn:
            sandbox = self._the_sandbox()
            try:
                return await self._init(sandbox)
            except SandboxError as error:
                if not await self._leaves_init_to_the_invocation(sandbox, error):
                    await self._reset(sandbox, _reason(error))
                raise

    def begin(
        self,
        event: bytes,
        *,
        client_context: str = "",
        trace_id: str | None = None,
        request_id: str | None = None,
    ) -> tuple[Invocation, asyncio.Task[Outcome]]:
        """Send an event. Returns the invocation, whose ``result`` comes as soon as the function
        gives it, and a task that ends when the invocation does.

        ``client_context`` is JSON as the runtime sees it; ``trace_id`` the whole X-Ray header,
        which otherwise is made up.
        """
        invocation = Invocation(self.config, event, client_context, trace_id, request_id)
        if self.history:
            self.history.begin(invocation)
        task = asyncio.get_running_loop().create_task(self._run(invocation))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return invocation, task

    async def invoke(
        self,
        event: bytes,
        *,
        client_context: str = "",
        trace_id: str | None = None,
        request_id: str | None = None,
    ) -> Outcome:
        """Send an event and wait for the end of its invocation, extensions and any
        reset included.
        """
        _, task = self.begin(
            event, client_context=client_context, trace_id=trace_id, request_id=request_id
        )
        return await task

    async def outcome(self, number: int) -> Outcome:
        """The outcome with this number, counted from 0 in the order in which invocations end; waits
        for it.
        """
        await self._ended.until(lambda: len(self.outcomes) > number)
        return self.outcomes[number]

    async def shutdown(self, reason: Reason = "spindown") -> list[ExtensionReport]:
        """End the sandbox as Lambda would, once running invocations have ended; the next event
        starts a new sandbox.
        """
        await asyncio.gather(*self._running)
        async with self._turn:
            reports = await self._reset(self._sandbox, reason)
        if reason == "spindown":
            # The next sandbox has a new /tmp. A reset keeps what is in it.
            for each in self._folder.iterdir():
                each.unlink()
        return reports

    async def _close(self) -> None:
        await self._server.close()
        await self._front.close()
        if self._web:
            await self._web.close()
        await self.otlp.close()

    async def _run(self, invocation: Invocation) -> Outcome:
        async with self._turn:
            self._open.append(invocation)
            try:
                status, reason, billed_ms, reports = await self._run_alone(invocation)
            finally:
                self._open.remove(invocation)
        outcome = Outcome(
            invocation.request_id,
            invocation.event,
            invocation.result.result(),
            status,
            invocation.result_ms,
            billed_ms,
            invocation.init_ms,
            invocation.deadline_ms,
            invocation.trace_header,
            reason,
            reports,
        )
        self.outcomes.append(outcome)
        if self.history:
            self.history.end(
                invocation, outcome, measure(self._sandbox.processes() if self._sandbox else ())
            )
            self._forget_payloads()
        self._ended.notify()
        return outcome

    def _forget_payloads(self) -> None:
        """Drop the payloads of all but the last outcomes: they have been shown by now, and the
        history has copies.
        """
        number = len(self.outcomes) - KEPT_PAYLOADS
        if number >= 0:
            old = self.outcomes[number]
            self.outcomes[number] = replace(old, event=b"", result=replace(old.result, payload=b""))

    async def _run_alone(
        self, invocation: Invocation
    ) -> tuple[Status, str, float, list[ExtensionReport]]:
        sandbox = self._the_sandbox()
        try:
            invocation.init_ms = await self._init(sandbox, invocation)
            await sandbox.invoke(invocation)
        except SandboxError as error:
            if await self._leaves_init_to_the_invocation(sandbox, error):
                return await self._run_alone(invocation)
            billed_ms = invocation.elapsed_ms()
            _explain(sandbox, invocation, error)
            reports = await self._reset(sandbox, _reason(error))
            return (
                "timeout" if _reason(error) == "timeout" else "crash",
                str(error),
                billed_ms,
                reports,
            )
        is_error = invocation.result.result().error_type is not None
        return "error" if is_error else "success", "", invocation.elapsed_ms(), []

    def _the_sandbox(self) -> Sandbox:
        if self._sandbox is None:
            self._sandbox = Sandbox(
                self.config, self.environment, self._line, self._step, self._tap
            )
        return self._sandbox

    async def _init(self, sandbox: Sandbox, invocation: Invocation | None = None) -> float:
        """The milliseconds that Lambda reports as init: 0 if none was needed, or if it ran within
        the invocation.
        """
        async with self._change:
            if sandbox.is_ready:
                return 0.0
            is_second = self._init_ran_out_of_time and invocation is not None
            if is_second and invocation is not None:
                invocation.begin()
            began_s = time.monotonic()
            sandbox.platform.init_begins("invoke" if is_second else "init")
            await sandbox.init(self.config.timeout_s if is_second else self.config.init_timeout_s)
            self._init_ran_out_of_time = False
        init_ms = (time.monotonic() - began_s) * 1000
        if self.history:
            self.history.initialized(init_ms)
        where = ", within the invocation" if is_second else ""
        self._step(f"init done{where}, runtime and extensions wait for events ({init_ms:.0f} ms)")
        return 0.0 if is_second else init_ms

    async def _leaves_init_to_the_invocation(self, sandbox: Sandbox, error: SandboxError) -> bool:
        """Whether the first init ran out of time, which Lambda follows with a second one: in a
        reset sandbox, as part of the first invocation, within the function's own time-out. Managed
        Instances have no second one.
        """
        is_timeout = isinstance(error, SandboxTimeoutError) and not sandbox.is_ready
        if not is_timeout or self._init_ran_out_of_time or self.config.is_managed:
            return False
        self._step(str(error))
        self._step("Lambda runs init again, within the first invocation and its time-out")
        self._init_ran_out_of_time = True
        await self._reset(sandbox, "timeout")
        return True

    async def _reset(self, sandbox: Sandbox | None, reason: Reason) -> list[ExtensionReport]:
        async with self._change:
            # Another invocation of the same sandbox may have ended it already.
            if sandbox is None or self._sandbox is not sandbox:
                return []
            self._step(f"SHUTDOWN ({reason})")
            reports = await shut_down(sandbox, reason)
            await sandbox.telemetry.close()
            await self._server.drop_connections()
            self._sandbox = None
            return reports

    async def _answer(self, request: Request) -> Reply:
        path = request.path
        if path == "/2018-06-01/ping":
            return (
                Reply(200, [("Content-Type", "text/plain")], b"pong")
                if request.method == "GET"
                else wrong_method("GET")
            )
        if path == LOGS_API:
            return (
                refusal(202, "Logs.NotSupported", "Logs API is not supported")
                if request.method == "PUT"
                else wrong_method("PUT")
            )
        if path == telemetry_api.PATH:
            sandbox = self._the_sandbox()
            return await sandbox.telemetry.answer(request, sandbox.extensions.registered)
        # A runtime that was started by hand may poll before the first event: its sandbox is made
        # then.
        if path.startswith(runtime_api.PREFIX):
            return await self._the_sandbox().runtime.answer(request)
        if path.startswith(extensions_api.PREFIX):
            return await self._the_sandbox().extensions.answer(request)
        return not_found()

    def _line(self, source: str, text: str) -> None:
        self.output.append((source, text))
        line = Line(time.time(), source, text)
        # A line of several invocations at a time could be of any: each gets it.
        for invocation in self._open:
            if len(invocation.lines) < KEPT_LINES:
                invocation.lines.append(line)
        if self._on_line:
            self._on_line(source, text)

    def _step(self, text: str) -> None:
        if self._on_step:
            self._on_step(text)


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _reason(error: SandboxError) -> Reason:
    return "timeout" if isinstance(error, SandboxTimeoutError) else "failure"


def _explain(sandbox: Sandbox, invocation: Invocation, error: SandboxError) -> None:
    """What the caller gets: what the runtime said about its init, else what the platform says."""
    if said := sandbox.runtime.init_error:
        invocation.finish(said)
    invocation.fail(error.error_type, str(error))
