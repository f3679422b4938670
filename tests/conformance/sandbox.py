"""One function in the emulator, with or without the extension, and everything that could be
observed.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrap_otel.emulator.config import NO_TELEMETRY_API, Config
from lrap_otel.emulator.emulator import Emulator
from tests.conformance.builds import HERE
from tests.conformance.tap import Call, Tap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrap_otel.emulator.outcome import ExtensionReport, Outcome
    from lrap_otel.emulator.signals import Span
    from tests.conformance.clients import Client

ROOT = HERE.parents[1]
# The layer that `make layer` wrote to build/opt; without it, the checkout's own extension.
OPT = Path(os.environ["CONFORMANCE_OPT"]) if os.environ.get("CONFORMANCE_OPT") else None
WRAPPER = OPT / "lrap-otel/wrapper" if OPT else ROOT / "opt/wrapper"
DIRECT = HERE / "direct"
EXTENSION = {"lrap-otel": OPT / "extensions/lrap-otel" if OPT else ROOT / "opt/entrypoint"}
MANAGED = "lambda-managed-instances"
THREE_WORKERS = {"AWS_LAMBDA_MAX_CONCURRENCY": "3"}
TRACE_HEADER = "Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=1:a87bd80c:0"


@dataclass
class Seen:
    """What both ends observed: the callers' outcomes, the Runtime API's requests, the collector's
    spans.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    reports: list[ExtensionReport] = field(default_factory=list)
    output: list[str] = field(default_factory=list)

    def results(self) -> list[dict[str, Any]]:
        """How each invocation ended, as its caller and the platform see it."""
        return [
            {"status": outcome.status, "reason": outcome.reason, "result": outcome.result}
            for outcome in self.outcomes
        ]

    def invocation_calls(self) -> list[Call]:
        """The requests about events, in the order of their heads."""
        return [call for call in self.calls if "/runtime/" in call.target]

    def calls_with_results(self) -> list[Call]:
        """The requests that report how an invocation ended."""
        return [call for call in self.invocation_calls() if call.method == "POST"]

    def other_calls(self) -> list[Call]:
        """All other requests, whose times vary."""
        return sorted(
            (call for call in self.calls if "/runtime/" not in call.target),
            key=lambda call: call.target,
        )


@dataclass(frozen=True)
class Event:
    """An event and what comes with it."""

    payload: bytes
    client_context: str = ""
    trace_header: str = TRACE_HEADER


def request_id(number: int) -> str:
    """The id of the event that is sent as ``number``."""
    return f"00000000-0000-4000-8000-{number:012d}"


def direct(
    client: Client, scratch: Path, *events: Event, streams: bool = False, **env: str
) -> Seen:
    """The outcomes of events with nothing between the client and the Runtime API; ``env`` adds to
    the function's variables.
    """
    return asyncio.run(_run(_config(client, scratch, DIRECT, streams=streams), events, env))


def through(
    client: Client, scratch: Path, *events: Event, streams: bool = False, **env: str
) -> Seen:
    """The outcomes of events with the extension between them."""
    return asyncio.run(
        _run(_config(client, scratch, WRAPPER, streams=streams, extensions=EXTENSION), events, env)
    )


def direct_at_once(
    client: Client, scratch: Path, *events: Event, streams: bool = False, **env: str
) -> Seen:
    """The same as `direct` under Managed Instances: all events at once, for three workers."""
    config = _config(client, scratch, DIRECT, streams=streams, initialization_type=MANAGED)
    return asyncio.run(_run(config, events, THREE_WORKERS | env, at_once=True))


def through_at_once(
    client: Client, scratch: Path, *events: Event, streams: bool = False, **env: str
) -> Seen:
    """The same as `through` under Managed Instances."""
    config = _config(
        client, scratch, WRAPPER, streams=streams, initialization_type=MANAGED, extensions=EXTENSION
    )
    return asyncio.run(_run(config, events, THREE_WORKERS | env, at_once=True))


def _config(
    client: Client, scratch: Path, wrapper: Path, *, streams: bool, **options: Any
) -> dict[str, Any]:
    command = (client.stream or client.command) if streams else client.command
    if client.has_bootstrap:
        bootstrap = scratch / f"bootstrap-{wrapper.name}"
        bootstrap.write_text(f"#!/bin/sh\nexec {wrapper} {' '.join(command)}\n")
        bootstrap.chmod(0o755)
        options |= {"command": [str(bootstrap)]}
    else:
        options |= {"command": command, "wrapper": wrapper}
    options |= {"cwd": client.cwd, "handler": command[-1], "env": dict(client.env)}
    return options | {"timeout_s": 30.0, "init_timeout_s": 60.0}


async def _run(
    config: dict[str, Any], events: Sequence[Event], env: dict[str, str], *, at_once: bool = False
) -> Seen:
    tap = Tap()
    address = await tap.start()
    config["env"] |= {"CONFORMANCE_TAP": address, "LRAP_RUNTIME_API_ENDPOINT": address} | env
    seen = Seen(calls=tap.calls)
    try:
        async with Emulator(Config(**{"telemetry": NO_TELEMETRY_API} | config)) as emulator:
            tap.upstream = emulator.runtime_api
            sent = [_send(emulator, event, number) for number, event in enumerate(events)]
            seen.outcomes = (
                list(await asyncio.gather(*sent))
                if at_once
                else [await outcome for outcome in sent]
            )
            seen.reports = [report for outcome in seen.outcomes for report in outcome.reports]
            seen.reports += await emulator.shutdown()
            seen.spans = list(emulator.otlp.received)
            seen.output = [f"{source}: {line}" for source, line in emulator.output]
    finally:
        await tap.close()
    return seen


async def _send(emulator: Emulator, event: Event, number: int) -> Outcome:
    return await emulator.invoke(
        event.payload,
        client_context=event.client_context,
        trace_id=event.trace_header,
        request_id=request_id(number),
    )
