"""What the lifecycle relies on: whether somebody may still wait for a result."""

from __future__ import annotations

import _thread
import gc
import threading
import time
from typing import TYPE_CHECKING

import pytest

from lrap_otel.sandbox.invocations import Invocation, Invocations

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTION, ANOTHER = object(), object()


def delivered(
    invocations: Invocations, request_id: str = "a", invocation_id: str = ""
) -> Invocation:
    invocation = Invocation(request_id, invocation_id, 0)
    invocations.open(invocation, CONNECTION, 1)
    return invocation


def test_an_invocation_is_open_from_its_delivery_to_its_result() -> None:
    invocations = Invocations()
    assert not invocations.was_delivered("a")
    invocation = delivered(invocations)
    assert invocations.find("a", "") is invocation
    assert invocations.is_open("a")
    assert not invocations.has_ended("a")
    invocations.finish(invocation, CONNECTION)
    assert invocations.find("a", "") is None
    assert not invocations.is_open("a")
    assert invocations.has_ended("a")
    assert invocations.was_delivered("a")


def test_an_earlier_attempt_that_ends_late_says_nothing_about_the_runtimes_connections() -> None:
    invocations = Invocations()
    earlier = delivered(invocations, invocation_id="1")
    delivered(invocations, invocation_id="2")
    invocations.finish(earlier, CONNECTION)
    invocations.connection_ended(CONNECTION, as_announced=False)
    assert not invocations.is_open("a")


def test_a_runtime_that_polls_again_has_no_result_to_give() -> None:
    invocations = Invocations()
    delivered(invocations)
    invocations.runtime_polls_again()
    assert not invocations.is_open("a")
    assert invocations.was_delivered("a")
    assert not invocations.has_ended("a")


def test_a_connection_that_ends_takes_its_invocation_with_it() -> None:
    invocations = Invocations()
    delivered(invocations)
    invocations.connection_ended(ANOTHER, as_announced=False)
    assert invocations.is_open("a")
    invocations.connection_ended(CONNECTION, as_announced=False)
    assert not invocations.is_open("a")


def test_a_connection_that_ends_as_announced_says_nothing() -> None:
    invocations = Invocations()
    delivered(invocations)
    invocations.connection_ended(CONNECTION, as_announced=True)
    assert invocations.is_open("a")


def test_a_runtime_that_opens_a_connection_for_each_call_is_known_after_its_first_result() -> None:
    invocations = Invocations()
    first = delivered(invocations, "a")
    invocations.connection_ended(CONNECTION, as_announced=False)
    assert not invocations.is_open("a")
    invocations.finish(first, ANOTHER)
    delivered(invocations, "b")
    invocations.connection_ended(CONNECTION, as_announced=False)
    assert invocations.is_open("b")


def test_an_event_delivered_again_is_awaited_again_and_keeps_its_time() -> None:
    invocations = Invocations()
    invocation = delivered(invocations)
    invocations.runtime_polls_again()
    invocations.open(invocation, ANOTHER, 99)
    assert invocations.is_open("a")
    assert invocation.delivered_monotonic_ns == 1


def test_the_first_event_of_a_sandbox_is_its_cold_start_however_often_it_is_delivered() -> None:
    invocations = Invocations()
    first = delivered(invocations, "a")
    invocations.open(first, ANOTHER, 2)
    second = delivered(invocations, "b")
    assert (first.is_cold_start, second.is_cold_start) == (True, False)


def test_where_attempts_are_numbered_only_the_same_attempt_is_found() -> None:
    invocations = Invocations()
    invocation = delivered(invocations, "a", "n1")
    assert invocations.find("a", "n1") is invocation
    assert invocations.find("a", "") is invocation  # a runtime that does not echo the number
    assert invocations.find("a", "n2") is None
    assert invocations.find("b", "n1") is None


def test_each_of_two_attempts_at_once_is_found_by_its_number_until_it_ends() -> None:
    invocations = Invocations()
    first, second = delivered(invocations, "a", "n1"), delivered(invocations, "a", "n2")
    assert (invocations.find("a", "n1"), invocations.find("a", "n2")) == (first, second)
    assert invocations.find("a", "") is second
    invocations.finish(second, CONNECTION)
    assert (invocations.find("a", "n1"), invocations.find("a", "n2")) == (first, None)
    invocations.finish(first, CONNECTION)
    assert invocations.find("a", "n1") is None


def test_the_end_of_an_earlier_attempt_is_not_the_end_of_the_one_that_is_open() -> None:
    invocations = Invocations()
    first, second = delivered(invocations, "a", "n1"), delivered(invocations, "a", "n2")
    invocations.finish(first, CONNECTION)
    assert not invocations.has_ended("a")
    invocations.finish(second, CONNECTION)
    assert invocations.has_ended("a")


def test_a_observer_that_fails_is_not_told_again_and_harms_nothing() -> None:
    told = []

    def fail() -> None:
        told.append("once")
        raise RuntimeError

    invocations = Invocations()
    invocations.observer = fail
    invocations.finish(delivered(invocations), CONNECTION)
    assert told == ["once"]


@pytest.fixture
def busy_interpreter() -> Iterator[None]:
    """Garbage is collected at each chance, and each time another thread may run."""
    before = gc.get_threshold()

    def let_others_run(_phase: str, _info: dict[str, int]) -> None:
        time.sleep(0.0005)

    gc.callbacks.append(let_others_run)
    gc.set_threshold(1, 1, 1)
    yield
    gc.set_threshold(*before)
    gc.callbacks.remove(let_others_run)


@pytest.mark.usefixtures("busy_interpreter")
def test_many_threads_may_come_and_go_while_one_looks_through_what_is_open() -> None:
    invocations = Invocations()
    for number in range(60):
        delivered(invocations, f"open {number}")
    is_over = threading.Event()

    def come_and_go() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            invocations.finish(delivered(invocations, f"short {number}"), CONNECTION)

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        for _ in range(20):
            invocations.is_any_open()
            invocations.connection_ended(ANOTHER, as_announced=False)
            invocations.runtime_polls_again()
    finally:
        is_over.set()
        other.join()


def test_attempts_that_never_end_are_bounded() -> None:
    invocations = Invocations()
    for number in range(1_030):
        delivered(invocations, "a", f"n{number}")
    assert invocations.find("a", "n0") is None
    assert invocations.find("a", "n1028") is not None


def test_a_late_result_does_not_end_the_attempt_after_it() -> None:
    invocations = Invocations()
    first = delivered(invocations, "a", "n1")
    delivered(invocations, "a", "n2")
    invocations.finish(first, CONNECTION)
    assert invocations.is_open("a")


def test_a_retry_after_the_end_is_open_again() -> None:
    invocations = Invocations()
    invocations.finish(delivered(invocations), CONNECTION)
    delivered(invocations)
    assert invocations.is_open("a")
    assert not invocations.has_ended("a")


def test_what_has_ended_is_remembered_for_a_while_and_not_for_ever() -> None:
    invocations = Invocations()
    for number in range(1_000):
        invocations.finish(delivered(invocations, f"id-{number}"), CONNECTION)
    assert invocations.has_ended("id-999")
    assert not invocations.was_delivered("id-0")


def test_a_waiter_wakes_when_the_result_has_gone() -> None:
    invocations = Invocations()
    invocation = delivered(invocations)
    _thread.start_new_thread(invocations.finish, (invocation, CONNECTION))
    invocations.wait_while(lambda: invocations.is_open("a"), 5.0)
    assert invocations.has_ended("a")


def test_a_waiter_gives_up_when_its_time_is_over() -> None:
    invocations = Invocations()
    delivered(invocations)
    invocations.wait_while(lambda: invocations.is_open("a"), 0.01)
    invocations.wait_while(lambda: invocations.is_open("a"), -1.0)
    assert invocations.is_open("a")


def test_news_before_the_wait_are_not_missed() -> None:
    invocations = Invocations()
    invocation = delivered(invocations)
    invocations.notify()
    invocations.notify()
    invocations.finish(invocation, CONNECTION)
    invocations.wait_while(lambda: invocations.is_open("a"), 5.0)
    assert not invocations.is_open("a")


def test_a_release_is_not_taken_back_by_a_connection_that_ends_later() -> None:
    invocations = Invocations()
    invocations.know_runtime(lambda: True)
    invocations.open(Invocation("r", "", 0), "a connection", 1)
    invocations.runtime_polls_again()
    invocations.connection_ended("a connection", as_announced=False)
    assert not invocations.is_open("r")


def test_a_runtime_whose_process_is_known_is_asked_for_when_its_connection_has_ended() -> None:
    lives = True
    invocations = Invocations()
    invocations.know_runtime(lambda: lives)
    invocations.open(Invocation("r", "", 0), "a connection", 1)
    invocations.connection_ended("a connection", as_announced=False)
    assert invocations.is_open("r")
    lives = False
    assert not invocations.is_open("r")


def test_invocations_that_never_end_are_bounded() -> None:
    invocations = Invocations()
    for number in range(2_000):
        invocations.open(Invocation(str(number), "", 0), "a connection", 1)
    assert invocations.find("0", "") is None
    assert invocations.find("1999", "") is not None
