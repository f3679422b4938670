"""One runtime connection and the upstream connection behind it: a request one way, its reply the other, as they come."""

import _socket
import select
from time import monotonic, monotonic_ns

from lrap_otel.proxy.http1 import UNTIL_CLOSE, ChunkedBody, LengthBody, ProtocolError, Request, Response, body_of
from lrap_otel.proxy.stream import RECEIVE_BYTES, BrokenError, Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.proxy.capture import Capture
    from lrap_otel.proxy.upstream import Upstream

# A runtime that is still sending when its answer has come gets this long to read the answer before the connection goes.
LINGER_S = 1.0
# What chunk lines may add to a body that is within its limit.
FRAMING_BYTES = 262_144


class UnreachableError(Exception):
    """Nobody answers at the Runtime API's address."""


class Relay:
    """Moves messages between `runtime` and `upstream`, which is None until the first request needs it.

    `head_sent_ns` (monotonic): when the last request's head had gone.
    """

    __slots__ = ("_connections", "head_sent_ns", "runtime", "upstream")

    def __init__(self, runtime: Stream, connections: "Upstream") -> None:
        self.runtime = runtime
        self.upstream: Stream | None = None
        self.head_sent_ns = 0
        self._connections = connections

    def close(self) -> None:
        """The runtime's connection ends; one upstream on which nothing is under way serves the next."""
        self.runtime.close()
        if self.upstream is not None:
            self._connections.give_back(self.upstream)

    def send_request(self, request: Request, capture: "Capture | None") -> Response | None:
        """Send a request upstream, its body as it arrives. What upstream answers before the body's end is returned.

        `ProtocolError` if the body is malformed and `BrokenError` if the runtime breaks off: upstream then sees it truncated.
        """
        upstream = self._upstream_for_request()
        body = body_of(request)
        try:
            ahead = b"" if body.is_complete else self.runtime.take_ahead()
            data = self._take(body, ahead, capture)
            upstream.send(request.forwarded + data)
            self.head_sent_ns = monotonic_ns()
            return None if body.is_complete else self._pump(body, capture)
        except (ProtocolError, BrokenError):
            self.drop_upstream()
            raise
        except OSError as error:
            self.drop_upstream()
            raise BrokenError(str(error)) from error

    def _take(self, body: "LengthBody | ChunkedBody", data: bytes, capture: "Capture | None") -> bytes:
        """Of what the runtime sent, the part that belongs to this body; the rest is the next request's."""
        used = body.take(data)
        if used < len(data):
            self.runtime.put_back(data[used:])
            data = data[:used]
        if capture is not None and data:
            capture.add(data)
        return data

    def _pump(self, body: "LengthBody | ChunkedBody", capture: "Capture | None") -> Response | None:
        """Send the rest of a body, no faster than upstream takes it, until its end or upstream's early answer."""
        upstream = self._connected()
        poll = select.poll()
        poll.register(upstream.socket, select.POLLIN)
        poll.register(self.runtime.socket, select.POLLIN)
        from_runtime = self.runtime.socket.fileno()
        pending = memoryview(b"")
        while pending or not body.is_complete:
            events = dict(poll.poll())
            if events.get(upstream.socket.fileno(), 0) & ~select.POLLOUT:
                early = self._early_answer(upstream)
                if early is not None:
                    return early
            elif pending:
                pending = pending[_send_some(upstream, pending) :]
            elif from_runtime in events:
                data = self.runtime.socket.recv(RECEIVE_BYTES)
                if not data:
                    raise BrokenError("the runtime broke off its body")
                pending = memoryview(self._take(body, data, capture))
                pending = pending[_send_some(upstream, pending) :]
            poll.modify(upstream.socket, select.POLLIN | (select.POLLOUT if pending else 0))
            poll.modify(self.runtime.socket, 0 if pending else select.POLLIN)
        return None

    def _early_answer(self, upstream: Stream) -> Response | None:
        reply = _parsed(upstream.read_head(), b"POST")
        if reply.status >= 200:
            return reply
        self._relay_interim(reply)
        return None

    def _relay_interim(self, reply: Response) -> None:
        if reply.status == 101:
            raise BrokenError("the Runtime API switched protocols unasked")
        self.runtime.send(reply.forwarded)

    def read_reply(self, request: Request) -> Response:
        """The head of the final reply; interim ones are passed on."""
        raw = self._first_reply_head(request)
        while (reply := _parsed(raw, request.method)).status < 200:
            self._relay_interim(reply)
            raw = self._connected().read_head()
        return reply

    def _first_reply_head(self, request: Request) -> bytes:
        """A GET is sent once more where upstream closed a reused connection before it answered a byte; nothing else is."""
        upstream = self._connected()
        try:
            raw = upstream.read_head()
        except ConnectionResetError:
            raw = b""
        except ProtocolError as error:
            raise BrokenError(str(error)) from error
        if raw or request.method != b"GET" or not upstream.is_reused:
            return raw
        upstream.close()
        self.upstream = self._connect()
        self.upstream.send(request.forwarded)
        return self.upstream.read_head()

    def relay_reply(self, reply: Response, request: Request) -> bool:
        """Pass a reply on, its body as it comes. True where the connection goes on."""
        upstream = self._connected()
        body = body_of(reply)
        goes_on = not (request.closes or reply.closes)
        try:
            data = _taken(body, upstream.take_ahead(), upstream)
            self.runtime.send(final_head(reply, request) + data)
            while not body.is_complete:
                data = _taken(body, upstream.socket.recv(RECEIVE_BYTES), upstream)
                if not data and reply.body_length == UNTIL_CLOSE:
                    break
                if not data:
                    raise BrokenError("the Runtime API broke off its reply")
                self.runtime.send(data)
        except (BrokenError, OSError):
            # What has been sent is not the whole, and must not pass for it.
            self.runtime.abort()
            self.drop_upstream()
            raise
        self.settle(reply)
        return goes_on

    def read_body(self, reply: Response, limit_bytes: int) -> bytes | None:
        """The whole body as framed on the wire; None, and nothing of it used up, where it is longer than the limit."""
        upstream = self._connected()
        body = body_of(reply)
        parts = [_taken(body, upstream.take_ahead(), upstream)]
        length = len(parts[0])
        while not body.is_complete:
            if length > limit_bytes + FRAMING_BYTES:
                upstream.put_back(b"".join(parts))
                return None
            data = _taken(body, upstream.socket.recv(RECEIVE_BYTES), upstream)
            if not data:
                raise BrokenError("the Runtime API broke off its reply")
            parts.append(data)
            length += len(data)
        return b"".join(parts)

    def settle(self, reply: Response) -> None:
        """A reply has been read to its end: keep its connection, unless upstream ends it or sent more than the reply."""
        upstream = self._connected()
        if reply.closes or upstream.has_ahead():
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

    def release_upstream(self) -> Stream:
        """Hand the upstream connection over, with what is under way on it."""
        upstream = self._connected()
        self.upstream = None
        return upstream

    def drop_upstream(self) -> None:
        """Close the upstream connection: something was left unfinished on it."""
        if self.upstream is not None:
            self.upstream.close()
            self.upstream = None

    def _upstream_for_request(self) -> Stream:
        if self.upstream is not None and not self.upstream.is_quiet():
            self.drop_upstream()
        if self.upstream is None:
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


def final_head(reply: Response, request: Request) -> bytes:
    """The reply's head for this runtime, which is told where its own wish ends the connection."""
    if request.closes and not reply.closes:
        return reply.forwarded[:-2] + b"Connection: close\r\n\r\n"
    return reply.forwarded


def _parsed(raw: bytes, method: bytes) -> Response:
    if not raw:
        raise BrokenError("the Runtime API closed the connection without an answer")
    try:
        return Response(raw, method)
    except ProtocolError as error:
        raise BrokenError(f"the Runtime API's reply: {error}") from error


def _taken(body: "LengthBody | ChunkedBody", data: bytes, upstream: Stream) -> bytes:
    """Of what upstream sent, the part that belongs to this reply."""
    try:
        used = body.take(data)
    except ProtocolError as error:
        raise BrokenError(f"the Runtime API's reply: {error}") from error
    if used < len(data):
        upstream.put_back(data[used:])
        return data[:used]
    return data


def _send_some(upstream: Stream, data: memoryview) -> int:
    try:
        return upstream.socket.send(data, _socket.MSG_DONTWAIT)
    except BlockingIOError:
        return 0
