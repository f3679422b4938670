"""What ours costs, in C relays, beside what it cost when it was saved: ``python -m bench.compare``.

The relay runs in the same rounds on the same CPU, so a ratio to it is what another machine or a
busy hour changes least. It ends with status 1 only where one is at least twice the saved, and was
so again when it was measured once more.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import datetime, timezone
from pathlib import Path

from bench import machine, rounds
from bench.compiled import C_SOURCES, BuildError, program
from bench.table import Table
from bench.targets import DIRECT, FLOOR, OURS, chosen

BASELINE = Path(__file__).parent / "baseline.json"
GROSS = 2.0


def cost(measured: rounds.Rounds) -> float:
    """Ours in C relays: added p50 by added p50; of throughput the relay's by ours. More
    is worse.
    """
    ratio = measured.ratio(OURS)
    return 1 / ratio if measured.load.is_throughput else ratio


def is_gross(now: float, saved: float | None) -> bool:
    """Whether it is so much worse that no busy machine explains it."""
    return saved is not None and now >= GROSS * saved


def measure(name: str, saved: float | None, count: int) -> float:
    """The cost under one load; of two measurements the lower one where the first is gross."""
    targets = chosen((DIRECT, FLOOR, OURS))
    costs = [cost(rounds.run(rounds.LOADS[name], targets, machine.one_cpu(), count))]
    if is_gross(costs[0], saved):
        costs.append(cost(rounds.run(rounds.LOADS[name], targets, machine.one_cpu(), count)))
    return min(costs)


def table(costs: dict[str, float], saved: dict[str, float]) -> Table:
    """Now beside then."""
    rows = [
        [name, f"{saved[name]:.2f}", f"{now:.2f}", f"{now / saved[name]:.2f}"]
        if name in saved
        else [name, "", f"{now:.2f}", ""]
        for name, now in costs.items()
    ]
    return Table("ours, in C relays", ["", "saved", "now", "x saved"], rows)


def save(costs: dict[str, float], path: Path) -> None:
    """Keep these costs for later; those of other loads stay."""
    document = {
        "measured": datetime.now(timezone.utc).date().isoformat(),
        "machine": machine.description(),
        "costs_in_relays": saved_costs(path)
        | {name: round(value, 2) for name, value in costs.items()},
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def saved_costs(path: Path) -> dict[str, float]:
    """What was saved, by load; nothing where nothing was."""
    return json.loads(path.read_text(encoding="utf-8"))["costs_in_relays"] if path.exists() else {}


def _compile() -> None:
    try:
        for name in C_SOURCES:
            program(name)
    except BuildError as error:
        sys.exit(str(error))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.compare", description=__doc__.partition("\n\n")[0]
    )
    parser.add_argument(
        "loads", nargs="*", metavar="LOAD", help=f"of {', '.join(rounds.LOADS)}; default: all"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=int(os.environ.get("BENCH_ROUNDS", "0")),
        help="rounds of each load",
    )
    parser.add_argument(
        "--against", type=Path, default=BASELINE, help="default: bench/baseline.json"
    )
    parser.add_argument(
        "--save", action="store_true", help="save what was measured there, and judge nothing"
    )
    return parser.parse_args()


def main() -> None:
    """Measure, print, and fail on gross regressions."""
    arguments = _arguments()
    _compile()
    saved = {} if arguments.save else saved_costs(arguments.against)
    names = arguments.loads or list(rounds.LOADS)
    costs = {name: measure(name, saved.get(name), arguments.rounds) for name in names}
    print(table(costs, saved).text())
    if arguments.save:
        save(costs, arguments.against)
    gross = [name for name, now in costs.items() if is_gross(now, saved.get(name))]
    if gross:
        sys.exit(f"at least {GROSS:g} times what was saved: {', '.join(gross)}")


if __name__ == "__main__":
    main()
