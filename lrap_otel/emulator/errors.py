"""What keeps ``emulate`` from starting a function, as one line for the terminal."""

from __future__ import annotations


class StartError(Exception):
    """Its text says what is wrong and what to do."""
