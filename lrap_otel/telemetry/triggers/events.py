"""Where events come from: readers and matchers that all families share."""

from __future__ import annotations

from lrap_otel.telemetry.json_text import as_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lrap_otel.telemetry.triggers.description import Event


def records(event: Event) -> list[dict[str, Any]]:
    """The objects among ``Records``; other values are skipped."""
    return [record for record in as_list(event.get("Records")) if isinstance(record, dict)]


def holds_records_of(source: str) -> Callable[[Event], bool]:
    """A matcher of events whose ``Records`` come from `source`."""
    return lambda event: _source_of_records(event) == source


def is_from(*sources: str) -> Callable[[Event], bool]:
    """A matcher of events whose own ``eventSource`` is one of `sources`."""
    return lambda event: event.get("eventSource") in sources


def has(*names: str) -> Callable[[Event], bool]:
    """A matcher of events that have all these members."""
    wanted = frozenset(names)
    return lambda event: event.keys() >= wanted


def arn_part(arn: Any, number: int) -> str:
    """Part `number` of an ARN (5 is the resource); empty if it has fewer."""
    parts = arn.split(":", 5) if isinstance(arn, str) else []
    return parts[number] if number < len(parts) else ""


def arn_name(arn: Any) -> str:
    """The last word of an ARN's resource: ``orders`` of ``stream/orders``."""
    return arn_part(arn, 5).rpartition("/")[2].rpartition(":")[2]


def shared(values: list[str]) -> str:
    """The value, if all of `values` are the same; empty if they differ or there are none."""
    return values[0] if values and all(value == values[0] for value in values) else ""


def _source_of_records(event: Event) -> str:
    """``eventSource`` of the first record; SNS alone capitalizes it.

    The last event of a Kinesis or DynamoDB window has no records, but the stream's ARN.
    """
    several = event.get("Records")
    if not several:
        return f"aws:{arn_part(event.get('eventSourceARN'), 2)}" if "window" in event else ""
    first = several[0] if isinstance(several, list) else None
    named = (
        (first.get("eventSource") or first.get("EventSource")) if isinstance(first, dict) else None
    )
    return named if isinstance(named, str) else ""
