"""Random and generated inputs, read by us and by h11."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lrap_otel.proxy.http1 import ChunkedBody, ProtocolError, Response, parse_request
from tests.fuzz.__main__ import run
from tests.fuzz.inputs import BODY_PIECES, HEAD_PIECES, whole_head
from tests.fuzz.oracle import check_body, check_head

if TYPE_CHECKING:
    from collections.abc import Callable


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(HEAD_PIECES) | st.binary(max_size=3), max_size=14).map(b"".join).map(whole_head))
@example(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n")
@example(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nX-A\r\n\r\n")
def test_a_head_means_to_us_what_it_means_to_h11_or_is_refused_by_a_rule(data: bytes) -> None:
    assert check_head(data) is None


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(BODY_PIECES) | st.binary(max_size=3), max_size=14).map(b"".join))
@example(b"3\r\nabc\r\n0\r\n\r\nGET /")
@example(b"3 ;a\r\nabc\r\n0\r\n\r\n")
def test_a_chunked_body_ends_for_us_where_it_ends_for_h11_or_is_refused_by_a_rule(data: bytes) -> None:
    assert check_body(data) is None


READERS = {
    "request": parse_request,
    "reply": lambda head: Response(head, b"GET"),
    "body": lambda data: ChunkedBody().take(data),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())
@given(data=st.binary(max_size=200))
def test_no_bytes_make_a_parser_raise_anything_but_its_own_error(read: Callable[[bytes], object], data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        read(data + b"\r\n\r\n")


def test_3_000_random_inputs_are_read_alike() -> None:
    assert run(3_000, seed=2026) == []
