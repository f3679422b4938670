"""What a run looks like on a terminal, and what it complains about."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import pytest

from lrap_otel.emulator import ExtensionReport, Metric, Outcome, Result, Span
from lrap_otel.emulator.checks import (
    extension_problem,
    outcome_problem,
    sandbox_problem,
    span_problem,
    traceparent_in,
)
from lrap_otel.emulator.overhead import median, summarize
from lrap_otel.emulator.signals import Event, Link, LogRecord, Point, Scope
from lrap_otel.emulator.terminal import Terminal
from lrap_otel.emulator.waterfall import draw

SERVER = Span(
    name="GET /pets/{id}",
    kind="SERVER",
    trace_id_hex="4bf92f3577b34da6a3ce929d0e0e4736",
    span_id_hex="1111111111111111",
    parent_id_hex="00f067aa0ba902b7",
    start_ns=1_000_000_000,
    end_ns=1_010_000_000,
    status="UNSET",
    status_message="",
    attributes={
        "faas.trigger": "http",
        "faas.coldstart": True,
        "http.route": "/pets/{id}",
        "http.response.status_code": 200,
        "other": 1,
    },
    links=[],
    events=[],
    trace_state="",
    flags=0x301,
    resource={},
    scope=Scope("lrap-otel", "0.1.0", ""),
)
CHILD = dataclasses.replace(
    SERVER,
    name="work",
    kind="INTERNAL",
    span_id_hex="2222222222222222",
    parent_id_hex="1111111111111111",
    start_ns=1_005_000_000,
    status="ERROR",
    status_message="failed",
    attributes={"error.type": "ValueError"},
    events=[
        Event("exception", 0, {"exception.type": "ValueError", "exception.message": "no amount"})
    ],
)
SENT = b'{"headers":{"TraceParent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}'
ENDED = Outcome("id-1", SENT, Result(b"{}"), "success", 1.0, 2.0)
GOOD = ExtensionReport(
    "lrap-otel", subscribed=True, shutdown_seen=True, exit_code=0, killed=False, ms=12.0
)


class Tty(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def ascii_stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda width: monkeypatch.setenv("COLUMNS", str(width))


def drawn(spans: list[Span]) -> str:
    stream = Tty()
    draw(spans, Terminal(stream))
    return stream.getvalue()


def test_a_trace_shows_its_remote_parent_and_each_span_as_a_bar(
    columns: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    columns(80)
    assert drawn([CHILD, SERVER]).splitlines() == [
        "  trace 4bf92f3577b34da6a3ce929d0e0e4736",
        "    ↑ parent 00f067aa0ba902b7 (remote)",
        "    GET /pets/{id} server  10.00 ms " + "█" * 36 + " unset",
        "      faas.trigger=http  faas.coldstart=true  http.route=/pets/{id}",
        "      http.response.status_code=200",
        "      work internal         5.00 ms " + " " * 18 + "█" * 18 + " error",
        "        error.type=ValueError  exception: ValueError: no amount  status: failed",
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(
    columns: Any, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    columns(width)
    links = [Link(f"{number:032x}", f"{number:016x}", {}) for number in range(9)]
    text = drawn(
        [dataclasses.replace(SERVER, name="n" * 300, links=links, status_message="m" * 300), CHILD]
    )
    assert max(map(len, text.splitlines())) <= width
    assert "link → trace 00000000000000000000000000000004 span 00" in text
    assert "and 4 more links" in text


def test_a_span_of_seconds_and_one_without_a_parent() -> None:
    text = drawn([dataclasses.replace(SERVER, parent_id_hex="", end_ns=3_500_000_000)])
    assert "2.50 s" in text
    assert "parent" not in text


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colour_is_for_terminals_and_respects_no_color(
    monkeypatch: pytest.MonkeyPatch, no_color: str, coloured: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    assert ("\x1b[" in drawn([SERVER])) is coloured


def test_a_terminal_without_unicode_gets_ascii() -> None:
    stream = ascii_stream()
    terminal = Terminal(stream)
    draw([SERVER], terminal)
    terminal.line("function", "Zoë\n")
    text = stream.buffer.getvalue().decode()  # type: ignore[attr-defined]
    assert "####" in text
    assert "function | Zo?" in text


def a_histogram(
    endpoint: str,
    temporality: str,
    counts: tuple[int, ...],
    total: float,
    bounds: tuple[float, ...] = (0.001, 0.002),
) -> Metric:
    point = Point(
        {"lrap.endpoint": endpoint},
        temporality,
        count=sum(counts),
        sum=total,
        bounds=bounds,
        bucket_counts=counts,
    )
    return Metric("lrap.proxy.overhead", "s", [point], {}, SERVER.scope)


def test_deltas_of_the_overhead_add_up_and_of_totals_the_last_counts() -> None:
    next_, response = summarize(
        [
            a_histogram("next", "DELTA", (1, 1, 0), 0.002),
            a_histogram("next", "DELTA", (1, 1, 0), 0.004),
            a_histogram("response", "CUMULATIVE", (1, 0, 0), 0.001),
            a_histogram("response", "CUMULATIVE", (2, 0, 0), 0.001),
            dataclasses.replace(a_histogram("next", "DELTA", (9, 9, 9), 9.0), name="other"),
        ]
    )
    assert (next_.endpoint, next_.count, next_.mean_s, next_.p50_s) == ("next", 4, 0.0015, 0.001)
    assert (response.count, response.mean_s, response.p50_s) == (2, 0.0005, 0.0005)


def test_the_median_is_never_above_the_largest_value() -> None:
    def with_max(largest: float | None) -> Metric:
        made = a_histogram("next", "DELTA", (0, 3, 0), 0.0033)
        return dataclasses.replace(made, points=[dataclasses.replace(made.points[0], max=largest)])

    assert summarize([with_max(None)])[0].p50_s == 0.0015
    assert summarize([with_max(0.0011)])[0].p50_s == 0.0011
    assert summarize([with_max(0.0011), with_max(0.0012)])[0].p50_s == 0.0012
    # Of a point that does not say its largest value, the bucket is all that is known.
    assert summarize([with_max(0.0011), with_max(None)])[0].p50_s == 0.0015


@pytest.mark.parametrize(
    ("bounds", "counts", "value"),
    [
        ((), (), None),
        ((1.0,), (0, 0), None),
        ((1.0, 3.0), (0, 2, 0), 2.0),
        ((1.0, 3.0), (0, 0, 4), 3.0),
        ((), (5,), None),
    ],
)
def test_the_median_is_taken_within_its_bucket(
    bounds: tuple[float, ...], counts: tuple[int, ...], value: float | None
) -> None:
    assert median(bounds, counts) == value


@pytest.mark.parametrize(
    "event",
    [
        b"",
        b"[]",
        b"{}",
        b'{"headers":null}',
        b'{"headers":{"a":"b"}}',
        b'{"headers":{"traceparent":"00-x"}}',
        b"\xff",
        b'{"headers":[1]}',
    ],
)
def test_an_event_without_a_good_traceparent_has_none(event: bytes) -> None:
    assert traceparent_in(event) is None


def test_a_good_run_has_no_problems() -> None:
    assert outcome_problem(ENDED) is None
    assert outcome_problem(dataclasses.replace(ENDED, status="error")) is None
    assert extension_problem(GOOD) is None
    assert span_problem(ENDED, SERVER, is_required=True) is None
    assert span_problem(ENDED, None, is_required=False) is None


def test_an_unsampled_traceparent_needs_no_span() -> None:
    assert (
        span_problem(
            dataclasses.replace(ENDED, event=SENT.replace(b'-01"', b'-00"')), None, is_required=True
        )
        is None
    )


def test_each_problem_says_what_failed_and_what_to_do() -> None:
    crashed = dataclasses.replace(
        ENDED,
        status="crash",
        result=Result(b"", "Extension.Crash"),
        reason="extension x exited before SHUTDOWN: exit status 1",
    )
    slow = dataclasses.replace(ENDED, status="timeout", reason="Task timed out after 3.00 seconds")
    stray = dataclasses.replace(SERVER, parent_id_hex="")
    assert outcome_problem(crashed) == (
        "extension x exited before SHUTDOWN: exit status 1; see what it printed above; an extension lives until SHUTDOWN"
    )
    assert (
        outcome_problem(slow)
        == "Task timed out after 3.00 seconds; see the output above, or allow more with --timeout"
    )
    assert sandbox_problem("Runtime.UserCodeSyntaxError", "it ended") == (
        "it ended; see the output above"
    )
    assert "register under the name of its file" in sandbox_problem(
        "Sandbox.Timedout", "extension x did not register within 10 s"
    )
    assert extension_problem(dataclasses.replace(GOOD, killed=True, ms=2001.0)) == (
        "extension lrap-otel was killed 2001 ms after the shutdown began; it must exit within 2 s of it"
    )
    assert "before it saw SHUTDOWN" in (
        extension_problem(dataclasses.replace(GOOD, shutdown_seen=False)) or ""
    )
    assert "ended with 3 after SHUTDOWN" in (
        extension_problem(dataclasses.replace(GOOD, exit_code=3)) or ""
    )
    assert "no span with faas.invocation_id=id-1 came" in (
        span_problem(ENDED, None, is_required=True) or ""
    )
    assert "parent none, the event said 00-4bf9" in (
        span_problem(ENDED, stray, is_required=False) or ""
    )


def test_a_record_of_many_lines_is_shown_on_one() -> None:
    said = io.StringIO()
    log = LogRecord(
        "broken\n  File app.py\r\n\tagain",
        "ERROR",
        SERVER.trace_id_hex,
        "1" * 16,
        {},
        {},
        SERVER.scope,
    )
    draw([SERVER], Terminal(said), [log])
    assert "      printed: ERROR broken File app.py again\n" in said.getvalue()


def test_a_span_has_what_was_printed_in_it_below() -> None:
    said = io.StringIO()
    trace_id = SERVER.trace_id_hex
    logs = [
        LogRecord(f"line {number}", "", trace_id, "1" * 16, {}, {}, SERVER.scope)
        for number in range(12)
    ]
    logs += [LogRecord("no", "ERROR", trace_id, "2" * 16, {}, {}, SERVER.scope)]
    logs += [LogRecord("elsewhere", "", "0" * 32, "1" * 16, {}, {}, SERVER.scope)]
    draw([SERVER, CHILD], Terminal(said), logs)
    lines = [line.strip() for line in said.getvalue().splitlines()]
    ours, childs = lines.index("printed: line 0"), lines.index("printed: ERROR no")
    assert ours < childs
    assert "and 2 more log records" in lines
    assert not any("elsewhere" in line for line in lines)


def test_a_heading_holds_until_a_process_prints() -> None:
    terminal = Terminal(io.StringIO())
    terminal.title("invocation 1")
    terminal.field("status", "success")
    assert terminal.heading == "invocation 1"
    terminal.line("function", "the next one")
    assert terminal.heading == ""
