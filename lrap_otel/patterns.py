"""Patterns: bytes that stand there each time, with places for values between them.

Python's own matcher looks at a kilobyte in one call of a microsecond; the same in steps takes five to ten. Its compiler is
`re`, which costs 6 to 10 ms to import, and several more for such a pattern. So what stands here writes the matcher's code
itself. That code has changed with Python's versions, which number it: for a number that is not known here, `re` tells.

Source: CPython, Modules/_sre and Lib/re/_constants.py.
"""

import _sre  # type: ignore[import-not-found]  # the C part of `re`
from _operator import itemgetter

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Sequence
    from typing import Any, TypeAlias

    Part: TypeAlias = "bytes | Value | Group"
    # What stands there each time, or the number of the value that does.
    Piece: TypeAlias = "bytes | int"

_FAILURE, _SUCCESS = 0, 1
# CHARSET, IN, LITERAL, MARK, REPEAT_ONE.
_CODES = {
    20171005: (10, 14, 17, 18, 25),  # 3.10
    20220615: (9, 13, 16, 17, 24),  # 3.11
    20221023: (9, 13, 16, 17, 24),  # 3.12
    20230612: (9, 13, 16, 17, 24),  # 3.13
}


def _codes() -> tuple[int, ...]:
    known = _CODES.get(_sre.MAGIC)
    if known is not None:
        return known
    import re  # noqa: PLC0415 - dear, and for a new Python alone

    compiler = getattr(re, "_compiler", None) or re.sre_compile  # type: ignore[attr-defined]  # as it is called before 3.11
    names = ("CHARSET", "IN", "LITERAL", "MARK", "REPEAT_ONE")
    return tuple(int(getattr(compiler, name)) for name in names)


_CHARSET, _IN, _LITERAL, _MARK, _REPEAT_ONE = _codes()


class Value:
    """What may stand in a place: as many bytes as there are of the `legal` ones, and not fewer than `least` or more than `most`."""

    __slots__ = ("code",)

    def __init__(self, legal: bytes, least: int = 1, most: int = int(_sre.MAXREPEAT)) -> None:
        one = _set_of(legal)
        self.code = [_REPEAT_ONE, len(one) + 4, least, most, *one, _SUCCESS]


_sets: dict[bytes, list[int]] = {}


def _set_of(legal: bytes) -> list[int]:
    """The matcher's code for one of these bytes: a bit for each of 256."""
    known = _sets.get(legal)
    if known is None:
        bits = 0
        for byte in legal:
            bits |= 1 << byte
        words = memoryview(bits.to_bytes(32, "little")).cast("I").tolist()
        known = _sets[legal] = [_IN, len(words) + 3, _CHARSET, *words, _FAILURE]
    return known


_FREE_ATTEMPTS = 4


def lower_hex(digits: int) -> Value:
    """So many digits."""
    return Value(b"0123456789abcdef", digits, digits)


class Group:
    """Parts that a match tells apart from the others, in the order of the groups from 1 on; without parts, a place."""

    __slots__ = ("parts",)

    def __init__(self, *parts: "bytes | Value") -> None:
        self.parts = parts


class Template:
    """Bytes in which values are put in between, by their numbers. It takes as many values as `count` says."""

    __slots__ = ("_literals", "_taken")

    def __init__(self, pieces: "Sequence[Piece]", count: int) -> None:
        # Behind the values stand those that are the same each time: then the whole is two calls into C, a third of what `%` takes.
        self._literals = tuple([piece for piece in pieces if isinstance(piece, bytes)])
        behind = iter(range(count, count + len(self._literals)))
        numbers = [piece if isinstance(piece, int) else next(behind) for piece in pieces]
        # With one number alone it would not make a tuple.
        self._taken: Callable[[Sequence[bytes]], tuple[bytes, ...]] = (
            itemgetter(*numbers) if len(numbers) > 1 else lambda values: tuple([values[number] for number in numbers])
        )

    def filled(self, values: tuple[bytes, ...]) -> bytes:
        """The bytes with these values in them."""
        return b"".join(self._taken(values + self._literals))


class Brake:
    """Says when to learn a pattern. It takes longer than it saves, unless the form comes again.

    `in_vain` counts the attempts since a pattern was last of use, for which whoever uses one sets it to 0. After a few of them, more
    and more chances to learn are let go between two attempts, up to 256.
    """

    __slots__ = ("_left", "in_vain")

    def __init__(self) -> None:
        self.in_vain = 0
        self._left = 0

    def lets_learn(self) -> bool:
        """Whether this chance is one to take."""
        if self.in_vain > _FREE_ATTEMPTS and self._left > 0:
            self._left -= 1
            return False
        self.in_vain += 1
        self._left = 2 ** min(max(self.in_vain - _FREE_ATTEMPTS, 0), 8)
        return True


def compile_pattern(parts: "Sequence[Part]") -> "re.Pattern[bytes]":
    """The pattern of these parts, one behind the other, for bytes."""
    pattern: re.Pattern[bytes] = _compiled(parts, b"")
    return pattern


def compile_text_pattern(parts: "Sequence[Part]") -> "re.Pattern[str]":
    """The same for text."""
    pattern: re.Pattern[str] = _compiled(parts, "")
    return pattern


def _compiled(parts: "Sequence[Part]", kind: "bytes | str") -> "Any":
    code: list[int] = []
    groups = 0
    for part in parts:
        if isinstance(part, Group):
            code += [_MARK, 2 * groups]
            for inner in part.parts:
                code += _code_of(inner)
            code += [_MARK, 2 * groups + 1]
            groups += 1
        else:
            code += _code_of(part)
    return _sre.compile(kind, 0, [*code, _SUCCESS], groups, {}, (None,) * (groups + 1))


def _code_of(part: "bytes | Value") -> list[int]:
    if isinstance(part, Value):
        return part.code
    code = [_LITERAL] * (2 * len(part))
    code[1::2] = part
    return code
