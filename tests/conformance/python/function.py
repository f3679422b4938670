"""What every client's function does; here for ``awslambdaric``."""

from __future__ import annotations

import os
from typing import Any


def handler(event: dict[str, Any], context: Any) -> object:
    """Do what the event's ``do`` says; an event without it comes back as it is."""
    match event.get("do"):
        case "trace":
            return trace(event, context)
        case "fail":
            return fail(event["depth"])
        case "crash":
            os._exit(3)
        case "large":
            return "x" * event["bytes"]
    return event


def trace(event: dict[str, Any], context: Any) -> dict[str, object]:
    """Every place where the trace can be found."""
    return {
        "environment": os.environ.get("_X_AMZN_TRACE_ID"),
        "w3c": context.w3c().get("traceparent"),
        "custom": context.client_context.custom["traceparent"],
        "event": event,
    }


def fail(depth: int) -> object:
    """Raise at the bottom of ``depth`` calls, no two alike in a row: those a traceback would leave
    out.
    """
    if depth:
        return fail_deeper(depth - 1)
    raise ValueError("it broke")


def fail_deeper(depth: int) -> object:
    """The other half of ``fail``."""
    if depth:
        return fail(depth - 1)
    raise ValueError("it broke")
