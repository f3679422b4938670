"""Pending ``/next`` calls, which outlive the runtime connections that made them.

Lambda does not notice that a poller hung up: the dead poll swallows the next event. So an upstream poll is never
abandoned. When its runtime goes it is parked, with whatever it has received by then, and a runtime that waits, now or
later, takes it over. So a runtime may wait on several polls; the first that is answered serves it, the rest are parked.
"""

import select

from lrap_otel.http1.messages import Response
from lrap_otel.http1.stream import Stream
from lrap_otel.ipc.event_fd import new_event_fd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# How often a runtime without a poll looks again for the one that another's thread is about to park.
_LOOK_AGAIN_MS = 2


class Event:
    """A whole reply to ``/next``: its head, its body as framed on the wire, in the pieces in which it came, and the payload in it."""

    __slots__ = ("body", "head", "payload")

    def __init__(self, head: Response, body: "Sequence[bytes | memoryview]", payload: "bytes | memoryview") -> None:
        self.head = head
        self.body = body
        self.payload = payload


class Poll:
    """One ``/next``: the connection its reply comes on, or the reply where it came and no runtime took it."""

    __slots__ = ("source",)

    def __init__(self, source: "Stream | Event") -> None:
        self.source = source


class Polls:
    """The polls of all runtime connections.

    `waiting`: the runtimes that wait for an event, each with the polls that are its own; `parked`: those on which none waits;
    `has_spares`: some runtime may hold several. `news` rings once a poll has been parked. A poll stands in one of these lists
    or among the parked, or its reply is being read. Each move is one list operation, which the interpreter lock makes atomic; and
    so is a copy of the table, where it is looked through.
    """

    __slots__ = ("has_spares", "news", "parked", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[Stream, list[Poll]] = {}
        self.parked: list[Poll] = []
        self.has_spares = False
        self.news = new_event_fd()

    def enter(self, runtime: Stream) -> None:
        """This runtime waits for an event."""
        self.waiting[runtime] = []

    def hold(self, runtime: Stream, poll: Poll) -> None:
        """It has made a poll."""
        self.waiting[runtime].append(poll)

    def leave(self, runtime: Stream) -> None:
        """It has its event, or has gone: the polls it still holds are parked."""
        held = self.waiting[runtime]
        while held:
            self.park(held.pop())
        del self.waiting[runtime]  # not before: until then, whoever polls sees that something is about to come
        if self.has_spares:
            self.has_spares = any(len(polls) > 1 for polls in self.waiting.copy().values())

    def park(self, poll: Poll) -> None:
        """Keep a poll on which no runtime waits, until one does."""
        if isinstance(poll.source, Stream):
            poll.source.is_reused = True  # who takes it over may make it again if upstream ends it meanwhile
        self.parked.append(poll)
        self.news.set()

    def take_over(self, runtime: Stream) -> bool:
        """Take over what nobody waits on. False: there is nothing and nothing about to come, so this runtime has to poll."""
        held = self.waiting[runtime]
        is_alone = len(self.waiting) == 1
        if is_alone and not self.parked:
            return bool(held)
        # Looked at first, so that what is parked meanwhile is found.
        is_about_to_come = not is_alone and self._is_any_leaving()
        self._take_parked(held)
        if not held and not is_alone:
            self._take_spare(held)
        return bool(held) or is_about_to_come

    def wait(self, runtime: Stream) -> Poll | None:
        """Wait, for hours if need be, for a poll to be answered. None: the runtime has gone, or look again what it holds."""
        held = self.waiting[runtime]
        watched: list[tuple[int, Poll]] = []
        for poll in tuple(held):
            if isinstance(poll.source, Event) or poll.source.ahead:
                return _claim(held, poll)
            watched.append((poll.source.socket.fileno(), poll))
        beside = (self.news.fileno(), *[descriptor for descriptor, _ in watched])
        ready = runtime.wait_beside(beside, None if held else _LOOK_AGAIN_MS)
        for descriptor, poll in watched:
            if descriptor in ready:
                return _claim(held, poll)
        if self.news.fileno() in ready:
            self._hear_news(held)
        return None

    def _is_any_leaving(self) -> bool:
        """Has a runtime gone that counts as waiting? Its thread is about to park what it holds."""
        watch = select.poll()
        for runtime in self.waiting.copy():
            descriptor = runtime.socket.fileno()
            if descriptor >= 0:
                watch.register(descriptor, select.POLLRDHUP)
        return bool(watch.poll(0))

    def _take_parked(self, held: list[Poll]) -> None:
        while self.parked:
            _move_one(self.parked, held)
        if len(held) > 1:
            self.has_spares = True

    def _take_spare(self, held: list[Poll]) -> None:
        """A poll of a runtime that holds several, if there is one."""
        for others in self.waiting.copy().values():
            if len(others) > 1:
                _move_one(others, held)
                return

    def _hear_news(self, held: list[Poll]) -> None:
        if self.news.clear():  # else another runtime's thread has
            self._take_parked(held)


def _move_one(source: list[Poll], held: list[Poll]) -> None:
    try:
        held.append(source.pop(0))
    except IndexError:
        return  # another runtime took it


def _claim(held: list[Poll], poll: Poll) -> Poll | None:
    try:
        held.remove(poll)
    except ValueError:
        return None  # another runtime took it
    return poll
