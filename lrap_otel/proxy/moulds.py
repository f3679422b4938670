"""Heads in which only some values change from one message to the next.

Lambda's replies to ``/next`` have the same fields in the same order; request id, deadline, trace id, date and length differ. A
runtime's results differ in the request id and the length. So a head that has passed validation leaves a mould, a pattern with
places for those values; what fits into it is valid too, which takes a microsecond to see instead of ten.
"""

from _operator import itemgetter

from lrap_otel.patterns import DIGITS, Brake, Group, Value, compile_pattern
from lrap_otel.propagation import xray
from lrap_otel.proxy.http1 import CHUNKED, HEAD_END, INVOCATION_FIELDS, TRACE_ID, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from re import Match, Pattern

    from lrap_otel.patterns import Part
    from lrap_otel.proxy.event_head import Form
    from lrap_otel.proxy.http1 import Head, Request

    # The pieces of a text, every other of them a place for a value; and what takes the values for those from the head's and ours.
    Rewriting = tuple[list[str], Callable[[list[str]], tuple[str, ...]]]

_TEXT = bytes(set(range(32, 256)) - {127})
_WORD = Value(_TEXT.replace(b" ", b""))
# What a request id is made of, and means nothing else in a path.
_ID = Value(b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_CHANGING = {
    # No more than fit into what is received at once.
    b"content-length": Value(b"0123456789", 1, 5),
    b"date": Value(_TEXT),
    b"lambda-runtime-aws-request-id": _WORD,
    b"lambda-runtime-deadline-ms": DIGITS,
    b"lambda-runtime-invocation-id": _WORD,
    TRACE_ID: _WORD,
}
# With one of these a head is hardly like another, or needs more than a look.
_NOT_LEARNED = frozenset(
    (b"lambda-runtime-client-context", b"lambda-runtime-cognito-identity", b"traceparent", b"expect")
)
_LIMIT_BYTES = 2_048
# With whatever values: as much of a head as a record holds.
_LONGEST_BYTES = 16_384
_MOULDS_LIMIT = 4
# Among the groups of a pattern: the first is empty, for what a head does not tell; the second of a result's is its request id.
_NOTHING, _REQUEST_ID = 0, 1
# Where a value stands. No head has this byte.
PLACE = "\0"


class Mould:
    """What the heads of one form share.

    `pattern` has a group for each value that changes, and the other numbers say which: `attempt_at` is the invocation id,
    `length_at` the length, and at `trace_at` X-Ray's header begins, as the values of its `usual` form or, where it has none, as a
    whole. `invocation` takes `INVOCATION_FIELDS` from all of them.
    """

    __slots__ = (
        "_lines",
        "_rewritings",
        "attempt_at",
        "invocation",
        "is_chunked",
        "length_at",
        "pattern",
        "trace_at",
        "usual",
    )

    def __init__(self, head: "Head", start: "tuple[Part, ...]") -> None:
        """`start` is the start line; `head` is one that `_may_leave_mould`."""
        self.is_chunked = head.body_length == CHUNKED
        self.usual = xray.usual_form(head.fields.get(TRACE_ID, b"").decode("latin-1"))
        # The start line and each field line: its name, and what it is made of.
        self._lines = [(b"", start)]
        parts: list[Part] = [Group(), *start]
        groups: dict[bytes, int] = {}
        for line, (name, value) in zip(head.lines, head.pairs, strict=True):
            line_parts: tuple[Part, ...] = (b"\r\n" + line,)
            if name in _CHANGING:
                groups[name] = sum(isinstance(part, Group) for part in parts)
                changing = self.usual.parts if name == TRACE_ID and self.usual else (Group(_CHANGING[name]),)
                line_parts = b"\r\n" + line[: -len(value)], *changing
            self._lines.append((name, line_parts))
            parts += line_parts
        self.pattern: Pattern[bytes] = compile_pattern([*parts, HEAD_END])
        self.attempt_at = groups.get(INVOCATION_FIELDS[1], _NOTHING)
        self.invocation: Callable[[list[str]], tuple[str, ...]] = itemgetter(
            *[groups.get(name, _NOTHING) for name in INVOCATION_FIELDS]
        )
        self.trace_at = groups.get(TRACE_ID, _NOTHING)
        self.length_at = groups.get(b"content-length", _NOTHING)
        self._rewritings: dict[Form, Rewriting] = {}

    def rewriting(self, form: "Form") -> "Rewriting":
        """How such a head is written in this form."""
        rewriting = self._rewritings.get(form)
        if rewriting is None:
            rewriting = self._rewritings[form] = self._rewriting(form)
        return rewriting

    def _rewriting(self, form: "Form") -> "Rewriting":
        text, groups = "", 0
        kept = [_NOTHING]  # so that `itemgetter` makes a tuple of whatever there is
        for name, parts in self._lines:
            for part in parts:
                groups += isinstance(part, Group)
                if name not in form.replaced:
                    text += part.decode("latin-1") if isinstance(part, bytes) else PLACE
                    kept += [groups] if isinstance(part, Group) else []
        literals = f"{PLACE}{text}{form.text}".split(PLACE)
        pieces = [piece for literal in literals for piece in (literal, "")][:-1]
        return pieces, itemgetter(*kept, *[groups + 1 + number for number in form.order])


class MouldedReply(Response):
    """A reply to ``/next`` whose head came out of a mould. It has no `lines`, no `pairs` and no `fields`."""

    __slots__ = ("_mould", "_values")

    def __init__(self, mould: Mould, found: "Match[bytes]") -> None:
        self._mould = mould
        self.raw = self.forwarded = found[0]
        # None of them has a line end.
        self._values = values = b"\n".join(found.groups()).decode("latin-1").split("\n")
        self.closes = False
        self.body_length = CHUNKED if mould.is_chunked else int(values[mould.length_at])

    def invocation(self) -> tuple[str, ...]:
        """See `Response.invocation`."""
        return self._mould.invocation(self._values)

    def trace_header(self) -> xray.XRayHeader:
        """What Lambda says of the event's trace."""
        mould, values = self._mould, self._values
        return mould.usual.read(values, mould.trace_at) if mould.usual else xray.parse(values[mould.trace_at])

    def rewritten(self, form: "Form", values: list[str]) -> bytes:
        """This head in the form of a delivery's, with these values in it."""
        template, taken = self._mould.rewriting(form)
        pieces = template.copy()
        pieces[1::2] = taken(self._values + values)
        return "".join(pieces).encode("latin-1")


def trace_header(reply: Response) -> xray.XRayHeader:
    """What Lambda says of an event's trace."""
    if type(reply) is MouldedReply:
        return reply.trace_header()
    return xray.parse(reply.fields.get(TRACE_ID, b"").decode("latin-1"))


class Result:
    """A whole request that brings a result: whose it is, where in it the body begins, and the request that it is like."""

    __slots__ = ("body_start", "invocation_id", "like", "request_id")

    def __init__(self, like: "Request", request_id: str, invocation_id: str, body_start: int) -> None:
        self.like = like
        self.request_id = request_id
        self.invocation_id = invocation_id
        self.body_start = body_start


# The last one first.
_replies: list[Mould] = []
_results: "list[tuple[Mould, Request]]" = []
_replies_brake, _results_brake = Brake(), Brake()


def known_reply(data: bytes) -> MouldedReply | None:
    """The head of an event's reply, with which `data` begins; None where it has to be parsed."""
    for mould in _replies:
        found = mould.pattern.match(data)
        if found is not None:
            _replies_brake.in_vain = 0
            return MouldedReply(mould, found)
    return None


def learn_reply(reply: Response) -> None:
    """Keep the mould of a valid reply that brought an event, if it fits none."""
    is_event = reply.status == 200 and b"content-type" in reply.fields
    if is_event and _fits_none(reply.raw, _replies) and _may_leave_mould(reply) and _replies_brake.lets_learn():
        mould = Mould(reply, (reply.start_line,))
        if mould.pattern.match(reply.raw):
            _replies[:] = [mould, *_replies[: _MOULDS_LIMIT - 1]]


def known_result(data: bytes) -> Result | None:
    """The request that `data` is, with its whole body and nothing else; None where it has to be parsed."""
    for mould, like in _results:
        found = mould.pattern.match(data)
        if found is not None:
            _results_brake.in_vain = 0
            values, body_start = found.groups(), found.end()
            if body_start + int(values[mould.length_at]) != len(data) or body_start > _LONGEST_BYTES:
                return None
            invocation_id = values[mould.attempt_at].decode("latin-1")
            return Result(like, values[_REQUEST_ID].decode(), invocation_id, body_start)
    return None


def learn_result(request: "Request", request_id: str) -> None:
    """Keep the mould of a valid request that brought a result, if it fits none."""
    is_new = request.body_length >= 0 and _fits_none(request.raw, [mould for mould, _ in _results])
    if not request_id or not is_new or not _may_leave_mould(request) or not _results_brake.lets_learn():
        return
    before, _, behind = request.start_line.partition(request_id.encode("latin-1"))
    mould = Mould(request, (before, Group(_ID), behind))
    if before.endswith(b"/invocation/") and mould.pattern.match(request.raw):
        _results[:] = [(mould, request), *_results[: _MOULDS_LIMIT - 1]]


def _fits_none(head: bytes, moulds: list[Mould]) -> bool:
    return not any(mould.pattern.match(head) for mould in moulds)


def _may_leave_mould(head: "Head") -> bool:
    """It comes again with other values: it went on as it came, on a connection that goes on, each name once and plainly written."""
    return (
        head.forwarded is head.raw
        and not head.closes
        and len(head.raw) <= _LIMIT_BYTES
        and len(head.fields) == len(head.pairs)
        and _NOT_LEARNED.isdisjoint(head.fields)
        and (head.body_length == CHUNKED or b"content-length" in head.fields)
        and all(
            line == line[: len(name)] + b": " + value and value
            for line, (name, value) in zip(head.lines, head.pairs, strict=True)
        )
    )
