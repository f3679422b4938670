"""What is known of the headers in an event."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    # Names, and values of as many fields.
    Texts = tuple[str, ...]
    Values = tuple[bytes, ...]
    # A member: where its name's quotes start, where its value starts, where it ends.
    MemberSpan = tuple[int, int, int]

    class Headers(Protocol):
        """Values by their lower-case names."""

        def get(self, name: str, default: str, /) -> str: ...


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
# API Gateway spells it so, and functions read it so; SDKs look it up in either spelling.
KEEPS_ITS_SPELLING = "x-amzn-trace-id"
# The first must not stay as it was beside the second: a tracestate belongs to its traceparent, b3
# outweighs x-b3-*, and x-b3-flags outweighs x-b3-sampled.
STALE_WITH = {"tracestate": "traceparent", "b3": "x-b3-traceid", "x-b3-flags": "x-b3-traceid"}

# Instead of an escaped backslash or quote while an event is compared: bytes that UTF-8 does not
# have.
_MASKED_BACKSLASH, _MASKED_QUOTE = b"\xfe\xfe", b"\xff\xff"


class HeadersObject:
    """One headers object in an event. Positions are byte offsets.

    `start` is where its brace stands, or the ``null`` instead. `spans` has the members of each name
    that matters and is there, names in lower case. `has_arrays`: values are arrays of strings, else
    strings. `takes_more`: fields that are not there may be added.
    """

    __slots__ = ("has_arrays", "is_empty", "is_null", "spans", "start", "takes_more")

    def __init__(
        self,
        start: int,
        spans: "dict[str, tuple[MemberSpan, ...]]",
        has_arrays: bool,
        *,
        is_empty: bool,
        is_null: bool = False,
        takes_more: bool = True,
    ) -> None:
        self.start = start
        self.spans = spans
        self.has_arrays = has_arrays
        self.is_empty = is_empty
        self.is_null = is_null
        self.takes_more = takes_more


def mask_escapes(text: bytes) -> bytes:
    """`text` with its escaped quotes and backslashes masked, each by as many bytes."""
    return text.replace(b"\\\\", _MASKED_BACKSLASH).replace(b'\\"', _MASKED_QUOTE)


def unescape(text: bytes) -> bytes:
    """The value of a JSON string's inside that has no other escapes than quotes and backslashes."""
    return mask_escapes(text).replace(_MASKED_QUOTE, b'"').replace(_MASKED_BACKSLASH, b"\\")
