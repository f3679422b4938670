"""Other ways out than OTLP as protobuf: JSON, and lines in the function's log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.e2e.conftest import HTTP_EVENT, emulated, function, invoke

if TYPE_CHECKING:
    from lrap_otel.emulator.emulator import Emulator


def test_spans_arrive_as_json() -> None:
    async def script(emulator: Emulator) -> None:
        outcome, _ = await invoke(emulator, HTTP_EVENT)
        assert await emulator.otlp.wait(
            lambda: emulator.otlp.find_span(outcome.request_id) is not None, 5.0
        )
        span = emulator.otlp.find_span(outcome.request_id)
        assert span is not None
        assert (span.name, span.parent_id_hex) == ("/pets/{id}", "00f067aa0ba902b7")

    assert emulated(function(env={"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}), script) == []


def test_the_extension_prints_each_export_as_one_line_of_otlp_json_on_its_stdout() -> None:
    async def script(emulator: Emulator) -> None:
        await invoke(emulator, HTTP_EVENT)
        await emulator.shutdown()

    variables = {"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "console"}
    lines = [json.loads(line) for line in emulated(function(env=variables), script)]

    (spans,) = [
        line["resourceSpans"][0]["scopeSpans"][0]["spans"]
        for line in lines
        if "resourceSpans" in line
    ]
    assert [(span["name"], span["traceId"]) for span in spans] == [
        ("/pets/{id}", "4bf92f3577b34da6a3ce929d0e0e4736")
    ]
    assert any("resourceMetrics" in line for line in lines)
