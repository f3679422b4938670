"""Heads in which only some values change from one message to the next.

Lambda's replies to ``/next`` have the same fields in the same order; request id, deadline, trace id, date and length differ. A
runtime's results differ in the request id and the length. So a head that has passed validation leaves a mould, a pattern with
places for those values; what fits into it is valid too, which takes a microsecond to see instead of ten.
"""

from lrap_otel.http1.messages import CHUNKED, HEAD_END, INVOCATION_FIELDS, LAST_CHUNK, TRACE_ID
from lrap_otel.propagation import xray, xray_forms
from lrap_otel.text.patterns import Brake, Group, Template, Value, compile_pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from re import Pattern

    from lrap_otel.http1.messages import Head, Request, Response
    from lrap_otel.proxy.event_head import Form
    from lrap_otel.text.patterns import Part, Piece

    # A mould and the values in it; where the head ends; where the event starts and ends.
    KnownReply = tuple["Mould", tuple[bytes, ...], int, int, int]
    # Whose result a request brings: request id and invocation id; where its body begins; the request that it is like.
    KnownResult = tuple[str, str, int, Request]

_TEXT = bytes(set(range(32, 256)) - {127})
_WORD = Value(bytes(range(33, 127)))
# What a request id is made of, and means nothing else in a path.
_ID = Value(b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
# No more than fit into what is received at once.
_LENGTH, _CHUNK_SIZE = Value(b"0123456789", 1, 5), Value(b"0123456789abcdefABCDEF", 1, 5)
_CHANGING = {
    b"content-length": _LENGTH,
    b"date": Value(_TEXT),
    b"lambda-runtime-aws-request-id": _WORD,
    b"lambda-runtime-deadline-ms": Value(b"0123456789", 1, 19),
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


class UnknownMatcherError(Exception):
    """This Python's matcher has refused a pattern. None is asked of it again."""


class Mould:
    """What the heads of one form share.

    `pattern` has a group for each value that changes, and the other numbers say which: `request_id_at`, `attempt_at` (the invocation id),
    `deadline_at`, `length_at`, and of X-Ray's header `root_at` (and behind it the rest of the trace id), `parent_at` (and behind it
    whether it is sampled) and `lineage_at`. Where the body `is_chunked`, the pattern goes on to its first chunk, whose size is the length.
    """

    __slots__ = (
        "_lines",
        "_templates",
        "_trace",
        "attempt_at",
        "deadline_at",
        "is_chunked",
        "length_at",
        "lineage_at",
        "parent_at",
        "pattern",
        "request_id_at",
        "root_at",
    )

    def __init__(self, head: "Head", start: "tuple[Part, ...]") -> None:
        """`start` is the start line; `head` is one that `_may_leave_mould`."""
        self.is_chunked = head.body_length == CHUNKED
        self._trace = trace = xray_forms.usual_form(head.fields.get(TRACE_ID, b"").decode("latin-1"))
        # The start line and each field line: its name, and what it is made of.
        self._lines = [(b"", start)]
        parts: list[Part] = [Group(), *start]
        groups: dict[bytes, int] = {}
        for line, (name, value) in zip(head.lines, head.pairs, strict=True):
            line_parts: tuple[Part, ...] = (b"\r\n" + line,)
            if name in _CHANGING:
                groups[name] = _count_groups(parts)
                changing = trace.parts if name == TRACE_ID and trace else (Group(_CHANGING[name]),)
                line_parts = b"\r\n" + line[: -len(value)], *changing
            self._lines.append((name, line_parts))
            parts += line_parts
        parts.append(HEAD_END)
        if self.is_chunked:
            groups[b"content-length"] = _count_groups(parts)
            parts += Group(_CHUNK_SIZE), b"\r\n"
        self.pattern = _compiled(parts)
        self.request_id_at, self.attempt_at, self.deadline_at, self.length_at, self.root_at = [
            groups.get(name, _NOTHING) for name in (*INVOCATION_FIELDS, b"content-length", TRACE_ID)
        ]
        self.parent_at = self.root_at + trace.parent_at if trace and trace.parent_at else _NOTHING
        self.lineage_at = self.root_at + trace.lineage_at if trace and trace.lineage_at else _NOTHING
        self._templates: dict[Form, Template] = {}

    def template(self, form: "Form") -> Template:
        """How such a head is written in this form. The form's values are numbered behind the groups of the pattern."""
        template = self._templates.get(form)
        if template is None:
            template = self._templates[form] = self._template(form)
        return template

    def _template(self, form: "Form") -> Template:
        pieces: list[Piece] = []
        groups = 0
        for name, parts in self._lines:
            for part in parts:
                is_group = isinstance(part, Group)
                groups += is_group
                if name not in form.replaced:
                    pieces.append(groups if is_group else part)  # type: ignore[arg-type]  # there are no other parts
        groups = self.pattern.groups
        pieces += [piece + groups if isinstance(piece, int) else piece for piece in form.pieces]
        return Template(pieces, groups + len(form.names) + 1)

    def trace_header(self, values: "Sequence[bytes]") -> xray.XRayHeader:
        """What Lambda says of the event's trace."""
        if self._trace is None:
            return xray.parse("")
        root = self.root_at
        return self._trace.read([value.decode() for value in values[root : root + self._trace.count]])

    def is_traced(self, values: "Sequence[bytes]") -> bool:
        """See `xray.is_traced`, which takes an object of each event that this does not need."""
        root, parent = self.root_at, self.parent_at
        return (
            parent > 0
            and values[parent + 1] == b"1"
            and bool(values[parent].strip(b"0") and (values[root] + values[root + 1]).strip(b"0"))
        )


def _mould_of(head: "Head", start: "tuple[Part, ...]") -> Mould | None:
    """None if this Python's matcher refuses its pattern, which is no fault of ours."""
    try:
        return Mould(head, start)
    except UnknownMatcherError:
        return None


def _compiled(parts: "Sequence[Part]") -> "Pattern[bytes]":
    pattern = compile_pattern(parts)
    if pattern is None:
        raise UnknownMatcherError
    return pattern


def _count_groups(parts: "Sequence[Part]") -> int:
    return sum(isinstance(part, Group) for part in parts)


# The last one first.
_replies: list[Mould] = []
_results: "list[tuple[Mould, Request]]" = []
_replies_brake, _results_brake = Brake(), Brake()


def known_reply(data: bytes) -> "KnownReply | None":
    """The reply that `data` is, with its whole body and nothing else, in one chunk if in any; None where it has to be parsed."""
    for mould in _replies:
        found = mould.pattern.match(data)
        if found is not None:
            _replies_brake.in_vain = 0
            values, start, end = found.groups(), found.end(), len(data)
            if not mould.is_chunked:
                is_whole = start + int(values[mould.length_at]) == end
                return (mould, values, start, start, end) if is_whole else None
            size = values[mould.length_at]
            end -= len(LAST_CHUNK)
            is_whole = start < end == start + int(size, 16) and data.endswith(LAST_CHUNK)
            return (mould, values, start - len(size) - 2, start, end) if is_whole else None
    return None


def learn_reply(reply: "Response") -> None:
    """Keep the mould of a valid reply that brought an event, if it fits none."""
    trace = reply.fields.get(TRACE_ID)
    is_usual = trace is None or xray_forms.usual_form(trace.decode("latin-1")) is not None
    is_event = reply.status == 200 and b"content-type" in reply.fields and is_usual
    start = reply.raw + b"1\r\n" if reply.body_length == CHUNKED else reply.raw
    if is_event and _fits_none(start, _replies) and _may_leave_mould(reply) and _replies_brake.lets_learn():
        mould = _mould_of(reply, (reply.start_line,))
        if mould is not None and mould.pattern.match(start):
            _replies[:] = [mould, *_replies[: _MOULDS_LIMIT - 1]]


def known_result(data: bytes) -> "KnownResult | None":
    """The request that `data` is, with its whole body and nothing else; None where it has to be parsed."""
    for mould, like in _results:
        found = mould.pattern.match(data)
        if found is not None:
            _results_brake.in_vain = 0
            values, body_start = found.groups(), found.end()
            if body_start + int(values[mould.length_at]) != len(data) or body_start > _LONGEST_BYTES:
                return None
            attempt_at = mould.attempt_at
            invocation_id = values[attempt_at].decode() if attempt_at else ""
            return values[_REQUEST_ID].decode(), invocation_id, body_start, like
    return None


def learn_result(request: "Request", request_id: str) -> None:
    """Keep the mould of a valid request that brought a result, if it fits none."""
    is_new = request.body_length >= 0 and _fits_none(request.raw, [mould for mould, _ in _results])
    if not request_id or not is_new or not _may_leave_mould(request) or not _results_brake.lets_learn():
        return
    before, _, after = request.start_line.partition(request_id.encode("latin-1"))
    mould = _mould_of(request, (before, Group(_ID), after))
    if mould is not None and before.endswith(b"/invocation/") and mould.pattern.match(request.raw):
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
