"""The proxy on a real listening socket, in threads of the test's own process; the test plays both its peers."""

from __future__ import annotations

import _socket
import _thread
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from lrap_otel import records
from lrap_otel.channel import Channel, TelemetryEnd
from lrap_otel.invocations import Invocations
from lrap_otel.proxy.exchange import Sandbox
from lrap_otel.proxy.listener import accept_connections
from lrap_otel.proxy.tracer import Tracer
from lrap_otel.proxy.upstream import Upstream as Connections
from lrap_otel.settings import Settings
from tests.upstream import Peer, Upstream, connect

if TYPE_CHECKING:
    Start = Callable[..., "Proxy"]


class Proxy:
    """A running proxy: connect to it as a runtime, read the records it offers."""

    def __init__(self, upstream_port: int, *, is_on: bool = True, **variables: str) -> None:
        self.settings = Settings({name.encode(): value.encode() for name, value in variables.items()})
        self.channel = Channel()
        self.invocations = Invocations()
        self.sandbox = Sandbox(
            Connections(("127.0.0.1", upstream_port)),
            self.invocations,
            self.channel if is_on else None,
            Tracer(self.settings, self.invocations) if is_on else None,
            is_managed_instances=self.settings.is_managed_instances,
        )
        self._telemetry = TelemetryEnd(self.channel.far)
        self._listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(1_024)
        self.port = self._listener.getsockname()[1]
        self._runtimes: list[Peer] = []
        _thread.start_new_thread(accept_connections, (self._listener, self.sandbox))

    def connect(self) -> Peer:
        runtime = connect(self.port)
        self._runtimes.append(runtime)
        return runtime

    def record(self) -> records.Record:
        """The next record that the proxy offered."""
        self.channel.far.settimeout(5.0)
        record = self._telemetry.receive()
        assert record is not None
        return record

    def has_record(self) -> bool:
        self.channel.far.settimeout(0.2)
        try:
            return bool(self.channel.far.recv(1, _socket.MSG_PEEK))
        except OSError:
            return False

    def close(self) -> None:
        for runtime in self._runtimes:
            runtime.close()
        self._listener.shutdown(_socket.SHUT_RDWR)
        self._listener.close()
        self.channel.near.close()
        self.channel.far.close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture
def start(upstream: Upstream) -> Iterator[Start]:
    """Start a proxy in front of `upstream`, with the environment variables given."""
    proxies = []

    def start(*, is_on: bool = True, **variables: str) -> Proxy:
        proxies.append(Proxy(upstream.port, is_on=is_on, **variables))
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.close()


@pytest.fixture
def proxy(start: Start) -> Proxy:
    return start()
