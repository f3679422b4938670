"""Interleaved rounds through every target, and what each adds to the direct way of its own round.

``python -m bench.rounds`` by itself; the benchmarks of pytest report from the same rounds. A round
takes every target in turn (direct, relay, ..., direct, relay, ...), so that what the machine does
in the meantime falls on all of them. Client, upstream and the target share the same CPUs; those
whose turn it is not are stopped, as Lambda stops a sandbox. What a target adds is the median over
rounds of its p50 (p99) less the p50 (p99) of the direct way in the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from bench import machine
from bench.events import batch_event, http_event
from bench.rig import Count, Rig
from bench.table import Table
from bench.targets import DIRECT, FLOOR, NAMES, Target, chosen

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

MEGABYTE = 1_000_000
STREAM_BYTES = 200 * MEGABYTE


@dataclass(frozen=True)
class Load:
    """What the client does in one turn. `cycles` are measured, `warmup` come before them; `rate` is
    cycles/s, 0 all it can.

    The event is the upstream's own of 1 KB, an HTTP event of `event_bytes` or with so many
    `headers`, or a batch of `records`.
    """

    name: str
    cycles: int
    warmup: int
    rounds: int
    rate: int = 0
    connections: int = 1
    stream_bytes: int = 0
    event_bytes: int = 0
    headers: int = 0
    records: int = 0

    def event(self) -> bytes | None:
        """What the upstream delivers instead of its own event."""
        if self.records:
            return batch_event(self.records)
        if self.headers:
            return http_event(self.event_bytes, headers=self.headers)
        return http_event(self.event_bytes) if self.event_bytes else None

    @property
    def options(self) -> list[str]:
        """The client's options."""
        return [
            f"--rate={self.rate}",
            f"--connections={self.connections}",
            f"--stream-bytes={self.stream_bytes}",
        ]

    @property
    def is_throughput(self) -> bool:
        """Whether cycles or bytes per second are what counts, not a cycle's time."""
        return self.connections > 1 or self.stream_bytes > 0


LOADS = {
    load.name: load
    for load in (
        Load("saturated", cycles=2000, warmup=200, rounds=7),
        Load("paced", cycles=400, warmup=20, rounds=7, rate=500),
        Load("event-6mb", cycles=10, warmup=2, rounds=5, event_bytes=6 * MEGABYTE),
        Load("connections-64", cycles=4000, warmup=256, rounds=3, connections=64),
        Load("stream-200mb", cycles=1, warmup=0, rounds=7, stream_bytes=STREAM_BYTES),
    )
}


@dataclass
class Rounds:
    """The client's figures of every turn by target, in the order of the rounds, and what became of
    all cycles.
    """

    load: Load
    figures: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    counts: dict[str, Count] = field(default_factory=dict)

    def of(self, name: str, key: str) -> list[float]:
        """One figure of every round, such as ``p50_ns``."""
        return [figures[key] for figures in self.figures[name]]

    def added_us(self, name: str, key: str) -> float:
        """The median over rounds of a time through the target less direct, in µs."""
        pairs = zip(self.of(name, key), self.of(DIRECT, key), strict=True)
        return median(through - direct for through, direct in pairs) / 1000

    def per_s(self, name: str) -> float:
        """Cycles per second, or megabytes per second where results are streamed; the median over
        rounds.
        """
        if self.load.stream_bytes:
            return median(
                self.load.stream_bytes / ns * 1e9 / MEGABYTE
                for ns in self.of(name, "result_p50_ns")
            )
        return median(self.of(name, "cycles_per_s"))

    def ratio(self, name: str) -> float:
        """To the floor: added p50 by added p50, or throughput by throughput."""
        if self.load.is_throughput:
            return self.per_s(name) / self.per_s(FLOOR)
        return self.added_us(name, "p50_ns") / self.added_us(FLOOR, "p50_ns")

    def summary(self, name: str) -> dict[str, float]:
        """All that a row says, by unit."""
        count = self.counts[name]
        row = {
            "cycles_per_s": self.per_s(name),
            "cycles": count.cycles,
            "spans": count.spans,
            "peak_rss_kb": count.peak_rss_kb,
        }
        if self.load.stream_bytes:
            row["mb_per_s"] = row.pop("cycles_per_s")
        if DIRECT in self.figures and name != DIRECT:
            row["added_p50_us"] = self.added_us(name, "p50_ns")
            row["added_p99_us"] = self.added_us(name, "p99_ns")
        if FLOOR in self.figures and DIRECT in self.figures and name != DIRECT:
            row["ratio_to_floor"] = self.ratio(name)
        return row


def run(load: Load, targets: Sequence[Target], cpus: Collection[int], rounds: int = 0) -> Rounds:
    """All rounds of one load; progress goes to stderr. A failed cycle raises RigError."""
    result = Rounds(load, {target.name: [] for target in targets})
    with TemporaryDirectory(prefix="bench-") as name, ExitStack() as cleanup:
        folder = Path(name)
        event = _written(folder / "event", load.event())
        rigs = []
        for target in targets:
            rigs.append(Rig(target, folder / target.name, cpus, event))
            cleanup.callback(rigs[-1].kill)
        for number in range(rounds or load.rounds):
            _round(rigs, result, number)
        result.counts = {rig.target.name: rig.close() for rig in rigs}
    return result


def _written(path: Path, event: bytes | None) -> Path | None:
    if event is None:
        return None
    path.write_bytes(event)
    return path


def _round(rigs: Sequence[Rig], result: Rounds, number: int) -> None:
    for rig in rigs:
        figures = rig.measure(result.load.cycles, result.load.warmup, *result.load.options)
        result.figures[rig.target.name].append(figures)
    times = "  ".join(
        f"{name} {all_[-1]['p50_ns'] / 1000:.0f}" for name, all_ in result.figures.items()
    )
    print(f"{result.load.name}, round {number + 1}: p50 µs  {times}", file=sys.stderr)


def table(rounds: Rounds, cpus: Collection[int]) -> Table:
    """The rounds, a row for each target."""
    unit = "MB/s" if rounds.load.stream_bytes else "cycles/s"
    heads = [
        "",
        "p50 µs",
        "added p50",
        "x relay",
        "added p99",
        "x relay",
        unit,
        "cycles",
        "spans",
        "missing",
        "peak MB",
    ]
    rows = [_row(rounds, name) for name in rounds.figures]
    number = len(rounds.figures[DIRECT])
    title = (
        f"{rounds.load.name}: {number} rounds of {rounds.load.cycles}, all on CPU "
        f"{','.join(map(str, sorted(cpus)))}"
    )
    return Table(title, heads, rows)


def _row(rounds: Rounds, name: str) -> list[str]:
    count = rounds.counts[name]
    times = (
        ["", "", "", ""]
        if name == DIRECT
        else [*_added(rounds, name, "p50_ns"), *_added(rounds, name, "p99_ns")]
    )
    arrived = (
        [str(count.spans), str(max(0, count.cycles - count.spans))] if count.spans else ["", ""]
    )
    p50_us = median(rounds.of(name, "p50_ns")) / 1000
    peak = f"{count.peak_rss_kb / 1024:.1f}" if count.peak_rss_kb else ""
    return [
        name,
        f"{p50_us:.1f}",
        *times,
        f"{rounds.per_s(name):.0f}",
        str(count.cycles),
        *arrived,
        peak,
    ]


def _added(rounds: Rounds, name: str, key: str) -> list[str]:
    added, floor = (
        rounds.added_us(name, key),
        rounds.added_us(FLOOR, key) if FLOOR in rounds.figures else 0,
    )
    return [f"{added:.1f}", f"{added / floor:.2f}" if floor else ""]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.rounds", description=__doc__.partition("\n\n")[0]
    )
    parser.add_argument(
        "loads", nargs="*", metavar="LOAD", help=f"of {', '.join(LOADS)}; default: saturated paced"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=int(os.environ.get("BENCH_ROUNDS", "0")),
        help="rounds of each load",
    )
    parser.add_argument(
        "--only", default="", help=f"targets, of {','.join(NAMES)}; direct and relay always run"
    )
    parser.add_argument(
        "--peer", default=os.environ.get("PEER", ""), help="command line of one more proxy"
    )
    parser.add_argument(
        "--cpus", default="", help="CPUs that all share, such as 0,1; default: one, the highest"
    )
    parser.add_argument("--json", type=Path, help="write all figures here")
    return parser.parse_args()


def main() -> None:
    """Run the loads that were asked for; tables to stdout."""
    arguments = _arguments()
    names = (DIRECT, FLOOR, *arguments.only.split(",")) if arguments.only else ()
    targets = chosen(names, arguments.peer)
    cpus = {int(cpu) for cpu in arguments.cpus.split(",")} if arguments.cpus else machine.one_cpu()
    kept = {}
    for name in arguments.loads or ["saturated", "paced"]:
        rounds = run(LOADS[name], targets, cpus, arguments.rounds)
        print(table(rounds, cpus).text(), end="\n\n", flush=True)
        kept[name] = {
            "summary": {target: rounds.summary(target) for target in rounds.figures},
            "figures": rounds.figures,
            "load": asdict(rounds.load),
        }
    if arguments.json:
        document = {"machine": machine.description(), "cpus": sorted(cpus), "loads": kept}
        arguments.json.write_text(json.dumps(document, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
