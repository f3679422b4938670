"""Coroutines that wait for sockets, carried out side by side on the one thread there is.

asyncio would do it, for 15 to 23 ms of CPU that its import takes in a process whose imports a small function waits for.
"""

from __future__ import annotations

import select
from types import coroutine
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from lrap_otel.telemetry.export.deadline import LOOK_S, Deadline

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator
    from socket import socket

T = TypeVar("T")


class _Wait(NamedTuple):
    descriptor: int
    events: int
    deadline: Deadline


_NOT_BEGUN = _Wait(-1, 0, Deadline(0.0))


@coroutine
def until_ready(wire: socket, events: int, deadline: Deadline) -> Generator[_Wait, None, None]:
    """Wait for `events` (poll's) on `wire`. TimeoutError where `deadline` comes first, but not where they are there already.

    Two coroutines never wait for the same socket.
    """
    yield _Wait(wire.fileno(), events, deadline)


def carry_out(*coroutines: Coroutine[Any, Any, T]) -> list[T]:
    """What each returns, once all have ended. They begin in this order, and what waits leaves the thread to the others.

    What one raises is raised when the others have ended: what they have under way is not abandoned.
    """
    jobs = [_Job(one) for one in coroutines]
    line, failures = list(jobs), []
    while line:
        job, is_late = _first_to_go_on(line)
        line.remove(job)
        try:
            if job.go_on(is_late=is_late):
                line.append(job)
        except Exception as error:  # noqa: BLE001 - raised below, when the others have ended
            failures.append(error)
    if failures:
        raise failures[0]
    return [job.result for job in jobs]


class _Job(Generic[T]):
    __slots__ = ("_coroutine", "result", "wait")

    result: T

    def __init__(self, one: Coroutine[Any, Any, T]) -> None:
        self._coroutine = one
        self.wait = _NOT_BEGUN

    def go_on(self, *, is_late: bool) -> bool:
        """Until it waits again, which it does not once it has ended: whether it does."""
        try:
            self.wait = self._coroutine.throw(TimeoutError()) if is_late else self._coroutine.send(None)
        except StopIteration as end:
            self.result = end.value
            return False
        return True


def _first_to_go_on(line: list[_Job[Any]]) -> tuple[_Job[Any], bool]:
    """The first whose wait is over, and whether its deadline ended it."""
    for job in line:
        if job.wait is _NOT_BEGUN:
            return job, False
    poll = select.poll()
    for job in line:
        poll.register(job.wait.descriptor, job.wait.events)
    while True:
        for job in line:
            if job.wait.deadline.yields and job.wait.deadline.bell is not None:
                poll.register(job.wait.deadline.bell, select.POLLIN)
        wait_s = min(LOOK_S, *(job.wait.deadline.left_s() for job in line))
        # Also where that is over: what came while another coroutine was busy, or all of us were frozen, came in time.
        ready = {descriptor for descriptor, _ in poll.poll(wait_s * 1_000)}
        for job in line:
            if job.wait.descriptor in ready:
                return job, False
        for job in line:
            if job.wait.deadline.has_come():
                return job, True
