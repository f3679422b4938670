"""Pending ``/next`` calls, which outlive the runtime connections that made them.

Lambda does not notice that a poller hung up: the dead poll swallows the next event. So an upstream
poll is never abandoned. When its runtime goes it is parked, with whatever it has received by then,
and a runtime that waits, now or later, takes it over. So a runtime may wait on several polls; the
first that is answered serves it, the rest are parked.
"""

import select

from lrap_otel.http1.stream import Stream
from lrap_otel.ipc.event_fd import new_event_fd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from lrap_otel.propagation.carrier.scanned import ScannedCarrier
    from lrap_otel.proxy.head_templates import Reply
    from lrap_otel.sandbox.invocations import Invocation

    # One ``/next``: the connection its reply comes on, or the reply if it came and no runtime took
    # it.
    Poll: TypeAlias = "Stream | Event"

# How often a runtime without a poll looks again for the one that another's thread is about to park.
_LOOK_AGAIN_MS = 2


class Event:
    """A whole reply to ``/next``, and how the runtime gets it.

    `body` is as framed, in the pieces in which it came, and `payload` what is in it. The tracer
    adds `parts`, the bytes to send, in order; the `invocation`, None if there is nothing to record;
    and `scanned`, the event's carrier if no template matched.
    """

    __slots__ = (
        "body",
        "delivered_ns",
        "head",
        "invocation",
        "is_redelivery",
        "parts",
        "payload",
        "scanned",
    )
    parts: "Sequence[bytes | memoryview]"
    invocation: "Invocation | None"
    scanned: "ScannedCarrier | None"
    delivered_ns: int
    is_redelivery: bool

    def __init__(
        self, head: "Reply", body: "Sequence[bytes | memoryview]", payload: "bytes | memoryview"
    ) -> None:
        self.head = head
        self.body = body
        self.payload = payload


class Polls:
    """The polls of all runtime connections.

    `waiting`: the runtimes that wait for an event, each with the polls that are its own; `parked`:
    polls on which none waits; `has_surplus`: some runtime may hold several. `parked_event` is set
    once a poll has been parked. A poll is in one of these lists or among the parked, or its reply
    is being read. Each move is one list operation, which the interpreter lock makes atomic; and so
    is a copy of the table.
    """

    __slots__ = ("_has_workers", "has_surplus", "parked", "parked_event", "waiting")

    def __init__(self, *, has_workers: bool = False) -> None:
        """`has_workers`: several runtimes poll at once, as under Managed Instances."""
        self._has_workers = has_workers
        self.waiting: dict[Stream, list[Poll]] = {}
        self.parked: list[Poll] = []
        self.has_surplus = False
        self.parked_event = new_event_fd()

    def leave(self, runtime: Stream, held: "list[Poll]") -> None:
        """It has its event, or has gone: the polls it still holds are parked."""
        while held:
            self.park(held.pop())
        del self.waiting[
            runtime
        ]  # not before: until then, others see that something is about to come
        if self.has_surplus:
            self.has_surplus = any(len(polls) > 1 for polls in self.waiting.copy().values())

    def park(self, poll: "Poll") -> None:
        """Keep a poll on which no runtime waits, until one does."""
        if isinstance(poll, Stream):
            poll.is_reused = (
                True  # who takes it over may make it again if upstream ends it meanwhile
            )
        self.parked.append(poll)
        self.parked_event.set()

    def take_over(self, held: "list[Poll]", is_new: bool) -> bool:
        """Take over into `held` what nobody waits on. `is_new`: the runtime has not polled before.

        False: nothing is there or about to come: this runtime has to poll.
        """
        is_alone = len(self.waiting) == 1
        # Workers of Managed Instances go on polling for themselves. A new one may be in the place
        # of one that is just leaving.
        polls_itself = is_alone or (self._has_workers and not is_new)
        if not self.parked and not self.has_surplus and polls_itself:
            return bool(held)
        # Looked at first, so that what is parked meanwhile is found.
        is_about_to_come = not is_alone and self._is_any_leaving()
        self._take_parked(held)
        if not held and not is_alone:
            self._take_surplus(held)
        return bool(held) or is_about_to_come

    def wait(self, runtime: Stream) -> "Poll | None":
        """Wait, for hours if need be, for a poll to be answered.

        None: the runtime has gone, or look again what it holds.
        """
        held = self.waiting[runtime]
        streams = []
        for poll in held.copy():
            if isinstance(poll, Event) or poll.buffered:
                return _claim(held, poll)
            streams.append(poll)
        ready = runtime.wait_for_any(
            (self.parked_event, *streams), None if streams else _LOOK_AGAIN_MS
        )
        for poll in streams:
            if poll in ready:
                return _claim(held, poll)
        if ready and self.parked_event.clear():  # else another runtime's thread has
            self._take_parked(held)
        return None

    def _is_any_leaving(self) -> bool:
        """Has a runtime gone that counts as waiting? Its thread is about to park what it holds."""
        watch = select.poll()
        for runtime in self.waiting.copy():
            descriptor = runtime.socket.fileno()
            if descriptor >= 0:
                watch.register(descriptor, select.POLLRDHUP)
        return bool(watch.poll(0))

    def _take_parked(self, held: "list[Poll]") -> None:
        while self.parked:
            _move_one(self.parked, held)
        if len(held) > 1:
            self.has_surplus = True

    def _take_surplus(self, held: "list[Poll]") -> None:
        """A surplus poll, if some runtime holds several."""
        for others in self.waiting.copy().values():
            if len(others) > 1:
                _move_one(others, held)
                return


def _move_one(source: "list[Poll]", held: "list[Poll]") -> None:
    try:
        held.append(source.pop(0))
    except IndexError:
        return  # another runtime took it


def _claim(held: "list[Poll]", poll: "Poll") -> "Poll | None":
    try:
        held.remove(poll)
    except ValueError:
        return None  # another runtime took it
    return poll
