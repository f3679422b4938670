"""One runtime connection and the upstream connection behind it: a request one way, its reply the other, as they come."""

import _socket
import select
from time import monotonic, monotonic_ns

from lrap_otel.http1.messages import (
    UNTIL_CLOSE,
    ChunkedBody,
    LengthBody,
    ProtocolError,
    Request,
    Response,
    body_of,
    parse_reply,
)
from lrap_otel.http1.stream import RECEIVE_BYTES, BrokenError, Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.proxy.upstream import Upstream

    # Is given each part of a body before it goes on, and never raises.
    Taker = Callable[[bytes], object]

# A runtime that is still sending when its answer has come gets this long to read the answer before the connection goes.
LINGER_S = 1.0
# Of an event of this size the memory is kept for the next; page by page it would take half the time that its bytes take. It is
# not kept for one that needs far less.
LARGE_BYTES = 16_384
_LARGER_AT_MOST = 8
NO_BUFFER = bytearray()
# Of the rest of a large event, which is read whole before it goes on: fewer, larger pieces.
EVENT_RECEIVE_BYTES = 1_048_576
# Of a body that streams: what has come meanwhile, up to this. Four times as much as elsewhere streams a sixth faster.
PUMP_BYTES = 262_144
# What chunk lines may add to a body that is within its limit.
FRAMING_BYTES = 262_144

_BROKEN_OFF = "the Runtime API broke off its reply"


class UnreachableError(Exception):
    """Nobody answers at the Runtime API's address."""


class UnansweredError(BrokenError):
    """Upstream closed a reused connection before it answered a byte. A GET without a body may then be made again."""


class Relay:
    """Moves messages between `runtime` and `upstream`, which is None until the first request needs it.

    `head_sent_ns` (monotonic): when the last request's head had gone. `buffer` is for a large event, and goes with the next that is
    much smaller.
    """

    __slots__ = ("_connections", "buffer", "head_sent_ns", "runtime", "upstream")

    def __init__(self, runtime: Stream, connections: "Upstream") -> None:
        self.runtime = runtime
        self.upstream: Stream | None = None
        self.head_sent_ns = 0
        self.buffer = NO_BUFFER
        self._connections = connections

    def give_back(self) -> None:
        """The runtime has ended in good order: the upstream connection, on which nothing is under way, serves the next."""
        if self.upstream is not None:
            self._connections.give_back(self.upstream)
            self.upstream = None

    def close(self) -> None:
        """Close both sides."""
        self.runtime.close()
        self.drop_upstream()

    def send_request(self, request: Request, take: "Taker | None") -> Response | None:
        """Send a request upstream, its body as it arrives. What upstream answers before the body's end is returned.

        `ProtocolError` if the body is malformed and `BrokenError` if the runtime breaks off: upstream then sees it truncated.
        """
        upstream = self._upstream_for_request()
        ahead = self.runtime.take_ahead() if request.body_length else b""
        body = None
        try:
            if len(ahead) == request.body_length:  # the usual call: all of it has come
                if take is not None:
                    take(ahead)
            else:
                body = body_of(request)
                ahead = self._take(body, ahead, take)
            has_it = _is_taken(upstream, request.forwarded + ahead)
            self.head_sent_ns = monotonic_ns()
            if not has_it:
                return self.early_answer()
            return None if body is None or body.is_complete else self._pump(body, take)
        except (ProtocolError, BrokenError):
            self.drop_upstream()
            raise
        except OSError as error:
            self.drop_upstream()
            raise BrokenError(str(error)) from error

    def _take(self, body: "LengthBody | ChunkedBody", data: bytes, take: "Taker | None") -> bytes:
        """Of what the runtime sent, the part that belongs to this body; the rest is the next request's."""
        used = body.take(data)
        if used < len(data):
            self.runtime.ahead = data[used:]
            data = data[:used]
        if take is not None and data:
            take(data)
        return data

    def _pump(self, body: "LengthBody | ChunkedBody", take: "Taker | None") -> Response | None:
        """Send the rest of a body, no faster than upstream takes it, until its end or upstream's early answer."""
        upstream = self._connected()
        poll = select.poll()
        poll.register(upstream.socket, select.POLLIN)
        poll.register(self.runtime.socket, select.POLLIN)
        pending = memoryview(b"")
        while pending or not body.is_complete:
            events = dict(poll.poll())
            if events.get(upstream.socket.fileno(), 0) & ~select.POLLOUT:
                early = self.early_answer()
                if early is not None:
                    return early
            elif pending:
                pending = pending[_send_some(upstream, pending) :]
                if not pending:
                    poll.modify(upstream.socket, select.POLLIN)
                    poll.register(self.runtime.socket, select.POLLIN)
            else:
                data = self.runtime.socket.recv(PUMP_BYTES)
                if not data:
                    raise BrokenError("the runtime broke off its body")
                pending = memoryview(self._take(body, data, take))
                pending = pending[_send_some(upstream, pending) :]
                if pending:
                    # Not only masked: a reset would be reported all the same, over and over.
                    poll.unregister(self.runtime.socket)
                    poll.modify(upstream.socket, select.POLLIN | select.POLLOUT)
        return None

    def early_answer(self) -> Response | None:
        """What upstream says before the body's end; None where it was interim, and has been passed on."""
        while True:
            reply = self._read_reply_head(b"POST")
            if reply.status >= 200:
                return reply
            self._relay_interim(reply)
            if not self._connected().ahead:
                return None

    def _relay_interim(self, reply: Response) -> None:
        if reply.status == 101:
            raise BrokenError("the Runtime API switched protocols unasked")
        try:
            self.runtime.send(reply.forwarded)
        except OSError:
            return  # a runtime that has gone is noticed where it matters: a poll's event must not be lost for it

    def read_reply(self, request: Request) -> Response:
        """The head of the final reply; interim ones are passed on. `UnansweredError` where the request may be made again."""
        while (reply := self._read_reply_head(request.method)).status < 200:
            self._relay_interim(reply)
        return reply

    def _read_reply_head(self, method: bytes) -> Response:
        upstream = self._connected()
        try:
            raw = upstream.read_head()
            if raw:
                upstream.is_reused = False  # it answers
                return parse_reply(raw, method)
        except ConnectionResetError:
            pass
        except ProtocolError as error:
            raise BrokenError(f"the Runtime API's reply: {error}") from error
        self.drop_upstream()
        kind = UnansweredError if upstream.is_reused else BrokenError
        raise kind("the Runtime API closed the connection without an answer")

    def resend(self, request: Request) -> None:
        """Make a GET without a body again, on a new connection."""
        self.upstream = self._connect()
        self.upstream.send(request.forwarded)

    def relay_reply(self, reply: Response, *, closes: bool) -> bool:
        """Pass a reply on, its body as it comes. `closes`: our side ends the connection. True where it goes on."""
        upstream = self._connected()
        head = final_head(reply, closes=closes)
        try:
            if len(upstream.ahead) == reply.body_length:
                self.runtime.send(head + upstream.take_ahead())
            else:
                self._relay_body(reply, head, upstream)
        except (BrokenError, OSError):
            # What has been sent is not the whole, and must not pass for it.
            self.runtime.abort()
            self.drop_upstream()
            raise
        self.settle(reply)
        return not (closes or reply.closes)

    def _relay_body(self, reply: Response, head: bytes, upstream: Stream) -> None:
        body = body_of(reply)
        self.runtime.send(head + _taken(body, upstream.take_ahead(), upstream))
        while not body.is_complete:
            data = _taken(body, upstream.socket.recv(RECEIVE_BYTES), upstream)
            if not data and reply.body_length == UNTIL_CLOSE:
                return
            if not data:
                raise BrokenError(_BROKEN_OFF)
            self.runtime.send(data)

    def read_body(self, reply: Response, limit_bytes: int) -> "list[bytes | memoryview] | None":
        """The whole body as framed on the wire, in the pieces in which it comes; None, and nothing of it used up, where it is longer
        than the limit. Of a large one most is a view of memory that the next large one is read into.
        """
        upstream = self._connected()
        if len(upstream.ahead) == reply.body_length:
            self.buffer = NO_BUFFER
            return [upstream.take_ahead()]
        body = body_of(reply)
        ahead = _taken(body, upstream.take_ahead(), upstream)
        parts: list[bytes | memoryview] = [ahead] if ahead else []
        if body.unframed_bytes and LARGE_BYTES <= len(ahead) + body.unframed_bytes <= limit_bytes:
            parts = [self._read_unframed(body, ahead)]
        else:
            self.buffer = NO_BUFFER
        length = sum(map(len, parts))
        while not body.is_complete:
            if length > limit_bytes + FRAMING_BYTES:
                self.unread(b"".join(parts))
                return None
            # No larger than what will come: memory that was not there before is what takes the time.
            expected = max(RECEIVE_BYTES, min(body.expected_bytes, EVENT_RECEIVE_BYTES))
            data = _taken(body, upstream.socket.recv(expected), upstream)
            if not data:
                raise BrokenError(_BROKEN_OFF)
            parts.append(data)
            length += len(data)
        return parts

    def _read_unframed(self, body: "LengthBody | ChunkedBody", ahead: bytes) -> memoryview:
        """`ahead` and what comes behind it up to the next thing to look at, in memory that may have been there before."""
        position, end = len(ahead), len(ahead) + body.unframed_bytes
        if not end <= len(self.buffer) <= _LARGER_AT_MOST * end:
            self.buffer = bytearray(end)
        view = memoryview(self.buffer)[:end]
        view[:position] = ahead
        socket = self._connected().socket
        while position < end:
            received = socket.recv_into(view[position : position + EVENT_RECEIVE_BYTES])
            if not received:
                raise BrokenError(_BROKEN_OFF)
            body.pass_over(received)
            position += received
        return view

    def unread(self, received: bytes) -> None:
        """Put back what has been read of a reply's body."""
        upstream = self._connected()
        upstream.ahead = received + upstream.take_ahead()

    def settle(self, reply: Response) -> None:
        """A reply has been read to its end: keep its connection, unless upstream ends it or sent more than the reply."""
        upstream = self._connected()
        if reply.closes or upstream.ahead:
            self.drop_upstream()
        else:
            upstream.is_reused = True

    def linger(self) -> None:
        """Give a runtime that is still sending the time to read its answer: a close at once would reset it away."""
        socket = self.runtime.socket
        try:
            socket.shutdown(_socket.SHUT_WR)
            end = monotonic() + LINGER_S
            while (left := end - monotonic()) > 0:
                socket.settimeout(left)
                if not socket.recv(RECEIVE_BYTES):
                    return
        except OSError:
            return

    def use(self, upstream: Stream) -> None:
        """Go on with an upstream connection taken over from a parked poll."""
        if self.upstream is not None:
            self._connections.give_back(self.upstream)
        self.upstream = upstream

    def start_poll(self, request: Request, body: bytes) -> Stream:
        """Send a poll; the connection that its reply comes on, which outlives this relay."""
        upstream = self._upstream_for_request()
        self.upstream = None
        _is_taken(upstream, request.forwarded + body)  # if not, reading the reply says why
        return upstream

    def drop_upstream(self) -> None:
        """Close the upstream connection: something was left unfinished on it."""
        if self.upstream is not None:
            self.upstream.close()
            self.upstream = None

    def _upstream_for_request(self) -> Stream:
        if self.upstream is not None:
            if self._connections.is_usable(self.upstream):
                return self.upstream
            self.drop_upstream()
        self.upstream = self._connections.take_idle() or self._connect()
        return self.upstream

    def _connect(self) -> Stream:
        try:
            return self._connections.connect()
        except OSError as error:
            raise UnreachableError(f"the Runtime API does not answer: {error}") from error

    def _connected(self) -> Stream:
        if self.upstream is None:
            raise BrokenError("there is no connection to the Runtime API")
        return self.upstream


def final_head(reply: Response, *, closes: bool) -> bytes:
    """The reply's head for the runtime, which is told where our side ends the connection."""
    if closes and not reply.closes:
        return reply.forwarded[:-2] + b"Connection: close\r\n\r\n"
    return reply.forwarded


def _taken(body: "LengthBody | ChunkedBody", data: bytes, upstream: Stream) -> bytes:
    """Of what upstream sent, the part that belongs to this reply."""
    try:
        used = body.take(data)
    except ProtocolError as error:
        raise BrokenError(f"the Runtime API's reply: {error}") from error
    if used < len(data):
        upstream.ahead = data[used:]
        return data[:used]
    return data


def _is_taken(upstream: Stream, data: bytes) -> bool:
    """Send it; False where upstream has gone."""
    try:
        upstream.send(data)
    except OSError:
        return False  # upstream has gone; what it said last can still be read
    return True


def _send_some(upstream: Stream, data: memoryview) -> int:
    try:
        return upstream.socket.send(data, _socket.MSG_DONTWAIT)
    except OSError:
        return 0  # its buffer is full; or it has gone, which is what `poll` says next
