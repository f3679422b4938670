"""Events, described, for tests of the trigger table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrap_otel.telemetry.triggers import table
from lrap_otel.telemetry.triggers.description import Options

if TYPE_CHECKING:
    from lrap_otel.telemetry.triggers.description import Description

EVENTS = Path(__file__).parents[1] / "data" / "events"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PRODUCER = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
XRAY_HEADER = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
SEGMENT = ("5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8")
PROCESS = {"messaging.operation.name": "process", "messaging.operation.type": "process"}


def real_events() -> list[str]:
    names = sorted(path.name.removesuffix(".json") for path in EVENTS.glob("*.json"))
    return [name for name in names if not name.endswith("-response") and "malformed" not in name]


def made_events() -> list[str]:
    """Those that were made by hand from AWS's documentation."""
    return sorted(
        f"../events_made/{path.stem}" for path in (EVENTS.parent / "events_made").glob("*.json")
    )


def event_of(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_bytes())


def of_file(name: str) -> Description:
    return of(event_of(name))


def of(event: Any) -> Description:
    return table.describe(event, Options())


def links(description: Description) -> list[tuple[str, str]]:
    return [(link.context.trace_id_hex, link.context.span_id_hex) for link in description.links]
