"""Reading JSON that others wrote: whole where it is whole, member by member where it was cut. Nothing here raises."""

from __future__ import annotations

import json
import re
from typing import Any

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def parse(data: bytes | str) -> Any:
    """The value, or None where it is no JSON."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def parse_object(data: bytes | str) -> dict[str, Any]:
    """The members of an object; empty where it is something else."""
    return as_object(parse(data))


def as_object(value: Any) -> dict[str, Any]:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """`value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """`value` if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def leading_members(text: str) -> dict[str, Any]:
    """The members of an object whose end may be missing, up to the first that is not complete."""
    members: dict[str, Any] = {}
    position = _skip(text, 0)
    if text[position : position + 1] != "{":
        return members
    try:
        while text[position : position + 1] in ("{", ","):
            name, position = _DECODER.raw_decode(text, _skip(text, position + 1))
            position = _skip(text, position)
            if not isinstance(name, str) or text[position : position + 1] != ":":
                break
            value, position = _DECODER.raw_decode(text, _skip(text, position + 1))
            position = _skip(text, position)
            # A number at the very end of what we have may go on beyond it.
            if position == len(text):
                break
            members[name] = value
    except (ValueError, RecursionError):
        pass
    return members


def trailing_member(text: str, name: str) -> Any:
    """The value of member `name` of an object whose beginning is missing; None where it is not among what is left.

    From a member of the outermost object to the end, with an opening brace before it, the text is an object again. From
    anywhere else (a nested object, the inside of a string) it is not.
    """
    found = None
    for match in re.finditer(rf'"{re.escape(name)}"\s*:', text):
        value = parse("{" + text[match.start() :])
        if isinstance(value, dict):
            found = value[name]
            break
    return found


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position
