"""Read JSON that others wrote: the whole value, or the complete members of a text that was cut.
Nothing here raises.
"""

from __future__ import annotations

from _json import make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SPACE = " \t\r\n"
# Of parts that are no JSON: nested ones cost half a millisecond each, and a batch may have 500,000.
_MALFORMED_LIMIT = 100


class _Values:
    """The scanner's options, as `json.loads` sets them."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


# The C scanner of `json`, without the 9 ms that importing `json` takes. It raises StopIteration if
# a value is missing. If the text is not JSON it imports `json` for its exception, or fails with a
# SystemError before 3.12.
_scan = make_scanner(_Values)  # type: ignore[arg-type]  # any object with these attributes does
_NO_JSON = (ValueError, RecursionError, StopIteration, SystemError)


def parse(data: bytes | str) -> Any:
    """The value; None if the text is not JSON."""
    try:
        text = data if isinstance(data, str) else data.removeprefix(b"\xef\xbb\xbf").decode()
        value, end = _scan(text, _skip(text, 0))
    except _NO_JSON:
        return None
    return value if _skip(text, end) == len(text) else None


def parse_object(data: bytes | str) -> dict[str, Any]:
    """The members of an object; empty if the text is something else."""
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
    """The complete members at the beginning of an object whose end may be missing."""
    members: dict[str, Any] = {}
    position = _skip(text, 0)
    if text[position : position + 1] != "{":
        return members
    try:
        while text[position : position + 1] in ("{", ","):
            name, position = _scan(text, _skip(text, position + 1))
            position = _skip(text, position)
            if not isinstance(name, str) or text[position : position + 1] != ":":
                break
            value, position = _scan(text, _skip(text, position + 1))
            position = _skip(text, position)
            # A number at the very end may be cut.
            if position == len(text):
                break
            members[name] = value
    except _NO_JSON:
        pass
    return members


def trailing_member(text: str, name: str) -> Any:
    """The value of member `name` in the end of an object whose beginning is missing; None if it is
    not there.

    From a member of the outermost object to the end, with an opening brace before it, the text is
    an object again. From any other place (in a nested object, inside a string) it is not.
    """
    quoted = f'"{name}"'
    start = text.find(quoted)
    while start >= 0:
        colon = _skip(text, start + len(quoted))
        value = parse("{" + text[start:]) if text[colon : colon + 1] == ":" else None
        if isinstance(value, dict):
            return value[name]
        start = text.find(quoted, start + 1)
    return None


def elements(text: str, beginning: str) -> tuple[list[Any], int]:
    """The elements of an array, and how many parts of it are no JSON: each goes from where it fails
    to the next `beginning` of an element, and so does the end if it is cut. After many of them,
    what is left is counted, not read.
    """
    whole = parse(text)
    if isinstance(whole, list):
        return whole, 0
    found: list[Any] = []
    malformed = 0
    position = _skip(text, 0)
    position = (
        _skip(text, position + 1) if text[position : position + 1] == "[" else text.find(beginning)
    )
    while 0 <= position < len(text) and text[position] != "]":
        if malformed == _MALFORMED_LIMIT:
            return found, malformed + text.count(beginning, position)
        try:
            value, position = _scan(text, position)
            found.append(value)
        except _NO_JSON:
            malformed += 1
            position = text.find(beginning, position + 1)
            continue
        position = _skip(text, position)
        if text[position : position + 1] == ",":
            position = _skip(text, position + 1)
    return found, malformed + (not found and not malformed)


def _skip(text: str, position: int) -> int:
    end = len(text)
    while position < end and text[position] in _SPACE:
        position += 1
    return position
