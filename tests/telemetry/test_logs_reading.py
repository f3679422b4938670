"""A line or an object of a function's log, in any runtime's form."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.telemetry.logs.reading import Printed, read
from lrap_otel.telemetry.logs.severity import severity_of
from lrap_otel.telemetry.platform.batches import Event, Reader

ID = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
AT_NS, RECEIVED_NS = 1_700_000_000_000_000_000, 1_700_000_001_000_000_000
# 2023-11-14T22:13:19.500Z
OWN_NS = 1_699_999_999_500_000_000
TRACE_ID, SPAN_ID = "5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8"


def printed(record: Any) -> Printed:
    found = read(Event(AT_NS, "function", record), RECEIVED_NS, Reader())
    assert found is not None
    return found


def request_id_of(found: Printed) -> str:
    return next(iter(found.request_ids.values()), "")


@pytest.mark.parametrize(
    ("form", "line", "body", "severity", "request_id", "time_ns"),
    [
        ("print", "hello\n", "hello", (0, ""), "", AT_NS),
        (
            "python",
            f"[WARNING]\t2023-11-14T22:13:19.500Z\t{ID}\ttwo\nlines\n",
            "two\nlines",
            (13, "WARNING"),
            ID,
            OWN_NS,
        ),
        (
            "python before an event",
            "[INFO]\t2023-11-14T22:13:19.500Z\t\tloading\n",
            "loading",
            (9, "INFO"),
            "",
            OWN_NS,
        ),
        (
            "node",
            f"2023-11-14T22:13:19.500Z\t{ID}\tINFO\thello\tthere",
            "hello\tthere",
            (9, "INFO"),
            ID,
            OWN_NS,
        ),
        (
            "node before an event",
            "2023-11-14T22:13:19.500Z\tundefined\tERROR\tno",
            "no",
            (17, "ERROR"),
            "",
            OWN_NS,
        ),
        (
            "node, lines",
            f"2023-11-14T22:13:19.500Z\t{ID}\tERROR\tTypeError: no\r    at x",
            "TypeError: no\n    at x",
            (17, "ERROR"),
            ID,
            OWN_NS,
        ),
        (
            "java, log4j2",
            f"2023-11-14 22:13:19 {ID} INFO  Handler - hello",
            f"2023-11-14 22:13:19 {ID} INFO  Handler - hello",
            (9, "INFO"),
            ID,
            AT_NS,
        ),
        (
            "ruby",
            f"I, [2023-11-14T22:13:19.500000 #8]  INFO {ID} -- app: hello",
            f"I, [2023-11-14T22:13:19.500000 #8]  INFO {ID} -- app: hello",
            (9, "INFO"),
            ID,
            AT_NS,
        ),
        (
            "logging.basicConfig",
            "ERROR:root:it broke",
            "ERROR:root:it broke",
            (17, "ERROR"),
            "",
            AT_NS,
        ),
        ("go, log", "2023/11/14 22:13:19 hello", "2023/11/14 22:13:19 hello", (0, ""), "", AT_NS),
        (
            "go, slog text",
            "time=2023-11-14T22:13:19Z level=INFO msg=x",
            "time=2023-11-14T22:13:19Z level=INFO msg=x",
            (0, ""),
            "",
            AT_NS,
        ),
        ("prose", "we are in DEBUG mode", "we are in DEBUG mode", (0, ""), "", AT_NS),
        ("prose with an id", f"order {ID} came", f"order {ID} came", (0, ""), ID, AT_NS),
        ("not the columns", "a\tb\tc\td", "a\tb\tc\td", (0, ""), "", AT_NS),
        ("not JSON", "{hello}", "{hello}", (0, ""), "", AT_NS),
    ],
)
def test_a_line_of_text(
    form: str, line: str, body: str, severity: tuple[int, str], request_id: str, time_ns: int
) -> None:
    found = printed(line)
    log = found.log
    said = (log.body, (log.severity, log.severity_text), request_id_of(found))
    assert said == (body, severity, request_id), form
    assert (log.time_ns, log.observed_ns) == (time_ns, RECEIVED_NS)
    assert log.attributes == {}


@pytest.mark.parametrize(
    ("form", "record", "body", "severity", "request_id", "attributes"),
    [
        (
            "python",
            {
                "timestamp": "2023-11-14T22:13:19.500Z",
                "level": "WARNING",
                "message": "hi",
                "logger": "root",
                "requestId": ID,
            },
            "hi",
            (13, "WARNING"),
            ID,
            {"logger": "root"},
        ),
        (
            "node",
            {
                "timestamp": "2023-11-14T22:13:19.500Z",
                "level": "FATAL",
                "requestId": ID,
                "message": {"a": [1]},
            },
            {"a": [1]},
            (21, "FATAL"),
            ID,
            {},
        ),
        (
            "java",
            {
                "timestamp": "2023-11-14T22:13:19.500Z",
                "level": "UNDEFINED",
                "message": "hi",
                "AWSRequestId": ID,
            },
            "hi",
            (0, "UNDEFINED"),
            ID,
            {},
        ),
        (
            ".NET",
            {
                "timestamp": "2023-11-14T22:13:19.500Z",
                "level": "Information",
                "requestId": ID,
                "message": "hi",
                "Name": "x",
            },
            "hi",
            (9, "Information"),
            ID,
            {"Name": "x"},
        ),
        (
            "ruby",
            {
                "timestamp": "2023-11-14T22:13:19.500000Z",
                "level": "ANY",
                "message": None,
                "requestId": ID,
            },
            None,
            (0, "ANY"),
            ID,
            {},
        ),
        (
            "go, slog",
            {"time": "2023-11-14T22:13:19.5Z", "level": "ERROR", "msg": "no", "n": 3},
            "no",
            (17, "ERROR"),
            "",
            {"n": 3},
        ),
        (
            "powertools",
            {
                "timestamp": "2023-11-14 22:13:19,500",
                "level": "INFO",
                "message": "hi",
                "function_request_id": ID,
            },
            "hi",
            (9, "INFO"),
            ID,
            {},
        ),
        ("pino", {"time": 1699999999500, "level": 50, "msg": "no"}, "no", (17, "50"), "", {}),
        ("zap", {"ts": 1699999999.5, "level": "warn", "msg": "no"}, "no", (13, "warn"), "", {}),
        (
            "no message",
            {"timestamp": 1699999999500, "level": "info", "count": 1, "ok": True},
            {"count": 1, "ok": True},
            (9, "info"),
            "",
            {},
        ),
        (
            "an error",
            {
                "timestamp": "2023-11-14T22:13:19.500Z",
                "level": "ERROR",
                "message": "no",
                "errorType": "ValueError",
                "errorMessage": "no",
                "stackTrace": ["a", "b"],
            },
            "no",
            (17, "ERROR"),
            "",
            {
                "exception.type": "ValueError",
                "exception.message": "no",
                "exception.stacktrace": "a\nb",
            },
        ),
    ],
)
def test_an_object(
    form: str,
    record: dict[str, Any],
    body: Any,
    severity: tuple[int, str],
    request_id: str,
    attributes: dict[str, Any],
) -> None:
    found = printed(record)
    log = found.log
    said = (log.body, (log.severity, log.severity_text), request_id_of(found))
    assert said == (body, severity, request_id), form
    assert (log.time_ns, log.observed_ns) == (OWN_NS, RECEIVED_NS)
    assert log.attributes == attributes


def test_what_has_the_name_of_a_time_or_a_level_and_is_none_stays_an_attribute() -> None:
    found = printed(
        {
            "message": "took",
            "time": 153,
            "ts": OWN_NS / 1e9,
            "level": {"of": "water"},
            "requestId": 7,
        }
    )
    assert (found.log.time_ns, found.log.severity, request_id_of(found)) == (OWN_NS, 0, "")
    assert found.log.attributes == {"time": 153, "level": {"of": "water"}, "requestId": 7}


def test_a_json_object_in_a_line_of_text_is_an_object() -> None:
    found = printed(f'{{"level":"error","message":"no","requestId":"{ID}","n":1}}\n')
    assert (found.log.body, found.log.severity, request_id_of(found)) == ("no", 17, ID)
    assert found.log.attributes == {"n": 1}


@pytest.mark.parametrize(
    ("named", "ids", "left"),
    [
        ({"trace_id": TRACE_ID, "span_id": SPAN_ID}, (TRACE_ID, SPAN_ID), {}),
        ({"traceId": TRACE_ID.upper(), "spanId": SPAN_ID.upper()}, (TRACE_ID, SPAN_ID), {}),
        (
            {"otelTraceID": TRACE_ID, "otelSpanID": "0", "otelTraceSampled": True},
            (TRACE_ID, ""),
            {"otelSpanID": "0", "otelTraceSampled": True},
        ),
        (
            {"traceId": f"Root=1-{TRACE_ID[:8]}-{TRACE_ID[8:]};Parent={SPAN_ID};Sampled=1"},
            (TRACE_ID, SPAN_ID),
            {},
        ),
        ({"xray_trace_id": f"1-{TRACE_ID[:8]}-{TRACE_ID[8:]}"}, (TRACE_ID, ""), {}),
        (
            {"trace_id": "0" * 32, "span_id": SPAN_ID},
            ("", ""),
            {"trace_id": "0" * 32, "span_id": SPAN_ID},
        ),
        ({"dd.trace_id": "4949"}, ("", ""), {"dd.trace_id": "4949"}),
        ({"trace_id": 7}, ("", ""), {"trace_id": 7}),
        ({"traceId": "Root=x;Parent"}, ("", ""), {"traceId": "Root=x;Parent"}),
    ],
)
def test_a_record_that_names_its_own_span_keeps_it(
    named: dict[str, Any], ids: tuple[str, str], left: dict[str, Any]
) -> None:
    found = printed({"message": "hi", **named})
    assert (found.log.trace_id_hex, found.log.span_id_hex) == ids
    assert found.has_span == bool(ids[1])
    assert found.log.attributes == left


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("TRACE", (1, "TRACE")), ("debug", (5, "debug")), ("Information", (9, "Information")), ("notice", (9, "notice")),
        ("warn", (13, "warn")), ("WARNING", (13, "WARNING")), ("err", (17, "err")), ("Error", (17, "Error")),
        ("Critical", (21, "Critical")), ("panic", (21, "panic")), ("NOTSET", (0, "NOTSET")), ("", (0, "")),
        (10, (1, "10")), (60, (21, "60")), (35, (0, "35")), (None, (0, "")), (True, (0, "")), ([], (0, "")),
    ],
)  # fmt: skip
def test_the_words_and_numbers_of_runtimes_and_loggers(
    value: Any, expected: tuple[int, str]
) -> None:
    assert severity_of(value) == expected


@pytest.mark.parametrize("record", ["", "\n", "  \r\n", None])
def test_an_empty_line_is_no_record(record: Any) -> None:
    assert read(Event(AT_NS, "function", record), RECEIVED_NS, Reader()) is None


def test_more_attributes_than_a_record_may_have_are_counted() -> None:
    found = printed({"message": "hi", **{f"a{number}": number for number in range(200)}})
    assert (len(found.log.attributes), found.log.dropped_attributes) == (128, 72)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
NAMES = st.sampled_from(
    [
        "level",
        "message",
        "timestamp",
        "requestId",
        "trace_id",
        "spanId",
        "errorType",
        "stackTrace",
        "x",
    ]
)


@given(st.one_of(JSON, st.text(), st.dictionaries(NAMES, JSON)))
def test_nothing_that_a_function_prints_raises(record: Any) -> None:
    read(Event(AT_NS, "function", record), RECEIVED_NS, Reader())
