"""Random JSON as text: events and client contexts in every spelling that JSON allows, and in some
that it does not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.vocabulary import (
    BATCHES,
    BROKEN,
    ENDINGS,
    EVENT_NAMES,
    ODD_ESCAPES,
    OTHER_NAMES,
    SCALARS,
    SHAPES,
    SPACES,
    STRINGS,
    TRACE_NAMES,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    # A member's name and what its value is to be: `_Writer.value` knows the kinds.
    Kinds = list[tuple[str, str]]

EVENTS = Path(__file__).parents[1] / "data" / "events"
# Headers stand in the first part of an event; what is longer is slower and finds nothing else.
_LONGEST_SEED_BYTES = 6_000
# Most events have no headers, and are all alike here.
_WITHOUT_HEADERS = 10

_EVENT_KINDS = {
    "headers": "headers",
    "multiValueHeaders": "arrays",
    "requestContext": "object",
    "info": "object",
    "arguments": "object",
    "request": "request",
    "requestHeaders": "headers",
    "params": "params",
}
_CONTEXT_KINDS = {"w3c": "headers", "custom": "headers"}


def event_seeds() -> list[bytes]:
    """The real events that have headers, and a few others, as they came and as Lambda's own encoder
    writes them.
    """
    events = [path.read_bytes() for path in sorted(EVENTS.glob("*.json"))]
    with_headers = [event for event in events if b'eaders"' in event]
    others = [event for event in events if event not in with_headers]
    chosen = with_headers + others[:_WITHOUT_HEADERS]
    return [
        form
        for event in chosen
        for form in (event, _compact(event))
        if len(form) <= _LONGEST_SEED_BYTES
    ]


def _compact(event: bytes) -> bytes:
    try:
        return json.dumps(json.loads(event), separators=(",", ":")).encode()
    except ValueError:
        return event  # one of them is malformed on purpose


def event(random: Random) -> bytes:
    """An event of some shape, with more members, in any order."""
    names = [
        *random.choice(SHAPES),
        *random.choices(EVENT_NAMES + OTHER_NAMES, k=random.choice((0, 0, 1, 3))),
    ]
    if random.random() < 0.3:
        random.shuffle(names)
    if random.random() < 0.02:
        names.insert(0, random.choice(BATCHES))
    return _document(random, [(name, _kind(random, _EVENT_KINDS, name)) for name in names])


def client_context(random: Random) -> bytes:
    """A client context with any members."""
    names = random.choices(("w3c", "custom", "env", "client", *OTHER_NAMES), k=random.randrange(4))
    return _document(random, [(name, _kind(random, _CONTEXT_KINDS, name)) for name in names])


def _kind(random: Random, kinds: dict[str, str], name: str) -> str:
    return "any" if random.random() < 0.1 else kinds.get(name, "any")


def _document(random: Random, kinds: Kinds) -> bytes:
    text = random.choice(SPACES) + _Writer(random).object(kinds) + random.choice(ENDINGS)
    return text.encode("utf-8", "surrogatepass")


class _Writer:
    """Writes one document in one way: with or without white space, escapes, mistakes."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._spaces = SPACES if random.random() < 0.3 else ("",)
        self._colon = random.choice((":", ":", ":", ": ", " :", ":\t"))
        self._escaped = random.choice((0.0, 0.0, 0.0, 0.1))
        self._broken = random.choice((0.0, 0.0, 0.0, 0.02))
        self._is_ascii = random.random() < 0.5
        self._writers: dict[str, Callable[[], str]] = {
            "any": self._any,
            "object": self._any_object,
            "headers": lambda: self._headers("text"),
            "arrays": lambda: self._headers("texts"),
            "request": lambda: self.object(
                [("headers", "headers"), (random.choice(OTHER_NAMES), "any")]
            ),
            "params": lambda: self.object(
                [("header", "headers"), (random.choice(OTHER_NAMES), "any")]
            ),
            "text": lambda: self._string(random.choice(STRINGS)),
            "texts": lambda: f"[{self._list(['text'] * random.choice((0, 1, 1, 1, 2)))}]",
        }

    def object(self, kinds: Kinds) -> str:
        members = [
            f"{self._space()}{self._string(name)}{self._colon}{self.value(kind)}"
            for name, kind in kinds
        ]
        return "{" + ",".join([member + self._space() for member in members]) + "}"

    def value(self, kind: str) -> str:
        if self._random.random() < self._broken:
            return self._random.choice(BROKEN)
        return self._writers[kind]()

    def _headers(self, kind: str) -> str:
        if self._random.random() < 0.05:
            return self._random.choice(("null", "{}", "[]", '""', "{ }"))
        names = self._random.choices(
            TRACE_NAMES + OTHER_NAMES, k=self._random.choice((0, 1, 2, 3, 6))
        )
        if names and self._random.random() < 0.2:
            names.append(self._random.choice(names))
        odd = self._random.choice(("any", "text", "texts")) if self._random.random() < 0.1 else kind
        return self.object([(name, kind if self._random.random() < 0.9 else odd) for name in names])

    def _any(self) -> str:
        kind = self._random.random()
        if kind < 0.5:
            return self._random.choice(SCALARS)
        if kind < 0.75:
            return self.value("text")
        if kind < 0.85:
            return f"[{self._list(['any'] * self._random.randrange(3))}]"
        if kind > 0.995:
            deep = self._random.choice((50, 300, 3_000))
            return "[" * deep + "]" * (deep - self._random.choice((0, 0, 0, 1)))
        return self._any_object()

    def _any_object(self) -> str:
        names = self._random.choices(
            EVENT_NAMES + OTHER_NAMES + TRACE_NAMES, k=self._random.randrange(3)
        )
        return self.object([(name, "any") for name in names])

    def _list(self, kinds: list[str]) -> str:
        return ",".join([f"{self._space()}{self.value(kind)}{self._space()}" for kind in kinds])

    def _string(self, text: str) -> str:
        written = json.dumps(text, ensure_ascii=self._is_ascii)
        if text and self._random.random() < self._escaped:
            spot = self._random.randrange(len(text))
            escape = f"\\u{ord(text[spot]) & 0xFFFF:04x}"
            return json.dumps(text[:spot])[:-1] + escape + json.dumps(text[spot + 1 :])[1:]
        if self._random.random() < self._escaped / 4:
            return written[:-1] + self._random.choice(ODD_ESCAPES) + '"'
        return written

    def _space(self) -> str:
        return self._random.choice(self._spaces)
