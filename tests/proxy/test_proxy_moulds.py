"""Moulds: what fits into one is valid, and means what the parser says. The parser is the judge of each case."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrap_otel.proxy import moulds
from lrap_otel.proxy.event_head import Form, event_head
from lrap_otel.proxy.exchange import INVOCATION
from lrap_otel.proxy.http1 import HEAD_END, ProtocolError, Response, parse_reply, parse_request
from lrap_otel.proxy.moulds import known_reply, known_result, learn_reply, learn_result
from tests.proxy.wire import chunked, event, post, post_head, result_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ID = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
LENGTH, CODING = b"Content-Length: %s", b"Transfer-Encoding: chunked"
ATTEMPT = b"Lambda-Runtime-Invocation-Id: %s"
# Lambda's usual reply, a chunked one, and one of an attempt that has a number.
REPLY_FORMS = ((LENGTH,), (CODING,), (LENGTH, ATTEMPT), (ATTEMPT, CODING))
RESULT_FORMS = ((b"Content-Type: application/json", LENGTH), (LENGTH,), (LENGTH, ATTEMPT), (ATTEMPT, LENGTH))
PIECES = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b": ", b",", b"0", b"7", b"123456", b"\x00", b"\x7f", b"\xe9", b"-", b"%2f", b"/",
    b"Connection: close\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"X-A: 1\r\n", b" folded\r\n",
    b"traceparent: 1\r\n", b"Expect: 100-continue\r\n", b"HTTP/1.0", b"\r\n\r\n",
]  # fmt: skip
# How a delivery's head may be written: without a context, with one, with a tracestate; X-Ray's in Lambda's field or not.
W3C_AND_XRAY = ("traceparent", "x-amzn-trace-id")
FORMS = [
    Form(names, writes_xray=writes_xray and bool(names), closes=closes)
    for names in ((), W3C_AND_XRAY, (*W3C_AND_XRAY, "tracestate"))
    for writes_xray in (False, True)
    for closes in (False, True)
]
VALUES = ("00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01", "Root=1-5759e988-bd862e3f;Sampled=1", 'a="%s\\')
# X-Ray's header as Lambda writes it, and in other ways.
ROOT = st.sampled_from(("5759e988-bd862e3fe1be46a994272793", "00000000-000000000000000000000000"))
PARENT = st.sampled_from(("53995c3f42cd8ad8", "0" * 16))
LINEAGE = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=";="), min_size=1)
USUAL = {
    "root": st.builds("Root=1-{}".format, ROOT),
    "root and lineage": st.builds("Root=1-{};Lineage={}".format, ROOT, LINEAGE),
    "root and parent": st.builds("Root=1-{};Parent={};Sampled={}".format, ROOT, PARENT, st.integers(0, 1)),
    "all": st.builds("Root=1-{};Parent={};Sampled={};Lineage={}".format, ROOT, PARENT, st.integers(0, 1), LINEAGE),
}
USUAL_TRACES = st.sampled_from(sorted(USUAL))

words = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), min_size=1, max_size=40)
wordlike = words.map(lambda text: text.encode("latin-1"))
digits = st.integers(0, 10**14).map(lambda number: b"%d" % number)
lengths = st.integers(0, 120_000).map(lambda number: b"%d" % number)
ids = st.text("0123456789abcdefABCDEF-", min_size=1, max_size=40).map(str.encode)


@pytest.fixture(autouse=True)
def _no_moulds() -> Iterator[None]:
    forget()
    yield
    forget()


def forget() -> None:
    moulds._replies.clear()
    moulds._replies_brake.in_vain = 0
    moulds._results.clear()
    moulds._results_brake.in_vain = 0


def reply_head(
    form: tuple[bytes, ...],
    *,
    request_id: bytes = ID.encode(),
    deadline: bytes = b"4102444800000",
    trace: bytes = b"Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0",
    attempt: bytes = b"a1",
    length: bytes = b"7",
) -> bytes:
    fields = [
        b"HTTP/1.1 200 OK",
        b"Content-Type: application/json",
        b"Lambda-Runtime-Aws-Request-Id: " + request_id,
        b"Lambda-Runtime-Deadline-Ms: " + deadline,
        b"Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-central-1:123456789012:function:orders",
        b"Lambda-Runtime-Trace-Id: " + trace,
        b"Date: Sun, 22 Nov 2026 07:05:00 GMT",
        *filled(form, attempt, length),
    ]
    return b"\r\n".join(fields) + HEAD_END


def filled(form: tuple[bytes, ...], attempt: bytes, length: bytes) -> Iterator[bytes]:
    for line in form:
        yield line.replace(b"%s", attempt if line == ATTEMPT else length)


def result(form: tuple[bytes, ...], request_id: bytes, attempt: bytes, body: bytes) -> bytes:
    fields = b"".join(line + b"\r\n" for line in filled(form, attempt, b"%d" % len(body)))
    return post_head(result_target(request_id), fields) + body


def learn_whole_reply(data: bytes) -> None:
    learn_reply(parse_reply(head_of(data), b"GET"))


def learn_whole_result(data: bytes, request_id: str = ID) -> None:
    learn_result(parse_request(head_of(data)), request_id)


def head_of(data: bytes) -> bytes:
    return data[: data.index(HEAD_END) + 4]


@st.composite
def edited(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with up to three places changed, or one of its lines twice."""
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(("insert", "replace", "delete", "double")))
        if kind == "double":
            lines = data.split(b"\r\n")
            lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(lines)))
            data = b"\r\n".join(lines)
            continue
        piece = b"" if kind == "delete" else draw(st.sampled_from(PIECES) | st.binary(min_size=1, max_size=3))
        data = data[:start] + piece + data[start + (0 if kind == "insert" else draw(st.integers(1, 4))) :]
    return data


def judge_reply(data: bytes) -> None:
    """What a mould says of it is what the parser says."""
    reply = known_reply(data)
    if reply is None:
        return
    judged = parse_reply(head_of(data), b"GET")
    assert (reply.raw, reply.forwarded, reply.closes) == (judged.raw, judged.forwarded, judged.closes)
    assert reply.body_length == judged.body_length
    assert reply.invocation() == judged.invocation()
    assert told_of_trace(reply) == told_of_trace(judged)
    for form in FORMS:
        values = VALUES[: len(form.names)]
        assert event_head(reply, form, values, 7) == event_head(judged, form, values, 7)


def told_of_trace(reply: Response) -> tuple[object, ...]:
    header = moulds.trace_header(reply)
    return header.trace_id_hex, header.parent_id_hex, header.sampled, header.lineage, header.is_well_formed


def judge_result(data: bytes) -> None:
    """What a mould says of it is what the parser says, and all of it is there."""
    found = known_result(data)
    if found is None:
        return
    head = head_of(data)
    judged = parse_request(head)
    assert (found.body_start, judged.body_length) == (len(head), len(data) - len(head))
    assert judged.path == INVOCATION + found.request_id.encode() + b"/response"
    assert "/" not in found.request_id
    assert found.invocation_id.encode("latin-1") == judged.fields.get(b"lambda-runtime-invocation-id", b"")
    assert (judged.method, judged.forwarded) == (b"POST", head)
    assert (found.like.method, found.like.closes) == (judged.method, judged.closes)


@given(
    st.data(),
    st.sampled_from(REPLY_FORMS),
    wordlike,
    digits,
    USUAL_TRACES,
    wordlike,
    st.integers(0, 99_999),
    st.binary(),
)
def test_a_reply_with_other_values_is_known_and_means_what_the_parser_says(
    data: st.DataObject,
    form: tuple[bytes, ...],
    request_id: bytes,
    deadline: bytes,
    usual: str,
    attempt: bytes,
    length: int,
    body: bytes,
) -> None:
    forget()
    learn_whole_reply(reply_head(form, trace=data.draw(USUAL[usual]).encode()))
    trace = data.draw(USUAL[usual]).encode()
    head = reply_head(
        form, request_id=request_id, deadline=deadline, trace=trace, attempt=attempt, length=b"%d" % length
    )
    assert known_reply(head + body) is not None
    judge_reply(head + body)


@given(wordlike, wordlike)
def test_a_reply_is_known_by_any_header_of_x_ray_where_it_was_learned_with_an_unusual_one(
    learned: bytes, trace: bytes
) -> None:
    forget()
    learn_whole_reply(reply_head((LENGTH,), trace=b";" + learned))
    head = reply_head((LENGTH,), trace=trace)
    assert known_reply(head) is not None
    judge_reply(head)


@settings(max_examples=500, deadline=None)
@given(st.data(), st.sampled_from(REPLY_FORMS), wordlike, digits, st.one_of(*USUAL.values()) | words, lengths)
def test_no_change_to_a_reply_makes_a_mould_accept_what_the_parser_refuses_or_reads_otherwise(
    data: st.DataObject,
    form: tuple[bytes, ...],
    request_id: bytes,
    deadline: bytes,
    trace: str,
    length: bytes,
) -> None:
    forget()
    learn_whole_reply(reply_head(form, trace=data.draw(st.one_of(*USUAL.values())).encode()))
    head = reply_head(form, request_id=request_id, deadline=deadline, trace=trace.encode("latin-1"), length=length)
    judge_reply(data.draw(edited(head + b'{"n":1}')))


@settings(deadline=None)
@given(st.data(), st.sampled_from(REPLY_FORMS))
def test_a_reply_that_was_changed_leaves_a_mould_that_says_what_the_parser_says(
    data: st.DataObject, form: tuple[bytes, ...]
) -> None:
    forget()
    changed = data.draw(edited(reply_head(form)))
    with contextlib.suppress(ProtocolError):
        learn_whole_reply(changed + HEAD_END)
    judge_reply(changed)
    judge_reply(data.draw(edited(changed)))


@given(st.sampled_from(RESULT_FORMS), ids, wordlike, st.binary(max_size=300))
def test_a_result_with_other_values_is_known_and_means_what_the_parser_says(
    form: tuple[bytes, ...], request_id: bytes, attempt: bytes, body: bytes
) -> None:
    forget()
    learn_whole_result(result(form, ID.encode(), b"a1", b"{}"))
    other = result(form, request_id, attempt, body)
    found = known_result(other)
    assert found is not None
    assert found.request_id == request_id.decode()
    judge_result(other)


@settings(max_examples=500, deadline=None)
@given(st.data(), st.sampled_from(RESULT_FORMS), ids, wordlike, st.binary(max_size=20))
def test_no_change_to_a_result_makes_a_mould_accept_what_the_parser_refuses_or_reads_otherwise(
    data: st.DataObject, form: tuple[bytes, ...], request_id: bytes, attempt: bytes, body: bytes
) -> None:
    forget()
    learn_whole_result(result(form, ID.encode(), b"a1", b"{}"))
    judge_result(data.draw(edited(result(form, request_id, attempt, body))))


@pytest.mark.parametrize("behind", [-2, -1, 1, 2])
def test_a_result_is_known_only_with_its_whole_body_and_nothing_else(behind: int) -> None:
    whole = post(result_target(), b'{"ok":1}')
    learn_whole_result(whole)
    assert known_result(whole) is not None
    assert known_result(whole[:behind] if behind < 0 else whole + b"PO"[:behind]) is None


def test_a_reply_is_known_only_with_its_whole_head() -> None:
    head = reply_head((LENGTH,))
    learn_whole_reply(head)
    assert known_reply(head) is not None
    for end in range(len(head)):
        assert known_reply(head[:end]) is None


def test_a_length_beyond_what_is_received_at_once_is_left_to_the_parser() -> None:
    learn_whole_reply(reply_head((LENGTH,)))
    assert known_reply(reply_head((LENGTH,), length=b"99999")) is not None
    assert known_reply(reply_head((LENGTH,), length=b"100000")) is None


NO_MOULD = {
    "a repeated field": b"X-A: 1\r\nX-A: 2\r\n",
    "the same in another spelling": b"X-A: 1\r\nx-a: 1\r\n",
    "client context": b"Lambda-Runtime-Client-Context: {}\r\n",
    "identity": b'Lambda-Runtime-Cognito-Identity: {"cognitoIdentityId":"i"}\r\n',
    "traceparent": b"traceparent: 00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01\r\n",
    "Expect": b"Expect: 100-continue\r\n",
    "the connection ends": b"Connection: close\r\n",
    "the connection goes on": b"Connection: keep-alive\r\n",
    "Keep-Alive": b"Keep-Alive: timeout=5\r\n",
    "TE": b"TE: trailers\r\n",
    "Upgrade": b"Upgrade: h2c\r\n",
    "Proxy-Connection": b"Proxy-Connection: keep-alive\r\n",
    "too long": b"X-Long: " + b"x" * 2_048 + b"\r\n",
    "no white space": b"X-A:1\r\n",
    "two blanks": b"X-A:  1\r\n",
    "a tab": b"X-A:\t1\r\n",
    "white space behind": b"X-A: 1 \r\n",
    "an empty value": b"X-A: \r\n",
    "nothing at all": b"X-A:\r\n",
}


@pytest.mark.parametrize("fields", NO_MOULD.values(), ids=NO_MOULD.keys())
def test_a_reply_that_is_one_of_its_kind_leaves_no_mould(fields: bytes) -> None:
    learn_whole_reply(event(fields=fields))
    assert moulds._replies == []


@pytest.mark.parametrize("fields", NO_MOULD.values(), ids=NO_MOULD.keys())
def test_a_result_that_is_one_of_its_kind_leaves_no_mould(fields: bytes) -> None:
    learn_whole_result(post(result_target(), b"{}", fields))
    assert moulds._results == []


UNUSUAL_REPLIES = {
    "an interim status": event().replace(b"200 OK", b"199 OK"),
    "no event": event().replace(b"200 OK", b"403 Forbidden"),
    "HTTP/1.0": event().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "no Content-Type": event().replace(b"Content-Type: application/json\r\n", b""),
    "until the end": event().replace(b"Content-Length: 7\r\n", b""),
}
UNUSUAL_RESULTS = {
    "HTTP/1.0": post(result_target(), b"{}").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "no length": post_head(result_target(), b""),
    "chunked": post_head(result_target(), b"Transfer-Encoding: chunked\r\n") + chunked(b"{}"),
}


@pytest.mark.parametrize("reply", UNUSUAL_REPLIES.values(), ids=UNUSUAL_REPLIES.keys())
def test_a_reply_that_is_framed_or_typed_unusually_leaves_no_mould(reply: bytes) -> None:
    learn_whole_reply(reply)
    assert moulds._replies == []


@pytest.mark.parametrize("request_bytes", UNUSUAL_RESULTS.values(), ids=UNUSUAL_RESULTS.keys())
def test_a_result_that_is_framed_unusually_leaves_no_mould(request_bytes: bytes) -> None:
    learn_whole_result(request_bytes)
    assert moulds._results == []


@pytest.mark.parametrize("request_id", ["2018", "P", "invocation", ""])
def test_a_request_id_that_is_not_found_where_it_should_stand_leaves_no_mould(request_id: str) -> None:
    learn_whole_result(post(result_target(request_id.encode()), b"{}"), request_id)
    assert moulds._results == []


LEARN: dict[str, tuple[Callable[[int], bytes], Callable[[bytes], None], Callable[[bytes], object]]] = {
    "replies": (lambda number: event(fields=b"X-Form: %d\r\n" % number), learn_whole_reply, known_reply),
    "results": (
        lambda number: post(result_target(), b"{}", b"X-Form: %d\r\n" % number),
        learn_whole_result,
        known_result,
    ),
}


@pytest.mark.parametrize(("form", "learn", "known"), LEARN.values(), ids=LEARN.keys())
def test_the_last_four_forms_are_known(
    form: Callable[[int], bytes], learn: Callable[[bytes], None], known: Callable[[bytes], object]
) -> None:
    for number in range(6):
        learn(form(number))
        assert known(form(number)) is not None
    assert [known(form(number)) is not None for number in range(6)] == [False, False, True, True, True, True]
    assert max(len(moulds._replies), len(moulds._results)) == 4


@pytest.mark.parametrize(("form", "learn", "known"), LEARN.values(), ids=LEARN.keys())
def test_of_two_forms_that_alternate_both_are_known(
    form: Callable[[int], bytes], learn: Callable[[bytes], None], known: Callable[[bytes], object]
) -> None:
    learn(form(0))
    learn(form(1))
    for number in (0, 1, 0, 1):
        assert known(form(number)) is not None
    assert known(form(2)) is None


def test_heads_that_fit_no_mould_of_their_own_do_not_push_out_those_of_others() -> None:
    learn_whole_reply(event())
    learn_whole_result(post(result_target(), b"{}"))
    for _ in range(20):
        learn_whole_reply(event(body=b"x" * 100_000))
        learn_whole_result(post(result_target(), b"x" * 100_000))
    assert known_reply(event()) is not None
    assert known_result(post(result_target(), b"{}")) is not None
    assert (len(moulds._replies), len(moulds._results)) == (1, 1)


def test_a_field_that_is_new_each_time_is_learned_ever_more_seldom() -> None:
    for number in range(300):
        learn_whole_reply(event(fields=b"X-Request-Id: %d\r\n" % number))
    assert moulds._replies_brake.in_vain < 13
