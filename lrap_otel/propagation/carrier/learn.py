"""Makes the template of an event that was scanned (`templates`)."""

from lrap_otel.propagation import w3c
from lrap_otel.propagation.carrier.model import KEEPS_ITS_SPELLING
from lrap_otel.propagation.carrier.templates import (
    REQUEST_CONTEXT,
    EventTemplate,
    InsertionPoint,
    part_that_matters,
    without_escapes,
)
from lrap_otel.text.patterns import Group, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.propagation.carrier.scanned import ScannedCarrier
    from lrap_otel.text.learning import PatternCompiler
    from lrap_otel.text.patterns import Part

    # By where what may be written starts and ends.
    Points = dict[tuple[int, int], InsertionPoint]

_DIGITS = b"0123456789"
# The inside of a JSON string: no quote, no backslash, no control byte.
_STRING = Value(bytes(set(range(32, 256)) - set(b'"\\')), 0)
_LITERAL_LIMIT_BYTES = 4_096
# A traceparent of the version that is in use: trace id, span id and flags are the groups.
_HEX = b"0123456789abcdef"
_TRACEPARENT = (
    b"00-",
    Group(Value(_HEX, 32, 32)),
    b"-",
    Group(Value(_HEX, 16, 16)),
    b"-",
    Group(Value(_HEX, 2, 2)),
)
_TRACEPARENT_BYTES = 55


def template_of(
    event: bytes, carrier: "ScannedCarrier", compiler: "PatternCompiler"
) -> EventTemplate | None:
    """The template of an event with this carrier; None if it would hardly match another."""
    points = _points_of(carrier)
    plain = without_escapes(part_that_matters(event)) if points else b""
    if not points or not plain or not _is_the_events_own(plain, event.count(REQUEST_CONTEXT)):
        return None
    template = _template_of(plain, points, compiler)
    return template if template is not None and _fits(template, plain, points) else None


def _is_the_events_own(plain: bytes, count: int) -> bool:
    """The `requestContext` is the only one, and a member of the event itself: it makes it an HTTP
    event.
    """
    before = b"".join(plain[: plain.find(REQUEST_CONTEXT)].split(b'"')[::2])
    return (
        count == 1
        and before.count(b"{") - before.count(b"}") == 1
        and before.count(b"[") == before.count(b"]")
    )


def _points_of(carrier: "ScannedCarrier") -> "Points | None":
    """Where something may be written; None if a name comes twice, or there is no member to write
    beside.
    """
    points: Points = {}
    read = {name: headers for headers in carrier.objects for name in headers.spans}
    for headers in carrier.objects:
        if headers.is_null or headers.is_empty:
            return None
        front = headers.start + 1
        points[front, front] = InsertionPoint(
            "", has_arrays=headers.has_arrays, names=frozenset(headers.spans)
        )
        mark = 2 if headers.has_arrays else 1
        for name, spans in headers.spans.items():
            if len(spans) != 1:
                return None
            start, value_start, value_end = spans[0]
            points[value_start + mark, value_end - mark] = InsertionPoint(
                name, is_read=read[name] is headers
            )
            if not carrier.text.startswith(name, start + 1) and name != KEEPS_ITS_SPELLING:
                points[start + 1, start + 1 + len(name)] = InsertionPoint(name, is_name=True)
    return points


def _is_usual(traceparent: bytes) -> bool:
    """Valid, and nothing but version, ids and flags."""
    is_known = len(traceparent) == _TRACEPARENT_BYTES and traceparent.startswith(b"00-")
    return is_known and w3c.parse_traceparent(traceparent.decode("latin-1")) is not None


class _TemplateBuilder:
    """Takes the parts of a pattern in their order, and makes groups of those between two insertion
    points.
    """

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._segment: list[bytes | Value] = []
        self._points: list[InsertionPoint] = []
        self._segments: list[int] = []
        self._groups = 0
        self._parent_at = -1

    def keep(self, part: "bytes | Value") -> None:
        """This stays as it is."""
        self._segment.append(part)

    def insert(self, point: InsertionPoint, text: bytes) -> None:
        """Here is an insertion point, at which there is `text` now."""
        self._end_segment()
        self._points.append(point)
        number = self._groups
        if not point.name or point.is_name:
            point.old = (text,)
            self._parts.append(text)
        elif point.is_read and point.name == "traceparent" and _is_usual(text):
            self._parent_at = number
            point.old = b"00-", number, b"-", number + 1, b"-", number + 2
            self._parts += _TRACEPARENT
            self._groups += 3
        else:
            point.old = (number,)
            self._parts.append(Group(_STRING))
            self._groups += 1

    def _end_segment(self) -> None:
        self._parts.append(Group(*self._segment))
        self._segments.append(self._groups)
        self._groups += 1
        self._segment = []

    def template(self, compiler: "PatternCompiler") -> EventTemplate | None:
        """After the last part; None if there are no patterns."""
        self._end_segment()
        pattern = compiler.compile(self._parts)
        has_state = any(point.name == "tracestate" for point in self._points)
        parent_at = -1 if has_state else self._parent_at
        return EventTemplate(pattern, self._points, self._segments, parent_at) if pattern else None


def _template_of(
    plain: bytes, points: "Points", compiler: "PatternCompiler"
) -> EventTemplate | None:
    """None if there are numbers in the text, which hardly come again, or it is too long."""
    pieces = plain.split(b'"')
    builder = _TemplateBuilder()
    position = literal_bytes = 0
    for number, piece in enumerate(pieces):
        end = position + len(piece)
        is_string = number % 2 == 1
        is_value = is_string and not (pieces[number + 1 : number + 2] or [b""])[
            0
        ].lstrip().startswith(b":")
        if not is_string and piece.translate(None, _DIGITS) != piece:
            return None
        if is_string and (position, end) in points:
            builder.insert(points[position, end], piece)
        elif is_value:
            builder.keep(_STRING)
        else:
            _keep_literal(builder, piece, position, points)
        if not is_value:
            literal_bytes += len(piece)
        if number < len(pieces) - 1:
            builder.keep(b'"')
        position = end + 1
    return (
        builder.template(compiler)
        if len(pieces) % 2 and literal_bytes <= _LITERAL_LIMIT_BYTES
        else None
    )


def _keep_literal(builder: _TemplateBuilder, piece: bytes, position: int, points: "Points") -> None:
    """The front of a headers object may be in it."""
    for front in range(position, position + len(piece) + 1):
        if (front, front) in points:
            builder.keep(piece[: front - position])
            builder.insert(points[front, front], b"")
            piece, position = piece[front - position :], front
            break
    builder.keep(piece)


def _fits(template: EventTemplate, plain: bytes, points: "Points") -> bool:
    """It matches the text from which it was made, and its insertion points are where they should
    be.
    """
    found = template.pattern.fullmatch(plain)
    ends = [found.end(number + 1) for number in template.segments[:-1]] if found else []
    starts = [found.start(number + 1) for number in template.segments[1:]] if found else []
    return list(zip(ends, starts, strict=True)) == sorted(points)
