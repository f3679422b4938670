"""How long the next event may wait for a flush: pure arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.extension.flush import hold_ms, shutdown_ms


@pytest.mark.parametrize(
    ("budget_ms", "left_ms", "failures", "expected"),
    [
        (500, 3_000, 0, 500),
        (500, 400, 0, 300),
        (500, 100, 0, 0),
        (500, -50, 0, 0),
        (0, 3_000, 0, 0),
        (500, 3_000, 2, 500),
        (500, 3_000, 3, 0),
    ],
)
def test_a_hold_is_bounded_by_budget_deadline_and_failures(
    budget_ms: int, left_ms: int, failures: int, expected: int
) -> None:
    now_ms = 1_795_000_000_000
    assert hold_ms(budget_ms, now_ms + left_ms, now_ms, failures) == expected


@given(*[st.integers(0, 2**50)] * 3, st.integers(0, 10))
def test_a_hold_is_never_negative_nor_over_its_budget(
    budget_ms: int, deadline_ms: int, now_ms: int, failures: int
) -> None:
    assert 0 <= hold_ms(budget_ms, deadline_ms, now_ms, failures) <= budget_ms


def test_a_shutdown_leaves_time_for_our_own_exit() -> None:
    assert shutdown_ms(10_000, 8_000) == 1_850
    assert shutdown_ms(10_000, 9_990) == 0
