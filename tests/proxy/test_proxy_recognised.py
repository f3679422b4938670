"""Calls whose heads and events are recognised: nobody can tell, and all others are served as if
none was.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

import pytest

from lrap_otel.proxy.recorder import Recorder
from tests.proxy.wire import ACCEPTED, NEXT, chunked, event, event_head, post, result_target
from tests.upstream import TIMEOUT_S, Peer, Upstream, field

if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.ipc import records
    from lrap_otel.proxy.capture import Capture
    from lrap_otel.proxy.head_templates import Call
    from lrap_otel.proxy.polls import Event
    from lrap_otel.proxy.tracer import Tracer
    from lrap_otel.sandbox.invocations import Invocation
    from tests.proxy.conftest import Proxy, Start

ID = "lambda-runtime-aws-request-id"
CLOSING_NEXT = NEXT[:-2] + b"Connection: close\r\n\r\n"
TRACE = b"Lambda-Runtime-Trace-Id: Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0\r\n"
RECOGNISED, PARSED = True, False
ENDS = pytest.mark.parametrize("how", ["reset", "close", "end"])


class ObservedTracer:
    """A tracer that notes which events' heads were recognised. `at_prepare` is called once, before
    an event is sent.
    """

    def __init__(self, tracer: Tracer) -> None:
        self.were_recognised: list[bool] = []
        self.at_prepare: Callable[[], object] | None = None
        self.learn = tracer.learn
        self._tracer = tracer

    def prepare(self, event: Event, now_ns: int, closes: bool) -> Event:
        self.were_recognised.append(event.head.is_recognised)
        at_prepare, self.at_prepare = self.at_prepare, None
        if at_prepare is not None:
            at_prepare()
        return self._tracer.prepare(event, now_ns, closes=closes)


class ObservedRecorder(Recorder):
    """A recorder that notes which results' heads were recognised."""

    __slots__ = ("were_recognised",)

    def finished(
        self,
        invocation: Invocation,
        call: Call,
        capture: Capture,
        is_refused: bool,
        connection: object,
    ) -> None:
        self.were_recognised.append(call.is_recognised)
        super().finished(invocation, call, capture, is_refused, connection)


class Line:
    """One runtime connection through a proxy, and the connection to Lambda behind it."""

    def __init__(self, proxy: Proxy, upstream: Upstream) -> None:
        self.proxy = proxy
        self.upstream = upstream
        sandbox = proxy.sandbox
        self.tracer = ObservedTracer(sandbox.tracer) if sandbox.tracer is not None else None
        if self.tracer is not None:
            sandbox.tracer = self.tracer
        self.recorder = sandbox.recorder = ObservedRecorder(
            proxy.invocations, sandbox.recorder.channel
        )
        self.recorder.were_recognised = []
        self.runtime = proxy.connect().send(NEXT)
        self.api = upstream.accept()
        assert self.api.read_head() == NEXT

    def poll(self) -> Line:
        self.runtime.send(NEXT)
        assert self.api.read_head() == NEXT
        return self

    def deliver(self, reply: bytes) -> tuple[bytes, bytes]:
        """The answer to a poll, as the runtime gets it."""
        self.api.send(reply)
        return self.runtime.read_message()

    def send_result(self, request: bytes) -> Line:
        self.runtime.send(request)
        assert self.api.read(len(request)) == request
        return self

    def answer(self, reply: bytes = ACCEPTED) -> Line:
        self.api.send(reply)
        assert self.runtime.read(len(reply)) == reply
        return self

    def records(self) -> tuple[records.Record, records.Record]:
        """Those of one cycle, which is then over."""
        return self.proxy.record(), self.proxy.record()


@pytest.fixture
def line(proxy: Proxy, upstream: Upstream) -> Line:
    """A connection after two usual cycles: the third is recognised."""
    return usual_line(Line(proxy, upstream), usual_event)


@pytest.fixture
def chunked_line(proxy: Proxy, upstream: Upstream) -> Line:
    """The same where events come chunked."""
    return usual_line(Line(proxy, upstream), chunked_event)


def usual_line(line: Line, form: Callable[[bytes], bytes]) -> Line:
    for request_id in (b"id-1", b"id-2"):
        if request_id == b"id-2":
            line.poll()
        line.deliver(form(request_id))
        line.send_result(result(request_id)).answer()
        line.records()
    assert line.tracer is not None
    assert line.tracer.were_recognised == [PARSED, PARSED]
    assert line.recorder.were_recognised == [PARSED, PARSED]
    return line


def usual_event(request_id: bytes, body: bytes = b'{"n":1}') -> bytes:
    return event(request_id, body, TRACE)


def chunked_head(request_id: bytes) -> bytes:
    return event_head(request_id, TRACE) + b"Transfer-Encoding: chunked\r\n\r\n"


def chunked_event(request_id: bytes, body: bytes = b'{"n":1}') -> bytes:
    return chunked_head(request_id) + chunked(body)


def result(request_id: bytes, body: bytes = b'{"ok":1}') -> bytes:
    return post(result_target(request_id), body, b"Content-Type: application/json\r\n")


def goes_on(line: Line, request_id: bytes = b"after") -> None:
    """A further cycle is as usual."""
    line.poll()
    head, body = line.deliver(usual_event(request_id))
    assert (field(head, ID), body) == (request_id, b'{"n":1}')
    line.send_result(result(request_id)).answer()


def without_values(data: bytes) -> bytes:
    """Less ids and lengths."""
    return re.sub(rb"id-[0-9]|[0-9a-f]{16,32}|(?<=Content-Length: )[0-9]+", b"#", data)


@pytest.mark.parametrize("form", [usual_event, chunked_event], ids=["length", "chunked"])
def test_the_third_cycle_is_on_both_sides_what_the_second_was_but_for_ids_and_lengths(
    proxy: Proxy, upstream: Upstream, form: Callable[[bytes, bytes], bytes]
) -> None:
    line = Line(proxy, upstream)
    cycles = []
    for number in (1, 2, 3, 4):
        if number > 1:
            line.poll()
        request_id = b"id-%d" % number
        head, body = line.deliver(form(request_id, b"[%d]" % 10**number))
        assert (field(head, ID), body) == (request_id, b"[%d]" % 10**number)
        assert field(head, "content-length") == b"%d" % len(body)
        line.send_result(result(request_id, b"%d" % 10**number)).answer()
        line.records()
        cycles.append(without_values(head))
        assert not line.runtime.has_news(0)
        assert not line.api.has_news(0)
    assert len(set(cycles)) == 1
    assert line.tracer.were_recognised[2:] == [RECOGNISED, RECOGNISED]
    assert line.recorder.were_recognised[2:] == [RECOGNISED, RECOGNISED]
    assert not upstream.has_caller(0)


def test_the_records_of_a_recognised_cycle_say_what_those_of_a_parsed_one_say(
    start: Start, upstream: Upstream
) -> None:
    said = []
    for has_templates in (True, False):
        line = Line(start(has_templates=has_templates), upstream)
        for request_id in (b"id-1", b"id-2", b"id-3"):
            if request_id != b"id-1":
                line.poll()
            line.deliver(usual_event(request_id))
            line.send_result(result(request_id)).answer()
            delivered, finished = line.records()
        said.append((delivered, finished))
        assert line.tracer is not None
        assert line.tracer.were_recognised == [PARSED, PARSED, has_templates]
        assert line.recorder.were_recognised == [PARSED, PARSED, has_templates]
    differs = {"delivered_ns", "overhead_ns", "span_id_hex", "duration_ns"}
    for recognised, parsed in zip(*said, strict=True):
        names = [name for name in type(recognised).__annotations__ if name not in differs]
        assert [(name, getattr(recognised, name)) for name in names] == [
            (name, getattr(parsed, name)) for name in names
        ]
        assert recognised.payload == parsed.payload
        assert recognised.overhead_ns > 0
    (delivered, finished), _ = said
    assert len(delivered.span_id_hex) == 16
    assert finished.payload == result(b"id-3")
    assert finished.payload[finished.head_length :] == b'{"ok":1}'
    assert 0 < finished.duration_ns < 5_000_000_000


def test_without_telemetry_the_third_cycle_too_is_what_both_sent_to_the_byte(
    start: Start, upstream: Upstream
) -> None:
    line = Line(start(is_on=False), upstream)
    for number in (1, 2, 3, 4):
        if number > 1:
            line.poll()
        request_id = b"id-%d" % number
        line.answer(chunked_event(request_id)).send_result(result(request_id)).answer()
    assert line.proxy.heads.events.recognise(chunked_event(b"id-5")) is not None
    assert not upstream.has_caller(0)
    assert not line.proxy.has_record()


def test_a_chunked_event_in_one_piece_is_delivered(chunked_line: Line) -> None:
    head, body = chunked_line.poll().deliver(chunked_event(b"three", b'{"text":"abc"}'))
    assert (field(head, ID), body) == (b"three", b'{"text":"abc"}')
    assert field(head, "transfer-encoding") is None
    assert chunked_line.tracer.were_recognised[2:] == [RECOGNISED]


@pytest.mark.parametrize("cut", [-1, -5, -8, -14, 40])
def test_a_chunked_event_in_two_pieces_is_delivered_when_it_is_whole(
    chunked_line: Line, cut: int
) -> None:
    reply = chunked_event(b"three")
    chunked_line.poll().api.send(reply[:cut])
    assert not chunked_line.runtime.has_news()
    head, body = chunked_line.deliver(reply[cut:])
    assert (field(head, ID), body) == (b"three", b'{"n":1}')
    chunked_line.send_result(result(b"three")).answer()
    goes_on(chunked_line)


LEGAL_CHUNKS = {
    "nothing": (b"0\r\n\r\n", b""),
    "several": (b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
    "what looks like the end inside": (
        b"c\r\nab\r\n0\r\n\r\nabc\r\n0\r\n\r\n",
        b"ab\r\n0\r\n\r\nabc",
    ),
    "an extension": (b"3;a=b\r\nabc\r\n0\r\n\r\n", b"abc"),
    "zeros in front": (b"0003\r\nabc\r\n0\r\n\r\n", b"abc"),
    "trailers": (b"3\r\nabc\r\n0\r\nX-A: 1\r\n\r\n", b"abc"),
}


@pytest.mark.parametrize(("body", "payload"), LEGAL_CHUNKS.values(), ids=LEGAL_CHUNKS.keys())
def test_any_legal_chunks_are_delivered(chunked_line: Line, body: bytes, payload: bytes) -> None:
    head, received = chunked_line.poll().deliver(chunked_head(b"three") + body)
    assert (field(head, ID), received) == (b"three", payload)
    chunked_line.send_result(result(b"three")).answer()
    goes_on(chunked_line)


ILLEGAL_CHUNKS = {
    "a size that is too small": b'6\r\n{"n":1}\r\n0\r\n\r\n',
    "a size that is too large": b'8\r\n{"n":1}\r\n0\r\n\r\n',
    "a size that is far too large": b'80\r\n{"n":1}\r\n0\r\n\r\n',
    "no size": b'\r\n{"n":1}\r\n0\r\n\r\n',
    "a size that is none": b'x\r\n{"n":1}\r\n0\r\n\r\n',
    "a last chunk and another": b"0\r\n0\r\n\r\n",
    "a line of more than 4 KB": b"3;" + b"a" * 5_000 + b"\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("cycles", [0, 2])
@pytest.mark.parametrize("body", ILLEGAL_CHUNKS.values(), ids=ILLEGAL_CHUNKS.keys())
def test_an_event_in_illegal_chunks_is_not_delivered(
    proxy: Proxy, upstream: Upstream, body: bytes, cycles: int
) -> None:
    line = Line(proxy, upstream)
    if cycles:
        usual_line(line, chunked_event).poll()
    line.api.send(chunked_head(b"three") + body)
    if not line.runtime.has_news():  # more of it is waited for
        line.api.end()
    assert line.runtime.read_to_any_end()[0] == b""
    assert not proxy.invocations.was_delivered("three")


@pytest.mark.parametrize("form", [usual_event, chunked_event], ids=["length", "chunked"])
def test_of_a_large_http_event_the_body_is_not_recorded_recognised_or_not(
    proxy: Proxy, upstream: Upstream, form: Callable[[bytes, bytes], bytes]
) -> None:
    line = usual_line(Line(proxy, upstream), form)
    start = b'{"headers":{"a":"b"},"requestContext":{"http":{}}'
    payloads = []
    for number in range(3, 7):
        body = start + b',"body":"' + b"b" * 20_000 + b'","isBase64Encoded":false}'
        line.poll().deliver(form(b"id-%d" % number, body))
        line.send_result(result(b"id-%d" % number)).answer()
        delivered, _ = line.records()
        assert delivered.body_length == len(body)
        payloads.append(delivered.payload[delivered.head_length :])
    assert payloads == [start + b"}"] * 4
    assert RECOGNISED in line.tracer.were_recognised[2:]


@ENDS
def test_a_large_event_whose_runtime_leaves_at_the_last_moment_is_kept_whole(
    line: Line, how: str
) -> None:
    has_left = threading.Event()
    line.poll().tracer.at_prepare = lambda: (getattr(line.runtime, how)(), has_left.set())
    line.api.send(chunked_event(b"kept", b"k" * 300_000))
    assert has_left.wait(TIMEOUT_S)
    again = line.proxy.connect().send(NEXT)
    assert again.read_message()[1] == b"k" * 300_000
    again.send(result(b"kept"))
    other = line.upstream.accept() if line.api.has_ended() else line.api
    assert other.read(len(result(b"kept"))) == result(b"kept")


def test_an_event_goes_on_as_it_came_when_our_code_fails(
    line: Line, capfd: pytest.CaptureFixture[str]
) -> None:
    line.poll().tracer.at_prepare = lambda: 1 // 0
    head, body = line.deliver(usual_event(b"three"))
    assert (field(head, ID), body) == (b"three", b'{"n":1}')
    assert field(head, "traceparent") is None
    assert line.tracer.were_recognised[2:] == [RECOGNISED]
    assert line.proxy.sandbox.recorder.failures == 1
    assert "ZeroDivisionError" in capfd.readouterr().err
    line.send_result(result(b"three")).answer()
    goes_on(line)


def test_an_event_that_comes_byte_by_byte_is_delivered(line: Line) -> None:
    line.poll().api.send_bytewise(usual_event(b"three"))
    head, body = line.runtime.read_message()
    assert (field(head, ID), body) == (b"three", b'{"n":1}')
    line.send_result(result(b"three")).answer()
    goes_on(line)


def test_a_byte_behind_an_event_costs_the_connection_and_not_the_event(line: Line) -> None:
    assert line.poll().deliver(usual_event(b"three") + b"H")[1] == b'{"n":1}'
    request = result(b"three")
    line.runtime.send(request)
    fresh = line.upstream.accept()
    assert fresh.read(len(request)) == request
    assert line.api.has_ended()


@pytest.mark.parametrize("status", [b"201 Created", b"403 Forbidden", b"500 Internal Server Error"])
def test_a_poll_that_is_answered_with_another_status_gets_that_answer_as_it_is(
    line: Line, status: bytes
) -> None:
    reply = usual_event(b"three").replace(b"200 OK", status)
    line.poll().answer(reply)
    assert not line.proxy.invocations.was_delivered("three")
    goes_on(line)


def test_an_interim_answer_before_an_event_reaches_the_runtime_before_it(line: Line) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    line.poll().api.send(interim + usual_event(b"three"))
    assert line.runtime.read_head() == interim
    assert line.runtime.read_message()[1] == b'{"n":1}'
    line.send_result(result(b"three")).answer()
    goes_on(line)


@pytest.mark.parametrize("how", ["reset", "end"])
def test_a_poll_that_lambda_ends_unanswered_is_made_again_once(line: Line, how: str) -> None:
    getattr(line.poll().api, how)()
    line.api = line.upstream.accept()
    assert line.api.read_head() == NEXT
    assert line.deliver(usual_event(b"three"))[1] == b'{"n":1}'
    assert not line.upstream.has_caller(0)
    line.send_result(result(b"three")).answer()
    goes_on(line)


@ENDS
def test_a_poll_goes_over_a_new_connection_where_lambda_has_closed_the_idle_one(
    line: Line, how: str
) -> None:
    getattr(line.api, how)()
    line.runtime.send(NEXT)
    line.api = line.upstream.accept()
    assert line.api.read_head() == NEXT
    assert line.deliver(usual_event(b"three"))[1] == b'{"n":1}'
    assert not line.upstream.has_caller(0)


@pytest.mark.parametrize("how", ["reset", "end"])
def test_a_result_that_lambda_does_not_answer_is_never_sent_twice(line: Line, how: str) -> None:
    line.poll().deliver(usual_event(b"three"))
    line.send_result(result(b"three"))
    getattr(line.api, how)()
    assert line.runtime.read_to_any_end()[0] == b""
    assert not line.upstream.has_caller()
    _, finished = line.records()
    assert (finished.request_id, finished.status, finished.is_complete) == ("three", 0, False)
    assert finished.payload == result(b"three")
    assert line.recorder.were_recognised[2:] == [RECOGNISED]


@ENDS
def test_a_poll_whose_runtime_leaves_is_kept_for_the_next_runtime(line: Line, how: str) -> None:
    getattr(line.poll().runtime, how)()
    again = line.proxy.connect().send(NEXT)
    line.api.send(usual_event(b"kept"))
    head, body = again.read_message()
    assert (field(head, ID), body) == (b"kept", b'{"n":1}')
    assert not line.upstream.has_caller()
    assert not line.api.has_news(0)
    assert line.proxy.record().is_redelivery is False
    assert not line.proxy.has_record()


@pytest.mark.parametrize(("poll", "connection"), [(NEXT, None), (CLOSING_NEXT, b"close")])
@ENDS
def test_an_event_whose_runtime_leaves_at_the_last_moment_is_kept_for_the_next_runtime(
    line: Line, how: str, poll: bytes, connection: bytes | None
) -> None:
    has_left = threading.Event()
    line.poll().tracer.at_prepare = lambda: (getattr(line.runtime, how)(), has_left.set())
    line.api.send(usual_event(b"kept"))
    assert has_left.wait(
        TIMEOUT_S
    )  # before that, the next runtime would wait beside it on a poll of its own
    again = line.proxy.connect().send(poll)
    head, body = again.read_message()
    assert (field(head, ID), body) == (b"kept", b'{"n":1}')
    assert field(head, "connection") == connection
    assert line.tracer.were_recognised[2:] == [RECOGNISED, RECOGNISED]
    assert again.has_news() is (connection is not None)
    assert not line.upstream.has_caller(0)
    delivered = line.proxy.record()
    assert (delivered.request_id, delivered.is_redelivery) == ("kept", False)
    assert not line.proxy.has_record()


def test_a_kept_event_is_told_the_end_of_the_connection_without_telemetry_too(
    start: Start, upstream: Upstream
) -> None:
    line = Line(start(is_on=False), upstream)
    for number in (1, 2):
        request_id = b"id-%d" % number
        line.answer(usual_event(request_id)).send_result(result(request_id)).answer().poll()
    line.runtime.close()
    again = line.proxy.connect().send(CLOSING_NEXT)
    reply = usual_event(b"kept")
    line.api.send(reply)
    assert again.read_to_end() == reply.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


def test_a_result_that_comes_in_two_pieces_goes_on_piece_by_piece(line: Line) -> None:
    line.poll().deliver(usual_event(b"three"))
    request = result(b"three")
    for piece in (request[:-8], request[-8:-3], request[-3:]):
        line.send_result(piece)
    line.answer()
    assert line.records()[1].payload == request
    assert line.recorder.were_recognised[2:] == [RECOGNISED]
    goes_on(line)


@pytest.mark.parametrize("length", [65_000, 65_536, 65_537, 99_999, 100_000, 1_000_000])
def test_a_long_result_goes_on_whole(line: Line, length: int) -> None:
    line.poll().deliver(usual_event(b"three"))
    line.send_result(result(b"three", b"x" * length)).answer()
    finished = line.records()[1]
    assert (finished.body_length, finished.first_length) == (length, min(length, 65_536))
    goes_on(line)


ANSWERS = {
    "413": b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    "another body": ACCEPTED.replace(b"OK", b"ok"),
    "another date": ACCEPTED.replace(b"07:05:00", b"07:05:01"),
    "chunked": b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"abc", 1),
    "nothing": b"HTTP/1.1 204 No Content\r\n\r\n",
    "after an interim one": b"HTTP/1.1 103 Early Hints\r\n\r\n" + ACCEPTED,
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_whatever_lambda_answers_to_a_result_reaches_the_runtime(line: Line, answer: bytes) -> None:
    statuses = []
    for request_id, reply in (
        (b"id-3", ACCEPTED),
        (b"id-4", answer),
        (b"id-5", answer),
        (b"id-6", ACCEPTED),
    ):
        line.poll().deliver(usual_event(request_id))
        line.send_result(result(request_id)).answer(reply)
        statuses.append(line.records()[1].status)
    final = answer.removeprefix(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    assert statuses == [202, int(final[9:12]), int(final[9:12]), 202]
    assert line.recorder.were_recognised[2:] == [RECOGNISED] * 4
    assert not line.upstream.has_caller(0)


def test_an_answer_without_a_body_has_none_whatever_length_it_gives_and_those_before_it_gave(
    line: Line,
) -> None:
    empty = b"HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
    for length in (0, 0, 0, 0, 7):
        line.poll().deliver(usual_event(b"id-3"))
        line.send_result(result(b"id-3")).answer(empty % length)
    goes_on(line)


def test_an_answer_that_comes_byte_by_byte_reaches_the_runtime(line: Line) -> None:
    for request_id in (b"id-3", b"id-4"):
        line.poll().deliver(usual_event(request_id))
        line.send_result(result(request_id)).api.send_bytewise(ACCEPTED)
        assert line.runtime.read(len(ACCEPTED)) == ACCEPTED
        assert line.records()[1].status == 202
    goes_on(line)


def test_an_answer_after_which_lambda_closes_reaches_the_runtime_and_the_next_poll_goes_elsewhere(
    line: Line,
) -> None:
    line.poll().deliver(usual_event(b"three"))
    line.send_result(result(b"three")).answer()
    line.records()
    line.api.end()
    line.runtime.send(NEXT)
    line.api = line.upstream.accept()
    assert line.api.read_head() == NEXT
    assert line.deliver(usual_event(b"four"))[1] == b'{"n":1}'


def test_a_result_that_is_answered_before_it_has_come_ends_with_that_answer(line: Line) -> None:
    line.poll().deliver(usual_event(b"three"))
    request = result(b"three", b"x" * 60_000)
    line.send_result(request[:30_000])
    line.api.send(ANSWERS["413"])
    head, body = line.runtime.read_message()
    assert (head[:12], body) == (b"HTTP/1.1 413", b"{}")
    assert field(head, "connection") == b"close"
    assert line.runtime.read_to_any_end()[0] == b""
    assert line.records()[1].status == 413


def test_an_error_after_usual_cycles_is_passed_on_and_recorded_as_one(line: Line) -> None:
    line.poll().deliver(usual_event(b"three"))
    request = post(result_target(b"three", b"error"), b"{}", b"Content-Type: application/json\r\n")
    line.send_result(request).answer()
    finished = line.records()[1]
    assert (finished.endpoint, finished.status, finished.payload) == ("error", 202, request)
    assert line.recorder.were_recognised[2:] == [PARSED]
    goes_on(line)


@pytest.mark.parametrize("request_id", [b"nobody", b"id-2", b"no%2fbody", b""])
def test_a_result_of_an_unknown_request_gets_lambdas_answer_and_no_record(
    line: Line, request_id: bytes
) -> None:
    # Also where there is no id at all: it is Lambda that says so
    line.poll().deliver(usual_event(b"three"))
    line.proxy.record()
    refusal = (
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
    line.send_result(result(request_id)).answer(refusal)
    assert not line.proxy.has_record()
    assert line.proxy.invocations.is_open("three")
    line.send_result(result(b"three")).answer()
    assert line.proxy.record().request_id == "three"


def test_a_result_and_the_next_poll_in_one_segment_are_served_in_order(line: Line) -> None:
    line.poll().deliver(usual_event(b"three"))
    request = result(b"three")
    line.runtime.send(request + NEXT)
    assert line.api.read(len(request)) == request
    assert not line.api.has_news()
    line.answer()
    assert line.api.read_head() == NEXT
    assert field(line.deliver(usual_event(b"four"))[0], ID) == b"four"


def test_a_poll_in_two_pieces_is_one_poll(line: Line) -> None:
    line.runtime.send(NEXT[:50])
    assert not line.api.has_news()
    line.runtime.send(NEXT[50:])
    assert line.api.read_head() == NEXT
    assert line.deliver(usual_event(b"three"))[1] == b'{"n":1}'


def test_another_poll_than_the_usual_one_is_passed_on_as_it_is(line: Line) -> None:
    other = NEXT[:-2] + b"X-A: 1\r\n\r\n"
    line.runtime.send(other)
    assert line.api.read_head() == other
    assert line.deliver(usual_event(b"three"))[1] == b'{"n":1}'
    line.send_result(result(b"three")).answer()
    goes_on(line)


def test_after_a_restore_a_usual_poll_does_not_use_a_connection_from_before_the_snapshot(
    line: Line,
) -> None:
    # A8: such sockets look open and lead nowhere
    restoring = line.proxy.connect().send(b"GET /2018-06-01/runtime/restore/next HTTP/1.1\r\n\r\n")
    line.upstream.accept().send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    restoring.read_head()
    line.runtime.send(NEXT)
    assert line.upstream.accept().read_head() == NEXT
    assert line.api.has_ended()


def test_two_workers_are_both_recognised(start: Start, upstream: Upstream) -> None:
    proxy = start(AWS_LAMBDA_INITIALIZATION_TYPE="lambda-managed-instances")
    polls: list[tuple[Peer, Peer]] = []
    tracer = proxy.sandbox.tracer = ObservedTracer(proxy.sandbox.tracer)
    for _ in range(2):
        runtime = proxy.connect().send(NEXT)
        polls.append((runtime, upstream.accept()))
        assert polls[-1][1].read_head() == NEXT
    for cycle in range(4):
        for worker, (runtime, api) in reversed(list(enumerate(polls))):
            request_id = b"id-%d-%d" % (worker, cycle)
            api.send(usual_event(request_id))
            assert field(runtime.read_message()[0], ID) == request_id
            runtime.send(result(request_id))
            api.read(len(result(request_id)))
            api.send(ACCEPTED)
            assert runtime.read(len(ACCEPTED)) == ACCEPTED
            runtime.send(NEXT)
            assert api.read_head() == NEXT
    assert tracer.were_recognised[-4:] == [RECOGNISED] * 4
    assert not upstream.has_caller(0)
