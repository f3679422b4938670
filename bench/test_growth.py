"""The question: how the cost of a cycle grows with what is in it, and with how many
went before it.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

from bench import rounds
from bench.machine import one_cpu
from bench.plot import Line, number_text, svg
from bench.replay import REPLAY_CLOCK
from bench.results import keep_plot
from bench.rig import Rig
from bench.rounds import Load, Rounds
from bench.table import Table
from bench.targets import DIRECT, FLOOR, OURS, chosen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench.replay import Replay

pytestmark = pytest.mark.timeout(900)

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "0"))
INVOCATIONS = int(os.environ.get("BENCH_INVOCATIONS", "100000"))
SHOWN = (FLOOR, OURS, "aiohttp")


@dataclass(frozen=True)
class Axis:
    """What grows: a load for each of its sizes."""

    name: str
    title: str
    unit: str
    loads: dict[int, Load]

    @property
    def is_throughput(self) -> bool:
        """Whether cycles per second are what counts."""
        return any(load.is_throughput for load in self.loads.values())

    @property
    def y_name(self) -> str:
        """What is measured."""
        return "cycles/s" if self.is_throughput else "added p50, µs"

    def y(self, measured: Rounds, name: str) -> float:
        """A target's figure."""
        return measured.per_s(name) if self.is_throughput else measured.added_us(name, "p50_ns")


def _load(name: str, cycles: int, **what: int) -> Load:
    return Load(f"growth, {name}", cycles, warmup=max(cycles // 10, 2), rounds=3, **what)


AXES = (
    Axis(
        "event-size",
        "A larger event",
        "bytes of the event",
        {
            size: _load(f"{size} bytes", cycles, event_bytes=size)
            for size, cycles in (
                (1_000, 400),
                (10_000, 400),
                (100_000, 150),
                (1_000_000, 40),
                (6_000_000, 10),
            )
        },
    ),
    Axis(
        "headers",
        "More headers in the event",
        "headers",
        {count: _load(f"{count} headers", 300, headers=count) for count in (10, 50, 200)},
    ),
    Axis(
        "connections",
        "More runtimes at once",
        "connections",
        {count: _load(f"{count} at once", 2_000, connections=count) for count in (1, 4, 16, 64)},
    ),
    Axis(
        "records",
        "More records in a batch",
        "records of the batch",
        {
            count: _load(f"{count} records", cycles, records=count)
            for count, cycles in ((1, 400), (100, 150), (1_000, 40), (10_000, 10))
        },
    ),
)


@pytest.mark.benchmark(timer=REPLAY_CLOCK, group="growth: p50 of ours, for each size")
@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.name)
def test_growth(axis: Axis, replay: Replay, print_at_end: Callable[[Table], None]) -> None:
    targets = chosen((DIRECT, *SHOWN))
    measured = {
        size: rounds.run(load, targets, one_cpu(), ROUNDS) for size, load in axis.loads.items()
    }
    lines = [
        Line(name, [(size, axis.y(one, name)) for size, one in measured.items()]) for name in SHOWN
    ]
    missing = [one.counts[OURS].cycles - one.counts[OURS].spans for one in measured.values()]
    keep_plot(f"growth-{axis.name}", svg(axis.title, axis.unit, axis.y_name, lines))
    print_at_end(_table(axis, lines, missing))
    replay([median(one.of(OURS, "p50_ns")) / 1e9 for one in measured.values()], _extra(lines))
    silent = [size for size, one in measured.items() if not one.counts[OURS].spans]
    assert not silent, f"no span arrived for {silent} {axis.unit}: a machine too busy, or a fault"


@pytest.mark.benchmark(
    timer=REPLAY_CLOCK, group="growth: p50 of ours, for each number of invocations"
)
def test_growth_with_invocations(
    replay: Replay, print_at_end: Callable[[Table], None], tmp_path: Path
) -> None:
    steps = [step for step in (1, 10, 100, 1_000, 10_000, 100_000) if step <= INVOCATIONS]
    figures, sizes_kb, missing = _one_after_the_other(steps, tmp_path)
    added = [Line(name, _added_points(steps, figures, name)) for name in (FLOOR, OURS)]
    memory = [
        Line(name, list(zip(steps, (kb[place] / 1024 for kb in sizes_kb), strict=True)))
        for place, name in enumerate(("proxy", "telemetry"))
    ]
    keep_plot(
        "growth-invocations", svg("After more invocations", "invocations", "added p50, µs", added)
    )
    keep_plot(
        "growth-memory",
        svg("Memory after more invocations", "invocations", "PSS, MB", memory, is_linear=True),
    )
    print_at_end(_invocations_table(steps, added, memory, missing))
    replay([one["p50_ns"] / 1e9 for one in figures[OURS]], _extra([*added, *memory]))
    assert [one["cycles"] for one in figures[OURS]] == _stretches(steps)
    warm_kb = sizes_kb[min(3, len(steps) - 1)][0]
    assert sizes_kb[-1][0] < 1.2 * warm_kb


def _one_after_the_other(
    steps: Sequence[int], folder: Path
) -> tuple[dict[str, list[dict[str, Any]]], list[list[int]], int]:
    """The client's figures of each stretch up to the next step, the memory of ours behind each, and
    how many spans are missing.
    """
    with ExitStack() as cleanup:
        rigs = [
            Rig(target, folder / target.name, one_cpu()) for target in chosen((DIRECT, FLOOR, OURS))
        ]
        for rig in rigs:
            cleanup.callback(rig.kill)
        figures: dict[str, list[dict[str, Any]]] = {rig.target.name: [] for rig in rigs}
        sizes_kb = []
        for cycles in _stretches(steps):
            for rig in rigs:
                figures[rig.target.name].append(rig.measure(cycles, 0, "--timeout=300"))
            sizes_kb.append(rigs[-1].pss_kb())
        count = [rig.close() for rig in rigs][-1]
        return figures, sizes_kb, count.cycles - count.spans


def _stretches(steps: Sequence[int]) -> list[int]:
    return [step - before for before, step in zip((0, *steps), steps, strict=False)]


def _added_points(
    steps: Sequence[int], figures: dict[str, list[dict[str, Any]]], name: str
) -> list[tuple[float, float]]:
    pairs = zip(figures[name], figures[DIRECT], strict=True)
    added_us = [(through["p50_ns"] - direct["p50_ns"]) / 1000 for through, direct in pairs]
    return list(zip(steps, added_us, strict=True))


def _table(axis: Axis, lines: Sequence[Line], missing: Sequence[int]) -> Table:
    rows = [[line.name, *(f"{y:,.0f}" for _, y in line.points)] for line in lines]
    floor, ours = ([y for _, y in line.points] for line in lines[:2])
    rows.append(
        [
            f"{OURS} x {FLOOR}",
            *(f"{y / floor_y:.2f}" for y, floor_y in zip(ours, floor, strict=True)),
        ]
    )
    rows.append([f"spans of {OURS} missing", *map(str, missing)])
    return Table(f"{axis.title}: {axis.y_name}", [axis.unit, *map(number_text, axis.loads)], rows)


def _invocations_table(
    steps: Sequence[int], added: Sequence[Line], memory: Sequence[Line], missing: int
) -> Table:
    rows = [
        [f"{line.name}, added p50 µs", *(f"{y:,.0f}" for _, y in line.points)] for line in added
    ]
    rows += [[f"{line.name}, PSS in MB", *(f"{y:.1f}" for _, y in line.points)] for line in memory]
    title = f"After more invocations, as fast as it goes; {missing} spans missing"
    return Table(title, ["invocations", *map(number_text, steps)], rows)


def _extra(lines: Sequence[Line]) -> dict[str, Any]:
    return {line.name: list(line.points) for line in lines}
