"""The places where each client's function sees the trace, without and with the extension: ``python
-m tests.conformance.places [CLIENT ...]``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.conformance import clients
from tests.conformance.sandbox import TRACE_HEADER, Event, Seen, direct, through

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conformance.clients import Client

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
EVENT = Event(
    json.dumps(
        {
            "do": "trace",
            "version": "2.0",
            "routeKey": "GET /pets/{id}",
            "rawPath": "/pets/42",
            "headers": {"traceparent": PARENT},
            "requestContext": {
                "domainName": "api.example.com",
                "http": {"method": "GET", "path": "/pets/42"},
            },
        }
    ).encode(),
    # Runtimes do not pass `w3c` on, or do not know it.
    json.dumps({"custom": {"traceparent": PARENT}, "env": {}, "w3c": {"traceparent": PARENT}}),
)
# Lambda's own notation: the environment variable, the Java property, the context object, bash's
# header of `/next`.
XRAY_PLACES = {
    "python": {"environment"},
    "bash": {"header"},
    "go": {"environment", "context"},
    "node": {"environment", "context"},
    "java": {"property", "context"},
    "rust": {"environment", "context"},
}


def told(seen: Seen) -> dict[str, Any]:
    """The places that the function reports."""
    (outcome,) = seen.outcomes
    assert outcome.status == "success", seen.output
    return dict(json.loads(outcome.payload))


def table(client: Client) -> Iterator[str]:
    """A line for each place: the client, the place, its content without and with the extension."""
    with tempfile.TemporaryDirectory() as scratch:
        without, seen = direct(client, Path(scratch), EVENT), through(client, Path(scratch), EVENT)
    names = {
        TRACE_HEADER: "Lambda's header",
        PARENT: "the caller",
        seen.spans[0].span_id_hex: "our span",
        "00f067aa0ba902b7": "the caller",
    }
    before, after = _flat(told(without)), _flat(told(seen))
    for place in sorted(before | after):
        shown = [_named(found.get(place), names) for found in (before, after)]
        yield f"| {client.name} | `{place}` | {shown[0]} | {shown[1]} |"


def _flat(found: dict[str, Any]) -> dict[str, str]:
    """The event's headers and the client context's members as places of their own."""
    headers = {
        f"event headers {name}": value for name, value in found.pop("event")["headers"].items()
    }
    for name, value in found.items():
        if isinstance(value, dict):
            headers |= {f"{name} {key}": value[key]["traceparent"] for key in ("custom", "w3c")}
        else:
            headers[name] = value
    return headers


def _named(value: str | None, names: dict[str, str]) -> str:
    return next((said for part, said in names.items() if part in (value or "")), value or "nothing")


if __name__ == "__main__":
    print("| client | place | without us | with us |\n| --- | --- | --- | --- |")  # noqa: T201 -- what it is for
    for wanted in sys.argv[1:] or clients.NAMES:
        print("\n".join(table(clients.client(wanted))))  # noqa: T201 -- likewise
