"""What a real runtime prints and logs arrives with the ids of its invocation, once, in both
formats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lrap_otel.emulator.config import TelemetryFaults
from tests.e2e.conftest import function, run_through

if TYPE_CHECKING:
    from lrap_otel.emulator.emulator import Emulator
    from lrap_otel.emulator.signals import LogRecord


def run(*events: bytes, env: dict[str, str] | None = None, **options: Any) -> Emulator:
    """Send the events, then SHUTDOWN."""
    variables = {"OTEL_LOGS_EXPORTER": "otlp", **(env or {})}
    settings = {"env": variables, "telemetry": TelemetryFaults(), **options}
    return run_through(function("logging_function.handler", **settings), *events)


def of(emulator: Emulator, request_id: str) -> list[LogRecord]:
    """The records of one invocation, each checked to be in its span."""
    span = emulator.otlp.find_span(request_id)
    assert span is not None
    found = [
        log for log in emulator.otlp.logs if log.attributes.get("faas.invocation_id") == request_id
    ]
    assert {(log.trace_id_hex, log.span_id_hex) for log in found} == {
        (span.trace_id_hex, span.span_id_hex)
    }
    return found


@pytest.mark.parametrize("log_format", ["Text", "JSON"])
def test_each_record_is_in_the_span_of_its_invocation_once(log_format: str) -> None:
    emulator = run(b"{}", b"{}", log_format=log_format)

    for outcome in emulator.outcomes:
        records = of(emulator, outcome.request_id)
        # Two pipes: their order is nobody's.
        assert sorted((str(log.body), log.severity) for log in records) == [
            ("printed", ""),
            ("two\nlines", "WARNING"),
            ("{'deep': [1, 2]}", "error"),
        ]
        (deep,) = (log for log in records if log.severity == "error")
        assert (deep.body, deep.attributes["order"]) == ({"deep": [1, 2]}, 7)
    (before,) = (log for log in emulator.otlp.logs if log.body == "while it starts")
    assert (before.trace_id_hex, before.span_id_hex) == ("", "")
    assert len(emulator.otlp.logs) == 7
    assert all(
        log.resource["aws.log.group.names"] == ["/aws/lambda/function"]
        for log in emulator.otlp.logs
    )
    assert all(log.resource["aws.log.stream.names"] for log in emulator.otlp.logs)
    assert [line for source, line in emulator.output if source == "lrap-otel"] == []


def test_an_error_that_the_runtime_logs_is_one_record_with_its_stack() -> None:
    emulator = run(b'{"do": "raise"}', log_format="JSON")
    (error,) = (
        log
        for log in of(emulator, emulator.outcomes[0].request_id)
        if "exception.type" in log.attributes
    )
    assert (error.severity, error.attributes["exception.type"]) == ("ERROR", "ValueError")
    assert "it broke" in error.attributes["exception.message"]
    assert "logging_function.py" in error.attributes["exception.stacktrace"]


def test_batches_that_come_twice_are_sent_once() -> None:
    emulator = run(b"{}", telemetry=TelemetryFaults(is_doubled=True))
    assert len(emulator.otlp.logs) == 4


def test_another_extensions_lines_only_if_all_are_asked_for() -> None:
    emulator = run(b"{}", env={"LRAP_TELEMETRY_API": "all", "LRAP_LOG_LEVEL": "debug"})
    assert [line for source, line in emulator.output if source == "lrap-otel"]
    assert [log for log in emulator.otlp.logs if "lrap.log.source" in log.attributes] == []


def test_without_being_asked_no_log_is_sent() -> None:
    assert run(b"{}", env={"OTEL_LOGS_EXPORTER": ""}).otlp.logs == []


def test_on_managed_instances_a_record_with_a_request_id_is_in_its_span() -> None:
    managed = {"initialization_type": "lambda-managed-instances"}
    emulator = run(b"{}", b"{}", env={"AWS_LAMBDA_MAX_CONCURRENCY": "2"}, **managed)
    for outcome in emulator.outcomes:
        (logged,) = of(emulator, outcome.request_id)
        assert (logged.body, logged.severity) == ("two\nlines", "WARNING")
    # What names no request is nobody's, where several run.
    others = [log for log in emulator.otlp.logs if "faas.invocation_id" not in log.attributes]
    assert {str(log.body) for log in others} >= {"printed", "{'deep': [1, 2]}"}
    assert all((log.trace_id_hex, log.span_id_hex) == ("", "") for log in others)
