"""What one telemetry process costs from its first import to its end, by the way that its telemetry
takes.

It gets one invocation, a flush and a SHUTDOWN, on one CPU; a small server in this process takes
what is sent, and answers as AWS's services do. Nothing is encrypted: what TLS costs is the same for
all.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from bench.machine import one_cpu, pinned
from bench.rig import RigError
from bench.start import interpreter
from bench.targets import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_REGION": "eu-west-1",
}
SECRET = "${arn:aws:secretsmanager:eu-west-1:123456789012:secret:name-AbCdEf:key::}"
AWS = "eu-west-1.amazonaws.com/v1"
DEFAULT = "http/protobuf"
# By the words of docs/settings.md; what needs the SDK last.
WAYS: Mapping[str, Mapping[str, str]] = {
    DEFAULT: {},
    "http/json": {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
    "gzip": {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"},
    "console": {"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "console"},
    "otlp,console": {"OTEL_TRACES_EXPORTER": "otlp,console"},
    "AWS": {
        **KEYS,
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://xray.{AWS}/traces",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"http://monitoring.{AWS}/metrics",
    },
    "a secret": {**KEYS, "OTEL_EXPORTER_OTLP_HEADERS": f"api-key={SECRET}"},
    "grpc": {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
}
# The records are made by the proxy, so they are there before the time begins.
_PROGRAM = """
import os, sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/tests/telemetry"]
import lrap_otel.settings, proxy_records
from lrap_otel.ipc import channel, records
pair = channel.Channel()
for message, payload in (proxy_records.delivered(b"{}"), proxy_records.finished()):
    pair.offer(message, payload)
pair.offer(records.flush(1, 60_000, 0, 0))
pair.offer(records.shutdown(2, "spindown", 1 << 50, 0, 0))
from time import process_time
begun_s = process_time()
from lrap_otel.telemetry.worker import serve
serve(pair.far, os.environb)
used_s = process_time() - begun_s
with open("/proc/self/status") as status:
    peak_kb = next(line.split()[1] for line in status if line.startswith("VmHWM"))
print(used_s, peak_kb, flush=True)
os._exit(0)
"""


@dataclass(frozen=True)
class Export:
    """One process: the CPU that it used after it was forked, and the most memory that it had."""

    cpu_s: float
    peak_kb: int


class Receiver:
    """Takes every POST; `received` counts those that hold telemetry."""

    def __init__(self) -> None:
        self.received = 0

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Its address."""
        ours = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                is_telemetry = "X-Amz-Target" not in self.headers
                ours.received += is_telemetry
                body = b"" if is_telemetry else b'{"SecretString": "{\\"key\\": \\"k\\"}"}'
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()
            thread.join()


def measure(way: str) -> Export:
    """One process. Raises RigError if its telemetry did not arrive."""
    receiver = Receiver()
    with receiver.serving() as url:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "AWS_ENDPOINT_URL": url,
            "http_proxy": url,
            "LRAP_SPOOL_BYTES": "0",
            "AWS_LAMBDA_FUNCTION_NAME": "orders",
            "PATH": os.environ["PATH"],
            **WAYS[way],
        }
        command = [*interpreter(), "-I", "-S", "-c", _PROGRAM, str(ROOT)]
        with pinned(one_cpu()):
            done = subprocess.run(
                command, env=variables, capture_output=True, text=True, check=False
            )
    # gRPC finds no server here: what it costs is paid by then.
    expected = {"console": 0, "grpc": 0, "otlp,console": 2}.get(way, 2)
    if done.returncode or receiver.received < expected:
        raise RigError(
            f"{way}: status {done.returncode}, {receiver.received} requests; {done.stderr[-300:]}"
        )
    cpu_s, peak_kb = done.stdout.split()
    return Export(float(cpu_s), int(peak_kb))


if __name__ == "__main__":
    for each in sys.argv[1:] or WAYS:
        print(each, measure(each))
