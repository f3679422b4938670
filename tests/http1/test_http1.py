"""Heads and bodies by themselves: each case whole, byte by byte, and with the next message behind
it.
"""

from __future__ import annotations

import _socket
import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.http1.bodies import ChunkedBody, LengthBody, body_of, chunk_size, dechunk
from lrap_otel.http1.errors import SERVER, DisconnectedError, RemoteProtocolError
from lrap_otel.http1.heads import CHUNKED, UNTIL_CLOSE, Request, Response
from lrap_otel.http1.stream import Stream
from tests.proxy.wire import ACCEPTED, NEXT, event, post, post_head

if TYPE_CHECKING:
    from collections.abc import Iterator

BEHIND = b"GET /behind HTTP/1.1\r\n\r\n"


@pytest.fixture
def pair() -> Iterator[tuple[Stream, socket.socket]]:
    """A stream and its peer."""
    near, far = socket.socketpair()
    stream = Stream(_socket.socket(fileno=near.detach()), SERVER)
    yield stream, far
    stream.close()
    far.close()


HEADS = {
    "next": NEXT,
    "nothing but the line": b"GET / HTTP/1.1\r\n\r\n",
    "empty value": b"GET / HTTP/1.1\r\nX-A:\r\nX-B: \r\n\r\n",
    "values with tabs": b"GET / HTTP/1.1\r\nX-A:\t1\t2\t\r\n\r\n",
    "blank within a line": b"GET / HTTP/1.1\r\nX-A: \\r\\n\\r\\n\r\n\r\n",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
def test_a_head_is_read_whole_byte_by_byte_and_with_bytes_behind_it(
    pair: tuple[Stream, socket.socket], head: bytes
) -> None:
    stream, far = pair
    far.sendall(head)
    assert stream.read_head() == head
    far.sendall(head + BEHIND)
    assert stream.read_head() == head
    assert stream.read_head() == BEHIND
    far.sendall(head[:-1])
    assert bytes([*stream.socket.recv(65_536)]) == head[:-1]
    stream.buffered = head[:1]
    far.sendall(head[1:])
    assert stream.read_head() == head
    assert Request(head).raw == head


@given(st.lists(st.integers(1, 90), max_size=6))
def test_a_head_is_the_same_however_it_is_split(cuts: list[int]) -> None:
    near, far = socket.socketpair()
    stream = Stream(_socket.socket(fileno=near.detach()), SERVER)
    data = NEXT + BEHIND
    with far:
        start = 0
        for cut in sorted({*cuts, len(data)}):
            far.sendall(data[start:cut])
            start = max(start, min(cut, len(data)))
        assert stream.read_head() == NEXT
        assert stream.read_head() == BEHIND
    assert stream.read_head() == b""
    stream.close()


def test_an_end_inside_a_head_is_not_an_end_in_good_order(
    pair: tuple[Stream, socket.socket],
) -> None:
    stream, far = pair
    far.sendall(NEXT[:-1])
    far.close()
    with pytest.raises(DisconnectedError, match="inside a head"):
        stream.read_head()


BODIES = {
    "one chunk": (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
    "chunks": (b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n", b"abcd"),
    "nothing": (b"0\r\n\r\n", b""),
    "upper-case hex": (b"1A\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n", b"x" * 26),
    "zeros in front": (b"0000000000000003\r\nabc\r\n00\r\n\r\n", b"abc"),
    "extensions": (b'3;a;b=c;d="e"\r\nabc\r\n0;f\r\n\r\n', b"abc"),
    "trailers": (b"1\r\na\r\n0\r\nX-A: 1\r\nX-B:\r\n\r\n", b"a"),
    "line ends inside": (b"6\r\n\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n\r\n"),
}


@pytest.mark.parametrize(("body", "payload"), BODIES.values(), ids=BODIES.keys())
def test_a_chunked_body_is_followed_whole_byte_by_byte_and_with_bytes_behind_it(
    body: bytes, payload: bytes
) -> None:
    whole = ChunkedBody(SERVER)
    assert (whole.take(body), whole.is_complete) == (len(body), True)
    followed = ChunkedBody(SERVER)
    assert (followed.take(body + BEHIND), followed.is_complete) == (len(body), True)
    bytewise = ChunkedBody(SERVER)
    for position in range(len(body)):
        assert not bytewise.is_complete
        assert bytewise.take(body[position : position + 1]) == 1
    assert bytewise.is_complete
    assert bytewise.take(BEHIND) == 0
    for cut in range(1, len(body)):
        assert dechunk([body[:cut], body[cut:]]) == payload
    assert dechunk([body[position : position + 1] for position in range(len(body))]) == payload
    assert dechunk([body]) == payload


MALFORMED = [
    b"\r\n",
    b"x\r\n",
    b"3 \r\n",
    b"3 ;a\r\n",
    b"-1\r\n",
    b"+1\r\n",
    b"0x1\r\n",
    b"1\n",
    b"1\r\r\n",
    b"1;\x00\r\n",
    b"00000000000000003\r\n",
    b"1000000000000000\r\n",
    b"3\r\nabc0\r\n",
    b"3\r\nabc\n0",
    b"3\r\nabc\r0",
    b"0\r\nX\r\n",
    b"0\r\n X: 1\r\n",
    b"0\r\nX: 1\n",
    b"1;" + b"x" * 4_100,
]


@pytest.mark.parametrize("body", MALFORMED)
def test_a_malformed_chunked_body_is_refused_whole_byte_by_byte_and_with_bytes_behind_it(
    body: bytes,
) -> None:
    with pytest.raises(RemoteProtocolError):
        ChunkedBody(SERVER).take(body)
    with pytest.raises(RemoteProtocolError):
        ChunkedBody(SERVER).take(body + BEHIND)
    bytewise = ChunkedBody(SERVER)
    with pytest.raises(RemoteProtocolError):
        [bytewise.take(body[position : position + 1]) for position in range(len(body))]


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.data())
def test_a_chunked_body_is_the_same_however_it_is_split(
    chunks: list[bytes], data: st.DataObject
) -> None:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    framing = ChunkedBody(SERVER)
    pieces: list[bytes] = []
    taken = 0
    while taken < len(body):
        assert framing.expected_bytes <= len(body) - taken
        size = data.draw(st.integers(1, len(body)))
        pieces.append(body[taken : taken + size])
        taken += framing.take(pieces[-1])
    assert framing.is_complete
    assert dechunk(pieces) == b"".join(chunks)


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.data())
def test_what_needs_no_look_in_a_chunked_body_may_be_passed_over(
    chunks: list[bytes], data: st.DataObject
) -> None:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    framing = ChunkedBody(SERVER)
    pieces: list[bytes | memoryview] = []
    taken = 0
    while taken < len(body):
        passed = data.draw(st.integers(0, framing.unframed_bytes))
        if passed:
            framing.pass_over(passed)
            pieces.append(memoryview(body)[taken : taken + passed])
            taken += passed
            continue
        pieces.append(body[taken : taken + data.draw(st.integers(1, len(body)))])
        taken += framing.take(body[taken : taken + len(pieces[-1])])
    assert framing.is_complete
    assert dechunk(pieces) == b"".join(chunks)


def test_a_body_of_known_length_may_be_passed_over() -> None:
    framing = LengthBody(7)
    framing.pass_over(3)
    assert (framing.unframed_bytes, framing.is_complete) == (4, False)
    framing.pass_over(4)
    assert framing.is_complete
    assert LengthBody(UNTIL_CLOSE).unframed_bytes == 0


def test_a_trailer_as_long_as_a_head_passes_and_a_longer_one_does_not() -> None:
    assert ChunkedBody(SERVER).take(b"0\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n") == 1_000_010
    with pytest.raises(RemoteProtocolError, match="too long"):
        ChunkedBody(SERVER).take(b"0\r\nX: " + b"x" * 1_100_000)


def test_a_body_of_known_length_ends_where_it_says() -> None:
    body = LengthBody(3)
    assert (body.take(b"ab"), body.is_complete) == (2, False)
    assert (body.take(b"cdef"), body.is_complete) == (1, True)
    assert LengthBody(0).is_complete


def test_a_body_that_ends_with_the_connection_takes_everything() -> None:
    body = LengthBody(UNTIL_CLOSE)
    assert (body.take(b"abc"), body.is_complete) == (3, False)


FRAMINGS = {
    "request without": (Request(NEXT).body_length, 0),
    "request with length": (Request(post(b"/", b"abc")[:-3]).body_length, 3),
    "request chunked": (
        Request(post_head(b"/", b"transfer-ENCODING:Chunked\r\n")).body_length,
        CHUNKED,
    ),
    "reply without": (Response(b"HTTP/1.1 200 OK\r\n\r\n", b"GET").body_length, UNTIL_CLOSE),
    "reply with length": (Response(event()[:-7], b"GET").body_length, 7),
    "reply to HEAD": (Response(event()[:-7], b"HEAD").body_length, 0),
    "reply without reason": (Response(b"HTTP/1.1 204\r\n\r\n", b"GET").body_length, 0),
    "interim": (Response(b"HTTP/1.1 100 Continue\r\n\r\n", b"POST").body_length, 0),
    "not modified": (
        Response(b"HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n", b"GET").body_length,
        0,
    ),
}


@pytest.mark.parametrize(("length", "expected"), FRAMINGS.values(), ids=FRAMINGS.keys())
def test_a_head_says_how_long_its_body_is(length: int, expected: int) -> None:
    assert length == expected


ENDINGS = {
    "1.1": (b"GET / HTTP/1.1\r\n\r\n", False),
    "1.1 close": (b"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", True),
    "1.1 among others": (b"GET / HTTP/1.1\r\nConnection: x\r\nconnection: a , close\r\n\r\n", True),
    "1.0": (b"GET / HTTP/1.0\r\n\r\n", True),
    "1.0 keep-alive": (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
}


@pytest.mark.parametrize(("head", "closes"), ENDINGS.values(), ids=ENDINGS.keys())
def test_a_head_says_whether_its_connection_ends(head: bytes, closes: bool) -> None:
    assert Request(head).closes is closes


def test_of_repeated_fields_the_first_counts_and_all_go_on() -> None:
    reply = Response(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n", b"GET")
    assert reply.fields[b"x-a"] == b"1"
    assert reply.forwarded == reply.raw


def test_a_chunk_size_is_hex() -> None:
    assert [chunk_size(line) for line in (b"0", b"a", b"FF", b"10;x")] == [0, 10, 255, 16]


def test_what_follows_a_head_is_chosen_by_its_framing() -> None:
    assert isinstance(
        body_of(Request(post_head(b"/", b"Transfer-Encoding: chunked\r\n"))), ChunkedBody
    )
    assert isinstance(body_of(Response(ACCEPTED[:-16], b"POST")), LengthBody)
