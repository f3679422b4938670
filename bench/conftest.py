"""What the benchmarks share: rounds that run once for all who report from them, and their tables at
the end.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from bench import goals, machine, rounds
from bench.quota_cgroup import why_not
from bench.replay import REPLAY_CLOCK, Replay
from bench.results import keep_tables
from bench.table import Table
from bench.targets import Target, chosen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

    from bench.goals import Goal


ROUNDS = int(os.environ.get("BENCH_ROUNDS", "0"))
# By group, which is the name of the module without `test_`.
TABLES: dict[str, list[Table | str]] = {}
GOALS: dict[str, list[Goal]] = {}
# Groups that cannot be measured on this machine, and why.
LEFT_OUT: dict[str, str] = {}


@cache
def targets() -> tuple[Target, ...]:
    """All that can be had on this machine, and the one of PEER, its command line."""
    return tuple(chosen(peer=os.environ.get("PEER", "")))


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Where no quota can be set, that group is left out and said so; asked for by name, it fails
    with the reason.
    """
    if collection_path.name == "test_quota.py" and (reason := why_not()):
        LEFT_OUT["quota"] = reason
        return True
    return None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A benchmark that asks for a target runs for each."""
    if "target" in metafunc.fixturenames:
        metafunc.parametrize("target", targets(), ids=lambda target: target.name)


@pytest.fixture(scope="session")
def rounds_of() -> Callable[[str], rounds.Rounds]:
    """The rounds of a load, run when first asked for."""

    @cache
    def rounds_of(load: str) -> rounds.Rounds:
        cpus = machine.one_cpu()
        result = rounds.run(rounds.LOADS[load], targets(), cpus, ROUNDS)
        TABLES.setdefault("hot", []).append(rounds.table(result, cpus))
        GOALS.setdefault("hot", []).extend(goals.of_rounds(result))
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
        benchmark.pedantic(
            lambda: REPLAY_CLOCK.advance(next(left)), rounds=len(times_s), iterations=1
        )

    return replay


@pytest.fixture(scope="module")
def print_at_end(request: pytest.FixtureRequest) -> Callable[[Table | str], None]:
    """Have a table printed after all benchmarks, and kept with the results of this
    module's group.
    """
    return TABLES.setdefault(_group(request), []).append


@pytest.fixture(scope="module")
def set_goal(request: pytest.FixtureRequest) -> Callable[[Goal], None]:
    """Have an goal stand in a table of its own, before the others of this module's group."""
    return GOALS.setdefault(_group(request), []).append


def _group(request: pytest.FixtureRequest) -> str:
    return str(request.module.__name__).rpartition("test_")[2]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """Print the tables, and what they were measured on. Those of a run without a fault are kept, a
    user's own peer aside.
    """
    for group, reason in LEFT_OUT.items():
        terminalreporter.write_line(f"{group} is left out: {reason}")
    groups = {group: _tables(group) for group in TABLES if _tables(group)}
    if groups:
        terminalreporter.section("rounds")
        facts = ", ".join(f"{name} {value}" for name, value in machine.description().items())
        terminalreporter.write_line(facts)
    for group, tables in groups.items():
        for table in tables:
            text = table.text() if isinstance(table, Table) else table
            terminalreporter.write_line(f"\n{text}")
        if exitstatus == 0 and not os.environ.get("PEER") and not os.environ.get("PEER_OPT"):
            keep_tables(group, tables, f"make bench BENCH={group}")


def _tables(group: str) -> list[Table | str]:
    found = GOALS.get(group)
    first = [Table(f"{group}: goals", goals.HEADS, [goal.row() for goal in found])] if found else []
    return [*first, *TABLES[group]]
