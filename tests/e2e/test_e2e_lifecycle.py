"""From the first start to SHUTDOWN: names, resets, deadlines, and what else stands in the
environment.
"""

from __future__ import annotations

import asyncio
import select
import shutil
import socket
from typing import TYPE_CHECKING

from aiohttp import web

from lrap_otel.emulator.otlp import Receiver
from tests.e2e.conftest import HTTP_EVENT, ROOT, emulated, function, invoke
from tests.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from lrap_otel.emulator.emulator import Emulator

PROXY_VARIABLES = (
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
)


def test_a_layer_works_under_whatever_name_its_extension_has(tmp_path: Path) -> None:
    # H2: Lambda wants it registered under the name of its file
    shutil.copytree(
        ROOT / "lrap_otel", tmp_path / "opt/lrap_otel", ignore=shutil.ignore_patterns("__pycache__")
    )
    (tmp_path / "opt/extensions").mkdir()
    shutil.copy(ROOT / ".lrap-paths", tmp_path / "opt/.lrap-paths")
    shutil.copy(ROOT / "opt/wrapper", tmp_path / "opt/wrapper")
    shutil.copy(ROOT / "opt/entrypoint", tmp_path / "opt/extensions/my-own.name")

    async def script(emulator: Emulator) -> None:
        await invoke(emulator, HTTP_EVENT)
        # Of a copy everything has to be compiled first.
        assert len(await emulator.otlp.spans(timeout_s=30.0)) == 1
        (report,) = await emulator.shutdown()
        assert (report.name, report.is_clean) == ("my-own.name", True)

    layer = {"opt": tmp_path / "opt", "extensions": {}, "wrapper": tmp_path / "opt/wrapper"}
    assert emulated(function(**layer), script) == []


def test_each_sandbox_after_a_reset_is_traced_again_on_the_same_port() -> None:
    # H21: the next extension binds the port within milliseconds of the last one's end
    async def script(emulator: Emulator) -> None:
        for number in range(3):
            await invoke(emulator, {})
            await emulator.otlp.spans(2 * number + 1, timeout_s=30.0)
            crash, _ = await invoke(emulator, {"do": "exit"})
            assert emulator.otlp.find_span(crash.request_id) is not None
            assert [report.is_clean for report in crash.reports] == [True]
        after, result = await invoke(emulator, HTTP_EVENT)
        assert "traceparent" in result["headers"]
        assert await emulator.otlp.wait(
            lambda: emulator.otlp.find_span(after.request_id) is not None, 30.0
        )

    assert emulated(function(), script) == []


class LateCollector(Receiver):
    """It refuses everything until it opens, and takes its time then."""

    is_open = False

    async def _traces(self, request: web.Request) -> web.Response:
        if not self.is_open:
            raise web.HTTPServiceUnavailable
        await asyncio.sleep(0.4)
        return await super()._traces(request)


def test_after_a_runtime_that_would_not_go_there_is_still_time_for_the_export() -> None:
    # H7: SHUTDOWN comes 600 ms late, and its deadline is no later for it
    async def script(emulator: Emulator) -> None:
        collector = LateCollector()
        await collector.start(port)
        outcome, _ = await invoke(emulator, HTTP_EVENT)
        collector.is_open = True
        assert collector.received == []
        (report,) = await emulator.shutdown()
        assert report.is_clean
        assert report.ms > 600
        assert collector.find_span(outcome.request_id) is not None
        await collector.close()

    port = free_port()
    emulated(
        function(
            "stubborn.handler", env={"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
        ),
        script,
    )


def test_a_collector_that_takes_no_connection_is_not_waited_for_beyond_the_end() -> None:
    # H8: its queue is full, so that a connect gets no answer at all
    async def script(emulator: Emulator) -> None:
        outcome, _ = await invoke(emulator, HTTP_EVENT)
        assert outcome.billed_ms < 5_000
        (report,) = await emulator.shutdown()
        assert report.is_clean

    with socket.socket() as collector:
        collector.bind(("127.0.0.1", 0))
        collector.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for queued in waiting:
            queued.setblocking(False)
            queued.connect_ex(collector.getsockname())
        endpoint = f"http://127.0.0.1:{collector.getsockname()[1]}"
        emulated(function(env={"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}), script)
        for queued in waiting:
            queued.close()


def test_a_proxy_in_the_environment_is_asked_for_nothing() -> None:
    # E24: neither for the Runtime API nor for the Extensions API; nor for the collector
    async def script(emulator: Emulator) -> None:
        _, result = await invoke(emulator, HTTP_EVENT)
        assert result["statusCode"] == 200
        assert len(await emulator.otlp.spans()) == 1
        (report,) = await emulator.shutdown()
        assert report.is_clean

    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        variables = dict.fromkeys(PROXY_VARIABLES, address)
        assert emulated(function(env={**variables, "NO_PROXY": "", "no_proxy": ""}), script) == []
        assert not select.select([proxy], [], [], 0)[0]
