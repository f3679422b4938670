"""When a request that failed may be made again."""

import posix
from time import monotonic, time

from lrap_otel.telemetry.dates import days_since_1970

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# OpenTelemetry's Python exporter begins with one second, too. The longest is still short beside
# a sandbox's life.
FIRST_S = 1.0
LONGEST_S = 60.0
# A collector may ask for more patience than that, within reason: what waits takes memory.
LONGEST_ASKED_S = 300.0
_JITTER = 0.2
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY_S = 86_400


def chance() -> float:
    """A random number from 0 to 1."""
    return int.from_bytes(posix.urandom(2), "big") / 65_535


class BackOff:
    """The waits between attempts that fail one after the other: each twice as long as the last."""

    __slots__ = ("_chance", "_failures", "_now_s", "_until_s")

    def __init__(
        self, now_s: "Callable[[], float]" = monotonic, chance: "Callable[[], float]" = chance
    ) -> None:
        """`now_s` also runs while the sandbox is frozen: the collector's time does not stop."""
        self._now_s = now_s
        self._chance = chance
        self._failures = 0
        self._until_s = 0.0

    @property
    def is_over(self) -> bool:
        """Whether the next attempt may be made."""
        return self._failures == 0 or self._now_s() >= self._until_s

    def fail(self, asked_s: float = 0.0) -> None:
        """An attempt failed, and the collector asked for `asked_s` seconds, if not 0."""
        wait_s = min(LONGEST_S, FIRST_S * 2.0 ** min(self._failures, 16))
        wait_s *= 1 - _JITTER + 2 * _JITTER * self._chance()
        self._failures += 1
        self._until_s = self._now_s() + (min(asked_s, LONGEST_ASKED_S) if asked_s > 0 else wait_s)

    def succeed(self) -> None:
        """An attempt did not fail."""
        self._failures = 0


def parse_retry_after(value: str, now_s: "Callable[[], float]" = time) -> float:
    """The seconds that a ``Retry-After`` field asks for: 0.0 for none, the past, and nonsense.

    Source: RFC 9110, 10.2.3.
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        # Longer numbers would only be cut off as well, and int() is slow for thousands of digits.
        return float(value) if len(value) < 16 else LONGEST_ASKED_S
    date_s = parse_http_date(value, now_s())
    return max(0.0, date_s - now_s()) if date_s is not None else 0.0


def parse_http_date(value: str, now_s: float) -> float | None:
    """An HTTP date in any of its three forms, as Unix seconds; None if it is none of them.

    `now_s` decides the century of RFC 850's two digits: at most 50 years ahead.

    Source: RFC 9110, 5.6.7.
    """
    parts = value.replace("-", " ").replace(",", " ").split()
    if len(parts) == 5:
        _, month, day, clock, year = parts  # asctime's
    elif len(parts) == 6 and parts[5].upper() in {"GMT", "UTC"}:
        _, day, month, year, clock, _ = parts
    else:
        return None
    clock_parts = clock.split(":")
    numbers = [day, year, *clock_parts]
    if month.lower() not in _MONTHS or len(clock_parts) != 3:
        return None
    if not all(number.isascii() and number.isdigit() and len(number) <= 4 for number in numbers):
        return None
    days = days_since_1970(_year(year, now_s), _MONTHS.index(month.lower()) + 1, int(day))
    hours, minutes, seconds = map(int, clock_parts)
    if days is None or hours > 23 or minutes > 59 or seconds > 60:
        return None
    return float(days * _DAY_S + hours * 3_600 + minutes * 60 + seconds)


def _year(digits: str, now_s: float) -> int:
    year = int(digits)
    if len(digits) > 2:
        return year
    this_year = 1970 + int(now_s / (365.2425 * _DAY_S))
    year += this_year - this_year % 100
    return year - 100 if year > this_year + 50 else year
