"""A telemetry process that dies has a successor, a few times, and the function never notices."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from lrap_otel.extension.restart import RESTARTS_LIMIT
from tests.e2e.conftest import HTTP_EVENT, emulated, function, invoke
from tests.processes import children, proxies_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.emulator.emulator import Emulator

LIMIT_S = 30.0
# More than any machine needs: no flush ends for want of time, only with the process that it waits
# for.
PATIENT = {"LRAP_FLUSH_BUDGET_MS": "8000"}


def extension_process() -> int:
    """The extension descends from this process."""
    (found,) = proxies_of(os.getpid())
    return found


def telemetry_processes() -> list[int]:
    """The extension's children."""
    return children(extension_process())


async def eventually(holds: Callable[[], bool]) -> None:
    end = asyncio.get_running_loop().time() + LIMIT_S
    while not holds():
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.005)


async def kill_telemetry() -> None:
    """SIGKILL in mid-flight, until it is gone."""
    (process_id,) = telemetry_processes()
    os.kill(process_id, signal.SIGKILL)
    await eventually(lambda: process_id not in telemetry_processes())


async def stop_telemetry() -> None:
    """From now on it reads nothing."""
    (process_id,) = telemetry_processes()
    os.kill(process_id, signal.SIGSTOP)
    status = Path(f"/proc/{process_id}/status")
    await eventually(lambda: "State:\tT" in status.read_text())


def test_records_that_a_killed_process_left_unread_are_exported_by_its_successor() -> None:
    async def script(emulator: Emulator) -> None:
        first, _ = await invoke(emulator, {})
        await emulator.otlp.spans(1, LIMIT_S)
        await stop_telemetry()
        unread, ended = emulator.begin(json.dumps(HTTP_EVENT).encode())
        await unread.result
        assert not ended.done()  # a flush is waited for that the stopped process does not read
        await kill_telemetry()
        assert (await ended).status == "success"
        _, of_successor = await emulator.otlp.spans(2, LIMIT_S)
        assert of_successor.attributes["faas.invocation_id"] == unread.request_id
        # What only the predecessor had been told: by Lambda's answer to the registration, and by
        # the wrapper.
        of_first = emulator.otlp.find_span(first.request_id)
        assert of_first is not None
        told = dict(of_first.resource)
        assert told.pop("service.instance.id") != of_successor.resource["service.instance.id"]
        assert {"cloud.account.id", "faas.instance"} <= told.keys()
        assert of_successor.resource.items() >= told.items()
        (report,) = await emulator.shutdown()
        assert report.is_clean

    warnings = emulated(function(env=PATIENT), script)
    assert ["has ended (-9); another one takes over" in warning for warning in warnings] == [
        True
    ], warnings


def test_a_process_that_is_killed_again_and_again_is_given_up_and_the_function_goes_on() -> None:
    async def script(emulator: Emulator) -> None:
        await emulator.start()
        for killed in range(RESTARTS_LIMIT + 1):
            await eventually(lambda: len(telemetry_processes()) == 1)
            outcome, _ = await invoke(emulator, HTTP_EVENT)
            assert outcome.status == "success"
            # Each of them works.
            await emulator.otlp.spans(killed + 1, LIMIT_S)
            await kill_telemetry()
        for _ in range(3):
            outcome, result = await invoke(emulator, HTTP_EVENT)
            assert outcome.status == "success"
            assert "traceparent" in result["headers"]
        assert telemetry_processes() == []
        (report,) = await emulator.shutdown()
        assert report.is_clean
        assert len(emulator.otlp.received) == RESTARTS_LIMIT + 1

    warnings = emulated(function(env=PATIENT), script)

    assert [warning.split("; ")[1] for warning in warnings] == [
        *["another one takes over"] * RESTARTS_LIMIT,
        "no more telemetry from this sandbox",
    ]


def test_a_process_that_is_killed_while_it_starts_has_a_successor_too() -> None:
    async def script(emulator: Emulator) -> None:
        await emulator.start()
        await kill_telemetry()
        outcome, _ = await invoke(emulator, {})
        (span,) = await emulator.otlp.spans(1, LIMIT_S)
        assert span.attributes["faas.invocation_id"] == outcome.request_id
        (report,) = await emulator.shutdown()
        assert report.is_clean

    emulated(function(), script)


def test_one_whose_files_are_missing_has_no_successor_that_would_miss_them_again(
    tmp_path: Path,
) -> None:
    root = Path(__file__).parents[2]
    (tmp_path / "extensions").mkdir()
    shutil.copytree(
        root / "lrap_otel",
        tmp_path / "lrap_otel",
        ignore=shutil.ignore_patterns("pipeline.py*", "__pycache__"),
    )
    shutil.copy(root / ".lrap-paths", tmp_path / ".lrap-paths")
    entrypoint = tmp_path / "extensions/lrap-otel"
    entrypoint.write_bytes((root / "opt/entrypoint").read_bytes())
    entrypoint.chmod(0o755)

    async def script(emulator: Emulator) -> None:
        outcome, _ = await invoke(emulator, {})
        assert outcome.status == "success"
        await eventually(lambda: len(emulator.output) >= 2)
        (report,) = await emulator.shutdown()
        assert report.is_clean

    last, first = sorted(
        emulated(function(extensions={"lrap-otel": entrypoint}), script), reverse=True
    )
    assert "telemetry ends: ModuleNotFoundError" in first
    assert "no more telemetry from this sandbox" in last
