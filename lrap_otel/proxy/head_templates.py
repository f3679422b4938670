"""Heads in which only some values change from one message to the next.

Lambda's replies to ``/next`` have the same fields in the same order; request id, deadline, trace
id, date and length differ. A runtime's results differ in the request id and the length, Lambda's
answers to them in the date. So a head that has passed validation leaves a template, a pattern with
places for those values. A head that matches is valid too, which takes a microsecond to see instead
of ten.
"""

from lrap_otel.http1.errors import CLIENT, SERVER
from lrap_otel.http1.heads import CHUNKED
from lrap_otel.propagation.context import NO_SPAN_ID, NO_TRACE_ID
from lrap_otel.propagation.xray import XRayHeader
from lrap_otel.proxy.calls import RESULT
from lrap_otel.text.byte_format import ByteFormat, Formats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from re import Match, Pattern
    from typing import TypeAlias

    from lrap_otel.http1.heads import Head
    from lrap_otel.proxy.calls import ParsedCall
    from lrap_otel.proxy.replies import HeadRewrite, ParsedReply
    from lrap_otel.text.byte_format import Piece

    # The name of a field, empty for the start line, and its line, with the numbers of groups in it.
    Line = tuple[bytes, Sequence[Piece]]
    Call: TypeAlias = "ParsedCall | RecognisedResult"
    Reply: TypeAlias = "ParsedReply | RecognisedReply"

CONTENT_LENGTH = b"content-length"


class HeadTemplate:
    """What the heads that match `pattern` share.

    The numbers say which group has what; the first, 0, is
    empty, for what such a head does not have. `root_at`: of X-Ray's header, the first part of the
    trace id, which the other follows; `parent_at`: its parent, which is followed by whether it is
    sampled. `formats`: how such a head is rewritten; the values of the rewrite follow those of the
    groups.
    """

    __slots__ = (
        "_lines",
        "deadline_at",
        "formats",
        "invocation_id_at",
        "length_at",
        "lineage_at",
        "match",
        "parent_at",
        "pattern",
        "request_id_at",
        "root_at",
        "status",
    )

    def __init__(
        self,
        like: "Head",
        pattern: "Pattern[bytes]",
        lines: "Sequence[Line]",
        groups: dict[str, int],
    ) -> None:
        """`groups`: the numbers, by the names of the attributes."""
        self.pattern = pattern
        self.match = pattern.match
        self.status = getattr(like, "status", 0)
        self.request_id_at = groups.get("request_id", 0)
        self.invocation_id_at = groups.get("invocation_id", 0)
        self.deadline_at = groups.get("deadline", 0)
        self.length_at = groups.get("length", 0)
        self.root_at = groups.get("root", 0)
        self.parent_at = groups.get("parent", 0)
        self.lineage_at = groups.get("lineage", 0)
        self._lines = lines
        self.formats = Formats(self._format)

    def _format(self, rewrite: "HeadRewrite") -> ByteFormat:
        groups = self.pattern.groups
        pieces = [
            piece for name, line in self._lines if name not in rewrite.replaced for piece in line
        ]
        pieces += [piece + groups if isinstance(piece, int) else piece for piece in rewrite.added]
        return ByteFormat(pieces, groups + len(rewrite.names) + 1)


class RecognisedResult:
    """The head of a result that matches a template. See `ParsedCall`.

    A connection has one of these, which is `set` again for each result; so of the other two.
    """

    __slots__ = ("body_length", "forwarded", "invocation_id", "raw", "request_id")
    is_recognised = True
    kind = RESULT
    method = b"POST"
    closes = False
    sender = CLIENT
    body_length: int
    forwarded: bytes
    invocation_id: str
    raw: bytes
    request_id: str

    def set(self, template: HeadTemplate, found: "Match[bytes]") -> None:
        """Be the head that was found."""
        values = found.groups()
        self.raw = self.forwarded = found[0]
        self.request_id = values[1].decode()
        attempt_at = template.invocation_id_at
        self.invocation_id = values[attempt_at].decode() if attempt_at else ""
        self.body_length = int(values[template.length_at])


class RecognisedAnswer:
    """The head of an answer to a result that matches a template. See `ParsedReply`."""

    __slots__ = ("body_length", "forwarded", "raw", "status")
    is_recognised = True
    closes = False
    sender = SERVER
    body_length: int
    forwarded: bytes
    raw: bytes
    status: int

    def set(self, template: HeadTemplate, found: "Match[bytes]") -> None:
        """Be the head that was found."""
        self.raw = self.forwarded = found[0]
        self.status = template.status
        length_at = template.length_at
        self.body_length = int(found[length_at + 1]) if length_at else CHUNKED


class RecognisedReply:
    """The head of a reply to ``/next`` that matches a template. See `ParsedReply`."""

    __slots__ = ("_template", "_values", "body_length", "forwarded", "raw", "status")
    is_recognised = True
    closes = False
    sender = SERVER
    _template: HeadTemplate
    _values: tuple[bytes, ...]
    body_length: int
    forwarded: bytes
    raw: bytes
    status: int

    def set(self, template: HeadTemplate, found: "Match[bytes]") -> None:
        """Be the head that was found."""
        self._template = template
        self._values = values = found.groups()
        self.raw = self.forwarded = found[0]
        self.status = template.status
        length = values[template.length_at]
        self.body_length = int(length) if length else CHUNKED

    def client_context(self) -> bytes:
        """See `ParsedReply`: a reply that has one leaves no template."""
        return b""

    def parent(self) -> None:
        """See `ParsedReply`: a reply with a traceparent of its own leaves no template."""

    def invocation(self) -> tuple[str, str, int]:
        """See `ParsedReply`."""
        template, values = self._template, self._values
        attempt_at, deadline = template.invocation_id_at, values[template.deadline_at]
        return (
            values[template.request_id_at].decode(),
            values[attempt_at].decode() if attempt_at else "",
            int(deadline) if deadline else 0,
        )

    def trace(self) -> XRayHeader:
        """See `ParsedReply`."""
        template, values = self._template, self._values
        root, parent = template.root_at, template.parent_at
        trace_id_hex = (values[root] + values[root + 1]).decode() if root else ""
        parent_id_hex = values[parent].decode()
        return XRayHeader(
            trace_id_hex if trace_id_hex != NO_TRACE_ID else "",
            parent_id_hex if parent_id_hex != NO_SPAN_ID else "",
            values[parent + 1] == b"1" if parent else None,
            values[template.lineage_at].decode(),
            is_well_formed=True,
        )

    def lineage(self) -> bytes:
        """See `ParsedReply`."""
        return self._values[self._template.lineage_at]

    def is_traced(self) -> bool:
        """See `ParsedReply`."""
        values, root, parent = self._values, self._template.root_at, self._template.parent_at
        return (
            parent > 0
            and values[parent + 1] == b"1"
            and bool(values[parent].strip(b"0") and (values[root] + values[root + 1]).strip(b"0"))
        )

    def rewritten(self, rewrite: "HeadRewrite", values: tuple[bytes, ...], length: int) -> bytes:
        """See `ParsedReply`."""
        format_: ByteFormat = self._template.formats[rewrite]
        return format_.fill((*self._values, *values, str(length).encode()))
