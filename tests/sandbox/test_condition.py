"""A thread that waits for a change sees each of them, and waits no longer than it says."""

from __future__ import annotations

import threading
import time

from lrap_otel.sandbox.condition import Condition

LONG_S = 60.0


def test_a_notification_ends_the_wait_once_what_is_waited_for_is_so() -> None:
    condition, values = Condition(), [0]
    seen: list[int] = []

    def is_small() -> bool:
        seen.append(values[0])
        return values[0] < 3

    waiter = threading.Thread(target=condition.wait_while, args=(is_small, LONG_S))
    waiter.start()
    for value in (1, 2, 3):
        values[0] = value
        while waiter.is_alive() and seen[-1:] != [value]:
            condition.notify()
            time.sleep(0.001)
    waiter.join(10)
    assert not waiter.is_alive()
    assert sorted(set(seen)) == [0, 1, 2, 3]


def test_a_change_just_before_the_wait_is_not_missed() -> None:
    condition = Condition()
    is_over: list[bool] = []

    def is_unmet() -> bool:
        if not is_over:
            # Another thread is here first, and notifies between the look and the wait.
            is_over.append(True)
            condition.notify()
            return True
        return False

    waiter = threading.Thread(target=condition.wait_while, args=(is_unmet, LONG_S))
    waiter.start()
    waiter.join(10)
    assert not waiter.is_alive()


def test_a_wait_ends_with_its_time() -> None:
    began_s = time.monotonic()
    Condition().wait_while(lambda: True, 0.05)
    assert time.monotonic() - began_s >= 0.05


def test_without_notifications_it_looks_again_after_each_interval() -> None:
    looks: list[None] = []

    def is_unmet() -> bool:
        looks.append(None)
        return len(looks) < 5

    Condition().wait_while(is_unmet, LONG_S, lambda: 0.001)
    assert len(looks) == 5


def test_many_notifications_at_once_are_one_and_nobody_need_wait() -> None:
    condition = Condition()
    for _ in range(3):
        condition.notify()
    looks: list[None] = []

    def is_unmet() -> bool:
        looks.append(None)
        condition.notify()
        condition.notify()
        return len(looks) < 4

    condition.wait_while(is_unmet, LONG_S)
    assert len(looks) == 4
    assert not condition.is_awaited
