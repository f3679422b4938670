"""A function that does not go when it is told to."""

from __future__ import annotations

import signal
from typing import Any


def handler(event: dict[str, Any], context: object) -> object:
    """Return the event."""
    return event


signal.signal(signal.SIGTERM, signal.SIG_IGN)
