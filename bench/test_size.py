"""The question: how much memory do the processes hold once they have worked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.aims import Aim
from bench.lane import Lane
from bench.machine import one_cpu
from bench.table import Table
from bench.yardsticks import Yardstick, aiohttp_proxy, ours

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

CYCLES = 3000


@pytest.mark.benchmark(group=f"size: {CYCLES} cycles")
@pytest.mark.parametrize("make", [ours, aiohttp_proxy])
def test_memory_after_work(
    make: Callable[[], Yardstick],
    benchmark: BenchmarkFixture,
    tmp_path: Path,
    print_at_end: Callable[[Table], None],
    aim_at: Callable[[Aim], None],
) -> None:
    lane = Lane(make(), tmp_path / "lane", one_cpu())
    try:
        figures = benchmark.pedantic(lane.measure, args=(CYCLES, 0), rounds=1, iterations=1)
        sizes_kb = lane.pss_kb()
        count = lane.close()
    finally:
        lane.kill()
    benchmark.extra_info.update(pss_kb=sizes_kb, cycles=count.cycles, spans=count.spans)
    print_at_end(_table(lane.yardstick.name, sizes_kb))
    if make is ours:
        aim_at(Aim("proxy process, PSS in MB", 8, sizes_kb[0] / 1024))
        aim_at(Aim("both processes, PSS in MB", 32, sum(sizes_kb) / 1024))
    assert figures["cycles"] == CYCLES
    assert 0 < count.spans <= CYCLES


def _table(name: str, sizes_kb: list[int]) -> Table:
    heads = ["PSS in MB", *(f"process {number}" for number in range(1, len(sizes_kb) + 1)), "all"]
    return Table(
        f"{name}: memory after {CYCLES} cycles",
        heads,
        [[name, *(f"{size / 1024:.1f}" for size in (*sizes_kb, sum(sizes_kb)))]],
    )
