"""The question: what the telemetry process costs from its first import to its end, by the way that
its telemetry takes, compared with OTLP as protobuf over HTTP.
"""

from __future__ import annotations

import os
from statistics import median
from typing import TYPE_CHECKING

import pytest

from bench.exports import DEFAULT, WAYS, Export, measure
from bench.goals import Goal
from bench.replay import REPLAY_CLOCK
from bench.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.replay import Replay

pytestmark = pytest.mark.timeout(600)
# By the default. The SDK and gRPC's library are not ours.
LIMITS = {way: 1.5 for way in WAYS if way not in {DEFAULT, "grpc"}}


@pytest.fixture(scope="module")
def exports() -> dict[str, list[Export]]:
    """Each way in turn, round after round; the first round compiles bytecode and is not kept."""
    rounds = int(os.environ.get("BENCH_ROUNDS", "0")) or 15
    found: dict[str, list[Export]] = {way: [] for way in WAYS}
    for _ in range(1 + rounds):
        for way, several in found.items():
            several.append(measure(way))
    return {way: several[1:] for way, several in found.items()}


@pytest.mark.benchmark(timer=REPLAY_CLOCK, group="exports: CPU of the telemetry process")
@pytest.mark.parametrize("way", WAYS)
def test_a_way_out(
    way: str, exports: dict[str, list[Export]], replay: Replay, set_goal: Callable[[Goal], None]
) -> None:
    cpu_s = [each.cpu_s for each in exports[way]]
    ratio = median(cpu_s) / median(each.cpu_s for each in exports[DEFAULT])
    replay(
        cpu_s, {"ratio_to_default": ratio, "peak_kb": median(each.peak_kb for each in exports[way])}
    )
    if way in LIMITS:
        set_goal(Goal(f"CPU of {way}, by {DEFAULT}", LIMITS[way], ratio))
    assert all(each.cpu_s > 0 for each in exports[way])


@pytest.mark.benchmark(timer=REPLAY_CLOCK, group="exports: CPU of the telemetry process")
def test_the_table(
    exports: dict[str, list[Export]], replay: Replay, print_at_end: Callable[[Table], None]
) -> None:
    default = exports[DEFAULT]
    base_s, base_kb = (
        median(each.cpu_s for each in default),
        median(each.peak_kb for each in default),
    )
    rows = []
    for way, several in exports.items():
        cpu_s, peak_kb = (
            median(each.cpu_s for each in several),
            median(each.peak_kb for each in several),
        )
        rows.append(
            [
                way,
                f"{1000 * cpu_s:.0f}",
                f"{cpu_s / base_s:.2f}",
                f"{peak_kb / 1024:.1f}",
                f"{(peak_kb - base_kb) / 1024:+.1f}",
            ]
        )
    replay([base_s], {})
    title = (
        f"exports: one invocation and the end, {len(default)} times; CPU and most memory "
        f"of the telemetry process"
    )
    print_at_end(Table(title, ["", "ms", "x http/protobuf", "MB", "more MB"], rows))
    assert [row[0] for row in rows] == [*WAYS]
