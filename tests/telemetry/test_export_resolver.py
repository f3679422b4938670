"""The system's own resolver, asking a name server that never answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# In namespaces of its own: the name server is the loopback, and only the test's resolv.conf is
# read.
ALONE = ("unshare", "--mount", "--net", "sh", "-c")
PREPARED = 'ip link set lo up && mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'
SILENT = """
import socket, time
from otlp_collector import Collector
from proxy_records import invocations
from telemetry_thread import Telemetry, points

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as name_server, Collector() as collector:
    name_server.bind(("127.0.0.1", 53))
    name_server.settimeout(30)
    telemetry = Telemetry({
        b"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url.encode(),
        b"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": b"http://collector.test/v1/traces",
    })
    telemetry.offer(*invocations(1))
    begun_s = time.monotonic()
    print("flush", telemetry.flush(500))
    print("metrics", sum(count for _, count in points(collector.next("/v1/metrics"), "faas.invocations")))
    print("asked", b"collector" in name_server.recv(512))
    print("shutdown", telemetry.shutdown(seconds=1))
    # The resolver alone takes 20 s.
    print("in time", time.monotonic() - begun_s < 10)
    print(*telemetry.warnings, sep="\\n")
    telemetry.channel.near.close()
    telemetry.channel.far.close()
"""
CONFIGURATION = "nameserver 127.0.0.1\noptions timeout:10 attempts:2\n"


def test_a_name_server_that_never_answers_costs_the_other_signal_nothing_and_nobody_waits_for_it(
    tmp_path: Path,
) -> None:
    configuration = tmp_path / "resolv.conf"
    configuration.write_text(CONFIGURATION)
    if subprocess.run(
        [*ALONE, PREPARED, "sh", configuration, "true"], capture_output=True, check=False
    ).returncode:
        pytest.skip("this machine gives no namespaces")
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT}/tests/telemetry"}
    ended = subprocess.run(
        [*ALONE, PREPARED, "sh", configuration, sys.executable, "-c", SILENT],
        capture_output=True,
        text=True,
        env=environment,
        timeout=100,
        check=False,
    )
    reason = "http://collector.test/v1/traces: the name collector.test was not resolved in time"
    said = ended.stdout.splitlines()
    assert said[:6] == [
        "flush False",
        "metrics 1",
        "asked True",
        "shutdown False",
        "in time True",
        f"traces could not be exported: {reason}",
    ], ended.stderr
    assert said[6].endswith(f": 1 span; the last because {reason}")
