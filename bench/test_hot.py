"""The question: how long a cycle (a next and a response on a connection that stays open) takes
through each target.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.replay import REPLAY_CLOCK

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.replay import Replay
    from bench.rounds import Rounds
    from bench.targets import Target

# Rounds run within the first benchmark that asks for them.
pytestmark = pytest.mark.timeout(900)


@pytest.mark.benchmark(
    timer=REPLAY_CLOCK, group="hot: 1 KB event, paced at 500 cycles/s; p50 of each round"
)
def test_a_paced_cycle(target: Target, rounds_of: Callable[[str], Rounds], replay: Replay) -> None:
    _report(rounds_of("paced"), target, replay)
    count = rounds_of("paced").counts[target.name]
    assert not target.traces or count.spans == count.cycles


@pytest.mark.benchmark(
    timer=REPLAY_CLOCK, group="hot: 1 KB event, as fast as it goes; p50 of each round"
)
def test_a_saturated_cycle(
    target: Target, rounds_of: Callable[[str], Rounds], replay: Replay
) -> None:
    _report(rounds_of("saturated"), target, replay)


@pytest.mark.benchmark(timer=REPLAY_CLOCK, group="hot: 6 MB event; p50 of each round")
def test_a_cycle_with_a_large_event(
    target: Target, rounds_of: Callable[[str], Rounds], replay: Replay
) -> None:
    _report(rounds_of("event-6mb"), target, replay)
    assert all(
        bytes_ >= 6_000_000 for bytes_ in rounds_of("event-6mb").of(target.name, "event_bytes")
    )


@pytest.mark.benchmark(timer=REPLAY_CLOCK, group="hot: 64 connections at once; p50 of each round")
def test_a_cycle_among_64(
    target: Target, rounds_of: Callable[[str], Rounds], replay: Replay
) -> None:
    _report(rounds_of("connections-64"), target, replay)


@pytest.mark.benchmark(timer=REPLAY_CLOCK, group="hot: a result of 200 MB, streamed")
def test_a_streamed_result(
    target: Target, rounds_of: Callable[[str], Rounds], replay: Replay
) -> None:
    _report(rounds_of("stream-200mb"), target, replay)


def _report(rounds: Rounds, target: Target, replay: Replay) -> None:
    """Rig and client have already refused a failed cycle, an event without its traceparent, or a
    count that differs.
    """
    name = target.name
    replay([ns / 1e9 for ns in rounds.of(name, "p50_ns")], rounds.summary(name))
    count = rounds.counts[name]
    assert all(cycles == rounds.load.cycles for cycles in rounds.of(name, "cycles"))
    assert count.cycles == len(rounds.figures[name]) * (rounds.load.cycles + rounds.load.warmup)
    assert not target.traces or 0 < count.spans <= count.cycles
