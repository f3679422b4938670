"""AWS's own Python runtime client is the judge of the Runtime API."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrap_otel.emulator import Config, Emulator

if TYPE_CHECKING:
    from lrap_otel.emulator import Outcome

EXAMPLES = Path(__file__).parents[2] / "examples"


def a_python_function(**settings: Any) -> Config:
    command = [sys.executable, "-m", "awslambdaric", "app.handler"]
    return Config(command=command, cwd=EXAMPLES / "python", **settings)


def test_the_example_function_answers_its_three_events() -> None:
    async def run() -> list[Outcome]:
        async with Emulator(a_python_function()) as emulator:
            return [
                await emulator.invoke((EXAMPLES / "events" / name).read_bytes())
                for name in ("http.json", "sqs.json", "error.json")
            ]

    http, sqs, error = asyncio.run(run())
    body = json.loads(json.loads(http.payload)["body"])
    assert body["traceparent"] == "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert body["_X_AMZN_TRACE_ID"] == http.trace_header
    assert (http.status, http.function_error) == ("success", None)
    assert json.loads(sqs.payload) == {"batchItemFailures": []}
    assert (error.status, error.function_error, error.error_type) == (
        "error",
        "Unhandled",
        "Function.Unknown",
    )
    assert json.loads(error.payload)["errorType"] == "ValueError"


def test_only_the_first_invocation_pays_for_init() -> None:
    async def run() -> list[Outcome]:
        async with Emulator(a_python_function()) as emulator:
            return [await emulator.invoke(b"{}") for _ in range(2)]

    cold, warm = asyncio.run(run())
    assert cold.init_ms > 0
    assert warm.init_ms == 0
    assert cold.duration_ms <= cold.billed_ms


def test_a_handler_that_cannot_be_imported_is_an_init_error() -> None:
    async def run() -> Outcome:
        command = [sys.executable, "-m", "awslambdaric", "nothing.handler"]
        async with Emulator(Config(command=command, cwd=EXAMPLES / "python")) as emulator:
            return await emulator.invoke(b"{}")

    outcome = asyncio.run(run())
    assert outcome.status == "crash"
    assert json.loads(outcome.payload)["errorType"] == "Runtime.ImportModuleError"
    assert outcome.reason.startswith("Runtime exited")


def test_the_client_context_reaches_the_handler(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "def handler(event, context):\n    return context.client_context.custom\n"
    )

    async def run() -> Outcome:
        command = [sys.executable, "-m", "awslambdaric", "app.handler"]
        async with Emulator(Config(command=command, cwd=tmp_path)) as emulator:
            return await emulator.invoke(b"{}", client_context='{"custom":\n{"name":"Zoë"}}')

    assert json.loads(asyncio.run(run()).payload) == {"name": "Zoë"}
