"""JSON text by Python's own `json`, with the place of every member: what the splice's oracle stands
on.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple


class Number(str):
    """A number's letters, which no text is equal to in kind."""

    __slots__ = ()


_SPACE = re.compile(r"[ \t\n\r]*")
_HOOKS: dict[str, Any] = {
    "object_pairs_hook": tuple,
    "parse_float": Number,
    "parse_int": Number,
    "parse_constant": Number,
}
_DECODER = json.JSONDecoder(**_HOOKS)


class Member(NamedTuple):
    """Of `text[name_start:end]`, the value from `start`. Objects are tuples of pairs, arrays lists,
    numbers `Number`.

    `end` is -1 where the value is not well-formed, and the last member is then the last that can be
    read.
    """

    name: str
    name_start: int
    start: int
    end: int
    value: Any


def loads(text: str) -> Any:
    """A whole document, every pair of its objects kept; ValueError, RecursionError."""
    return json.loads(text, **_HOOKS)


def after_space(text: str, position: int) -> int:
    """The first place from `position` on that is not white space."""
    found = _SPACE.match(text, position)
    assert found is not None
    return found.end()


def members(text: str, position: int) -> list[Member]:
    """The members of the object at `position`, as far as they are well-formed; none where no object
    is.
    """
    found: list[Member] = []
    if text[position : position + 1] != "{":
        return found
    position = after_space(text, position + 1)
    while text[position : position + 1] == '"':
        try:
            name, end = _DECODER.raw_decode(text, position)
        except ValueError:
            return found
        colon = after_space(text, end)
        if text[colon : colon + 1] != ":":
            return found
        start = after_space(text, colon + 1)
        try:
            value, end = _DECODER.raw_decode(text, start)
        except ValueError:
            return [*found, Member(name, position, start, -1, None)]
        found.append(Member(name, position, start, end, value))
        comma = after_space(text, end)
        if text[comma : comma + 1] != ",":
            return found
        position = after_space(text, comma + 1)
    return found


def last(found: list[Member], name: str) -> Member | None:
    """Of the members of one name, the one that counts."""
    return next((member for member in reversed(found) if member.name == name), None)


def is_text(value: Any) -> bool:
    """A string, and no number."""
    return type(value) is str


Edit = tuple[int, int, str]


def edited(text: str, edits: list[Edit]) -> str:
    """`text` with each (start, end, new) in its place."""
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text
