"""The proxy process's whole life in one thread of the tests: Lambda, the runtime and the telemetry
process are the test.
"""

from __future__ import annotations

import _socket
import json
import os
import posix
import sys
import threading
import time

import pytest

from lrap_otel import boot, proxy_process
from lrap_otel.extension import telemetry_process
from lrap_otel.handshake import Handshake
from lrap_otel.ipc import records
from lrap_otel.ipc.channel import Channel, TelemetryEnd
from lrap_otel.registration import Registration
from lrap_otel.settings import Settings
from tests.upstream import Peer, Upstream, connect

REGISTERED = (
    b"HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: me\r\nContent-Length: 48\r\n\r\n"
    b'{"functionName":"f","functionVersion":"$LATEST"}'
)
NEXT = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
EVENT = b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: r\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
RESULT = b"POST /2018-06-01/runtime/invocation/r/response HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\ntrue"
ACCEPTED = b'HTTP/1.1 202 Accepted\r\nContent-Length: 16\r\n\r\n{"status":"OK"}\n'


def event_reply(event: object) -> bytes:
    body = json.dumps(event).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def sleeping_child() -> int:
    """A process that stands for the telemetry process until it is killed."""
    return posix.posix_spawn("/bin/sleep", ["sleep", "60"], {})


def test_the_life_of_an_extension_from_registration_to_shutdown() -> None:
    lambda_side, channel = Upstream(), Channel()
    listener = _socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    address = f"127.0.0.1:{lambda_side.port}".encode()
    settings = Settings({b"AWS_LAMBDA_RUNTIME_API": address, b"LRAP_FLUSH_BUDGET_MS": b"60000"})
    registered = Registration(("127.0.0.1", lambda_side.port))
    statuses: list[int] = []
    child = sleeping_child()
    arguments = (settings, registered, Handshake(listener), channel, child)
    thread = threading.Thread(
        target=lambda: statuses.append(proxy_process.run(*arguments)), daemon=True
    )
    thread.start()

    extensions_api = lambda_side.accept().send(REGISTERED)
    far = TelemetryEnd(channel.far)
    channel.far.settimeout(5.0)
    started = far.receive()
    assert isinstance(started, records.Started)
    assert (started.function_name, started.function_version, started.account_id) == (
        "f",
        "$LATEST",
        None,
    )

    assert b"/event/next" in extensions_api.read_head()
    runtime = connect(listener.getsockname()[1]).send(NEXT)
    runtime_api = lambda_side.accept()
    runtime_api.read_head()
    runtime_api.send(EVENT)
    extensions_api.send(
        event_reply(
            {
                "eventType": "INVOKE",
                "requestId": "r",
                "deadlineMs": time.time_ns() // 1_000_000 + 60_000,
            }
        )
    )
    assert runtime.read_message()[1] == b"{}"
    assert isinstance(far.receive(), records.Delivered)
    runtime.send(RESULT)
    runtime_api.read_message()
    runtime_api.send(ACCEPTED)
    assert runtime.read_message()[0].startswith(b"HTTP/1.1 202")
    assert isinstance(far.receive(), records.Finished)
    answer_flush(far)

    assert b"/event/next" in extensions_api.read_head()
    extensions_api.send(
        event_reply({"eventType": "SHUTDOWN", "shutdownReason": "spindown", "deadlineMs": 2**60})
    )
    answer_flush(far)
    thread.join(5)
    assert statuses == [0]
    os.kill(child, 9)
    lambda_side.close()


class StartedService:
    """The service of one function, with its variables, once it has told the telemetry process so;
    that is not ready yet.
    """

    def __init__(self, **variables: str) -> None:
        self.lambda_side, self.channel, self.child = Upstream(), Channel(), sleeping_child()
        self.listener = _socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen()
        told = {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.lambda_side.port}", **variables}
        settings = Settings({name.encode(): value.encode() for name, value in told.items()})
        registered = Registration(("127.0.0.1", self.lambda_side.port))
        arguments = (settings, registered, Handshake(self.listener), self.channel, self.child)
        self.thread = threading.Thread(target=proxy_process.run, args=arguments, daemon=True)
        self.thread.start()
        self.extensions_api = self.lambda_side.accept().send(REGISTERED)
        self.far = TelemetryEnd(self.channel.far)
        self.channel.far.settimeout(5.0)
        assert isinstance(self.far.receive(), records.Started)

    def asks_for_an_event_within(self, wait_s: float) -> bool:
        """Whether the extension has asked Lambda for its first event by then."""
        return self.extensions_api.has_news(wait_s)

    def poll(self) -> None:
        """The runtime asks for its first event."""
        self.runtime = connect(self.listener.getsockname()[1]).send(NEXT)
        self.lambda_side.accept().read_head()

    def end(self) -> None:
        """SHUTDOWN, answered by the telemetry process."""
        assert b"/event/next" in self.extensions_api.read_head()
        self.extensions_api.send(event_reply({"eventType": "SHUTDOWN", "deadlineMs": 2**60}))
        answer_flush(self.far)
        self.thread.join(5)
        self.lambda_side.close()
        os.kill(self.child, 9)


@pytest.mark.parametrize(
    "variables",
    [
        {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128"},
        {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1768"},
        {
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3008",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency",
        },
        {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"},
        {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3008", "OTEL_LOGS_EXPORTER": "otlp"},
    ],
)
def test_where_init_has_more_of_a_cpu_it_lasts_until_the_telemetry_process_is_ready(
    variables: dict[str, str],
) -> None:
    started = StartedService(**variables)
    assert not started.asks_for_an_event_within(0.05)
    started.far.reply(records.ready(started.child))
    assert started.asks_for_an_event_within(5.0)
    started.end()


@pytest.mark.parametrize("has_runtime", [True, False])
def test_init_does_not_wait_for_ever_for_a_telemetry_process_that_is_never_ready(
    has_runtime: bool,
) -> None:
    started = StartedService(AWS_LAMBDA_FUNCTION_MEMORY_SIZE="128")
    if has_runtime:
        started.poll()
    assert started.asks_for_an_event_within(5.0)
    started.end()


@pytest.mark.parametrize(
    "variables",
    [
        {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769"},
        {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "²"},
        {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "LRAP_FLUSH_BUDGET_MS": "0"},
        {
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances",
        },
    ],
)
def test_elsewhere_init_does_not_wait_for_the_telemetry_process(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry_process, "_READY_LIMIT_S", 60.0)
    started = StartedService(**variables)
    assert started.asks_for_an_event_within(5.0)
    started.end()


def answer_flush(far: TelemetryEnd) -> None:
    record = far.receive()
    assert isinstance(record, (records.Flush, records.Shutdown))
    far.reply(records.flushed(record.number, ok=True))


def run_boot(monkeypatch: pytest.MonkeyPatch, **variables: str) -> int:
    for name in ("AWS_LAMBDA_RUNTIME_API", "LRAP_LISTENER_PORT"):
        monkeypatch.delitem(posix.environ, name.encode(), raising=False)
    for name, value in variables.items():
        monkeypatch.setitem(posix.environ, name.encode(), value.encode())
    return boot.main("/opt/extensions/lrap-otel")


def lambda_that_ends_at_once(lambda_side: Upstream, asked: list[Peer]) -> None:
    extensions_api = lambda_side.accept()
    asked.append(extensions_api)
    extensions_api.read_message()
    extensions_api.send(REGISTERED)
    extensions_api.read_head()
    extensions_api.send(event_reply({"eventType": "SHUTDOWN"}))


@pytest.mark.parametrize("is_taken", [True, False], ids=["port taken", "switched off"])
def test_the_boot_of_an_extension_that_traces_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *, is_taken: bool
) -> None:
    lambda_side, stranger = Upstream(), Upstream()
    port = stranger.port
    if not is_taken:
        stranger.close()
    thread = threading.Thread(target=lambda_that_ends_at_once, args=(lambda_side, []), daemon=True)
    thread.start()
    variables = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{lambda_side.port}",
        "LRAP_LISTENER_PORT": str(port),
    }
    assert run_boot(monkeypatch, **variables, LRAP_ENABLED="true" if is_taken else "false") == 0
    thread.join(5)
    # It is shorter only while modules are loaded.
    assert sys.getswitchinterval() == pytest.approx(0.005)
    assert (f"port {port} is taken" in capfd.readouterr().err) == is_taken
    lambda_side.close()
    stranger.close()


def test_a_lambda_that_is_not_there_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    lambda_side = Upstream()
    port = lambda_side.port
    lambda_side.close()
    assert run_boot(monkeypatch, AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{port}") == 1
    assert "does not answer" in capfd.readouterr().err
    assert run_boot(monkeypatch) == 1
    assert "AWS_LAMBDA_RUNTIME_API is not set" in capfd.readouterr().err


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "sandbox.localdomain"])
def test_a_runtime_api_that_is_our_own_port_is_told_and_not_used(host: str) -> None:
    variables = {
        "AWS_LAMBDA_RUNTIME_API": "169.254.100.1:9001",
        "LRAP_RUNTIME_API_ENDPOINT": f"{host}:9009",
    }
    settings = Settings({name.encode(): value.encode() for name, value in variables.items()})
    boot._avoid_ourselves(settings)
    assert settings.runtime_api == ("169.254.100.1", 9001)
    (warning,) = settings.warnings
    assert "LRAP_RUNTIME_API_ENDPOINT" in warning


def test_a_lambda_at_our_own_port_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    reserved = Upstream()
    port = str(reserved.port)
    reserved.close()
    assert (
        run_boot(monkeypatch, AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{port}", LRAP_LISTENER_PORT=port)
        == 1
    )
    assert "AWS_LAMBDA_RUNTIME_API is our own port" in capfd.readouterr().err


def test_a_sampler_argument_that_cannot_be_used_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    lambda_side = Upstream()
    registered = Registration(("127.0.0.1", lambda_side.port))
    lambda_side.accept().send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    settings = Settings(
        {b"OTEL_TRACES_SAMPLER": b"traceidratio", b"OTEL_TRACES_SAMPLER_ARG": b"10%"}
    )
    child = sleeping_child()
    assert proxy_process.run(settings, registered, None, Channel(), child) == 1
    assert "10%" in capfd.readouterr().err
    os.kill(child, 9)
    lambda_side.close()


def test_a_refused_registration_ends_the_service(capfd: pytest.CaptureFixture[str]) -> None:
    lambda_side = Upstream()
    registered = Registration(("127.0.0.1", lambda_side.port))
    lambda_side.accept().send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    assert proxy_process.run(Settings({}), registered, None, None, 0) == 1
    assert "403" in capfd.readouterr().err
    lambda_side.close()
