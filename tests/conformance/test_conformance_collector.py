"""A real collector takes what the extension sends, with the configuration that the README names."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.sandbox import ROOT
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.collector

CONFIG = ROOT / "collector-config.yaml"
READY = "Everything is ready."


def test_the_collector_accepts_the_configuration(collector: Path) -> None:
    checked = subprocess.run(
        [collector, "validate", "--config", CONFIG], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_what_the_examples_export_arrives_and_is_printed(collector: Path, tmp_path: Path) -> None:
    with running(collector, tmp_path) as (endpoint, printed):
        emulate(endpoint)
    assert_all_has_arrived(tmp_path / "exported.jsonl")
    assert "Name           : /pets/{id}" in printed
    assert "-> Name: lrap.proxy.overhead" in printed


def test_what_goes_over_grpc_arrives_as_well(collector: Path, tmp_path: Path) -> None:
    grpc = free_port()
    with running(collector, tmp_path, grpc):
        emulate(f"http://127.0.0.1:{grpc}", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc")
    assert_all_has_arrived(tmp_path / "exported.jsonl")


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_what_goes_as_json_arrives_as_well(
    collector: Path, tmp_path: Path, compression: str
) -> None:
    with running(collector, tmp_path) as (endpoint, _):
        emulate(
            endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL=http/json",
            f"OTEL_EXPORTER_OTLP_COMPRESSION={compression}",
        )
    assert_all_has_arrived(tmp_path / "exported.jsonl")


def assert_all_has_arrived(exported: Path) -> None:
    """What the examples make is in the file that the collector writes."""
    lines = [json.loads(line) for line in exported.read_text().splitlines()]
    spans = list(_items(lines, "resourceSpans", "scopeSpans", "spans"))
    assert (
        len([span for span in spans if span["kind"] == 2]) == 3
    )  # SERVER; init has one of its own
    assert ("/pets/{id}", "4bf92f3577b34da6a3ce929d0e0e4736") in {
        (span["name"], span["traceId"]) for span in spans
    }
    metrics = {
        metric["name"] for metric in _items(lines, "resourceMetrics", "scopeMetrics", "metrics")
    }
    assert "lrap.proxy.overhead" in metrics


@contextmanager
def running(
    collector: Path, scratch: Path, grpc: int = 0, *, is_batched: bool = True
) -> Iterator[tuple[str, list[str]]]:
    """The collector with our configuration on ports of its own, ended by SIGTERM: its endpoint, and
    the lines that it prints.

    If it is not batched, all that was acknowledged is in the file.
    """
    http, grpc = free_port(), grpc or free_port()
    (scratch / "overrides.yaml").write_text(
        overrides(http, grpc, scratch / "exported.jsonl", is_batched=is_batched)
    )
    command = [collector, "--config", CONFIG, "--config", scratch / "overrides.yaml"]
    printed: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        ready = threading.Event()
        reader = threading.Thread(target=read_lines, args=(process, printed, ready))
        reader.start()
        try:
            ready.wait()
            assert process.poll() is None, "".join(printed)
            yield f"http://127.0.0.1:{http}", printed
        finally:
            process.terminate()
            reader.join()
    assert process.returncode == 0


def read_lines(process: subprocess.Popen[str], printed: list[str], ready: threading.Event) -> None:
    """Keep what the collector prints, and say when it is ready, or has ended."""
    assert process.stdout
    for line in process.stdout:
        printed.append(line.strip())
        if READY in line:
            ready.set()
    ready.set()


def overrides(http: int, grpc: int, exported: Path, *, is_batched: bool) -> str:
    """Free ports, none for the collector's own metrics, and a file that a test can read."""
    batched: dict[str, list[str]] = {} if is_batched else {"processors": []}
    pipeline = {"exporters": ["debug", "file"], **batched}
    return json.dumps(
        {
            "receivers": {
                "otlp": {
                    "protocols": {
                        "http": {"endpoint": f"127.0.0.1:{http}"},
                        "grpc": {"endpoint": f"127.0.0.1:{grpc}"},
                    }
                }
            },
            "exporters": {
                "file": {"path": str(exported)},
                "file/logs": {"path": f"{exported}.logs"},
            },
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {
                    "traces": pipeline,
                    "metrics": pipeline,
                    # With a file of their own: one that three pipelines share is closed too early
                    # at the end.
                    "logs": {"exporters": ["debug", "file/logs"], **batched},
                },
            },
        }
    )


def emulate(endpoint: str, *variables: str) -> None:
    """What `make run` does, with the collector in place of the terminal."""
    events = [
        str(ROOT / "examples/events" / name) for name in ("http.json", "sqs.json", "error.json")
    ]
    emulator = [
        sys.executable,
        "-m",
        "lrap_otel.emulator",
        "emulate",
        "--extension",
        "lrap-otel=opt/entrypoint",
    ]
    options = [
        "--wrapper",
        "opt/wrapper",
        "--cwd",
        "examples/python",
        "--env",
        f"OTEL_EXPORTER_OTLP_ENDPOINT={endpoint}",
        *(word for variable in variables for word in ("--env", variable)),
    ]
    function = [sys.executable, "-m", "awslambdaric", "app.handler"]
    command = [*emulator, *options, "--event", *events, "--", *function]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def _items(
    exported: list[dict[str, Any]], resources: str, scopes: str, items: str
) -> Iterator[dict[str, Any]]:
    for line in exported:
        for resource in line.get(resources, []):
            for scope in resource[scopes]:
                yield from scope[items]
