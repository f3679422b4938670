"""What HTTP messages are made of, well-formed and not."""

from __future__ import annotations

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
    b"\x80", b"\xff", b"fffffffffffffffff", b"0" * 14, b"0" * 24 + b"3\r\nabc\r\n", b"-", b"0x", b"GET / HTTP/1.1\r\n", b"\x7f",
]  # fmt: skip
REPLY_PIECES = [
    b"HTTP/1.1 ", b"HTTP/1.0 ", b"HTTP/2 ", b"200", b"100", b"304", b"204", b"099", b"1000", b" OK", b" ", b" \xe9",
    *HEAD_PIECES[8:],
]  # fmt: skip
HEADS = [
    b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: 127.0.0.1:9001\r\nAccept: */*\r\n\r\n",
    b"POST /2018-06-01/runtime/invocation/8476a536/response HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n",
]
REPLIES = [
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: 8476a536\r\nContent-Length: 3\r\n\r\n",
    b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
]
BODIES = [
    b'1a\r\n{"statusCode":201}\x00\x00\x00\x00\x00\x00\x00\x00\r\n3\r\nabc\r\n0\r\n\r\n',
    b"3;a=b\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
]


def whole_head(data: bytes) -> bytes:
    """What `Stream.read_head` would make a head of."""
    return (data + b"\r\n\r\n").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
