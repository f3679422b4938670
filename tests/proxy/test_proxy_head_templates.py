"""Head templates: a head that matches one is valid, and means what the parser says. The parser is
the judge.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrap_otel.http1.errors import RemoteProtocolError
from lrap_otel.http1.heads import HEAD_END
from lrap_otel.proxy.calls import ParsedCall
from lrap_otel.proxy.learned_heads import HeadTemplates
from lrap_otel.proxy.replies import ParsedReply
from lrap_otel.text.learning import PatternCompiler
from tests.known import (
    head_of,
    reply_by_parser,
    reply_by_template,
    result_by_parser,
    result_by_template,
    templates,
)
from tests.proxy.wire import NEXT, chunked, event, post, post_head, result_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ID = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
LENGTH, CODING = b"Content-Length: %s", b"Transfer-Encoding: chunked"
ATTEMPT = b"Lambda-Runtime-Invocation-Id: %s"
# Lambda's usual reply, a chunked one, and one of an attempt that has a number.
REPLY_FORMS = ((LENGTH,), (CODING,), (LENGTH, ATTEMPT), (ATTEMPT, CODING))
TRACE_LINE = b"Lambda-Runtime-Trace-Id: Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0\r\n"
RESULT_FORMS = (
    (b"Content-Type: application/json", LENGTH),
    (LENGTH,),
    (LENGTH, ATTEMPT),
    (ATTEMPT, LENGTH),
)
PIECES = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b": ", b",", b"0", b"7", b"123456", b"\x00", b"\x7f", b"\xe9", b"-", b"%2f", b"/",
    b"Connection: close\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"X-A: 1\r\n", b" folded\r\n",
    b"traceparent: 1\r\n", b"Expect: 100-continue\r\n", b"HTTP/1.0", b"\r\n\r\n",
]  # fmt: skip
# X-Ray's header as Lambda writes it, and in other ways.
ROOT = st.sampled_from(("5759e988-bd862e3fe1be46a994272793", "00000000-000000000000000000000000"))
PARENT = st.sampled_from(("53995c3f42cd8ad8", "0" * 16))
LINEAGE = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=';="\\'), min_size=1
)
USUAL = {
    "root": st.builds("Root=1-{}".format, ROOT),
    "root and lineage": st.builds("Root=1-{};Lineage={}".format, ROOT, LINEAGE),
    "root and parent": st.builds(
        "Root=1-{};Parent={};Sampled={}".format, ROOT, PARENT, st.integers(0, 1)
    ),
    "all": st.builds(
        "Root=1-{};Parent={};Sampled={};Lineage={}".format, ROOT, PARENT, st.integers(0, 1), LINEAGE
    ),
}
USUAL_TRACES = st.sampled_from(sorted(USUAL))

words = st.text(
    st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"),
    min_size=1,
    max_size=40,
)
wordlike = words.map(lambda text: text.encode("latin-1"))
ascii_words = st.text(
    st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40
).map(str.encode)
digits = st.integers(0, 10**14).map(lambda number: b"%d" % number)
deadlines = st.integers(0, 10**19 - 1).map(lambda number: b"%d" % number)
bodies = st.binary(min_size=1)
ids = st.text("0123456789abcdefABCDEF-", min_size=1, max_size=40).map(str.encode)


@pytest.fixture
def heads() -> HeadTemplates:
    """Those of a sandbox whose next heads are learned from."""
    return templates()


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
    return reply_head(form, length=b"%d" % len(body), **values) + (
        chunked(body) if CODING in form else body
    )


def learn_whole_reply(heads: HeadTemplates, data: bytes) -> None:
    heads.events.learn(ParsedReply(head_of(data), b"GET"))


def learn_whole_result(heads: HeadTemplates, data: bytes) -> None:
    heads.results.learn(ParsedCall(head_of(data)))


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
        piece = (
            b""
            if kind == "delete"
            else draw(st.sampled_from(PIECES) | st.binary(min_size=1, max_size=3))
        )
        data = (
            data[:start]
            + piece
            + data[start + (0 if kind == "insert" else draw(st.integers(1, 4))) :]
        )
    return data


def judge_reply(heads: HeadTemplates, data: bytes) -> None:
    """What a template says of it is what the parser says."""
    assert reply_by_template(heads, data) in (None, reply_by_parser(data))


def judge_result(heads: HeadTemplates, data: bytes) -> None:
    """What a template says of it is what the parser says."""
    assert result_by_template(heads, data) in (None, result_by_parser(data))


@given(
    st.data(),
    st.sampled_from(REPLY_FORMS),
    ascii_words,
    deadlines,
    USUAL_TRACES,
    ascii_words,
    bodies,
)
def test_a_reply_with_other_values_is_known_and_means_what_the_parser_says(
    data: st.DataObject,
    form: tuple[bytes, ...],
    request_id: bytes,
    deadline: bytes,
    usual: str,
    attempt: bytes,
    body: bytes,
) -> None:
    heads = templates()
    learn_whole_reply(heads, reply(form, trace=data.draw(USUAL[usual]).encode()))
    trace = data.draw(USUAL[usual]).encode()
    other = reply(
        form, body, request_id=request_id, deadline=deadline, trace=trace, attempt=attempt
    )
    assert heads.events.recognise(other) is not None
    judge_reply(heads, other)
    judge_reply(heads, other + b"H")
    judge_reply(heads, other[:-1])


@pytest.mark.parametrize("form", REPLY_FORMS)
def test_a_head_without_a_trace_is_known_by_its_like(
    heads: HeadTemplates, form: tuple[bytes, ...]
) -> None:
    without = [reply(form, request_id=name).replace(TRACE_LINE, b"") for name in (b"a", b"b")]
    learn_whole_reply(heads, without[0])
    assert heads.events.recognise(without[1]) is not None
    judge_reply(heads, without[1])
    judge_reply(heads, reply(form))


@given(words)
def test_a_reply_with_an_unusual_header_of_x_ray_leaves_no_template(trace: str) -> None:
    heads = templates()
    learn_whole_reply(heads, reply((LENGTH,), trace=b";" + trace.encode("latin-1")))
    assert heads.events.known == []


@settings(max_examples=500, deadline=None)
@given(
    st.data(), st.sampled_from(REPLY_FORMS), wordlike, digits, st.one_of(*USUAL.values()) | words
)
def test_no_change_to_a_reply_makes_a_template_accept_what_the_parser_refuses_or_reads_otherwise(
    data: st.DataObject,
    form: tuple[bytes, ...],
    request_id: bytes,
    deadline: bytes,
    trace: str,
) -> None:
    heads = templates()
    learn_whole_reply(heads, reply(form, trace=data.draw(st.one_of(*USUAL.values())).encode()))
    other = reply(form, request_id=request_id, deadline=deadline, trace=trace.encode("latin-1"))
    judge_reply(heads, data.draw(edited(other)))


@settings(deadline=None)
@given(st.data(), st.sampled_from(REPLY_FORMS))
def test_a_reply_that_was_changed_leaves_a_template_that_says_what_the_parser_says(
    data: st.DataObject, form: tuple[bytes, ...]
) -> None:
    heads = templates()
    changed = data.draw(edited(reply(form)))
    with contextlib.suppress(RemoteProtocolError):
        learn_whole_reply(heads, changed + HEAD_END)
    judge_reply(heads, changed)
    judge_reply(heads, data.draw(edited(changed)))


@given(st.sampled_from(RESULT_FORMS), ids, ascii_words, st.binary(max_size=300))
def test_a_result_with_other_values_is_known_and_means_what_the_parser_says(
    form: tuple[bytes, ...], request_id: bytes, attempt: bytes, body: bytes
) -> None:
    heads = templates()
    learn_whole_result(heads, result(form, ID.encode(), b"a1", b"{}"))
    other = result(form, request_id, attempt, body)
    assert heads.results.recognise(other) is not None
    judge_result(heads, other)


@settings(max_examples=500, deadline=None)
@given(st.data(), st.sampled_from(RESULT_FORMS), ids, wordlike, st.binary(max_size=20))
def test_no_change_to_a_result_makes_a_template_accept_what_the_parser_refuses_or_reads_otherwise(
    data: st.DataObject, form: tuple[bytes, ...], request_id: bytes, attempt: bytes, body: bytes
) -> None:
    heads = templates()
    learn_whole_result(heads, result(form, ID.encode(), b"a1", b"{}"))
    judge_result(heads, data.draw(edited(result(form, request_id, attempt, body))))


@pytest.mark.parametrize("form", REPLY_FORMS)
def test_a_reply_is_recognised_once_its_head_is_whole(
    heads: HeadTemplates, form: tuple[bytes, ...]
) -> None:
    whole = reply(form)
    learn_whole_reply(heads, whole)
    end_of_head = len(head_of(whole))
    for end in range(len(whole)):
        assert (heads.events.recognise(whole[:end]) is not None) == (end >= end_of_head)
        judge_reply(heads, whole[:end])


def test_a_body_of_any_length_may_follow(heads: HeadTemplates) -> None:
    learn_whole_reply(heads, reply((LENGTH,)))
    learn_whole_result(heads, post(result_target(), b"{}"))
    for length in (0, 99_999, 100_000, 6_000_000):
        judge_reply(heads, reply((LENGTH,), b"x" * length))
        found = heads.results.recognise(post(result_target(), b"x" * length))
        assert found is not None
        assert found.body_length == length


def test_what_the_parser_reads_otherwise_than_as_a_number_of_milliseconds_is_left_to_it(
    heads: HeadTemplates,
) -> None:
    learn_whole_reply(heads, reply((LENGTH,)))
    assert heads.events.recognise(reply((LENGTH,), deadline=b"9" * 19)) is not None
    assert heads.events.recognise(reply((LENGTH,), deadline=b"9" * 20)) is None


ANSWER = (
    b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nDate: Sun, 22 Nov 2026 07:05:0%d GMT\r\n"
    b"Content-Length: %d\r\n\r\n"
)


def test_an_answer_is_recognised_by_its_form_whatever_its_date(heads: HeadTemplates) -> None:
    heads.answers.learn(ParsedReply(ANSWER % (0, 16), b"POST"))
    found = heads.answers.recognise(ANSWER % (7, 3) + b"{}\n")
    assert found is not None
    assert (found.status, found.body_length, found.closes) == (202, 3, False)
    assert found.forwarded == found.raw == ANSWER % (7, 3)
    assert heads.answers.recognise((ANSWER % (7, 3)).replace(b"202", b"413")) is None


NO_TEMPLATE = {
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


@pytest.mark.parametrize("fields", NO_TEMPLATE.values(), ids=NO_TEMPLATE.keys())
def test_a_reply_that_is_one_of_its_kind_leaves_no_template(
    heads: HeadTemplates, fields: bytes
) -> None:
    learn_whole_reply(heads, event(fields=fields))
    assert heads.events.known == []


@pytest.mark.parametrize("fields", NO_TEMPLATE.values(), ids=NO_TEMPLATE.keys())
def test_a_result_that_is_one_of_its_kind_leaves_no_template(
    heads: HeadTemplates, fields: bytes
) -> None:
    learn_whole_result(heads, post(result_target(), b"{}", fields))
    assert heads.results.known == []


UNUSUAL_REPLIES = {
    "an interim status": event().replace(b"200 OK", b"199 OK"),
    "no content": event().replace(b"200 OK", b"204 No Content"),
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
def test_a_reply_that_is_framed_or_typed_unusually_leaves_no_template(
    heads: HeadTemplates, reply: bytes
) -> None:
    learn_whole_reply(heads, reply)
    assert heads.events.known == []


@pytest.mark.parametrize("request_bytes", UNUSUAL_RESULTS.values(), ids=UNUSUAL_RESULTS.keys())
def test_a_result_that_is_framed_unusually_leaves_no_template(
    heads: HeadTemplates, request_bytes: bytes
) -> None:
    learn_whole_result(heads, request_bytes)
    assert heads.results.known == []


@pytest.mark.parametrize("request_id", ["2018", "P", "invocation", ""])
def test_a_request_id_that_is_not_found_where_it_should_stand_leaves_no_template(
    heads: HeadTemplates, request_id: str
) -> None:
    learn_whole_result(heads, post(result_target(request_id.encode()), b"{}"))
    assert heads.results.known == []


def test_a_first_head_is_not_learned_from_since_it_may_be_the_last() -> None:
    heads = HeadTemplates(PatternCompiler())
    for is_known in (False, True):
        learn_whole_reply(heads, event())
        assert (heads.events.recognise(event()) is not None) is is_known


LEARN: dict[str, tuple[Callable[[int], bytes], Callable[[HeadTemplates, bytes], None], str]] = {
    "replies": (
        lambda number: event(fields=b"X-Form: %d\r\n" % number),
        learn_whole_reply,
        "events",
    ),
    "results": (
        lambda number: post(result_target(), b"{}", b"X-Form: %d\r\n" % number),
        learn_whole_result,
        "results",
    ),
}


of_each_kind = pytest.mark.parametrize(("form", "learn", "kind"), LEARN.values(), ids=LEARN.keys())


@of_each_kind
def test_the_last_four_forms_are_known(
    heads: HeadTemplates,
    form: Callable[[int], bytes],
    learn: Callable[[HeadTemplates, bytes], None],
    kind: str,
) -> None:
    known = getattr(heads, kind)
    for number in range(6):
        learn(heads, form(number))
        assert known.recognise(form(number)) is not None
    assert [known.recognise(form(number)) is not None for number in range(6)] == [
        False,
        False,
        True,
        True,
        True,
        True,
    ]
    assert len(known.known) == 4


@of_each_kind
def test_of_two_forms_that_alternate_both_are_known(
    heads: HeadTemplates,
    form: Callable[[int], bytes],
    learn: Callable[[HeadTemplates, bytes], None],
    kind: str,
) -> None:
    known = getattr(heads, kind)
    learn(heads, form(0))
    learn(heads, form(1))
    for number in (0, 1, 0, 1):
        assert known.recognise(form(number)) is not None
    assert known.recognise(form(2)) is None


def test_a_field_that_is_new_each_time_is_learned_ever_more_seldom(heads: HeadTemplates) -> None:
    for number in range(300):
        learn_whole_reply(heads, event(fields=b"X-Request-Id: %d\r\n" % number))
    assert heads.events.backoff.misses < 13


def test_only_a_poll_that_comes_again_as_it_is_is_remembered(heads: HeadTemplates) -> None:
    other = NEXT.replace(b"/next", b"/next/other")
    for raw in (other, post(result_target(), b"")[:-2], NEXT.replace(b"HTTP/1.1", b"HTTP/1.0")):
        heads.remember(ParsedCall(raw + b"\r\n" * (not raw.endswith(b"\r\n\r\n"))))
    assert heads.poll is None
    heads.remember(ParsedCall(NEXT))
    assert heads.poll is not None
    assert heads.poll.raw == NEXT
