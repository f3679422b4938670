"""The figures of the fault matrix, as far as it has run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.cells import Outcome

OUTCOMES: list[Outcome] = []
# Of the end-to-end cells: what failed; how many spans there were, arrived, and were said to be
# lost.
WHOLE: list[tuple[str, int, int, int]] = []


def lines() -> Iterator[str]:
    """A row for each phase and end, and one for each end-to-end cell."""
    if OUTCOMES:
        yield from _rows()
    for name, injected, received, lost in WHOLE:
        yield f"{name:64} injected {injected}, received {received}, said to be lost at most {lost}"


def _rows() -> Iterator[str]:
    yield f"{'phase':10} {'the process is':22} {'cells':>5} {'injected':>8} {'received':>8} {'counted':>8} {'said':>5}"
    groups = dict.fromkeys((outcome.cell.phase, outcome.cell.end) for outcome in OUTCOMES)
    for phase, end in groups:
        yield _row(
            phase,
            end,
            [each for each in OUTCOMES if (each.cell.phase, each.cell.end) == (phase, end)],
        )
    yield _row("all", "", OUTCOMES)


def _row(phase: str, end: str, outcomes: list[Outcome]) -> str:
    missing = [each.injected - each.received for each in outcomes]
    counted = sum(min(each.counted, lost) for each, lost in zip(outcomes, missing, strict=True))
    injected, received = (
        sum(getattr(each, name) for each in outcomes) for name in ("injected", "received")
    )
    return f"{phase:10} {end:22} {len(outcomes):5} {injected:8} {received:8} {counted:8} {sum(missing) - counted:5}"
