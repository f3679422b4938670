"""Telemetry as lines of JSON in the function's log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.telemetry.otlp_collector import Collector, reply
from tests.telemetry.proxy_records import delivered, finished, invocations
from tests.telemetry.telemetry_thread import spans_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.telemetry.telemetry_thread import Telemetry

    Start = Callable[..., Telemetry]

CONSOLE = {"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "none"}
# Of a line in CloudWatch.
LINE_LIMIT_BYTES = 262_144


def spans_in(line: str) -> list[dict[str, Any]]:
    spans: list[dict[str, Any]] = json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    return spans


def test_each_export_is_one_line_and_no_network_is_used(start: Start, collector: Collector) -> None:
    telemetry = start(collector, **CONSOLE)
    for number in (1, 2):
        telemetry.offer(*invocations(number))
        assert telemetry.flush()

    lines = telemetry.printed.splitlines(keepends=True)
    assert [[span["name"] for span in spans_in(line)] for line in lines] == [["orders"], ["orders"]]
    assert all(line.endswith("}\n") for line in lines)
    assert (collector.received(), telemetry.warnings) == ([], [])


def test_metrics_are_printed_as_well(start: Start) -> None:
    telemetry = start(None, OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="console")
    telemetry.offer(*invocations(1))
    assert telemetry.flush()

    (line,) = telemetry.printed.splitlines()
    metrics = json.loads(line)["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    assert "faas.invoke_duration" in {metric["name"] for metric in metrics}


def test_a_list_of_several_sends_everything_each_way_and_one_waits_for_no_other(
    start: Start,
) -> None:
    with Collector(lambda number, post: reply(503) if number == 0 else reply()) as collector:
        telemetry = start(collector, **CONSOLE | {"OTEL_TRACES_EXPORTER": "otlp,console"})
        telemetry.offer(*invocations(1))
        assert not telemetry.flush()
        assert len(telemetry.printed.splitlines()) == 1
        telemetry.flush_until_sent()

        refused, accepted = spans_of(collector)
        (printed,) = spans_in(telemetry.printed)
        assert refused.span_id.hex() == accepted.span_id.hex() == printed["spanId"]


def test_a_line_is_never_longer_than_cloudwatch_takes(start: Start) -> None:
    error = json.dumps(
        {"errorType": "E", "errorMessage": "\u00fc" * 1_000, "stackTrace": ["s" * 40_000]}
    ).encode()
    telemetry = start(None, **CONSOLE)
    for number in range(12):
        request_id = f"8476a536-e9f4-11e8-9739-{number:012x}"
        telemetry.offer(
            delivered(request_id=request_id, span_id_hex=f"{number + 1:016x}"),
            finished(error, "error", request_id=request_id),
        )
    assert telemetry.flush()

    lines = telemetry.printed.splitlines()
    assert len(lines) > 2
    assert max(map(len, lines)) < LINE_LIMIT_BYTES
    assert sum(len(spans_in(line)) for line in lines) == 12


def test_nothing_is_printed_twice_at_the_end(start: Start) -> None:
    telemetry = start(None, **CONSOLE)
    telemetry.offer(*invocations(1))
    assert telemetry.shutdown()

    assert len(telemetry.printed.splitlines()) == 1
    assert telemetry.warnings == []
