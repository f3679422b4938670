"""A batch of the Telemetry API, read record by record."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.telemetry import json_text
from lrap_otel.telemetry.platform.batches import Event, Reader

# 2023-11-14T22:13:20Z
RECEIVED_NS = 1_700_000_000_000_000_000
GOOD = b'{"time":"2022-10-12T00:00:15.064Z","type":"platform.start","record":{"requestId":"a"}}'


def read(body: bytes) -> tuple[list[Event], int]:
    return Reader().read(body, RECEIVED_NS)


def ns(text: str) -> int:
    when = datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
    return int(when.timestamp()) * 10**9 + when.microsecond * 1_000


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2022-10-12T00:00:15.064Z", ns("2022-10-12T00:00:15.064000")),
        ("2022-10-12T00:00:15Z", ns("2022-10-12T00:00:15")),
        ("2022-10-12T00:00:15.064123Z", ns("2022-10-12T00:00:15.064123")),
        ("2022-10-12T00:00:15.064123456Z", ns("2022-10-12T00:00:15.064123") + 456),
        ("2022-10-12T00:00:15,064Z", ns("2022-10-12T00:00:15.064000")),
        ("2022-10-12T02:00:15.064+02:00", ns("2022-10-12T00:00:15.064000")),
        ("2022-10-12T00:00:15.064+0000", ns("2022-10-12T00:00:15.064000")),
        ("2022-10-12 00:00:15.064", ns("2022-10-12T00:00:15.064000")),
        # The documentation's own examples of extensions' logs.
        ("12:01:23:521Z", ns("2023-11-14T12:01:23.521000")),
        ("12:01:23.521Z", ns("2023-11-14T12:01:23.521000")),
        # Before midnight, heard of after it.
        ("22:13:19:000Z", RECEIVED_NS - 10**9),
        (1_665_532_815_064, ns("2022-10-12T00:00:15.064000")),
    ],
)
def test_a_time_in_any_form_that_is_documented_is_read(value: Any, expected: int) -> None:
    (event,), malformed = read(
        json.dumps([{"time": value, "type": "function", "record": ""}]).encode()
    )
    assert (event.at_ns, malformed) == (expected, 0)


def test_a_time_of_day_just_before_midnight_is_yesterdays() -> None:
    midnight_ns = ns("2023-11-14T00:00:01")
    (event,), _ = Reader().read(
        b'[{"time":"23:59:59:500Z","type":"function","record":""}]', midnight_ns
    )
    assert event.at_ns == ns("2023-11-13T23:59:59.500000")


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "now",
        "2022-13-12T00:00:15Z",
        "2022-10-12T25:00:15Z",
        "12:01",
        "25:01:23:521Z",
        "12:01:23:x",
        -1,
        5,
        1e300,
        5e13,
        "9999-12-31T23:59:59Z",
        True,
        [],
        {},
        "१२:०१:२३:५२१Z",
    ],
)
def test_a_time_that_cannot_be_read_is_when_it_came(value: Any) -> None:
    (event,), malformed = read(
        json.dumps([{"time": value, "type": "function", "record": "x"}]).encode()
    )
    assert (event.at_ns, event.record, malformed) == (RECEIVED_NS, "x", 0)


def test_types_and_words_that_nobody_knows_are_kept_as_they_are() -> None:
    body = b'[{"time":1,"type":"platform.somethingNew","record":{"status":"odd","initializationType":"native-http"}}]'
    (event,), _ = read(body)
    assert (event.kind, event.members["initializationType"]) == (
        "platform.somethingNew",
        "native-http",
    )


@pytest.mark.parametrize(
    ("body", "kinds", "malformed"),
    [
        (b"[]", [], 0),
        (b"[" + GOOD + b"]", ["platform.start"], 0),
        (b"[" + GOOD + b",\n" + GOOD + b"]", ["platform.start"] * 2, 0),
        (b"[" + GOOD + b',{"time" oops},' + GOOD + b"]", ["platform.start"] * 2, 1),
        (
            b'[{"time":"x","type":"function","record":"cut' + b"," + GOOD + b"]",
            ["platform.start"],
            1,
        ),
        (b"[" + GOOD + b"," + GOOD[:40], ["platform.start"], 1),
        (b"[" + GOOD + b",1,null,[],{}," + GOOD + b"]", ["platform.start"] * 2, 4),
        (b'[{"type":7,"record":""}]', [], 1),
        (GOOD, ["platform.start"], 0),
        (b"", [], 1),
        (b"[", [], 1),
        (b"null", [], 1),
        (b"\xff\xfe", [], 1),
        (b"[" * 100_000, [], 1),
    ],
)
def test_a_record_that_cannot_be_read_costs_no_other(
    body: bytes, kinds: list[str], malformed: int
) -> None:
    events, lost = read(body)
    assert ([event.kind for event in events], lost) == (kinds, malformed)


def test_bytes_that_are_no_utf_8_stay_in_their_record() -> None:
    events, malformed = read(b'[{"time":1,"type":"function","record":"a\xffb"},' + GOOD + b"]")
    assert (events[0].record, len(events), malformed) == ("a�b", 2, 0)


@given(st.binary(max_size=300))
def test_no_bytes_raise(body: bytes) -> None:
    read(body)
    read(b"[" + GOOD + body)


@given(st.lists(st.one_of(st.text(), st.dictionaries(st.text(), st.integers()))))
def test_every_record_comes_back_whole(values: list[Any]) -> None:
    body = json.dumps(
        [{"time": "2022-10-12T00:00:15Z", "type": "function", "record": each} for each in values]
    )
    events, malformed = read(body.encode())
    assert ([event.record for event in events], malformed) == (values, 0)


def test_of_a_batch_that_is_no_json_all_is_counted_and_little_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scanned = []

    def scan(text: str, position: int) -> Any:
        scanned.append(position)
        return real(text, position)

    real = json_text._scan
    monkeypatch.setattr(json_text, "_scan", scan)
    events, malformed = read(b"[" + GOOD + b"," + b'{"time":' * 50_000)
    assert ([event.kind for event in events], malformed) == (["platform.start"], 50_000)
    assert len(scanned) < 200
