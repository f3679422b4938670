"""What an event and its edit mean: both documents parsed, and compared without any position."""

from __future__ import annotations

from typing import Any

from tests.fuzz.fields import KEEPS_ITS_SPELLING, stale_with
from tests.fuzz.outline import is_text

_READ = (
    "traceparent",
    "tracestate",
    "x-amzn-trace-id",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-sampled",
    "x-b3-flags",
)


_PLACES = ("headers", "multiValueHeaders", "requestHeaders")


def changed_meaning(before: Any, after: Any, fields: dict[str, str]) -> str | None:
    """What else the edit did, by both documents. None of them where the event is no JSON: it must
    remain none.
    """
    if before is None or after is None:
        return None if before is after else "the edit made JSON of what was none, or the reverse"
    if _without_fields(before, fields) != _without_fields(after, fields):
        return "the edit changed more than its fields"
    if not any(
        (there := _those_in(pairs, fields)) and _has_all(pairs, there) for pairs in _places(after)
    ):
        return "a field is missing, stands in another spelling, or has another value"
    return None


def _those_in(pairs: Any, fields: dict[str, str]) -> dict[str, str]:
    """In a call of a form of its own, those of its headers that were there are ours, and the others
    are not added.
    """
    there = {name.lower() for name, _ in pairs} if isinstance(pairs, tuple) else set()
    return {name: value for name, value in fields.items() if name in there}


def _places(event: Any) -> list[Any]:
    """All that could be headers, wherever they stand."""
    return [value for holder in _holders(event) for name, value in holder if name in _PLACES]


def _has_all(pairs: Any, fields: dict[str, str]) -> bool:
    if not isinstance(pairs, tuple):
        return False
    found = {name.lower(): set() for name, _ in pairs}  # type: dict[str, set[tuple[str, str]]]
    for name, value in pairs:
        found[name.lower()].add(
            (name, value[0] if isinstance(value, list) and len(value) == 1 else str(value))
        )
    for name, value in fields.items():
        spelled = found.get(name, set())
        if {text for _, text in spelled} != {value}:
            return False
        if name != KEEPS_ITS_SPELLING and {spelling for spelling, _ in spelled} != {name}:
            return False
    return True


def _without_fields(event: Any, fields: dict[str, str]) -> Any:
    """The event without the members that may change. Headers that are null count as empty."""
    return tuple(
        (name, _without(value, fields) if name in _PLACES else value)
        if name != "request" or not isinstance(value, tuple)
        else (name, _without_fields(value, fields))
        for name, value in event
    )


def _without(headers: Any, fields: dict[str, str]) -> Any:
    if headers is None:
        return ()
    if not isinstance(headers, tuple):
        return headers
    values = stale_with(fields)
    return tuple((name, value) for name, value in headers if name.lower() not in values)


def readings(document: Any) -> list[dict[str, str]]:
    """What the headers of a document say, of each object that may hold them."""
    params = dict(document).get("params")
    return [
        *(_read(holder) for holder in _holders(document)),
        # A call in a form of its own, AppSync's authorizers, API Gateway's passthrough template.
        _read(_renamed(document, "headers")),
        _read(_renamed(document, "requestHeaders")),
        _read(_renamed(params, "header") if isinstance(params, tuple) else ()),
    ]


def _renamed(holder: Any, place: str) -> Any:
    return tuple(("headers", value) for name, value in holder if name == place)


def _holders(document: Any) -> list[Any]:
    return [
        document,
        *(value for name, value in document if name == "request" and isinstance(value, tuple)),
    ]


def _read(holder: Any) -> dict[str, str]:
    headers: dict[str, str] = {}
    for place in ("headers", "multiValueHeaders"):
        values: dict[str, list[str]] = {}
        pairs = dict(holder).get(place)
        for name, value in pairs if isinstance(pairs, tuple) else ():
            items = value if isinstance(value, list) else [value]
            values.setdefault(name.lower(), []).extend(filter(is_text, items))
        headers |= {name: ",".join(values[name]) for name in _READ if values.get(name)}
    return headers
