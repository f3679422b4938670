"""When what failed is tried again."""

from __future__ import annotations

from datetime import datetime, timezone
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.telemetry.export.retry import (
    FIRST_S,
    LONGEST_ASKED_S,
    LONGEST_S,
    BackOff,
    chance,
    parse_http_date,
    parse_retry_after,
)

if TYPE_CHECKING:
    from collections.abc import Callable

NOW_S = 1_795_300_000.0
DATES = st.datetimes(datetime(1970, 1, 1), datetime(2099, 1, 1), timezones=st.just(timezone.utc))  # noqa: DTZ001 - the bounds of a strategy are naive


class Time:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def waits(of: BackOff, time: Time, count: int) -> list[float]:
    """How long each of so many pauses is, by trying every tenth of a second."""
    found = []
    for _ in range(count):
        of.fail()
        begun_s = time.now
        while not of.is_over:
            time.now += 0.1
        found.append(time.now - begun_s)
    return found


@pytest.mark.parametrize(("luck", "factor"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)])
def test_each_pause_is_twice_as_long_as_the_last_give_or_take_a_fifth(
    luck: float, factor: float
) -> None:
    time = Time()
    found = waits(BackOff(time, lambda: luck), time, 4)
    assert found == [pytest.approx(factor * FIRST_S * 2**number, abs=0.11) for number in range(4)]


def test_pauses_have_a_limit_and_a_success_ends_them() -> None:
    time = Time()
    back_off = BackOff(time, lambda: 0.5)
    assert max(waits(back_off, time, 12)) == pytest.approx(LONGEST_S, abs=0.11)
    back_off.succeed()
    assert back_off.is_over
    assert waits(back_off, time, 1) == [pytest.approx(FIRST_S, abs=0.11)]


def test_ten_thousand_failures_are_no_overflow() -> None:
    back_off = BackOff(Time(), lambda: 0.5)
    for _ in range(10_000):
        back_off.fail()
    assert not back_off.is_over


def test_what_the_collector_asks_for_comes_before_our_own() -> None:
    time = Time()
    back_off = BackOff(time, lambda: 0.5)
    back_off.fail(7.0)
    time.now += 6.9
    assert not back_off.is_over
    time.now += 0.2
    assert back_off.is_over


def test_a_collector_that_asks_for_a_year_gets_five_minutes() -> None:
    time = Time()
    back_off = BackOff(time, lambda: 0.5)
    back_off.fail(365 * 86_400.0)
    time.now += LONGEST_ASKED_S
    assert back_off.is_over


def test_chances_differ() -> None:
    found = {chance() for _ in range(100)}
    assert len(found) > 50
    assert all(0 <= one <= 1 for one in found)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 5 ", 5.0),
        ("0", 0.0),
        ("", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("+5", 0.0),
        ("1.5", 0.0),
        ("1_0", 0.0),
        ("\u0665", 0.0),
        ("9" * 5_000, LONGEST_ASKED_S),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        (format_datetime(datetime.fromtimestamp(NOW_S + 90, timezone.utc), usegmt=True), 90.0),
    ],
)
def test_a_retry_after_is_seconds_or_a_date_and_nonsense_is_none(
    value: str, seconds: float
) -> None:
    assert parse_retry_after(value, lambda: NOW_S) == seconds


def rfc_850(date: datetime) -> str:
    return date.strftime("%A, %d-%b-%y %H:%M:%S GMT")


def asctime(date: datetime) -> str:
    return date.ctime()


def imf(date: datetime) -> str:
    return format_datetime(date, usegmt=True)


@given(DATES)
@pytest.mark.parametrize("write", [imf, asctime])
def test_dates_are_read_as_the_standard_library_reads_them(
    write: Callable[[datetime], str], date: datetime
) -> None:
    text = write(date)
    oracle = parsedate_to_datetime(text).replace(tzinfo=timezone.utc)
    assert (
        parse_http_date(text, NOW_S)
        == oracle.timestamp()
        == date.replace(microsecond=0).timestamp()
    )


@given(st.datetimes(datetime(1977, 1, 1), datetime(2076, 12, 31), timezones=st.just(timezone.utc)))  # noqa: DTZ001 - see above
def test_a_year_of_two_digits_is_at_most_fifty_years_ahead(date: datetime) -> None:
    assert parse_http_date(rfc_850(date), NOW_S) == date.replace(microsecond=0).timestamp()


@pytest.mark.parametrize(
    "value",
    [
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Now 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 199999999999 08:49:37 GMT",
        "Sun, \u0666 Nov 1994 08:49:37 GMT",
    ],
)
def test_what_is_no_date_is_none(value: str) -> None:
    assert parse_http_date(value, NOW_S) is None


@given(st.text(max_size=60))
def test_no_text_raises(value: str) -> None:
    assert parse_retry_after(value, lambda: NOW_S) >= 0.0
