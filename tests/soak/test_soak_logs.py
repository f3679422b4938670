"""A function that prints 10,000 lines a second: each is at the collector once, in its span, and
calls pass as before.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from tests.extension.extension_process import REGISTERED, Extension
from tests.processes import children, proxies_of
from tests.proxy.wire import ACCEPTED, NEXT, PING, event, post, result_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.upstream import Peer

LINES_A_SECOND, BATCHES_A_SECOND = 10_000, 10
REQUEST_ID = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
# Of the telemetry process, which keeps 8 MB at most.
MEMORY_LIMIT_KB = 96 * 1024


class Collector:
    """Takes everything; the bodies of log requests are decoded afterwards."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/logs":
                    bodies.append(body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def lines(self) -> Iterator[tuple[str, str, str]]:
        """Each line with its invocation's id and its span's."""
        for body in self.bodies:
            for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
                for record in resource.scope_logs[0].log_records:
                    ids = {each.key: each.value.string_value for each in record.attributes}
                    yield (
                        record.body.string_value,
                        ids.get("faas.invocation_id", ""),
                        record.span_id.hex(),
                    )


def batch(first: int, count: int) -> bytes:
    made = [
        {
            "time": "2026-11-30T10:00:00.000Z",
            "type": "function",
            "record": f"line {number} of what a function has to say",
        }
        for number in range(first, first + count)
    ]
    return json.dumps(made).encode()


def pings_ms(runtime: Peer, api: Peer, seconds: float) -> list[float]:
    """How long calls take through the proxy, one after the other."""
    took = []
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        began_s = time.monotonic()
        runtime.send(PING)
        api.read_head()
        api.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong")
        runtime.read_message()
        took.append((time.monotonic() - began_s) * 1_000)
        time.sleep(0.02)
    return took


def deliver(port: int, seconds: float, late: list[float]) -> int:
    """As Lambda does: the next batch once the last is acknowledged. How many lines."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    count = LINES_A_SECOND // BATCHES_A_SECOND
    began_s = time.monotonic()
    for number in range(int(seconds * BATCHES_A_SECOND)):
        due_s = began_s + number / BATCHES_A_SECOND
        time.sleep(max(due_s - time.monotonic(), 0))
        late.append(max(time.monotonic() - due_s, 0))
        connection.request(
            "POST", "/", batch(number * count, count), {"Content-Type": "application/json"}
        )
        assert connection.getresponse().read() == b""
    connection.close()
    return int(seconds * BATCHES_A_SECOND) * count


def tell(port: int, *events: dict[str, Any]) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/", json.dumps(events))
    assert connection.getresponse().read() == b""
    connection.close()


def peak_kb(process_id: int) -> int:
    status = Path(f"/proc/{process_id}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


@pytest.mark.waits(60)
def test_ten_thousand_lines_a_second_arrive_once_and_do_no_harm(seconds: float) -> None:
    with (
        contextlib.closing(Collector()) as collector,
        contextlib.closing(
            Extension(
                LRAP_TELEMETRY_API="auto",
                OTEL_LOGS_EXPORTER="otlp",
                OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            )
        ) as extension,
    ):
        extension.read_registration()
        events = extension.lambda_side
        assert events is not None
        events.send(REGISTERED)
        subscription = extension.api.accept()
        _, asked = subscription.read_message()
        subscription.send(b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"OK"')
        events.read_head()
        port = int(json.loads(asked)["destination"]["URI"].rpartition(":")[2])
        runtime = extension.connect()
        runtime.send(NEXT)
        api = extension.api.accept()
        api.read_head()
        api.send(event(REQUEST_ID.encode()))
        runtime.read_message()
        tell(
            port,
            {
                "time": "2026-11-30T10:00:00Z",
                "type": "platform.start",
                "record": {"requestId": REQUEST_ID},
            },
        )

        quiet_ms = pings_ms(runtime, api, min(seconds, 5))
        late_s: list[float] = []
        sent: list[int] = []
        delivering = threading.Thread(target=lambda: sent.append(deliver(port, seconds, late_s)))
        delivering.start()
        loud_ms = pings_ms(runtime, api, seconds)
        delivering.join()

        (proxy,) = proxies_of(extension.process.pid)
        (telemetry,) = children(proxy)
        peak = peak_kb(telemetry)
        runtime.send(post(result_target(), b"true"))
        api.read_message()
        api.send(ACCEPTED)
        runtime.read(len(ACCEPTED))
        body = b'{"eventType":"SHUTDOWN","shutdownReason":"spindown","deadlineMs":%d}' % int(
            (time.time() + 30) * 1_000
        )
        events.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert extension.end() == (0, b"")

    print(  # noqa: T201 - a figure for people
        f"{sent[0]} lines in {seconds:.0f} s; a call took p50 {statistics.median(quiet_ms):.2f} ms without, "
        f"{statistics.median(loud_ms):.2f} with; Lambda waited for an acknowledgement at most {max(late_s):.2f} s; "
        f"telemetry process {peak / 1024:.0f} MB at most"
    )
    arrived = list(collector.lines())
    spans = {span for _, _, span in arrived}
    assert [line for line, _, _ in arrived] == [
        f"line {number} of what a function has to say" for number in range(sent[0])
    ]
    assert {invocation for _, invocation, _ in arrived} == {REQUEST_ID}
    assert len(spans) == 1
    assert "" not in spans
    assert peak < MEMORY_LIMIT_KB
