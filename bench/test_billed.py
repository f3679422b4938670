"""The question: how much billed time and CPU telemetry takes outside the calls of the hot path."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

import pytest

from bench.billed import Billed, Sandbox
from bench.events import http_event
from bench.machine import one_cpu, other_cpus
from bench.replay import REPLAY_CLOCK
from bench.rig import Rig
from bench.sink import Sink
from bench.table import Table
from bench.targets import DIRECT, Target, ours

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

    from bench.replay import Replay

pytestmark = pytest.mark.timeout(600)

# The first ones wait for the imports of the telemetry process, or find a rhythm.
WARMUP = 5
PACED_CYCLES, PACED_RATE = 1_000, 500


@dataclass(frozen=True)
class Rhythm:
    """How invocations follow each other: the function takes `function_s`, the sandbox is frozen for
    `pause_s` between two.
    """

    name: str
    function_s: float
    pause_s: float
    invocations: int


RHYTHMS = (
    Rhythm("now and then: 20 ms of function, 1 s frozen", 0.02, 1.0, 8),
    Rhythm("one after the other: 100 ms of function", 0.1, 0.0, 25),
)


@pytest.fixture(scope="module")
def rows(print_at_end: Callable[[Table], None]) -> list[list[str]]:
    """The rows of this module's table."""
    rows: list[list[str]] = []
    heads = [
        "",
        "billed more, p50 ms",
        "most ms",
        "by the runtime",
        "CPU ms of telemetry",
        "CPU ms of proxy",
    ]
    print_at_end(Table("billed, and CPU off the hot path, for each invocation", heads, rows))
    return rows


@pytest.mark.benchmark(
    timer=REPLAY_CLOCK, group="billed: billed time that is added to an invocation"
)
@pytest.mark.parametrize("collector_ms", [1, 50])
@pytest.mark.parametrize("rhythm", RHYTHMS, ids=lambda rhythm: rhythm.name.partition(":")[0])
def test_billed_time(
    rhythm: Rhythm, collector_ms: int, tmp_path: Path, replay: Replay, rows: list[list[str]]
) -> None:
    count = int(os.environ.get("BENCH_ROUNDS", "0")) or rhythm.invocations
    direct, _, _ = _invocations(
        Target(DIRECT), replace(rhythm, pause_s=0), collector_ms, 10, tmp_path / "direct"
    )
    through, cpu_ms, spans = _invocations(ours(), rhythm, collector_ms, count, tmp_path / "ours")
    assert spans == WARMUP + count
    floor_s = median(one.billed_s for one in direct)
    added_s = [one.billed_s - floor_s for one in through]
    by_runtime_ms = 1000 * median(one.runtime_s - floor_s for one in through)
    replay(
        [max(0.0, one_s) for one_s in added_s], {"cpu_ms": cpu_ms, "by_runtime_ms": by_runtime_ms}
    )
    times_ms = (1000 * median(added_s), 1000 * max(added_s), by_runtime_ms)
    name = f"{rhythm.name}; a collector of {collector_ms} ms"
    rows.append([name, *(f"{time_ms:.2f}" for time_ms in times_ms), *_cpu_columns(cpu_ms)])


@pytest.mark.benchmark(group="billed: CPU of invocations that are exported together")
def test_cpu_of_invocations_exported_together(
    benchmark: BenchmarkFixture, tmp_path: Path, rows: list[list[str]]
) -> None:
    rig = Rig(ours(), tmp_path / "rig", one_cpu())
    try:
        rig.measure(PACED_CYCLES, 0, f"--rate={PACED_RATE}")
        before_ns = rig.cpu_ns()
        options = (PACED_CYCLES, 0, f"--rate={PACED_RATE}")
        figures = benchmark.pedantic(rig.measure, args=options, rounds=1, iterations=1)
        cpu_ms = _per_invocation_ms(before_ns, rig.cpu_ns(), PACED_CYCLES)
        count = rig.close()
    finally:
        rig.kill()
    benchmark.extra_info.update(cpu_ms=cpu_ms)
    rows.append([f"{PACED_RATE} a second, exported together", "", "", "", *_cpu_columns(cpu_ms)])
    assert figures["cycles"] == PACED_CYCLES
    assert count.spans == 2 * PACED_CYCLES


def _invocations(
    target: Target, rhythm: Rhythm, collector_ms: int, count: int, folder: Path
) -> tuple[list[Billed], list[float], int]:
    """So many invocations, the CPU time of each process for one of them, and how many spans
    arrived, warm-up included.
    """
    folder.mkdir()
    sink = Sink(folder, other_cpus(one_cpu()), collector_ms)
    try:
        sandbox = Sandbox(target, folder / "sandbox", sink, http_event(1_000))
        try:
            for _ in range(WARMUP):
                sandbox.invoke(rhythm.function_s, min(rhythm.pause_s, 0.2))
            before_ns = sandbox.cpu_ns()
            billed = [sandbox.invoke(rhythm.function_s, rhythm.pause_s) for _ in range(count)]
            cpu_ms = _per_invocation_ms(before_ns, sandbox.cpu_ns(), count)
            sandbox.shut_down()
        finally:
            sandbox.close()
        return billed, cpu_ms, sink.close()
    finally:
        sink.kill()


def _per_invocation_ms(before_ns: list[int], after_ns: list[int], count: int) -> list[float]:
    return [
        (after - before) / count / 1e6 for before, after in zip(before_ns, after_ns, strict=True)
    ]


def _cpu_columns(cpu_ms: list[float]) -> list[str]:
    proxy_ms, telemetry_ms = cpu_ms
    return [f"{telemetry_ms:.2f}", f"{proxy_ms:.2f}"]
