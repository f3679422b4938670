"""The two tiers of examples/collector on one machine.

Each collector is a real one with the example's configuration, in which only addresses and the
decision's wait are changed. The backend is a collector that writes what it gets into files, one
for each sampler.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.conformance import builds
from tests.ports import free_port, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack

ROOT = builds.HERE.parents[1]
EXAMPLE = ROOT / "examples/collector"
READY = b"Everything is ready."
# Spans of one trace arrive within this time, unless their sandbox is frozen.
DECISION_WAIT_S = 3
PATIENCE_S = 60
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Collector:
    """One collector. It is ready once the object exists."""

    def __init__(
        self,
        executable: Path,
        scratch: Path,
        name: str,
        config: Path | None,
        changes: dict[str, Any],
    ) -> None:
        """Start it with the configuration in the file `config`, over which `changes` are merged."""
        self.name = name
        self._metrics_port = free_port()
        reader = {
            "pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": self._metrics_port}}}
        }
        changes["service"] = changes.get("service", {}) | {
            "telemetry": {"metrics": {"readers": [reader]}}
        }
        overrides = scratch / f"{name}.json"
        overrides.write_text(json.dumps(changes))
        self._command = [
            executable,
            *(("--config", config) if config else ()),
            "--config",
            overrides,
        ]
        self._log = scratch / f"{name}.log"
        self.cpu_s = self.peak_memory_mb = 0.0
        self.start()

    def start(self) -> None:
        """Start it (again). Returns when it accepts requests."""
        self._log.write_bytes(b"")
        # The variables that a deployment has to set.
        environment = os.environ | {
            "BACKEND_ENDPOINT": "http://127.0.0.1:1",
            "BACKEND_AUTHORIZATION": "Bearer key",
        }
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log, env=environment)
        end_s = time.monotonic() + PATIENCE_S
        while READY not in self._log.read_bytes():
            assert self.process.poll() is None, self._log.read_text()
            assert time.monotonic() < end_s, self._log.read_text()
            time.sleep(0.05)
        self._started_s = self._used_s()

    def stop(self) -> None:
        """Send SIGTERM: the collector sends what it has, and ends."""
        self.cpu_s += self._used_s() - self._started_s
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        self.peak_memory_mb = max(self.peak_memory_mb, int(peak.split()[1]) / 1_024)
        self.process.terminate()
        assert self.process.wait(PATIENCE_S) == 0, self._log.read_text()

    def _used_s(self) -> float:
        times = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return sum(map(int, times)) / TICKS_A_SECOND

    def kill(self) -> None:
        """End it at once, after a run that failed."""
        self.process.kill()
        self.process.wait()

    def count(self, name: str) -> int:
        """One of its own counters, added up over all labels; 0 if nothing was counted."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self._metrics_port}/metrics", timeout=10
        ) as answer:
            lines = answer.read().decode().splitlines()
        values = [line.rpartition(" ") for line in lines]
        return sum(
            int(float(value)) for series, _, value in values if series.partition("{")[0] == name
        )


@dataclass
class Gateway:
    """Both tiers and the backend."""

    balancers: list[Collector]
    samplers: list[Collector]
    backend: Collector
    # The endpoints for functions, one for each balancer.
    endpoints: list[str]
    # The backend's files: the traces of each sampler, and all metrics.
    traces: list[Path]
    metrics: Path
    # Everything that each sampler has received, if it is audited.
    received: list[Path]
    ports: list[int]

    def stop(self) -> None:
        """End both tiers and the backend in the order in which spans travel."""
        for collector in (*self.balancers, *self.samplers, self.backend):
            collector.stop()

    def connections(self) -> int:
        """The number of connections from functions to balancers."""
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        # The file is read in pieces: a connection may appear in two of them.
        open_ones = {(local, remote) for _, local, remote, state, *_ in lines if state == "01"}
        return sum(int(local.partition(":")[2], 16) in self.ports for local, _ in open_ones)

    def spans(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Every span that the backend has, with the number of its sampler."""
        for number, path in enumerate(self.traces):
            yield from ((number, span) for span in _spans(path))

    def received_ids(self) -> set[str]:
        """The ids of all spans that have reached an audited sampler."""
        return {span["spanId"] for path in self.received for span in _spans(path)}

    def measured(self, name: str) -> int:
        """A counter's sum over all sandboxes, which send deltas."""
        return sum(
            int(point["asInt"])
            for request in _lines(self.metrics)
            for resource in request["resourceMetrics"]
            for scope in resource["scopeMetrics"]
            for metric in scope["metrics"]
            if metric["name"] == name
            for point in metric["sum"]["dataPoints"]
        )


def running(stack: ExitStack, executable: Path, scratch: Path, *, audits: bool = False) -> Gateway:
    """Start both tiers and the backend; `stack` ends those that still run.

    With `audits` each sampler writes all that it receives into a file as well.
    """
    balancers, samplers = 2, 3
    backend_ports, sampler_ports = free_ports(samplers + 1), free_ports(samplers)
    made: list[Collector] = []

    def start(name: str, config: Path | None, changes: dict[str, Any]) -> Collector:
        made.append(Collector(executable, scratch, name, config, changes))
        stack.callback(made[-1].kill)
        return made[-1]

    traces = [scratch / f"traces-{number}.jsonl" for number in range(samplers)]
    received = (
        [scratch / f"received-{number}.jsonl" for number in range(samplers)] if audits else []
    )
    metrics = scratch / "metrics.jsonl"
    backend = start("backend", None, _backend(backend_ports, traces, metrics))
    second_tier = [
        start(
            f"sampler-{number}",
            EXAMPLE / "sampler.yaml",
            _sampler(own, backend_port, received[number : number + 1]),
        )
        for number, (own, backend_port) in enumerate(
            zip(sampler_ports, backend_ports, strict=False)
        )
    ]
    ports = free_ports(balancers)
    first_tier = [
        start(
            f"balancer-{number}",
            EXAMPLE / "balancer.yaml",
            _balancer(own, sampler_ports, backend_ports[-1]),
        )
        for number, own in enumerate(ports)
    ]
    endpoints = [f"http://127.0.0.1:{port}" for port in ports]
    return Gateway(first_tier, second_tier, backend, endpoints, traces, metrics, received, ports)


def _balancer(port: int, samplers: list[int], backend: int) -> dict[str, Any]:
    addresses = [f"127.0.0.1:{sampler}" for sampler in samplers]
    return {
        "extensions": _health_check(),
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "exporters": {
            "load_balancing": {"resolver": {"static": {"hostnames": addresses}}},
            "otlp_http/backend": {"endpoint": f"http://127.0.0.1:{backend}"},
        },
    }


def _sampler(port: int, backend: int, received: list[Path]) -> dict[str, Any]:
    return {
        "service": {
            "pipelines": {"traces/audit": {"receivers": ["otlp"], "exporters": ["file"]}}
            if received
            else {}
        },
        "extensions": _health_check(),
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{port}"}}}},
        "processors": {"tail_sampling": {"decision_wait": f"{DECISION_WAIT_S}s"}},
        "exporters": {
            "otlp_http/backend": {"endpoint": f"http://127.0.0.1:{backend}"},
            **({"file": {"path": str(received[0])}} if received else {}),
        },
    }


def _health_check() -> dict[str, Any]:
    return {"health_check": {"endpoint": f"127.0.0.1:{free_port()}"}}


def _backend(ports: list[int], traces: list[Path], metrics: Path) -> dict[str, Any]:
    """A collector with a receiver, a pipeline and a file for each sampler, and for the metrics."""
    names = [*(f"traces/{number}" for number in range(len(traces))), "metrics"]
    labels = [name.replace("/", "-") for name in names]
    return {
        "receivers": {
            f"otlp/{label}": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}
            for label, port in zip(labels, ports, strict=True)
        },
        "exporters": {
            f"file/{label}": {"path": str(path)}
            for label, path in zip(labels, (*traces, metrics), strict=True)
        },
        "service": {
            "pipelines": {
                name: {"receivers": [f"otlp/{label}"], "exporters": [f"file/{label}"]}
                for name, label in zip(names, labels, strict=True)
            }
        },
    }


def _spans(path: Path) -> Iterator[dict[str, Any]]:
    for request in _lines(path):
        for resource in request["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                yield from scope["spans"]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
