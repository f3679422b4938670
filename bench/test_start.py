"""The question: how long Lambda waits for the extension before it may start the function, compared
with a bare interpreter.
"""

from __future__ import annotations

import os
from statistics import median
from typing import TYPE_CHECKING

import pytest

from bench.goals import Goal
from bench.replay import REPLAY_CLOCK
from bench.start import Start, drop_page_cache, interpreter_of_layer, measure
from bench.table import Table
from bench.targets import LAYER, ours, ours_in_a_layer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.replay import Replay

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> list[Start]:
    """One start after the other; the first one compiles bytecode and is not kept."""
    folder = tmp_path_factory.mktemp("start")
    return [measure(ours(), folder / str(number)) for number in range(1 + _rounds())][1:]


@pytest.mark.benchmark(timer=REPLAY_CLOCK, group="start: from posix_spawn")
@pytest.mark.parametrize("is_cached", [True, False], ids=["in the page cache", "from the disk"])
def test_the_layers_first_cycle(
    is_cached: bool, tmp_path: Path, replay: Replay, print_at_end: Callable[[Table], None]
) -> None:
    target = ours_in_a_layer()
    before = (lambda: None) if is_cached else (lambda: drop_page_cache(LAYER))
    python = interpreter_of_layer(LAYER)
    starts = [
        measure(target, tmp_path / str(number), python, before) for number in range(_rounds())
    ]
    replay(
        [start.first_cycle_s for start in starts],
        {
            "ratio_to_bare": _ratio(starts, "first_cycle_s"),
            "register_ratio_to_bare": _ratio(starts, "register_s"),
        },
    )
    where = "its files in the page cache" if is_cached else "its files dropped from the page cache"
    print_at_end(_table(starts, f"start of the layer, {where}"))
    assert all(start.spans == 1 for start in starts)


@pytest.mark.benchmark(timer=REPLAY_CLOCK, group="start: from posix_spawn")
def test_a_bare_interpreter(starts: list[Start], replay: Replay) -> None:
    replay([start.bare_s for start in starts], {})


@pytest.mark.benchmark(timer=REPLAY_CLOCK, group="start: from posix_spawn")
def test_spawn_to_register(
    starts: list[Start],
    replay: Replay,
    print_at_end: Callable[[Table], None],
    set_goal: Callable[[Goal], None],
) -> None:
    replay([start.register_s for start in starts], {"ratio_to_bare": _ratio(starts, "register_s")})
    print_at_end(_table(starts))
    set_goal(Goal("spawn to register, by a bare interpreter", 1.3, _ratio(starts, "register_s")))
    assert all(0 < start.register_s < start.first_cycle_s for start in starts)


@pytest.mark.benchmark(timer=REPLAY_CLOCK, group="start: from posix_spawn")
def test_spawn_to_the_first_cycle(
    starts: list[Start], replay: Replay, set_goal: Callable[[Goal], None]
) -> None:
    cpu_ms = [
        round(1000 * median(seconds))
        for seconds in zip(*(start.cpu_s for start in starts), strict=True)
    ]
    replay(
        [start.first_cycle_s for start in starts],
        {"ratio_to_bare": _ratio(starts, "first_cycle_s"), "cpu_ms_until_ready": cpu_ms},
    )
    set_goal(
        Goal("spawn to the first cycle, by a bare interpreter", 3, _ratio(starts, "first_cycle_s"))
    )
    set_goal(Goal("CPU of the telemetry process until it is ready, in ms", 160, cpu_ms[1]))
    assert all(start.spans == 1 for start in starts)


def _rounds() -> int:
    return int(os.environ.get("BENCH_ROUNDS", "0")) or 15


def _ratio(starts: list[Start], name: str) -> float:
    """The median of what each start took, by the bare interpreter just before it."""
    return median(getattr(start, name) / start.bare_s for start in starts)


def _table(starts: list[Start], name: str = "start") -> Table:
    rows = [
        [
            label,
            f"{1000 * median(getattr(start, name) for start in starts):.1f}",
            f"{_ratio(starts, name):.2f}",
        ]
        for label, name in (
            ("bare", "bare_s"),
            ("register", "register_s"),
            ("first cycle", "first_cycle_s"),
        )
    ]
    cpu = " + ".join(
        f"{1000 * median(each):.0f}"
        for each in zip(*(start.cpu_s for start in starts), strict=True)
    )
    return Table(
        f"{name}: {len(starts)} times, CPU until ready {cpu} ms (proxy + telemetry)",
        ["", "ms", "x bare"],
        rows,
    )
