"""Why a span has the parent it has: every trace context that an invocation carried, and what became
of it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lrap_otel.emulator.signals import Span

TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}.*")
B3 = re.compile(r"([0-9a-f]{16,32})-([0-9a-f]{16}).*")
NAMES = {"traceparent", "x-amzn-trace-id", "b3"}


@dataclass(frozen=True)
class Context:
    """One field that names a trace: where it was, its value, its ids (empty if it has none), and
    what became of it.
    """

    where: str
    value: str
    trace_id_hex: str
    span_id_hex: str
    verdict: str


def explain(
    event: bytes, client_context: str, trace_header: str, span: Span | None
) -> list[Context]:
    """Each context, in the order in which they are looked at; without ``span`` nothing is known of
    their fate.
    """
    return [
        Context(where, value, trace_id, span_id, _verdict(trace_id, span_id, span))
        for where, value in _fields(event, client_context, trace_header)
        for trace_id, span_id in [_ids(value)]
    ]


def _fields(event: bytes, client_context: str, trace_header: str) -> Iterator[tuple[str, str]]:
    document = _json(event)
    for member in ("headers", "multiValueHeaders"):
        yield from _named(document.get(member), f"event.{member}")
    request = document.get("request")
    yield from _named(
        request.get("headers") if isinstance(request, dict) else None, "event.request.headers"
    )
    context = _json(client_context.encode())
    for member in ("w3c", "custom"):
        yield from _named(context.get(member), f"client context.{member}")
    if trace_header:
        yield "Lambda-Runtime-Trace-Id", trace_header
    records = document.get("Records")
    for number, record in enumerate(records if isinstance(records, list) else []):
        yield from _of_record(number, record)


def _of_record(number: int, record: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(record, dict):
        return
    attributes = record.get("attributes")
    if isinstance(attributes, dict) and isinstance(attributes.get("AWSTraceHeader"), str):
        yield f"event.Records.{number}.attributes.AWSTraceHeader", attributes["AWSTraceHeader"]
    message = record.get("messageAttributes")
    for name, value in message.items() if isinstance(message, dict) else ():
        if (
            name.lower() in NAMES
            and isinstance(value, dict)
            and isinstance(value.get("stringValue"), str)
        ):
            yield f"event.Records.{number}.messageAttributes.{name}", value["stringValue"]


def _named(fields: Any, where: str) -> Iterator[tuple[str, str]]:
    for name, value in fields.items() if isinstance(fields, dict) else ():
        if name.lower() in NAMES:
            first = value[0] if isinstance(value, list) and value else value
            yield f"{where}.{name}", str(first)


def _ids(value: str) -> tuple[str, str]:
    if found := TRACEPARENT.fullmatch(value.strip()) or B3.fullmatch(value.strip()):
        return found[1].zfill(32), found[2]
    parts = dict(part.strip().partition("=")[::2] for part in value.split(";"))
    root = re.fullmatch(r"1-([0-9a-f]{8})-([0-9a-f]{24})", parts.get("Root", ""))
    parent = parts.get("Parent", "")
    return (
        (root[1] + root[2], parent if re.fullmatch(r"[0-9a-f]{16}", parent) else "")
        if root
        else ("", "")
    )


def _verdict(trace_id: str, span_id: str, span: Span | None) -> str:
    if not trace_id:
        return "ignored: not well-formed"
    if span is None:
        return "no span of this invocation has come yet"
    if span_id and (trace_id, span_id) == (span.trace_id_hex, span.parent_id_hex):
        return "the parent"
    if any((link.trace_id_hex, link.span_id_hex) == (trace_id, span_id) for link in span.links):
        return "a link"
    if trace_id == span.trace_id_hex:
        return (
            "gives the trace its id"
            if not span.parent_id_hex
            else "the same trace, another parent goes first"
        )
    return "not used: another context goes first, or OTEL_PROPAGATORS leaves it out"


def _json(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
