"""The benchmarks' arithmetic: what a target adds, what it is in relays, and when a comparison
fails.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench import cold, compare, goals
from bench.billed import Billed
from bench.goals import Goal
from bench.instructions import total
from bench.quota_cgroup import Quota, why_not
from bench.rig import Count
from bench.rounds import LOADS, Load, Rounds, table

THREE_ROUNDS = {
    # The second round was a slow one for all.
    "direct": (40_000, 90_000, 41_000),
    "relay": (100_000, 160_000, 99_000),
    "ours": (160_000, 300_000, 161_000),
}


def rounds_of(
    times_ns: dict[str, tuple[int, ...]], load: Load = LOADS["saturated"], **more: float
) -> Rounds:
    figures = {
        name: [{"p50_ns": ns, "p99_ns": 2 * ns, "cycles_per_s": 1e9 / ns, **more} for ns in times]
        for name, times in times_ns.items()
    }
    return Rounds(load, figures, {name: Count(6_600, 6_599, 45_000) for name in times_ns})


def test_what_a_target_adds_is_the_median_of_the_differences_to_direct_in_the_same_round() -> None:
    assert rounds_of(THREE_ROUNDS).added_us("relay", "p50_ns") == 60
    assert rounds_of(THREE_ROUNDS).added_us("ours", "p50_ns") == 120


def test_a_ratio_is_of_what_is_added_not_of_whole_cycles() -> None:
    assert rounds_of(THREE_ROUNDS).ratio("ours") == 2
    assert rounds_of(THREE_ROUNDS).ratio("relay") == 1


def test_the_ratio_of_many_connections_is_of_cycles_per_second() -> None:
    times = {"direct": (10_000,), "relay": (100_000,), "ours": (400_000,)}
    assert rounds_of(times, LOADS["connections-64"]).ratio("ours") == 0.25


def test_a_streamed_result_counts_in_megabytes_per_second() -> None:
    streamed = rounds_of(THREE_ROUNDS, LOADS["stream-200mb"], result_p50_ns=500_000_000)
    assert streamed.per_s("ours") == 400
    assert streamed.summary("ours")["mb_per_s"] == 400


def test_a_row_says_how_many_spans_are_missing() -> None:
    measured = table(rounds_of(THREE_ROUNDS), {1})
    row = dict(zip(measured.heads, measured.rows[2], strict=True))
    assert (row[""], row["added p50"], row["cycles"], row["spans"], row["missing"]) == (
        "ours",
        "120.0",
        "6600",
        "6599",
        "1",
    )


@pytest.mark.parametrize(
    ("load", "event_bytes"),
    [
        (Load("a", 1, 0, 1, event_bytes=6_000_000), 6_000_000),
        (Load("b", 1, 0, 1, headers=200), 7_690),
    ],
)
def test_a_load_delivers_an_event_of_its_size(load: Load, event_bytes: int) -> None:
    event = load.event()
    assert event is not None
    assert len(event) == event_bytes


def test_a_cost_is_worse_when_it_is_larger_also_where_throughput_counts() -> None:
    times = {"direct": (10_000,), "relay": (100_000,), "ours": (400_000,)}
    assert compare.cost(rounds_of(times, LOADS["connections-64"])) == 4
    assert compare.cost(rounds_of(THREE_ROUNDS)) == 2


@pytest.mark.parametrize(
    ("now", "saved", "fails"), [(2.9, 1.5, False), (3.0, 1.5, True), (99.0, None, False)]
)
def test_only_twice_the_saved_cost_fails_a_comparison(
    now: float, saved: float | None, fails: bool
) -> None:
    assert compare.is_gross(now, saved) is fails


def test_saving_one_load_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    compare.save({"paced": 1.4, "saturated": 1.5}, path)
    compare.save({"paced": 1.25}, path)
    assert compare.saved_costs(path) == {"paced": 1.25, "saturated": 1.5}


def test_a_comparison_shows_then_and_now() -> None:
    assert compare.table({"paced": 1.8, "new": 3.0}, {"paced": 1.2}).rows == [
        ["paced", "1.20", "1.80", "1.50"],
        ["new", "", "3.00", ""],
    ]


def test_an_invocation_is_billed_until_the_later_of_runtime_and_extension() -> None:
    assert Billed(runtime_s=0.020, extension_s=0.035).billed_s == 0.035
    assert Billed(runtime_s=0.020, extension_s=0.0).billed_s == 0.020


def test_a_threads_instructions_are_the_sum_of_what_was_counted() -> None:
    counts = "version: 1\ntotals: 12\npart: 2\nfn=(1)\n16 4\ntotals: 364524082\n"
    assert total(counts) == 364_524_082


def test_an_aim_is_met_up_to_its_limit() -> None:
    assert Goal("start", limit=1.3, measured=1.3).row() == ["start", "at most 1.3", "1.30", "met"]
    assert Goal("start", limit=1.3, measured=1.31).row()[-1] == "missed"
    assert Goal("throughput", limit=2.5, measured=2.4, is_least=True).row()[1:] == [
        "at least 2.5",
        "2.40",
        "missed",
    ]


def test_the_goals_of_a_cycle_are_those_whose_targets_were_there() -> None:
    assert goals.of_rounds(rounds_of(THREE_ROUNDS)) == []
    with_aiohttp = {**THREE_ROUNDS, "aiohttp": tuple(20 * each for each in THREE_ROUNDS["ours"])}
    (goal,) = goals.of_rounds(rounds_of(with_aiohttp))
    assert (goal.text, goal.limit, goal.is_met) == (
        "saturated: added p50, by that of aiohttp",
        0.2,
        True,
    )


def test_a_stream_is_aimed_at_by_its_throughput() -> None:
    times = {"direct": (1,), "relay": (1,), "ours": (1,)}
    streamed = rounds_of(times, LOADS["stream-200mb"], result_p50_ns=500_000_000)
    assert [(goal.limit, goal.measured, goal.is_met) for goal in goals.of_rounds(streamed)] == [
        (0.8, 1.0, True)
    ]


def cold_round(init_ms: float, billed_ms: float) -> cold.Round:
    start = cold.Start(init_ms, [cold.Invocation(1.0, billed_ms)] * 2, 50.0, 11.0)
    warm = cold.Warm([billed_ms], [1.0], 2.0)
    return cold.Round(start, start, start, warm, warm)


def test_what_an_extension_adds_to_a_sandbox_is_beside_direct_in_the_same_round() -> None:
    rounds = {
        "direct": [cold_round(100, 1), cold_round(300, 9), cold_round(110, 2)],
        "layer": [cold_round(120, 5), cold_round(390, 20), cold_round(135, 7)],
    }
    rows = {row[0]: row[1:] for row in cold.table(rounds).rows}
    assert rows["init on one CPU, ms added"] == ["", "25", "25"]
    assert rows["first event billed more, one CPU, ms"] == ["", "5.00", "40"]
    assert rows["init + billed of the first 10, ms"] == ["114", "149", "190"]


def test_a_folder_laid_out_as_opt_has_its_extensions_and_perhaps_a_wrapper(tmp_path: Path) -> None:
    (tmp_path / "extensions/folder").mkdir(parents=True)
    (tmp_path / "extensions/peer").touch()
    assert cold.way_of("peer", tmp_path) == cold.Way("peer", (tmp_path / "extensions/peer",))
    (tmp_path / "wrapper").touch()
    assert cold.way_of("peer", tmp_path).wrapper == tmp_path / "wrapper"


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_what_is_started_inside_a_group_is_in_it_and_we_are_not_once_it_runs() -> None:
    before = Path("/proc/self/cgroup").read_text(encoding="ascii")
    with Quota(None, 20_000, "lrap-otel-test") as quota:
        with quota.inside():
            child = subprocess.Popen(["/bin/sleep", "60"])
        assert Path("/proc/self/cgroup").read_text(encoding="ascii") == before
        assert all(
            door.read_text(encoding="ascii").split() == [str(child.pid)] for door in quota.doors
        )
        child.kill()
        child.wait()
