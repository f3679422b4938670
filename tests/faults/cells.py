"""One cell of the fault matrix: a fault of the collector, in a phase of the sandbox, with a fault
of ours on top.

Each cell lives one life of the telemetry process in which the fault strikes, and then the next
start in the same sandbox, for which the collector is well again.
"""

from __future__ import annotations

import re
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

from lrap_otel.ipc import records
from tests.faults import collector as collectors
from tests.faults.collector import HEALTHY, FaultyCollector
from tests.faults.process import Life, invocation

if TYPE_CHECKING:
    from pathlib import Path

PHASES = ("init", "first", "warm", "busy", "idle", "frozen", "SHUTDOWN")
# How the first life ends.
SHUT_DOWN, KILLED = "shut down", "killed"
STOPPED, DISK_FULL, READ_ONLY = "stopped, then killed", "disk full", "/tmp read-only"
CLOCK_BACK, CLOCK_FORWARD = "clock set back", "clock set forward"
ENDS = (SHUT_DOWN, KILLED, STOPPED, DISK_FULL, READ_ONLY, CLOCK_BACK, CLOCK_FORWARD)
HAS_NO_SPOOL = (DISK_FULL, READ_ONLY)
BUDGET_S = 0.4
HOUR_S = 3_600.0
# The span that shows that the next start works.
LAST = 1_000


class Cell(NamedTuple):
    phase: str
    fault: str
    end: str


class Outcome(NamedTuple):
    """How many spans there were; how many the collector has in the end; how many are missing that
    our metrics or our line at the end count; whether a line says that spans are lost; how many it
    has more than once, or were never sent.
    """

    cell: Cell
    injected: int
    received: int
    counted: int
    is_said: bool
    repeated: int
    made_up: int
    seconds: float

    @property
    def is_right(self) -> bool:
        """Every span has arrived, or those that have not are counted, or, where nobody is left to
        count, said.
        """
        missing = self.injected - self.received
        is_lost_rightly = self.cell.fault in {*collectors.REJECTING, "takes only a part"}
        is_lost_rightly |= self.cell.end in HAS_NO_SPOOL and self.cell.fault not in collectors.TAKEN
        if missing and not is_lost_rightly:
            return False
        is_accounted = missing == self.counted or (
            self.is_said and self.cell.end in {KILLED, STOPPED}
        )
        may_repeat = self.cell.fault in {"hangs in the body", "is slow"}
        return (
            not self.made_up and (not missing or is_accounted) and (not self.repeated or may_repeat)
        )


def run(cell: Cell, folder: Path, certificates: tuple[str, str]) -> Outcome:
    """Live through it. `folder` is the sandbox's ``/tmp``; `certificates` are the right one and
    another.
    """
    began_s = time.monotonic()
    with FaultyCollector(certificates if cell.fault in collectors.TLS else None) as collector:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_CERTIFICATE": certificates[0],
            "OTEL_METRIC_EXPORT_INTERVAL": "1",
            "OTEL_BSP_SCHEDULE_DELAY": "20" if cell.phase == "idle" else "60000",
            # No folder of /proc can be written, by root either.
            "LRAP_SPOOL_DIR": "/proc/sys" if cell.end == READ_ONLY else str(folder),
        }
        encoded = {name.encode(): value.encode() for name, value in variables.items()}
        life = Life(encoded, 16 if cell.end == DISK_FULL else None)
        injected = _strike(cell, life, collector)
        _end(cell, life)
        collector.become(HEALTHY)
        following = Life(encoded)
        following.offer(*invocation(LAST))
        _until_sent(following)
        following.shut_down("spindown", 10.0)
        ids = {f"{number:016x}" for number in (*injected, LAST)}
        received = collector.received
        init_spans = collector.named["init"]
        ours = {span: count for span, count in received.items() if span in ids}
        is_init = cell.phase == "init"
        return Outcome(
            cell,
            len(ids) + is_init,
            len(ours) + min(init_spans, 1),
            max(collector.dropped, _lost(life.said)),
            any(
                "traces are lost" in line or "took only a part" in line or "lost since" in line
                for line in life.said
            ),
            sum(count - 1 for count in ours.values()) + max(init_spans - 1, 0),
            len(received) - len(ours) - init_spans,
            time.monotonic() - began_s,
        )


def _lost(said: list[str]) -> int:
    return sum(
        int(found[1]) for line in said if (found := re.match(r"lost since \S+: (\d+) span", line))
    )


def _strike(cell: Cell, life: Life, collector: FaultyCollector) -> list[int]:
    """Live until the fault has struck in this phase. The numbers of the invocations so far."""
    phase, fault = cell.phase, cell.fault
    if phase == "init":
        collector.become(fault)
        life.offer((records.init_error(time.time_ns(), 0), b""))
        life.flush()
        return []
    if phase == "first":
        collector.become(fault)
        life.offer(*invocation(1))
        life.flush()
        return [1]
    life.offer(*invocation(1))
    _until_sent(life)
    if phase == "SHUTDOWN":
        life.offer(*invocation(2), next(iter(invocation(3))))
        if cell.end in {KILLED, STOPPED}:
            life.offer(*invocation(3)[1:])
            collector.become(fault)
            life.flush()
        collector.become(fault)
        return [1, 2, 3]
    if phase == "busy":
        collector.become(fault)
        for number in (2, 3, 4):
            life.offer(*invocation(number))
            life.flush(0, wait_s=0.0)
        life.flush()
        return [1, 2, 3, 4]
    if phase == "frozen":
        life.signal(signal.SIGSTOP)
        collector.become(fault)
        collector.end_idle_connections()
        life.offer(*invocation(2))
        time.sleep(0.05)
        life.signal(signal.SIGCONT)
        life.flush()
        return [1, 2]
    before = collector.requests
    collector.become(fault)
    life.offer(*invocation(2))
    if phase == "idle":
        end_s = time.monotonic() + 1.0
        while (
            collector.requests == before
            and fault not in collectors.CONNECTION
            and time.monotonic() < end_s
        ):
            time.sleep(0.01)
        time.sleep(0.1)
    life.flush()
    return [1, 2]


def _until_sent(life: Life) -> None:
    """On a machine that is slow for a moment one attempt may not be enough."""
    end_s = time.monotonic() + 30
    while not life.flush() and time.monotonic() < end_s:
        time.sleep(0.02)


def _end(cell: Cell, life: Life) -> None:
    if cell.end == KILLED:
        life.kill()
    elif cell.end == STOPPED:
        life.signal(signal.SIGSTOP)
        life.kill()
    else:
        error_s = {CLOCK_BACK: HOUR_S, CLOCK_FORWARD: -HOUR_S}.get(cell.end, 0.0)
        life.shut_down("timeout", BUDGET_S, error_s)
