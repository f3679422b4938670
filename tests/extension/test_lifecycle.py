"""What holds `event/next` back, and what ends a hold. The test plays Lambda and the telemetry
process.
"""

from __future__ import annotations

import json
import select
import threading
import time
from typing import TYPE_CHECKING

import pytest

from lrap_otel.extension.client import Client
from lrap_otel.extension.flush import BUSY_AFTER, BUSY_UNFLUSHED, FlushSchedule
from lrap_otel.extension.lifecycle import Lifecycle
from lrap_otel.extension.telemetry_process import TelemetryProcess
from lrap_otel.http1.errors import SERVER
from lrap_otel.http1.stream import Stream
from lrap_otel.ipc import records
from lrap_otel.ipc.channel import Channel, TelemetryEnd
from lrap_otel.proxy.polls import Polls
from lrap_otel.proxy.recorder import Recorder
from lrap_otel.sandbox.invocations import Invocation, Invocations
from tests.upstream import Peer, Upstream, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

REGISTERED = b'{"functionName":"f","functionVersion":"1","handler":"h","accountId":"123456789012"}'
# Longer than any test waits: only what is tested may end a hold.
LONG_MS = 600_000


class Extension:
    """A registered extension whose lifecycle runs in a thread."""

    def __init__(
        self,
        *,
        budget_ms: int = LONG_MS,
        flush: str | int = "end",
        has_telemetry: bool = True,
        is_ready: bool = True,
    ) -> None:
        self.channel = Channel()
        self.channel.far.settimeout(5.0)
        self.invocations = Invocations()
        self.polls = Polls()
        self.telemetry = TelemetryProcess(self.channel, self.invocations)
        self.far = TelemetryEnd(self.channel.far)
        self._api = Upstream()
        # Once the test is over, it asks no more.
        client = Client(
            Stream(connect(self._api.port).socket, SERVER),
            ("127.0.0.1", self._api.port),
            retry_pause_s=3_600,
        )
        self.lambda_side = self._api.accept()
        self._answer(self.lambda_side, REGISTERED)
        self.registration = client.read_registration()
        self.telemetry.state.is_ready = is_ready
        self.telemetry.read_replies()
        telemetry = self.telemetry if has_telemetry else None
        self.recorder = Recorder(self.invocations, self.channel)
        lifecycle = Lifecycle(
            client,
            self.invocations,
            self.polls,
            telemetry,
            self.recorder,
            budget_ms,
            FlushSchedule(flush),
        )
        self.thread = threading.Thread(target=lifecycle.run, daemon=True)
        self.thread.start()

    def asks_for_next(self, wait_s: float = 5.0) -> bool:
        """Lambda sees the next `event/next`."""
        if not self.lambda_side.has_news(wait_s):
            return False
        assert self.lambda_side.read_head().startswith(
            b"GET /2020-01-01/extension/event/next HTTP/1.1\r\n"
        )
        return True

    def is_held(self) -> bool:
        """The lifecycle waits, and has not asked for the next event."""
        return not self.lambda_side.has_news(0.1)

    def was_asked_to_flush(self) -> bool:
        """A record is on the channel, and nobody has read it."""
        return bool(select.select([self.channel.far], [], [], 0)[0])

    def send_invoke(self, request_id: str, within_ms: int = LONG_MS) -> None:
        deadline_ms = time.time_ns() // 1_000_000 + within_ms
        self.send({"eventType": "INVOKE", "requestId": request_id, "deadlineMs": deadline_ms})

    def send(self, event: object) -> None:
        self._answer(self.lambda_side, json.dumps(event).encode())

    @staticmethod
    def _answer(peer: Peer, body: bytes) -> None:
        peer.send(
            b"HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: me\r\nContent-Length: %d\r\n\r\n%s"
            % (len(body), body)
        )

    def deliver(self, request_id: str) -> Invocation:
        invocation = Invocation(request_id, "", 0)
        self.invocations.open(invocation, "a connection", 1)
        return invocation

    def close(self) -> None:
        self._api.close()
        self.channel.near.close()
        self.channel.far.close()


@pytest.fixture
def extension() -> Iterator[Extension]:
    extension = Extension()
    assert extension.asks_for_next()
    yield extension
    extension.close()


def received_flush(extension: Extension) -> records.Flush:
    record = extension.far.receive()
    assert isinstance(record, records.Flush)
    return record


def test_the_registration_is_read() -> None:
    extension = Extension()
    assert extension.registration == json.loads(REGISTERED)
    extension.close()


def test_the_next_event_waits_for_the_result_and_then_for_the_flush(extension: Extension) -> None:
    invocation = extension.deliver("r")
    extension.send_invoke("r")
    assert extension.is_held()
    extension.invocations.finish(invocation, "a connection")
    flush = received_flush(extension)
    assert extension.is_held()
    extension.far.reply(records.flushed(flush.number, ok=True))
    assert extension.asks_for_next()


def test_an_invoke_that_comes_after_its_result_is_flushed_at_once(extension: Extension) -> None:
    extension.invocations.finish(extension.deliver("r"), "a connection")
    extension.send_invoke("r")
    extension.far.reply(records.flushed(received_flush(extension).number, ok=True))
    assert extension.asks_for_next()


def test_an_invoke_that_comes_before_its_event_waits_while_a_poll_is_out(
    extension: Extension,
) -> None:
    extension.polls.waiting["a runtime"] = []
    extension.send_invoke("r")
    assert extension.is_held()
    invocation = extension.deliver("r")
    extension.polls.waiting.clear()
    extension.invocations.notify()
    assert extension.is_held()
    extension.invocations.finish(invocation, "a connection")
    assert received_flush(extension).number == 1


def test_the_invoke_of_a_retry_that_comes_before_its_event_waits_for_its_own_result(
    extension: Extension,
) -> None:
    extension.invocations.finish(extension.deliver("r"), "a connection")
    extension.send_invoke("r")
    extension.far.reply(records.flushed(received_flush(extension).number, ok=True))
    assert extension.asks_for_next()
    extension.polls.waiting["a runtime"] = []
    extension.send_invoke("r")
    assert extension.is_held()
    invocation = extension.deliver("r")
    extension.polls.waiting.clear()
    assert extension.is_held()
    assert not extension.was_asked_to_flush()
    extension.invocations.finish(invocation, "a connection")
    assert received_flush(extension).number == 2


def test_a_runtime_that_leaves_its_poll_ends_the_hold(extension: Extension) -> None:
    extension.polls.waiting["a runtime"] = []
    extension.send_invoke("r")
    assert extension.is_held()
    extension.polls.waiting.clear()
    extension.invocations.notify()
    assert extension.asks_for_next()


def test_an_event_that_does_not_come_through_us_is_not_waited_for_and_warned_of_once(
    extension: Extension, capfd: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        extension.send_invoke(f"r{number}")
        assert extension.asks_for_next()
    assert capfd.readouterr().err.count("AWS_LAMBDA_EXEC_WRAPPER") == 1


def test_an_invoke_for_another_event_than_the_one_with_the_function_is_not_waited_for(
    extension: Extension,
) -> None:
    extension.deliver("r")
    extension.send_invoke("another")
    assert extension.asks_for_next()


def test_a_second_poll_ends_the_hold_for_a_result_that_never_came(extension: Extension) -> None:
    extension.deliver("r")
    extension.send_invoke("r")
    assert extension.is_held()
    extension.invocations.runtime_polls_again()
    assert extension.asks_for_next()


def test_the_end_of_the_runtimes_connection_ends_the_hold(extension: Extension) -> None:
    extension.deliver("r")
    extension.send_invoke("r")
    assert extension.is_held()
    extension.invocations.connection_ended("a connection", as_announced=False)
    assert extension.asks_for_next()


def test_an_announced_end_of_the_connection_says_nothing(extension: Extension) -> None:
    invocation = extension.deliver("r")
    extension.send_invoke("r")
    extension.invocations.connection_ended("a connection", as_announced=True)
    assert extension.is_held()
    extension.invocations.finish(invocation, "another connection")
    assert received_flush(extension).number == 1


def test_the_deadline_ends_the_hold(extension: Extension) -> None:
    extension.deliver("r")
    extension.send_invoke("r", within_ms=50)
    assert extension.asks_for_next()


def test_a_flush_that_takes_longer_than_its_budget_is_left_behind() -> None:
    extension = Extension(budget_ms=50)
    assert extension.asks_for_next()
    extension.invocations.finish(extension.deliver("r"), "a connection")
    extension.send_invoke("r")
    assert received_flush(extension).budget_ms == 50
    assert extension.asks_for_next()
    extension.close()


def test_after_three_failures_nothing_is_held_until_a_flush_succeeds(extension: Extension) -> None:
    def invoke(number: int) -> records.Flush:
        extension.invocations.finish(extension.deliver(f"r{number}"), "a connection")
        extension.send_invoke(f"r{number}")
        return received_flush(extension)

    for number in range(3):
        extension.far.reply(records.flushed(invoke(number).number, ok=False))
        assert extension.asks_for_next()
    unheld = invoke(3)
    assert unheld.budget_ms == 0
    assert extension.asks_for_next()
    extension.far.reply(records.flushed(unheld.number, ok=True))
    while extension.telemetry.failures_in_a_row >= 3:
        time.sleep(0.001)
    # Nobody waited for that one, so the next hold is a trial: one more failure ends the holds
    # again.
    trial = invoke(4)
    assert trial.budget_ms > 0
    assert extension.is_held()
    extension.far.reply(records.flushed(trial.number, ok=False))
    assert extension.asks_for_next()
    assert invoke(5).budget_ms == 0


def test_flushes_that_succeed_when_nobody_waits_for_them_any_more_end_the_holds_too() -> None:
    extension = Extension(budget_ms=20)
    assert extension.asks_for_next()
    budgets = []
    for number in range(4):
        extension.invocations.finish(extension.deliver(f"r{number}"), "a connection")
        extension.send_invoke(f"r{number}")
        flush = received_flush(extension)
        budgets.append(flush.budget_ms)
        assert extension.asks_for_next()
        extension.far.reply(records.flushed(flush.number, ok=True))
        while extension.telemetry.flusher.answered < flush.number:
            time.sleep(0.001)
    assert budgets == [20, 20, 20, 0]
    extension.close()


def test_a_flush_that_is_late_and_then_fails_is_one_failure() -> None:
    extension = Extension(budget_ms=20)
    assert extension.asks_for_next()
    for number in range(2):
        extension.invocations.finish(extension.deliver(f"r{number}"), "a connection")
        extension.send_invoke(f"r{number}")
        flush = received_flush(extension)
        assert extension.asks_for_next()
        extension.far.reply(records.flushed(flush.number, ok=False))
        while extension.telemetry.flusher.answered < flush.number:
            time.sleep(0.001)
    assert extension.telemetry.failures_in_a_row == 2
    extension.close()


def test_a_busy_sandbox_flushes_beside_the_next_invocation_and_holds_nothing() -> None:
    extension = Extension(flush="auto")
    assert extension.asks_for_next()
    for number in range(BUSY_AFTER):
        invocation = extension.deliver(f"held {number}")
        extension.send_invoke(f"held {number}")
        extension.invocations.finish(invocation, "a connection")
        extension.far.reply(records.flushed(received_flush(extension).number, ok=True))
        assert extension.asks_for_next()
    for number in range(BUSY_UNFLUSHED):
        invocation = extension.deliver(f"left {number}")
        extension.send_invoke(f"left {number}")
        extension.invocations.finish(invocation, "a connection")
        # Nobody answers a flush: at most one was sent, for which nobody waits.
        assert extension.asks_for_next()
    next_one = extension.deliver("next")
    extension.send_invoke("next")
    # While that one runs, or one before it, and Lambda waits for nothing.
    assert received_flush(extension).budget_ms == 0
    extension.invocations.finish(next_one, "a connection")
    assert extension.asks_for_next()
    extension.close()


def test_what_a_hold_took_is_said_with_the_next_flush(extension: Extension) -> None:
    for number in range(2):
        invocation = extension.deliver(f"r{number}")
        extension.send_invoke(f"r{number}")
        extension.invocations.finish(invocation, "a connection")
        flush = received_flush(extension)
        assert (flush.billed_ms >= 100) == (number == 1)
        assert extension.is_held()  # a tenth of a second
        extension.far.reply(records.flushed(flush.number, ok=True))
        assert extension.asks_for_next()
    extension.send(
        {
            "eventType": "SHUTDOWN",
            "shutdownReason": "spindown",
            "deadlineMs": time.time_ns() // 1_000_000,
        }
    )
    record = extension.far.receive()
    assert isinstance(record, records.Shutdown)
    assert 100 <= record.billed_ms < 5_000


def test_only_a_few_holds_wait_for_a_telemetry_process_that_is_not_ready() -> None:
    extension = Extension(budget_ms=20, is_ready=False)
    assert extension.asks_for_next()
    budgets = []
    for number in range(10):
        extension.invocations.finish(extension.deliver(f"r{number}"), "a connection")
        extension.send_invoke(f"r{number}")
        budgets.append(received_flush(extension).budget_ms)
        assert extension.asks_for_next()
    assert budgets == [20] * 8 + [0, 0]
    extension.close()


@pytest.mark.parametrize("flush", ["auto", "overlap", 60_000])
def test_no_choice_keeps_a_process_that_is_not_ready_from_those_holds(flush: str | int) -> None:
    # Back to back, it is stopped whenever no end is held.
    extension = Extension(budget_ms=20, flush=flush, is_ready=False)
    assert extension.asks_for_next()
    for number in range(10):
        extension.invocations.finish(extension.deliver(f"r{number}"), "a connection")
        extension.send_invoke(f"r{number}")
        assert extension.asks_for_next()
    budgets = []
    while extension.was_asked_to_flush():
        budgets.append(received_flush(extension).budget_ms)
    assert budgets == [20] * 8
    extension.close()


def test_a_hold_without_any_time_is_none_of_those_few() -> None:
    extension = Extension(budget_ms=20, is_ready=False)
    for wait_ms in (*[0] * 8, 20):
        extension.telemetry.flush(wait_ms)
    assert [received_flush(extension).budget_ms for _ in range(9)] == [0] * 8 + [20]
    extension.close()


def test_shutdown_does_not_wait_for_a_telemetry_process_that_is_dead(extension: Extension) -> None:
    while extension.channel.offer((5, (1,)), b"x" * 4_096):
        pass
    extension.telemetry.state.is_alive = False
    extension.send({"eventType": "SHUTDOWN", "deadlineMs": time.time_ns() // 1_000_000 + LONG_MS})
    extension.thread.join(5)
    assert not extension.thread.is_alive()


def test_a_telemetry_process_that_dies_ends_the_hold(extension: Extension) -> None:
    extension.invocations.finish(extension.deliver("r"), "a connection")
    extension.send_invoke("r")
    received_flush(extension)
    assert extension.is_held()
    extension.telemetry.state.is_alive = False
    extension.telemetry.state.condition.notify()
    assert extension.asks_for_next()


def test_shutdown_is_passed_on_with_its_reason_and_ends_the_lifecycle_when_all_is_out(
    extension: Extension,
) -> None:
    deadline_ms = time.time_ns() // 1_000_000 + LONG_MS
    extension.send(
        {"eventType": "SHUTDOWN", "shutdownReason": "TIMEOUT", "deadlineMs": deadline_ms}
    )
    record = extension.far.receive()
    assert isinstance(record, records.Shutdown)
    assert record.reason == "timeout"
    assert record.deadline_ms < deadline_ms
    assert extension.thread.is_alive()
    extension.far.reply(records.flushed(record.number, ok=True))
    extension.thread.join(5)
    assert not extension.thread.is_alive()


def test_shutdown_does_not_wait_beyond_its_deadline(extension: Extension) -> None:
    extension.send({"eventType": "SHUTDOWN", "shutdownReason": "spindown", "deadlineMs": 1})
    extension.thread.join(5)
    assert not extension.thread.is_alive()


def test_the_last_warnings_are_printed_though_the_telemetry_process_has_ended(
    capfd: pytest.CaptureFixture[str],
) -> None:
    channel = Channel()
    telemetry = TelemetryProcess(channel, Invocations())
    far = TelemetryEnd(channel.far)
    for number in range(100):
        far.reply(records.warning(f"lost {number}"))
    # Its end is seen before its replies are read.
    telemetry.state.is_alive = False
    telemetry.read_replies()
    telemetry.shut_down("spindown", 1_000)
    assert "lost 99" in capfd.readouterr().err
    channel.far.close()
    channel.near.close()


def test_shutdown_without_telemetry_ends_at_once() -> None:
    extension = Extension(has_telemetry=False)
    assert extension.asks_for_next()
    extension.send_invoke("r")
    assert extension.asks_for_next()
    extension.send({"eventType": "SHUTDOWN"})
    extension.thread.join(5)
    assert not extension.thread.is_alive()
    extension.close()


@pytest.mark.parametrize(
    "event", [[], 7, {"eventType": 1}, {"eventType": "FUTURE", "deadlineMs": "soon"}]
)
def test_an_event_nobody_knows_is_passed_over(extension: Extension, event: object) -> None:
    extension.send(event)
    assert extension.asks_for_next()


class BrokenTelemetry(TelemetryProcess):
    """One with mistakes in it."""

    __slots__ = ()

    def flush(self, wait_ms: int) -> None:
        raise ZeroDivisionError(wait_ms)

    def shut_down(self, reason: str, wait_ms: int) -> None:
        raise ZeroDivisionError(reason, wait_ms)


def test_a_fault_of_ours_does_not_end_the_extension_before_its_time(
    extension: Extension, capfd: pytest.CaptureFixture[str]
) -> None:
    extension.telemetry.__class__ = BrokenTelemetry
    invocation = extension.deliver("r")
    extension.send_invoke("r")
    extension.invocations.finish(invocation, "a connection")
    assert extension.asks_for_next()
    # An event that we did not see after that may be our own fault, and not a wrapper that is
    # missing.
    extension.send_invoke("unseen")
    assert extension.asks_for_next()
    extension.send({"eventType": "SHUTDOWN", "shutdownReason": "spindown", "deadlineMs": 0})
    extension.thread.join(5)
    assert not extension.thread.is_alive()
    said = capfd.readouterr().err
    assert said.count("ZeroDivisionError") == 1
    assert "wrapper" not in said
    assert extension.recorder.failures == 2
