"""Pending ``/next`` calls, which outlive the runtime connections that made them.

Lambda does not notice that a poller hung up: the dead poll swallows the next event. So an upstream poll is never
abandoned. When its runtime goes it is parked, and whoever polls next inherits it with whatever it has received by then.
"""

import select

from lrap_otel.proxy.http1 import Request, Response
from lrap_otel.proxy.stream import Stream


class Event:
    """A whole reply to ``/next``: its head, its body as framed on the wire, and the payload in it."""

    __slots__ = ("body", "head", "payload")

    def __init__(self, head: Response, body: bytes, payload: bytes) -> None:
        self.head = head
        self.body = body
        self.payload = payload


class Poll:
    """One ``/next``: the request as it went and the connection its reply comes on, or, where nobody took it, the reply."""

    __slots__ = ("event", "request", "upstream")

    def __init__(self, request: Request, upstream: Stream | None, event: Event | None) -> None:
        self.request = request
        self.upstream = upstream
        self.event = event


class Polls:
    """The polls of all runtime connections: those that a runtime waits for, and those that wait for a runtime."""

    __slots__ = ("_parked", "waiting")

    def __init__(self) -> None:
        self.waiting: set[object] = set()
        self._parked: list[Poll] = []

    def park(self, poll: Poll) -> None:
        """Keep a poll whose runtime has gone."""
        if poll.upstream is not None:
            poll.upstream.is_reused = True  # who inherits it may make it again if upstream ends it meanwhile
        self._parked.append(poll)

    def take_parked(self) -> Poll | None:
        """The poll that was parked first."""
        try:
            return self._parked.pop(0)
        except IndexError:
            return None


def wait_for_event(upstream: Stream, runtime: Stream) -> bool:
    """Wait, for hours if need be, until the reply begins (True) or the runtime goes (False)."""
    if upstream.has_ahead():
        return True
    poll = select.poll()
    poll.register(upstream.socket, select.POLLIN)
    poll.register(runtime.socket, select.POLLRDHUP)
    gone = runtime.socket.fileno()
    return all(descriptor != gone for descriptor, _ in poll.poll())
