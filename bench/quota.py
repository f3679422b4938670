"""What the extension costs a function that has 7 or 10 % of a CPU: its first events, and what is
billed until a span is out.

In the group with the quota is what a sandbox holds: the extension, and a runtime in C that takes
next to no CPU of its own, so that it polls long before the telemetry process is ready. The
emulator, which is Lambda and the collector, stands outside. Between invocations the group is
frozen, as Lambda freezes a sandbox.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench.compiled import program
from bench.events import http_event
from bench.quota_cgroup import Quota
from bench.rig import free_port
from bench.table import text_table
from bench.targets import ROOT
from lrap_otel.emulator.config import Config
from lrap_otel.emulator.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EVENTS = 20
SHARES_PERCENT = (7.0, 10.0)
# Lambda's, and the kernel's default.
PERIODS_US = (20_000, 100_000)
EVENT = http_event(1_024)
# What an event finds used up of the quota is another event's affair: it begins in a fresh period.
PAUSE_PERIODS = 2
# Of a function that is never cut short here, whatever its share.
TIMEOUT_S = 60.0
HEADS = (
    "",
    "p50 ms",
    "p99 ms",
    "billed p50 ms",
    "periods throttled",
    "first span: event",
    "billed ms until then",
    "spans",
    "killed",
)


@dataclass(frozen=True)
class Share:
    """So much of one CPU, by periods of so many microseconds."""

    percent: float
    period_us: int

    def __str__(self) -> str:
        return f"{self.percent:g} % of a CPU, periods of {self.period_us // 1000} ms"


@dataclass(frozen=True)
class First:
    """The first events of a sandbox, in order: ms from the event to its result, and what Lambda
    bills for each.

    `exported_with` is the number of the event, from 1, in whose invocation the first span left; 0
    if none did.
    """

    duration_ms: list[float]
    billed_ms: list[float]
    exported_with: int
    spans: int
    throttled: int
    is_clean: bool

    @property
    def billed_until_span_ms(self) -> float:
        """All that was billed up to and with the invocation in which the first span left."""
        return sum(self.billed_ms[: self.exported_with])


def measure(share: Share, *, extension: Path | None, events: int = EVENTS) -> First:
    """A new sandbox with that share, so many events, SHUTDOWN. `extension` is an
    ``opt/entrypoint``, None for the direct way.

    Raises QuotaError where no quota can be set.
    """
    with tempfile.TemporaryDirectory() as folder, Quota(share.percent, share.period_us) as quota:
        return asyncio.run(_measure(_config(Path(folder), quota, extension), quota, events))


async def _measure(config: Config, quota: Quota, events: int) -> First:
    duration_ms, billed_ms, exported_with = [], [], 0
    async with Emulator(config) as emulator:
        try:
            await emulator.start()
            for number in range(1, events + 1):
                quota.thaw()
                outcome = await emulator.invoke(EVENT)
                quota.freeze()
                await asyncio.sleep(PAUSE_PERIODS * quota.period_s)
                if outcome.status != "success":
                    raise RuntimeError(
                        f"event {number}: {outcome.status}: {outcome.reason} {emulator.output}"
                    )
                duration_ms.append(outcome.duration_ms)
                billed_ms.append(outcome.billed_ms)
                exported_with = exported_with or (number if emulator.otlp.received else 0)
            throttled = quota.throttled()
        finally:
            quota.thaw()
        reports = await emulator.shutdown()
        is_clean = all(report.is_clean for report in reports)
        # Of one whose export was not answered in time, the same span comes again.
        spans = {span.span_id_hex for span in emulator.otlp.received}
        return First(duration_ms, billed_ms, exported_with, len(spans), throttled, is_clean)


def _config(folder: Path, quota: Quota, extension: Path | None) -> Config:
    """A sandbox whose processes enter the group before anything else."""
    enter = "".join(f"echo $$ > {shlex.quote(str(door))}\n" for door in quota.doors)
    runtime = (
        f"exec {shlex.quote(str(program('client')))} "
        f'--port="${{AWS_LAMBDA_RUNTIME_API##*:}}" --cycles=100000 --timeout=600'
    )
    command = _script(folder / "runtime", runtime)
    if extension is None:
        return _sandbox(command, wrapper=_script(folder / "wrapper", f'{enter}exec "$@"'))
    ours = extension.parent / "wrapper"
    return _sandbox(
        command,
        wrapper=_script(folder / "wrapper", f'{enter}exec {shlex.quote(str(ours))} "$@"'),
        extensions={
            extension.name: _script(
                folder / extension.name, f"{enter}exec {shlex.quote(str(extension))}"
            )
        },
        env={"LRAP_LISTENER_PORT": str(free_port()), "LRAP_EXTENSION_NAME": extension.name},
    )


def _sandbox(command: Path, **options: object) -> Config:
    return Config(command=[str(command)], timeout_s=TIMEOUT_S, memory_mb=128, **options)  # type: ignore[arg-type]


def _script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def row(name: str, sandboxes: Sequence[First]) -> list[str]:
    """The medians over several sandboxes, of which p99 is the slowest event's."""
    return [
        name,
        _ms(median(first.duration_ms) for first in sandboxes),
        _ms(max(first.duration_ms) for first in sandboxes),
        _ms(median(first.billed_ms) for first in sandboxes),
        f"{median(first.throttled for first in sandboxes):.0f}",
        " ".join(str(first.exported_with or "-") for first in sandboxes),
        " ".join(
            f"{first.billed_until_span_ms:.0f}" if first.exported_with else "-"
            for first in sandboxes
        ),
        " ".join(str(first.spans) for first in sandboxes),
        str(sum(not first.is_clean for first in sandboxes)),
    ]


def _ms(values: Iterable[float]) -> str:
    return f"{median(values):.1f}"


def main() -> None:
    """Compare the first events of a function alone, behind this extension, and behind those of
    other checkouts.
    """
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--sandboxes", type=int, default=3, help="new sandboxes for each row")
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--before", type=Path, help="another checkout that is set up")
    options = parser.parse_args()
    extensions = {"direct": None, "ours": ROOT / "opt/entrypoint"}
    if options.before:
        extensions["before"] = options.before.resolve() / "opt/entrypoint"
    for share in (
        Share(percent, period_us) for percent in SHARES_PERCENT for period_us in PERIODS_US
    ):
        rows = []
        for name, extension in extensions.items():
            sandboxes = [
                measure(share, extension=extension, events=options.events)
                for _ in range(options.sandboxes)
            ]
            rows.append(row(name, sandboxes))
        print(f"{share}\n{text_table(HEADS, rows)}\n", flush=True)


if __name__ == "__main__":
    main()
