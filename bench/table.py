"""Columns of text: for the terminal, and as Markdown for docs/development/benchmarks.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Table:
    """Rows under their heads; the first column stands left, all others right."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """For the terminal."""
        return f"{self.title}\n{text_table(self.heads, self.rows)}"

    def markdown(self) -> str:
        """For a document."""
        marks = ["---", *("---:" for _ in self.heads[1:])]
        rows = (self.heads, marks, *self.rows)
        lines = (f"| {' | '.join(_escaped(cell) for cell in row)} |" for row in rows)
        return f"{self.title}\n\n" + "\n".join(lines)


def text_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under their heads; the first column stands left, all others right."""
    widths = [max(len(cell) for cell in column) for column in zip(heads, *rows, strict=True)]
    return "\n".join(_line(row, widths) for row in (heads, *rows))


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if place == 0 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join((first, *others)).rstrip()


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
