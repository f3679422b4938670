"""What only time can show: no timer anywhere, nothing that tires. Each case runs at the length that
its facts name.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lrap_otel.emulator.emulator import Emulator
from lrap_otel.ipc import records
from tests.e2e.conftest import HTTP_EVENT, function, invoke
from tests.proxy.conftest import Proxy, ProxyProcess
from tests.proxy.wire import ACCEPTED, NEXT, PING, event, event_head, post, post_head, result_target
from tests.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lrap_otel.emulator.process import Process

RESTORE = b"GET /2018-06-01/runtime/restore/next HTTP/1.1\r\nHost: x\r\n\r\n"
RESTORED = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
MINUTE_S = 60


@contextlib.contextmanager
def lambda_api() -> Iterator[Upstream]:
    with contextlib.closing(Upstream()) as upstream:
        yield upstream


@contextlib.contextmanager
def proxy_process(upstream: Upstream) -> Iterator[ProxyProcess]:
    proxy = ProxyProcess(upstream.port, 0)
    try:
        yield proxy
    finally:
        proxy.close()


def states(process_id: int) -> set[str]:
    """How ``/proc`` names the states of a process and of those in its group, ``T``
    being stopped.
    """
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            number, _, rest = path.read_text(encoding="utf-8", errors="replace").partition(" ")
            state, _, group = rest.rpartition(")")[2].split()[:3]
            if str(process_id) in {number, group}:
                found.add(state)
    return found


def all_of(emulator: Emulator) -> list[Process]:
    """The processes of its sandbox; a signal reaches each one's children too."""
    assert emulator._sandbox is not None
    return emulator._sandbox.processes()


@pytest.mark.waits(15 * MINUTE_S)
def test_a_poll_waits_without_a_timer_and_without_work(seconds: float) -> None:
    # D1
    with lambda_api() as upstream, proxy_process(upstream) as proxy:
        runtime = proxy.connect().send(NEXT)
        api = upstream.accept()
        api.read_head()
        used_s = proxy.cpu_s()
        assert not runtime.has_news(seconds)
        assert not api.has_news(0)
        assert not upstream.has_caller(0)
        assert proxy.cpu_s() - used_s <= 0.01
        api.send(event())
        assert runtime.read_message()[1] == b'{"n":1}'


@pytest.mark.waits(10 * MINUTE_S)
def test_an_event_that_came_in_the_middle_of_a_freeze_is_delivered_once_at_its_end(
    seconds: float,
) -> None:
    # D2, D3
    with lambda_api() as upstream, proxy_process(upstream) as proxy:
        runtime = proxy.connect().send(NEXT)
        api = upstream.accept()
        api.read_head()
        proxy.freeze()
        assert not runtime.has_news(seconds / 2)
        api.send(event())
        assert not runtime.has_news(seconds / 2)
        assert states(proxy.process.pid) == {"T"}
        proxy.thaw()
        assert runtime.read_message()[1] == b'{"n":1}'
        result = post(result_target(), b"{}")
        runtime.send(result)
        assert api.read(len(result)) == result
        api.send(ACCEPTED)
        assert runtime.read(len(ACCEPTED)) == ACCEPTED
        runtime.send(NEXT)
        assert api.read_head() == NEXT
        assert not upstream.has_caller()


@pytest.mark.waits(10 * MINUTE_S)
def test_a_sandbox_that_was_frozen_while_it_polled_goes_on_as_if_nothing_had_been(
    seconds: float,
) -> None:
    # D2: the extension's two processes and a real runtime, with an export connection from before
    async def script() -> list[str]:
        async with Emulator(function()) as emulator:
            first, _ = await invoke(emulator, HTTP_EVENT)
            await emulator.otlp.spans(1)
            for process in all_of(emulator):
                process.signal(signal.SIGSTOP)
            await asyncio.sleep(seconds)
            assert [states(process._popen.pid) for process in all_of(emulator)] == [{"T"}, {"T"}]
            for process in all_of(emulator):
                process.signal(signal.SIGCONT)
            second, result = await invoke(emulator, HTTP_EVENT)
            assert (second.status, result["statusCode"]) == ("success", 200)
            (report,) = await emulator.shutdown()
            assert report.is_clean
            for outcome in (first, second):
                assert emulator.otlp.find_span(outcome.request_id)
            return [text for source, text in emulator.output if source == "lrap-otel"]

    # An export may have been under way when it froze.
    for line in asyncio.run(script()):
        assert line.startswith("lrap-otel: warning: metrics could not be exported: http")
        assert line.endswith(": no answer in time")


@pytest.mark.waits(15 * MINUTE_S)
def test_a_sandbox_that_waits_for_long_serves_the_next_event_and_ends_cleanly(
    seconds: float,
) -> None:
    # D1: not frozen, as under Managed Instances, so that every timer of both processes can fire
    async def script() -> list[str]:
        async with Emulator(function(initialization_type="lambda-managed-instances")) as emulator:
            first, _ = await invoke(emulator, HTTP_EVENT)
            await asyncio.sleep(seconds)
            second, result = await invoke(emulator, HTTP_EVENT)
            assert (second.status, result["statusCode"]) == ("success", 200)
            (report,) = await emulator.shutdown()
            assert report.is_clean
            found = [emulator.otlp.find_span(outcome.request_id) for outcome in (first, second)]
            assert all(found)
            assert len(emulator.otlp.received) == 2
            return [text for source, text in emulator.output if source == "lrap-otel"]

    assert asyncio.run(script()) == []


@pytest.mark.waits(MINUTE_S)
def test_a_restore_is_waited_for_and_makes_no_span(seconds: float) -> None:
    # A8
    with lambda_api() as upstream, contextlib.closing(Proxy(upstream.port)) as proxy:
        runtime = proxy.connect().send(RESTORE)
        api = upstream.accept()
        assert api.read_head() == RESTORE
        assert not runtime.has_news(seconds)
        assert not api.has_news(0)
        api.send(RESTORED)
        assert runtime.read(len(RESTORED)) == RESTORED
        assert isinstance(proxy.record(), records.Restored)
        assert not proxy.has_record()


@pytest.mark.waits(15 * MINUTE_S)
def test_a_result_may_be_streamed_for_as_long_as_a_function_may_run(seconds: float) -> None:
    with lambda_api() as upstream, proxy_process(upstream) as proxy:
        runtime = proxy.connect().send(NEXT)
        api = upstream.accept()
        api.read_head()
        api.send(event())
        runtime.read_message()
        runtime.send(
            post_head(result_target(), b"Transfer-Encoding: chunked\r\nTrailer: X-End\r\n")
        )
        api.read_head()
        before_bytes = proxy.rss_bytes()
        for number in range(int(seconds)):
            chunk = b"5\r\n%05d\r\n" % number
            runtime.send(chunk)
            assert api.read(len(chunk)) == chunk
            assert not api.has_news(1.0)
        assert proxy.rss_bytes() - before_bytes < 1 << 20
        runtime.send(b"0\r\nX-End: yes\r\n\r\n")
        assert api.read_until(b"\r\n\r\n") == b"0\r\nX-End: yes\r\n\r\n"
        api.send(ACCEPTED)
        assert runtime.read(len(ACCEPTED)) == ACCEPTED


@pytest.mark.waits(15 * MINUTE_S)
def test_an_event_may_arrive_one_byte_a_second(seconds: float) -> None:
    with lambda_api() as upstream, proxy_process(upstream) as proxy:
        runtime = proxy.connect().send(NEXT)
        api = upstream.accept()
        api.read_head()
        body = os.urandom(int(seconds) + 1)
        api.send(event_head() + b"Content-Length: %d\r\n\r\n" % len(body))
        for position in range(len(body) - 1):
            api.send(body[position : position + 1])
            assert not runtime.has_news(1.0)
        api.send(body[-1:])
        assert runtime.read_message()[1] == body


@pytest.mark.waits(15 * MINUTE_S)
def test_connections_that_were_idle_for_long_are_used_again(seconds: float) -> None:
    # D11
    with lambda_api() as upstream, proxy_process(upstream) as proxy:
        runtime = proxy.connect().send(PING)
        api = upstream.accept()
        assert api.read_head() == PING
        api.send(ACCEPTED)
        assert runtime.read(len(ACCEPTED)) == ACCEPTED
        assert not runtime.has_news(seconds)
        runtime.send(PING)
        assert api.read_head() == PING
        api.send(ACCEPTED)
        assert runtime.read(len(ACCEPTED)) == ACCEPTED
        assert not upstream.has_caller(0)
