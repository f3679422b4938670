"""Makes the template of a head (`head_templates`)."""

from lrap_otel.http1.heads import CHUNKED, HEAD_END
from lrap_otel.proxy.calls import INVOCATION_ID, RESULT, ParsedCall
from lrap_otel.proxy.head_templates import CONTENT_LENGTH, HeadTemplate
from lrap_otel.proxy.replies import DEADLINE, REQUEST_ID, TRACE_ID, ParsedReply
from lrap_otel.text.patterns import Group, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrap_otel.http1.heads import Head
    from lrap_otel.proxy.head_templates import Line
    from lrap_otel.text.byte_format import Piece
    from lrap_otel.text.learning import PatternCompiler
    from lrap_otel.text.patterns import Part

_WITHOUT_BODY = frozenset((204, 304))
_TEXT = Value(bytes(set(range(32, 256)) - {127}))
_WORD = Value(bytes(range(33, 127)))
# What a request id is made of, and means nothing else in a path.
_ID = Value(b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_HEX = b"0123456789abcdef"
# The parts of the fields that change, and what their groups are.
_CHANGING: "dict[bytes, tuple[tuple[str, ...], Sequence[bytes | Group]]]" = {
    # As many digits as the parser takes.
    CONTENT_LENGTH: (("length",), [Group(Value(b"0123456789", 1, 18))]),
    b"date": (("date",), [Group(_TEXT)]),
    REQUEST_ID: (("request_id",), [Group(_WORD)]),
    INVOCATION_ID: (("invocation_id",), [Group(_WORD)]),
    DEADLINE: (("deadline",), [Group(Value(b"0123456789", 1, 19))]),
}
# The ways in which Lambda writes X-Ray's header: Root, then Parent and Sampled or neither, then a
# Lineage or nothing.
_ROOT = b"Root=1-", Group(Value(_HEX, 8, 8)), b"-", Group(Value(_HEX, 24, 24))
_PARENT = b";Parent=", Group(Value(_HEX, 16, 16)), b";Sampled=", Group(Value(b"01", 1, 1))
_LINEAGE = b";Lineage=", Group(Value(bytes(set(range(33, 127)) - set(b';="\\'))))
_TRACES: "Sequence[tuple[tuple[str, ...], Sequence[bytes | Group]]]" = (
    (("root", "rest", "parent", "sampled", "lineage"), [*_ROOT, *_PARENT, *_LINEAGE]),
    (("root", "rest", "parent", "sampled"), [*_ROOT, *_PARENT]),
    (("root", "rest", "lineage"), [*_ROOT, *_LINEAGE]),
    (("root", "rest"), [*_ROOT]),
)


def template_of(head: "Head", compiler: "PatternCompiler") -> HeadTemplate | None:
    """The template of a head that may come again; None if it is written unusually, or patterns are
    off.
    """
    parts: list[Part] = [Group()]
    groups: dict[str, int] = {"": 0}
    lines: list[Line] = []

    def add(name: bytes, names: "Sequence[str]", pieces: "Sequence[bytes | Group]") -> None:
        written: list[Piece] = []
        new_names = iter(names)
        for piece in pieces:
            if isinstance(piece, Group):
                written.append(len(groups))
                groups[next(new_names)] = len(groups)
            else:
                written.append(piece)
        lines.append((name, written))
        parts.extend(pieces)

    start = _start_line(head)
    if start is None:
        return None
    add(b"", ("request_id",), start)
    for line, (name, value) in zip(head.lines, head.pairs, strict=True):
        if name == TRACE_ID and isinstance(head, ParsedReply):
            changing = _trace_parts(value, compiler)
            if changing is None:
                return None
        else:
            changing = _CHANGING.get(name, ((), ()))
        names, values = changing
        add(name, names, (b"\r\n" + line[: -len(value)], *values) if names else (b"\r\n" + line,))
    pattern = compiler.compile([*parts, HEAD_END])
    return HeadTemplate(head, pattern, lines, groups) if pattern else None


def _start_line(head: "Head") -> "Sequence[bytes | Group] | None":
    """Of a result, the request id in it changes. None: it is another request, or a target of
    another form.

    A reply without Content-Type is another one when it is rewritten; and one with a status that has
    no body has none, whatever length the next one gives.
    """
    if isinstance(head, ParsedReply):
        may_have_body = head.status not in _WITHOUT_BODY
        return (head.start_line,) if may_have_body and b"content-type" in head.fields else None
    if not isinstance(head, ParsedCall):
        return None
    before, _, after = head.start_line.partition(head.request_id.encode("latin-1") or b"\n")
    is_plain = (
        before.endswith(b"/invocation/")
        and head.path == head.target
        and head.body_length != CHUNKED
    )
    return (before, Group(_ID), after) if is_plain and head.kind == RESULT else None


def _trace_parts(
    value: bytes, compiler: "PatternCompiler"
) -> "tuple[tuple[str, ...], Sequence[bytes | Group]] | None":
    """How Lambda has written this header; None if it is written otherwise."""
    for names, parts in _TRACES:
        pattern = compiler.compile(parts)
        if pattern is not None and pattern.fullmatch(value):
            return names, parts
    return None
