"""Output of the AWS commands: lines for people, or one JSON document for programs."""

from __future__ import annotations

import json
import sys
import threading
from typing import Any


class Terminal:
    """Lines go to standard output; with `json` to standard error, so that standard output has only
    the document.

    On a terminal, a temporary line shows what is being waited for.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._stream = sys.stderr if as_json else sys.stdout
        self._is_terminal = self._stream.isatty()
        self._lock = threading.Lock()

    def line(self, text: str = "") -> None:
        """Print a line."""
        with self._lock:
            self._print(f"{self._erase}{text}")

    def passing(self, text: str) -> None:
        """On a terminal, show a line until the next one; elsewhere do nothing."""
        if self._is_terminal:
            with self._lock:
                self._print(f"{self._erase}{text[:100]}", end="")

    def document(self, value: Any) -> None:
        """Print the JSON document if it was asked for."""
        if self.as_json:
            print(json.dumps(value, indent=2))

    def confirms(self, question: str) -> bool | None:
        """Ask the user; None if nobody can answer."""
        if not sys.stdin.isatty():
            return None
        self._print(f"{question} [y/N] ", end="")
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    @property
    def _erase(self) -> str:
        return "\r\x1b[K" if self._is_terminal else ""

    def _print(self, text: str, end: str = "\n") -> None:
        print(text, end=end, file=self._stream, flush=True)


def fail(message: str) -> None:
    """Print what went wrong, and what to do next, to standard error."""
    print(f"failed: {message}", file=sys.stderr)
