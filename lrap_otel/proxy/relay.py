"""One runtime connection and its connection to the Runtime API: a request one way, its reply the
other, as they come.
"""

import _socket
import select
from time import monotonic, monotonic_ns

from lrap_otel.http1.bodies import body_of, dechunk
from lrap_otel.http1.errors import (
    CLIENT,
    SERVER,
    DisconnectedError,
    LocalProtocolError,
    RemoteProtocolError,
)
from lrap_otel.http1.heads import CHUNKED, UNTIL_CLOSE
from lrap_otel.http1.stream import RECEIVE_BYTES, ReusedMemory
from lrap_otel.proxy.calls import ParsedCall
from lrap_otel.proxy.head_templates import RecognisedHead
from lrap_otel.proxy.polls import Event
from lrap_otel.proxy.replies import ParsedReply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lrap_otel.http1.bodies import Body
    from lrap_otel.http1.stream import Stream
    from lrap_otel.proxy.capture import Capture
    from lrap_otel.proxy.head_templates import Call, Reply
    from lrap_otel.proxy.polls import Poll
    from lrap_otel.proxy.shared_state import SharedState

# A runtime that is still sending when its answer has come gets this long to read the answer before
# the connection goes.
LINGER_S = 1.0
# Of a body that streams: what has come meanwhile, up to this. Four times as much as elsewhere
# streams a sixth faster.
PUMP_BYTES = 262_144
# The largest event Lambda delivers. A longer reply is none that we know, and streams through.
EVENT_LIMIT_BYTES = 6 * 1024 * 1024 + 100


class UnreachableError(Exception):
    """Nobody answers at the Runtime API's address."""


class UnansweredError(DisconnectedError):
    """Upstream closed a reused connection before it answered a byte.

    A GET without a body may then be made again.
    """


class Relay:
    """Moves messages between `runtime` and `upstream`, which is None until the first request needs
    it.

    `memory` is for large events. `_watch` sees in one look whether the runtime has gone, upstream
    has sent something or a poll was parked; it was made for `_watched`, and says `_answered` if
    that has sent something and nothing else has happened.
    """

    __slots__ = (
        "_answered",
        "_connections",
        "_event",
        "_head_sent_ns",
        "_heads",
        "_known",
        "_parked_event",
        "_recorder",
        "_reply",
        "_result",
        "_watch",
        "_watched",
        "memory",
        "runtime",
        "upstream",
    )

    def __init__(self, runtime: "Stream", shared: "SharedState") -> None:
        self.runtime = runtime
        self.upstream: Stream | None = None
        self._head_sent_ns = 0
        # One for each of many workers would be too much to keep.
        self.memory = None if shared.is_managed_instances else ReusedMemory()
        self._connections = shared.upstream
        self._heads = heads = shared.heads
        # By the method of the request that is answered.
        self._known = {b"GET": heads.events, b"POST": heads.answers}
        # The heads of this connection, each of which the next of its kind becomes.
        self._result = RecognisedHead(CLIENT)
        self._reply = RecognisedHead(SERVER)
        # Each event too; a runtime that goes, and leaves it to another, ends this relay as well.
        self._event = Event(self._reply, (), b"")
        self._watch = select.poll()
        self._watched: Stream | None = None
        self._answered: list[tuple[int, int]] = []
        self._parked_event = shared.polls.parked_event
        self._recorder = shared.recorder

    def release(self) -> None:
        """The runtime has ended in good order: the upstream connection, on which nothing is under
        way, serves the next.
        """
        if self.upstream is not None:
            self._connections.release(self.upstream)
            self.upstream = None

    def close(self) -> None:
        """Close both sides."""
        self.runtime.close()
        self.drop_upstream()

    def read_call(self, data: bytes) -> "Call | None":
        """The runtime's next call, which begins with `data` and is none that was seen before; None
        if it ended in good order.
        """
        runtime = self.runtime
        try:
            if self._heads.results.recognise(data, self._result) is not None:
                runtime.buffered = data[len(self._result.raw) :]
                return self._result
        except BaseException as error:  # noqa: BLE001 - see `Recorder`
            self._recorder.count(error)
        if not data:
            return None
        runtime.buffered = data
        call = ParsedCall(runtime.read_head())
        self._recorder.observe(self._heads.remember, call)
        return call

    def forward(
        self,
        call: "Call",
        capture: "Capture | None",
        at_reply: "Callable[[Reply], None] | None" = None,
    ) -> bool:
        """Pass a call on, its body as it arrives, and its reply back. True if the connection goes
        on.

        `RemoteProtocolError` if the body is malformed and `DisconnectedError` if the runtime breaks
        off: upstream then sees it truncated. `at_reply` is called before the reply goes on.
        """
        began_ns = monotonic_ns()
        upstream = self.upstream
        if upstream is None or not self._is_ready(upstream):
            upstream = self._upstream_for_call()
        try:
            early = reply = self._send(call, upstream, capture)
            if reply is None:
                reply = self.read_reply(call.method)
        except UnansweredError:
            if call.method != b"GET" or call.body_length:
                raise
            early, reply = None, self._call_again(call)
        replied_ns = monotonic_ns()
        if at_reply is not None:
            at_reply(reply)
        goes_on = self.relay_reply(reply, closes=call.closes or early is not None)
        if early is not None:
            self.drop_upstream()
            self.linger()
        if capture is not None:
            capture.status = reply.status
            capture.ended_ns = ended_ns = monotonic_ns()
            capture.overhead_ns = self._head_sent_ns - began_ns + ended_ns - replied_ns
            if not reply.is_recognised:
                self._recorder.observe(self._heads.answers.learn, reply)
        return goes_on

    def _send(self, call: "Call", upstream: "Stream", capture: "Capture | None") -> "Reply | None":
        """Send a call upstream. What upstream answers before the body's end is returned."""
        runtime, body, data = self.runtime, None, b""
        try:
            if call.body_length:
                data, runtime.buffered = runtime.buffered, b""
                if len(data) != call.body_length:
                    body = body_of(call)
                    data = runtime.take(body, data)
                    self._capture(capture, data)
                elif capture is not None:  # the usual call: all of it has come
                    capture.first, capture.length = data, len(data)
            try:
                upstream.socket.sendall(call.forwarded + data)
            except OSError:
                return self._early_answer()  # it has gone; what it said last can still be read
            finally:
                self._head_sent_ns = monotonic_ns()
            return None if body is None or body.is_complete else self._pump(body, capture)
        except (RemoteProtocolError, DisconnectedError):
            self.drop_upstream()
            raise
        except OSError as error:
            self.drop_upstream()
            raise DisconnectedError(SERVER, str(error)) from error

    def _call_again(self, call: "Call") -> "Reply":
        """Make a GET without a body again, on a new connection."""
        self.upstream = self._connect()
        self.upstream.send(call.forwarded)
        return self.read_reply(call.method)

    def _capture(self, capture: "Capture | None", data: bytes) -> None:
        if capture is not None and data:
            self._recorder.capture(capture, data)

    def _pump(self, body: "Body", capture: "Capture | None") -> "Reply | None":
        """Send the rest of a body, no faster than upstream takes it, until its end or upstream's
        early answer.
        """
        upstream, runtime = self._connected(), self.runtime
        poll = select.poll()
        poll.register(upstream.socket, select.POLLIN)
        poll.register(runtime.socket, select.POLLIN)
        pending = memoryview(b"")
        while pending or not body.is_complete:
            events = dict(poll.poll())
            if events.get(upstream.socket.fileno(), 0) & ~select.POLLOUT:
                early = self._early_answer()
                if early is not None:
                    return early
            elif pending:
                pending = pending[_send_some(upstream, pending) :]
                if not pending:
                    poll.modify(upstream.socket, select.POLLIN)
                    poll.register(runtime.socket, select.POLLIN)
            else:
                data = runtime.socket.recv(PUMP_BYTES)
                if not data:
                    raise runtime.broke_off()
                data = runtime.take(body, data)
                self._capture(capture, data)
                pending = memoryview(data)
                pending = pending[_send_some(upstream, pending) :]
                if pending:
                    # Not only masked: a reset would be reported all the same, over and over.
                    poll.unregister(runtime.socket)
                    poll.modify(upstream.socket, select.POLLIN | select.POLLOUT)
        return None

    def _early_answer(self) -> "Reply | None":
        """What upstream says before the body's end; None if it was interim, and has
        been passed on.
        """
        while True:
            reply = self._read_reply_head(b"POST")
            if reply.status >= 200:
                return reply
            self._relay_interim(reply)
            if not self._connected().buffered:
                return None

    def _relay_interim(self, reply: "Reply") -> None:
        if reply.status == 101:
            raise DisconnectedError(SERVER, "the Runtime API switched protocols unasked")
        try:
            self.runtime.send(reply.forwarded)
        except OSError:
            # a runtime that has gone is noticed where it matters: a poll's event must not be lost
            # for it
            return

    def read_reply(self, method: bytes) -> "Reply":
        """The head of the final reply; interim ones are passed on.

        `UnansweredError` if the call may be made again.
        """
        upstream = self.upstream or self._connected()
        try:
            data = upstream.buffered or upstream.socket.recv(RECEIVE_BYTES)
        except ConnectionResetError:
            data = b""
        known, reply = self._known.get(method), self._reply
        try:
            if known is not None and known.recognise(data, reply) is not None:
                upstream.buffered = data[len(reply.raw) :]
                return reply
        except BaseException as error:  # noqa: BLE001 - see `Recorder`
            self._recorder.count(error)
        upstream.buffered = data
        parsed = self._read_reply_head(method)
        while parsed.status < 200:
            self._relay_interim(parsed)
            parsed = self._read_reply_head(method)
        return parsed

    def _read_reply_head(self, method: bytes) -> "ParsedReply":
        upstream = self._connected()
        try:
            raw = upstream.read_head()
            if raw:
                upstream.is_reused = False  # it answers
                return ParsedReply(raw, method)
        except ConnectionResetError:
            pass
        self.drop_upstream()
        kind = UnansweredError if upstream.is_reused else DisconnectedError
        raise kind(SERVER, "the Runtime API closed the connection without an answer")

    def relay_reply(self, reply: "Reply", *, closes: bool) -> bool:
        """Pass a reply on, its body as it comes.

        `closes`: our side ends the connection. True if it goes on.
        """
        upstream = self.upstream or self._connected()
        head = final_head(reply, closes=True) if closes else reply.forwarded
        try:
            if len(upstream.buffered) == reply.body_length:
                self.runtime.socket.sendall(head + upstream.buffered)
                upstream.buffered = b""
            else:
                self._relay_body(reply, head, upstream)
        except (RemoteProtocolError, DisconnectedError, OSError):
            # What has been sent is not the whole, and must not pass for it.
            self.runtime.abort()
            self.drop_upstream()
            raise
        if reply.closes or upstream.buffered:
            self.drop_upstream()
        else:
            upstream.is_reused = True
        return not (closes or reply.closes)

    def _relay_body(self, reply: "Reply", head: bytes, upstream: "Stream") -> None:
        body = body_of(reply)
        data = upstream.receive() if upstream.buffered else b""
        self.runtime.send(head + upstream.take(body, data))
        while not body.is_complete:
            data = upstream.take(body, upstream.socket.recv(RECEIVE_BYTES))
            if not data and reply.body_length == UNTIL_CLOSE:
                return
            if not data:
                raise upstream.broke_off()
            self.runtime.send(data)

    def read_event(self, reply: "Reply") -> Event | None:
        """The whole reply; None if it streams through as it is, with nothing of its
        body used up.
        """
        length = reply.body_length
        if reply.status != 200 or length == UNTIL_CLOSE or length > EVENT_LIMIT_BYTES:
            return None
        upstream = self.upstream or self._connected()
        memory = self.memory
        received: Sequence[bytes | memoryview] | None
        if len(upstream.buffered) == length:  # the usual event: all of it has come
            payload: bytes | memoryview = upstream.buffered
            upstream.buffered = b""
            received = (payload,)
            if memory is not None and memory.is_used:
                memory.release()
        else:
            received = upstream.read_body(reply, EVENT_LIMIT_BYTES, memory)
            if received is None:
                return None
            payload = (
                dechunk(received)
                if length == CHUNKED
                else b"".join(received)
                if len(received) > 1
                else received[0]
            )
            if len(payload) > EVENT_LIMIT_BYTES:
                upstream.buffered = b"".join(received) + upstream.buffered
                return None
        if reply.closes or upstream.buffered:
            self.drop_upstream()
        else:
            upstream.is_reused = True
        event = self._event
        event.head, event.body, event.payload = reply, received, payload
        return event

    def linger(self) -> None:
        """Give a runtime that is still sending the time to read its answer: a close at once would
        reset it away.
        """
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

    def use(self, upstream: "Stream") -> None:
        """Go on with the upstream connection of a poll."""
        if self.upstream is not None:
            self._connections.release(self.upstream)
        self.upstream = upstream

    def start_poll(self, call: "Call", body: bytes, held: "list[Poll]") -> "Stream | None":
        """Send a poll, and wait, for hours if need be, until something happens.

        If that is its answer and nothing else, the connection that the answer comes on. None: the
        poll is among those `held`; or the runtime has gone, and a poll made for nobody would be one
        too many.
        """
        upstream = self.upstream
        if upstream is None or not self._is_ready(upstream):
            if self.runtime.is_gone():
                return None
            upstream = self._upstream_for_call()
        self.upstream = None  # the connection outlives this relay
        held.append(upstream)
        try:
            upstream.socket.sendall(call.forwarded + body if body else call.forwarded)
        except OSError:
            pass  # reading the reply says why
        if upstream is not self._watched:
            self._watch_both(upstream)
        if self._watch.poll() != self._answered:
            return None
        held.clear()
        self.upstream = upstream
        return upstream

    def drop_upstream(self) -> None:
        """Close the upstream connection: something was left unfinished on it."""
        if self.upstream is not None:
            self.upstream.close()
            self.upstream = None

    def _is_ready(self, upstream: "Stream") -> bool:
        """The connection is usable and, seen in the same look, the runtime has not gone."""
        if upstream is not self._watched:
            self._watch_both(upstream)
        return not (
            upstream.buffered
            or upstream.snapshot_generation != self._connections.snapshot_generation
            or self._watch.poll(0)
        )

    def _watch_both(self, upstream: "Stream") -> None:
        """Make the poll once: both connections stay the same from one call of a runtime to the
        next.
        """
        self._watch = watch = select.poll()
        watch.register(self.runtime.socket, select.POLLRDHUP)
        watch.register(upstream.socket, select.POLLIN | select.POLLRDHUP)
        watch.register(self._parked_event, select.POLLIN)
        self._watched = upstream
        self._answered = [(upstream.socket.fileno(), select.POLLIN)]

    def _upstream_for_call(self) -> "Stream":
        upstream = self.upstream
        if upstream is not None:
            if self._is_ready(upstream) or self._connections.is_usable(upstream):
                return upstream
            self.drop_upstream()
        self.upstream = self._connections.acquire() or self._connect()
        return self.upstream

    def _connect(self) -> "Stream":
        try:
            return self._connections.connect()
        except OSError as error:
            raise UnreachableError(f"the Runtime API does not answer: {error}") from error

    def _connected(self) -> "Stream":
        if self.upstream is None:
            raise LocalProtocolError("a reply without a connection to the Runtime API")
        return self.upstream


def final_head(reply: "Reply", *, closes: bool) -> bytes:
    """The reply's head for the runtime, which learns from it if our side ends the connection."""
    if closes and not reply.closes:
        return reply.forwarded[:-2] + b"Connection: close\r\n\r\n"
    return reply.forwarded


def _send_some(upstream: "Stream", data: memoryview) -> int:
    try:
        return upstream.socket.send(data, _socket.MSG_DONTWAIT)
    except OSError:
        return 0  # its buffer is full; or it has gone, which is what `poll` says next
