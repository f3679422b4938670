"""What each call of a runtime means, and the order in which its bytes travel.

One `Exchange` serves one runtime connection in one thread, which blocks wherever it has to wait.
"""

from time import monotonic_ns, time_ns

from lrap_otel.handshake import ANSWER, Hello
from lrap_otel.http1.errors import CLIENT, DisconnectedError, RemoteProtocolError
from lrap_otel.http1.stream import RECEIVE_BYTES, Stream
from lrap_otel.ipc import records
from lrap_otel.proxy.calls import HELLO, INIT_ERROR, POLL, RESTORE, RESULT, ParsedCall
from lrap_otel.proxy.capture import Capture
from lrap_otel.proxy.polls import Event
from lrap_otel.proxy.recorder import HEAD_CAPTURE_BYTES
from lrap_otel.proxy.relay import Relay, UnansweredError, UnreachableError, final_head
from lrap_otel.proxy.replies import ParsedReply
from lrap_otel.sandbox.invocations import Invocation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.proxy.head_templates import Call, Reply
    from lrap_otel.proxy.polls import Poll
    from lrap_otel.proxy.shared_state import SharedState

# Nobody sends a body with a poll, so nobody needs more.
POLL_BODY_LIMIT_BYTES = 65_536

_OWN_REPLY = (
    b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    b"Connection: close\r\n\r\n%s"
)
_REASONS = {
    400: b"Bad Request",
    413: b"Content Too Large",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
    502: b"Bad Gateway",
}


class Exchange:
    """The calls of one runtime connection, one after the other.

    Whatever is not needed to pass a message on is called through the `Recorder`.
    """

    __slots__ = (
        "_announced_close",
        "_capture",
        "_heads",
        "_recorder",
        "_relay",
        "_runtime",
        "_shared",
    )

    def __init__(self, runtime: "Stream", shared: "SharedState") -> None:
        self._runtime = runtime
        self._shared = shared
        self._recorder = shared.recorder
        self._relay = Relay(runtime, shared)
        self._heads = shared.heads
        self._capture = Capture()
        self._announced_close = False

    def serve(self) -> None:
        """Serve until either side ends the connection."""
        try:
            while self._serve_call():
                pass
            self._relay.release()
        except (RemoteProtocolError, DisconnectedError, OSError):
            pass  # who went away knows it; the other side learns it from the closing below
        finally:
            self._relay.close()
            self._recorder.observe(
                self._shared.invocations.connection_ended, self, self._announced_close
            )

    def _serve_call(self) -> bool:
        """Serve one call; False when it was the last on this connection."""
        runtime = self._runtime
        try:
            data = runtime.buffered or runtime.socket.recv(
                RECEIVE_BYTES
            )  # a snapshot may be taken here, and restored
            poll = self._heads.poll
            if poll is not None and poll.raw == data:
                runtime.buffered = b""
                self._announced_close = False
                return self._deliver_event(poll)
            call = self._relay.read_call(data)
            if call is None:
                return False
            self._announced_close = call.closes
            if call.kind == POLL:
                return self._deliver_event(call)
            return self._forward_result(call) if call.request_id else self._forward_other(call)
        except RemoteProtocolError as error:
            if error.peer != CLIENT:
                raise
            return self._refuse(error.status, "InvalidRequest", str(error))
        except UnreachableError as error:
            return self._refuse(502, "RuntimeApiUnreachable", str(error))

    def _forward_other(self, call: "Call") -> bool:
        if call.kind == RESTORE:
            return self._restore(call)
        if call.kind == HELLO:
            return self._say_hello(call)
        if call.kind == INIT_ERROR:
            return self._forward_init_error(call)
        return self._relay.forward(call, None)

    def _deliver_event(self, call: "Call") -> bool:
        """``/next``: from the poll to the event in the runtime's hands, and only then to our own
        record of it.
        """
        shared, recorder, runtime, relay = self._shared, self._recorder, self._runtime, self._relay
        if not shared.is_managed_instances:
            recorder.runtime_polls_again()
        body = self._read_poll_body(call) if call.body_length else b""
        polls, invocations = shared.polls, shared.invocations
        held = polls.waiting[
            runtime
        ] = []  # until the invocation is open, so that no INVOKE finds neither
        try:
            if invocations.observer is not None:
                recorder.observe(invocations.notify_observer)
            while True:
                try:
                    poll = self._wait_for_answer(call, body, held)
                    if poll is None:
                        return False
                    if isinstance(poll, Event):
                        return self._send_event(poll, call.closes)
                    reply = relay.read_reply(b"GET")
                except UnansweredError:
                    continue
                event = relay.read_event(reply)
                if event is None:
                    return relay.relay_reply(reply, closes=call.closes)
                return self._send_event(event, call.closes)
        finally:
            polls.leave(runtime, held)
            if invocations.condition.is_awaited or invocations.observer is not None:
                recorder.notify()

    def _wait_for_answer(self, call: "Call", body: bytes, held: "list[Poll]") -> "Poll | None":
        """Wait for a poll of this runtime, or of another that has gone; None if this one goes
        itself.

        The relay then goes on with the connection that the answer comes on.
        """
        polls, relay = self._shared.polls, self._relay
        while True:
            is_simple = not (held or polls.parked or polls.has_surplus or len(polls.waiting) > 1)
            if is_simple or not polls.take_over(held, is_new=relay.upstream is None):
                answered = relay.start_poll(call, body, held)
                if answered is not None:
                    return answered
                if not held:
                    return None
            poll = polls.wait(self._runtime)
            if isinstance(poll, Stream):
                relay.use(poll)
            if poll is not None or self._runtime.is_gone():
                return poll

    def _read_poll_body(self, call: "Call") -> bytes:
        """The whole body of a poll, so that upstream cannot answer in the middle of it."""
        pieces = self._runtime.read_body(call, POLL_BODY_LIMIT_BYTES)
        body = b"".join(pieces or ())
        if pieces is None or len(body) > POLL_BODY_LIMIT_BYTES:
            raise RemoteProtocolError(CLIENT, "a poll with a body this long", status=413)
        return body

    def _send_event(self, event: Event, closes: bool) -> bool:
        """`closes`: the runtime has announced that its connection ends."""
        received_ns = monotonic_ns()
        runtime, recorder, shared = self._runtime, self._recorder, self._shared
        tracer = shared.tracer
        if tracer is None or recorder.prepare(tracer, event, time_ns(), closes) is None:
            self._leave_untraced(event, closes)
        if runtime.is_gone():
            shared.polls.park(event)
            return False
        invocation = event.invocation
        if invocation is not None:
            recorder.open(invocation, self, received_ns)
        try:
            runtime.send_all(event.parts)
        finally:
            # a runtime that went away in the middle has had its event, as far as Lambda is
            # concerned
            if invocation is not None:
                recorder.delivered(invocation, event, monotonic_ns() - received_ns)
        if event.scanned is not None or not event.head.is_recognised:
            recorder.observe(self._learn, event)
        if len(event.parts) > 1:  # a large one must not stay until the next
            event.body = event.parts = ()
            event.payload = b""
        return not (closes or event.head.closes)

    def _leave_untraced(self, event: Event, closes: bool) -> None:
        """The event as it came: telemetry is off or its code has failed."""
        event.parts = final_head(event.head, closes=closes), *event.body
        event.invocation = event.scanned = None
        event.delivered_ns, event.is_redelivery = 0, False
        if self._shared.tracer is not None:
            # It came through us all the same: what waits for its result, or wonders where it is,
            # has to know.
            event.invocation = self._recorder.observe(_without_context, event.head)

    def _learn(self, event: Event) -> None:
        """After an event has been delivered: what makes the next like it quicker to read."""
        if isinstance(event.head, ParsedReply):
            self._shared.heads.events.learn(event.head)
        if event.scanned is not None and self._shared.tracer is not None:
            self._shared.tracer.learn(event, event.scanned)

    def _forward_result(self, call: "Call") -> bool:
        """``/response`` and ``/error``: the result goes on as it comes, and then the
        record of it.
        """
        recorder, shared = self._recorder, self._shared
        invocation = recorder.attempt(shared.invocations.find, call.request_id, call.invocation_id)
        if invocation is None:
            return self._relay.forward(call, None)
        capture = self._capture
        capture.reset()
        is_refused = False
        try:
            return self._relay.forward(call, capture)
        except (RemoteProtocolError, UnreachableError) as error:
            # By us: another result of this invocation, or its error, may still come.
            is_refused = isinstance(error, UnreachableError) or error.peer == CLIENT
            raise
        finally:
            recorder.finished(invocation, call, capture, is_refused, self)
            if call.kind == RESULT and isinstance(call, ParsedCall):
                recorder.observe(self._heads.results.learn, call)

    def _forward_init_error(self, call: "Call") -> bool:
        capture = Capture()
        try:
            return self._relay.forward(call, capture)
        finally:
            self._recorder.observe(self._offer_init_error, call, capture)

    def _offer_init_error(self, call: "Call", capture: Capture) -> None:
        head = call.raw[:HEAD_CAPTURE_BYTES]
        self._recorder.offer(records.init_error(time_ns(), len(head)), head, bytes(capture.first))

    def _restore(self, call: "Call") -> bool:
        """``/restore/next``: answered when this sandbox is a copy made from a snapshot."""
        return self._relay.forward(call, None, self._take_restore)

    def _take_restore(self, reply: "Reply") -> None:
        """Before the runtime knows: its next call needs a connection that leads somewhere."""
        if reply.status == 200:
            self._shared.upstream.snapshot_generation += 1
            self._recorder.observe(self._offer_restored)

    def _offer_restored(self) -> None:
        self._recorder.offer(records.restored(time_ns()))

    def _say_hello(self, call: "Call") -> bool:
        """Answer the wrapper, and take over what Lambda tells only runtimes, and the process that
        becomes the runtime.
        """
        self._recorder.observe(self._take_hand_over, call)
        self._runtime.send(ANSWER)
        return False

    def _take_hand_over(self, call: "Call") -> None:
        self._shared.meet_runtime(Hello(call.raw))

    def _refuse(self, status: int, error_type: str, text: str) -> bool:
        """Answer in the Runtime API's place, and end the connection, which says nothing about the
        runtime.
        """
        self._announced_close = True
        body = b'{"errorMessage":"lrap-otel: %s","errorType":"%s"}' % (
            _json_text(text),
            error_type.encode(),
        )
        self._runtime.send(_OWN_REPLY % (status, _REASONS[status], len(body), body))
        self._relay.linger()
        return False


def _without_context(head: "Reply") -> Invocation:
    return Invocation(*head.invocation())


def _json_text(text: str) -> bytes:
    return text.replace("\\", "\\\\").replace('"', '\\"').encode("ascii", "replace")
