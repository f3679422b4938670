"""Group D, first part: the long poll. No event is lost, and none is delivered twice."""

from __future__ import annotations

import _socket
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lrap_otel.http1.errors import CLIENT
from lrap_otel.http1.stream import Stream
from lrap_otel.ipc import records
from lrap_otel.proxy.polls import Polls
from tests.proxy.wire import (
    ACCEPTED,
    ACCEPTED_BODY,
    ACCEPTED_HEAD,
    NEXT,
    deliver,
    event,
    post,
    result_target,
)
from tests.upstream import Peer, Upstream, connect, field

if TYPE_CHECKING:
    from tests.proxy.conftest import Proxy, Spawn, Start

ID = "lambda-runtime-aws-request-id"


def poll(proxy: Proxy, upstream: Upstream) -> tuple[Peer, Peer]:
    """A runtime that polls, and the connection its poll came on."""
    runtime = proxy.connect().send(NEXT)
    api = upstream.accept()
    assert api.read_head() == NEXT
    return runtime, api


def answer(runtime: Peer, api: Peer, request_id: bytes) -> None:
    """The function's result, accepted."""
    request = post(result_target(request_id), b"{}")
    runtime.send(request)
    assert api.read(len(request)) == request
    api.send(ACCEPTED)
    assert runtime.read(len(ACCEPTED)) == ACCEPTED


def test_a_poll_waits_without_a_timer_and_without_work(spawn: Spawn, upstream: Upstream) -> None:
    # D1; `make soak` waits for 15 minutes
    proxy = spawn()
    runtime = proxy.connect().send(NEXT)
    api = upstream.accept()
    api.read_head()
    used_s = proxy.cpu_s()
    assert not runtime.has_news(0.5)
    assert not api.has_news(0)
    assert proxy.cpu_s() - used_s <= 0.01
    api.send(event())
    assert runtime.read_message()[1] == b'{"n":1}'


def test_an_event_that_comes_while_the_proxy_is_frozen_is_delivered_when_it_thaws(
    spawn: Spawn, upstream: Upstream
) -> None:
    # D2, D3
    proxy = spawn()
    runtime = proxy.connect().send(NEXT)
    api = upstream.accept()
    api.read_head()
    proxy.freeze()
    api.send(event())
    assert not runtime.has_news()
    proxy.thaw()
    assert runtime.read_message()[1] == b'{"n":1}'


@pytest.mark.parametrize("how", ["reset", "close", "end"])
def test_a_runtime_that_polls_again_on_a_new_connection_inherits_the_poll(
    proxy: Proxy, upstream: Upstream, how: str
) -> None:
    # D4
    runtime, api = poll(proxy, upstream)
    getattr(runtime, how)()
    again = proxy.connect().send(NEXT)
    api.send(event())
    assert again.read_message()[1] == b'{"n":1}'
    assert not upstream.has_caller()
    assert not api.has_news(0)
    assert proxy.record().is_redelivery is False
    assert not proxy.has_record()


def test_a_poll_outlives_its_runtime(proxy: Proxy, upstream: Upstream) -> None:
    # D5: the runtime died; Lambda learns that by itself
    runtime, api = poll(proxy, upstream)
    runtime.reset()
    assert not api.has_news()
    assert not upstream.has_caller(0)


@pytest.mark.parametrize("how", ["reset", "close", "end"])
def test_an_event_that_finds_no_runtime_is_kept_for_the_next_one(
    proxy: Proxy, upstream: Upstream, how: str
) -> None:
    # D6
    runtime, api = poll(proxy, upstream)
    getattr(runtime, how)()
    api.send(event(b"kept"))
    again = proxy.connect().send(NEXT)
    head, body = again.read_message()
    assert (field(head, ID), body) == (b"kept", b'{"n":1}')
    assert not upstream.has_caller()
    record = proxy.record()
    assert (record.request_id, record.is_redelivery, record.cold_start) == ("kept", False, True)
    assert not proxy.has_record()


def test_an_event_that_arrives_slowly_while_its_runtime_leaves_is_kept_too(
    proxy: Proxy, upstream: Upstream
) -> None:
    # D6: seen only by a last look before the event is sent
    runtime, api = poll(proxy, upstream)
    reply = event(b"kept", body=b"x" * 1_000)
    api.send(reply[:-1])
    runtime.close()
    again = proxy.connect().send(NEXT)
    api.send(reply[-1:])
    assert again.read_message()[1] == b"x" * 1_000
    assert not upstream.has_caller()


def test_an_event_is_kept_when_its_runtime_leaves_before_an_interim_answer(
    proxy: Proxy, upstream: Upstream
) -> None:
    # D6, E3
    runtime, api = poll(proxy, upstream)
    api.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    runtime.read_head()
    runtime.reset()
    api.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 2 + event(b"kept"))
    again = proxy.connect().send(NEXT)
    assert field(again.read_message()[0], ID) == b"kept"


def test_of_two_polls_the_one_whose_runtime_has_gone_still_serves_the_other(
    proxy: Proxy, upstream: Upstream
) -> None:
    # D4: the new poll came before the old one's end; Lambda gives its event to the older poll
    old, first = poll(proxy, upstream)
    new, second = poll(proxy, upstream)
    old.close()
    first.send(event(b"one"))
    assert field(new.read_message()[0], ID) == b"one"
    answer(new, first, b"one")
    new.send(NEXT)
    second.send(event(b"two"))
    assert field(new.read_message()[0], ID) == b"two"
    assert not first.has_news()
    assert not upstream.has_caller(0)


def test_polls_that_were_parked_out_of_order_are_all_heard(
    proxy: Proxy, upstream: Upstream
) -> None:
    # D4: Lambda answers in the order in which it was asked, runtimes leave in any
    one, first = poll(proxy, upstream)
    two, second = poll(proxy, upstream)
    two.close()
    one.close()
    runtime = proxy.connect().send(NEXT)
    first.send(event(b"one"))
    assert field(runtime.read_message()[0], ID) == b"one"
    answer(runtime, first, b"one")
    runtime.send(NEXT)
    second.send(event(b"two"))
    assert field(runtime.read_message()[0], ID) == b"two"


@pytest.mark.parametrize("how", ["reset", "end"])
def test_a_parked_poll_that_lambda_ended_is_made_again(
    proxy: Proxy, upstream: Upstream, how: str
) -> None:
    # D8
    runtime, api = poll(proxy, upstream)
    runtime.close()
    getattr(api, how)()
    again = proxy.connect().send(NEXT)
    fresh = upstream.accept()
    assert fresh.read_head() == NEXT
    fresh.send(event())
    assert again.read_message()[1] == b'{"n":1}'


@pytest.mark.parametrize("how", ["reset", "end"])
def test_a_poll_that_lambda_ends_without_an_answer_is_made_again_where_the_connection_had_been_used(
    proxy: Proxy, upstream: Upstream, how: str
) -> None:
    # D8: the client library would do the same; and the new poll outlives its runtime as any other
    runtime, api, _, _ = deliver(proxy, upstream)
    answer(runtime, api, b"8476a536-e9f4-11e8-9739-2dfe598c3fcd")
    runtime.send(NEXT)
    api.read_head()
    getattr(api, how)()
    fresh = upstream.accept()
    assert fresh.read_head() == NEXT
    runtime.close()
    again = proxy.connect().send(NEXT)
    fresh.send(event(b"kept"))
    assert field(again.read_message()[0], ID) == b"kept"


@pytest.mark.parametrize("how", ["reset", "end"])
def test_a_poll_that_lambda_ends_at_once_ends_the_runtimes_connection_and_nothing_is_made_up(
    proxy: Proxy, upstream: Upstream, how: str
) -> None:
    # D8: as without the proxy, where no client makes the first request of a connection again
    runtime, api = poll(proxy, upstream)
    getattr(api, how)()
    assert runtime.read_to_any_end()[0] == b""
    assert not upstream.has_caller()


def test_lambdas_next_poll_is_refused_in_its_own_words_when_it_cannot_be_reached(
    proxy: Proxy, upstream: Upstream
) -> None:
    # D8, D10: the connection is lost and there is nobody to poll again
    runtime, api, _, _ = deliver(proxy, upstream)
    runtime.send(NEXT)
    api.read_head()
    upstream.close()
    head, body = runtime.read_message()
    assert head.startswith(b"HTTP/1.1 502 ")
    assert field(head, "content-type") == b"application/json"
    assert b"RuntimeApiUnreachable" in body


def test_an_event_asked_for_again_while_it_runs_is_one_invocation(
    proxy: Proxy, upstream: Upstream
) -> None:
    # D17: Lambda delivers it again, identical; the ids are the same, so that both make one span
    _, api, first, _ = deliver(proxy, upstream, event(b"again"))
    again = proxy.connect().send(NEXT)
    another = upstream.accept()
    another.read_head()
    another.send(event(b"again"))
    second, _ = again.read_message()
    assert field(second, "traceparent") == field(first, "traceparent")
    one, two = proxy.record(), proxy.record()
    assert (one.is_redelivery, two.is_redelivery) == (False, True)
    assert (one.span_id_hex, one.trace_id_hex) == (two.span_id_hex, two.trace_id_hex)
    assert not api.has_news(0)


def test_a_retry_after_the_end_is_an_invocation_of_its_own(
    proxy: Proxy, upstream: Upstream
) -> None:
    # D17
    runtime, api, first, _ = deliver(proxy, upstream, event(b"retried"))
    answer(runtime, api, b"retried")
    runtime.send(NEXT)
    api.read_head()
    api.send(event(b"retried"))
    second, _ = runtime.read_message()
    assert field(second, "traceparent") != field(first, "traceparent")
    one, _, two = proxy.record(), proxy.record(), proxy.record()
    assert two.is_redelivery is False
    assert one.span_id_hex != two.span_id_hex


def test_where_lambda_numbers_attempts_another_number_is_another_invocation(
    proxy: Proxy, upstream: Upstream
) -> None:
    # D17, A10: and a late result of the first attempt does not end the second
    first, api, _, _ = deliver(
        proxy, upstream, event(b"r", fields=b"Lambda-Runtime-Invocation-Id: a1\r\n")
    )
    second = proxy.connect().send(NEXT)
    another = upstream.accept()
    another.read_head()
    another.send(event(b"r", fields=b"Lambda-Runtime-Invocation-Id: a2\r\n"))
    second.read_message()
    late = post(result_target(b"r"), b"{}", b"Lambda-Runtime-Invocation-Id: a1\r\n")
    first.send(late)
    assert api.read(len(late)) == late
    api.send(ACCEPTED)
    first.read(len(ACCEPTED))
    # The second attempt's record is made once its event has gone, beside the late result's.
    told = [proxy.record() for _ in range(3)]
    one, two = [record for record in told if isinstance(record, records.Delivered)]
    assert (one.invocation_id, two.invocation_id, two.is_redelivery) == ("a1", "a2", False)
    assert [record.invocation_id for record in told if isinstance(record, records.Finished)] == [
        "a1"
    ]
    assert proxy.invocations.is_open("r")


def test_64_polls_at_once_get_each_its_event_and_each_result_its_answer(
    start: Start, upstream: Upstream
) -> None:
    # D15: Managed Instances
    proxy = start(AWS_LAMBDA_INITIALIZATION_TYPE="lambda-managed-instances")
    runtimes = [proxy.connect().send(NEXT) for _ in range(64)]
    polls = [upstream.accept() for _ in range(64)]
    for api in polls:
        assert api.read_head() == NEXT
    assert not upstream.has_caller(0)
    numbers = list(range(64))
    random.Random(4).shuffle(numbers)
    for number, api in zip(numbers, polls, strict=True):
        api.send(event(b"id-%d" % number, body=b'{"n":%d}' % number))
    got = {}
    for runtime in runtimes:
        head, body = runtime.read_message()
        request_id = field(head, ID)
        assert request_id is not None
        assert body == b'{"n":%s}' % request_id[3:]
        got[request_id] = runtime
    assert len(got) == 64
    for request_id, runtime in got.items():
        runtime.send(post(result_target(request_id), request_id))
    for api in polls:
        _, result = api.read_message()
        api.send(b"HTTP/1.1 202 Accepted\r\nContent-Length: %d\r\n\r\n%s" % (len(result), result))
    for request_id, runtime in got.items():
        assert runtime.read_message()[1] == request_id
    proxy.invocations.wait_while(proxy.invocations.is_any_open, 5.0)  # the answer goes first
    assert not proxy.invocations.is_any_open()


def test_a_worker_that_is_replaced_does_not_add_a_poll(start: Start, upstream: Upstream) -> None:
    # D4, D15: a poll too many would take an event that no worker is free for
    proxy = start(AWS_LAMBDA_INITIALIZATION_TYPE="lambda-managed-instances")
    one, first = poll(proxy, upstream)
    two, second = poll(proxy, upstream)
    one.close()
    three = proxy.connect().send(NEXT)
    assert not upstream.has_caller()
    first.send(event(b"one"))
    second.send(event(b"two"))
    assert {field(runtime.read_message()[0], ID) for runtime in (two, three)} == {b"one", b"two"}


def test_two_pollers_of_one_sandbox_wait_as_they_would_without_the_proxy(
    proxy: Proxy, upstream: Upstream
) -> None:
    # D16
    one, first = poll(proxy, upstream)
    two, second = poll(proxy, upstream)
    first.send(event(b"one"))
    assert field(one.read_message()[0], ID) == b"one"
    assert not two.has_news()
    assert not second.has_news(0)


def test_result_and_next_poll_in_one_segment_are_served_in_order(
    proxy: Proxy, upstream: Upstream
) -> None:
    # D14
    runtime, api, _, _ = deliver(proxy, upstream, event(b"one"))
    request = post(result_target(b"one"), b"{}")
    runtime.send(request + NEXT)
    assert api.read(len(request)) == request
    assert not api.has_news()
    api.send(ACCEPTED)
    assert runtime.read(len(ACCEPTED)) == ACCEPTED
    assert api.read_head() == NEXT
    api.send(event(b"two"))
    assert field(runtime.read_message()[0], ID) == b"two"


def test_one_byte_at_a_time_is_as_good_as_all_at_once(proxy: Proxy, upstream: Upstream) -> None:
    # D18
    runtime = proxy.connect().send_bytewise(NEXT)
    api = upstream.accept()
    assert api.read_head() == NEXT
    api.send_bytewise(event(b"one"))
    assert runtime.read_message()[1] == b'{"n":1}'
    request = post(result_target(b"one"), b'{"ok":1}')
    runtime.send_bytewise(request)
    assert api.read(len(request)) == request
    api.send_bytewise(ACCEPTED)
    assert runtime.read_message() == (ACCEPTED_HEAD, ACCEPTED_BODY)


def test_a_new_runtime_process_is_served_after_the_old_one_was_killed(
    proxy: Proxy, upstream: Upstream
) -> None:
    # D19
    runtime, _, _, _ = deliver(proxy, upstream, event(b"killed"))
    runtime.reset()
    new, _, head, _ = deliver(proxy, upstream, event(b"next"))
    assert field(head, ID) == b"next"
    assert proxy.invocations.was_delivered("killed")
    assert not proxy.invocations.is_open("killed")
    assert not new.has_news(0)


def test_an_event_cut_off_by_its_runtimes_death_is_on_record_before_lambda_delivers_it_again(
    proxy: Proxy, upstream: Upstream
) -> None:
    # D6, D17: it died while 6 MB were on their way to it
    runtime = connect(proxy.port)
    runtime.send(NEXT)
    api = upstream.accept()
    api.read_head()
    api.send(event(b"big", body=b"x" * 6_000_000))
    runtime.read(1_000)
    runtime.reset()
    again = proxy.connect().send(NEXT)
    another = upstream.accept()
    another.read_head()
    another.send(event(b"big"))
    again.read_message()
    one, two = proxy.record(), proxy.record()
    assert (one.is_redelivery, two.is_redelivery) == (False, True)
    assert one.span_id_hex == two.span_id_hex


def test_a_poll_with_a_body_gets_its_event_and_the_connection_goes_on(
    proxy: Proxy, upstream: Upstream
) -> None:
    # E22
    runtime = proxy.connect()
    request = NEXT[:-2] + b"Content-Length: 3\r\n\r\nabc"
    runtime.send(request + post(result_target(b"one"), b"{}"))
    api = upstream.accept()
    assert api.read(len(request)) == request
    api.send(event(b"one"))
    assert runtime.read_message()[1] == b'{"n":1}'
    assert api.read_message()[1] == b"{}"


def test_a_poll_with_a_body_that_inherits_leaves_the_connection_in_step(
    proxy: Proxy, upstream: Upstream
) -> None:
    # E22
    gone, api = poll(proxy, upstream)
    gone.close()
    runtime = proxy.connect().send(NEXT[:-2] + b"Transfer-Encoding: chunked\r\n\r\n3\r\nab")
    runtime.send(b"c\r\n0\r\n\r\n" + post(result_target(b"one"), b"{}"))
    api.send(event(b"one"))
    assert runtime.read_message()[1] == b'{"n":1}'
    assert api.read_message()[1] == b"{}"


@pytest.mark.parametrize("fate", ["too long", "broken off"])
def test_a_poll_whose_body_never_comes_takes_no_event(
    proxy: Proxy, upstream: Upstream, fate: str
) -> None:
    # E22
    runtime = proxy.connect().send(NEXT[:-2] + b"Content-Length: 100000\r\n\r\nabc")
    if fate == "too long":
        runtime.send(bytes(70_000))
        assert runtime.read_head().startswith(b"HTTP/1.1 413 ")
    else:
        assert runtime.end().read_to_end() == b""
    assert not upstream.has_caller()


class Sandbox:
    """A function whose process comes and goes, and a Lambda that hands events to polls in the order
    they came.
    """

    def __init__(self, proxy: Proxy, upstream: Upstream) -> None:
        self.proxy = proxy
        self.upstream = upstream
        self.runtime: Peer | None = None
        self.is_polling = False
        self.poll: Peer | None = None
        self.apis: list[Peer] = []
        self.sent: list[bytes] = []
        self.received: list[bytes] = []

    def start_poll(self) -> None:
        if self.runtime is None:
            self.runtime = connect(self.proxy.port)
        if not self.is_polling:
            self.runtime.send(NEXT)
            self.is_polling = True

    def leave(self, how: str) -> None:
        if self.runtime is not None:
            getattr(self.runtime, how)()
            if how == "end":
                self.runtime.read_to_end()
                self.runtime.close()
        self.runtime = None
        self.is_polling = False

    def send_event(self) -> None:
        """Lambda has an event. It goes to the poll that is pending, if a runtime has ever asked
        since the last one.
        """
        if len(self.sent) > len(self.received):
            return
        if self.poll is None and self.is_polling:
            self.poll = self._next_poll()
        if self.poll is None:
            return
        self.sent.append(b"event-%d" % len(self.sent))
        self.poll.send(event(self.sent[-1]))
        self.poll = None
        if self.is_polling:
            self.receive_event()

    def receive_event(self) -> None:
        assert self.runtime is not None
        self.received.append(field(self.runtime.read_message()[0], ID) or b"")
        self.is_polling = False

    def finish(self) -> None:
        """One more runtime takes what is left, and after that nothing is."""
        if len(self.sent) > len(self.received):
            self.start_poll()
            self.receive_event()
        self.start_poll()
        self.send_event()
        assert self.received == self.sent
        self.leave("close")
        assert not any(api.has_news(0) for api in self.apis if not api.has_ended())
        assert not self.upstream.has_caller(0)

    def _next_poll(self) -> Peer:
        while True:
            for api in self.apis:
                if api.has_news(0) and not api.has_ended():
                    assert api.read_head() == NEXT
                    return api
            if self.upstream.has_caller(0.001):
                self.apis.append(self.upstream.accept())


ACTIONS = st.sampled_from(["poll", "poll", "event", "event", "close", "reset", "end"])


def test_through_any_pattern_of_reconnects_each_event_is_delivered_exactly_once(
    proxy: Proxy, upstream: Upstream
) -> None:
    # D4, D6: and never with a second poll outstanding
    known: list[Peer] = []

    @settings(max_examples=1_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(ACTIONS, max_size=12))
    def deliver_all(actions: list[str]) -> None:
        sandbox = Sandbox(proxy, upstream)
        sandbox.apis = known
        for action in actions:
            if action == "poll":
                sandbox.start_poll()
            elif action == "event":
                sandbox.send_event()
            else:
                sandbox.leave(action)
        sandbox.finish()

    deliver_all()


def test_surplus_polls_are_looked_for_only_while_a_runtime_holds_several() -> None:
    polls = Polls()
    sockets = [socket for _ in range(5) for socket in _socket.socketpair()]
    one, other, first, second, third = (Stream(socket, CLIENT) for socket in sockets[::2])
    polls.waiting[one], polls.waiting[other] = [first], [second]
    polls.park(third)
    assert polls.take_over(polls.waiting[one], is_new=False)
    assert polls.has_surplus
    polls.leave(one, polls.waiting[one])
    assert not polls.has_surplus
    assert len(polls.parked) == 2
    for socket in sockets:
        socket.close()
