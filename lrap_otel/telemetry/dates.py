"""Dates of the Gregorian calendar in UTC. `datetime` and `calendar` take milliseconds to import."""

from time import gmtime

_DAYS_BEFORE_MONTH = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365)
_DAYS_BEFORE_1970 = 719_162


def days_since_1970(year: int, month: int, day: int) -> int | None:
    """Days from 1 January 1970 to this date, negative before it; None if there is no such date."""
    if year < 1 or not 1 <= month <= 12:
        return None
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    before_month = _DAYS_BEFORE_MONTH[month - 1]
    month_days = _DAYS_BEFORE_MONTH[month] - before_month + (is_leap and month == 2)
    if not 1 <= day <= month_days:
        return None
    before = year - 1
    days_of_years = before * 365 + before // 4 - before // 100 + before // 400
    return days_of_years - _DAYS_BEFORE_1970 + before_month + (is_leap and month > 2) + day - 1


def to_iso(seconds: float | None) -> str:
    """Unix time as ISO 8601 in UTC, with milliseconds if there are any; empty for None and beyond
    the years 1 to 9999.
    """
    if seconds is None:
        return ""
    whole_s, milliseconds = divmod(round(seconds * 1_000), 1_000)
    try:
        year, month, day, hour, minute, second, *_ = gmtime(whole_s)
    except (OverflowError, OSError):
        return ""
    if not 1 <= year <= 9_999:
        return ""
    fraction = f".{milliseconds:03}" if milliseconds else ""
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z"
