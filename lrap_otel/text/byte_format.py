"""Bytes with places for values."""

from _operator import itemgetter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeAlias

    # Bytes that are the same each time, or the number of a value.
    Piece: TypeAlias = "bytes | int"


class Formats(dict):  # type: ignore[type-arg]  # a generic base is called at run time
    """Formats by what they are for, each made by `make` when it is first asked for."""

    __slots__ = ("_make",)

    def __init__(self, make: "Callable[[Any], ByteFormat]") -> None:
        self._make = make

    def __missing__(self, key: object) -> "ByteFormat":
        found = self[key] = self._make(key)
        return found


class ByteFormat:
    """Joins bytes that are the same each time and `count` values, by their numbers."""

    __slots__ = ("_literals", "_take")

    def __init__(self, pieces: "Sequence[Piece]", count: int) -> None:
        # The literals follow the values: then the whole is two calls into C, a third of what `%`
        # takes.
        self._literals = tuple([piece for piece in pieces if isinstance(piece, bytes)])
        literals = iter(range(count, count + len(self._literals)))
        numbers = [piece if isinstance(piece, int) else next(literals) for piece in pieces]
        # With one number alone it would not make a tuple.
        self._take: Callable[[Sequence[bytes]], tuple[bytes, ...]] = (
            itemgetter(*numbers)
            if len(numbers) > 1
            else lambda values: tuple([values[number] for number in numbers])
        )

    def fill(self, values: tuple[bytes, ...]) -> bytes:
        """The bytes with these values in them."""
        return b"".join(self._take(values + self._literals))
