"""What is known of the headers in an event: `carriers` finds it, `extract` reads it, `inject` writes by it."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from re import Pattern
    from typing import TypeAlias

    from lrap_otel.text.patterns import Piece, Template

    # A member: where its name's quotes start, where its value starts, where it ends.
    Spot = tuple[int, int, int]
    # Where values are looked up by their lower-case names.
    Headers: TypeAlias = "Mapping[str, str] | Carrier | Fitted"

# The names that matter: W3C's, X-Ray's, B3's.
NAMES = (
    "traceparent",
    "tracestate",
    "x-amzn-trace-id",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-sampled",
    "x-b3-flags",
)

# What stands for an escaped backslash or quote while an event is compared: bytes that UTF-8 does not have.
HIDDEN_BACKSLASH, HIDDEN_QUOTE = b"\xfe\xfe", b"\xff\xff"
# API Gateway spells it so, and functions read it so; SDKs look it up in either spelling.
KEEPS_ITS_SPELLING = "x-amzn-trace-id"


class Place:
    """One headers object in an event. Positions are byte offsets, and characters of `Carrier.text`.

    `start` is where its brace stands, or the ``null`` instead. `spots` has the members of each name that matters and is there,
    names in lower case. `has_arrays` says that values are arrays of strings, else they are strings. `takes_more` says that fields
    which are not there may be added.
    """

    __slots__ = ("has_arrays", "is_empty", "is_null", "spots", "start", "takes_more")

    def __init__(
        self,
        start: int,
        spots: "dict[str, tuple[Spot, ...]]",
        has_arrays: bool,
        *,
        is_empty: bool,
        is_null: bool = False,
        takes_more: bool = True,
    ) -> None:
        self.start = start
        self.spots = spots
        self.has_arrays = has_arrays
        self.is_empty = is_empty
        self.is_null = is_null
        self.takes_more = takes_more


class Carrier:
    """The trace context that an event carries, and where its headers stand.

    `headers` has the values of the names that matter (W3C's, X-Ray's, B3's), in lower case. What came several times, as an
    array or in several spellings, is joined with a comma, as HTTP does. `places` is empty where nothing may be written. `text` is the
    event at least as far as the places reach, a character for each byte.
    """

    __slots__ = ("headers", "places", "text")

    def __init__(self, text: str, headers: dict[str, str], places: list[Place]) -> None:
        self.text = text
        self.headers = headers
        self.places = places

    def get(self, name: str, default: str = "") -> str:
        """The value of a name in lower case."""
        return self.headers.get(name, default)


class Slot:
    """A place in an event of a known shape where something may be written anew.

    The value of `name`, or with `is_name` the name itself, which becomes lower case. Without a name: the front of a headers object
    that has `names`; its values are arrays where `has_arrays`. `is_read`: the value is what the carrier says of the name. `text` is
    what stands there, with the numbers of the groups that tell it.
    """

    __slots__ = ("has_arrays", "is_name", "is_read", "name", "names", "text")

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
        self.text: tuple[Piece, ...] = ()


class Shape:
    """The events that fit one pattern.

    `slots` stand in the order of the event; `kept` has the numbers of the groups in front of them and behind the last. `parent_at`
    is the number of a traceparent's trace id, behind which come its span id and its flags; -1 where it is not told apart so, or a
    tracestate stands beside it.
    `reads` has the texts of the values that are read, by their names; `templates` is a place for how to write into such events.
    """

    __slots__ = ("kept", "parent_at", "pattern", "reads", "slots", "templates")

    def __init__(
        self, pattern: "Pattern[bytes]", slots: "Sequence[Slot]", kept: "Sequence[int]", parent_at: int
    ) -> None:
        self.pattern = pattern
        self.slots = slots
        self.kept = kept
        self.parent_at = parent_at
        self.reads = {slot.name: slot.text for slot in slots if slot.is_read}
        self.templates: dict[tuple[str, ...], Template] = {}


class Fitted:
    """The trace context that an event of a known shape carries.

    `values` are those of the groups of the shape's pattern, which ends at `end` of the event. The names that
    matter are looked up as in a dictionary.
    """

    __slots__ = ("end", "shape", "values")

    def __init__(self, shape: Shape, values: tuple[bytes, ...], end: int) -> None:
        self.shape = shape
        self.values = values
        self.end = end

    def get(self, name: str, default: str = "") -> str:
        """The value of a name in lower case."""
        text = self.shape.reads.get(name)
        if text is None:
            return default
        value = b"".join([self.values[piece] if isinstance(piece, int) else piece for piece in text])
        if value.find(b"\\") >= 0:
            value = hidden(value).replace(HIDDEN_QUOTE, b'"').replace(HIDDEN_BACKSLASH, b"\\")
        return value.decode("latin-1")


def hidden(text: bytes) -> bytes:
    """`text` with its escaped quotes and backslashes hidden, each at its place."""
    return text.replace(b"\\\\", HIDDEN_BACKSLASH).replace(b'\\"', HIDDEN_QUOTE)
