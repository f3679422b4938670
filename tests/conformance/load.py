"""A thousand sandboxes in front of the gateway: ``python -m tests.conformance.load`` prints what
they cost.

The sandboxes are divided among a few processes, which are stopped and continued in turn: Lambda's
freeze, with connections open and requests under way. In the middle a balancer is replaced.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

from tests.conformance import builds
from tests.conformance.gateway import DECISION_WAIT_S, running
from tests.conformance.sandboxes import Load, Report

if TYPE_CHECKING:
    from tests.conformance.gateway import Gateway

ROOT = builds.HERE.parents[1]
A_THOUSAND = Load(sandboxes=1_000, traces=5_000, seconds=20.0, parts=8)
# The long freezes outlast the decision about the traces that they interrupt.
FREEZES_S = (0.5, 0.5, 0.5, DECISION_WAIT_S + 2.0) * 3
# Added to the samplers' wait.
SETTLING_S = 5.0


@dataclass
class Run:
    """What the sandboxes did, and what it cost."""

    reports: list[Report]
    # The most connections that the balancers had.
    connections: int
    # From the samplers' own counters.
    accepted: int
    new_traces: int
    seconds: float = 0.0
    cpu_s: dict[str, float] = field(default_factory=dict)
    peak_memory_mb: dict[str, float] = field(default_factory=dict)

    @property
    def spans(self) -> int:
        """How many spans the sandboxes made."""
        return sum(report.spans for report in self.reports)

    @property
    def flush_ms(self) -> list[float]:
        """The durations of all exports, sorted."""
        return sorted(took for report in self.reports for took in report.flush_ms)


def simulate(load: Load, gateway: Gateway) -> Run:
    """Run the whole load, then end the gateway."""
    start_s = time.monotonic()
    with ExitStack() as stack:
        parts = []
        for number in range(load.parts):
            part = stack.enter_context(
                _part(load, number, gateway.endpoints[number % len(gateway.endpoints)])
            )
            stack.callback(part.kill)
            parts.append(part)
        for part in parts:
            assert part.stdout
            assert part.stdout.readline() == "ready\n"
        start_ns = time.time_ns()
        for part in parts:
            assert part.stdin
            part.stdin.write(f"{start_ns}\n")
            part.stdin.flush()
        readers = [_Reader(part) for part in parts]
        connections = _disturb(load, gateway, parts)
        reports = [reader.report() for reader in readers]
    time.sleep(DECISION_WAIT_S + SETTLING_S)
    accepted = sum(sampler.count("otelcol_receiver_accepted_spans") for sampler in gateway.samplers)
    name = "otelcol_processor_tail_sampling_new_trace_id_received"
    new_traces = sum(sampler.count(name) for sampler in gateway.samplers)
    gateway.stop()
    run = Run(reports, connections, accepted, new_traces, time.monotonic() - start_s)
    for collector in (*gateway.balancers, *gateway.samplers):
        run.cpu_s[collector.name] = collector.cpu_s
        run.peak_memory_mb[collector.name] = collector.peak_memory_mb
    return run


def _part(load: Load, number: int, endpoint: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "tests.conformance.sandboxes",
        json.dumps(asdict(load)),
        str(number),
        endpoint,
    ]
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _disturb(load: Load, gateway: Gateway, parts: list[subprocess.Popen[str]]) -> int:
    """While the load runs: freeze parts in turn and replace a balancer. Returns the most
    connections.
    """
    replaced = threading.Thread(target=_replace, args=(gateway, load.seconds / 2))
    replaced.start()
    connections = 0
    for number, frozen_s in enumerate(FREEZES_S):
        part = parts[number % len(parts)]
        part.send_signal(signal.SIGSTOP)
        time.sleep(frozen_s)
        part.send_signal(signal.SIGCONT)
        connections = max(connections, gateway.connections())
    replaced.join()
    return connections


def _replace(gateway: Gateway, after_s: float) -> None:
    time.sleep(after_s)
    gateway.balancers[0].stop()
    gateway.balancers[0].start()


class _Reader(threading.Thread):
    """A thread that waits for the report of one part."""

    def __init__(self, part: subprocess.Popen[str]) -> None:
        super().__init__()
        self._part = part
        self._text = ""
        self.start()

    def run(self) -> None:
        assert self._part.stdout
        self._text = self._part.stdout.read()

    def report(self) -> Report:
        self.join()
        return Report(**json.loads(self._text))


def main() -> None:
    """Print the figures of docs/operations.md."""
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        gateway = running(stack, builds.built("collector") / "otelcol", Path(scratch))
        run = simulate(A_THOUSAND, gateway)
        kept = len({span["spanId"] for _, span in gateway.spans()})
    say = partial(print, flush=True)
    million = 1_000_000 / run.spans
    for tier, collectors in (("balancer", gateway.balancers), ("sampler", gateway.samplers)):
        cpu_s = sum(run.cpu_s[collector.name] for collector in collectors)
        memory_mb = max(run.peak_memory_mb[collector.name] for collector in collectors)
        say(
            f"{len(collectors)} {tier}s: {cpu_s * million:.0f} CPU s for a million spans, {memory_mb:.0f} MB each"
        )
    p99_ms = quantiles(run.flush_ms, n=100)[98]
    say(
        f"{run.spans} spans, {run.accepted} at tier 2, {kept} kept; {len(FREEZES_S)} freezes, {run.seconds:.0f} s"
    )
    say(
        f"{run.connections} connections; {len(run.flush_ms)} exports, p50 {median(run.flush_ms):.1f} ms, p99 {p99_ms:.1f}"
    )


if __name__ == "__main__":
    main()
