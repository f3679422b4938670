"""Patterns for bytes: literals, values of a set of bytes, and groups.

Python's own matcher looks at a kilobyte in one call of a microsecond; the same in steps takes five
to ten. Its compiler is `re`, which costs 6 to 10 ms to import, and several more for such a pattern.
So this module writes the matcher's code itself. That code changes with Python's versions, which
number it; a number that is not known here is refused.

Source: CPython, Modules/_sre and Lib/re/_constants.py.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Sequence
    from typing import TypeAlias

    Part: TypeAlias = "bytes | Value | Group"

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
    """As many `legal` bytes as there are: at least `least`, at most `most`."""

    __slots__ = ("least", "legal", "most")

    def __init__(self, legal: bytes, least: int = 1, most: int = _UNLIMITED) -> None:
        self.legal = legal
        self.least = least
        self.most = most


class Group:
    """A capturing group, numbered from 1. Without parts it captures a position."""

    __slots__ = ("parts",)

    def __init__(self, *parts: "bytes | Value") -> None:
        self.parts = parts


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
        pattern: re.Pattern[bytes] = self._compile(
            b"", 0, [*code, _SUCCESS], groups, {}, (None,) * (groups + 1)
        )
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
