"""Event templates: what the events of a function have in common.

Such events differ in the strings that are values, and hardly in anything else. So one that was
scanned becomes a pattern: its members' names and marks as they are, and between them places for the
values. An event that matches has its headers at the same places, which takes two microseconds to
see at 1 KB where the scan takes twenty.
"""

from _json import encode_basestring_ascii

from lrap_otel.propagation import w3c
from lrap_otel.propagation.carrier.model import STALE_WITH, mask_escapes, unescape
from lrap_otel.propagation.context import NO_SPAN_ID, NO_TRACE_ID, SAMPLED, SpanContext
from lrap_otel.text.byte_format import ByteFormat, Formats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from re import Pattern

    from lrap_otel.propagation.carrier.model import Texts, Values
    from lrap_otel.text.byte_format import Piece

# How the names of both kinds of headers end.
ANY_HEADERS = b'eaders"'
REQUEST_CONTEXT = b'"requestContext":{'
_NO_CONTROL = bytes(1 if byte == 0 else 0 if byte < 32 else byte for byte in range(256))
# The rest of a smaller event is copied sooner than looked at through a memoryview.
_COPIED_BYTES = 16_384
_NO_TRACE_ID, _NO_SPAN_ID = NO_TRACE_ID.encode(), NO_SPAN_ID.encode()


class InsertionPoint:
    """A place in an event where something may be written: the value of `name`, or its name in lower
    case (`is_name`).

    Without a name: the front of a headers object that has `names`; its values are arrays if
    `has_arrays`. `is_read`: the value is what the carrier says of the name. `old` is what is there,
    with the numbers of groups.
    """

    __slots__ = ("has_arrays", "is_name", "is_read", "name", "names", "old")

    def __init__(
        self,
        name: str,
        *,
        is_read: bool = False,
        is_name: bool = False,
        has_arrays: bool = False,
        names: frozenset[str] = frozenset(),
    ) -> None:
        self.name = name
        self.is_read = is_read
        self.is_name = is_name
        self.has_arrays = has_arrays
        self.names = names
        self.old: tuple[Piece, ...] = ()

    def written(self, numbers: "dict[str, int]") -> "Sequence[Piece]":
        """What comes here, if the fields' values have these numbers by their names."""
        if not self.name:
            return self._added(numbers)
        if self.name in numbers:
            return (self.name.encode(),) if self.is_name else (numbers[self.name],)
        if STALE_WITH.get(self.name) in numbers:
            return (self.name.encode(),) if self.is_name else ()
        return self.old

    def _added(self, numbers: "dict[str, int]") -> "Sequence[Piece]":
        opening, closing = (b'":["', b'"],') if self.has_arrays else (b'":"', b'",')
        added = [(name, number) for name, number in numbers.items() if name not in self.names]
        return [
            piece
            for name, number in added
            for piece in (b'"' + name.encode() + opening, number, closing)
        ]


class EventTemplate:
    """The events that match one pattern.

    `points` are in the order of the event; `segments` has the numbers of the groups before each of
    them and after the last. `parent_at` is the number of a traceparent's trace id, which is
    followed by its span id and its flags; -1 if the traceparent is matched as a whole or a
    tracestate is present. `reads` has what the values are made of that are read, by their names;
    `formats` how such an event is written with fields of some names, whose values follow those of
    the groups.
    """

    __slots__ = ("formats", "parent_at", "pattern", "points", "reads", "segments")

    def __init__(
        self,
        pattern: "Pattern[bytes]",
        points: "Sequence[InsertionPoint]",
        segments: "Sequence[int]",
        parent_at: int,
    ) -> None:
        self.pattern = pattern
        self.parent_at = parent_at
        self.points = points
        self.segments = segments
        self.reads = {point.name: point.old for point in points if point.is_read}
        self.formats = Formats(self._format)

    def _format(self, names: "Texts") -> ByteFormat:
        groups = self.pattern.groups
        numbers = {name: number for number, name in enumerate(names, groups)}
        pieces: list[Piece] = []
        for segment, point in zip(self.segments, self.points, strict=False):
            pieces += segment, *point.written(numbers)
        return ByteFormat([*pieces, self.segments[-1]], groups + len(names))


class TemplateMatch:
    """The trace context that an event carries which matches a template.

    `values` are those of the groups of the template's pattern, which ends at `end` of the event.
    """

    __slots__ = ("end", "template", "values")

    def __init__(self, template: EventTemplate, values: "Values", end: int) -> None:
        self.template = template
        self.values = values
        self.end = end

    def get(self, name: str, default: str = "") -> str:
        """The value of a name in lower case."""
        pieces = self.template.reads.get(name)
        if pieces is None:
            return default
        value = b"".join(
            [self.values[piece] if isinstance(piece, int) else piece for piece in pieces]
        )
        return (unescape(value) if value.find(b"\\") >= 0 else value).decode("latin-1")

    def parent(self) -> SpanContext | None:
        """The parent that W3C's fields name; see `w3c.extract`."""
        at = self.template.parent_at
        if at < 0:
            return w3c.extract(self)
        values = self.values
        trace_id, span_id, flags = values[at], values[at + 1], values[at + 2]
        if trace_id == _NO_TRACE_ID or span_id == _NO_SPAN_ID:
            return None
        return SpanContext(
            trace_id.decode(), span_id.decode(), SAMPLED if flags == b"01" else int(flags, 16)
        )

    def write(
        self, event: "bytes | memoryview", names: "Texts", values: "Values"
    ) -> "list[bytes | memoryview]":
        """See `inject.into_event`."""
        if len(names) > 2 or values[-1].find(b'"') >= 0 or values[-1].find(b"\\") >= 0:
            values = tuple(
                [encode_basestring_ascii(value.decode())[1:-1].encode() for value in values]
            )
        written = self.template.formats[names].fill(self.values + values)
        if isinstance(event, bytes) and len(event) <= _COPIED_BYTES:
            return [written + event[self.end :]]
        return [written, memoryview(event)[self.end :]]


def part_that_matters(event: bytes) -> bytes:
    """The event up to the end of its headers and the beginning of its `requestContext`.

    Empty if it has none as Lambda writes it.
    """
    context, headers = event.find(REQUEST_CONTEXT), event.rfind(ANY_HEADERS)
    if context < 0:
        return b""
    return event[
        : context + len(REQUEST_CONTEXT) if context > headers else _end_of_headers(event, headers)
    ]


def _end_of_headers(event: bytes, headers: int) -> int:
    """Where the last headers end, if they hold anything; else 0."""
    end = event.find(b'"}', headers + len(ANY_HEADERS)) + 2
    arrays_end = event.find(b'"]}', headers + len(ANY_HEADERS), end if end > 1 else len(event)) + 3
    return arrays_end if arrays_end > 2 else end if end > 1 else 0


def without_escapes(text: bytes) -> bytes:
    """`text` with its escaped quotes and backslashes masked; empty if it has other escapes, or
    control bytes.
    """
    plain = mask_escapes(text)
    return b"" if plain.find(b"\\") >= 0 or text.translate(_NO_CONTROL) != text else plain
