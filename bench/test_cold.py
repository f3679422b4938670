"""The question: what an extension costs a user in cold start, billed time, CPU and memory, compared
with the function alone.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from bench.cold import CHECKOUT, LAYER, Round, measure, rows, table, ways
from bench.goals import Goal
from bench.replay import REPLAY_CLOCK
from bench.targets import DIRECT

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.replay import Replay
    from bench.table import Table

pytestmark = [
    pytest.mark.timeout(1_800),
    pytest.mark.benchmark(timer=REPLAY_CLOCK, group="cold: a sandbox"),
]

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "0")) or 5
# A figure may be missed by so much on a busy machine; beyond that something is wrong.
GROSS = 5


@pytest.fixture(scope="module")
def rounds(print_at_end: Callable[[Table], None]) -> dict[str, list[Round]]:
    """The rounds of each way, in turn."""
    rounds: dict[str, list[Round]] = {way.name: [] for way in ways()}
    for _ in range(ROUNDS):
        for way in ways():
            rounds[way.name].append(measure(way))
    print_at_end(table(rounds))
    return rounds


@pytest.mark.parametrize("name", [way.name for way in ways() if way.traces])
def test_what_a_user_pays(
    name: str, rounds: dict[str, list[Round]], replay: Replay, set_goal: Callable[[Goal], None]
) -> None:
    replay([one.one.init_ms / 1000 for one in rounds[name]], {})
    goals = {}
    for row in rows():
        values = sorted(row.values(rounds[name], rounds[DIRECT]))
        goals[row.text] = Goal(row.text, row.limit, values[len(values) // 2])
        # The least of the rounds: what another program takes of the machine is not ours.
        assert values[0] <= GROSS * row.limit, f"{row.text}: {values}"
    if name == (LAYER if LAYER in rounds else CHECKOUT):
        for goal in goals.values():
            set_goal(goal)
