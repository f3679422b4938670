"""What is known of the headers in an event: `carriers` finds it, `extract` reads it, `inject` writes by it."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from re import Pattern
    from typing import Any, TypeAlias

    # A member: where its name's quotes start, where its value starts, where it ends.
    Spot = tuple[int, int, int]
    Spans = tuple[tuple[int, int], ...]
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
    names in lower case. `has_arrays` says that values are arrays of strings, else they are strings.
    """

    __slots__ = ("has_arrays", "is_empty", "is_null", "spots", "start")

    def __init__(
        self, start: int, spots: "dict[str, tuple[Spot, ...]]", has_arrays: bool, is_empty: bool, is_null: bool = False
    ) -> None:
        self.start = start
        self.spots = spots
        self.has_arrays = has_arrays
        self.is_empty = is_empty
        self.is_null = is_null


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
    that has `names`; its values are arrays where `has_arrays`. `is_read`: the value is what the carrier says of the name.
    """

    __slots__ = ("has_arrays", "is_name", "is_read", "name", "names")

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


class Shape:
    """The events that fit one pattern, whose groups are `slots`; `plans` is a place for how to write into them."""

    __slots__ = ("pattern", "plans", "reads", "slots")

    def __init__(self, pattern: "Pattern[bytes]", slots: tuple[Slot, ...]) -> None:
        self.pattern = pattern
        self.slots = slots
        self.reads = {slot.name: group for group, slot in enumerate(slots, 1) if slot.is_read}
        self.plans: dict[tuple[str, ...], Any] = {}


class Fitted:
    """The trace context that an event of a known shape carries.

    `spans` says where in the event the groups of the shape's pattern stand, the first of them being the whole. The names that
    matter are looked up as in a dictionary. `plain` is the event with its escapes hidden, where it has some.
    """

    __slots__ = ("event", "plain", "shape", "spans")

    def __init__(self, shape: Shape, spans: "Spans", event: bytes, plain: bytes) -> None:
        self.shape = shape
        self.spans = spans
        self.event = event
        self.plain = plain

    def get(self, name: str, default: str = "") -> str:
        """The value of a name in lower case."""
        group = self.shape.reads.get(name)
        if group is None:
            return default
        start, end = self.spans[group]
        value = self.plain[start:end]
        if self.plain is not self.event:
            value = value.replace(HIDDEN_QUOTE, b'"').replace(HIDDEN_BACKSLASH, b"\\")
        return value.decode("latin-1")
