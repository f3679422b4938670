"""The usual calls, in as few steps as possible: the poll a runtime always makes, the event that answers it, its result.

Each message has come whole and with a head of a form that was validated before, on two connections that go on. Whatever else
comes is put back and left to `Exchange`, which reads it again. The two ways differ in what they cost, and in nothing that a
peer could see.
"""

import select
from time import monotonic_ns

from lrap_otel import records
from lrap_otel.proxy.exchange import INVOCATION, Exchange, Sandbox
from lrap_otel.proxy.http1 import CHUNKED, LAST_CHUNK, ProtocolError, chunk_size
from lrap_otel.proxy.moulds import known_reply, known_result, learn_reply, learn_result
from lrap_otel.proxy.polls import Event, Poll
from lrap_otel.proxy.relay import is_taken
from lrap_otel.proxy.stream import RECEIVE_BYTES, Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.invocations import Invocation
    from lrap_otel.proxy.http1 import Request, Response
    from lrap_otel.proxy.moulds import Result

_POST = b"POST " + INVOCATION
# A size, with no more to it.
_CHUNK_LINE_BYTES = 18


class UsualExchange(Exchange):
    """An `Exchange` that knows a short way.

    `_events` counts those that came the long way. A form is learned from the second of them, whose head is `_reply` until then: a
    sandbox that sees but one does not pay for it. `_poll` is what this runtime polls with, None until it has polled; `_answer` is
    what its last result was answered with, head and body, and `_answer_status` the status in it. `_watch` tells in one call
    whether the runtime has gone, upstream has sent something or a poll was parked; it was made for `_watched`.
    """

    __slots__ = ("_answer", "_answer_status", "_events", "_poll", "_reply", "_watch", "_watched")

    def __init__(self, runtime: Stream, sandbox: Sandbox) -> None:
        super().__init__(runtime, sandbox)
        self._events = 0
        self._reply: Response | None = None
        self._poll: Request | None = None
        self._answer = b""
        self._answer_status = 0
        self._watch = select.poll()
        self._watched: Stream | None = None

    def _take_call(self) -> bool:
        runtime, upstream, sandbox = self._runtime, self._relay.upstream, self._sandbox
        if upstream is None or runtime.ahead:
            return super()._take_call()
        data = runtime.socket.recv(RECEIVE_BYTES)  # in which a snapshot may be taken, and restored
        if upstream is not self._watched:
            self._begin_to_watch(upstream)
        if not self._watch.poll(0) and upstream.restores == sandbox.upstream.restores:
            poll = self._poll
            if poll is not None and data == poll.raw:
                if not self._may_take_over():
                    return self._poll_as_usual(poll, upstream)
            elif data.startswith(_POST):
                result = known_result(data)
                if result is not None:
                    invocation = sandbox.invocations.find(result.request_id, result.invocation_id)
                    if invocation is not None:
                        return self._forward_as_usual(invocation, result, data, upstream)
        runtime.ahead = data
        return super()._take_call()

    def _begin_to_watch(self, upstream: Stream) -> None:
        watch = select.poll()
        watch.register(self._runtime.socket, select.POLLRDHUP)
        watch.register(upstream.socket, select.POLLIN | select.POLLRDHUP)
        watch.register(self._sandbox.polls.news, select.POLLIN)
        self._watch, self._watched = watch, upstream

    def _may_take_over(self) -> bool:
        """There may be a poll for this runtime that another made: of one that has gone, or is just leaving."""
        polls = self._sandbox.polls
        # Of Managed Instances the others go on polling for themselves.
        is_alone = self._sandbox.is_managed_instances or not polls.waiting
        return bool(polls.parked) or polls.has_spares or not is_alone

    def _deliver_event(self, request: "Request") -> bool:
        if request.forwarded is request.raw and not request.closes and not request.body_length:
            self._poll = request
        return super()._deliver_event(request)

    def _answer_poll(self, request: "Request", body: bytes) -> bool:
        goes_on = super()._answer_poll(request, body)
        reply, self._reply = self._reply, None
        if reply is not None:
            self._learn(learn_reply, reply)
        return goes_on

    def _receive_event(self, reply: "Response") -> Event | None:
        event = super()._receive_event(reply)
        if event is not None:
            self._events += 1
            self._reply = reply if self._events > 1 else None
        return event

    def _forward_result(self, request: "Request", request_id: str, endpoint: str) -> bool:
        goes_on = super()._forward_result(request, request_id, endpoint)
        if endpoint == "response" and self._events > 1:
            self._learn(learn_result, request, request_id)
        return goes_on

    def _learn(self, learn: "Callable[..., None]", *what: object) -> None:
        """Only now, when the message has gone; and whatever comes of it, the function is not to notice."""
        try:
            learn(*what)
        except Exception as error:  # noqa: BLE001 - the next message takes the long way
            self._sandbox.count_failure(error)

    def _poll_as_usual(self, request: "Request", upstream: Stream) -> bool:
        """See `Exchange._deliver_event`."""
        sandbox, runtime = self._sandbox, self._runtime
        invocations, polls = sandbox.invocations, sandbox.polls
        if not sandbox.is_managed_instances:
            invocations.runtime_polls_again()
        held = polls.waiting[runtime] = [Poll(upstream)]
        try:
            if invocations.bystander is not None:
                invocations.tell_bystander()
            event = self._event_as_usual(request, upstream)
            if event is None:
                self._relay.upstream = None  # it belongs to the poll
                return self._answer_poll(request, b"")
            held.clear()
            return self._send_event(event, request)
        finally:
            polls.leave(runtime)
            invocations.notify()

    def _event_as_usual(self, request: "Request", upstream: Stream) -> Event | None:
        """The answer to a poll. None: the poll has been made, and whatever comes is still to be read."""
        try:
            upstream.socket.sendall(request.raw)
            if self._watch.poll() != [(upstream.socket.fileno(), select.POLLIN)]:
                return None
            data = upstream.socket.recv(RECEIVE_BYTES)
        except OSError:
            return None  # an end, which is there for the next who reads as well
        event = _whole_event(data)
        if event is None:
            upstream.ahead = data
        return event

    def _forward_as_usual(self, invocation: "Invocation", result: "Result", data: bytes, upstream: Stream) -> bool:
        """See `Exchange._forward_result`. `data` is the request with its body."""
        status = overhead_ns = 0
        goes_on = False
        try:
            began_ns = monotonic_ns()
            early = None if is_taken(upstream, data) else self._relay.early_answer()
            sent_ns = monotonic_ns()
            answer = upstream.socket.recv(RECEIVE_BYTES) if early is None else b""
            replied_ns = monotonic_ns()
            if answer and answer == self._answer:
                self._runtime.socket.sendall(answer)
                status, goes_on = self._answer_status, True
            else:
                upstream.ahead += answer
                reply = early or self._relay.read_reply(result.like)
                goes_on = self._pass_on(reply, result.like, is_early=early is not None)
                status = reply.status
                if goes_on and _is_all_of(answer, reply):
                    self._answer, self._answer_status = answer, status
            overhead_ns = sent_ns - began_ns + monotonic_ns() - replied_ns
            return goes_on
        finally:
            self._offer_whole_result(invocation, result, data, status, overhead_ns)
            self._sandbox.invocations.finish(invocation, self)

    def _offer_whole_result(
        self, invocation: "Invocation", result: "Result", data: bytes, status: int, overhead_ns: int
    ) -> None:
        body_length = len(data) - result.body_start
        message = records.finished(
            invocation.request_id,
            invocation.invocation_id,
            "response",
            monotonic_ns() - invocation.delivered_monotonic_ns,
            overhead_ns,
            status,
            status != 0,
            result.body_start,
            body_length,
            0,
            body_length,
        )
        self._sandbox.offer(message, data)


def _is_all_of(answer: bytes, reply: "Response") -> bool:
    """That is the reply as it went on, with its body and nothing else."""
    return (
        answer.startswith(reply.raw)
        and reply.forwarded is reply.raw
        and len(answer) == len(reply.raw) + reply.body_length
    )


def _whole_event(data: bytes) -> Event | None:
    """An event that came in one piece, with a head of a known form, and in one chunk if in any."""
    reply = known_reply(data)
    if reply is None:
        return None
    body = data[len(reply.raw) :]
    if reply.body_length == len(body):
        return Event(reply, (body,), body)
    start = body.find(b"\r\n", 0, _CHUNK_LINE_BYTES) + 2
    if reply.body_length != CHUNKED or not body.endswith(LAST_CHUNK, start):
        return None
    payload = body[start : -len(LAST_CHUNK)]
    if not payload:
        return None  # it would have ended with its size
    try:
        return Event(reply, (body,), payload) if chunk_size(body[: start - 2]) == len(payload) else None
    except ProtocolError:
        return None
