"""Random inputs that look enough like HTTP to get past a parser's first lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

HEAD_PIECES = [
    b"GET ", b"POST ", b"/", b"/2018-06-01/runtime/invocation/next", b"*", b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0",
    b"\r\n", b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b": ", b",", b"0", b"3", b"18446744073709551616", b"\x00", b"\x0b",
    b"\x7f", b"\x80", b"\xff", b"Host: x\r\n", b"Content-Length", b"Content-Length: 3\r\n", b"content-length: 3, 3\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer-Encoding", b"chunked",
    b"Connection: close\r\n", b"Proxy-Connection: x\r\n", b"Trailer: X-T\r\n", b"X-A: 1\r\n", b"X-A:\r\n", b" folded\r\n",
    b"Expect: 100-continue\r\n", b"_", b"+", b"-", b"x", b'"', b"{", b"Lambda-Runtime-Trace-Id: Root=1;\r\n",
]  # fmt: skip
BODY_PIECES = [
    b"0\r\n", b"0\r\n\r\n", b"1\r\nx\r\n", b"3\r\nabc\r\n", b"A\r\n0123456789\r\n", b"a", b"F", b"g", b"3", b"00", b";", b"=",
    b'"q"', b" ", b"\t", b"\r\n", b"\r\n", b"\n", b"\r", b"X-T: 1\r\n", b"X-T:\r\n", b": ", b"Content-Length: 1\r\n", b"\x00",
    b"\x80", b"\xff", b"fffffffffffffffff", b"-", b"0x", b"GET / HTTP/1.1\r\n", b"\x7f",
]  # fmt: skip
_WHOLE_HEADS = [
    b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: 127.0.0.1:9001\r\nAccept: */*\r\n\r\n",
    b"POST /2018-06-01/runtime/invocation/8476a536/response HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n",
]
_WHOLE_BODIES = [
    b'1a\r\n{"statusCode":201}\x00\x00\x00\x00\x00\x00\x00\x00\r\n3\r\nabc\r\n0\r\n\r\n',
    b"3;a=b\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
]


def head(random: Random) -> bytes:
    """A request head up to its first blank line."""
    data = _mutated(random, _WHOLE_HEADS, HEAD_PIECES)
    return whole_head(data)


def whole_head(data: bytes) -> bytes:
    """What `Stream.read_head` would make a head of."""
    return (data + b"\r\n\r\n").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def body(random: Random) -> bytes:
    """A chunked body, and more."""
    return _mutated(random, _WHOLE_BODIES, BODY_PIECES)


def _mutated(random: Random, whole: list[bytes], pieces: list[bytes]) -> bytes:
    if random.random() < 0.3:
        return b"".join(random.choices(pieces, k=random.randrange(1, 12)))
    data = random.choice(whole)
    for _ in range(random.randrange(1, 4)):
        start = random.randrange(len(data) + 1)
        end = start + random.choice((0, 0, 1, 1, 2, 8))
        data = data[:start] + random.choice((b"", random.choice(pieces), random.randbytes(1))) + data[end:]
    return data
