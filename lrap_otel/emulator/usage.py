"""Memory and CPU time of a sandbox's processes, with all that they have started."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lrap_otel.emulator.process import Process


@dataclass(frozen=True)
class Usage:
    """``memory_bytes``: resident, shared pages included; ``cpu_ms``: since the start, of what still
    runs.
    """

    memory_bytes: int
    cpu_ms: float


def measure(processes: Iterable[Process]) -> dict[str, Usage]:
    """Each process's session, by the name of the process (``function``, or an extension's)."""
    names = {process.process_id: process.name for process in processes}
    found = dict.fromkeys(names.values(), Usage(0, 0.0))
    for path in Path("/proc").iterdir() if names else ():
        if not path.name.isdecimal():
            continue
        try:
            fields = (path / "stat").read_text("ascii", "replace").rpartition(") ")[2].split()
        except OSError:
            continue
        # Fields 6, 14, 15 and 24 of proc(5): session, utime, stime, rss.
        session, utime, stime, rss = (int(fields[number - 3]) for number in (6, 14, 15, 24))
        if name := names.get(session):
            before = found[name]
            cpu_ms = (utime + stime) * 1000 / os.sysconf("SC_CLK_TCK")
            found[name] = Usage(
                before.memory_bytes + rss * os.sysconf("SC_PAGE_SIZE"), before.cpu_ms + cpu_ms
            )
    return found
