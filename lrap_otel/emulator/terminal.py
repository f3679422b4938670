"""Plain, readable lines: width, colour and symbols as the terminal has them."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable

COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
SYMBOLS = {"step": "✓", "bar": "█", "more": "…", "link": "→", "parent": "↑"}
PLAIN_SYMBOLS = {"step": "+", "bar": "#", "more": "~", "link": ">", "parent": "^"}
LABEL_WIDTH = 12


class Terminal:
    """Writes to ``stream``. Colour only on a terminal, and not with NO_COLOR set; ASCII if the
    encoding has no more.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_coloured = stream.isatty() and not os.environ.get("NO_COLOR")
        # The last title, unless something that a process printed came after it.
        self.heading = ""
        self.symbols = SYMBOLS if _can_write(stream, "".join(SYMBOLS.values())) else PLAIN_SYMBOLS
        self.width = min(max(shutil.get_terminal_size((100, 24)).columns, 60), 160)

    def paint(self, text: str, colour: str) -> str:
        """The text in a colour, or as it is."""
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if self._is_coloured else text

    def fit(self, text: str, width: int) -> str:
        """The text, cut to ``width`` with a mark where something is missing."""
        return text if len(text) <= width else text[: width - 1] + self.symbols["more"]

    def say(self, text: str = "") -> None:
        """One line as it is."""
        encoding = self._stream.encoding or "utf-8"
        print(text.encode(encoding, "replace").decode(encoding), file=self._stream, flush=True)

    def title(self, text: str) -> None:
        """The head of a paragraph."""
        self.say()
        self.say(self.paint(self.fit(text, self.width), "bold"))
        self.heading = text

    def step(self, text: str) -> None:
        """Something has been done."""
        self.say(f"  {self.paint(self.symbols['step'], 'green')} {self.fit(text, self.width - 4)}")

    def line(self, source: str, text: str) -> None:
        """Something a process printed."""
        self.heading = ""
        for part in text.replace("\xa0", " ").splitlines() or [""]:
            self.say(self.paint(f"  {source} | {part}", "dim"))

    def field(self, label: str, text: str, max_lines: int = 1) -> None:
        """A labelled value, on up to ``max_lines`` lines."""
        room = self.width - LABEL_WIDTH - 2
        text = self.fit(text, room * max_lines)
        parts = [text[start : start + room] for start in range(0, len(text), room)] or [""]
        for number, part in enumerate(parts):
            self.say(
                f"  {self.paint((label if number == 0 else '').ljust(LABEL_WIDTH), 'cyan')}{part}"
            )

    def items(self, indent: str, items: Iterable[str]) -> None:
        """Short texts side by side, as many on a line as fit."""
        line = ""
        for item in (" ".join(item.split()) for item in items):
            if line and len(indent) + len(line) + 2 + len(item) > self.width:
                self.say(self.paint(indent + line, "dim"))
                line = ""
            line = f"{line}  {item}" if line else self.fit(item, self.width - len(indent))
        if line:
            self.say(self.paint(indent + line, "dim"))


def _can_write(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
