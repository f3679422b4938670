"""Goals, and whether they were reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.targets import FLOOR, OURS

if TYPE_CHECKING:
    from bench.rounds import Rounds

HEADS = ("goal", "", "measured", "")


@dataclass(frozen=True)
class Goal:
    """A limit that a figure must not exceed or, if it `is_least`, must reach."""

    text: str
    limit: float
    measured: float
    is_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether it was reached."""
        return self.measured >= self.limit if self.is_least else self.measured <= self.limit

    def row(self) -> list[str]:
        """The row of a table under `HEADS`."""
        bound = f"at {'least' if self.is_least else 'most'} {self.limit:g}"
        return [self.text, bound, f"{self.measured:.2f}", "met" if self.is_met else "missed"]


def of_rounds(rounds: Rounds) -> list[Goal]:
    """The goals of one load for which the targets were measured."""
    name = rounds.load.name
    if name in {"saturated", "paced"}:
        # How it compares with a relay in C moves by a third with the machine's state, so what is
        # held there is the count of instructions (bench/instructions.py).
        return _added(rounds, "p50_ns", [("aiohttp", 0.2)])
    if name == "event-6mb":
        return _added(rounds, "p50_ns", [(FLOOR, 1.5)])
    if name == "connections-64":
        return _throughput(rounds, "aiohttp", 2.5)
    return _throughput(rounds, FLOOR, 0.8)


def _added(rounds: Rounds, key: str, limits: list[tuple[str, float]]) -> list[Goal]:
    return [
        Goal(
            f"{rounds.load.name}: added {key[:3]}, by that of {other}",
            limit,
            rounds.added_us(OURS, key) / rounds.added_us(other, key),
        )
        for other, limit in limits
        if {OURS, other} <= set(rounds.figures)
    ]


def _throughput(rounds: Rounds, other: str, limit: float) -> list[Goal]:
    if not {OURS, other} <= set(rounds.figures):
        return []
    ratio = rounds.per_s(OURS) / rounds.per_s(other)
    return [
        Goal(f"{rounds.load.name}: throughput, by that of {other}", limit, ratio, is_least=True)
    ]
