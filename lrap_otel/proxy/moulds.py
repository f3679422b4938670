"""Heads in which only some values change from one message to the next.

Lambda's replies to ``/next`` have the same fields in the same order; request id, deadline, trace id, date and length differ. A
runtime's results differ in the request id and the length. So a head that has passed validation leaves a mould, a pattern with
places for those values; what fits into it is valid too, which takes a microsecond to see instead of ten.
"""

from lrap_otel.patterns import DIGITS, Brake, Group, Value, compile_pattern
from lrap_otel.proxy.http1 import CHUNKED, HEAD_END, INVOCATION_FIELDS, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from re import Pattern

    from lrap_otel.patterns import Part
    from lrap_otel.proxy.http1 import Head, Request

    Spans = tuple[tuple[int, int], ...]

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
    b"lambda-runtime-trace-id": _WORD,
}
# With one of these a head is hardly like another, or needs more than a look.
_NOT_LEARNED = frozenset(
    (b"lambda-runtime-client-context", b"lambda-runtime-cognito-identity", b"traceparent", b"expect")
)
_LIMIT_BYTES = 2_048
# With whatever values: as much of a head as a record holds.
_LONGEST_BYTES = 16_384
_MOULDS_LIMIT = 4
# The first group is empty, at the very beginning; what stands before all values is counted from there.
_START = (1, 0)
# Of a result's pattern.
_ID_GROUP = 2


class Mould:
    """What the heads of one form share.

    `pattern` has a group for each of the fields that change; `invocation_at` and `length_at` are the groups of what an event's or a
    result's head tells, 0 where it does not tell it.
    """

    __slots__ = ("_lines", "_segments", "invocation_at", "is_chunked", "length_at", "pattern")

    def __init__(self, head: "Head", start: "tuple[Part, ...]") -> None:
        """`start` is the start line; `head` is one that `_may_leave_mould`."""
        self.is_chunked = head.body_length == CHUNKED
        parts: list[Part] = [Group(), *start]
        groups: dict[bytes, int] = {}
        # Of each field line: its name, and where it starts and ends, by a group behind whose value so many bytes come.
        self._lines: list[tuple[bytes, tuple[int, int], tuple[int, int]]] = []
        group = sum(isinstance(part, Group) for part in parts)
        behind = len(start[-1]) if isinstance(start[-1], bytes) else 0
        for line, (name, value) in zip(head.lines, head.pairs, strict=True):
            line_start = group, behind
            if name in _CHANGING:
                parts += b"\r\n" + line[: -len(value)], Group(_CHANGING[name])
                group, behind = group + 1, 0
                groups[name] = group
            else:
                parts.append(b"\r\n" + line)
                behind += 2 + len(line)
            self._lines.append((name, line_start, (group, behind)))
        self.pattern: Pattern[bytes] = compile_pattern([*parts, HEAD_END])
        self.invocation_at = tuple([groups.get(name, 0) for name in INVOCATION_FIELDS])
        self.length_at = groups.get(b"content-length", 0)
        self._segments: dict[frozenset[bytes], list[tuple[int, int, int, int]]] = {}

    def without(self, head: bytes, spans: "Spans", names: frozenset[bytes]) -> bytes:
        """See `Head.without`, for a head with the groups of the pattern at `spans`."""
        segments = self._segments.get(names)
        if segments is None:
            segments = self._segments[names] = self._segments_without(names)
        return b"".join(
            [
                head[spans[group][1] + behind : spans[last_group][1] + last_behind]
                for group, behind, last_group, last_behind in segments
            ]
        )

    def _segments_without(self, names: frozenset[bytes]) -> list[tuple[int, int, int, int]]:
        """The stretches of a head that lie between the lines that go."""
        segments = []
        start, end = _START, self._lines[0][1]
        for name, line_start, line_end in self._lines:
            if name in names:
                segments.append((*start, *line_start))
                start = line_end
            end = line_end
        return [*segments, (*start, *end)]


class MouldedReply(Response):
    """A reply to ``/next`` whose head came out of a mould. It has no `lines`, no `pairs` and no `fields`."""

    __slots__ = ("_mould", "_spans")

    def __init__(self, data: bytes, mould: Mould, spans: "Spans") -> None:
        """`data` begins with the head, and `spans` are those of the pattern's groups in it, the first being the whole."""
        self._mould = mould
        self._spans = spans
        self.raw = self.forwarded = data[: spans[0][1]]
        self.closes = False
        start, end = spans[mould.length_at]
        self.body_length = CHUNKED if mould.is_chunked else int(data[start:end])

    def invocation(self) -> list[str]:
        """See `Response.invocation`."""
        text, spans = self.raw.decode("latin-1"), self._spans
        return [text[spans[group][0] : spans[group][1]] if group else "" for group in self._mould.invocation_at]

    def without(self, names: frozenset[bytes]) -> bytes:
        """See `Head.without`."""
        return self._mould.without(self.raw, self._spans, names)


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
            return MouldedReply(data, mould, found.regs)
    return None


def learn_reply(reply: Response) -> None:
    """Keep the mould of a valid reply that brought an event, if it fits none."""
    is_new = b"content-type" in reply.fields and _fits_none(reply.raw, _replies)
    if is_new and _may_leave_mould(reply) and _replies_brake.lets_learn():
        mould = Mould(reply, (reply.start_line,))
        if mould.pattern.match(reply.raw):
            _replies[:] = [mould, *_replies[: _MOULDS_LIMIT - 1]]


def known_result(data: bytes) -> Result | None:
    """The request that `data` is, with its whole body and nothing else; None where it has to be parsed."""
    for mould, like in _results:
        found = mould.pattern.match(data)
        if found is not None:
            _results_brake.in_vain = 0
            spans = found.regs
            length_start, length_end = spans[mould.length_at]
            is_whole = spans[0][1] + int(data[length_start:length_end]) == len(data)
            if not is_whole or spans[0][1] > _LONGEST_BYTES:
                return None
            id_start, id_end = spans[_ID_GROUP]
            attempt_start, attempt_end = spans[mould.invocation_at[1]]
            invocation_id = data[attempt_start:attempt_end] if mould.invocation_at[1] else b""
            return Result(like, data[id_start:id_end].decode(), invocation_id.decode("latin-1"), spans[0][1])
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
