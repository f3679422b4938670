"""What the clients' functions print and log arrives at a real collector in the span that printed
it, once.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from lrap_otel.emulator.config import Config
from lrap_otel.emulator.emulator import Emulator
from tests.conformance import clients
from tests.conformance.builds import HERE, run
from tests.conformance.sandbox import EXTENSION, WRAPPER
from tests.conformance.test_conformance_collector import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conformance.clients import Client

pytestmark = pytest.mark.collector

LOGGING = HERE / "logging"
EVENTS = 3
WARN = 13


def python(client: Client, _: Path) -> dict[str, Any]:
    return {
        "command": [*client.command[:-1], "logging_function.handler"],
        "cwd": LOGGING,
        "wrapper": WRAPPER,
    }


def node(client: Client, _: Path) -> dict[str, Any]:
    return {"command": client.command, "cwd": LOGGING, "wrapper": WRAPPER}


def bash(_: Client, scratch: Path) -> dict[str, Any]:
    return {"command": [bootstrap(scratch, LOGGING / "function")], "cwd": scratch}


def go(client: Client, scratch: Path) -> dict[str, Any]:
    source = scratch / "source"
    shutil.copytree(client.cwd, source)
    shutil.copy(LOGGING / "main.go", source)
    run(source, "go", "build", "-p", "1", "-buildvcs=false", "-o", "logging", ".")
    return {"command": [bootstrap(scratch, source / "logging")], "cwd": scratch}


def java(client: Client, scratch: Path) -> dict[str, Any]:
    *command, path, entry, _ = client.command
    run(scratch, "javac", "-cp", path, "-d", str(scratch), str(LOGGING / "Logging.java"))
    # As the managed runtime starts it: else its client cannot write to Lambda's pipe for logs.
    opened = ["--add-opens", "java.base/java.io=ALL-UNNAMED"]
    command[1:1] = opened
    return {
        "command": [*command, f"{scratch}:{path}", entry, "Logging"],
        "cwd": scratch,
        "wrapper": WRAPPER,
    }


# How each client's function is started; the clients themselves are built already.
STARTS: dict[str, Callable[[Client, Path], dict[str, Any]]] = {
    "python": python,
    "node": node,
    "bash": bash,
    "go": go,
    "java": java,
}


def bootstrap(scratch: Path, program: Path) -> str:
    """A ``bootstrap`` that starts the program through our wrapper, as users of custom runtimes
    write it.
    """
    path = scratch / "bootstrap"
    path.write_text(f"#!/bin/sh\nexec {WRAPPER} {program}\n")
    path.chmod(0o755)
    return str(path)


def items(exported: Path, resources: str, scopes: str, name: str) -> Iterator[dict[str, Any]]:
    """The spans or log records in the file that the collector has written."""
    for line in exported.read_text().splitlines():
        for resource in json.loads(line).get(resources, ()):
            for scope in resource[scopes]:
                yield from scope[name]


def attributes(item: dict[str, Any]) -> dict[str, Any]:
    return {each["key"]: each["value"].get("stringValue") for each in item.get("attributes", ())}


async def invoke(config: Config) -> list[str]:
    """The request ids of the invocations, after SHUTDOWN."""
    async with Emulator(config) as emulator:
        for number in range(EVENTS):
            outcome = await emulator.invoke(b'{"n": %d}' % number)
            assert (outcome.status, outcome.payload.strip()) == (
                "success",
                b'{"n": %d}' % number,
            ) or outcome.payload
        await emulator.shutdown()
        assert [line for source, line in emulator.output if source == "lrap-otel"] == []
        return [outcome.request_id for outcome in emulator.outcomes]


@pytest.mark.parametrize("log_format", ["Text", "JSON"])
@clients.each(*STARTS)
def test_what_a_function_prints_and_logs_is_in_its_span_once(
    client: Client, collector: Path, tmp_path: Path, log_format: str
) -> None:
    start = STARTS[client.name](client, tmp_path)
    with running(collector, tmp_path, is_batched=False) as (endpoint, _):
        env = {"OTEL_LOGS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, **client.env}
        config = Config(
            **start,
            extensions=EXTENSION,
            env=env,
            timeout_s=30.0,
            init_timeout_s=60.0,
            log_format=log_format,
        )
        request_ids = asyncio.run(invoke(config))

    exported = tmp_path / "exported.jsonl"
    spans = {
        attributes(span).get("faas.invocation_id"): span
        for span in items(exported, "resourceSpans", "scopeSpans", "spans")
    }
    records = list(
        items(tmp_path / "exported.jsonl.logs", "resourceLogs", "scopeLogs", "logRecords")
    )
    for request_id in request_ids:
        span = spans[request_id]
        mine = [
            record
            for record in records
            if attributes(record).get("faas.invocation_id") == request_id
        ]
        assert {(record["traceId"], record["spanId"]) for record in mine} == {
            (span["traceId"], span["spanId"])
        }
        bodies = {record["body"]["stringValue"]: record.get("severityNumber", 0) for record in mine}
        # Java's logger leaves the level in its text.
        logged = "[WARN] logged" if client.name == "java" and log_format == "Text" else "logged"
        assert (bodies, len(mine)) == ({"printed": 0, logged: WARN}, 2)
