"""One target between an upstream and a client of its own, with a sink for its spans; stopped while
others are measured.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.compiled import program
from bench.machine import cpu_ns, peak_rss_kb, pinned, pss_kb
from bench.process_group import Group
from bench.sink import Sink
from bench.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from bench.targets import Target

START_LIMIT_S = 30
STOP_LIMIT_S = 10
LAMBDA_ENVIRONMENT = {
    "AWS_LAMBDA_FUNCTION_NAME": "bench",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_REGION": "eu-central-1",
}


class RigError(Exception):
    """A target or the client did not do its work; the text says which, and what it wrote."""


@dataclass(frozen=True)
class Count:
    """What became of all cycles of a rig: how many it was given, how many spans arrived, how large
    it once was.
    """

    cycles: int
    spans: int
    peak_rss_kb: int


class Rig:
    """One target, ready to be measured again and again.

    Start it, `measure` as often as wanted, `close` it: only then are the spans counted, since the
    last ones leave at its end.
    """

    def __init__(
        self, target: Target, folder: Path, cpus: Collection[int], event: Path | None = None
    ) -> None:
        folder.mkdir()
        self.target = target
        self._cpus, self._log = cpus, folder / "log"
        self._cycles = 0
        self._upstream = Upstream(cpus, *(["--event", str(event)] if event else []))
        self._sink = Sink(folder, os.sched_getaffinity(0))
        self.port = self._upstream.port
        self._group: Group | None = None
        if target.command:
            try:
                self._start()
            except (RigError, OSError):
                self.kill()
                raise

    def measure(self, cycles: int, warmup: int, *options: str) -> dict[str, Any]:
        """The client's figures for so many cycles, of which those of the warm-up are not in them.

        Raises RigError where a cycle failed or the upstream has not seen as many events and results
        as the client.
        """
        self._thaw()
        figures = self._client(cycles, warmup, *options)
        self._cycles += cycles + warmup
        self._check_upstream()
        self._freeze()
        return figures

    def close(self) -> Count:
        """End the target as Lambda would and count what arrived."""
        peak_kb = self._stop(self._group) if self._group else 0
        self._upstream.close()
        return Count(self._cycles, self._sink.close(), peak_kb)

    def pss_kb(self) -> list[int]:
        """Proportional set size of each of its processes in KB, the first one first, once it has
        nothing left to do.
        """
        return self._of_each(pss_kb)

    def cpu_ns(self) -> list[int]:
        """CPU time of each of its processes, the first one first, once it has nothing
        left to do.
        """
        return self._of_each(cpu_ns)

    def kill(self) -> None:
        """End whatever still runs, without a count."""
        if self._group:
            self._group.kill()
        self._upstream.close()
        self._sink.kill()

    def _client(self, cycles: int, warmup: int, *options: str) -> dict[str, Any]:
        expectation = ("--expect-traceparent",) if self.target.traces else ()
        arguments = (
            f"--port={self.port}",
            f"--cycles={cycles}",
            f"--warmup={warmup}",
            *expectation,
            *options,
        )
        with pinned(self._cpus):
            done = subprocess.run(
                [program("client"), *arguments], capture_output=True, text=True, check=False
            )
        if done.returncode:
            raise self._error(f"the client said: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def _check_upstream(self) -> None:
        stats = self._upstream.stats()
        if not stats["events"] == stats["results"] == self._cycles:
            raise self._error(
                f"{self._cycles} cycles, but upstream saw {stats['events']} polls, "
                f"{stats['results']} results"
            )

    def _start(self) -> None:
        self.port = free_port()
        given = environment(self._upstream, self._sink, self.port)
        self._group = Group(self.target.command, given, self._log, self._cpus)
        end = time.monotonic() + START_LIMIT_S
        while not _accepts(self.port):
            if self._group.status() is not None or time.monotonic() > end:
                raise self._error(f"does not accept on port {self.port}")
            time.sleep(0.02)
        self._group.settle()

    def _stop(self, group: Group) -> int:
        self._thaw()
        peak_kb = sum(peak_rss_kb(pid) for pid in group.members())
        self._upstream.shut_down()
        if not self.target.registers:
            group.signal(signal.SIGTERM)
        has_ended = group.ended_within(STOP_LIMIT_S)
        if self.target.registers and (not has_ended or group.status()):
            raise self._error(f"after SHUTDOWN: status {group.status()}, left {group.left()}")
        group.kill()
        return peak_kb

    def _thaw(self) -> None:
        if self._group:
            self._group.signal(signal.SIGCONT)
            self._group.settle()

    def _freeze(self) -> None:
        if self._group:
            self._group.signal(signal.SIGSTOP)

    def _of_each(self, ask: Callable[[int], int]) -> list[int]:
        self._thaw()
        answers = [ask(pid) for pid in self._group.workers()] if self._group else []
        self._freeze()
        return answers

    def _error(self, text: str) -> RigError:
        written = self._log.read_text(errors="replace")[-1500:] if self._log.exists() else ""
        return RigError(f"{self.target.name}: {text}\n{written}".rstrip())


def environment(upstream: Upstream, sink: Sink, port: int) -> dict[str, str]:
    """What every target is started with."""
    return variables(upstream.port, sink, port)


def variables(api_port: int, sink: Sink, port: int) -> dict[str, str]:
    """As `environment`, for a Runtime API on `api_port` of this machine."""
    return {
        **os.environ,
        **LAMBDA_ENVIRONMENT,
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api_port}",
        "LRAP_LISTENER_PORT": str(port),
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint,
    }


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
