"""What starts a second time in a layer starts with the layer's loader and interpreter too."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import TYPE_CHECKING

from lrap_otel.emulator import Config, Emulator
from lrap_otel.emulator.config import NO_TELEMETRY_API
from tests.e2e.conftest import HTTP_EVENT
from tests.layer.builds import ROOT
from tests.processes import children, command_line, proxies_of

if TYPE_CHECKING:
    from pathlib import Path


def test_a_telemetry_process_that_was_killed_has_a_successor(built: Path) -> None:
    seen = asyncio.run(_kill_between_two_events(built / "opt"))
    assert [span.name for span in seen["spans"]] == ["/pets/{id}"] * 2
    assert str(seen["successor"]).count("/ld.so") == 1
    assert all(report.is_clean for report in seen["reports"])
    # Nothing of an interpreter that is taken apart with threads in it, which libgcc_s would be
    # needed for.
    assert not [line for line in seen["output"] if "libgcc" in line or "abort" in line.lower()]


async def _kill_between_two_events(opt: Path) -> dict[str, list]:
    config = Config(
        command=[sys.executable, "-m", "awslambdaric", "function.handler"],
        cwd=ROOT / "tests/e2e",
        opt=opt,
        wrapper=opt / "lrap-otel/wrapper",
        timeout_s=30,
        telemetry=NO_TELEMETRY_API,
        env={"LRAP_FLUSH_BUDGET_MS": "20000"},
    )
    async with Emulator(config) as emulator:
        await emulator.invoke(json.dumps(HTTP_EVENT).encode())
        (proxy,) = proxies_of_everything_in(opt)
        (telemetry,) = children(proxy)
        os.kill(telemetry, signal.SIGKILL)
        await emulator.invoke(json.dumps(HTTP_EVENT).encode())
        (successor,) = [child for child in children(proxy) if child != telemetry]
        said = command_line(successor).decode()
        reports = await emulator.shutdown()
        output = [text for _, text in emulator.output]
        return {
            "spans": list(emulator.otlp.received),
            "successor": said,
            "reports": reports,
            "output": output,
        }


def proxies_of_everything_in(opt: Path) -> list[int]:
    """The proxy processes of a layer among the children of this process."""
    mine = [proxy for child in children(os.getpid()) for proxy in proxies_of(child)]
    return [proxy for proxy in mine if str(opt).encode() in command_line(proxy)]
