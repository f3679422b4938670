"""A function that takes a batch from SQS, and gives some of its messages back."""

from __future__ import annotations

from typing import Any

GIVES_BACK = 7


def handler(event: dict[str, Any], context: object) -> object:
    """Tell how many records came and what their bodies add up to; fail the last few."""
    messages = event["Records"]
    return {
        "count": len(messages),
        "body_bytes": sum(len(message["body"]) for message in messages),
        "batchItemFailures": [
            {"itemIdentifier": message["messageId"]} for message in messages[-GIVES_BACK:]
        ],
    }
