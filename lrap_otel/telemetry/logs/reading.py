"""From a line, or an object, of the function's log to a log record: any runtime's form, JSON or
text.
"""

from __future__ import annotations

from lrap_otel.telemetry import json_text, semconv
from lrap_otel.telemetry.logs.severity import UNKNOWN, severity_of
from lrap_otel.telemetry.otlp.logs import LogRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from lrap_otel.telemetry.platform.batches import Event, Reader

    T = TypeVar("T")

# The members in which runtimes and common loggers put each of these. The first that can be read
# counts; of request ids, the first that is known.
_LEVELS = ("level", "severity", "log.level", "levelname", "lvl", "loglevel")
_MESSAGES = ("message", "msg", "@message")
_TIMES = ("timestamp", "time", "@timestamp", "ts")
_REQUEST_IDS = (
    "requestId",
    "AWSRequestId",
    "function_request_id",
    "aws_request_id",
    "awsRequestId",
    "lambdaRequestId",
    "faas.invocation_id",
)
_TRACE_IDS = ("trace_id", "traceId", "otelTraceID", "trace.id", "dd.trace_id", "xray_trace_id")
_SPAN_IDS = ("span_id", "spanId", "otelSpanID", "span.id", "dd.span_id")
_EXCEPTIONS = {
    "errorType": semconv.EXCEPTION_TYPE,
    "errorMessage": semconv.EXCEPTION_MESSAGE,
    "stackTrace": semconv.EXCEPTION_STACKTRACE,
}
# OpenTelemetry's default of how many attributes a record has.
_MOST_ATTRIBUTES = 128
_NO_ID = ("undefined", "")
_REQUEST_ID_LENGTH = 36
_DASHES = (8, 13, 18, 23)
_HEX = frozenset("0123456789abcdefABCDEF")
# How far into a line its request id is looked for, and how many words its level may be preceded by.
_HEADER_CHARACTERS, _HEADER_WORDS = 200, 6
_NANOSECONDS = 1_000_000_000
# Unix seconds, as some loggers write them: of the years 2001 to 2286.
_LOWEST_S, _HIGHEST_S = 1e9, 1e10


class Printed:
    """A record that is not yet joined with its invocation.

    `request_ids` are those that the record itself names, by the members' names, the likeliest
    first; by the empty name the one in its text. `has_span` says that it names its own span, which
    it keeps. `size_bytes` is 0 until somebody measures it.
    """

    __slots__ = ("has_span", "log", "request_ids", "size_bytes")

    def __init__(
        self, log: LogRecord, request_ids: dict[str, str], *, has_span: bool = False
    ) -> None:
        self.log = log
        self.request_ids = request_ids
        self.has_span = has_span
        self.size_bytes = 0


def read(event: Event, received_ns: int, reader: Reader) -> Printed | None:
    """What one event of type ``function`` or ``extension`` says; None of an empty line."""
    record = event.record
    if isinstance(record, str):
        text = record.rstrip("\r\n")
        if not text or text.isspace():
            return None
        members = json_text.parse_object(text) if text[0] == "{" else None
        if not members:
            return _from_text(text, event.at_ns, received_ns, reader)
        return _from_object(members, event.at_ns, received_ns, reader)
    if isinstance(record, dict):
        return _from_object(record, event.at_ns, received_ns, reader)
    if record is None:
        return None
    return Printed(LogRecord(record, event.at_ns, received_ns, {}), {})


def _from_object(members: dict[str, Any], at_ns: int, received_ns: int, reader: Reader) -> Printed:
    rest = dict(members)
    level = _take(
        rest, _LEVELS, lambda value: severity_of(value) if severity_of(value)[1] else None
    )
    time_ns = _take(rest, _TIMES, lambda value: _time_ns(value, received_ns, reader)) or at_ns
    request_ids = {
        name: rest.pop(name) for name in _REQUEST_IDS if json_text.as_text(rest.get(name))
    }
    trace_id, span_id = _context(rest)
    name = next((name for name in _MESSAGES if name in rest), "")
    # A runtime that logs what a handler raised writes no message of its own.
    body = rest.pop(name) if name else rest.get("errorMessage")
    for theirs, ours in _EXCEPTIONS.items():
        if theirs in rest:
            rest[ours] = _exception_text(rest.pop(theirs))
    dropped = max(len(rest) - _MOST_ATTRIBUTES, 0)
    if dropped:
        rest = dict(list(rest.items())[:_MOST_ATTRIBUTES])
    # Without a message, all of it is what was logged.
    has_body = bool(name) or body is not None
    log = (
        LogRecord(body, time_ns, received_ns, rest)
        if has_body
        else LogRecord(rest, time_ns, received_ns, {})
    )
    log.dropped_attributes = dropped
    log.severity, log.severity_text = level or (UNKNOWN, "")
    log.trace_id_hex, log.span_id_hex = trace_id, span_id
    return Printed(log, request_ids, has_span=bool(span_id))


def _take(
    rest: dict[str, Any], names: tuple[str, ...], read: Callable[[Any], T | None]
) -> T | None:
    """What `read` makes of the first of these members that it can read, which leaves `rest`; None
    if there is none.
    """
    for name in names:
        if name in rest and (found := read(rest[name])):
            del rest[name]
            return found
    return None


def _time_ns(value: Any, received_ns: int, reader: Reader) -> int:
    """0 if it is none."""
    if type(value) in {int, float} and _LOWEST_S < value < _HIGHEST_S:
        return int(value * _NANOSECONDS)
    return reader.time_ns(value, received_ns)


def _context(rest: dict[str, Any]) -> tuple[str, str]:
    """The trace and span id that the record names, in lower-case hex, and empty if there are none;
    what is another's form of an id stays an attribute.
    """
    trace_id = span_id = ""
    for name in _TRACE_IDS:
        value = json_text.as_text(rest.get(name))
        if value.startswith(("Root=", "1-")):
            trace_id, span_id = _xray(value)
        elif _is_id(value, 32):
            trace_id = value.lower()
        if trace_id:
            del rest[name]
            break
    for name in _SPAN_IDS:
        value = json_text.as_text(rest.get(name))
        if trace_id and _is_id(value, 16):
            span_id = value.lower()
            del rest[name]
            break
    return trace_id, span_id


def _is_id(text: str, digits: int) -> bool:
    return len(text) == digits and _HEX.issuperset(text) and text.strip("0") != ""


def _xray(text: str) -> tuple[str, str]:
    """Of ``Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1``, or its
    root alone.
    """
    parts = (
        dict(part.partition("=")[::2] for part in text.split(";"))
        if "=" in text
        else {"Root": text}
    )
    root = parts.get("Root", "")[2:].replace("-", "")
    parent = parts.get("Parent", "")
    if not _is_id(root, 32):
        return "", ""
    return root.lower(), parent.lower() if _is_id(parent, 16) else ""


def _exception_text(value: Any) -> Any:
    return "\n".join(map(str, value)) if isinstance(value, list) else value


def _from_text(text: str, at_ns: int, received_ns: int, reader: Reader) -> Printed:
    """A managed runtime's own columns are read and taken off; any other text stays whole."""
    columns = text.split("\t", 3)
    if len(columns) == 4:
        first, second, third, message = columns
        level = _word(first)
        if first[:1] == "[" and level and (is_request_id(third) or third in _NO_ID):
            return _of_columns(level, second, third, message, at_ns, received_ns, reader)
        level = _word(third)
        if level and (is_request_id(second) or second in _NO_ID):
            return _of_columns(level, first, second, message, at_ns, received_ns, reader)
    log = LogRecord(_lines(text), at_ns, received_ns, {})
    log.severity, log.severity_text = _level_in(text)
    request_id = _request_id_in(text)
    return Printed(log, {"": request_id} if request_id else {})


def _of_columns(
    level: str,
    time: str,
    request_id: str,
    message: str,
    at_ns: int,
    received_ns: int,
    reader: Reader,
) -> Printed:
    log = LogRecord(_lines(message), reader.time_ns(time, received_ns) or at_ns, received_ns, {})
    log.severity, log.severity_text = severity_of(level)
    return Printed(log, {} if request_id in _NO_ID else {"": request_id})


def _lines(text: str) -> str:
    """Node's and Python's clients write a line break as a carriage return if a break would end the
    record.
    """
    return text.replace("\r", "\n") if "\r" in text and "\n" not in text else text


def _word(text: str) -> str:
    """A level's word, as runtimes write it: in capitals, perhaps in brackets; empty if
    it is none.
    """
    word = text.strip("[]:")
    return word if word.isupper() and severity_of(word)[0] != UNKNOWN else ""


def _level_in(text: str) -> tuple[int, str]:
    """The level among the words that a logger writes before the message: after it, or after a word
    that is neither a time, an id nor in brackets, the message has begun.
    """
    for word in text[:_HEADER_CHARACTERS].split(None, _HEADER_WORDS)[:_HEADER_WORDS]:
        level = _word(word.partition(":")[0])
        if level:
            return severity_of(level)
        if not (word[0].isdigit() or word[0] in "[#" or word[-1] in ",]" or is_request_id(word)):
            break
    return UNKNOWN, ""


def _request_id_in(text: str) -> str:
    """The first word in the form of a request id near the beginning of a text; empty if there is
    none.
    """
    dash = text.find("-", 0, _HEADER_CHARACTERS)
    while dash >= 0:
        start = dash - _DASHES[0]
        word = text[start : start + _REQUEST_ID_LENGTH] if start >= 0 else ""
        if is_request_id(word):
            return word
        dash = text.find("-", dash + 1, _HEADER_CHARACTERS)
    return ""


def is_request_id(text: str) -> bool:
    """Has the form of one: ``8476a536-e9f4-11e8-9739-2dfe598c3fcd``."""
    if len(text) != _REQUEST_ID_LENGTH or any(text[dash] != "-" for dash in _DASHES):
        return False
    digits = text.replace("-", "")
    return len(digits) == 32 and _HEX.issuperset(digits)
