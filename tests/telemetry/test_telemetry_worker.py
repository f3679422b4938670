"""The telemetry process as a process of its own, started as the extension starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from lrap_otel.ipc import records
from lrap_otel.ipc.channel import Channel
from tests.telemetry.otlp_collector import PATIENCE_S, Collector, reply
from tests.telemetry.proxy_records import VARIABLES, delivered, finished
from tests.telemetry.telemetry_thread import spans_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.telemetry.otlp_collector import Post

SOURCE = Path(__file__).parents[2]
# As boot does it: no site, and the fork before any thread.
PROGRAM = """
import _socket, posix, sys
far, event_fd, source, *variables = sys.argv[1:]
sys.path.insert(0, source)
if posix.fork() == 0:
    from lrap_otel.ipc.event_fd import EventFd
    from lrap_otel.telemetry.worker import run
    run(
        _socket.socket(fileno=int(far)),
        EventFd(int(event_fd)),
        dict(pair.encode().split(b"=", 1) for pair in variables),
    )
    wanted = ("aiohttp", "asyncio", "google", "grpc", "opentelemetry", "psutil", "requests", "ssl", "urllib3")
    posix._exit(1 if any(name in sys.modules for name in wanted) else 0)
sys.stdout.close()
posix.close(1)
child, status = posix.wait()
sys.exit(posix.WEXITSTATUS(status))
"""


class Process:
    def __init__(self, url: str) -> None:
        self.channel = Channel()
        self.channel.near.settimeout(PATIENCE_S)
        variables = VARIABLES | {b"OTEL_EXPORTER_OTLP_ENDPOINT": url.encode()}
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", "-c", PROGRAM),
                *(str(self.channel.far.fileno()), str(self.channel.event_fd.fileno()), str(SOURCE)),
                *(f"{name.decode()}={value.decode()}" for name, value in variables.items()),
            ],
            pass_fds=[self.channel.far.fileno(), self.channel.event_fd.fileno()],
            stdout=subprocess.PIPE,
        )
        self.channel.far.close()

    @property
    def child(self) -> int:
        return int(
            Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(
                encoding="ascii"
            )
        )


@pytest.fixture
def process(collector: Collector) -> Iterator[Process]:
    process = Process(collector.url)
    yield process
    process.channel.near.close()
    assert process.process.wait(PATIENCE_S) == 0
    process.process.stdout.close()


def test_a_span_is_exported_without_loading_what_the_export_does_not_need(
    process: Process, collector: Collector
) -> None:
    for message, payload in (delivered(), finished()):
        process.channel.offer(message, payload)
    process.channel.offer(
        records.shutdown(1, "spindown", int((time.time() + PATIENCE_S) * 1_000), 0, 0)
    )

    assert process.channel.receive_reply()[0] == records.READY
    assert process.channel.receive_reply() == (records.FLUSHED, (1, True))
    assert process.process.wait(PATIENCE_S) == 0
    assert len(spans_of(collector)) == 1


def test_it_holds_no_output_of_the_extension_and_steps_back_for_the_function(
    process: Process,
) -> None:
    assert process.channel.receive_reply()[0] == records.READY

    child = process.child
    assert process.process.stdout.read() == b""
    assert os.getpriority(os.PRIO_PROCESS, child) == 19
    assert Path(f"/proc/{child}/oom_score_adj").read_text(encoding="ascii") == "1000\n"


def test_only_the_proxy_ends_it(process: Process) -> None:
    assert process.channel.receive_reply()[0] == records.READY

    os.kill(process.child, signal.SIGTERM)
    os.kill(process.child, signal.SIGINT)
    process.channel.offer(records.flush(1, 1_000, 0, 0))

    assert process.channel.receive_reply() == (records.FLUSHED, (1, True))


def test_what_is_finished_is_exported_when_the_proxy_dies(
    process: Process, collector: Collector
) -> None:
    for message, payload in (delivered(), finished()):
        process.channel.offer(message, payload)
    process.channel.near.close()

    assert process.process.wait(PATIENCE_S) == 0
    assert len(spans_of(collector)) == 1


@pytest.mark.parametrize("begun_s", [0, 0.9], ids=["at its begin", "later"])
def test_a_freeze_takes_nothing_of_an_attempt_s_time(begun_s: float) -> None:
    has_begun, has_thawed = Event(), Event()

    def answer(number: int, post: Post) -> Any:
        has_begun.set()
        has_thawed.wait(PATIENCE_S)
        return reply()

    with Collector(answer) as collector:
        process = Process(collector.url)
        assert process.channel.receive_reply()[0] == records.READY
        for message, payload in (delivered(), finished()):
            process.channel.offer(message, payload)
        process.channel.offer(records.flush(1, 0, 0, 0))
        assert has_begun.wait(PATIENCE_S)
        time.sleep(begun_s)
        child = process.child
        os.kill(child, signal.SIGSTOP)
        time.sleep(2.5)  # more than the whole attempt may take
        os.kill(child, signal.SIGCONT)
        time.sleep(0.1)
        has_thawed.set()

        assert process.channel.receive_reply() == (records.FLUSHED, (1, True))
        process.channel.near.close()
        assert process.process.wait(PATIENCE_S) == 0
        process.process.stdout.close()
        assert len(spans_of(collector)) == 1
