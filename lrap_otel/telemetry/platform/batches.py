"""A batch of the Telemetry API, record by record: what cannot be read costs that record alone.

Source: AWS Lambda, "Lambda Telemetry API Event schema reference".
"""

from __future__ import annotations

from lrap_otel.telemetry import json_text
from lrap_otel.telemetry.triggers.times import from_iso

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# How each event begins, as the platform writes it: after one that cannot be read, reading goes on
# at the next beginning.
_BEGINNING = '{"time"'
_SECONDS_FORM = len("2022-10-12T00:00:15")
_TIME_OF_DAY_FORM = len("12:01:23")
_DAY_S = 86_400
_NANOSECONDS = 1_000_000_000
# A number between these is a time in milliseconds, of the years 1973 to 2286. OTLP's 64 bits end in
# 2554.
_LOWEST_MS, _HIGHEST_MS = 10**11, 10**13
_HIGHEST_S = _HIGHEST_MS // 1_000
# Longer than any request id.
_ID_CHARACTERS = 64


class Event:
    """One event. `at_ns` is Unix time; `kind` is such as ``platform.start`` or ``function``;
    `record` is the JSON that the platform sent with it, of any type.
    """

    __slots__ = ("at_ns", "kind", "record")

    def __init__(self, at_ns: int, kind: str, record: Any) -> None:
        self.at_ns = at_ns
        self.kind = kind
        self.record = record

    @property
    def members(self) -> dict[str, Any]:
        """The record's members; empty if it is no object."""
        return json_text.as_object(self.record)

    @property
    def request_id(self) -> str:
        """The invocation's, empty if it names none."""
        return json_text.as_text(self.members.get("requestId"))[:_ID_CHARACTERS]


class Reader:
    """Reads one batch after the other. It remembers the last second that it has read."""

    __slots__ = ("_last_s", "_last_text")

    def __init__(self) -> None:
        self._last_text = ""
        self._last_s: float | None = None

    def read(self, body: bytes, received_ns: int) -> tuple[list[Event], int]:
        """The events of one batch, in its order, and how many could not be read.

        A time that cannot be read is `received_ns`.
        """
        values, malformed = json_text.elements(body.decode("utf-8", "replace"), _BEGINNING)
        events = []
        for value in values:
            kind = value.get("type") if isinstance(value, dict) else None
            if isinstance(kind, str):
                at_ns = self.time_ns(value.get("time"), received_ns)
                events.append(Event(at_ns or received_ns, kind, value.get("record")))
            else:
                malformed += 1
        return events, malformed

    def time_ns(self, value: Any, received_ns: int) -> int:
        """Unix time of a text in one of the platform's and the runtimes' forms, or of a number of
        milliseconds; 0 if it is none.
        """
        if isinstance(value, str):
            return self._iso_ns(value) or _time_of_day_ns(value, received_ns)
        if type(value) in {int, float} and _LOWEST_MS < value < _HIGHEST_MS:
            return int(value * 1_000_000)
        return 0

    def _iso_ns(self, text: str) -> int:
        """ISO 8601. Without a zone, it is UTC."""
        if len(text) < _SECONDS_FORM or not text.isascii():
            return 0
        rest = text[_SECONDS_FORM:]
        digits = ""
        if rest[:1] in {".", ","}:
            zone = rest[1:].lstrip("0123456789")
            digits = rest[1 : len(rest) - len(zone)]
            rest = zone
        whole = f"{text[:_SECONDS_FORM].replace(' ', 'T', 1)}{rest or 'Z'}"
        if whole != self._last_text:
            self._last_text, self._last_s = whole, from_iso(whole)
        if self._last_s is None or not 0 <= self._last_s < _HIGHEST_S:
            return 0
        return int(self._last_s) * _NANOSECONDS + _fraction_ns(digits)


def _fraction_ns(digits: str) -> int:
    return int(digits[:9].ljust(9, "0")) if digits else 0


def _time_of_day_ns(text: str, received_ns: int) -> int:
    """``12:01:23:521Z``, which the documentation prints as well: of the day on which it was
    received, or of the day before. 0 if it is none.
    """
    digits = text[_TIME_OF_DAY_FORM + 1 :].rstrip("Z")
    is_fraction = (
        text[_TIME_OF_DAY_FORM : _TIME_OF_DAY_FORM + 1] in {":", "."}
        and digits.isascii()
        and digits.isdigit()
    )
    seconds = from_iso(f"1970-01-01T{text[:_TIME_OF_DAY_FORM]}Z")
    if seconds is None or not is_fraction:
        return 0
    midnight_s = received_ns // _NANOSECONDS // _DAY_S * _DAY_S
    at_ns = (midnight_s + int(seconds)) * _NANOSECONDS + _fraction_ns(digits)
    is_of_yesterday = at_ns > received_ns + _DAY_S * _NANOSECONDS // 2
    return at_ns - _DAY_S * _NANOSECONDS if is_of_yesterday else at_ns
