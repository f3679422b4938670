"""When an event was made, as its source writes it: always Unix seconds here. What cannot be read is None."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

# Of the clocks of the fleet that wrote the time and the one that delivered the event.
CLOCK_SKEW_S = 1.0
# Kinesis keeps a record for 365 days, no queue longer. Beyond that it is a made-up time: the console's test events are
# of 1970 and 2015.
LONGEST_AGE_S = 366 * 86_400.0

_NUMBERS = frozenset({int, float})
_NANOSECONDS_PER_SECOND = 1_000_000_000
# What follows the seconds.
_FRACTION_AND_ZONE = re.compile(r"(\.[0-9]{1,9})?(?:Z|([+-])([0-9]{2}):?([0-9]{2}))")
_SECONDS_END = len("2026-11-22T18:00:00")


def from_seconds(value: Any) -> float | None:
    """A number of seconds."""
    return float(value) if type(value) in _NUMBERS and 0 < value < 1e11 else None


def from_milliseconds(value: Any) -> float | None:
    """A number of milliseconds, or its digits."""
    if isinstance(value, str):
        value = int(value) if len(value) < 18 and value.isascii() and value.isdigit() else 0
    return value / 1e3 if type(value) in _NUMBERS and 0 < value < 1e14 else None


def from_microseconds(value: Any) -> float | None:
    """A number of microseconds, or its digits."""
    if isinstance(value, str):
        value = int(value) if len(value) < 18 and value.isascii() and value.isdigit() else 0
    return value / 1e6 if type(value) in _NUMBERS and 0 < value < 1e17 else None


def from_iso(value: Any) -> float | None:
    """ISO 8601 with a zone: ``2026-11-22T18:00:00Z``, ``…:00.123Z``, ``…+0000``."""
    # From 3.11 on, Python reads other forms as well; a source that writes those is another one than we think.
    if not isinstance(value, str) or value[4:17:3] != "--T::":
        return None
    rest = _FRACTION_AND_ZONE.fullmatch(value, _SECONDS_END)
    if rest is None:
        return None
    try:
        seconds = datetime.fromisoformat(value[:_SECONDS_END] + "+00:00").timestamp()
    except ValueError:
        return None
    fraction, sign, hours, minutes = rest.groups()
    if fraction:
        seconds += float(fraction)
    if sign:
        seconds -= (int(hours) * 3_600 + int(minutes) * 60) * (-1 if sign == "-" else 1)
    return seconds


def to_iso(seconds: float | None) -> str:
    """ISO 8601 in UTC, with milliseconds where there are some; empty for None and beyond the calendar."""
    if seconds is None:
        return ""
    try:
        moment = datetime(1970, 1, 1) + timedelta(milliseconds=round(seconds * 1_000))  # noqa: DTZ001 - UTC by construction
    except OverflowError:
        return ""
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds") + "Z"


def oldest(times: Iterable[float | None]) -> float | None:
    """The earliest of those that are known."""
    return min((time for time in times if time is not None), default=None)


def age_s(made_s: float | None, now_ns: int) -> float | None:
    """How old what was made at `made_s` is at `now_ns` (Unix time), to the millisecond; None where nobody can tell.

    A little less than nothing is nothing: two clocks differ. More than that, or more than any source keeps an event, is
    no age: the time is another one than we think.
    """
    if made_s is None:
        return None
    age = now_ns / _NANOSECONDS_PER_SECOND - made_s
    return round(max(age, 0.0), 3) if -CLOCK_SKEW_S <= age <= LONGEST_AGE_S else None
