"""What the benchmarks ask of Linux: which CPU runs what, which processes there are, and their
memory.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


def one_cpu() -> frozenset[int]:
    """The highest CPU we may use: everything that is measured shares it, as in a function with one
    or less.

    On one CPU a cycle costs what its parts cost; on two it costs what the scheduler makes of them,
    and varies five-fold.
    """
    return frozenset({max(os.sched_getaffinity(0))})


def other_cpus(cpus: Collection[int]) -> frozenset[int]:
    """The CPUs that are left for what stands outside the sandbox; the same where there are no
    others.
    """
    return frozenset(os.sched_getaffinity(0)) - frozenset(cpus) or frozenset(cpus)


@contextlib.contextmanager
def pinned(cpus: Collection[int]) -> Iterator[None]:
    """Whatever is started inside runs on these CPUs alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def first_in_line() -> Iterator[None]:
    """We get a CPU as soon as we want it, before all other programs, if this machine lets us; what
    is started inside does not.
    """
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, *before)


def pss_kb(pid: int) -> int:
    """Proportional set size of a process in KB.

    Source: proc(5), smaps_rollup.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def peak_rss_kb(pid: int) -> int:
    """The largest resident size that a process has had, in KB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def cpu_ns(pid: int) -> int:
    """CPU time that a process has had, with all its threads, those that have ended too.

    Source: clock_getcpuclockid(3), as Linux makes the clock's number of the process id.
    """
    return time.clock_gettime_ns((~pid << 3) | 2)


def description() -> dict[str, str]:
    """Machine and versions, for whoever compares figures."""
    cpu_lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(": ")[2] for line in cpu_lines if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    return {
        "cpu": f"{len(os.sched_getaffinity(0))} x {model}",
        "Linux": platform.release().partition("-")[0],
        "CPython": platform.python_version(),
        **{name: version(name) for name in ("aiohttp", "opentelemetry-sdk")},
    }


def processes() -> list[int]:
    """All process ids of the machine."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def executable(pid: int) -> str:
    """The name of the file that a process runs; empty where the process has gone."""
    try:
        return Path(f"/proc/{pid}/exe").readlink().name
    except OSError:
        return ""


def process_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command, from the state on; none where the process has
    gone.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def thread_states(pid: int) -> list[str]:
    """The state of each thread of a process: R about to run or running, S asleep, D waiting for a
    disk, T stopped, and so on.
    """
    states = []
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):
            states.append(task.read_text(encoding="utf-8").rpartition(")")[2].split()[0])
    return states
