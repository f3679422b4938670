"""The carrier of an event by its shape: by all that does not change from one event of a function to the next.

Such events differ in the strings that are values, and hardly in anything else. So what a closer look has found in one becomes a
pattern: its members' names and marks as they stand there, and between them places for the values. An event that fits has
its headers where the first one had them, which takes two microseconds to see at 1 KB where the closer look takes twenty, and the
match tells all that is kept of it and all that is read.
"""

from lrap_otel.propagation import w3c
from lrap_otel.propagation.carrier.model import KEEPS_ITS_SPELLING, Fitted, Shape, Slot, hidden
from lrap_otel.text.patterns import Brake, Group, Value, compile_pattern, lower_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.propagation.carrier.model import Carrier
    from lrap_otel.text.patterns import Part

    Cuts = dict[tuple[int, int], Slot]

# How both kinds of headers end.
ANY_HEADERS = b'eaders"'
_REQUEST_CONTEXT = b'"requestContext":{'
_DIGITS = b"0123456789"

# The inside of a JSON string: no quote, no backslash, no control byte.
_STRING = Value(bytes(set(range(32, 256)) - set(b'"\\')), 0)
_NO_CONTROL = bytes(1 if byte == 0 else 0 if byte < 32 else byte for byte in range(256))

# A traceparent of the version that is in use: trace id, span id and flags are the groups.
_TRACEPARENT = b"00-", Group(lower_hex(32)), b"-", Group(lower_hex(16)), b"-", Group(lower_hex(2))
_TRACEPARENT_BYTES = 55

# Patterns at once, and how long what they have in common with their events may be: some 8 bytes of memory for each of these.
_SHAPES_LIMIT = 16
_LITERAL_LIMIT_BYTES = 4_096
# How far behind the pattern, and how far from the event's end. Searching a megabyte takes half a millisecond.
_BEHIND_BYTES = 16_384
# With so many known, one in so many others is learned: learning takes longer than a closer look.
_LEARNED_OF_OTHERS = 8

# The last one first, but for general ones.
known: list[Shape] = []
brake = Brake()
_looks = 0


def find(event: bytes) -> Fitted | None:
    """The carrier of an event of a known shape; None where it takes a closer look. Whoever calls sees to it that it is UTF-8."""
    for shape in known:
        found = shape.pattern.match(event)
        if found is not None:
            brake.in_vain = 0
            # What stands behind the pattern must not have headers as well, which would be the ones that count.
            end = found.end()
            return Fitted(shape, found.groups(), end) if not _has_headers(event, end) else None
    return None


def _has_headers(event: bytes, start: int) -> bool:
    """From `start` on. In the middle of a large event from one of AWS's services there is its body, in which a quote is an escaped
    one; an event that somebody made himself may have its headers there again, and is then written in the first of them alone.
    """
    if event.find(ANY_HEADERS, start, start + _BEHIND_BYTES) >= 0:
        return True
    rest = max(start, len(event) - _BEHIND_BYTES - len(ANY_HEADERS))
    return start + _BEHIND_BYTES < len(event) and event.find(ANY_HEADERS, rest) >= 0


def find_with_escapes(event: bytes) -> Fitted | None:
    """The same, where only escaped quotes and backslashes make an event look another. It is UTF-8."""
    plain = _without_escapes(_part_that_matters(event)) if known else b""
    for shape in known:
        found = shape.pattern.fullmatch(plain)
        if found is not None:
            # Everything stands in the event where it stands in `plain`.
            return Fitted(shape, tuple([event[start:end] for start, end in found.regs[1:]]), found.end())
    return None


def learn(event: bytes, carrier: "Carrier") -> None:
    """Remember the shape of an event in which a closer look has found this carrier; not the first one's, which may be the last."""
    global _looks  # noqa: PLW0603 - one process, one memory
    _looks += 1
    if _looks == 1 or (len(known) == _SHAPES_LIMIT and _looks % _LEARNED_OF_OTHERS) or not brake.lets_learn():
        return
    cuts = _cuts_of(carrier)
    plain = _without_escapes(_part_that_matters(event)) if cuts else b""
    if not cuts or not plain or not _is_the_events_own(plain, event.count(_REQUEST_CONTEXT)):
        return
    shape = _shape_of(plain, cuts)
    if shape is not None and _fits(shape, plain, cuts):
        # One that takes any text for a traceparent, since this one was none, comes last: others may tell its values apart.
        is_general = shape.parent_at < 0 and "traceparent" in shape.reads and "tracestate" not in shape.reads
        known[:] = [*known[: _SHAPES_LIMIT - 1], shape] if is_general else [shape, *known[: _SHAPES_LIMIT - 1]]


def _is_the_events_own(plain: bytes, count: int) -> bool:
    """The `requestContext` that is found is the only one, and a member of the event itself: it makes the event an HTTP event."""
    before = b"".join(plain[: plain.find(_REQUEST_CONTEXT)].split(b'"')[::2])
    return count == 1 and before.count(b"{") - before.count(b"}") == 1 and before.count(b"[") == before.count(b"]")


def _part_that_matters(event: bytes) -> bytes:
    """The event as far as its headers and the beginning of its `requestContext` reach; empty where it has none as Lambda writes it."""
    context, headers = event.find(_REQUEST_CONTEXT), event.rfind(ANY_HEADERS)
    if context < 0:
        return b""
    return event[: context + len(_REQUEST_CONTEXT) if context > headers else _end_of_headers(event, headers)]


def _end_of_headers(event: bytes, headers: int) -> int:
    """Where the headers end that come last, as they do if they hold anything; 0 where they do not."""
    end = event.find(b'"}', headers + len(ANY_HEADERS)) + 2
    arrays_end = event.find(b'"]}', headers + len(ANY_HEADERS), end if end > 1 else len(event)) + 3
    return arrays_end if arrays_end > 2 else end if end > 1 else 0


def _without_escapes(text: bytes) -> bytes:
    """`text` with its escaped quotes and backslashes hidden; empty where there are other escapes, or control bytes."""
    plain = hidden(text)
    return b"" if plain.find(b"\\") >= 0 or text.translate(_NO_CONTROL) != text else plain


def _cuts_of(carrier: "Carrier") -> "Cuts | None":
    """What may be written anew, by where it starts and ends; None where it is not alone in its place."""
    cuts: Cuts = {}
    read = {name: place for place in carrier.places for name in place.spots}
    for place in carrier.places:
        front = place.start + 1
        cuts[front, front] = Slot("", has_arrays=place.has_arrays, names=frozenset(place.spots))
        mark = 2 if place.has_arrays else 1
        for name, spots in place.spots.items():
            if len(spots) != 1:
                return None
            start, value_start, value_end = spots[0]
            cuts[value_start + mark, value_end - mark] = Slot(name, is_read=read[name] is place)
            if not carrier.text.startswith(name, start + 1) and name != KEEPS_ITS_SPELLING:
                cuts[start + 1, start + 1 + len(name)] = Slot(name, is_name=True)
    is_null = any(place.is_null or place.is_empty for place in carrier.places)
    return None if is_null else cuts


def _is_usual(traceparent: bytes) -> bool:
    """Valid, and nothing but version, ids and flags."""
    is_known = len(traceparent) == _TRACEPARENT_BYTES and traceparent.startswith(b"00-")
    return is_known and w3c.parse_traceparent(traceparent.decode("latin-1")) is not None


class _ShapeInTheMaking:
    """Takes the parts of a pattern in their order, and makes groups of those between two slots."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._stretch: list[bytes | Value] = []
        self._slots: list[Slot] = []
        self._kept: list[int] = []
        self._groups = 0
        self._parent_at = -1

    def keep(self, part: "bytes | Value") -> None:
        """This stays as it is."""
        self._stretch.append(part)

    def cut(self, slot: Slot, text: bytes) -> None:
        """Here is a slot, in which `text` stands now."""
        self._end_stretch()
        self._slots.append(slot)
        if not slot.name or slot.is_name:
            slot.text = (text,)
            self._parts.append(text)
        elif slot.is_read and slot.name == "traceparent" and _is_usual(text):
            # The groups of its three values, as `_TRACEPARENT` has them.
            self._parent_at = number = self._groups
            slot.text = b"00-", number, b"-", number + 1, b"-", number + 2
            self._parts += _TRACEPARENT
            self._groups += 3
        else:
            slot.text = (self._groups,)
            self._parts.append(Group(_STRING))
            self._groups += 1

    def _end_stretch(self) -> None:
        self._parts.append(Group(*self._stretch))
        self._kept.append(self._groups)
        self._groups += 1
        self._stretch = []

    def shape(self) -> Shape | None:
        """After the last part; None if there are no patterns."""
        self._end_stretch()
        pattern = compile_pattern(self._parts)
        has_state = any(slot.name == "tracestate" for slot in self._slots)
        return Shape(pattern, self._slots, self._kept, -1 if has_state else self._parent_at) if pattern else None


def _shape_of(plain: bytes, cuts: "Cuts") -> Shape | None:
    """The shape of a text with these cuts in it; None where numbers stand in it, which hardly come again, or it is too long."""
    pieces = plain.split(b'"')
    making = _ShapeInTheMaking()
    position = literal_bytes = 0
    for number, piece in enumerate(pieces):
        end = position + len(piece)
        is_string = number % 2 == 1
        is_value = is_string and not (pieces[number + 1 : number + 2] or [b""])[0].lstrip().startswith(b":")
        if not is_string and piece.translate(None, _DIGITS) != piece:
            return None
        if is_string and (position, end) in cuts:
            making.cut(cuts[position, end], piece)
        elif is_value:
            making.keep(_STRING)
        else:
            _keep_literal(making, piece, position, cuts)
        if not is_value:
            literal_bytes += len(piece)
        if number < len(pieces) - 1:
            making.keep(b'"')
        position = end + 1
    return making.shape() if len(pieces) % 2 and literal_bytes <= _LITERAL_LIMIT_BYTES else None


def _keep_literal(making: _ShapeInTheMaking, piece: bytes, position: int, cuts: "Cuts") -> None:
    """A front of headers may be in it."""
    for front in range(position, position + len(piece) + 1):
        if (front, front) in cuts:
            making.keep(piece[: front - position])
            making.cut(cuts[front, front], b"")
            piece, position = piece[front - position :], front
            break
    making.keep(piece)


def _fits(shape: Shape, plain: bytes, cuts: "Cuts") -> bool:
    """The text from which it was made, and the slots are where the cuts were."""
    found = shape.pattern.fullmatch(plain)
    ends = [found.end(number + 1) for number in shape.kept[:-1]] if found else []
    starts = [found.start(number + 1) for number in shape.kept[1:]] if found else []
    return list(zip(ends, starts, strict=True)) == sorted(cuts)
