"""How many instructions a cycle takes in the thread that serves it, counted by valgrind: ``python
-m bench.instructions``.

The count does not depend on what else the machine does, so it shows what a change is worth where
times cannot. It is of user space alone: what the kernel does in a system call is not in it, so it
compares ours with ours before, and with nothing else.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

from bench.machine import one_cpu
from bench.rig import Rig
from bench.targets import Target, ours

FEW, MANY = 500, 1_500
# A cycle's, when this was last set; a change may add 3 %. It was 172,746 while the usual call had
# an exchange of its own (docs/development/rationale.md, "One exchange").
HELD_AT = 205_000
LIMIT = HELD_AT * 103 // 100
VALGRIND = (
    "valgrind",
    "--tool=callgrind",
    "--separate-threads=yes",
    "--trace-children=yes",
    "--child-silent-after-fork=yes",
)
# Under valgrind the telemetry process takes long to be ready. As of Managed Instances, nobody waits
# for it.
ENVIRONMENT = ("env", "AWS_LAMBDA_INITIALIZATION_TYPE=lambda-managed-instances")


def instructions(cycles: int, folder: Path) -> int:
    """Of the thread that serves a connection, from the first of so many cycles to the last."""
    counts = folder / f"{cycles}.counts"
    options = (f"--callgrind-out-file={counts}", f"--log-file={folder / f'{cycles}.log'}")
    command = (*ENVIRONMENT, *VALGRIND, *options, *ours().command)
    rig = Rig(Target("ours", command, traces=True, registers=True), folder / str(cycles), one_cpu())
    try:
        rig.measure(cycles, 0)
        rig.close()
    finally:
        rig.kill()
    # A file for each thread; the first is the main one, and of the others only one has more to do
    # than to wait.
    return max(
        total(path.read_text())
        for path in folder.glob(f"{counts.name}-*")
        if not path.name.endswith("-01")
    )


def total(counts: str) -> int:
    """The sum in what callgrind wrote of one thread."""
    return int(re.findall(r"^totals: (\d+)", counts, re.MULTILINE)[-1])


def main() -> None:
    """Count twice; the difference is the cycles' alone."""
    if which("valgrind") is None:
        sys.exit("needs valgrind")
    with TemporaryDirectory(prefix="bench-") as name:
        few, many = (instructions(cycles, Path(name)) for cycles in (FEW, MANY))
    each = (many - few) // (MANY - FEW)
    print(f"{each:,} instructions a cycle, in user space; at most {LIMIT:,}")
    if each > LIMIT:
        sys.exit(
            "failed: find what the change costs in the hot path, or give the reason beside HELD_AT"
        )


if __name__ == "__main__":
    main()
