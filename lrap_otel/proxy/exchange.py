"""What each call of a runtime means, and the order in which its bytes travel.

One `Exchange` serves one runtime connection in one thread, which blocks wherever it has to wait.
"""

from time import monotonic_ns, time_ns

from lrap_otel.handshake import ANSWER, Hello
from lrap_otel.http1.messages import (
    CHUNKED,
    UNTIL_CLOSE,
    ProtocolError,
    Request,
    Response,
    body_of,
    dechunk,
    parse_request,
)
from lrap_otel.http1.stream import RECEIVE_BYTES, BrokenError, Stream
from lrap_otel.ipc import records
from lrap_otel.proxy.capture import Capture
from lrap_otel.proxy.delivery import Delivery
from lrap_otel.proxy.polls import Event, Poll
from lrap_otel.proxy.relay import NO_BUFFER, Relay, UnansweredError, UnreachableError, final_head
from lrap_otel.sandbox.invocations import Invocation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.proxy.relay import Taker
    from lrap_otel.proxy.shared_state import SharedState

NEXT = b"/2018-06-01/runtime/invocation/next"
INVOCATION = b"/2018-06-01/runtime/invocation/"
INIT_ERROR = b"/2018-06-01/runtime/init/error"
RESTORE_NEXT = b"/2018-06-01/runtime/restore/next"
HELLO = b"/lrap-otel/hello"

# The largest event Lambda delivers. A longer reply is none that we know, and streams through.
EVENT_LIMIT_BYTES = 6 * 1024 * 1024 + 100
# Nobody sends a body with a poll, so nobody needs more.
POLL_BODY_LIMIT_BYTES = 65_536
# Of a request head, for the telemetry process: enough for all but the 1 MiB that X-Ray's error cause may have.
HEAD_CAPTURE_BYTES = 16_384

_OWN_REPLY = b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
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

    __slots__ = ("_announced_close", "_recorder", "_relay", "_runtime", "_sandbox")

    def __init__(self, runtime: Stream, sandbox: "SharedState") -> None:
        self._runtime = runtime
        self._sandbox = sandbox
        self._recorder = sandbox.recorder
        self._relay = Relay(runtime, sandbox.upstream)
        self._announced_close = False

    def serve(self) -> None:
        """Serve until either side ends the connection."""
        try:
            while self._serve_call():
                pass
            self._relay.give_back()
        except (BrokenError, OSError):
            pass  # who went away knows it; the other side learns it from the closing below
        finally:
            self._relay.close()
            self._recorder.observe(self._sandbox.invocations.connection_ended, self, self._announced_close)

    def _serve_call(self) -> bool:
        """Serve one call; False when it was the last on this connection."""
        try:
            return self._take_call()
        except ProtocolError as refused:
            return self._refuse(refused.status, "InvalidRequest", str(refused))
        except UnreachableError as error:
            return self._refuse(502, "RuntimeApiUnreachable", str(error))

    def _take_call(self) -> bool:
        head = self._runtime.read_head()
        if not head:
            return False
        request = parse_request(head)
        self._announced_close = request.closes
        return self._route(request)

    def _route(self, request: Request) -> bool:
        path = request.path
        if request.method == b"GET":
            if path == NEXT:
                return self._deliver_event(request)
            if path == RESTORE_NEXT:
                return self._restore(request)
            if path == HELLO:
                return self._say_hello(request)
        elif request.method == b"POST":
            if path.startswith(INVOCATION):
                request_id, _, endpoint = path[len(INVOCATION) :].partition(b"/")
                if endpoint in {b"response", b"error"}:
                    return self._forward_result(request, request_id.decode("latin-1"), endpoint.decode())
            if path == INIT_ERROR:
                return self._forward_init_error(request)
        return self._forward(request, None)

    def _deliver_event(self, request: Request) -> bool:
        """``/next``: from the poll to the event in the runtime's hands, and only then to our own record of it."""
        sandbox = self._sandbox
        if not sandbox.is_managed_instances:
            self._recorder.runtime_polls_again()
        body = self._gather_body(request) if request.body_length else b""
        polls = sandbox.polls
        polls.enter(self._runtime)  # until the invocation is open, so that no INVOKE finds neither
        try:
            if sandbox.invocations.bystander is not None:
                self._recorder.observe(sandbox.invocations.tell_bystander)
            return self._answer_poll(request, body)
        finally:
            polls.leave(self._runtime)
            self._recorder.notify()

    def _answer_poll(self, request: Request, body: bytes) -> bool:
        while True:
            try:
                poll = self._wait_for_answer(request, body)
                if poll is None:
                    return False
                if isinstance(poll.source, Event):
                    return self._send_event(poll.source, request)
                self._relay.use(poll.source)
                reply = self._relay.read_reply(request)
            except UnansweredError:
                continue
            event = self._receive_event(reply)
            if event is None:
                return self._relay.relay_reply(reply, closes=request.closes)
            self._relay.settle(reply)
            return self._send_event(event, request)

    def _wait_for_answer(self, request: Request, body: bytes) -> Poll | None:
        """Wait for a poll of this runtime, or of another that has gone; None where this one goes itself."""
        polls = self._sandbox.polls
        while True:
            if not polls.take_over(self._runtime):
                if self._runtime.is_gone():
                    return None  # a poll made for nobody would be one too many
                polls.hold(self._runtime, Poll(self._relay.start_poll(request, body)))
            poll = polls.wait(self._runtime)
            if poll is not None or self._runtime.is_gone():
                return poll

    def _gather_body(self, request: Request) -> bytes:
        """The whole body of a poll, so that upstream cannot answer in the middle of it."""
        framing, body = body_of(request), bytearray()
        while not framing.is_complete:
            data = self._runtime.take_ahead() or self._runtime.socket.recv(RECEIVE_BYTES)
            if not data:
                raise BrokenError("the runtime broke off its body")
            used = framing.take(data)
            body += data[:used]
            if len(body) > POLL_BODY_LIMIT_BYTES:
                raise ProtocolError("a poll with a body this long", status=413)
            self._runtime.ahead = data[used:]
        return bytes(body)

    def _receive_event(self, reply: Response) -> Event | None:
        """The whole reply; None where it streams through as it is, with nothing of its body used up."""
        if reply.status != 200 or reply.body_length == UNTIL_CLOSE or reply.body_length > EVENT_LIMIT_BYTES:
            return None
        received = self._relay.read_body(reply, EVENT_LIMIT_BYTES)
        if received is None:
            return None
        if reply.body_length == CHUNKED:
            payload = dechunk(received)
        else:
            payload = received[0] if len(received) == 1 else b"".join(received)
        if len(payload) > EVENT_LIMIT_BYTES:
            self._relay.unread(b"".join(received))
            return None
        return Event(reply, received, payload)

    def _send_event(self, event: Event, request: Request) -> bool:
        received_ns = monotonic_ns()
        delivery = self._prepare(event, request)
        if self._runtime.is_gone():
            self._sandbox.polls.park(Poll(event))
            return False
        invocation = delivery.invocation
        if invocation is not None:
            self._recorder.open(invocation, self, received_ns)
        try:
            self._runtime.send_all(delivery.parts)
        finally:  # a runtime that went away in the middle has had its event, as far as Lambda is concerned
            if invocation is not None:
                overhead_ns = monotonic_ns() - received_ns
                self._recorder.delivered(
                    invocation,
                    delivery.delivered_ns,
                    overhead_ns,
                    event.head.raw,
                    event.payload,
                    delivery.is_redelivery,
                )
            if self._sandbox.is_managed_instances:
                self._relay.buffer = NO_BUFFER  # one for each of many workers would be too much to keep
        return not (request.closes or event.head.closes)

    def _prepare(self, event: Event, request: Request) -> Delivery:
        """The event with its context; as it came where telemetry is off or its code fails."""
        tracer = self._sandbox.tracer
        if tracer is None:
            return Delivery((final_head(event.head, closes=request.closes), *event.body))
        delivery = self._recorder.observe(tracer.prepare, event, time_ns(), request.closes)
        if delivery is None:
            delivery = Delivery((final_head(event.head, closes=request.closes), *event.body))
            # It came through us all the same: what waits for its result, or wonders where it is, has to know.
            delivery.invocation = self._recorder.observe(_untraced, event.head)
        return delivery

    def _forward_result(self, request: Request, request_id: str, endpoint: str) -> bool:
        """``/response`` and ``/error``: the result goes on as it comes, and then the record of it."""
        invocation_id = request.fields.get(b"lambda-runtime-invocation-id", b"").decode("latin-1")
        invocation = self._recorder.attempt(self._sandbox.invocations.find, request_id, invocation_id)
        if invocation is None:
            return self._forward(request, None)
        capture = Capture()
        is_refused = False
        try:
            return self._forward(request, capture)
        except (ProtocolError, UnreachableError):
            is_refused = True  # by us: another result of this invocation, or its error, may still come
            raise
        finally:
            head = request.raw[:HEAD_CAPTURE_BYTES]
            self._recorder.observe(self._recorder.finished, invocation, endpoint, head, capture, is_refused)
            if not is_refused:
                self._recorder.finish(invocation, self)

    def _forward_init_error(self, request: Request) -> bool:
        capture = Capture()
        try:
            return self._forward(request, capture)
        finally:
            self._recorder.observe(self._offer_init_error, request, capture)

    def _offer_init_error(self, request: Request, capture: Capture) -> None:
        head = request.raw[:HEAD_CAPTURE_BYTES]
        self._recorder.offer(records.init_error(time_ns(), len(head)), head, bytes(capture.first))

    def _restore(self, request: Request) -> bool:
        """``/restore/next``: answered when this sandbox is a copy made from a snapshot."""
        is_early, reply = self._call(request, None)
        if reply.status == 200:
            # Before the runtime knows: its next call needs a connection that leads somewhere.
            self._sandbox.upstream.restores += 1
            self._recorder.observe(self._offer_restored)
        return self._pass_on(reply, request, is_early=is_early)

    def _offer_restored(self) -> None:
        self._recorder.offer(records.restored(time_ns()))

    def _say_hello(self, request: Request) -> bool:
        """Answer the wrapper, and take over what Lambda tells only runtimes, and the process that becomes the runtime."""
        self._recorder.observe(self._take_hand_over, request)
        self._runtime.send(ANSWER)
        return False

    def _take_hand_over(self, request: Request) -> None:
        self._sandbox.meet_runtime(Hello(request.raw))

    def _forward(self, request: Request, capture: Capture | None) -> bool:
        """Pass a call on and its reply back. True where the connection goes on."""
        began_ns = monotonic_ns()
        is_early, reply = self._call(request, capture)
        replied_ns = monotonic_ns()
        goes_on = self._pass_on(reply, request, is_early=is_early)
        if capture is not None:
            capture.status = reply.status
            capture.overhead_ns = self._relay.head_sent_ns - began_ns + monotonic_ns() - replied_ns
        return goes_on

    def _call(self, request: Request, capture: Capture | None) -> tuple[bool, Response]:
        """The reply's head, and whether it came before the request's body had gone."""
        try:
            early = self._relay.send_request(request, self._taker(capture))
            return early is not None, early or self._relay.read_reply(request)
        except UnansweredError:
            if request.method != b"GET" or request.body_length:
                raise
        self._relay.resend(request)
        return False, self._relay.read_reply(request)

    def _taker(self, capture: Capture | None) -> "Taker | None":
        """What is given each part of a body before it goes on."""
        return None if capture is None else lambda data: self._recorder.observe(capture.add, data)

    def _pass_on(self, reply: Response, request: Request, *, is_early: bool) -> bool:
        goes_on = self._relay.relay_reply(reply, closes=request.closes or is_early)
        if is_early:
            self._relay.drop_upstream()
            self._relay.linger()
        return goes_on

    def _refuse(self, status: int, error_type: str, text: str) -> bool:
        """Answer in the Runtime API's place, and end the connection, which says nothing about the runtime."""
        self._announced_close = True
        body = b'{"errorMessage":"lrap-otel: %s","errorType":"%s"}' % (_json_text(text), error_type.encode())
        self._runtime.send(_OWN_REPLY % (status, _REASONS[status], len(body), body))
        self._relay.linger()
        return False


def _untraced(head: Response) -> Invocation:
    """An invocation that has no context."""
    request_id, invocation_id, deadline = head.invocation()
    return Invocation(request_id, invocation_id, int(deadline) if deadline.isdecimal() and len(deadline) < 20 else 0)


def _json_text(text: str) -> bytes:
    return text.replace("\\", "\\\\").replace('"', '\\"').encode("ascii", "replace")
