"""Events larger than the one that the upstream has of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HEADERS = {
    "accept": "*/*",
    "content-type": "application/json",
    "host": "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}


def big_event(path: Path, size: int) -> Path:
    """Write an API Gateway HTTP event of exactly `size` bytes, most of them its body."""
    event = {
        "version": "2.0",
        "routeKey": "POST /orders",
        "rawPath": "/orders",
        "headers": HEADERS,
        "requestContext": {"http": {"method": "POST", "path": "/orders"}, "requestId": "JKJaXmPLvHcESHA="},
        "isBase64Encoded": False,
        "body": "",
    }
    event["body"] = "x" * (size - len(json.dumps(event)))
    path.write_text(json.dumps(event), encoding="ascii")
    return path
