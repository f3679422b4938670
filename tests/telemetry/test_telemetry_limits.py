"""OpenTelemetry's span limits: what they cut, and that a span says what they left out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.telemetry.proxy_records import delivered, finished
from tests.telemetry.telemetry_thread import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    Trace = Callable[..., Span]

ERROR = b'{"errorType":"ValueError","errorMessage":"a long message","stackTrace":["a stack"]}'
URL = {
    "version": "2.0",
    "routeKey": "GET /a/long/route/{of}/words",
    "rawPath": "/a/long/route/of/words",
    "requestContext": {"http": {"method": "GET"}},
}
LINKED = {
    "Records": [
        {
            "messageId": f"m{number}",
            "eventSource": "aws:sqs",
            "messageAttributes": {
                "traceparent": {
                    "stringValue": f"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902{number:02x}-01"
                }
            },
        }
        for number in range(1, 4)
    ]
}


def test_a_length_limit_cuts_attributes_and_nothing_else(trace: Trace) -> None:
    span = trace(
        delivered(json.dumps(URL).encode()),
        finished(ERROR, "error"),
        OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT="5",
    )

    assert span.name == "/a/long/route/{of}/words"
    assert span.status.message == "a long message"
    assert all(
        len(value) <= 5 for value in plain(span.attributes).values() if isinstance(value, str)
    )
    assert plain(span.events[0].attributes)["exception.message"] == "a lon"
    assert span.dropped_attributes_count == 0


def test_the_attributes_that_are_too_many_are_counted(trace: Trace) -> None:
    whole = trace(delivered(json.dumps(URL).encode()), finished())
    cut = trace(
        delivered(json.dumps(URL).encode()), finished(), OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="3"
    )

    assert [each.key for each in cut.attributes] == [each.key for each in whole.attributes][:3]
    assert cut.dropped_attributes_count == len(whole.attributes) - 3
    assert whole.dropped_attributes_count == 0


def test_the_links_that_are_too_many_are_counted(trace: Trace) -> None:
    span = trace(delivered(json.dumps(LINKED).encode()), finished(), OTEL_SPAN_LINK_COUNT_LIMIT="2")

    assert [link.span_id[-1] for link in span.links] == [1, 2]
    assert span.dropped_links_count == 1


@pytest.mark.parametrize(("limit", "kept"), [("0", 0), ("1", 1)])
def test_the_attributes_of_links_and_events_have_limits_of_their_own(
    trace: Trace, limit: str, kept: int
) -> None:
    span = trace(
        delivered(json.dumps(LINKED).encode()),
        finished(ERROR, "error"),
        OTEL_LINK_ATTRIBUTE_COUNT_LIMIT=limit,
        OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT=limit,
    )

    (event,) = span.events
    assert (len(event.attributes), event.dropped_attributes_count) == (kept, 3 - kept)
    assert [(len(link.attributes), link.dropped_attributes_count) for link in span.links] == [
        (kept, 1 - kept)
    ] * 3


def test_an_event_that_is_too_many_is_counted(trace: Trace) -> None:
    span = trace(delivered(), finished(ERROR, "error"), OTEL_SPAN_EVENT_COUNT_LIMIT="0")

    assert list(span.events) == []
    assert span.dropped_events_count == 1
