"""What is known of the headers in an event: `carriers` finds it, `extract` reads it, `inject` writes by it."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    # A member: where its name's quotes start, where its value starts, where it ends.
    Spot = tuple[int, int, int]

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
