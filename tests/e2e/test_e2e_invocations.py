"""What a user of the function and a reader of the traces see."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.e2e.conftest import HTTP_EVENT, emulated, function, invoke

if TYPE_CHECKING:
    from lrap_otel.emulator.emulator import Emulator


def test_an_http_event_reaches_the_function_with_our_span_as_its_parent() -> None:
    async def script(emulator: Emulator) -> None:
        outcome, result = await invoke(emulator, HTTP_EVENT)
        (span,) = await emulator.otlp.spans()
        assert span.trace_id_hex == "4bf92f3577b34da6a3ce929d0e0e4736"
        assert span.parent_id_hex == "00f067aa0ba902b7"
        assert result["headers"]["traceparent"] == f"00-{span.trace_id_hex}-{span.span_id_hex}-01"
        assert (
            f"Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent={span.span_id_hex};Sampled=1"
            in result["xray"]
        )
        assert (span.name, span.kind) == ("/pets/{id}", "SERVER")
        assert span.attributes["faas.invocation_id"] == outcome.request_id
        assert span.attributes["faas.trigger"] == "http"
        assert span.attributes["http.response.status_code"] == 200

    assert emulated(function(), script) == []


def test_an_event_without_a_parent_gets_the_trace_id_that_xray_knows() -> None:
    async def script(emulator: Emulator) -> None:
        outcome, result = await invoke(emulator, {})
        (span,) = await emulator.otlp.spans()
        root = outcome.trace_header.partition(";")[0]
        assert root == f"Root=1-{span.trace_id_hex[:8]}-{span.trace_id_hex[8:]}"
        assert result["xray"].startswith(f"{root};Parent={span.span_id_hex};Sampled=1;Lineage=")
        assert span.parent_id_hex == ""

    emulated(function(), script)


def test_a_handlers_error_is_the_callers_and_the_spans() -> None:
    async def script(emulator: Emulator) -> None:
        outcome, result = await invoke(emulator, {"do": "raise"})
        assert outcome.status == "error"
        assert result["errorType"] == "ValueError"
        (span,) = await emulator.otlp.spans()
        assert (span.status, span.status_message) == ("ERROR", "it broke")
        assert span.attributes["error.type"] == "ValueError"

    emulated(function(), script)


def test_each_invocation_has_one_span_and_the_first_is_the_cold_start() -> None:
    async def script(emulator: Emulator) -> None:
        outcomes = [(await invoke(emulator, {}))[0] for _ in range(5)]
        await emulator.shutdown()  # a busy sandbox's last spans leave with it
        spans = await emulator.otlp.spans(5)
        assert [span.attributes["faas.invocation_id"] for span in spans] == [
            outcome.request_id for outcome in outcomes
        ]
        assert [span.attributes["faas.coldstart"] for span in spans] == [
            True,
            False,
            False,
            False,
            False,
        ]
        await emulator.shutdown()
        assert len(emulator.otlp.received) == 5

    emulated(function(), script)


def test_a_large_result_is_whole() -> None:
    async def script(emulator: Emulator) -> None:
        _, result = await invoke(emulator, {"do": "large", "bytes": 5_000_000})
        assert result == "x" * 5_000_000
        await emulator.otlp.spans()

    emulated(function(), script)


def test_the_resource_knows_what_only_the_runtime_was_told() -> None:
    async def script(emulator: Emulator) -> None:
        await invoke(emulator, {})
        (span,) = await emulator.otlp.spans()
        log_stream = emulator.environment["AWS_LAMBDA_LOG_STREAM_NAME"]
        assert span.resource["faas.instance"] == log_stream
        assert span.resource["faas.name"] == "function"
        assert span.resource["cloud.account.id"] == "123456789012"

    emulated(function(), script)


def test_the_span_is_out_before_the_sandbox_may_freeze() -> None:
    async def script(emulator: Emulator) -> None:
        await invoke(emulator, {})
        outcome, _ = await invoke(emulator, {})
        assert emulator.otlp.find_span(outcome.request_id) is not None

    # More than any machine needs: what is asked here is that the end waits for it.
    emulated(function(env={"LRAP_FLUSH_BUDGET_MS": "8000"}), script)


def test_a_sandbox_that_ends_right_after_its_first_event_exports_its_span() -> None:
    async def script(emulator: Emulator) -> None:
        outcome, _ = await invoke(emulator, {})
        (report,) = await emulator.shutdown()
        assert report.is_clean
        assert emulator.otlp.find_span(outcome.request_id) is not None

    # Without a budget nothing is held back for the flush, so SHUTDOWN comes while the SDK is still
    # being imported.
    emulated(function(env={"LRAP_FLUSH_BUDGET_MS": "0"}), script)


def test_the_function_is_the_same_with_telemetry_switched_off() -> None:
    async def script(emulator: Emulator) -> None:
        _, result = await invoke(emulator, HTTP_EVENT)
        assert result["headers"] == HTTP_EVENT["headers"]
        (report,) = await emulator.shutdown()
        assert report.is_clean
        assert emulator.otlp.received == []

    for variable, value in (("OTEL_SDK_DISABLED", "true"), ("LRAP_ENABLED", "false")):
        assert emulated(function(env={variable: value}), script) == []


def test_a_setting_that_cannot_be_used_gives_one_warning_and_its_default() -> None:
    async def script(emulator: Emulator) -> None:
        await invoke(emulator, HTTP_EVENT)
        assert len(await emulator.otlp.spans()) == 1

    warnings = emulated(function(env={"LRAP_FLUSH_BUDGET_MS": "soon"}), script)
    assert warnings == [
        "lrap-otel: warning: LRAP_FLUSH_BUDGET_MS='soon' cannot be used; 500 is used instead"
    ]


def test_what_is_kept_is_decided_at_the_end_and_the_headers_say_what_the_sampler_decided() -> None:
    async def script(emulator: Emulator) -> None:
        _, result = await invoke(emulator, HTTP_EVENT)
        assert result["headers"]["traceparent"].endswith("-01")
        failed, _ = await invoke(emulator, {"do": "raise"})
        await emulator.shutdown()
        (span,) = emulator.otlp.received
        assert span.attributes["faas.invocation_id"] == failed.request_id
        assert span.attributes["lrap.sampling.kept_by"] == "errors"
        counts = [
            metric
            for metric in emulator.otlp.metrics
            if metric.name in {"faas.invocations", "faas.errors"}
        ]
        assert sum(point.value for metric in counts for point in metric.points) == 2

    assert emulated(function(env={"LRAP_KEEP": "errors"}), script) == []


def test_managed_instances_export_without_any_invoke_event() -> None:
    async def script(emulator: Emulator) -> None:
        outcome, _ = await invoke(emulator, {})
        await emulator.otlp.wait(
            lambda: emulator.otlp.find_span(outcome.request_id) is not None, 5.0
        )
        assert emulator.otlp.find_span(outcome.request_id) is not None
        (report,) = await emulator.shutdown()
        assert report.is_clean

    emulated(
        function(
            initialization_type="lambda-managed-instances", env={"OTEL_BSP_SCHEDULE_DELAY": "100"}
        ),
        script,
    )


def test_a_function_that_cannot_be_loaded_leaves_a_span_that_says_why() -> None:
    async def script(emulator: Emulator) -> None:
        outcome = await emulator.invoke(json.dumps({}).encode())
        assert outcome.status == "crash"
        (span,) = await emulator.otlp.spans()
        assert span.status == "ERROR"
        assert "no database" in span.status_message
        assert all(report.shutdown_seen for report in outcome.reports)

    emulated(function("broken_init.handler"), script)
