"""A collector, a telemetry process beside it, and the test in the proxy's place."""

from __future__ import annotations

import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.certificates import write_certificate
from tests.telemetry.otlp_collector import Collector
from tests.telemetry.telemetry_thread import Telemetry, spans_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from lrap_otel.ipc import records


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture
def start() -> Iterator[Callable[..., Telemetry]]:
    """Starts a telemetry process with these `OTEL_*` variables, for a collector or without one."""
    started: list[Telemetry] = []

    def _start(
        collector: Collector | None = None, *, hears_platform: bool = False, **variables: str
    ) -> Telemetry:
        encoded = {name.encode(): value.encode() for name, value in variables.items()}
        if collector is not None:
            encoded.setdefault(b"OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.encode())
        started.append(Telemetry(encoded, hears_platform=hears_platform))
        return started[-1]

    yield _start
    for telemetry in started:
        telemetry.end()


@pytest.fixture
def start_hearing(start: Callable[..., Telemetry]) -> Callable[..., Telemetry]:
    """The same, with `Telemetry.tell`."""
    return partial(start, hears_platform=True)


@pytest.fixture
def trace(start: Callable[..., Telemetry], collector: Collector) -> Callable[..., Span]:
    """The one span that these records make."""

    def _trace(*sent: tuple[records.Message, bytes], **variables: str) -> Span:
        telemetry = start(collector, **variables)
        telemetry.offer(*sent)
        assert telemetry.flush()
        return spans_of(collector)[0]

    return _trace


@pytest.fixture
def certified(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a file with a key and its certificate for a host (``IP:...`` or ``DNS:...``)."""

    def _certified(subject: str) -> Path:
        return write_certificate(tmp_path / f"{subject.replace(':', '-')}.pem", subject)

    return _certified


@pytest.fixture
def certificate(certified: Callable[[str], Path]) -> Path:
    return certified("IP:127.0.0.1")


@pytest.fixture
def full_port() -> Iterator[int]:
    """One whose connections are never made: Linux does not answer for a listener whose queue is
    full.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        queue = [socket.socket() for _ in range(4)]
        for one in queue:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        yield port
        for one in queue:
            one.close()


@pytest.fixture
def closed_port() -> int:
    """One that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
