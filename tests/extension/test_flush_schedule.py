"""Which invocations end or begin with a flush, and what each choice costs and risks: simulated,
with a clock of its own.
"""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.extension.flush import (
    BUSY_AFTER,
    BUSY_FLUSH_MS,
    BUSY_GAP_MS,
    BUSY_UNFLUSHED,
    FlushSchedule,
)

CHOICES = ("end", "overlap", 5_000, "auto")


def flushes(choice: str | int, gaps_ms: list[int], run_ms: int = 10) -> list[tuple[bool, bool]]:
    """For each invocation, whether it began and whether it ended with a flush."""
    schedule = FlushSchedule(choice)
    now_ms = 1_795_000_000_000
    made = []
    for gap_ms in gaps_ms:
        now_ms += gap_ms
        begins = schedule.begin(now_ms)
        now_ms += run_ms
        made.append((begins, schedule.end(now_ms)))
    return made


def test_end_flushes_at_each_end() -> None:
    assert flushes("end", [0, 1, 60_000]) == [(False, True)] * 3


def test_overlap_flushes_at_the_beginning_of_the_next() -> None:
    assert flushes("overlap", [0, 1, 60_000]) == [(False, False), (True, False), (True, False)]


def test_a_flush_that_nothing_could_take_is_made_up_for_at_the_next_beginning() -> None:
    schedule = FlushSchedule("overlap")
    schedule.begin(0)
    schedule.end(10)
    assert not schedule.begin(20, can_flush=False)
    assert schedule.begin(30)  # without another end: it is the first invocation's
    assert not schedule.begin(40)


@pytest.mark.parametrize("choice", CHOICES)
def test_an_end_that_needs_a_hold_has_one_by_each_choice(choice: str | int) -> None:
    schedule = FlushSchedule(choice)
    for number in range(8):
        schedule.begin(20 * number, can_flush=False)
        assert schedule.end(20 * number + 10, needs_hold=True)


def test_a_number_flushes_at_an_end_when_so_much_time_has_passed() -> None:
    assert flushes(100, [0, 10, 40, 40, 10]) == [
        (False, True),
        (False, False),
        (False, False),
        (False, True),
        (False, False),
    ]


def test_auto_ends_with_a_flush_until_the_sandbox_is_busy() -> None:
    busy = flushes("auto", [0] + [BUSY_GAP_MS] * (BUSY_AFTER + 2))
    assert busy == [(False, True)] * BUSY_AFTER + [(False, False), (True, False), (True, False)]


def test_a_busy_sandbox_flushes_several_invocations_at_once() -> None:
    busy = flushes("auto", [0] + [1] * (BUSY_AFTER + 2 * BUSY_UNFLUSHED), run_ms=1)[BUSY_AFTER:]
    assert [number for number, (begins, _) in enumerate(busy) if begins] == [
        BUSY_UNFLUSHED,
        2 * BUSY_UNFLUSHED,
    ]
    assert not any(ends for _, ends in busy)


def test_a_busy_sandbox_flushes_after_half_a_second() -> None:
    busy = flushes("auto", [0] + [240] * (BUSY_AFTER + 6), run_ms=10)[BUSY_AFTER:]
    assert [number for number, (begins, _) in enumerate(busy) if begins] == [2, 4, 6]


def test_auto_goes_back_to_the_end_with_the_first_long_gap() -> None:
    made = flushes("auto", [0] + [5] * (BUSY_AFTER + 1) + [BUSY_GAP_MS + 1, 5])
    assert made[-2:] == [(True, True), (False, True)]


def test_a_seldom_called_function_never_leaves_a_span_behind() -> None:
    assert flushes("auto", [0] + [BUSY_GAP_MS + 1] * 50) == [(False, True)] * 51


@pytest.mark.parametrize("choice", CHOICES)
def test_a_clock_that_is_set_back_ends_no_flushing(choice: str | int) -> None:
    schedule = FlushSchedule(choice)
    schedule.begin(2_000_000)
    schedule.end(2_000_010)
    made = [(schedule.begin(now_ms), schedule.end(now_ms + 1)) for now_ms in (10, 1_000, 100_000)]
    assert any(begins or ends for begins, ends in made[:2])


@given(
    st.sampled_from(CHOICES), st.lists(st.integers(0, 5_000), max_size=60), st.integers(0, 3_000)
)
def test_no_more_than_was_promised_is_ever_at_risk(
    choice: str | int, gaps_ms: list[int], run_ms: int
) -> None:
    schedule = FlushSchedule(choice)
    now_ms, unflushed = 0, 0
    since_ms = 0
    for gap_ms in gaps_ms:
        now_ms += gap_ms
        if schedule.begin(now_ms):
            unflushed, since_ms = 0, now_ms
        # The one that runs, and those that ended since the last flush.
        at_risk = 1 + unflushed
        assert at_risk <= {"end": 1, "overlap": 2, "auto": 1 + BUSY_UNFLUSHED}.get(
            str(choice), at_risk
        )
        if isinstance(choice, int) and unflushed:
            assert since_ms + choice + gap_ms + run_ms >= now_ms
        now_ms += run_ms
        unflushed += 1
        if schedule.end(now_ms):
            unflushed, since_ms = 0, now_ms


@dataclass
class Cost:
    """What a strategy did to one stream of arrivals."""

    billed_ms: float = 0
    delays_ms: list[float] = field(default_factory=list)
    most_at_risk: int = 0


EXPORT_MS = 50
RUN_MS = 20
SHUTDOWN_AFTER_MS = 300_000


def simulate(choice: str | int, arrivals_ms: list[float]) -> Cost:
    """One sandbox that answers `arrivals_ms` one after the other, and is shut down in the end."""
    schedule, cost = FlushSchedule(choice), Cost()
    free_ms = 0.0
    waiting: list[float] = []

    def flush(done_ms: float) -> None:
        cost.delays_ms.extend(done_ms - ended_ms for ended_ms in waiting)
        waiting.clear()

    for arrival_ms in arrivals_ms:
        begin_ms = max(arrival_ms, free_ms)
        end_ms = begin_ms + RUN_MS
        cost.most_at_risk = max(cost.most_at_risk, len(waiting) + 1)
        if schedule.begin(int(begin_ms)):
            flush(begin_ms + EXPORT_MS)
        waiting.append(end_ms)
        free_ms = end_ms
        if schedule.end(int(end_ms)):
            free_ms += EXPORT_MS
            flush(free_ms)
        cost.billed_ms += free_ms - begin_ms
    flush(free_ms + SHUTDOWN_AFTER_MS)
    return cost


def sparse(chance: random.Random) -> list[list[float]]:
    return [[60_000.0 * number + chance.random() * 30_000 for number in range(100)]]


def steady(_: random.Random) -> list[list[float]]:
    return [[200.0 * number for number in range(1_000)]]


def bursty(chance: random.Random) -> list[list[float]]:
    starts = [120_000.0 * burst for burst in range(20)]
    return [sorted(start + chance.random() * 2_000 for start in starts for _ in range(50))]


def concurrent(chance: random.Random) -> list[list[float]]:
    """One stream of calls over ten sandboxes, each of which is free at random."""
    sandboxes: list[list[float]] = [[] for _ in range(10)]
    now_ms = 0.0
    for _ in range(2_000):
        now_ms += chance.expovariate(1 / 40)
        chance.choice(sandboxes).append(now_ms)
    return sandboxes


def table() -> dict[tuple[str, str | int], tuple[float, float, float, int]]:
    """By arrivals and choice: billed ms for each invocation beyond its own, delay p50 and p99, most
    at risk.
    """
    rows = {}
    for arrivals in (sparse, steady, bursty, concurrent):
        for choice in CHOICES:
            costs = [simulate(choice, one) for one in arrivals(random.Random(7))]
            delays = sorted(delay for cost in costs for delay in cost.delays_ms)
            count = len(delays)
            billed_ms = sum(cost.billed_ms for cost in costs) / count - RUN_MS
            risk = max(cost.most_at_risk for cost in costs)
            rows[arrivals.__name__, choice] = (
                billed_ms,
                statistics.median(delays),
                delays[int(count * 0.99)],
                risk,
            )
    return rows


def test_what_each_choice_costs_delays_and_risks(capsys: pytest.CaptureFixture[str]) -> None:
    rows = table()
    with capsys.disabled():
        heads = "arrivals    LRAP_FLUSH  billed more, ms  delay p50  delay p99, ms  at risk"
        print(f"\n{heads}")  # noqa: T201 - the table is what the test is read for
        for (arrivals, choice), (billed_ms, p50_ms, p99_ms, risk) in rows.items():
            row = f"{arrivals:11} {choice!s:10}  {billed_ms:15.1f}  {p50_ms:9.0f}  {p99_ms:13.0f}  {risk:7}"
            print(row)  # noqa: T201 - see above
    # Seldom called: nothing waits for a next invocation that does not come.
    assert rows["sparse", "auto"] == rows["sparse", "end"]
    assert rows["sparse", "overlap"][1] > 10_000
    # Busy: billed as `overlap` but for the first few, and never later than one gap and one export.
    assert rows["steady", "auto"][0] < 0.01 * rows["steady", "end"][0]
    assert rows["steady", "auto"][2] <= BUSY_FLUSH_MS + 200 + EXPORT_MS
    # In bursts: billed for the first few of each.
    assert rows["bursty", "auto"][0] < 0.2 * rows["bursty", "end"][0]
    assert rows["concurrent", "auto"][0] < 0.5 * rows["concurrent", "end"][0]
    assert (
        max(row[3] for (_, choice), row in rows.items() if choice == "auto") <= 1 + BUSY_UNFLUSHED
    )
