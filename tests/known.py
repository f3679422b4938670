"""What a mould and what the parser say of the same bytes, in one form, so that they can be compared."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lrap_otel.http1.messages import (
    CHUNKED,
    TRACE_ID,
    ChunkedBody,
    ProtocolError,
    Request,
    Response,
    dechunk,
    parse_request,
)
from lrap_otel.propagation import xray
from lrap_otel.proxy import head_templates
from lrap_otel.proxy.event_head import Form, event_head
from lrap_otel.proxy.exchange import INVOCATION

if TYPE_CHECKING:
    from lrap_otel.propagation.xray import XRayHeader

REFUSED = "refused"
# How a delivery's head may be written: without a context, with one, with a tracestate; X-Ray's in Lambda's field or not.
_W3C_AND_XRAY = ("traceparent", "x-amzn-trace-id")
_FORMS = [
    Form(names, writes_xray=writes_xray and bool(names), closes=closes)
    for names in ((), _W3C_AND_XRAY, (*_W3C_AND_XRAY, "tracestate"))
    for writes_xray in (False, True)
    for closes in (False, True)
]
_VALUES = (
    b"00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01",
    b"Root=1-5759e988-bd862e3f;Sampled=1",
    b'a="%s\\',
)


def head_of(data: bytes) -> bytes:
    """As far as the first blank line."""
    return data[: data.find(b"\r\n\r\n") + 4]


def reply_by_mould(data: bytes) -> object:
    """All that is told of an event's reply; None where no mould fits."""
    known = head_templates.known_reply(data)
    if known is None:
        return None
    mould, values, head_end, start, end = known
    request_id, attempt, deadline = (
        values[at].decode() for at in (mould.request_id_at, mould.attempt_at, mould.deadline_at)
    )
    trace = mould.trace_header(values)
    assert mould.is_traced(values) == xray.is_traced(trace)
    assert values[mould.lineage_at].decode() == trace.lineage
    heads = [
        mould.template(form).filled((*values, *_VALUES[: len(form.names)], b"%d" % (end - start))) for form in _FORMS
    ]
    return data[:head_end], data[start:end], (request_id, attempt, deadline), _told_of_trace(trace), heads


def reply_by_parser(data: bytes) -> object:
    """The same; `REFUSED` also where it is not all, where something stands behind it, or the connection ends."""
    try:
        reply = Response(head_of(data), b"GET")
        payload = _payload(reply, data[len(reply.raw) :])
    except ProtocolError:
        return REFUSED
    if payload is None or reply.forwarded != reply.raw or reply.closes or reply.status != 200:
        return REFUSED
    trace = xray.parse(reply.fields.get(TRACE_ID, b"").decode("latin-1"))
    heads = [event_head(reply, form, _VALUES[: len(form.names)], len(payload)) for form in _FORMS]
    return reply.raw, payload, reply.invocation(), _told_of_trace(trace), heads


def _payload(reply: Response, body: bytes) -> bytes | None:
    if reply.body_length != CHUNKED:
        return body if reply.body_length == len(body) else None
    framing = ChunkedBody()
    is_all = framing.take(body) == len(body) and framing.is_complete
    return dechunk([body]) if is_all else None


def _told_of_trace(header: XRayHeader) -> tuple[object, ...]:
    return header.trace_id_hex, header.parent_id_hex, header.sampled, header.lineage


def result_by_mould(data: bytes) -> object:
    """Whose result a request brings, and where its body starts; None where no mould fits."""
    known = head_templates.known_result(data)
    if known is None:
        return None
    request_id, attempt, body_start, like = known
    assert (like.method, like.closes) == (b"POST", False)
    return request_id, attempt, body_start


def result_by_parser(data: bytes) -> object:
    """The same; `REFUSED` also where that is not all, or the request goes on otherwise than it came."""
    head = head_of(data)
    try:
        request = parse_request(head)
    except ProtocolError:
        return REFUSED
    if request.body_length != len(data) - len(head) or request.forwarded != head or request.closes:
        return REFUSED
    attempt = request.fields.get(b"lambda-runtime-invocation-id", b"").decode("latin-1")
    return request_id_of(request), attempt, len(head)


def request_id_of(request: Request) -> str | None:
    """See `Exchange._route`."""
    request_id, _, endpoint = request.path.removeprefix(INVOCATION).partition(b"/")
    is_result = request.method == b"POST" and request.path.startswith(INVOCATION) and endpoint == b"response"
    return request_id.decode("latin-1") if is_result else None


def with_body(head: bytes) -> bytes:
    """A reply's head with a body that fits what it seems to say, whatever it really says."""
    length = re.search(rb"(?i)content-length: *([0-9]{1,5})\r", head)
    return head + (b"x" * int(length[1]) if length else b"3\r\nabc\r\n0\r\n\r\n")
