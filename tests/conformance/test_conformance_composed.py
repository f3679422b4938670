"""Ours beside somebody else's, from the Rust registry: a caller, and Lambda, cannot tell whether
ours is there as well.

`aws_lambda_runtime_proxy` itself makes a connection for each call and ends it unannounced, writes
field names in small letters, and holds each reply until it is whole. AWS's Lambda Web Adapter is a
runtime, which is told where Lambda is by a variable of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from lrap_otel.emulator.config import NO_TELEMETRY_API, Config
from lrap_otel.emulator.emulator import Emulator
from tests.conformance import builds
from tests.conformance.clients import Client, client
from tests.conformance.conftest import BUILD_TIMEOUT_S
from tests.conformance.sandbox import (
    DIRECT,
    EXTENSION,
    ROOT,
    TRACE_HEADER,
    WRAPPER,
    Event,
    Seen,
    request_id,
)
from tests.conformance.tap import Tap
from tests.extension.extension_process import Extension
from tests.ports import free_port
from tests.proxy.wire import NEXT
from tests.proxy.wire import event as event_reply
from tests.upstream import Peer, Upstream, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from lrap_otel.emulator.outcome import Outcome
    from lrap_otel.emulator.signals import Span

    Order = Callable[..., Seen]

NAME = "composed"
pytestmark = [
    pytest.mark.rust,
    *([] if builds.is_ready(NAME) else [pytest.mark.timeout(BUILD_TIMEOUT_S)]),
]

MAX_BYTES = 6 * 1024 * 1024
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
REQUEST = {
    "version": "2.0",
    "routeKey": "$default",
    "rawPath": "/pets/42",
    "rawQueryString": "a=b",
    "headers": {"accept": "text/plain", "host": "api.example.com", "traceparent": PARENT},
    "requestContext": {
        "accountId": "123456789012",
        "apiId": "api",
        "domainName": "api.example.com",
        "http": {
            "method": "POST",
            "path": "/pets/42",
            "protocol": "HTTP/1.1",
            "sourceIp": "192.0.2.1",
        },
        "requestId": "id",
        "stage": "$default",
        "time": "01/Jan/2026:00:00:00 +0000",
        "timeEpoch": 1767225600000,
    },
    "body": "Grüße",
    "isBase64Encoded": False,
}


@pytest.fixture(scope="session")
def composed() -> Path:
    """The folder with the others' executables."""
    return builds.built(NAME)


@pytest.fixture(scope="session", params=["python", "rust"])
def function(request: pytest.FixtureRequest) -> Client:
    """A client that ends when its result is refused, and one that streams and does not."""
    if request.param == "rust":
        return client("rust")
    return Client(
        "python", [sys.executable, "-m", "awslambdaric", "function.handler"], builds.HERE / "python"
    )


def event(**fields: object) -> Event:
    return Event(json.dumps(fields, ensure_ascii=False).encode())


def theirs_alone(function: Client, scratch: Path, composed: Path, *events: Event) -> Seen:
    """Function, theirs, Lambda."""
    return run(
        function, [str(DIRECT), *theirs(composed, free_port()), *function.command], {}, events
    )


def ours_next_to_lambda(function: Client, scratch: Path, composed: Path, *events: Event) -> Seen:
    """Function, theirs, ours, Lambda."""
    return run(
        function,
        [str(WRAPPER), *theirs(composed, free_port()), *function.command],
        EXTENSION,
        events,
    )


def ours_next_to_the_function(
    function: Client, scratch: Path, composed: Path, *events: Event
) -> Seen:
    """Function, ours, theirs, Lambda."""
    port = free_port()
    extension = scratch / "lrap-otel"
    extension.write_text(
        f"#!/bin/sh\nLRAP_RUNTIME_API_ENDPOINT=127.0.0.1:{port} exec '{ROOT}/opt/entrypoint'\n"
    )
    extension.chmod(0o755)
    command = [str(DIRECT), *theirs(composed, port), str(WRAPPER), *function.command]
    return run(function, command, {"lrap-otel": extension}, events)


def theirs(composed: Path, port: int) -> list[str]:
    """The other proxy, which starts what follows it."""
    return ["/usr/bin/env", f"AWS_LAMBDA_RUNTIME_PROXY_PORT={port}", str(composed / "passthrough")]


def run(
    function: Client, command: list[str], extensions: Mapping[str, Path], events: Sequence[Event]
) -> Seen:
    """The events' fates, one after the other."""
    return asyncio.run(_run(function, command, extensions, events))


async def _run(
    function: Client, command: list[str], extensions: Mapping[str, Path], events: Sequence[Event]
) -> Seen:
    tap = Tap()
    address = await tap.start()
    env = {"CONFORMANCE_TAP": address, "LRAP_RUNTIME_API_ENDPOINT": address}
    config = Config(
        command=command,
        cwd=function.cwd,
        extensions=extensions,
        env=env,
        timeout_s=20.0,
        telemetry=NO_TELEMETRY_API,
    )
    seen = Seen(calls=tap.calls)
    try:
        async with Emulator(config) as emulator:
            tap.upstream = emulator.runtime_api
            for number, one in enumerate(events):
                seen.outcomes.append(await invoke(emulator, one, number))
            seen.reports = [report for outcome in seen.outcomes for report in outcome.reports]
            seen.reports += await emulator.shutdown()
            seen.spans = list(emulator.otlp.received)
    finally:
        await tap.close()
    return seen


async def invoke(emulator: Emulator, one: Event, number: int) -> Outcome:
    ids = {"trace_id": TRACE_HEADER, "request_id": request_id(number)}
    return await emulator.invoke(one.payload, client_context=one.client_context, **ids)


ORDERS = pytest.mark.parametrize("order", [ours_next_to_lambda, ours_next_to_the_function])


EVENTS = {
    "ordinary": [event(text="Grüße", numbers=[1, 2.5]), event(text="again")],
    "6 MB": [event(text="x" * (MAX_BYTES - len('{"text": ""}'))), event(text="after it")],
    "over the limit": [event(do="large", bytes=MAX_BYTES + 101), event(text="after it")],
    "errors": [event(do="fail", depth=0), event(do="fail", depth=500), event(text="after it")],
    "crash": [event(text="before it"), event(do="crash"), event(text="after it")],
    # Python's client does not stream and gives these back; Rust's writes the second one's error
    # into the stream.
    "streams": [event(do="stream"), event(do="break stream"), event(text="after it")],
}


@ORDERS
@pytest.mark.parametrize("events", EVENTS.values(), ids=EVENTS.keys())
def test_what_comes_out_of_another_proxy_is_what_came_out_of_it_without_us(
    function: Client, composed: Path, tmp_path: Path, order: Order, events: list[Event]
) -> None:
    without = theirs_alone(function, tmp_path, composed, *events)
    seen = order(function, tmp_path, composed, *events)
    assert seen.results() == without.results()
    assert seen.invocation_calls() == without.invocation_calls()
    assert (
        len(seen.spans)
        == len({span.attributes["faas.invocation_id"] for span in seen.spans})
        == len(events)
    )
    assert all(report.is_clean for report in seen.reports), seen.reports


@ORDERS
def test_the_context_reaches_the_function_from_either_side_of_another_proxy(
    function: Client, composed: Path, tmp_path: Path, order: Order
) -> None:
    context = json.dumps({"custom": {"traceparent": PARENT}, "env": {}})
    seen = order(
        function, tmp_path, composed, Event(json.dumps(REQUEST | {"do": "trace"}).encode(), context)
    )
    (span,), (outcome,) = seen.spans, seen.outcomes
    told = json.loads(outcome.payload)
    assert (span.trace_id_hex, span.parent_id_hex) == (
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "00f067aa0ba902b7",
    )
    assert (
        told["event"]["headers"]["traceparent"] == f"00-{span.trace_id_hex}-{span.span_id_hex}-01"
    )
    assert f";Parent={span.span_id_hex};Sampled=1" in told["environment"]


def test_a_poll_that_another_proxy_gives_up_loses_its_event_without_us(composed: Path) -> None:
    lambda_side = Upstream()
    with started_proxy(composed, lambda_side.port) as port:
        abandoned, poll = leave_a_poll(port, lambda_side)
        runtime = connect(port).send(NEXT)
        assert lambda_side.accept().read_head() == poll
        # Lambda gives its event to whoever asked first.
        abandoned.send(event_reply())
        assert abandoned.read_to_any_end()[0] == b""
        assert not runtime.has_news()
    lambda_side.close()


def test_a_poll_that_another_proxy_gives_up_keeps_its_event_where_we_are_next_to_lambda(
    composed: Path,
) -> None:
    extension = Extension()
    extension.register()
    with started_proxy(composed, extension.port) as port:
        kept, _ = leave_a_poll(port, extension.api)
        runtime = connect(port).send(NEXT)
        kept.send(event_reply())
        assert runtime.read_message()[1] == b'{"n":1}'
        assert not extension.api.has_caller(0)
    extension.close()


@contextmanager
def started_proxy(composed: Path, upstream_port: int) -> Iterator[int]:
    """The other proxy with nothing behind it but a test: its port."""
    port = free_port()
    env = {**os.environ, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{upstream_port}"}
    with subprocess.Popen(
        [*theirs(composed, port), "/bin/cat"], env=env, stdin=subprocess.PIPE
    ) as process:
        while not is_open(port):
            assert process.poll() is None
        try:
            yield port
        finally:
            process.kill()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def leave_a_poll(port: int, lambda_side: Upstream) -> tuple[Peer, bytes]:
    """A runtime polls and goes: Lambda's side of its poll, and what came there."""
    runtime = connect(port).send(NEXT)
    poll = lambda_side.accept()
    asked = poll.read_head()
    runtime.close()
    return poll, asked


@pytest.mark.parametrize("mode", ["buffered", "response_stream"])
def test_a_web_application_behind_awss_adapter_answers_as_ever_and_is_told_its_parent(
    composed: Path, mode: str
) -> None:
    (_, without), none = web_application(composed, mode, is_ours_there=False)
    (status, answer), (span,) = web_application(composed, mode, is_ours_there=True)
    assert none == []
    assert (span.parent_id_hex, span.attributes["http.response.status_code"]) == (
        "00f067aa0ba902b7",
        201,
    )
    assert (without.pop("traceparent"), answer.pop("traceparent")) == (
        PARENT,
        f"00-{span.trace_id_hex}-{span.span_id_hex}-01",
    )
    assert status == 201
    assert (
        answer
        == without
        == {"method": "POST", "target": "/pets/42?a=b", "body": "Grüße", "accept": "text/plain"}
    )


def web_application(
    composed: Path, mode: str, *, is_ours_there: bool
) -> tuple[tuple[int, dict[str, str]], list[Span]]:
    """Status and body that a caller gets for `REQUEST`, and the spans."""
    return asyncio.run(_web_application(composed, mode, is_ours_there=is_ours_there))


async def _web_application(
    composed: Path, mode: str, *, is_ours_there: bool
) -> tuple[tuple[int, dict[str, str]], list[Span]]:
    ours, application = str(free_port()), str(free_port())
    env = {"LRAP_LISTENER_PORT": ours, "AWS_LWA_PORT": application, "AWS_LWA_INVOKE_MODE": mode}
    if is_ours_there:
        env["AWS_LWA_LAMBDA_RUNTIME_API_PROXY"] = f"127.0.0.1:{ours}"
    config = Config(
        command=[sys.executable, str(composed / "application.py"), application],
        extensions={
            "lambda-adapter": composed / "web-adapter",
            **(EXTENSION if is_ours_there else {}),
        },
        env=env,
        timeout_s=20.0,
        telemetry=NO_TELEMETRY_API,
    )
    async with Emulator(config) as emulator:
        outcome = await emulator.invoke(json.dumps(REQUEST).encode())
        reports = await emulator.shutdown()
        assert all(report.is_clean for report in reports), reports
        return answer_in(outcome.payload), list(emulator.otlp.received)


def answer_in(payload: bytes) -> tuple[int, dict[str, str]]:
    """Status and body of a result, which is JSON, or a prelude of JSON, eight NUL bytes and the
    body.
    """
    head, is_streamed, body = payload.partition(bytes(8))
    told = json.loads(head)
    return told["statusCode"], json.loads(body if is_streamed else told["body"])
