"""The carrier of an event that was scanned, and edits at the positions that the scan has found."""

from _json import encode_basestring_ascii

from lrap_otel.propagation import w3c
from lrap_otel.propagation.carrier.model import KEEPS_ITS_SPELLING, STALE_WITH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.propagation.carrier.model import HeadersObject, MemberSpan, Texts, Values
    from lrap_otel.propagation.context import SpanContext

    Fields = tuple[tuple[str, str], ...]
    Pieces = list[bytes | memoryview]
    # Start and end of what goes, and what comes instead.
    Edit = tuple[int, int, str]


class ScannedCarrier:
    """The trace context that an event carries, and where its headers are.

    `headers` has the values of the names that matter, in lower case. What came several times, as an
    array or in several spellings, is joined with a comma, as HTTP does. `objects` is empty if
    nothing may be written. `text` is the event at least as far as the objects reach, a character
    for each byte.
    """

    __slots__ = ("headers", "objects", "text")

    def __init__(self, text: str, headers: dict[str, str], objects: "list[HeadersObject]") -> None:
        self.text = text
        self.headers = headers
        self.objects = objects

    def get(self, name: str, default: str = "") -> str:
        """The value of a name in lower case."""
        return self.headers.get(name, default)

    def parent(self) -> "SpanContext | None":
        """The parent that W3C's fields name; see `w3c.extract`."""
        return w3c.extract(self.headers)

    def write(
        self, event: "bytes | memoryview", names: "Texts", values: "Values"
    ) -> "Pieces | None":
        """See `inject.into_event`."""
        fields = text_fields(names, values)
        edits: list[Edit] = []
        for headers in self.objects:
            self._add_edits(edits, headers, fields)
        return edited(event, self.text, edits) if edits else None

    def _add_edits(self, edits: "list[Edit]", headers: "HeadersObject", fields: "Fields") -> None:
        added = ""
        for name, value in fields:
            written = encode_basestring_ascii(value)
            if headers.has_arrays:
                written = f"[{written}]"
            if name in headers.spans:
                self._replace(edits, headers.spans[name], name, written)
            elif headers.takes_more:
                added += f'"{name}":{written},'
        if added:
            edits.append(_addition(headers, added))
        for name, ours in STALE_WITH.items():
            is_beside_ours = headers.takes_more or ours in headers.spans
            if name in headers.spans and is_beside_ours and is_stale(name, fields):
                self._replace(
                    edits, headers.spans[name], name, '[""]' if headers.has_arrays else '""'
                )

    def _replace(
        self, edits: "list[Edit]", spans: "tuple[MemberSpan, ...]", name: str, written: str
    ) -> None:
        for start, value_start, value_end in spans:
            edits.append((value_start, value_end, written))
            if name != KEEPS_ITS_SPELLING and not self.text.startswith(name, start + 1):
                edits.append((start + 1, start + 1 + len(name), name))


def text_fields(names: "Texts", values: "Values") -> "Fields":
    """The fields as text."""
    return tuple([(name, value.decode()) for name, value in zip(names, values, strict=True)])


def is_stale(name: str, fields: "Fields") -> bool:
    """Whether the old value of a name must not stay beside these fields."""
    names = [name for name, _ in fields]
    return name not in names and STALE_WITH[name] in names


def _addition(headers: "HeadersObject", added: str) -> "Edit":
    if headers.is_null:
        return headers.start, headers.start + len("null"), f"{{{added[:-1]}}}"
    return headers.start + 1, headers.start + 1, added[:-1] if headers.is_empty else added


def edited(data: "bytes | memoryview", text: str, edits: "list[Edit]") -> "Pieces":
    """`data` with the edits, in one piece from the first to the last; `text` is the same as
    characters.
    """
    edits.sort()
    first = copied = edits[0][0]
    pieces: list[str] = []
    for start, end, new in edits:
        pieces += text[copied:start], new
        copied = end
    return [data[:first], "".join(pieces).encode("latin-1"), memoryview(data)[copied:]]
