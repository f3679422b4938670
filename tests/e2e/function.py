"""A function whose events say what it does."""

from __future__ import annotations

import os
import signal
import time
from typing import Any


def handler(event: dict[str, Any], context: object) -> object:
    """Do what the event's ``do`` says; by default tell what of the trace came here."""
    match event.get("do"):
        case "raise":
            raise ValueError("it broke")
        case "exit":
            os._exit(3)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does for want of memory
        case "sleep":
            time.sleep(event["s"])
        case "echo":
            return event["value"]
        case "large":
            return "x" * event["bytes"]
    return {
        "statusCode": 200,
        "body": "",
        "headers": event.get("headers"),
        "xray": os.environ.get("_X_AMZN_TRACE_ID"),
        "runtime_api": os.environ["AWS_LAMBDA_RUNTIME_API"],
    }
