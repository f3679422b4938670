"""What the benchmarks share: rounds that run once for all who report from them, and their tables at the end."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from bench import machine, rounds
from bench.replay import REPLAY_CLOCK, Replay
from bench.yardsticks import Yardstick, chosen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_benchmark.fixture import BenchmarkFixture


ROUNDS = int(os.environ.get("BENCH_ROUNDS", "0"))
TABLES: list[str] = []


@cache
def yardsticks() -> tuple[Yardstick, ...]:
    """All that can be had on this machine, and the one of PEER, its command line."""
    return tuple(chosen(peer=os.environ.get("PEER", "")))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A benchmark that asks for a yardstick runs for each."""
    if "yardstick" in metafunc.fixturenames:
        metafunc.parametrize("yardstick", yardsticks(), ids=lambda yardstick: yardstick.name)


@pytest.fixture(scope="session")
def rounds_of() -> Callable[[str], rounds.Rounds]:
    """The rounds of a load, run when first asked for."""

    @cache
    def rounds_of(load: str) -> rounds.Rounds:
        cpus = machine.one_cpu()
        result = rounds.run(rounds.LOADS[load], yardsticks(), cpus, ROUNDS)
        TABLES.append(rounds.table(result, cpus))
        return result

    return rounds_of


@pytest.fixture
def replay(benchmark: BenchmarkFixture) -> Replay:
    """Report times in seconds, one for each round, and what else is to stand beside them.

    The benchmark needs the mark ``benchmark(timer=REPLAY_CLOCK)``.
    """

    def replay(times_s: Sequence[float], extra: dict[str, Any]) -> None:
        left = iter(times_s)
        benchmark.extra_info.update(extra)
        benchmark.pedantic(lambda: REPLAY_CLOCK.advance(next(left)), rounds=len(times_s), iterations=1)

    return replay


@pytest.fixture
def print_at_end() -> Callable[[str], None]:
    """Have a table printed after all benchmarks."""
    return TABLES.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables, and what they were measured on."""
    if TABLES:
        terminalreporter.section("rounds")
        facts = ", ".join(f"{name} {value}" for name, value in machine.description().items())
        terminalreporter.write_line(facts)
    for table in TABLES:
        terminalreporter.write_line(f"\n{table}")
