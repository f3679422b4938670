"""How long a start takes: of a bare interpreter, and of the extension until it has registered and
served one cycle.

The extension, its runtime (the client) and the bare interpreter share one CPU; the upstream, which
in Lambda stands outside the sandbox, has the others. Times run from the call of posix_spawn, on
CLOCK_MONOTONIC, which all processes share.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.compiled import program
from bench.machine import one_cpu, other_cpus, pinned
from bench.process_group import Group
from bench.rig import STOP_LIMIT_S, RigError, environment, free_port
from bench.sink import Sink
from bench.targets import ROOT, Target
from bench.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True)
class Start:
    """One start of the extension beside one of a bare interpreter; CPU time is each process's,
    until nothing is left to do.
    """

    bare_s: float
    register_s: float
    first_cycle_s: float
    cpu_s: tuple[float, ...]
    spans: int


def interpreter() -> tuple[str, ...]:
    """The interpreter that ``opt/entrypoint`` starts."""
    lines = (ROOT / ".lrap-paths").read_text(encoding="utf-8").splitlines()
    return (next(line.partition("=")[2] for line in lines if line.startswith("LRAP_PYTHON=")),)


def interpreter_of_layer(opt: Path) -> tuple[str, ...]:
    """The one that a layer's entrypoint starts on this machine, with its loader."""
    folder = opt / "lrap-otel" / platform.machine()
    loader = (str(folder / "ld.so"), "--inhibit-cache", "--library-path", str(folder / "lib"))
    return (*loader, str(folder / "python"))


def drop_page_cache(opt: Path) -> None:
    """Have the kernel forget what it holds of a layer's files, as on a machine that has just
    fetched them.
    """
    os.sync()
    for path in opt.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def measure(
    target: Target,
    folder: Path,
    python: tuple[str, ...] = (),
    before: Callable[[], None] = lambda: None,
) -> Start:
    """One start of each, the bare interpreter first, after a call of `before` each.

    `python` starts the interpreter; without it, the checkout's is taken. Raises RigError where the
    extension does not serve or end.
    """
    folder.mkdir()
    before()
    bare_s = _bare_s(python or interpreter())
    before()
    upstream, sink = Upstream(other_cpus(one_cpu())), Sink(folder, other_cpus(one_cpu()))
    try:
        register_s, first_cycle_s, cpu_s = _extension(target, upstream, sink, folder / "log")
        return Start(bare_s, register_s, first_cycle_s, cpu_s, sink.close())
    finally:
        upstream.close()
        sink.kill()


def _bare_s(python: tuple[str, ...]) -> float:
    bare = Group((*python, "-I", "-S", "-c", "pass"), os.environ, os.devnull, one_cpu())
    status, end_ns = bare.wait(), time.monotonic_ns()
    if status:
        raise RigError(f"the bare interpreter ended with status {status}")
    return (end_ns - bare.begin_ns) / 1e9


def _extension(
    target: Target, upstream: Upstream, sink: Sink, log: Path
) -> tuple[float, float, tuple[float, ...]]:
    port = free_port()
    runtime = _runtime(port, upstream)
    group = Group(target.command, environment(upstream, sink, port), log, one_cpu())
    try:
        finished_ns = _finished_ns(runtime, log)
        group.settle()
        cpu_s = tuple(group.cpu_s())
        upstream.shut_down()
        if not group.ended_within(STOP_LIMIT_S) or group.status():
            raise RigError(f"after SHUTDOWN: status {group.status()}, left {group.left()}")
    finally:
        group.kill()
    registered_ns = upstream.stats()["registered_ns"]
    return (registered_ns - group.begin_ns) / 1e9, (finished_ns - group.begin_ns) / 1e9, cpu_s


def _runtime(port: int, upstream: Upstream) -> subprocess.Popen[str]:
    """A client that connects as soon as an extension has registered; it is there already, as
    Lambda's sandbox is.
    """
    command = (
        program("client"),
        f"--port={port}",
        f"--gate={upstream.port}",
        "--cycles=1",
        "--expect-traceparent",
    )
    with pinned(one_cpu()):
        client = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    while not upstream.stats()["gates"]:
        time.sleep(0.005)
    return client


def _finished_ns(runtime: subprocess.Popen[str], log: Path) -> int:
    out, said = runtime.communicate(timeout=90)
    if runtime.returncode:
        raise RigError(f"first cycle: {said.strip()}\n{log.read_text(errors='replace')[-1500:]}")
    return json.loads(out)["finished_ns"]
