"""Whatever fails, the function behaves as if we were not there: SHUTDOWN is seen, no time is added,
the event is answered.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lrap_otel.emulator.otlp import Receiver
from tests.e2e.conftest import HTTP_EVENT, emulated, function, invoke
from tests.processes import children, proxies_of

if TYPE_CHECKING:
    from lrap_otel.emulator.emulator import Emulator


def test_a_crash_ends_its_span_and_holds_nothing_back() -> None:
    async def script(emulator: Emulator) -> None:
        outcome, _ = await invoke(emulator, {"do": "exit"})
        assert outcome.status == "crash"
        (report,) = outcome.reports
        assert report.is_clean
        # Ten seconds is the function's time-out: we noticed that no result would come.
        assert outcome.billed_ms < 5_000
        span = emulator.otlp.find_span(outcome.request_id)
        assert span is not None
        assert span.status == "ERROR"
        after, _ = await invoke(emulator, {})
        assert after.status == "success"

    emulated(function(), script)


def test_a_timeout_ends_its_span_and_adds_no_time() -> None:
    async def script(emulator: Emulator) -> None:
        await invoke(emulator, {})
        outcome, _ = await invoke(emulator, {"do": "sleep", "s": 30})
        assert outcome.status == "timeout"
        (report,) = outcome.reports
        assert report.is_clean
        span = emulator.otlp.find_span(outcome.request_id)
        assert span is not None
        assert (span.status, span.attributes["error.type"]) == ("ERROR", "timeout")
        assert span.duration_ms == pytest.approx(1_000, abs=400)

    emulated(function(timeout_s=1.0), script)


def test_a_refused_result_and_the_error_that_reports_it_are_one_invocation() -> None:
    async def script(emulator: Emulator) -> None:
        refused = await emulator.invoke(b'{"bytes":6291557}')
        after = await emulator.invoke(b'{"bytes":2}')
        assert (refused.error_type, after.payload) == ("Function.ResponseSizeTooLarge", b"xx")
        await emulator.shutdown()
        # What Lambda tells the caller, and not what the runtime made of it.
        assert [
            (span.status, span.attributes.get("error.type")) for span in emulator.otlp.received
        ] == [
            ("ERROR", "Function.ResponseSizeTooLarge"),
            ("UNSET", None),
        ]

    command = [sys.executable, str(Path(__file__).with_name("reporting_runtime.py"))]
    emulated(function(command=command), script)


def test_a_function_without_the_wrapper_is_not_held_back_and_warned_of_once() -> None:
    async def script(emulator: Emulator) -> None:
        for _ in range(3):
            outcome, result = await invoke(emulator, HTTP_EVENT)
            assert result["headers"] == HTTP_EVENT["headers"]
            assert outcome.billed_ms < 5_000
        (report,) = await emulator.shutdown()
        assert report.is_clean
        assert emulator.otlp.received == []

    (warning,) = emulated(function(wrapper=None), script)
    assert "AWS_LAMBDA_EXEC_WRAPPER" in warning


def test_a_port_that_is_taken_leaves_the_function_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        # It accepts and says nothing: the wrapper gives it a second.
        port = stranger.getsockname()[1]

        async def script(emulator: Emulator) -> None:
            _, result = await invoke(emulator, HTTP_EVENT)
            assert result["headers"] == HTTP_EVENT["headers"]
            assert result["runtime_api"] == emulator.runtime_api
            (report,) = await emulator.shutdown()
            assert report.is_clean

        (warning,) = emulated(function(env={"LRAP_LISTENER_PORT": str(port)}), script)
        assert f"port {port} is taken" in warning


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "hangs"])
def test_a_telemetry_process_that_fails_costs_the_function_nothing(how: signal.Signals) -> None:
    async def script(emulator: Emulator) -> None:
        await invoke(emulator, {})
        await emulator.otlp.spans(timeout_s=30.0)  # it has started
        child = telemetry_process()
        os.kill(child, how)
        outcomes = [(await invoke(emulator, HTTP_EVENT))[0] for _ in range(6)]
        assert [outcome.status for outcome in outcomes] == ["success"] * 6
        # A dead one is noticed at once; a hanging one costs its budget three times and is then no
        # longer waited for.
        assert [outcome.billed_ms >= 600 for outcome in outcomes[3:]] == [False] * 3
        (report,) = await emulator.shutdown()
        assert not report.killed
        assert report.exit_code == 0

    emulated(function(env={"LRAP_FLUSH_BUDGET_MS": "600"}), script)


def test_a_collector_that_refuses_costs_no_more_than_an_attempt() -> None:
    async def script(emulator: Emulator) -> None:
        outcomes = [(await invoke(emulator, {}))[0] for _ in range(5)]
        assert [outcome.status for outcome in outcomes] == ["success"] * 5
        assert outcomes[-1].billed_ms < 400
        (report,) = await emulator.shutdown()
        assert report.is_clean

    with socket.create_server(("127.0.0.1", 0)) as reserved:
        endpoint = f"http://127.0.0.1:{reserved.getsockname()[1]}"
    emulated(function(env={"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}), script)


def test_a_collector_that_never_answers_is_not_waited_for_beyond_the_budget() -> None:
    async def script(emulator: Emulator) -> None:
        outcomes = [(await invoke(emulator, {}))[0] for _ in range(5)]
        assert all(outcome.billed_ms < 2_000 for outcome in outcomes)
        (report,) = await emulator.shutdown()
        assert report.is_clean

    with socket.create_server(("127.0.0.1", 0)) as mute:
        endpoint = f"http://127.0.0.1:{mute.getsockname()[1]}"
        emulated(
            function(env={"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "LRAP_FLUSH_BUDGET_MS": "200"}),
            script,
        )


def test_spans_that_a_collector_refused_are_sent_when_it_is_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]

    async def script(emulator: Emulator) -> None:
        first, _ = await invoke(emulator, {})
        collector = Receiver()
        await collector.start(port)
        # Within the pause that a failure is followed by.
        second, _ = await invoke(emulator, {})
        await emulator.shutdown()
        spans = await collector.spans(2)
        assert [span.attributes["faas.invocation_id"] for span in spans] == [
            first.request_id,
            second.request_id,
        ]
        await collector.close()

    emulated(function(env={"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}), script)


def test_at_shutdown_a_line_says_what_was_lost_and_another_what_was_kept_and_why() -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    lines = []

    async def script(emulator: Emulator) -> None:
        for _ in range(3):
            await invoke(emulator, {})
        await emulator.shutdown()
        lines.extend(text for source, text in emulator.output if source == "lrap-otel")

    emulated(function(env={"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}), script)
    lost, kept = (line for line in lines if " since " in line)
    reason = f"the last because http://127.0.0.1:{port}/v1/metrics: connection refused"
    assert re.fullmatch(rf"lrap-otel: warning: lost since \S+Z: 1 metric request; {reason}", lost)
    sends = "which the next start of this sandbox sends; if there is none, they are lost"
    assert re.fullmatch(
        rf"lrap-otel: warning: not delivered since \S+Z: 3 spans, {sends}; {reason}", kept
    )


def telemetry_process() -> int:
    """The process id of the extension's telemetry process; the extension descends from this
    process.
    """
    (proxy,) = proxies_of(os.getpid())
    (telemetry,) = children(proxy)
    return telemetry
