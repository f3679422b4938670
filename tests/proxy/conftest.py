"""The proxy on a real listening socket, in threads of the test's process; the test is both its
peers.
"""

from __future__ import annotations

import _socket
import _thread
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lrap_otel.ipc.channel import Channel, TelemetryEnd
from lrap_otel.propagation.carrier.learned import EventTemplates
from lrap_otel.proxy.learned_heads import HeadTemplates
from lrap_otel.proxy.listener import accept_connections
from lrap_otel.proxy.shared_state import SharedState
from lrap_otel.proxy.tracer import Tracer
from lrap_otel.proxy.upstream import Upstream as Connections
from lrap_otel.sandbox.invocations import Invocations
from lrap_otel.settings import Settings
from lrap_otel.text.learning import PatternCompiler
from tests.upstream import Peer, Upstream, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lrap_otel.ipc import records

    Start = Callable[..., "Proxy"]
    Spawn = Callable[..., "ProxyProcess"]


class Proxy:
    """A running proxy: connect to it as a runtime, read the records it offers."""

    def __init__(
        self,
        upstream_port: int,
        *,
        is_on: bool = True,
        has_templates: bool = True,
        **variables: str,
    ) -> None:
        self.settings = Settings(
            {name.encode(): value.encode() for name, value in variables.items()}
        )
        self.channel = Channel()
        self.invocations = Invocations()
        compiler = PatternCompiler()
        compiler.is_off = not has_templates
        self.events, self.heads = EventTemplates(compiler), HeadTemplates(compiler)
        self.sandbox = SharedState(
            Connections(("127.0.0.1", upstream_port)),
            self.invocations,
            self.channel if is_on else None,
            Tracer(self.settings, self.invocations, self.events) if is_on else None,
            self.heads,
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


class ProxyProcess:
    """A proxy in a process of its own, for tests that count by process."""

    def __init__(self, upstream_port: int, most_descriptors: int) -> None:
        script = Path(__file__).with_name("serve.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(upstream_port), str(most_descriptors)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(script.parents[2])},
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def connect(self) -> Peer:
        return connect(self.port)

    def freeze(self) -> None:
        """Stop it, as Lambda's freeze between invocations does."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def rss_bytes(self) -> int:
        """Its resident memory."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def cpu_s(self) -> float:
        """The CPU time it has used."""
        fields = (
            Path(f"/proc/{self.process.pid}/stat")
            .read_text(encoding="ascii")
            .rpartition(")")[2]
            .split()
        )
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> bytes:
        """End it. Returns what it wrote to stderr."""
        self.process.kill()
        _, errors = self.process.communicate()
        return errors


@pytest.fixture(scope="session", autouse=True)
def _coverage_of_bare_threads() -> Iterator[None]:
    """Coverage follows threads that `threading` starts; the proxy starts its own with `_thread`."""
    trace = threading.gettrace()
    start_new_thread = _thread.start_new_thread

    def start_traced(function: Callable[..., object], arguments: tuple[object, ...]) -> int:
        def run() -> None:
            sys.settrace(trace)
            function(*arguments)

        return start_new_thread(run, ())

    with pytest.MonkeyPatch.context() as patch:
        if trace is not None:
            patch.setattr(_thread, "start_new_thread", start_traced)
        yield


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture
def start(upstream: Upstream) -> Iterator[Start]:
    """Start a proxy in front of `upstream`, with the environment variables given."""
    proxies = []

    def start(
        *, is_on: bool = True, has_templates: bool = True, upstream_port: int = 0, **variables: str
    ) -> Proxy:
        port = upstream_port or upstream.port
        proxies.append(Proxy(port, is_on=is_on, has_templates=has_templates, **variables))
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.close()


@pytest.fixture
def proxy(start: Start) -> Proxy:
    return start()


@pytest.fixture
def spawn(upstream: Upstream) -> Iterator[Spawn]:
    """Start a proxy in front of `upstream` in a process of its own, with a limit on its
    descriptors.
    """
    processes = []

    def spawn(most_descriptors: int = 0) -> ProxyProcess:
        processes.append(ProxyProcess(upstream.port, most_descriptors))
        return processes[-1]

    yield spawn
    for process in processes:
        process.close()
