"""One run of ``emulate``: events in, results and traces on the terminal, problems collected."""

from __future__ import annotations

import asyncio
import contextlib
import json
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lrap_otel.emulator import overhead, waterfall
from lrap_otel.emulator.checks import (
    extension_problem,
    outcome_problem,
    sandbox_problem,
    span_problem,
    traceparent_in,
)
from lrap_otel.emulator.invoke import DEFAULT_PORT
from lrap_otel.emulator.sandbox import SandboxError, SandboxTimeoutError
from lrap_otel.emulator.traces import INVOCATION_ID, Traces

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lrap_otel.emulator.code_watch import CodeWatch
    from lrap_otel.emulator.emulator import Emulator
    from lrap_otel.emulator.outcome import Outcome
    from lrap_otel.emulator.terminal import Terminal

SPAN_WAIT_S = 5.0
# An extension may flush later, so that a span which is not here soon is looked for again after
# SHUTDOWN.
FIRST_WAIT_S = 1.0
CODE_INTERVAL_S = 0.5
COLOURS = {"success": "green", "error": "yellow", "timeout": "red", "crash": "red"}


class Session:
    """``problems`` holds one sentence for each step that failed."""

    def __init__(
        self,
        emulator: Emulator,
        terminal: Terminal,
        *,
        require_traces: bool,
        watch: CodeWatch | None = None,
    ) -> None:
        """``watch``: the code whose changes bring a new sandbox while it serves."""
        self.problems: list[str] = []
        self._emulator = emulator
        self._terminal = terminal
        self._require_traces = require_traces
        self._watch = watch
        self._traces = Traces()
        self._received = self._logs = 0
        # By request id, the title that an invocation was shown under.
        self._titles: dict[str, str] = {}

    async def start(self) -> bool:
        """Whether events can be sent: init came to its end, or runs again within the first
        invocation.
        """
        try:
            await self._emulator.start()
        except SandboxTimeoutError as error:
            if self._emulator.config.is_managed:
                self.problems.append(sandbox_problem(error.error_type, str(error)))
                return False
        except SandboxError as error:
            self.problems.append(sandbox_problem(error.error_type, str(error)))
            return False
        return True

    async def send(self, files: Sequence[Path]) -> None:
        """Send each file's event in turn, and show what came of it."""
        for file in files:
            title = f"event {file.name}"
            self._terminal.title(title)
            outcome = await self._emulator.invoke(file.read_bytes())
            self._show_outcome(outcome, title)
            if self._emulator.config.extension_files():
                has_span = partial(self._has_span, outcome)
                await self._emulator.otlp.wait(has_span, FIRST_WAIT_S)
            self._draw_traces()

    async def serve(self) -> None:
        """Show each invocation and each trace as it comes, until it is cancelled."""
        url = self._emulator.invoke_url
        self._terminal.title("ready; Ctrl-C ends it")
        self._terminal.field("invoke", url)
        if self._emulator.history:
            self._terminal.field("page", f"http://{urlsplit(url).netloc}/")
        if self._emulator.config.http_port is not None:
            self._terminal.field("http", self._emulator.http_url)
        port = urlsplit(url).port
        option = "" if port == DEFAULT_PORT else f" --port {port}"
        self._terminal.field("try", f"lrap-otel invoke{option} event.json")
        self._terminal.field("or", f"curl -d @event.json {url}", max_lines=2)
        await asyncio.gather(self._watch_outcomes(), self._watch_spans(), self._watch_code())

    async def finish(self) -> None:
        """SHUTDOWN, what came last, and every check."""
        self._terminal.title("shutdown")
        await self._shut_down()
        if self._require_traces:
            await self._emulator.otlp.wait(
                lambda: all(map(self._has_span, self._emulator.outcomes)), SPAN_WAIT_S
            )
        self._draw_traces()
        waterfall.draw(self._traces.take_all(), self._terminal)
        self._show_overhead()
        for outcome in self._emulator.outcomes:
            span = self._emulator.otlp.find_span(outcome.request_id)
            self._note(span_problem(outcome, span, is_required=self._require_traces))

    async def _shut_down(self) -> None:
        for report in await self._emulator.shutdown("spindown"):
            seen = "SHUTDOWN seen" if report.shutdown_seen else "SHUTDOWN not seen"
            end = "killed" if report.killed else f"exit {report.exit_code}"
            self._terminal.step(f"extension {report.name}: {seen}, {end}, {report.ms:.0f} ms")
            self._note(extension_problem(report))

    async def _watch_outcomes(self) -> None:
        number = 0
        while True:
            outcome = await self._emulator.outcome(number)
            number += 1
            title = f"invocation {number}"
            self._terminal.title(title)
            self._show_outcome(outcome, title)
            self._draw_traces()
            waterfall.draw(self._traces.take_strangers(), self._terminal)

    async def _watch_spans(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await self._emulator.otlp.spans(self._received + 1, timeout_s=3600)
            self._draw_traces()

    async def _watch_code(self) -> None:
        """After each change, end the sandbox and start the next one; one that cannot start is
        shown, and the next change tries again.
        """
        while self._watch is not None:
            await asyncio.sleep(CODE_INTERVAL_S)
            changed = await asyncio.to_thread(self._watch.changed)
            if not changed:
                continue
            others = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            self._terminal.title(f"{changed[0]}{others} changed: a new sandbox")
            for report in await self._emulator.shutdown("spindown"):
                if problem := extension_problem(report):
                    self._terminal.field("problem", problem, max_lines=2)
            try:
                await self._emulator.start()
            except SandboxError as error:
                self._terminal.field(
                    "problem", sandbox_problem(error.error_type, str(error)), max_lines=4
                )

    def _has_span(self, outcome: Outcome) -> bool:
        return self._emulator.otlp.find_span(outcome.request_id) is not None

    def _draw_traces(self) -> None:
        """What has come of every invocation shown so far, each below its own title: it often comes
        when the next one has begun. A trace whose invocation was not shown yet waits for that.
        """
        received, logs = self._emulator.otlp.received, self._emulator.otlp.logs
        self._traces.add(received[self._received :])
        self._received = len(received)
        printed = [str(log.attributes.get(INVOCATION_ID, "")) for log in logs[self._logs :]]
        self._logs = len(logs)
        for request_id in dict.fromkeys([*self._traces.owners(), *printed]):
            if request_id not in self._titles or not (
                self._traces.take(request_id) or request_id in printed
            ):
                continue
            title = self._titles[request_id]
            if self._terminal.heading not in {title, f"{title}: its trace"}:
                self._terminal.title(f"{title}: its trace")
            # What is late is shown with what it belongs to.
            waterfall.draw(self._traces.whole(request_id), self._terminal, logs)

    def _show_outcome(self, outcome: Outcome, title: str) -> None:
        """The outcome, below its title."""
        self._titles[outcome.request_id] = title
        show = self._terminal
        show.field("event", _one_line(outcome.event))
        if sent := traceparent_in(outcome.event):
            show.field("traceparent", sent.text)
        returned, body = _split_body(outcome.payload)
        show.field("returned", returned, max_lines=4)
        if body:
            show.field("body", body, max_lines=4)
        for name, value in outcome.trailers.items():
            show.field("trailer", f"{name}: {value}")
        init = f", init {outcome.init_ms:.0f} ms" if outcome.init_ms else ""
        times = (
            f"result after {outcome.duration_ms:.1f} ms, billed {outcome.billed_ms:.1f} ms{init}"
        )
        show.field("status", f"{show.paint(outcome.status, COLOURS[outcome.status])}, {times}")
        self._note(outcome_problem(outcome))
        for report in outcome.reports:
            self._note(extension_problem(report))

    def _show_overhead(self) -> None:
        found = overhead.summarize(self._emulator.otlp.metrics)
        if found:
            self._terminal.title("proxy overhead")
        for entry in found:
            p50 = f"p50 {entry.p50_s * 1e6:,.0f} µs, " if entry.p50_s is not None else ""
            self._terminal.field(
                entry.endpoint or "no endpoint",
                f"{p50}mean {entry.mean_s * 1e6:,.0f} µs, {entry.count} calls",
            )

    def _note(self, problem: str | None) -> None:
        if problem:
            self.problems.append(problem)


def _one_line(payload: bytes) -> str:
    try:
        return json.dumps(json.loads(payload), ensure_ascii=False)
    except ValueError:
        return (
            repr(payload[:1000]) if b"\0" in payload else payload[:1000].decode("utf-8", "replace")
        )


def _split_body(payload: bytes) -> tuple[str, str]:
    """An HTTP result and its body apart, since JSON within JSON is hard to read; any other result
    as it is.
    """
    try:
        result = json.loads(payload)
        body = result.pop("body")
    except (ValueError, KeyError, AttributeError, TypeError):
        return _one_line(payload), ""
    return _one_line(json.dumps(result).encode()), str(body)
