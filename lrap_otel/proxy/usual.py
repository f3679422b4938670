"""The usual calls, in as few steps as possible: the poll a runtime always makes, the event that answers it, its result.

Each message has come whole and with a head of a form that was validated before, on two connections that go on. Whatever else
comes is put back and left to `Exchange`, which reads it again. The two ways differ in what they cost, and in nothing that a
peer could see.
"""

import select
from time import monotonic_ns, time_ns

from lrap_otel.http1.stream import RECEIVE_BYTES, Stream
from lrap_otel.proxy.capture import SMALL_BYTES
from lrap_otel.proxy.exchange import INVOCATION, Exchange
from lrap_otel.proxy.head_templates import known_reply, known_result, learn_reply, learn_result
from lrap_otel.proxy.polls import Poll
from lrap_otel.proxy.relay import NO_BUFFER
from lrap_otel.proxy.shared_state import SharedState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.http1.messages import Request, Response
    from lrap_otel.proxy.head_templates import KnownReply
    from lrap_otel.proxy.polls import Event
    from lrap_otel.sandbox.invocations import Invocation, Invocations

_POST = b"POST " + INVOCATION


class UsualExchange(Exchange):
    """An `Exchange` that knows a short way.

    `_events` counts those that came the long way. A form is learned from the second of them, whose head is `_reply` until then: a
    sandbox that sees but one does not pay for it. `_poll` is what this runtime polls with, None until it has polled; `_answer` is
    what its last result was answered with, head and body, and `_answer_status` the status in it. `_watch` tells in one call
    whether the runtime has gone, upstream has sent something or a poll was parked; it was made for `_watched`, and says
    `_has_answered` where that has sent something and nothing else has happened.
    """

    __slots__ = ("_answer", "_answer_status", "_events", "_has_answered", "_poll", "_reply", "_watch", "_watched")

    def __init__(self, runtime: Stream, sandbox: SharedState) -> None:
        super().__init__(runtime, sandbox)
        self._events = 0
        self._reply: Response | None = None
        self._poll: Request | None = None
        self._answer = b""
        self._answer_status = 0
        self._watch = select.poll()
        self._watched: Stream | None = None
        self._has_answered: list[tuple[int, int]] = []

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
                result = self._recorder.attempt(self._recognise_result, data, sandbox.invocations)
                if result is not None:
                    return self._forward_as_usual(*result, data, upstream)
        runtime.ahead = data
        return super()._take_call()

    def _begin_to_watch(self, upstream: Stream) -> None:
        watch = select.poll()
        watch.register(self._runtime.socket, select.POLLRDHUP)
        watch.register(upstream.socket, select.POLLIN | select.POLLRDHUP)
        watch.register(self._sandbox.polls.news, select.POLLIN)
        self._watch, self._watched = watch, upstream
        self._has_answered = [(upstream.socket.fileno(), select.POLLIN)]

    def _may_take_over(self) -> bool:
        """There may be a poll for this runtime that another made: of one that has gone, or is just leaving."""
        polls = self._sandbox.polls
        if polls.parked or polls.has_spares:
            return True
        # Of Managed Instances the others go on polling for themselves.
        return len(polls.waiting) > 0 and not self._sandbox.is_managed_instances

    def _deliver_event(self, request: "Request") -> bool:
        if request.forwarded is request.raw and not request.closes and not request.body_length:
            self._poll = request
        return super()._deliver_event(request)

    def _answer_poll(self, request: "Request", body: bytes) -> bool:
        goes_on = super()._answer_poll(request, body)
        reply, self._reply = self._reply, None
        if reply is not None:
            self._recorder.observe(learn_reply, reply)  # only now, when the message has gone
        return goes_on

    def _receive_event(self, reply: "Response") -> "Event | None":
        event = super()._receive_event(reply)
        if event is not None:
            self._events += 1
            self._reply = reply if self._events > 1 else None
        return event

    def _forward_result(self, request: "Request", request_id: str, endpoint: str) -> bool:
        goes_on = super()._forward_result(request, request_id, endpoint)
        if endpoint == "response" and self._events > 1:
            self._recorder.observe(learn_result, request, request_id)
        return goes_on

    def _poll_as_usual(self, request: "Request", upstream: Stream) -> bool:
        """See `Exchange._deliver_event`."""
        sandbox, runtime, recorder = self._sandbox, self._runtime, self._recorder
        invocations, polls = sandbox.invocations, sandbox.polls
        if not sandbox.is_managed_instances:
            recorder.runtime_polls_again()
        held = polls.waiting[runtime] = [Poll(upstream)]
        try:
            if invocations.bystander is not None:
                recorder.observe(invocations.tell_bystander)
            if self._deliver_as_usual(request, upstream, held):
                return True
            self._relay.upstream = None  # it belongs to the poll
            return self._answer_poll(request, b"")
        finally:
            polls.leave(runtime)
            recorder.notify()

    def _deliver_as_usual(self, request: "Request", upstream: Stream, held: list[Poll]) -> bool:
        """Make the poll that is `held` and deliver its answer. False: it has been made, and whatever comes is still to be read."""
        try:
            upstream.socket.sendall(request.raw)
            if self._watch.poll() != self._has_answered:
                return False
            data = upstream.socket.recv(RECEIVE_BYTES)
        except OSError:
            return False  # an end, which is there for the next who reads as well
        received_ns, now_ns = monotonic_ns(), time_ns()
        delivery = self._recorder.attempt(self._prepare_as_usual, data, now_ns)  # if not, the long way will do
        if delivery is None or self._runtime.is_gone():
            upstream.ahead = data
            return False
        held.clear()
        self._relay.buffer = NO_BUFFER
        (_, _, head_end, start, end), whole, invocation = delivery
        if invocation is None:
            self._runtime.socket.sendall(whole)
            return True
        recorder = self._recorder
        recorder.open(invocation, self, received_ns)
        try:
            self._runtime.socket.sendall(whole)
        finally:  # a runtime that went away in the middle has had its event, as far as Lambda is concerned
            overhead_ns = monotonic_ns() - received_ns
            if head_end == start and len(data) <= SMALL_BYTES:
                recorder.delivered_at_once(invocation, now_ns, overhead_ns, data, head_end)
            else:
                recorder.delivered(invocation, now_ns, overhead_ns, data[:head_end], data[start:end], False)
        return True

    def _prepare_as_usual(self, data: bytes, now_ns: int) -> "tuple[KnownReply, bytes, Invocation | None] | None":
        """The reply that `data` is, what the runtime gets, and what is to be recorded; None where it takes a closer look."""
        known = known_reply(data)
        if known is None:
            return None
        tracer = self._sandbox.tracer
        if tracer is None:
            return known, data, None
        delivery = tracer.prepare_known(data, known, now_ns)
        return (known, *delivery) if delivery is not None else None

    def _recognise_result(self, data: bytes, invocations: "Invocations") -> "tuple[Invocation, int, Request] | None":
        """Whose result `data` is, where its body begins, and the request that it is like; None where it has to be parsed."""
        known = known_result(data)
        if known is None:
            return None
        request_id, invocation_id, body_start, like = known
        invocation = invocations.find(request_id, invocation_id)
        return (invocation, body_start, like) if invocation is not None and invocation.is_traced else None

    def _forward_as_usual(
        self, invocation: "Invocation", body_start: int, like: "Request", data: bytes, upstream: Stream
    ) -> bool:
        """See `Exchange._forward_result`. `data` is the request with its body."""
        status = overhead_ns = ended_ns = 0
        goes_on = False
        try:
            began_ns = monotonic_ns()
            early, answer = None, b""
            try:
                upstream.socket.sendall(data)
            except OSError:  # it has gone; what it said last can still be read
                early = self._relay.early_answer()
            sent_ns = monotonic_ns()
            if early is None:
                answer = upstream.socket.recv(RECEIVE_BYTES)
            replied_ns = monotonic_ns()
            if answer and answer == self._answer:
                self._runtime.socket.sendall(answer)
                status, goes_on = self._answer_status, True
            else:
                upstream.ahead += answer
                reply = early or self._relay.read_reply(like)
                goes_on = self._pass_on(reply, like, is_early=early is not None)
                status = reply.status
                if goes_on and _is_all_of(answer, reply):
                    self._answer, self._answer_status = answer, status
            ended_ns = monotonic_ns()
            overhead_ns = sent_ns - began_ns + ended_ns - replied_ns
            return goes_on
        finally:
            recorder = self._recorder
            recorder.finished_at_once(invocation, overhead_ns, ended_ns or monotonic_ns(), status, data, body_start)
            recorder.finish(invocation, self)


def _is_all_of(answer: bytes, reply: "Response") -> bool:
    """That is the reply as it went on, with its body and nothing else."""
    return (
        answer.startswith(reply.raw)
        and reply.forwarded is reply.raw
        and len(answer) == len(reply.raw) + reply.body_length
    )
