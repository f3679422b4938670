"""Moulds: what fits into one is valid, and means what the parser says. The parser is the judge of each case."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrap_otel.http1.messages import HEAD_END, ProtocolError, parse_reply, parse_request
from lrap_otel.proxy import head_templates
from lrap_otel.proxy.head_templates import known_reply, known_result, learn_reply, learn_result
from tests.known import head_of, reply_by_mould, reply_by_parser, result_by_mould, result_by_parser
from tests.proxy.wire import chunked, event, post, post_head, result_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ID = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
LENGTH, CODING = b"Content-Length: %s", b"Transfer-Encoding: chunked"
ATTEMPT = b"Lambda-Runtime-Invocation-Id: %s"
# Lambda's usual reply, a chunked one, and one of an attempt that has a number.
REPLY_FORMS = ((LENGTH,), (CODING,), (LENGTH, ATTEMPT), (ATTEMPT, CODING))
TRACE_LINE = b"Lambda-Runtime-Trace-Id: Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0\r\n"
RESULT_FORMS = ((b"Content-Type: application/json", LENGTH), (LENGTH,), (LENGTH, ATTEMPT), (ATTEMPT, LENGTH))
PIECES = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b": ", b",", b"0", b"7", b"123456", b"\x00", b"\x7f", b"\xe9", b"-", b"%2f", b"/",
    b"Connection: close\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"X-A: 1\r\n", b" folded\r\n",
    b"traceparent: 1\r\n", b"Expect: 100-continue\r\n", b"HTTP/1.0", b"\r\n\r\n",
]  # fmt: skip
# X-Ray's header as Lambda writes it, and in other ways.
ROOT = st.sampled_from(("5759e988-bd862e3fe1be46a994272793", "00000000-000000000000000000000000"))
PARENT = st.sampled_from(("53995c3f42cd8ad8", "0" * 16))
LINEAGE = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=';="\\'), min_size=1)
USUAL = {
    "root": st.builds("Root=1-{}".format, ROOT),
    "root and lineage": st.builds("Root=1-{};Lineage={}".format, ROOT, LINEAGE),
    "root and parent": st.builds("Root=1-{};Parent={};Sampled={}".format, ROOT, PARENT, st.integers(0, 1)),
    "all": st.builds("Root=1-{};Parent={};Sampled={};Lineage={}".format, ROOT, PARENT, st.integers(0, 1), LINEAGE),
}
USUAL_TRACES = st.sampled_from(sorted(USUAL))

words = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), min_size=1, max_size=40)
wordlike = words.map(lambda text: text.encode("latin-1"))
ascii_words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40).map(str.encode)
digits = st.integers(0, 10**14).map(lambda number: b"%d" % number)
deadlines = st.integers(0, 10**19 - 1).map(lambda number: b"%d" % number)
bodies = st.binary(min_size=1)
ids = st.text("0123456789abcdefABCDEF-", min_size=1, max_size=40).map(str.encode)


@pytest.fixture(autouse=True)
def _no_moulds() -> Iterator[None]:
    forget()
    yield
    forget()


def forget() -> None:
    head_templates._replies.clear()
    head_templates._replies_brake.in_vain = 0
    head_templates._results.clear()
    head_templates._results_brake.in_vain = 0


def reply_head(
    form: tuple[bytes, ...],
    *,
    request_id: bytes = ID.encode(),
    deadline: bytes = b"4102444800000",
    trace: bytes = b"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0",
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


def reply(form: tuple[bytes, ...], body: bytes = b'{"n":1}', **values: bytes) -> bytes:
    """A whole one."""
    return reply_head(form, length=b"%d" % len(body), **values) + (chunked(body) if CODING in form else body)


def learn_whole_reply(data: bytes) -> None:
    learn_reply(parse_reply(head_of(data), b"GET"))


def learn_whole_result(data: bytes, request_id: str = ID) -> None:
    learn_result(parse_request(head_of(data)), request_id)


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
    """What a mould says of it is what the parser says, and all of it is there."""
    assert reply_by_mould(data) in (None, reply_by_parser(data))


def judge_result(data: bytes) -> None:
    """What a mould says of it is what the parser says, and all of it is there."""
    found = result_by_mould(data)
    assert found in (None, result_by_parser(data))
    assert found is None or "/" not in found[0]


@given(st.data(), st.sampled_from(REPLY_FORMS), ascii_words, deadlines, USUAL_TRACES, ascii_words, bodies)
def test_a_reply_with_other_values_is_known_and_means_what_the_parser_says(
    data: st.DataObject,
    form: tuple[bytes, ...],
    request_id: bytes,
    deadline: bytes,
    usual: str,
    attempt: bytes,
    body: bytes,
) -> None:
    forget()
    learn_whole_reply(reply(form, trace=data.draw(USUAL[usual]).encode()))
    trace = data.draw(USUAL[usual]).encode()
    other = reply(form, body, request_id=request_id, deadline=deadline, trace=trace, attempt=attempt)
    assert known_reply(other) is not None
    judge_reply(other)
    judge_reply(other + b"H")
    judge_reply(other[:-1])


@pytest.mark.parametrize("form", REPLY_FORMS)
def test_a_head_without_a_trace_is_known_by_its_like(form: tuple[bytes, ...]) -> None:
    without = [reply(form, request_id=name).replace(TRACE_LINE, b"") for name in (b"a", b"b")]
    learn_whole_reply(without[0])
    assert known_reply(without[1]) is not None
    judge_reply(without[1])
    judge_reply(reply(form))


@given(words)
def test_a_reply_with_an_unusual_header_of_x_ray_leaves_no_mould(trace: str) -> None:
    forget()
    learn_whole_reply(reply((LENGTH,), trace=b";" + trace.encode("latin-1")))
    assert head_templates._replies == []


@settings(max_examples=500, deadline=None)
@given(st.data(), st.sampled_from(REPLY_FORMS), wordlike, digits, st.one_of(*USUAL.values()) | words)
def test_no_change_to_a_reply_makes_a_mould_accept_what_the_parser_refuses_or_reads_otherwise(
    data: st.DataObject,
    form: tuple[bytes, ...],
    request_id: bytes,
    deadline: bytes,
    trace: str,
) -> None:
    forget()
    learn_whole_reply(reply(form, trace=data.draw(st.one_of(*USUAL.values())).encode()))
    other = reply(form, request_id=request_id, deadline=deadline, trace=trace.encode("latin-1"))
    judge_reply(data.draw(edited(other)))


@settings(deadline=None)
@given(st.data(), st.sampled_from(REPLY_FORMS))
def test_a_reply_that_was_changed_leaves_a_mould_that_says_what_the_parser_says(
    data: st.DataObject, form: tuple[bytes, ...]
) -> None:
    forget()
    changed = data.draw(edited(reply(form)))
    with contextlib.suppress(ProtocolError):
        learn_whole_reply(changed + HEAD_END)
    judge_reply(changed)
    judge_reply(data.draw(edited(changed)))


@given(st.sampled_from(RESULT_FORMS), ids, ascii_words, st.binary(max_size=300))
def test_a_result_with_other_values_is_known_and_means_what_the_parser_says(
    form: tuple[bytes, ...], request_id: bytes, attempt: bytes, body: bytes
) -> None:
    forget()
    learn_whole_result(result(form, ID.encode(), b"a1", b"{}"))
    other = result(form, request_id, attempt, body)
    assert known_result(other) is not None
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


@pytest.mark.parametrize("form", REPLY_FORMS)
def test_a_reply_is_known_only_as_a_whole(form: tuple[bytes, ...]) -> None:
    whole = reply(form)
    learn_whole_reply(whole)
    assert known_reply(whole) is not None
    for end in range(len(whole)):
        assert known_reply(whole[:end]) is None
    assert known_reply(whole + b"H") is None


def test_a_length_beyond_what_is_received_at_once_is_left_to_the_parser() -> None:
    learn_whole_reply(reply((LENGTH,)))
    assert known_reply(reply((LENGTH,), b"x" * 99_999)) is not None
    assert known_reply(reply((LENGTH,), b"x" * 100_000)) is None


def test_what_the_parser_reads_otherwise_than_as_a_number_of_milliseconds_is_left_to_it() -> None:
    learn_whole_reply(reply((LENGTH,)))
    assert known_reply(reply((LENGTH,), deadline=b"9" * 19)) is not None
    assert known_reply(reply((LENGTH,), deadline=b"9" * 20)) is None


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
    assert head_templates._replies == []


@pytest.mark.parametrize("fields", NO_MOULD.values(), ids=NO_MOULD.keys())
def test_a_result_that_is_one_of_its_kind_leaves_no_mould(fields: bytes) -> None:
    learn_whole_result(post(result_target(), b"{}", fields))
    assert head_templates._results == []


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
    assert head_templates._replies == []


@pytest.mark.parametrize("request_bytes", UNUSUAL_RESULTS.values(), ids=UNUSUAL_RESULTS.keys())
def test_a_result_that_is_framed_unusually_leaves_no_mould(request_bytes: bytes) -> None:
    learn_whole_result(request_bytes)
    assert head_templates._results == []


@pytest.mark.parametrize("request_id", ["2018", "P", "invocation", ""])
def test_a_request_id_that_is_not_found_where_it_should_stand_leaves_no_mould(request_id: str) -> None:
    learn_whole_result(post(result_target(request_id.encode()), b"{}"), request_id)
    assert head_templates._results == []


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
    assert max(len(head_templates._replies), len(head_templates._results)) == 4


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
    assert (len(head_templates._replies), len(head_templates._results)) == (1, 1)


def test_a_field_that_is_new_each_time_is_learned_ever_more_seldom() -> None:
    for number in range(300):
        learn_whole_reply(event(fields=b"X-Request-Id: %d\r\n" % number))
    assert head_templates._replies_brake.in_vain < 13
