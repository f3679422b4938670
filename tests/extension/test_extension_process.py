"""The extension lives from its registration to SHUTDOWN, whatever happens around it: an earlier
exit resets the sandbox.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.extension.extension_process import REGISTERED, Extension, reply
from tests.processes import children, proxies_of
from tests.proxy.wire import ACCEPTED, NEXT, event, post, post_head, result_target
from tests.upstream import Peer, Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Start = Callable[..., Extension]

REQUEST_ID = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
PROXIES = dict.fromkeys(
    ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"), "http://127.0.0.1:9"
)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start an extension with the environment variables given."""
    started: list[Extension] = []

    def start(**options: Any) -> Extension:
        started.append(Extension(**options))
        return started[-1]

    yield start
    for extension in started:
        extension.close()


@pytest.fixture
def collector() -> Iterator[Upstream]:
    """One that answers when the test does."""
    collector = Upstream()
    yield collector
    collector.close()


def shutdown(within_ms: int = 2_000, reason: str = "spindown") -> bytes:
    deadline_ms = time.time_ns() // 1_000_000 + within_ms
    return reply({"eventType": "SHUTDOWN", "shutdownReason": reason, "deadlineMs": deadline_ms})


@pytest.mark.parametrize("reason", ["SPINDOWN", "Timeout", "ReleaseFail", "SandboxTerminated", ""])
def test_shutdown_is_understood_in_every_form_that_lambda_gives_it(
    start: Start, reason: str
) -> None:
    # H9: without an identifier, as text, and with reasons of several spellings
    extension = start()
    extension.register().send(shutdown(reason=reason))
    assert extension.end() == (0, b"")


@pytest.mark.parametrize(
    "initialization_type",
    ["on-demand", "provisioned-concurrency", "snap-start", "native-http", "of the future", ""],
)
def test_an_initialization_that_nobody_knows_is_an_ordinary_one(
    start: Start, initialization_type: str
) -> None:
    # H5
    extension = start(AWS_LAMBDA_INITIALIZATION_TYPE=initialization_type)
    _, body = extension.read_registration()
    assert body == b'{"events":["INVOKE","SHUTDOWN"]}'


def test_a_sandbox_that_was_reset_has_its_port_back_at_once(start: Start) -> None:
    # H21: the connections of a process that was killed outlive it
    first = start()
    first.register()
    runtime, _ = deliver(first)
    first.process.kill()
    assert first.process.wait() != 0
    assert runtime.read_to_end() == b""
    runtime.close()
    second = start(port=first.port)
    second.register()
    deliver(second)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 403 Forbidden\r\n", b"HTTP/1.1 500 Internal Server Error\r\n", b""]
)
def test_without_a_registration_it_says_so_and_ends_at_once(start: Start, answer: bytes) -> None:
    # H15
    extension = start()
    extension.read_registration()
    assert extension.lambda_side is not None
    if answer:
        extension.lambda_side.send(answer + b"Content-Length: 2\r\n\r\n{}")
    extension.lambda_side.close()
    status, errors = extension.end()
    assert status == 1
    (line,) = errors.splitlines()
    assert line.startswith(b"lrap-otel: error: ")


def test_lambda_is_found_by_the_name_it_gives_itself(start: Start) -> None:
    # H19
    extension = start(host="localhost")
    api = extension.register()
    deliver(extension)
    api.send(shutdown())
    assert extension.end()[0] == 0


def test_a_proxy_in_the_environment_is_not_asked_for_lambda(start: Start) -> None:
    # E24: neither for the registration, nor for a second connection, nor for the runtime's calls
    extension = start(**PROXIES, NO_PROXY="")
    extension.register().close()
    again = extension.api.accept()
    assert b"/event/next" in again.read_head()
    deliver(extension)
    again.send(shutdown())
    assert extension.end()[0] == 0


def test_running_out_of_descriptors_does_not_end_it(start: Start) -> None:
    # H16: the connection of event/next breaks, and for a while there is no descriptor for another
    # one
    extension = start()
    api = extension.register()
    extension.limit_descriptors(3)
    api.reset()
    for _ in range(2):
        assert b"event/next failed" in extension.errors.readline()
    extension.limit_descriptors(1_024)
    again = extension.api.accept()
    assert b"/event/next" in again.read_head()
    again.send(shutdown())
    assert extension.end()[0] == 0


def test_a_log_that_nobody_reads_does_not_end_it(start: Start) -> None:
    # H16: what is written then raises a signal
    extension = start()
    api = extension.register()
    extension.errors.close()
    api.reset()
    again = extension.api.accept()
    assert b"/event/next" in again.read_head()
    again.send(shutdown())
    assert extension.process.wait(30) == 0


def test_a_result_on_its_way_does_not_delay_the_end(start: Start) -> None:
    # H10: Lambda sees what came of it cut off, never a clean end of it
    extension = start()
    api = extension.register()
    runtime, runtime_api = deliver(extension)
    head = post_head(result_target(), b"Transfer-Encoding: chunked\r\n")
    runtime.send(head + b"3\r\nabc\r\n")
    assert runtime_api.read(len(head) + 8) == head + b"3\r\nabc\r\n"
    began_ms = time.monotonic() * 1_000
    api.send(shutdown(within_ms=2_000, reason="timeout"))
    assert extension.end()[0] == 0
    assert time.monotonic() * 1_000 - began_ms < 2_000
    assert runtime_api.read_to_any_end()[0] == b""


def test_a_result_on_its_way_is_forwarded_while_the_extension_ends(
    start: Start, collector: Upstream
) -> None:
    # H10: it ends once the collector has everything
    extension = start(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.port}")
    api = extension.register()
    runtime, runtime_api = deliver(extension)
    request = post(result_target(), b"true")
    runtime.send(request[:-2])
    runtime_api.read(len(request) - 2)
    api.send(shutdown(within_ms=60_000))
    spans = wait_for_export(collector)
    spans.read_message()
    runtime.send(request[-2:])
    assert runtime_api.read(2) == b"ue"
    runtime_api.send(ACCEPTED)
    assert runtime.read(len(ACCEPTED)) == ACCEPTED
    spans.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    metrics = wait_for_export(collector)
    metrics.read_message()
    metrics.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert extension.end() == (0, b"")


def test_the_runtime_gets_its_next_event_while_a_flush_is_held(
    start: Start, collector: Upstream
) -> None:
    # H11: the proxy does not wait for what the extension waits for
    endpoint = f"http://127.0.0.1:{collector.port}"
    extension = start(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, LRAP_FLUSH_BUDGET_MS="60000")
    api = extension.register()
    runtime, runtime_api = deliver(extension)
    api.send(
        reply({"eventType": "INVOKE", "requestId": REQUEST_ID, "deadlineMs": 4_102_444_800_000})
    )
    request = post(result_target(), b"true")
    runtime.send(request)
    assert runtime_api.read(len(request)) == request
    runtime_api.send(ACCEPTED)
    assert runtime.read(len(ACCEPTED)) == ACCEPTED
    wait_for_export(collector).read_head()
    runtime.send(NEXT)
    runtime_api.read_head()
    runtime_api.send(event(b"another"))
    assert b"Lambda-Runtime-Aws-Request-Id: another\r\n" in runtime.read_message()[0]
    assert not api.has_news()  # it is still held


@pytest.mark.parametrize("flush", ["auto", "overlap", "60000"])
def test_the_first_result_gives_the_telemetry_process_time_to_get_ready(
    start: Start, flush: str
) -> None:
    # Back to back, and with nothing else that would keep the sandbox from its next event.
    extension = start(
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
        LRAP_FLUSH=flush,
        LRAP_FLUSH_BUDGET_MS="60000",
    )
    extension.read_registration()
    runtime, runtime_api = deliver(extension)
    api = extension.lambda_side
    assert api is not None
    api.send(REGISTERED)
    api.read_head()
    runtime.send(post(result_target(), b"true") + NEXT)
    runtime_api.read_message()
    runtime_api.send(ACCEPTED)
    assert runtime.read(len(ACCEPTED)) == ACCEPTED
    runtime_api.read_head()
    api.send(
        reply({"eventType": "INVOKE", "requestId": REQUEST_ID, "deadlineMs": 4_102_444_800_000})
    )
    assert api.read_head().startswith(b"GET /2020-01-01/extension/event/next HTTP/1.1\r\n")
    runtime_api.send(event(b"another"))
    runtime.read_message()
    (proxy,) = proxies_of(extension.process.pid)
    (telemetry,) = children(proxy)
    assert Path(f"/proc/{telemetry}/stat").read_text(encoding="ascii").split()[2] != "T"


def deliver(extension: Extension) -> tuple[Peer, Peer]:
    """A runtime that has its event, and Lambda's side of its connection."""
    runtime = extension.connect().send(NEXT)
    runtime_api = extension.api.accept()
    runtime_api.read_head()
    runtime_api.send(event())
    assert runtime.read_message()[1] == b'{"n":1}'
    return runtime, runtime_api


def wait_for_export(collector: Upstream) -> Peer:
    """The telemetry process connects; it has the SDK to load first, with the lowest claim on the
    machine.
    """
    assert collector.has_caller(60.0)
    return collector.accept()
