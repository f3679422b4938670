"""When an attempt ends, and what it may wait for until then."""

from __future__ import annotations

import select
import socket
import threading
from threading import Thread, Timer
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from lrap_otel.ipc.event_fd import new_event_fd
from lrap_otel.telemetry.export.at_once import at_once
from lrap_otel.telemetry.export.deadline import ALONE_S, LOOK_S, Clock, Deadline, attempt
from tests.telemetry.otlp_collector import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    Pair = tuple[socket.socket, socket.socket]


class Machine:
    """Its two clocks, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.cpu = 5.0

    def clock(self) -> Clock:
        return Clock(lambda: self.now, lambda: self.cpu)

    def goes_on(self, seconds: float, cpu_s: float = 0.0) -> None:
        self.now += seconds
        self.cpu += cpu_s


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def later(seconds: float = PATIENCE_S) -> Deadline:
    return Deadline(monotonic() + seconds)


def test_a_clock_that_is_looked_at_often_runs() -> None:
    machine = Machine()
    clock = machine.clock()
    begun_s = clock.now_s()
    for _ in range(40):
        machine.goes_on(LOOK_S)
        clock.now_s()
    assert clock.now_s() == pytest.approx(begun_s + 40 * LOOK_S)


def test_a_clock_stands_still_in_a_freeze() -> None:
    machine = Machine()
    clock = machine.clock()
    begun_s = clock.now_s()
    machine.goes_on(3_600)
    assert clock.now_s() == pytest.approx(begun_s + LOOK_S)


@pytest.mark.parametrize("share", [1.0, 0.07], ids=["a whole CPU", "the smallest function's share"])
def test_a_clock_runs_while_work_is_slow(share: float) -> None:
    machine = Machine()
    clock = machine.clock()
    begun_s = clock.now_s()
    machine.goes_on(2.0, cpu_s=2.0 * share)
    assert clock.now_s() == pytest.approx(begun_s + 2.0)


def test_a_clock_s_copy_shows_the_same_time_and_notices_the_next_freeze_for_itself() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.goes_on(100)
    now_s = clock.now_s()
    copy = clock.copy()
    machine.goes_on(100)
    assert (clock.now_s(), copy.now_s()) == (
        pytest.approx(now_s + LOOK_S),
        pytest.approx(now_s + LOOK_S),
    )


def test_nothing_is_waited_for_after_its_deadline(pair: Pair) -> None:
    with pytest.raises(TimeoutError):
        later(0).wait(pair[0], select.POLLIN)


def test_what_is_there_after_its_deadline_came_in_time(pair: Pair) -> None:
    pair[1].sendall(b"x")
    later(-10).wait(pair[0], select.POLLIN)


@pytest.mark.parametrize("yields_in_s", [0, 0.2], ids=["now", "soon"])
def test_from_some_moment_on_a_bell_ends_a_wait(pair: Pair, yields_in_s: float) -> None:
    event_fd = new_event_fd()
    Timer(0.05, event_fd.set).start()
    deadline = Deadline(later().at_s, monotonic() + yields_in_s, event_fd)
    with pytest.raises(TimeoutError):
        deadline.wait(pair[0], select.POLLIN)
    assert deadline.has_come()


def test_before_that_moment_the_bell_ends_nothing(pair: Pair) -> None:
    event_fd = new_event_fd()
    event_fd.set()
    Timer(0.2, pair[1].sendall, (b"x",)).start()
    deadline = Deadline(later().at_s, later().at_s, event_fd)
    deadline.wait(pair[0], select.POLLIN)
    assert not deadline.has_come()


def test_a_deadline_can_be_brought_forward_and_never_put_off() -> None:
    deadline = later(10)
    assert deadline.within(100).at_s == deadline.at_s
    assert deadline.within(0).has_come()
    assert deadline.part(1).at_s == pytest.approx(deadline.at_s)
    assert deadline.part(2).at_s == pytest.approx(deadline.at_s - 5, abs=1)
    assert deadline.apart().at_s == deadline.at_s


def test_an_attempt_yields_after_a_while_and_outlives_the_wait_for_it() -> None:
    event_fd = new_event_fd()
    begun_s = monotonic()
    unawaited, awaited = attempt(2.0, event_fd), attempt(2.0, event_fd, begun_s + 100)
    ended_s = monotonic()

    for one, limit_s in (unawaited, 2), (awaited, 100 + ALONE_S):
        assert begun_s + ALONE_S <= one.yields_s <= ended_s + ALONE_S
        # The second is reckoned from the end of the wait for it, 100 s after `begun_s`.
        assert begun_s + limit_s - 0.001 <= one.at_s <= ended_s + limit_s + 0.001


def test_two_things_are_done_at_once() -> None:
    meeting = threading.Barrier(2, timeout=PATIENCE_S)
    assert sorted(at_once(meeting.wait, meeting.wait)) == [0, 1]


def test_an_exception_of_either_is_raised_when_both_have_ended() -> None:
    ended = []

    def fail() -> int:
        raise ZeroDivisionError

    def end() -> int:
        ended.append(threading.get_ident())
        return 1

    with pytest.raises(ZeroDivisionError):
        at_once(fail, end)
    with pytest.raises(ZeroDivisionError):
        at_once(end, fail)
    assert len(set(ended)) == 2


def test_without_a_thread_one_follows_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", refuse)
    assert at_once(lambda: 1, lambda: 2) == (1, 2)


def test_an_event_descriptor_that_many_set_at_once_wakes(pair: Pair) -> None:
    event_fd = new_event_fd()
    threads = [Thread(target=event_fd.set) for _ in range(4)]
    for thread in threads:
        thread.start()
    later().wait(event_fd, select.POLLIN)
    for thread in threads:
        thread.join()
