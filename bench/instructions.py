"""How many instructions the proxy process takes for a cycle, counted by valgrind: ``python -m bench.instructions``.

The count does not depend on what else the machine does, so it shows what a change is worth where times cannot. It is of user
space alone: what the kernel does in a system call is not in it, so it compares ours with ours before, and with nothing else.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

from bench.lane import Lane
from bench.machine import one_cpu
from bench.yardsticks import Yardstick, ours

FEW, MANY = 100, 600
# The telemetry process is a child; it is counted too, and silent.
VALGRIND = (
    "valgrind",
    "--tool=cachegrind",
    "--cache-sim=no",
    "--cachegrind-out-file=/dev/null",
    "--trace-children=yes",
    "--child-silent-after-fork=yes",
)


def instructions(cycles: int, folder: Path) -> int:
    """Of the proxy process from its start to its end, with so many cycles in between."""
    log = folder / f"{cycles}.log"
    command = (*VALGRIND, f"--log-file={log}", *ours().command)
    lane = Lane(Yardstick("ours", command, traces=True, registers=True), folder / str(cycles), one_cpu())
    try:
        lane.measure(cycles, 0)
        lane.close()
    finally:
        lane.kill()
    return counted(log.read_text(encoding="utf-8"))


def counted(log: str) -> int:
    """The last count in what cachegrind wrote: the shell's comes before that of the interpreter it becomes."""
    return int(re.findall(r"I\s+refs:\s+([\d,]+)", log)[-1].replace(",", ""))


def main() -> None:
    """Count twice; the difference is the cycles' alone."""
    if which("valgrind") is None:
        sys.exit("needs valgrind")
    with TemporaryDirectory(prefix="bench-") as name:
        few, many = (instructions(cycles, Path(name)) for cycles in (FEW, MANY))
    print(f"{(many - few) // (MANY - FEW):,} instructions a cycle, in user space")


if __name__ == "__main__":
    main()
