"""The emulator's fixtures: scripted runtimes."""

from __future__ import annotations

from tests.emulator.conftest import config, script

__all__ = ["config", "script"]
