"""The benchmarks' Runtime API and Extensions API, as a process."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

from bench.compiled import program
from bench.machine import pinned

if TYPE_CHECKING:
    from collections.abc import Collection


class Upstream:
    """One process of ``native/upstream.c``, which says there what it serves."""

    def __init__(self, cpus: Collection[int], *options: str) -> None:
        with pinned(cpus):
            self._process = subprocess.Popen(
                [program("upstream"), *options], stdout=subprocess.PIPE, text=True
            )
        self.port = int(self._output().readline())

    def stats(self) -> dict[str, int]:
        """What it has seen: events, results, result_bytes, and CLOCK_MONOTONIC ns of register,
        first poll and result.
        """
        return self._control("stats")

    def shut_down(self) -> None:
        """Answer the extension's next event with SHUTDOWN."""
        self._control("shutdown")

    def close(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        self._output().close()

    def _control(self, name: str) -> Any:
        with urlopen(f"http://127.0.0.1:{self.port}/control/{name}", timeout=10) as reply:
            return json.load(reply)

    def _output(self) -> Any:
        return self._process.stdout
