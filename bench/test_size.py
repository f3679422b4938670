"""The question: how much memory the processes hold after they have worked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.goals import Goal
from bench.machine import one_cpu
from bench.rig import Rig
from bench.table import Table
from bench.targets import Target, aiohttp_proxy, ours

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

CYCLES = 3000


@pytest.mark.benchmark(group=f"size: {CYCLES} cycles")
@pytest.mark.parametrize("make", [ours, aiohttp_proxy])
def test_memory_after_work(
    make: Callable[[], Target],
    benchmark: BenchmarkFixture,
    tmp_path: Path,
    print_at_end: Callable[[Table], None],
    set_goal: Callable[[Goal], None],
) -> None:
    rig = Rig(make(), tmp_path / "rig", one_cpu())
    try:
        figures = benchmark.pedantic(rig.measure, args=(CYCLES, 0), rounds=1, iterations=1)
        sizes_kb = rig.pss_kb()
        count = rig.close()
    finally:
        rig.kill()
    benchmark.extra_info.update(pss_kb=sizes_kb, cycles=count.cycles, spans=count.spans)
    print_at_end(_table(rig.target.name, sizes_kb))
    if make is ours:
        set_goal(Goal("proxy process, PSS in MB", 8, sizes_kb[0] / 1024))
        set_goal(Goal("both processes, PSS in MB", 32, sum(sizes_kb) / 1024))
    assert figures["cycles"] == CYCLES
    assert 0 < count.spans <= CYCLES


def _table(name: str, sizes_kb: list[int]) -> Table:
    heads = ["PSS in MB", *(f"process {number}" for number in range(1, len(sizes_kb) + 1)), "all"]
    return Table(
        f"{name}: memory after {CYCLES} cycles",
        heads,
        [[name, *(f"{size / 1024:.1f}" for size in (*sizes_kb, sum(sizes_kb)))]],
    )
