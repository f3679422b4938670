"""The question: what the extension costs a function with 7 or 10 % of a CPU (one of 128 MB) while
it starts.
"""

from __future__ import annotations

import os
from statistics import median
from typing import TYPE_CHECKING

import pytest

from bench.quota import HEADS, PERIODS_US, SHARES_PERCENT, First, Share, measure, row
from bench.replay import REPLAY_CLOCK
from bench.table import Table
from bench.targets import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.replay import Replay

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.benchmark(timer=REPLAY_CLOCK, group="quota: the first events"),
]

SANDBOXES = int(os.environ.get("BENCH_ROUNDS", "0")) or 3
SHARES = [Share(percent, period_us) for percent in SHARES_PERCENT for period_us in PERIODS_US]
OURS = ROOT / "opt/entrypoint"


@pytest.mark.parametrize("share", SHARES, ids=str)
def test_the_first_events(
    share: Share, replay: Replay, print_at_end: Callable[[Table], None]
) -> None:
    alone = [measure(share, extension=None) for _ in range(SANDBOXES)]
    behind = [measure(share, extension=OURS) for _ in range(SANDBOXES)]
    replay(_durations_s(behind), {"p50_ms_alone": 1000 * median(_durations_s(alone))})
    rows = [row("direct", alone), row("ours", behind)]
    print_at_end(Table(f"quota: first events of {SANDBOXES} sandboxes, {share}", HEADS, rows))
    assert all(first.is_clean and first.spans == len(first.duration_ms) for first in behind)


@pytest.mark.parametrize("share", SHARES, ids=str)
def test_one_event_and_shutdown(
    share: Share, replay: Replay, print_at_end: Callable[[Table], None]
) -> None:
    behind = [measure(share, extension=OURS, events=1) for _ in range(SANDBOXES)]
    exported = sum(first.spans for first in behind)
    replay(_durations_s(behind), {"sandboxes": SANDBOXES, "spans_exported": exported})
    print_at_end(Table(f"quota: one event, then SHUTDOWN, {share}", HEADS, [row("ours", behind)]))
    assert share.percent < 10 or exported == SANDBOXES


def _durations_s(sandboxes: list[First]) -> list[float]:
    return [duration_ms / 1000 for first in sandboxes for duration_ms in first.duration_ms]
