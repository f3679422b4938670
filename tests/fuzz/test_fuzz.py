"""Random and generated inputs, read by us, by h11 and by json."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lrap_otel.http1.bodies import ChunkedBody
from lrap_otel.http1.errors import SERVER, RemoteProtocolError
from lrap_otel.http1.heads import Request, Response
from tests.fuzz.__main__ import run
from tests.fuzz.client_context import check_client_context
from tests.fuzz.fields import FIELDS
from tests.fuzz.framing import check_body, check_head, check_reply
from tests.fuzz.messages import BODY_PIECES, HEAD_PIECES, REPLY_PIECES, whole_head
from tests.fuzz.splice import check_event, judge
from tests.fuzz.vocabulary import PIECES

if TYPE_CHECKING:
    from collections.abc import Callable


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(HEAD_PIECES) | st.binary(max_size=3), max_size=14)
    .map(b"".join)
    .map(whole_head)
)
@example(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n")
@example(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nX-A\r\n\r\n")
def test_a_head_means_to_us_what_it_means_to_h11_or_is_refused_by_a_rule(data: bytes) -> None:
    assert check_head(data) is None


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(REPLY_PIECES) | st.binary(max_size=3), max_size=14)
    .map(b"".join)
    .map(whole_head)
)
@example(b"HTTP/1.1 200 OK\r\n\r\n")
@example(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n")
@example(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
@example(b"HTTP/1.1 199 OK\r\nContent-Type: a\r\nContent-Length: 3\r\n\r\n")
def test_a_replys_head_means_to_us_what_it_means_to_h11_or_is_refused_by_a_rule(
    data: bytes,
) -> None:
    assert check_reply(data) is None


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(BODY_PIECES) | st.binary(max_size=3), max_size=14).map(b"".join))
@example(b"3\r\nabc\r\n0\r\n\r\nGET /")
@example(b"3 ;a\r\nabc\r\n0\r\n\r\n")
def test_a_chunked_body_ends_for_us_where_it_ends_for_h11_or_is_refused_by_a_rule(
    data: bytes,
) -> None:
    assert check_body(data) is None


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=14).map(b"".join))
@example(b"}")
@example(b'{"requestContext":{}}{"headers":{}}')
@example(b'"\\u0074raceparent":"1"')
@example(b'"traceparent":"1","TRACEPARENT":"2"')
@example(b'"traceparent":"1","traceparent":"1"')
def test_an_event_is_left_alone_or_becomes_what_json_makes_of_it(data: bytes) -> None:
    assert check_event(data) is None
    assert check_event(b'{"headers":{' + data + b'},"requestContext":{}}') is None
    assert (
        check_event(
            b'{"headers":{"a":"b"},' + data + b',"requestContext":{},"multiValueHeaders":{}}'
        )
        is None
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=14).map(b"".join))
def test_a_client_context_becomes_what_json_makes_of_it_or_is_left_alone(data: bytes) -> None:
    assert check_client_context(data) is None
    assert check_client_context(b'{"custom":{' + data + b"}}") is None


READERS = {
    "request": Request,
    "reply": lambda head: Response(head, b"GET"),
    "body": lambda data: ChunkedBody(SERVER).take(data),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())
@given(data=st.binary(max_size=200))
def test_no_bytes_make_a_parser_raise_anything_but_its_own_error(
    read: Callable[[bytes], object], data: bytes
) -> None:
    with contextlib.suppress(RemoteProtocolError):
        read(data + b"\r\n\r\n")


def test_5_000_random_inputs_are_read_alike() -> None:
    assert run(5_000, seed=2026) == []


EVENT = '{"headers":{"Traceparent":"1","a":"é"},"n":1.0,"requestContext":{}}'
TRACEPARENT, XRAY = (f'"{name}":"{value}"' for name, value in FIELDS[0])
EDITED = f'{{"headers":{{{XRAY},{TRACEPARENT},"a":"é"}},"n":1.0,"requestContext":{{}}}}'


def test_the_right_edit_is_right() -> None:
    assert judge(EVENT, EDITED, dict(FIELDS[0])) is None


@pytest.mark.parametrize(
    "edited",
    [
        None,
        EVENT,
        EDITED.replace("é", "\\u00e9"),
        EDITED.replace("1.0", "1"),
        EDITED.replace(",", ", "),
        EDITED.replace("traceparent", "Traceparent"),
        EDITED.replace(TRACEPARENT, '"Traceparent":"1"'),
        EDITED.replace(XRAY, f'{XRAY},"Traceparent":"1"'),
        EDITED.replace(XRAY, f"{XRAY},{XRAY}"),
        EDITED.replace(f"{XRAY},", ""),
        EDITED[:-1],
        EDITED + " ",
    ],
)
def test_no_other_edit_passes_for_right(edited: str | None) -> None:
    assert judge(EVENT, edited, dict(FIELDS[0])) is not None
