"""What a template and what the parser say of the same bytes, in one form, so that they can be
compared.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lrap_otel.http1.bodies import ChunkedBody, dechunk
from lrap_otel.http1.errors import SERVER, RemoteProtocolError
from lrap_otel.http1.heads import CHUNKED
from lrap_otel.proxy.calls import RESULT, ParsedCall
from lrap_otel.proxy.learned_heads import HeadTemplates
from lrap_otel.proxy.replies import HeadRewrite, ParsedReply
from lrap_otel.text.learning import PatternCompiler

if TYPE_CHECKING:
    from lrap_otel.propagation.xray import XRayHeader
    from lrap_otel.proxy.head_templates import Reply

REFUSED = "refused"
# How a delivery's head may be written: without a context, with one, with a tracestate; X-Ray's in
# Lambda's field or not.
_W3C_AND_XRAY = ("traceparent", "x-amzn-trace-id")
_REWRITES = [
    HeadRewrite(names, writes_xray=writes_xray and bool(names), closes=closes)
    for names in ((), _W3C_AND_XRAY, (*_W3C_AND_XRAY, "tracestate"))
    for writes_xray in (False, True)
    for closes in (False, True)
]
_VALUES = (
    b"00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01",
    b"Root=1-5759e988-bd862e3f;Sampled=1",
    b'a="%s\\',
)


def templates() -> HeadTemplates:
    """Of a sandbox that has seen an event, so that the next is learned from."""
    heads = HeadTemplates(PatternCompiler())
    for kind in (heads.results, heads.events, heads.answers):
        kind.backoff.should_learn()
    return heads


def head_of(data: bytes) -> bytes:
    """As far as the first blank line."""
    return data[: data.find(b"\r\n\r\n") + 4]


def reply_by_template(heads: HeadTemplates, data: bytes) -> object:
    """All that the head of an event's reply says, and its payload; None if no template matches."""
    reply = heads.events.recognise(data)
    if reply is None:
        return None
    assert (reply.forwarded, reply.closes, reply.is_recognised) == (reply.raw, False, True)
    return _said_of(reply, data)


def reply_by_parser(data: bytes) -> object:
    """The same; `REFUSED` also if it goes on otherwise than it came, or the connection ends."""
    try:
        reply = ParsedReply(head_of(data), b"GET")
    except RemoteProtocolError:
        return REFUSED
    return REFUSED if reply.forwarded != reply.raw or reply.closes else _said_of(reply, data)


def _said_of(reply: Reply, data: bytes) -> object:
    assert not isinstance(reply.status, bytes)
    heads = [reply.rewritten(rewrite, _VALUES[: len(rewrite.names)], 7) for rewrite in _REWRITES]
    trace = _said_of_trace(reply.trace()), reply.lineage(), reply.is_traced(), reply.parent()
    payload = _payload(reply, data[len(reply.raw) :])
    return (
        reply.raw,
        reply.status,
        reply.body_length,
        payload,
        reply.invocation(),
        reply.client_context(),
        trace,
        heads,
    )


def _payload(reply: Reply, body: bytes) -> object:
    """None if it is not all, or something follows it."""
    if reply.body_length != CHUNKED:
        return body if reply.body_length == len(body) else None
    framing = ChunkedBody(SERVER)
    try:
        is_all = framing.take(body) == len(body) and framing.is_complete
    except RemoteProtocolError:
        return REFUSED
    return dechunk([body]) if is_all else None


def _said_of_trace(header: XRayHeader) -> tuple[object, ...]:
    return header.trace_id_hex, header.parent_id_hex, header.sampled, header.lineage


def result_by_template(heads: HeadTemplates, data: bytes) -> object:
    """Whose result a request brings, and its framing; None if no template matches."""
    call = heads.results.recognise(data)
    if call is None:
        return None
    assert (call.method, call.closes, call.forwarded) == (b"POST", False, call.raw)
    return call.kind, call.request_id, call.invocation_id, call.body_length, call.raw


def result_by_parser(data: bytes) -> object:
    """The same; `REFUSED` also if the request goes on otherwise than it came."""
    try:
        call = ParsedCall(head_of(data))
    except RemoteProtocolError:
        return REFUSED
    if call.forwarded != call.raw or call.closes or call.kind != RESULT:
        return REFUSED
    return call.kind, call.request_id, call.invocation_id, call.body_length, call.raw


def with_body(head: bytes) -> bytes:
    """A reply's head with a body that fits what it seems to say, whatever it really says."""
    length = re.search(rb"(?i)content-length: *([0-9]{1,5})\r", head)
    return head + (b"x" * int(length[1]) if length else b"3\r\nabc\r\n0\r\n\r\n")
