"""What the page shows: the last invocations with all that is known of each, and what
was exported.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lrap_otel.emulator.changes import Changes
from lrap_otel.emulator.parentage import explain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.message import Message

    from lrap_otel.emulator.invocation import Invocation
    from lrap_otel.emulator.outcome import Outcome
    from lrap_otel.emulator.signals import LogRecord, Metric, Span
    from lrap_otel.emulator.tap import Received
    from lrap_otel.emulator.usage import Usage

KEPT_ENTRIES = 10_000
KEPT_SPANS = 50_000
KEPT_BODY_BYTES = 64 * 1024 * 1024
KEPT_EXPORT_BYTES = 64 * 1024 * 1024
SHOWN_BODY_BYTES = 256 * 1024
# Of a trace, besides an invocation's own spans and its ancestors.
SHOWN_OTHERS = 100
INVOCATION_ID = "faas.invocation_id"


class Entry:
    """One invocation, or a trace that none of ours belongs to; ``number`` counts them, ``change``
    is the number of its last change.
    """

    def __init__(self, number: int, identifier: str) -> None:
        self.number = number
        self.identifier = identifier
        self.change = 0
        self.at_s = time.time()
        self.event = b""
        self.result = b""
        self.is_stripped = False
        # None once it has ended: what is shown of it is in `facts` then.
        self.invocation: Invocation | None = None
        self.is_local = False
        self.facts: dict[str, Any] = {}
        self.received: Received | None = None
        self.answered_at_s = 0.0
        self.init_ms = 0.0
        self.previous_end_s = 0.0
        self.usage: dict[str, Usage] = {}
        self.span: Span | None = None

    @property
    def size_bytes(self) -> int:
        """The size of the bodies it keeps."""
        return (
            len(self.event) + len(self.result) + (len(self.received.body) if self.received else 0)
        )

    def strip(self) -> None:
        """Forget the bodies."""
        self.event = self.result = b""
        self.received = None
        self.is_stripped = True

    def summary(self) -> dict[str, Any]:
        """A row of the list."""
        span, facts = self.span, self.facts
        attributes = span.attributes if span else {}
        status = facts.get("status") or ("error" if span and span.status == "ERROR" else "success")
        if self.invocation:
            status = "running" if self.invocation.began_at_s else "waiting"
        return {
            "number": self.number,
            "id": self.identifier,
            "at": self.at_s,
            "name": span.name if span else "",
            "trigger": str(attributes.get("lrap.trigger") or attributes.get("faas.trigger") or ""),
            "status": status,
            "error": str(attributes.get("error.type") or facts.get("error_type") or ""),
            "ms": facts["duration_ms"]
            if facts
            else (span.duration_ms if span and not self.is_local else None),
            "billed": facts.get("billed_ms"),
            "init": self.init_ms,
            "trace": span.trace_id_hex if span else "",
            "span": span.span_id_hex if span else "",
            "local": self.is_local,
        }


class History:
    """Bounded in entries, in bodies, in spans and in exports; the oldest go first."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.metrics: OrderedDict[tuple[Any, ...], dict[str, Any]] = OrderedDict()
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._count = 0
        self._change = 0
        self._body_bytes = 0
        self._traces: OrderedDict[str, dict[str, Span]] = OrderedDict()
        self._span_count = 0
        self._logs: deque[LogRecord] = deque(maxlen=KEPT_SPANS)
        # Exports as they came, in order; the first one's number, and their bytes.
        self._exports: deque[Message] = deque()
        self._first_export = 0
        self._export_bytes = 0
        self._last_end_s = 0.0
        self._init_ms = 0.0

    def initialized(self, init_ms: float) -> None:
        """A sandbox is ready; the next event is its first."""
        self._init_ms = init_ms

    def begin(self, invocation: Invocation) -> None:
        """An event was sent. A retry of it, which has the same id, takes its place."""
        entry = self._entry(invocation.request_id)
        if entry.facts:
            self._body_bytes -= entry.size_bytes
        entry.invocation, entry.is_local, entry.facts, entry.received = invocation, True, {}, None
        entry.event = invocation.event
        entry.at_s = time.time()
        self._changed(entry)

    def deliver(self, request_id: str, received: Received) -> None:
        """The function has its event."""
        if entry := self._entries.get(request_id):
            entry.received = received
            self._changed(entry)

    def answer(self, request_id: str, at_s: float) -> None:
        """The function began to send its result."""
        if (entry := self._entries.get(request_id)) and not entry.facts:
            entry.answered_at_s = at_s

    def end(self, invocation: Invocation, outcome: Outcome, usage: dict[str, Usage]) -> None:
        """Everything of an invocation is over."""
        entry = self._entry(invocation.request_id)
        entry.facts = _facts(invocation) | {
            "status": outcome.status,
            "error_type": outcome.error_type,
            "duration_ms": outcome.duration_ms,
            "billed_ms": outcome.billed_ms,
            "reason": outcome.reason,
            "content_type": outcome.result.content_type,
            "is_streamed": bool(outcome.result.response_mode),
        }
        entry.invocation, entry.usage, entry.result = None, usage, outcome.payload
        entry.previous_end_s, self._last_end_s = self._last_end_s, time.time()
        if self._init_ms:
            # The previous end was in the last sandbox: this one has not been frozen since its init.
            entry.init_ms, entry.previous_end_s, self._init_ms = self._init_ms, 0.0, 0.0
        self._body_bytes += entry.size_bytes
        self._forget_bodies()
        self._changed(entry)

    def export(self, message: Message) -> None:
        """Keep one export request as it came."""
        self._exports.append(message)
        self._export_bytes += message.ByteSize()
        while self._export_bytes > KEPT_EXPORT_BYTES:
            self._export_bytes -= self._exports.popleft().ByteSize()
            self._first_export += 1
        self.changes.notify()

    def exports(self, start: int) -> tuple[int, list[Message]]:
        """The number of the next export to come, and the kept ones from number ``start`` on."""
        skipped = max(0, start - self._first_export)
        return self._first_export + len(self._exports), list(self._exports)[skipped:]

    def add_spans(self, spans: Iterable[Span]) -> None:
        """Add each to its invocation; a trace without an invocation becomes an entry of its own."""
        for span in spans:
            trace = self._traces.setdefault(span.trace_id_hex, {})
            self._span_count += span.span_id_hex not in trace
            trace[span.span_id_hex] = span
            request_id = span.attributes.get(INVOCATION_ID)
            is_root = not span.parent_id_hex and not self._is_ours(trace)
            if request_id or is_root:
                entry = self._entry(str(request_id or span.trace_id_hex))
                # The span of an invocation's init has the same request id, and is not its own span.
                if (
                    entry.span is None
                    or span.kind == "SERVER"
                    or span.span_id_hex == entry.span.span_id_hex
                ):
                    entry.span = span
                if not entry.is_local:
                    entry.at_s = span.start_ns / 1e9
                self._changed(entry)
        while self._span_count > KEPT_SPANS and len(self._traces) > 1:
            _, oldest = self._traces.popitem(last=False)
            self._span_count -= len(oldest)

    def add_logs(self, logs: Iterable[LogRecord]) -> None:
        """Records with or without a span."""
        self._logs.extend(logs)

    def add_metrics(self, metrics: Iterable[Metric]) -> None:
        """Each point to its series; deltas are added up in a histogram, and shown one by one in a
        sum.
        """
        for metric in metrics:
            for point in metric.points:
                key = (
                    metric.name,
                    *sorted((name, str(value)) for name, value in point.attributes.items()),
                )
                empty = {
                    "name": metric.name,
                    "unit": metric.unit,
                    "attributes": {name: str(value) for name, value in point.attributes.items()},
                    "points": deque(maxlen=120),
                }
                series = self.metrics.setdefault(key, empty)
                if not point.bounds:
                    series["points"].append([time.time(), point.value])
                    continue
                before: list[int] = series.get("buckets", [])
                is_added = point.temporality == "DELTA" and series.get("bounds") == list(
                    point.bounds
                )
                counts = list(point.bucket_counts)
                series["buckets"] = (
                    [a + b for a, b in zip(before, counts, strict=True)] if is_added else counts
                )
                series["bounds"] = list(point.bounds)
                series["count"] = sum(series["buckets"])
                series["sum"] = (series.get("sum", 0.0) if is_added else 0.0) + point.sum
        while len(self.metrics) > 1000:
            self.metrics.popitem(last=False)

    def changed_since(self, change: int) -> tuple[int, list[dict[str, Any]]]:
        """Summaries of the entries that changed after ``change``, oldest first, and the number of
        the last change.
        """
        found = sorted(
            (entry for entry in self._entries.values() if entry.change > change),
            key=lambda e: e.number,
        )
        return self._change, [entry.summary() for entry in found]

    async def wait_for_change(self, change: int, timeout_s: float) -> None:
        """Return once something has changed after ``change``, or the time is over."""
        try:
            await asyncio.wait_for(self.changes.until(lambda: self._change > change), timeout_s)
        except (TimeoutError, asyncio.TimeoutError):
            return

    async def wait_for_export(self, position: int, timeout_s: float) -> None:
        """Return once there is an export numbered ``position``, or the time is over."""
        is_there = lambda: self._first_export + len(self._exports) > position  # noqa: E731
        try:
            await asyncio.wait_for(self.changes.until(is_there), timeout_s)
        except (TimeoutError, asyncio.TimeoutError):
            return

    def search(self, text: str) -> list[str]:
        """Ids of the entries whose event, result, lines or attributes contain the text, in any
        case.
        """
        wanted = text.lower().encode()
        return [entry.identifier for entry in self._entries.values() if wanted in _searched(entry)]

    def detail(self, identifier: str) -> dict[str, Any] | None:
        """All that is known of one entry; None if there is no such entry."""
        entry = self._entries.get(identifier)
        if entry is None:
            return None
        spans = self._spans_of(entry)
        ids = {span.span_id_hex for span in spans}
        detail = entry.summary() | {
            "event": _text(entry.event),
            "result": _text(entry.result),
            "stripped": entry.is_stripped,
            "spans": [_plain_span(span) for span in spans],
            "logs": [
                asdict(log) for log in self._logs if log.span_id_hex and log.span_id_hex in ids
            ],
            "usage": {name: asdict(usage) for name, usage in entry.usage.items()},
        }
        facts = _facts(entry.invocation) if entry.invocation else entry.facts
        return detail | _told(entry, facts) if facts else detail

    def _spans_of(self, entry: Entry) -> list[Span]:
        """The entry's own span, its descendants and ancestors, and some others of the trace, sorted
        by start.
        """
        own = entry.span
        if own is None:
            return []
        trace = self._traces.get(own.trace_id_hex, {own.span_id_hex: own})
        chosen = {own.span_id_hex}
        above = trace.get(own.parent_id_hex)
        while above and above.span_id_hex not in chosen:
            chosen.add(above.span_id_hex)
            above = trace.get(above.parent_id_hex)
        ordered = sorted(trace.values(), key=lambda span: span.start_ns)
        below = {own.span_id_hex}
        others: list[str] = []
        # A child may start, by another clock, before its parent.
        for _ in range(2):
            others = []
            for span in ordered:
                if span.parent_id_hex in below:
                    below.add(span.span_id_hex)
                elif span.span_id_hex not in chosen:
                    others.append(span.span_id_hex)
        chosen |= below | set(others[:SHOWN_OTHERS])
        return [span for span in ordered if span.span_id_hex in chosen]

    def _is_ours(self, trace: dict[str, Span]) -> bool:
        return any(span.attributes.get(INVOCATION_ID) for span in trace.values())

    def _entry(self, identifier: str) -> Entry:
        entry = self._entries.get(identifier)
        if entry is None:
            self._count += 1
            entry = self._entries[identifier] = Entry(self._count, identifier)
            while len(self._entries) > KEPT_ENTRIES:
                _, oldest = self._entries.popitem(last=False)
                self._body_bytes -= oldest.size_bytes if oldest.facts else 0
        return entry

    def _forget_bodies(self) -> None:
        for entry in self._entries.values():
            if self._body_bytes <= KEPT_BODY_BYTES:
                return
            if entry.facts:
                self._body_bytes -= entry.size_bytes
                entry.strip()

    def _changed(self, entry: Entry) -> None:
        self._change += 1
        entry.change = self._change
        self.changes.notify()


def _facts(invocation: Invocation) -> dict[str, Any]:
    """What is shown of an invocation besides its bodies. Times are Unix seconds, 0 if they have not
    come.
    """
    began_s = invocation.began_at_s
    return {
        "client_context": invocation.client_context,
        "trace_header": invocation.trace_header,
        "headers": invocation.headers(),
        "lines": [asdict(line) for line in invocation.lines],
        "began": began_s,
        "first_byte": began_s + invocation.answer_ms / 1000 if invocation.answer_ms else 0,
        "got_result": began_s + invocation.result_ms / 1000 if invocation.result_ms else 0,
    }


def _told(entry: Entry, facts: dict[str, Any]) -> dict[str, Any]:
    received, began_s = entry.received, facts["began"]
    contexts = explain(entry.event, facts["client_context"], facts["trace_header"], entry.span)
    return {
        "client_context": facts["client_context"],
        "headers": facts["headers"],
        "received_headers": received.headers if received else None,
        "received_event": _text(received.body) if received else None,
        "lines": facts["lines"],
        "contexts": [asdict(context) for context in contexts],
        "reason": facts.get("reason", ""),
        "content_type": facts.get("content_type", ""),
        "is_streamed": facts.get("is_streamed", False),
        "times": {
            "sent": entry.at_s,
            "began": began_s,
            "delivered": received.at_s if received else 0,
            "answered": entry.answered_at_s,
            "first_byte": facts["first_byte"],
            "result": facts["got_result"],
            "end": began_s + facts["billed_ms"] / 1000 if began_s and "billed_ms" in facts else 0,
            "previous_end": entry.previous_end_s,
        },
    }


def _plain_span(span: Span) -> dict[str, Any]:
    plain = asdict(span)
    # Numbers of a page's script are exact to 2**53.
    plain["start"] = span.start_ns / 1e9
    plain["end"] = span.end_ns / 1e9
    for event in plain["events"]:
        event["at"] = event.pop("time_ns") / 1e9
    del plain["start_ns"], plain["end_ns"]
    return plain


def _searched(entry: Entry) -> bytes:
    lines = "\n".join(line["text"] for line in entry.facts.get("lines", ()))
    attributes = str(entry.span.attributes) if entry.span else ""
    return (
        entry.event + entry.result + f"{entry.identifier}\n{lines}\n{attributes}".encode()
    ).lower()


def _text(body: bytes) -> str:
    return body[:SHOWN_BODY_BYTES].decode("utf-8", "replace")
