"""The whole product with the emulator's Telemetry API: init in the trace, what Lambda measured, why
an invocation ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lrap_otel.emulator.config import TelemetryFaults
from tests.e2e.conftest import function, run_through

if TYPE_CHECKING:
    from lrap_otel.emulator.emulator import Emulator
    from lrap_otel.emulator.signals import Span


def run(*events: bytes, handler: str = "function.handler", **options: Any) -> Emulator:
    """Send the events, then SHUTDOWN."""
    return run_through(function(handler, **{"telemetry": TelemetryFaults()} | options), *events)


def named(emulator: Emulator, name: str) -> list[Span]:
    return [span for span in emulator.otlp.received if span.name == name]


def measured(emulator: Emulator, name: str) -> list[Any]:
    return [
        point for metric in emulator.otlp.metrics if metric.name == name for point in metric.points
    ]


def test_a_trace_has_its_init_and_lambdas_figures_are_measured() -> None:
    emulator = run(b"{}", b"{}")

    (init,) = named(emulator, "init")
    first, second = named(emulator, "function")
    assert (init.trace_id_hex, init.parent_id_hex) == (first.trace_id_hex, first.span_id_hex)
    assert init.start_ns < init.end_ns < first.start_ns
    assert init.attributes["lrap.init.type"] == "on-demand"
    assert first.trace_id_hex != second.trace_id_hex
    assert [point.count for point in measured(emulator, "faas.init_duration")] == [1]
    # The second one's report comes while the sandbox ends.
    for name in (
        "faas.mem_usage",
        "lrap.billed_duration",
        "lrap.extension.overhead",
        "lrap.platform.invoke_duration",
    ):
        assert sum(point.count for point in measured(emulator, name)) == 2
    assert [line for source, line in emulator.output if source == "lrap-otel"] == []


@pytest.mark.parametrize("choice", ["off", "platform"])
def test_the_setting_decides(choice: str) -> None:
    emulator = run(b"{}", env={"LRAP_TELEMETRY_API": choice})
    assert len(named(emulator, "init")) == (choice != "off")


@pytest.mark.parametrize(
    "fault", [{"status": 202}, {"status": 400}, {"status": 403}, {"is_silent": True}]
)
def test_without_the_telemetry_api_all_else_is_as_it_was(fault: dict[str, Any]) -> None:
    emulator = run(b"{}", telemetry=TelemetryFaults(**fault))
    assert [outcome.status for outcome in emulator.outcomes] == ["success"]
    assert [span.name for span in emulator.otlp.received] == ["function"]


def test_batches_that_come_twice_and_in_any_order_make_one_of_each() -> None:
    emulator = run(b"{}", b"{}", telemetry=TelemetryFaults(is_doubled=True))
    assert len(named(emulator, "init")) == 1
    assert sum(point.count for point in measured(emulator, "faas.mem_usage")) == 2


def test_a_crash_has_the_cause_that_lambda_tells() -> None:
    emulator = run(b'{"do": "exit"}', memory_mb=4_096)
    (span,) = named(emulator, "function")
    assert (span.status, span.attributes["error.type"]) == ("ERROR", "Runtime.ExitError")


def test_a_time_out_is_one() -> None:
    emulator = run(b'{"do": "sleep", "s": 60}', timeout_s=1.5)
    (span,) = named(emulator, "function")
    assert (span.status, span.attributes["error.type"]) == ("ERROR", "timeout")
    assert [point.value for point in measured(emulator, "faas.timeouts")] == [1]


def test_managed_instances_report_by_request_id() -> None:
    emulator = run(
        b"{}",
        b"{}",
        initialization_type="lambda-managed-instances",
        env={"OTEL_BSP_SCHEDULE_DELAY": "100"},
    )
    (init,) = named(emulator, "init")
    first, second = sorted(named(emulator, "function"), key=lambda span: span.start_ns)
    assert init.parent_id_hex == ""
    # It is reported before or after the first event.
    assert [link.span_id_hex for link in first.links + init.links] in (
        [init.span_id_hex],
        [first.span_id_hex],
    )
    assert second.links == []
    assert sum(point.count for point in measured(emulator, "lrap.platform.invoke_duration")) == 2
    assert measured(emulator, "lrap.billed_duration") == []


def test_a_restore_is_in_the_trace_and_the_snapshots_init_is_not() -> None:
    emulator = run(b"{}", initialization_type="snap-start")
    assert named(emulator, "init") == []
    (restore,) = named(emulator, "restore")
    (first,) = named(emulator, "function")
    assert (restore.trace_id_hex, restore.parent_id_hex) == (first.trace_id_hex, first.span_id_hex)
    assert restore.end_ns <= first.start_ns
    points = measured(emulator, "faas.init_duration")
    assert [(point.attributes, point.count) for point in points] == [
        ({"lrap.init.type": "snap-start"}, 1)
    ]
