"""How old an event was when the function got it: by which of its times, and what counts
as no age.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.telemetry.triggers import times
from tests.telemetry.proxy_records import DELIVERED_NS, delivered, finished
from tests.telemetry.telemetry_thread import plain
from tests.telemetry.trigger_events import of, of_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    Trace = Callable[..., Span]

DELIVERED_S = DELIVERED_NS // 1_000_000_000


@pytest.mark.parametrize(
    ("name", "made_s"),
    [
        ("apigw-request", 1589522469.693),
        ("apigw-v2-request-iam", 1583348638.39),
        ("apigw-v2-custom-authorizer-v2-request", 1583348638.39),
        ("apigw-websocket-request-send-message", 1705751700.453),
        ("lambda-urls-request", 1583348638.39),
        ("sqs-event", 1520621625.029),
        ("sns-event", 1433353407.123),
        ("ecr-image-push-event", 1573869274),
        ("kinesis-event", 1480641523.477),
        ("kinesis-firehose-event", 1507217624.302),
        ("kafka-event", 1595035749.7),
        ("activemq-event", 1599863938.941),
        ("dynamodb-event", 1480642020),
        ("s3-event", 0.123),
        ("code-commit-event", 1516982313.475),
        ("config-event", 1456338200.328),
        ("ses-lambda-event", 0.123),
        ("iot-1-click-event", 1525476393.747),
        ("cloudwatch-logs-event", 1440442987),
        # These do not tell; RabbitMQ's time is written for people, without a zone.
        ("alb-lambda-target-request-headers-only", None),
        ("apigw-custom-auth-request", None),
        ("appsync-lambda-auth-request", None),
        ("rabbitmq-event", None),
        ("cognito-event-userpools-presignup", None),
        ("s3-batch-job-event-request-2.0", None),
    ],
)
def test_when_a_real_event_was_made(name: str, made_s: float | None) -> None:
    assert of_file(name).made_s == made_s


@pytest.mark.parametrize(
    ("event", "made_s"),
    [
        (
            {
                "source": "aws.events",
                "detail-type": "Scheduled Event",
                "time": "2026-11-22T18:00:00Z",
            },
            1_795_370_400,
        ),
        (
            {
                "source": "aws.cloudwatch",
                "alarmArn": "a",
                "alarmData": {},
                "time": "2026-11-22T18:00:00.490+0000",
            },
            1_795_370_400.49,
        ),
        (
            {"requestPayload": {}, "responseContext": {}, "timestamp": "2026-11-22T18:00:00.568Z"},
            1_795_370_400.568,
        ),
        (
            {
                "path": "/",
                "method": "GET",
                "requestContext": {"serviceNetworkArn": "a", "timeEpoch": "1795370400177430"},
            },
            1_795_370_400.17743,
        ),
    ],
)
def test_when_a_documented_event_was_made(event: dict[str, Any], made_s: float) -> None:
    assert of(event).made_s == made_s


def test_a_batch_is_as_old_as_its_oldest_record() -> None:
    sent = ["1795370400300", "1795370400100", "x", "1795370400200"]
    records = [{"eventSource": "aws:sqs", "attributes": {"SentTimestamp": each}} for each in sent]

    assert of({"Records": records}).made_s == 1_795_370_400.1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-22T18:00:00Z", 1_795_370_400),
        ("2026-11-22T18:00:00.5Z", 1_795_370_400.5),
        ("2026-11-22T18:00:00.123456789Z", 1_795_370_400.123456789),
        ("2026-11-22T18:00:00+0000", 1_795_370_400),
        ("2026-11-22T19:30:00+01:30", 1_795_370_400),
        ("2026-11-22T16:00:00-0200", 1_795_370_400),
        # Without a zone nobody knows; the others are no times.
        ("2026-11-22T18:00:00", None),
        ("2026-13-22T18:00:00Z", None),
        ("2026-W47-7T18:00:00Z", None),
        ("2026-11-22T180000.1Z", None),
        ("20261122T18000000.1Z", None),
        ("2026-11-22T18:00:60Z", None),
        ("\u0662\u0660\u0662\u0666-11-22T18:00:00Z", None),
        ("2026-11-22", None),
        (5, None),
    ],
)
def test_iso_8601_is_read(text: object, seconds: float | None) -> None:
    assert times.from_iso(text) == seconds


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1)),  # noqa: DTZ001 - the zone is drawn too
    st.integers(-14 * 60, 14 * 60),
)
def test_every_time_is_read_as_python_writes_it(moment: datetime, minutes: int) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))

    assert times.from_iso(zoned.isoformat()) == pytest.approx(zoned.timestamp(), abs=1e-5)


@pytest.mark.parametrize(
    "value",
    [None, True, "", "x", "\u0663", -5, 0, 10**400, float("inf"), float("nan"), [], {}, "9" * 40],
)
def test_what_is_no_number_of_seconds_is_no_time(value: object) -> None:
    readers = (times.from_seconds, times.from_milliseconds, times.from_microseconds, times.from_iso)

    assert [reader(value) for reader in readers] == [None] * 4


@pytest.mark.parametrize(
    ("seconds_before", "age"),
    [
        (0.0, 0.0),
        (0.0426, 0.043),
        (90.0, 90.0),
        # Two clocks differ a little.
        (-0.2, 0.0),
        # This is no clock's error, and the console's test events are of 1970 and 2015.
        (-3_600.0, None),
        (400 * 86_400.0, None),
        (float(DELIVERED_S), None),
    ],
)
def test_an_age_is_sane_or_none(seconds_before: float, age: float | None) -> None:
    assert times.age_s(DELIVERED_S - seconds_before, DELIVERED_NS) == age


def test_the_age_of_an_event_is_on_its_span_in_seconds(trace: Trace) -> None:
    sent = {"SentTimestamp": str(DELIVERED_S * 1_000 - 1_250)}
    event = {"Records": [{"eventSource": "aws:sqs", "attributes": sent}]}

    attributes = plain(trace(delivered(json.dumps(event).encode()), finished()).attributes)

    assert attributes["lrap.event.age"] == 1.25
    assert attributes["lrap.trigger"] == "sqs"


def test_an_event_of_unknown_age_has_none(trace: Trace) -> None:
    attributes = plain(
        trace(delivered(b'{"Records":[{"eventSource":"aws:sqs"}]}'), finished()).attributes
    )

    assert "lrap.event.age" not in attributes
