"""The whole product in the emulator: the extension through opt/entrypoint, a real runtime client
through opt/wrapper.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrap_otel.emulator.config import NO_TELEMETRY_API, Config
from lrap_otel.emulator.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lrap_otel.emulator.outcome import Outcome

ROOT = Path(__file__).parents[2]
EXTENSION = {"lrap-otel": ROOT / "opt/entrypoint"}

HTTP_EVENT = {
    "version": "2.0",
    "routeKey": "GET /pets/{id}",
    "rawPath": "/pets/42",
    "rawQueryString": "",
    "headers": {
        "host": "api.example.com",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    },
    "requestContext": {
        "domainName": "api.example.com",
        "http": {
            "method": "GET",
            "path": "/pets/42",
            "protocol": "HTTP/1.1",
            "sourceIp": "192.0.2.1",
            "userAgent": "curl",
        },
    },
    "isBase64Encoded": False,
}


def function(handler: str = "function.handler", **options: Any) -> Config:
    """A Python function behind the extension, unless `options` say otherwise."""
    settings: dict[str, Any] = {
        "command": [sys.executable, "-m", "awslambdaric", handler],
        "cwd": Path(__file__).parent,
        "wrapper": ROOT / "opt/wrapper",
        "extensions": EXTENSION,
        "timeout_s": 10.0,
        # Spans are those of invocations, then; test_e2e_platform.py has it.
        "telemetry": NO_TELEMETRY_API,
    }
    return Config(**{**settings, **options})


def emulated(config: Config, script: Callable[[Emulator], Awaitable[None]]) -> list[str]:
    """Run `script` against a sandbox; what the extension printed."""

    async def run() -> list[str]:
        async with Emulator(config) as emulator:
            await script(emulator)
            return [text for source, text in emulator.output if source == "lrap-otel"]

    return asyncio.run(run())


def run_through(config: Config, *events: bytes) -> Emulator:
    """Send the events, then SHUTDOWN."""

    async def run() -> Emulator:
        async with Emulator(config) as emulator:
            for event in events:
                await emulator.invoke(event)
            await emulator.shutdown()
            return emulator

    return asyncio.run(run())


async def invoke(emulator: Emulator, event: dict[str, Any]) -> tuple[Outcome, Any]:
    """Send an event; how it ended, and the result as the caller reads it."""
    outcome = await emulator.invoke(json.dumps(event).encode())
    return outcome, json.loads(outcome.payload or b"null")
