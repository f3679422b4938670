"""JSON by the C scanner that `json` itself stands on: 0.5 ms to import where `json` takes 9.

Two surprises of that scanner. It raises StopIteration where a value is missing. And where the text
is not JSON it wants the exception of `json`: from 3.12 on it imports that, once, which takes those
9 ms, and before it fails with a SystemError if nobody has. So nothing here scans text to learn that
it is not JSON.
"""

from _json import make_scanner, scanstring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    # Where a member's value starts and ends (-1: it was not scanned), and the value.
    Member = tuple[int, int, Any]

_SPACE = " \t\n\r"
_LONGEST_INTEGER = 300
# Behind any position.
_NEVER = 1 << 62


def _number(digits: str) -> float:
    # int() refuses more than 4,300 digits, and takes long for those it does not refuse.
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float(digits)


class _Values:
    """How `make_scanner` is told what to make of a text: dictionaries, lists, text, numbers."""

    strict = True
    object_hook = None
    object_pairs_hook: "Any" = None
    parse_float: "Any" = float
    parse_int: "Any" = staticmethod(_number)
    parse_constant: "Any" = float
    memo: "dict[str, str]" = {}  # noqa: RUF012 - the scanner wants the attribute and makes its own


class _Pairs(_Values):
    """Objects as tuples of (name, value), so that every name is seen; numbers as their length, so
    that they cost nothing.
    """

    object_pairs_hook = tuple
    parse_float = len
    parse_int = len
    parse_constant = len


class _Outline(_Values):
    """Objects as dictionaries; numbers as their length."""

    parse_float = len
    parse_int = len
    parse_constant = len


_scan_values = make_scanner(_Values)  # type: ignore[arg-type]  # any object with these attributes does
_scan_outline = make_scanner(_Outline)  # type: ignore[arg-type]  # see above
_scan_pairs = make_scanner(_Pairs)  # type: ignore[arg-type]  # see above


def loads(text: str) -> object:
    """The value of a whole JSON document. Of equal names the last counts. ValueError if it is
    malformed or too deep.

    Whole numbers of more than 300 digits come back as a float, in effect infinity.
    """
    value, end = scan(text, after_space(text, 0))
    if after_space(text, end) != len(text):
        raise ValueError("text after the JSON document")
    return value


def scan(text: str, position: int) -> "tuple[Any, int]":
    """The value that starts at `position`, not at whitespace, and where it ends.

    ValueError if it is malformed or too deep.
    """
    try:
        return _scan_values(text, position)
    except (StopIteration, SystemError):
        raise ValueError("no JSON value") from None
    except RecursionError:
        raise ValueError("JSON nested too deep") from None


def outline(text: str, position: int) -> "tuple[Any, int]":
    """As `scan`, but what comes for a number is some whole number: values that do not matter cost
    nothing.
    """
    try:
        return _scan_outline(text, position)
    except (StopIteration, SystemError):
        raise ValueError("no JSON value") from None
    except RecursionError:
        raise ValueError("JSON nested too deep") from None


def members(
    text: str, position: int = 0, stop_name: str = "", stop_after: int = _NEVER
) -> "dict[str, Member]":
    """The members of the object that starts at `position`; of equal names the last.

    The search ends, with nothing behind it read, after position `stop_after` as soon as the member
    `stop_name` is known; if it is the last one found, its value is not scanned. Values: objects are
    tuples of pairs, arrays lists, numbers are not kept. ValueError if the text, as far as it was
    read, is malformed or too deep.
    """
    found: dict[str, Member] = {}
    try:
        position = after_space(text, _expect(text, position, "{"))
        if text[position] == "}":
            return found
        while True:
            name, end = scanstring(text, _expect(text, position, '"'), True)
            start = end + 1 if text[end] == ":" else _expect(text, end, ":")
            if text[start] in _SPACE:
                start = after_space(text, start)
            if position > stop_after and (name == stop_name or stop_name in found):
                found[name] = start, -1, None
                return found
            value, end = _scan_pairs(text, start)
            found[name] = start, end, value
            if text[end] != ",":
                end = after_space(text, end)
                if text[end] == "}":
                    return found
            position = _expect(text, end, ",")
    except (StopIteration, IndexError, SystemError):
        raise ValueError("JSON object breaks off") from None
    except RecursionError:
        raise ValueError("JSON nested too deep") from None


def _expect(text: str, position: int, character: str) -> int:
    if text[position] != character:
        position = after_space(text, position)
        if text[position] != character:
            raise ValueError(f"no {character!r} where JSON wants one")
    return position + 1


def after_space(text: str, position: int) -> int:
    """The first place from `position` on that is not JSON's whitespace; the length of the text if
    there is none.
    """
    while piece := text[position : position + 64]:
        rest = piece.lstrip(_SPACE)
        if rest:
            return position + len(piece) - len(rest)
        position += len(piece)
    return position
