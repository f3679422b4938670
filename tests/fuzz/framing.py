"""h11 beside our parser: both agree, or differ by a rule that stands here. None of these rules
changes a framing.

A verdict is what a reader makes of bytes: how a head is framed and what follows it, or that it is
refused.
"""

from __future__ import annotations

import re
import zlib
from random import Random

import h11

from lrap_otel.http1.bodies import ChunkedBody, body_of, dechunk
from lrap_otel.http1.errors import SERVER, RemoteProtocolError
from lrap_otel.http1.heads import CHUNKED, Request, Response
from lrap_otel.proxy.calls import ParsedCall
from lrap_otel.proxy.replies import ParsedReply
from tests import known
from tests.known import REFUSED

# A body by length, by chunks and by the end of the connection are three different parts of it.
AFTER_A_REPLY = b"5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"
# How many heads, nearly the same as one that leaves a template, are held against it.
NEAR = 6
# Of the results' bodies that stand behind a request head.
RESULT_LENGTHS = (0, 3, 9)

# What h11 takes and we refuse, each with its reason.
STRICTER = {
    "two lengths, though equal": rb"(?ims)^content-length[^\n]*\n(.*\n)?content-length",
    "a list of equal lengths": rb"(?im)^content-length:[^\n]*,",
    "white space after a length": rb"(?im)^content-length:[^\r\n]*[ \t]\r?\n",
    "a length beside a coding": rb"(?ims)(^content-length.*^transfer-encoding|^transfer-encoding.*^content-length)",
    "a coding in HTTP/1.0": rb"(?im)\A[^\r\n]* HTTP/1\.0\r?\n(.*\n)*transfer-encoding",
    "a bare LF": rb"(?<!\r)\n",
    "a folded line": rb"\n[ \t]",
    "an empty length": rb"(?im)^content-length:[ \t]*\r?\n",
    "a length of more than 18 digits": rb"(?im)^content-length:[ \t]*[0-9]{19}",
    "HTTP of another version": rb"\A[^\r\n]* HTTP/(?!1\.[01]\r?\n)",
    "control bytes in a value": rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]",
    "a bare CR": rb"\r(?!\n)",
}
STRICTER_REPLY = STRICTER | {
    "a coding in HTTP/1.0": rb"(?im)\AHTTP/1\.0 .*\n(.*\n)*transfer-encoding",
    "HTTP of another version": rb"\AHTTP/(?!1\.[01] )",
}
# What we refuse in a chunked body and h11 takes.
STRICTER_BODY = {
    "a bare LF": rb"(?<!\r)\n",
    "a folded line": rb"\n[ \t]",
    "white space after a chunk's size": rb"(?i)[0-9a-f][ \t]+(\r\n|;|\Z)",
    "a size of more than 15 digits": rb"(?i)[0-9a-f]{16}",
    "control bytes": rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]",
    "a bare CR": rb"\r(?!\n)",
    "a line of more than 4 KB": rb"[^\r\n]{4094}",
}
# What we pass on and h11 refuses: whether there is a Host is Lambda's to judge, bytes above 127 are
# kept (E16, E20), and a field in the trailers frames nothing.
PASSED = {
    "no Host or several": rb"(?is)\A(?!.*\nhost:)|\nhost:.*\nhost:",
    "bytes above 127 in the target": rb"\A[^\r\n]*[\x80-\xff]",
}
PASSED_REPLY = {"a switch of protocols that nobody asked for": rb"\AHTTP/1\.[01] 101 "}
PASSED_BODY = {"a framing field in the trailers": rb"(?i)\n(content-length|transfer-encoding):"}


def ours_of_head(data: bytes) -> object:
    """Method, target, fields and framing of a request head; `REFUSED`."""
    try:
        request = Request(data)
    except RemoteProtocolError:
        return REFUSED
    # h11 gives a coding in lower case.
    fields = [
        (name, value.lower() if name == b"transfer-encoding" else value)
        for name, value in request.pairs
    ]
    return request.method, request.target, fields, _framing(request.body_length)


def _framing(length: int) -> object:
    return "chunked" if length == CHUNKED else length


def h11s_of_head(data: bytes) -> object:
    """The same by h11."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 22)
    try:
        connection.receive_data(data)
        request = connection.next_event()
    except h11.RemoteProtocolError:
        return REFUSED
    if not isinstance(request, h11.Request):
        return REFUSED
    fields = [
        (b"proxy-" if name.startswith(b"proxy-") else name, value)
        for name, value in request.headers
    ]
    values = dict(fields)
    framing = (
        "chunked" if b"transfer-encoding" in values else int(values.get(b"content-length", b"0"))
    )
    return request.method, request.target, fields, framing


def ours_of_reply(data: bytes) -> object:
    """Status and fields of a reply's head, and what of `AFTER_A_REPLY` is its body, to the end or
    not; `REFUSED`.
    """
    try:
        reply = Response(data, b"GET")
    except RemoteProtocolError:
        return REFUSED
    fields = [
        (name, value.lower() if name == b"transfer-encoding" else value)
        for name, value in reply.pairs
    ]
    body = body_of(reply)
    return reply.status, fields, body.take(AFTER_A_REPLY), body.is_complete


def h11s_of_reply(data: bytes) -> object:
    """The same by h11."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 22)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    try:
        connection.receive_data(data + AFTER_A_REPLY)
        reply = event = connection.next_event()
        while isinstance(event, (h11.Response, h11.Data)):
            event = connection.next_event()
    except h11.RemoteProtocolError:
        return REFUSED
    if not isinstance(reply, (h11.Response, h11.InformationalResponse)):
        return REFUSED
    fields = [
        (b"proxy-" if name.startswith(b"proxy-") else name, value) for name, value in reply.headers
    ]
    is_complete = isinstance(event, (h11.EndOfMessage, h11.InformationalResponse))
    rest = len(connection.trailing_data[0]) if is_complete else 0
    return reply.status_code, fields, len(AFTER_A_REPLY) - rest, is_complete


def ours_of_body(data: bytes, cut: int = 0) -> object:
    """Payload and length on the wire of a chunked body that comes in two pieces; None if it is not
    whole; `REFUSED`.
    """
    framing = ChunkedBody(SERVER)
    try:
        taken = framing.take(data[:cut])
        taken += framing.take(data[taken:]) if taken == cut else 0
    except RemoteProtocolError:
        return REFUSED
    return (
        (dechunk([piece for piece in (data[: min(cut, taken)], data[cut:taken]) if piece]), taken)
        if framing.is_complete
        else None
    )


def h11s_of_body(data: bytes) -> object:
    """The same by h11."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 22)
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.next_event()
    if data:  # to h11, nothing at all is the end of the connection
        connection.receive_data(data)
    payload = b""
    try:
        while isinstance(event := connection.next_event(), h11.Data):
            payload += event.data
    except h11.RemoteProtocolError:
        return REFUSED
    if not isinstance(event, h11.EndOfMessage):
        return None
    return payload, len(data) - len(connection.trailing_data[0])


def check_head(data: bytes) -> str | None:
    """What is wrong with our reading of a request head that ends with its blank line; None where
    nothing is.
    """
    ours, theirs = ours_of_head(data), h11s_of_head(data)
    difference = _difference(data, ours, theirs, STRICTER, PASSED)
    return difference or (None if REFUSED in (ours, theirs) else _check_results_template(data))


def check_reply(data: bytes) -> str | None:
    """What is wrong with our reading of a reply's head that ends with its blank line; None where
    nothing is.
    """
    ours, theirs = ours_of_reply(data), h11s_of_reply(data)
    difference = _difference(data, ours, theirs, STRICTER_REPLY, PASSED_REPLY)
    return difference or (None if REFUSED in (ours, theirs) else _check_replys_template(data))


def _check_results_template(data: bytes) -> str | None:
    """What a result's head leaves reads it, and what is nearly the same, as the parser does, or
    leaves it to the parser.
    """
    heads = known.templates()
    heads.results.learn(ParsedCall(data))
    for near in _near(data):
        for length in RESULT_LENGTHS:
            whole = near + bytes(length)
            recognised = known.result_by_template(heads, whole)
            if recognised is not None and recognised != (parsed := known.result_by_parser(whole)):
                return f"{whole!r}: by the template of {data!r} {recognised!r}, by the parser {parsed!r}"
    return None


def _check_replys_template(data: bytes) -> str | None:
    """The same of a reply's head, with a body after it."""
    heads = known.templates()
    heads.events.learn(ParsedReply(data, b"GET"))
    for near in _near(data):
        whole = known.with_body(near)
        recognised = known.reply_by_template(heads, whole)
        if recognised is not None and recognised != (parsed := known.reply_by_parser(whole)):
            return (
                f"{whole!r}: by the template of {data!r} {recognised!r}, by the parser {parsed!r}"
            )
    return None


def _near(data: bytes) -> list[bytes]:
    """`data`, and the same with a byte or two changed: where, the data itself decides."""
    random = Random(zlib.crc32(data))
    near = [data]
    for _ in range(NEAR):
        start = random.randrange(len(data))
        piece = random.choice(
            (b"", b"7", b" ", b":", b"/", b"\r\n", b"\n", random.randbytes(1), data[start:][:2] * 2)
        )
        near.append(data[:start] + piece + data[start + random.randrange(3) :])
    return near


def check_body(data: bytes) -> str | None:
    """What is wrong with our reading of a chunked body and what stands behind it; None where
    nothing is.
    """
    ours, theirs = ours_of_body(data), h11s_of_body(data)
    cut = zlib.crc32(data) % (len(data) + 1)
    in_two = ours_of_body(data, cut)
    if in_two != ours:
        return f"{data!r}: ours {ours!r}, but {in_two!r} where it comes in two pieces, cut at {cut}"
    if ours == REFUSED and theirs is None:
        theirs = h11s_of_body(
            data + b"\r\n\r\n"
        )  # it looks at trailers only when all of them have come
    return _difference(data, ours, theirs, STRICTER_BODY, PASSED_BODY)


def _difference(
    data: bytes, ours: object, theirs: object, stricter: dict[str, bytes], passed: dict[str, bytes]
) -> str | None:
    rules: dict[str, bytes] = {}
    if ours == REFUSED:
        rules = stricter
    elif theirs == REFUSED:
        rules = passed
    if ours == theirs or any(re.search(rule, data) for rule in rules.values()):
        return None
    return f"{data!r}: ours {ours!r}, h11's {theirs!r}"
