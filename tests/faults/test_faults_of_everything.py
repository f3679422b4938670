"""A whole extension beside a real function, in the emulator: whatever fails, the function's results
are its own, and every invocation whose event was delivered has its span with the collector after
the next start, or a line says how many are lost.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lrap_otel.telemetry.export.spool import parse
from tests.e2e.conftest import emulated, function
from tests.faults.collector import HEALTHY, FaultyCollector
from tests.faults.table import WHOLE
from tests.processes import children, command_line, proxies_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.emulator.emulator import Emulator

pytestmark = pytest.mark.timeout(400)  # they wait for one another on a machine with few CPUs
LIMIT_S = 60.0
# Everything that JSON and HTTP can make difficult.
VALUE = {"ü": ['\u2028\x00\\"', 1e300, None, {"headers": {"traceparent": "x"}}], "": "é" * 3_000}
FAULTS = ("refused", "hangs at the head", "503")


class Sandbox:
    """The emulator's, with a collector that fails from the first invocation on."""

    def __init__(self, emulator: Emulator, collector: FaultyCollector) -> None:
        self.emulator = emulator
        self.collector = collector
        self.request_ids: list[str] = []

    async def succeed(self) -> None:
        """An invocation whose result is looked at."""
        outcome = await self.emulator.invoke(json.dumps({"do": "echo", "value": VALUE}).encode())
        assert (outcome.status, json.loads(outcome.payload)) == ("success", VALUE)
        self.request_ids.append(outcome.request_id)

    async def end_as(self, status: str, event: dict[str, Any]) -> None:
        outcome = await self.emulator.invoke(json.dumps(event).encode())
        assert outcome.status == status
        self.request_ids.append(outcome.request_id)

    async def are_kept(self) -> None:
        """Until all spans so far lie in the spool."""
        end_s = time.monotonic() + LIMIT_S
        while self.kept() < len(self.request_ids):
            assert time.monotonic() < end_s
            await asyncio.sleep(0.01)

    def kept(self) -> int:
        files = Path(self.emulator.environment["LRAP_SPOOL_DIR"]).glob(".lrap-otel-spool-*")
        return sum(
            len(parse(file.read_bytes(), "protobuf").spans)
            for file in files
            if file.suffix != ".new"
        )

    async def recover(self) -> None:
        """The collector is well again for one more invocation, and then for SHUTDOWN, which waits
        out no pause.
        """
        self.collector.become(HEALTHY)
        await self.succeed()
        await self.emulator.shutdown()

    @property
    def missing(self) -> list[str]:
        return [
            request_id
            for request_id in self.request_ids
            if not self.collector.invocations[request_id]
        ]


def live(
    name: str, fault: str, script: Callable[[Sandbox], Any], **options: Any
) -> tuple[Sandbox, list[str]]:
    """Run the script; the sandbox after it, and the extension's lines."""
    with FaultyCollector() as collector:
        sandboxes: list[Sandbox] = []

        async def run(emulator: Emulator) -> None:
            sandboxes.append(Sandbox(emulator, collector))
            collector.become(fault)
            await script(sandboxes[0])

        # The metrics' own way is not the subject.
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_METRICS_EXPORTER": "none",
            **options.pop("env", {}),
        }
        lines = emulated(function(env=env, **options), run)
    (sandbox,) = sandboxes
    injected, missing = len(sandbox.request_ids), len(sandbox.missing)
    assert sum(collector.invocations.values()) >= injected - missing
    assert set(collector.invocations) <= set(sandbox.request_ids)
    WHOLE.append((f"{name}, collector {fault}", injected, injected - missing, said(lines)))
    return sandbox, lines


def said(lines: list[str]) -> int:
    """How many spans the lines say are lost: the telemetry process exactly, the proxy at most."""
    known = r"lost since \S+: (\d+) span|what it had neither exported nor kept is lost, of at most (\d+) invocation"
    found = [re.search(known, line) for line in lines]
    return sum(int(each[1] or each[2]) for each in found if each)


def proxy() -> int:
    (found,) = proxies_of(os.getpid())
    return found


def telemetry() -> int:
    (found,) = children(proxy())
    return found


def runtime() -> int:
    (found,) = [child for child in children(os.getpid()) if b"awslambdaric" in command_line(child)]
    return found


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    ("status", "event"),
    [("timeout", {"do": "sleep", "s": 30}), ("crash", {"do": "exit"}), ("crash", {"do": "die"})],
    ids=["time-out", "exit", "out of memory"],
)
def test_a_reset_of_the_sandbox_costs_no_span(
    fault: str, status: str, event: dict[str, Any]
) -> None:
    async def script(sandbox: Sandbox) -> None:
        await sandbox.succeed()
        await sandbox.end_as(status, event)
        await sandbox.recover()

    sandbox, lines = live(f"runtime: {event['do']}", fault, script, timeout_s=3.0)
    assert sandbox.missing == []
    assert [line for line in lines if "lost since" in line] == []
    assert [
        ": 2 spans, which the next start" in line for line in lines if "not delivered since" in line
    ] == [True]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_telemetry_process_that_is_killed_costs_no_span_that_an_export_has_failed_for(
    fault: str,
) -> None:
    async def script(sandbox: Sandbox) -> None:
        await sandbox.succeed()
        await sandbox.are_kept()
        os.kill(telemetry(), signal.SIGKILL)
        await sandbox.succeed()
        await sandbox.are_kept()
        await sandbox.recover()

    sandbox, lines = live("telemetry process: killed", fault, script)
    assert sandbox.missing == []
    assert any("another one takes over" in line for line in lines)


@pytest.mark.parametrize("fault", FAULTS)
def test_one_that_is_stopped_costs_what_it_has_not_read_and_a_line_says_so(fault: str) -> None:
    async def script(sandbox: Sandbox) -> None:
        await sandbox.succeed()
        await sandbox.are_kept()
        os.kill(telemetry(), signal.SIGSTOP)
        await sandbox.succeed()
        await sandbox.emulator.shutdown("timeout")
        await sandbox.recover()

    sandbox, lines = live("telemetry process: stopped", fault, script)
    assert sandbox.missing == sandbox.request_ids[1:2]
    assert 1 <= said(lines) <= 2


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("delay_s", [0.0, 0.02, 0.3])
def test_a_kill_of_everything_costs_at_most_the_invocation_that_runs(
    fault: str, delay_s: float
) -> None:
    async def script(sandbox: Sandbox) -> None:
        await sandbox.succeed()
        await sandbox.succeed()
        await sandbox.are_kept()
        running, ended = sandbox.emulator.begin(json.dumps({"do": "sleep", "s": 30}).encode())
        sandbox.request_ids.append(running.request_id)
        await asyncio.sleep(delay_s)
        for process_id in (proxy(), runtime()):
            os.killpg(os.getpgid(process_id), signal.SIGKILL)
        assert (await ended).status == "crash"
        await sandbox.recover()

    sandbox, _ = live(f"everything: killed after {delay_s} s", fault, script)
    assert sandbox.missing in ([], sandbox.request_ids[2:3])


def test_a_collector_that_is_back_in_the_same_life_gets_everything_once() -> None:
    async def script(sandbox: Sandbox) -> None:
        for _ in range(4):
            await sandbox.succeed()
        await sandbox.are_kept()
        await sandbox.recover()
        assert sandbox.kept() == 0

    sandbox, lines = live("nothing of ours", "503", script)
    assert sandbox.missing == []
    assert set(sandbox.collector.invocations.values()) == {1}
    assert len(lines) == 1


@pytest.mark.parametrize("what", ["no folder", "read-only"])
def test_where_nothing_can_be_written_the_function_goes_on_and_the_last_line_counts(
    what: str, tmp_path: Path
) -> None:
    """A folder of /proc cannot be written by root either; nor is anything in a file."""
    folder = "/proc/sys"
    if what == "no folder":
        (tmp_path / "file").touch()
        folder = str(tmp_path / "file")

    async def script(sandbox: Sandbox) -> None:
        await sandbox.succeed()
        await sandbox.succeed()
        await sandbox.emulator.shutdown("timeout")

    sandbox, lines = live(f"/tmp: {what}", "refused", script, env={"LRAP_SPOOL_DIR": folder})
    assert len(sandbox.missing) == 2
    assert any(re.search(r"lost since \S+: 2 spans; ", line) for line in lines)
    assert sum("lost if this sandbox is reset" in line for line in lines) == 1
