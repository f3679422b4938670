"""The function of the cold benchmarks: its event has been parsed, and it answers."""

from __future__ import annotations


def handler(event: dict[str, object], _: object) -> dict[str, object]:
    """Answer as a small HTTP API does."""
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": f'{{"path":"{event["rawPath"]}"}}',
    }
