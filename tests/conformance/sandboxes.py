"""Many sandboxes that export to a collector: ``python -m tests.conformance.sandboxes LOAD PART
ENDPOINT``.

Each sandbox has a telemetry pipeline of its own, as in the telemetry process, with its own
connections. The proxy's records are made here, at the times of a plan. One process runs one part of
the sandboxes. It starts when a line with the Unix time (ns) comes on stdin, and prints a `Report`
as JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from lrap_otel.ipc import records
from lrap_otel.telemetry.export.deadline import Deadline
from lrap_otel.telemetry.pipeline import Pipeline
from lrap_otel.telemetry.settings import ExportSettings
from tests.telemetry.proxy_records import delivered, finished

if TYPE_CHECKING:
    from collections.abc import Iterator

ERROR = b'{"errorType": "Refused", "errorMessage": "no such pet", "stackTrace": []}'
# Longer and shorter than the threshold in examples/collector/sampler.yaml.
SLOW_NS, QUICK_NS = 2_000_000_000, 20_000_000
# Lambda's longest wait, by default.
FLUSH_BUDGET_S = 0.5
# A sandbox exports at the end of an invocation; in a burst, once for several.
BURST_PAUSE_S, BURST_INVOCATIONS = 0.5, 10
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Load:
    """The load: sandboxes, traces through them, duration, number of processes."""

    sandboxes: int
    traces: int
    seconds: float
    parts: int
    seed: int = 1

    def plan(self) -> list[Invocation]:
        """Every invocation, in the order of their times. The same `seed` makes the same plan."""
        chance = Random(self.seed)
        made: list[Invocation] = []
        # Load comes in bursts, during which few sandboxes do much.
        bursts = [chance.random() * self.seconds for _ in range(max(1, round(self.seconds)))]
        for _ in range(self.traces):
            start_s = min(chance.choice(bursts) + chance.expovariate(2.0), self.seconds)
            made += self._trace(chance, start_s)
        return sorted(made, key=lambda one: one.at_s)

    def _trace(self, chance: Random, start_s: float) -> Iterator[Invocation]:
        """One to eight invocations, each called by an earlier one."""
        trace_id, is_error, is_slow = (
            f"{chance.getrandbits(128):032x}",
            chance.random() < 0.05,
            chance.random() < 0.03,
        )
        spans: list[str] = []
        for number in range(chance.randint(1, 8)):
            # A tenth of the sandboxes does half of the work.
            busy = chance.random() < 0.5
            span_id = f"{chance.getrandbits(64):016x}"
            yield Invocation(
                at_s=start_s + number * 0.02,
                sandbox=chance.randrange(self.sandboxes // 10 if busy else self.sandboxes),
                trace_id_hex=trace_id,
                span_id_hex=span_id,
                parent_span_id_hex=chance.choice(spans) if spans else "",
                # An error propagates to the caller, and a caller is as slow as its callee.
                is_error=is_error,
                is_slow=is_slow,
            )
            spans.append(span_id)


@dataclass(frozen=True)
class Invocation:
    """One invocation of a sandbox, `at_s` after the start."""

    at_s: float
    sandbox: int
    trace_id_hex: str
    span_id_hex: str
    parent_span_id_hex: str
    is_error: bool
    is_slow: bool


@dataclass
class Report:
    """The result of one part."""

    spans: int = 0
    # Sandboxes that ended before the collector had all of their spans.
    sandboxes_with_loss: int = 0
    flush_ms: list[float] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Sandbox:
    """One sandbox: its pipeline, and when it exports."""

    def __init__(self, number: int, endpoint: str, folder: Path, report: Report) -> None:
        """`folder` is its own, in place of a sandbox's ``/tmp``."""
        folder.mkdir()
        name = f"function-{number % 50}"
        variables = {
            b"AWS_LAMBDA_FUNCTION_NAME": name.encode(),
            b"AWS_REGION": b"eu-west-1",
            b"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint.encode(),
            b"LRAP_SPOOL_DIR": bytes(folder),
        }
        self._pipeline = Pipeline(ExportSettings(variables), report.warnings.append, print)
        # One sandbox in ten exports when the next invocation begins, and is frozen with spans until
        # then.
        self._overlaps = number % 10 == 0
        self._report = report
        self._waiting = 0

    def invoke(self, one: Invocation, at_ns: int, next_s: float | None) -> None:
        """An event at `at_ns` and its result. `next_s`: seconds until the sandbox's next one, None
        for the last.
        """
        if self._overlaps:
            self._flush()
        request_id = one.span_id_hex
        duration_ns = SLOW_NS if one.is_slow else QUICK_NS
        self._accept(
            delivered(
                request_id=request_id,
                delivered_ns=at_ns - duration_ns,
                trace_id_hex=one.trace_id_hex,
                span_id_hex=one.span_id_hex,
                parent_span_id_hex=one.parent_span_id_hex,
            )
        )
        body, endpoint = (ERROR, "error") if one.is_error else (b'"done"', "response")
        self._accept(finished(body, endpoint, request_id=request_id, duration_ns=duration_ns))
        self._report.spans += 1
        self._waiting += 1
        is_in_burst = next_s is not None and next_s < BURST_PAUSE_S
        if not self._overlaps and (not is_in_burst or self._waiting >= BURST_INVOCATIONS):
            self._flush()

    def end(self) -> None:
        """What SHUTDOWN does, after a retry of exports that failed."""
        end_s = time.monotonic() + PATIENCE_S
        while not self._flush() and time.monotonic() < end_s:
            time.sleep(0.1)
        if not self._pipeline.flush(Deadline(time.monotonic() + PATIENCE_S), is_last=True):
            self._report.sandboxes_with_loss += 1
        self._pipeline.close()

    def _accept(self, sent: tuple[records.Message, bytes]) -> None:
        (kind, fields), payload = sent
        self._pipeline.accept(records.read(kind, fields, payload))

    def _flush(self) -> bool:
        if not self._waiting:
            return True
        start_s = time.monotonic()
        has_all = self._pipeline.flush(Deadline(start_s + FLUSH_BUDGET_S))
        self._report.flush_ms.append((time.monotonic() - start_s) * 1_000)
        if has_all:
            self._waiting = 0
        return has_all


def run(load: Load, part: int, endpoint: str, scratch: Path) -> Report:
    """Run all invocations of this part's sandboxes, at their times or as soon as possible after
    them.
    """
    report = Report()
    plan = [one for one in load.plan() if one.sandbox % load.parts == part]
    sandboxes = {
        number: Sandbox(number, endpoint, scratch / str(number), report)
        for number in {one.sandbox for one in plan}
    }
    later: dict[int, float] = {}
    pauses: list[float | None] = []
    for one in reversed(plan):
        pauses.append(later[one.sandbox] - one.at_s if one.sandbox in later else None)
        later[one.sandbox] = one.at_s
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    start_s, start_ns = time.monotonic(), int(sys.stdin.readline())
    for one, pause_s in zip(plan, reversed(pauses), strict=True):
        time.sleep(max(0.0, start_s + one.at_s - time.monotonic()))
        # The times are the plan's: a freeze makes no trace slow.
        sandboxes[one.sandbox].invoke(one, start_ns + int(one.at_s * 1e9), pause_s)
    for sandbox in sandboxes.values():
        sandbox.end()
    return report


if __name__ == "__main__":
    wanted, own_part, to = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folders:
        json.dump(
            asdict(run(Load(**json.loads(wanted)), int(own_part), to, Path(folders))), sys.stdout
        )
