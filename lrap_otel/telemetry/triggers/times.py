"""When an event was made, in the notations of all sources, as Unix seconds. What cannot be read is
None.
"""

from __future__ import annotations

from lrap_otel.telemetry.dates import days_since_1970

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

# Between the clock that wrote the time and the clock that delivered the event.
CLOCK_SKEW_S = 1.0
# Kinesis keeps a record for 365 days, longer than any queue. An older time is made up: the
# console's test events are of 1970 and 2015.
LONGEST_AGE_S = 366 * 86_400.0

_NUMBERS = frozenset({int, float})
_NANOSECONDS_PER_SECOND = 1_000_000_000
_FORM = "0000-00-00T00:00:00"


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
    if not isinstance(value, str) or not value.isascii():
        return None
    seconds = _calendar_seconds(value[: len(_FORM)])
    digits, zone = _split_fraction(value[len(_FORM) :])
    offset_s = _zone_seconds(zone)
    if seconds is None or digits is None or offset_s is None:
        return None
    return seconds + float(f"0.{digits or 0}") - offset_s


def _calendar_seconds(text: str) -> float | None:
    """The seconds of ``2026-11-22T18:00:00``; None if the text has another form or there is no such
    moment.
    """
    if "".join("0" if character.isdigit() else character for character in text) != _FORM:
        return None
    hour, minute, second = int(text[11:13]), int(text[14:16]), int(text[17:])
    days = days_since_1970(int(text[:4]), int(text[5:7]), int(text[8:10]))
    if days is None or hour >= 24 or minute >= 60 or second >= 60:
        return None
    return float(days * 86_400 + hour * 3_600 + minute * 60 + second)


def _split_fraction(rest: str) -> tuple[str | None, str]:
    """The digits of a fraction of seconds, and what follows them. The digits are empty if there is
    no fraction, None if it is malformed.
    """
    if not rest.startswith("."):
        return "", rest
    zone = rest[1:].lstrip("0123456789")
    digits = rest[1 : len(rest) - len(zone)]
    return (digits if 1 <= len(digits) <= 9 else None), zone


def _zone_seconds(zone: str) -> int | None:
    """The offset in ``Z``, ``+0100`` or ``+01:00``; None if it is malformed."""
    if zone == "Z":
        return 0
    digits = zone[1:3] + zone[-2:]
    if (
        zone[:1] not in {"+", "-"}
        or zone[3:-2] not in {"", ":"}
        or len(zone) < 5
        or not digits.isdigit()
    ):
        return None
    seconds = int(digits[:2]) * 3_600 + int(digits[2:]) * 60
    return -seconds if zone[0] == "-" else seconds


def oldest(times: Iterable[float | None]) -> float | None:
    """The earliest of the times that are known."""
    return min((time for time in times if time is not None), default=None)


def age_s(made_s: float | None, now_ns: int) -> float | None:
    """The age at `now_ns` (Unix time) of something made at `made_s`, to the millisecond; None if it
    is unknown.

    A time slightly in the future is 0: two clocks differ. A later one, or one older than any source
    keeps events, is not the time of the event: None.
    """
    if made_s is None:
        return None
    age = now_ns / _NANOSECONDS_PER_SECOND - made_s
    return round(max(age, 0.0), 3) if -CLOCK_SKEW_S <= age <= LONGEST_AGE_S else None
