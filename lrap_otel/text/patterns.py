"""Patterns: bytes that stand there each time, with places for values between them.

Python's own matcher looks at a kilobyte in one call of a microsecond; the same in steps takes five to ten. Its compiler is
`re`, which costs 6 to 10 ms to import, and several more for such a pattern. So this module writes the matcher's code itself.
That code changes with Python's versions, which number it. Patterns only ever save time: with a number that is not known here,
or once the matcher has refused one, none is made and none is learned, and everything is parsed.

Source: CPython, Modules/_sre and Lib/re/_constants.py.
"""

from _operator import itemgetter

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    Part: TypeAlias = "bytes | Value | Group"
    # What stands there each time, or the number of the value that does.
    Piece: TypeAlias = "bytes | int"

_FAILURE, _SUCCESS = 0, 1
# The largest number of repetitions is the largest that the matcher's code has room for.
_UNLIMITED = 2**32 - 1
# CHARSET, IN, LITERAL, MARK, REPEAT_ONE.
_CODES = {
    20171005: (10, 14, 17, 18, 25),  # 3.10
    20220615: (9, 13, 16, 17, 24),  # 3.11
    20221023: (9, 13, 16, 17, 24),  # 3.12
    20230612: (9, 13, 16, 17, 24),  # 3.13
}


class Value:
    """A place for a value: as many bytes as there are of the `legal` ones, at least `least` and at most `most`."""

    __slots__ = ("least", "legal", "most")

    def __init__(self, legal: bytes, least: int = 1, most: int = _UNLIMITED) -> None:
        self.legal = legal
        self.least = least
        self.most = most


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
        if _matcher is None:
            return False
        if self.in_vain > _FREE_ATTEMPTS and self._left > 0:
            self._left -= 1
            return False
        self.in_vain += 1
        self._left = 2 ** min(max(self.in_vain - _FREE_ATTEMPTS, 0), 8)
        return True


class Matcher:
    """Python's matcher, of a version that is known here. LookupError if this one is not."""

    __slots__ = ("_charset", "_compile", "_in", "_literal", "_mark", "_repeat_one", "_sets")

    def __init__(self) -> None:
        import _sre  # type: ignore[import-not-found]  # noqa: PLC0415 - the C part of `re`; a Python may come without

        self._charset, self._in, self._literal, self._mark, self._repeat_one = _CODES[_sre.MAGIC]
        self._compile = _sre.compile
        self._sets: dict[bytes, list[int]] = {}

    def compile(self, parts: "Sequence[Part]") -> "re.Pattern[bytes]":
        """The pattern of these parts. Whatever the matcher raises if it refuses the code."""
        code: list[int] = []
        groups = 0
        for part in parts:
            if isinstance(part, Group):
                code += [self._mark, 2 * groups]
                for inner in part.parts:
                    code += self._code_of(inner)
                code += [self._mark, 2 * groups + 1]
                groups += 1
            else:
                code += self._code_of(part)
        pattern: re.Pattern[bytes] = self._compile(b"", 0, [*code, _SUCCESS], groups, {}, (None,) * (groups + 1))
        return pattern

    def _code_of(self, part: "bytes | Value") -> list[int]:
        if isinstance(part, Value):
            one = self._set_of(part.legal)
            return [self._repeat_one, len(one) + 4, part.least, part.most, *one, _SUCCESS]
        code = [self._literal] * (2 * len(part))
        code[1::2] = part
        return code

    def _set_of(self, legal: bytes) -> list[int]:
        """The code for one of these bytes: a bit for each of 256."""
        known = self._sets.get(legal)
        if known is None:
            bits = 0
            for byte in legal:
                bits |= 1 << byte
            words = memoryview(bits.to_bytes(32, "little")).cast("I").tolist()
            known = self._sets[legal] = [self._in, len(words) + 3, self._charset, *words, _FAILURE]
        return known


def _known_matcher() -> "Matcher | None":
    try:
        return Matcher()
    except (ImportError, AttributeError, LookupError):
        return None


_matcher = _known_matcher()


def compile_pattern(parts: "Sequence[Part]") -> "re.Pattern[bytes] | None":
    """The pattern of these parts, one after the other, for bytes. None if this Python's matcher is not one that is known, or
    refuses: then it is not asked again.
    """
    global _matcher  # noqa: PLW0603 - one process, one matcher
    matcher = _matcher
    if matcher is None:
        return None
    try:
        return matcher.compile(parts)
    except (RuntimeError, TypeError, ValueError, OverflowError, AttributeError):
        _matcher = None
        return None
