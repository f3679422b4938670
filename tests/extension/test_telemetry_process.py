"""A telemetry process that is not ready is out of the function's way, and never stays stopped."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from lrap_otel.extension.flush import may_pause, may_wait_for_ready
from lrap_otel.extension.process import Process
from lrap_otel.extension.telemetry_process import TelemetryProcess
from lrap_otel.ipc import records
from lrap_otel.ipc.channel import Channel, TelemetryEnd
from lrap_otel.sandbox.invocations import Invocation, Invocations
from tests.extension.sleeper import Sleeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONNECTION = object()


class Sandbox:
    """A proxy process's state with a sleeper for its telemetry process."""

    def __init__(self, *, has_invoke_events: bool = True) -> None:
        self.invocations, self.channel, self.process = Invocations(), Channel(), Sleeper()
        self.is_runtime_waiting = False
        self.telemetry = TelemetryProcess(
            self.channel,
            self.invocations,
            None,
            lambda: self.is_runtime_waiting,
            has_invoke_events=has_invoke_events,
        )
        self.telemetry.watch(self.process.process_id)
        self.far = TelemetryEnd(self.channel.far)

    def deliver(self, request_id: str = "a") -> Invocation:
        invocation = Invocation(request_id, "", 0)
        self.invocations.open(invocation, CONNECTION, 1)
        return invocation

    def finish(self, invocation: Invocation) -> None:
        self.invocations.finish(invocation, CONNECTION)

    def poll(self) -> None:
        """The runtime asks for its next event, as `proxy.exchange` does it."""
        self.is_runtime_waiting = True
        self.invocations.runtime_polls_again()
        self.invocations.notify_observer()


@pytest.fixture
def start() -> Iterator[Callable[..., Sandbox]]:
    started: list[Sandbox] = []

    def start(**options: bool) -> Sandbox:
        started.append(Sandbox(**options))
        return started[-1]

    yield start
    for sandbox in started:
        sandbox.process.kill()
        assert sandbox.process.has_been_reaped()


@pytest.fixture
def sandbox(start: Callable[..., Sandbox]) -> Sandbox:
    return start()


def test_it_is_stopped_while_an_event_is_with_the_function(sandbox: Sandbox) -> None:
    invocation = sandbox.deliver()
    assert sandbox.process.is_stopped()
    sandbox.finish(invocation)
    assert sandbox.process.goes_on()


def test_of_several_events_the_first_stops_it_and_the_last_lets_it_go_on(sandbox: Sandbox) -> None:
    first, second = sandbox.deliver("a"), sandbox.deliver("b")
    assert sandbox.process.is_stopped()
    sandbox.finish(first)
    assert sandbox.process.is_stopped()
    sandbox.finish(second)
    assert sandbox.process.goes_on()


def test_it_runs_during_init_and_stops_when_the_runtime_has_asked_for_its_first_event(
    sandbox: Sandbox,
) -> None:
    sandbox.telemetry.expect_event()
    assert sandbox.process.keeps_running()
    sandbox.poll()
    assert sandbox.process.is_stopped()


def test_it_has_the_time_between_a_result_and_our_own_asking_for_the_next_event(
    sandbox: Sandbox,
) -> None:
    invocation = sandbox.deliver()
    assert sandbox.process.is_stopped()
    sandbox.finish(invocation)
    sandbox.poll()
    assert sandbox.process.goes_on()
    sandbox.telemetry.expect_event()
    assert sandbox.process.is_stopped()


def test_in_a_sandbox_that_is_idle_and_not_frozen_it_goes_on_until_the_next_event(
    sandbox: Sandbox,
) -> None:
    sandbox.poll()
    sandbox.telemetry.expect_event()
    assert sandbox.process.is_stopped()
    sandbox.telemetry.expect_nothing()
    assert sandbox.process.goes_on()
    sandbox.deliver()
    assert sandbox.process.is_stopped()


def test_a_runtime_that_polls_again_without_a_result_lets_it_go_on(sandbox: Sandbox) -> None:
    sandbox.deliver()
    assert sandbox.process.is_stopped()
    sandbox.poll()
    assert sandbox.process.goes_on()


def test_a_runtime_that_crashes_lets_it_go_on(sandbox: Sandbox) -> None:
    sandbox.deliver()
    assert sandbox.process.is_stopped()
    sandbox.invocations.connection_ended(CONNECTION, as_announced=False)
    assert sandbox.process.goes_on()


def test_it_goes_on_before_a_flush_is_waited_for(sandbox: Sandbox) -> None:
    sandbox.deliver()
    assert sandbox.process.is_stopped()
    sandbox.telemetry.flush(0)
    assert sandbox.process.goes_on()


def test_shutdown_lets_it_go_on_although_an_event_is_with_the_function(sandbox: Sandbox) -> None:
    sandbox.deliver()
    assert sandbox.process.is_stopped()
    sandbox.far.reply(records.flushed(1, ok=True))
    sandbox.telemetry.shut_down("timeout", 60_000)
    assert sandbox.process.goes_on()
    sandbox.deliver("b")
    assert sandbox.process.keeps_running()


def test_it_is_ended_where_shutdown_has_no_more_time_for_it(sandbox: Sandbox) -> None:
    sandbox.telemetry.shut_down("spindown", 1)
    assert sandbox.process.has_been_reaped()


def test_once_it_is_ready_it_runs_and_nobody_is_told_of_events(sandbox: Sandbox) -> None:
    sandbox.deliver()
    assert sandbox.process.is_stopped()
    sandbox.far.reply(records.ready(sandbox.process.process_id))
    assert sandbox.process.goes_on()
    assert sandbox.invocations.observer is None
    sandbox.deliver("b")
    assert sandbox.process.keeps_running()


def test_beside_many_events_at_once_it_is_never_stopped(start: Callable[..., Sandbox]) -> None:
    sandbox = start(has_invoke_events=False)
    sandbox.deliver()
    assert sandbox.invocations.observer is None
    assert sandbox.process.keeps_running()


def test_it_is_not_kept_from_reading_until_records_are_lost(sandbox: Sandbox) -> None:
    while sandbox.channel.fullness() < 0.5:
        assert sandbox.channel.offer((5, (1,)), b"x" * 4_096)
    sandbox.deliver()
    assert sandbox.process.keeps_running()


def test_one_that_dies_is_no_longer_waited_for_or_signalled(sandbox: Sandbox) -> None:
    invocation = sandbox.deliver()
    assert sandbox.process.is_stopped()
    sandbox.process.kill()
    assert sandbox.process.has_been_reaped()
    sandbox.finish(invocation)
    sandbox.telemetry.flush(60_000)


def test_a_process_that_has_been_reaped_gets_no_signal() -> None:
    sleeper = Sleeper()
    process = Process(sleeper.process_id)
    process.signal(signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM
    process.signal(signal.SIGTERM)
    with pytest.raises(ProcessLookupError):
        os.kill(sleeper.process_id, 0)


def test_a_process_that_somebody_else_has_reaped_gets_no_signal_either() -> None:
    # The kernel does where SIGCHLD is ignored.
    sleeper = Sleeper()
    process = Process(sleeper.process_id)
    sleeper.kill()
    os.waitpid(sleeper.process_id, 0)
    process.signal(signal.SIGSTOP)


def with_successor(
    first: Sleeper, second: Sleeper
) -> tuple[Channel, TelemetryProcess, TelemetryEnd]:
    """`first` is watched and ready."""
    channel = Channel()
    telemetry = TelemetryProcess(
        channel, Invocations(), lambda: second.process_id, has_invoke_events=False
    )
    telemetry.watch(first.process_id)
    far = TelemetryEnd(channel.far)
    far.reply(records.ready(first.process_id))
    return channel, telemetry, far


def test_a_successor_is_not_told_again_of_records_that_the_one_before_has_told() -> None:
    first, second = Sleeper(), Sleeper()
    channel, telemetry, far = with_successor(first, second)
    told = []
    for dropped, process in ((3, first), (5, second)):
        channel._refused = dropped
        flush = threading.Thread(target=telemetry.flush, args=(60_000,))
        flush.start()
        record = far.receive()
        assert isinstance(record, records.Flush)
        told.append(record.dropped)
        far.reply(records.flushed(record.number, ok=True))
        flush.join()
        process.kill()
        assert process.has_been_reaped()
        while process is first and telemetry.is_ready:
            time.sleep(0.001)
    assert told == [3, 2]


def test_a_successor_is_told_of_what_the_one_before_has_answered_too_late_for() -> None:
    first, second = Sleeper(), Sleeper()
    channel, telemetry, far = with_successor(first, second)
    told = []
    for dropped in (3, 5):
        channel._refused = dropped
        telemetry.flush(0)
        record = far.receive()
        assert isinstance(record, records.Flush)
        told.append(record.dropped)
    far.reply(records.flushed(1, ok=True))  # to the first of them, when the second has been sent
    while telemetry.flusher.answered < 1:
        time.sleep(0.001)
    first.kill()
    while telemetry.is_ready:
        time.sleep(0.001)
    telemetry.flush(0)
    record = far.receive()
    assert isinstance(record, records.Flush)
    assert [*told, record.dropped] == [3, 5, 5]
    second.kill()


def test_a_process_of_somebody_else_is_not_waited_for() -> None:
    assert Process(os.getppid()).wait() == 0


@pytest.mark.parametrize(
    ("holds", "fullness", "waits"),
    [(0, 0.0, True), (7, 0.0, True), (8, 0.0, False), (8, 0.25, True), (99, 1.0, True)],
)
def test_a_few_holds_wait_for_its_imports_and_then_only_those_that_find_the_channel_filling_up(
    holds: int, fullness: float, *, waits: bool
) -> None:
    assert may_wait_for_ready(holds, fullness) is waits


def test_half_a_channel_may_stay_unread() -> None:
    assert may_pause(0.49)
    assert not may_pause(0.5)


def test_a_late_word_of_one_that_died_does_not_speak_for_its_successor(sandbox: Sandbox) -> None:
    sandbox.deliver()
    assert sandbox.process.is_stopped()
    sandbox.far.reply(records.ready(sandbox.process.process_id + 1))
    sandbox.far.reply(records.flushed(0, ok=True))
    assert sandbox.process.state == "T"
    sandbox.far.reply(records.ready(sandbox.process.process_id))
    assert sandbox.process.goes_on()


def test_a_malformed_reply_is_passed_over_and_said_once(
    sandbox: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    sandbox.channel.far.send(b"nonsense")
    sandbox.channel.far.send(b"more")
    sandbox.far.reply((records.READY, ("no number",)))
    sandbox.deliver()
    assert sandbox.process.is_stopped()
    sandbox.far.reply(records.ready(sandbox.process.process_id))
    assert sandbox.process.goes_on()  # only now, so the replies before it have been read
    assert sandbox.telemetry.is_ready
    assert capfd.readouterr().err.count("malformed") == 1


def test_what_a_process_takes_with_it_is_said(
    sandbox: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        sandbox.finish(sandbox.deliver(name))
        if name == "a":
            sandbox.telemetry.flush(0)
            sandbox.far.reply(records.flushed(1, True))
            sandbox.telemetry.state.condition.wait_while(
                lambda: sandbox.telemetry.flusher.answered < 1, 10
            )
    sandbox.deliver("open")
    sandbox.telemetry.shut_down("spindown", 1)
    assert capfd.readouterr().err == (
        "lrap-otel: warning: the telemetry process did not answer SHUTDOWN; what it had neither exported nor kept is lost, "
        "of at most 3 invocations\n"
    )


@pytest.mark.parametrize("has_work", [True, False])
def test_nothing_is_said_of_a_process_that_answers_or_had_nothing(
    sandbox: Sandbox, capfd: pytest.CaptureFixture[str], *, has_work: bool
) -> None:
    if not has_work:
        sandbox.telemetry.shut_down("spindown", 1)
        assert capfd.readouterr().err == ""
        return
    sandbox.finish(sandbox.deliver())
    sandbox.far.reply(records.flushed(1, True))
    sandbox.telemetry.shut_down("spindown", 10_000)
    assert capfd.readouterr().err == ""
