"""A program: an export to a host whose name is never resolved, beside one to a collector that is
there. It prints what came of it.

``silent_resolver.py name-server`` has a name server on the loopback that never answers, which the
system's resolver asks: for a network namespace of its own. ``silent_resolver.py stand-in`` has a
resolver that takes as long, in the place of the system's.
"""

from __future__ import annotations

import _socket
import socket
import sys
import time
from typing import Any

# glibc's, with `timeout:10 attempts:2`.
RESOLVER_S = 20.0
REASON = "http://collector.test/v1/traces: the name collector.test was not resolved in time"
EXPECTED = [
    "flush False",
    "metrics 1",
    "asked True",
    "shutdown False",
    "in time True",
    f"traces could not be exported: {REASON}",
]


def stand_in() -> list[bytes]:
    """Replace the system's resolver, for names; what has been asked of it."""
    asked: list[bytes] = []
    numeric = _socket.getaddrinfo

    def getaddrinfo(host: bytes, port: int, *rest: int) -> Any:
        if _socket.AI_NUMERICHOST in rest:
            return numeric(host, port, *rest)
        asked.append(host)
        time.sleep(RESOLVER_S)
        raise _socket.gaierror(_socket.EAI_AGAIN, "no answer")

    _socket.getaddrinfo = getaddrinfo
    return asked


def main(how: str) -> None:
    asked = stand_in() if how == "stand-in" else []
    # Only now: they take the resolver that is there.
    from otlp_collector import Collector  # noqa: PLC0415
    from proxy_records import invocations  # noqa: PLC0415
    from telemetry_thread import Telemetry, points  # noqa: PLC0415

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as name_server, Collector() as collector:
        if how == "name-server":
            name_server.bind(("127.0.0.1", 53))
            name_server.settimeout(30)
        telemetry = Telemetry(
            {
                b"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url.encode(),
                b"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": b"http://collector.test/v1/traces",
            }
        )
        telemetry.offer(*invocations(1))
        begun_s = time.monotonic()
        lines = [f"flush {telemetry.flush(500)}"]
        measured = points(collector.next("/v1/metrics"), "faas.invocations")
        lines.append(f"metrics {sum(count for _, count in measured)}")
        question = name_server.recv(512) if how == "name-server" else b"".join(asked)
        lines.append(f"asked {b'collector' in question}")
        lines.append(f"shutdown {telemetry.shutdown(seconds=1)}")
        lines.append(f"in time {time.monotonic() - begun_s < RESOLVER_S / 2}")
        sys.stdout.write("\n".join([*lines, *telemetry.warnings]) + "\n")
        telemetry.channel.near.close()
        telemetry.channel.far.close()


if __name__ == "__main__":
    main(sys.argv[1])
