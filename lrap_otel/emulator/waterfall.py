"""Traces as a waterfall: each span a bar on the time line of its trace, below its parent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrap_otel.emulator.signals import Link, LogRecord, Span
    from lrap_otel.emulator.terminal import Terminal

WORTH_SEEING = (
    "faas.trigger",
    "faas.coldstart",
    "http.request.method",
    "http.route",
    "http.response.status_code",
    "messaging.system",
    "messaging.destination.name",
    "messaging.operation.type",
    "messaging.batch.message_count",
    "error.type",
)
STATUS_COLOURS = {"OK": "green", "ERROR": "red", "UNSET": "green"}
MAX_LINKS = 5
MAX_LOGS = 10


@dataclass(frozen=True)
class _Row:
    span: Span
    depth: int


@dataclass(frozen=True)
class _Columns:
    """Widths, and the time line the bars stand on."""

    name: int
    bar: int
    start_ns: int
    length_ns: int


def draw(spans: Sequence[Span], terminal: Terminal, logs: Sequence[LogRecord] = ()) -> None:
    """Every trace the spans belong to, oldest first; below each span, of the `logs` those that were
    printed in it.
    """
    traces: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda span: span.start_ns):
        traces.setdefault(span.trace_id_hex, []).append(span)
    for trace_id_hex, members in traces.items():
        _draw_trace(
            trace_id_hex,
            members,
            terminal,
            [log for log in logs if log.trace_id_hex == trace_id_hex],
        )


def _draw_trace(
    trace_id_hex: str, spans: list[Span], terminal: Terminal, logs: list[LogRecord]
) -> None:
    terminal.say(f"  {terminal.paint('trace', 'cyan')} {trace_id_hex}")
    known = {span.span_id_hex for span in spans}
    rows = [
        row for span in spans if span.parent_id_hex not in known for row in _rows(span, spans, 0)
    ]
    columns = _columns(rows, terminal)
    for row in rows:
        parent = row.span.parent_id_hex
        if parent and parent not in known:
            terminal.say(
                terminal.paint(f"    {terminal.symbols['parent']} parent {parent} (remote)", "dim")
            )
        _draw_span(row, columns, terminal)
        _draw_logs(
            [log for log in logs if log.span_id_hex == row.span.span_id_hex], row.depth, terminal
        )


def _rows(span: Span, spans: list[Span], depth: int) -> list[_Row]:
    children = [
        child for child in spans if child.parent_id_hex == span.span_id_hex and child is not span
    ]
    return [
        _Row(span, depth),
        *(row for child in children for row in _rows(child, spans, depth + 1)),
    ]


def _columns(rows: list[_Row], terminal: Terminal) -> _Columns:
    longest = max(len(_label(row)) for row in rows)
    name = min(longest, terminal.width * 2 // 5)
    start_ns = min(row.span.start_ns for row in rows)
    end_ns = max(row.span.end_ns for row in rows)
    # Four for the margin, eleven for the duration, eight for the status.
    return _Columns(
        name, max(10, terminal.width - 4 - name - 11 - 8), start_ns, max(1, end_ns - start_ns)
    )


def _label(row: _Row) -> str:
    return f"{'  ' * row.depth}{row.span.name} {row.span.kind.lower()}"


def _draw_span(row: _Row, columns: _Columns, terminal: Terminal) -> None:
    span = row.span
    colour = STATUS_COLOURS[span.status]
    name = terminal.fit(_label(row), columns.name).ljust(columns.name)
    bar = terminal.paint(_bar(span, columns, terminal.symbols["bar"]), colour)
    terminal.say(
        f"    {name} {_duration(span.duration_ms):>9} {bar} "
        f"{terminal.paint(span.status.lower(), colour)}"
    )
    terminal.items(" " * (6 + 2 * row.depth), _details(span))
    for link in span.links[:MAX_LINKS]:
        terminal.items(" " * (6 + 2 * row.depth), [_link(link, terminal)])
    if len(span.links) > MAX_LINKS:
        terminal.items(" " * (6 + 2 * row.depth), [f"and {len(span.links) - MAX_LINKS} more links"])


def _draw_logs(logs: list[LogRecord], depth: int, terminal: Terminal) -> None:
    for log in logs[:MAX_LOGS]:
        level = f"{log.severity} " if log.severity else ""
        terminal.items(" " * (6 + 2 * depth), [f"printed: {level}{log.body}"])
    if len(logs) > MAX_LOGS:
        terminal.items(" " * (6 + 2 * depth), [f"and {len(logs) - MAX_LOGS} more log records"])


def _bar(span: Span, columns: _Columns, symbol: str) -> str:
    before = min(
        (span.start_ns - columns.start_ns) * columns.bar // columns.length_ns, columns.bar - 1
    )
    length = max(1, (span.end_ns - span.start_ns) * columns.bar // columns.length_ns)
    return (" " * before + symbol * min(length, columns.bar - before)).ljust(columns.bar)


def _duration(ms: float) -> str:
    return f"{ms / 1000:.2f} s" if ms >= 1000 else f"{ms:.2f} ms"


def _details(span: Span) -> list[str]:
    shown = [
        f"{name}={_value(span.attributes[name])}"
        for name in WORTH_SEEING
        if name in span.attributes
    ]
    exceptions = [event.attributes for event in span.events if event.name == "exception"]
    shown += [
        f"exception: {event.get('exception.type')}: {event.get('exception.message')}"
        for event in exceptions
    ]
    return shown + ([f"status: {span.status_message}"] if span.status_message else [])


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _link(link: Link, terminal: Terminal) -> str:
    return f"link {terminal.symbols['link']} trace {link.trace_id_hex} span {link.span_id_hex}"
