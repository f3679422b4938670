"""Heads in which only some values change from one message to the next.

Lambda's replies to ``/next`` have the same fields in the same order; request id, deadline, trace
id, date and length differ. A runtime's results differ in the request id and the length, Lambda's
answers to them in the date. So a head that has passed validation leaves a template, a pattern with
places for those values. A head that matches is valid too, which takes a microsecond to see instead
of ten.
"""

from lrap_otel.propagation.context import NO_SPAN_ID, NO_TRACE_ID
from lrap_otel.propagation.xray import XRayHeader
from lrap_otel.proxy.calls import RESULT
from lrap_otel.text.byte_format import ByteFormat, Formats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from re import Pattern
    from typing import TypeAlias

    from lrap_otel.http1.heads import Head
    from lrap_otel.proxy.calls import ParsedCall
    from lrap_otel.proxy.replies import HeadRewrite, ParsedReply
    from lrap_otel.text.byte_format import Piece

    # The name of a field, empty for the start line, and its line, with the numbers of groups in it.
    Line = tuple[bytes, Sequence[Piece]]
    Call: TypeAlias = "ParsedCall | RecognisedHead"
    Reply: TypeAlias = "ParsedReply | RecognisedHead"

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


class RecognisedHead:
    """The head of a result or of a reply that matches a template.

    See `ParsedCall` and `ParsedReply`: what only one of them has means nothing in the other. One
    class for both: the interpreter remembers one class for each place in the code, and finds the
    attributes of any other anew each time. `values` are those of the groups of the
    `template`. A connection has one head of each kind, which becomes the next of its kind
    (`learned_heads`).
    """

    __slots__ = (
        "body_length",
        "closes",
        "forwarded",
        "invocation_id",
        "is_recognised",
        "kind",
        "method",
        "raw",
        "request_id",
        "sender",
        "status",
        "template",
        "values",
    )
    body_length: int
    forwarded: bytes
    invocation_id: str
    raw: bytes
    request_id: str
    status: int
    template: HeadTemplate
    values: tuple[bytes, ...]

    def __init__(self, sender: str) -> None:
        self.sender = sender
        self.is_recognised = True
        self.closes = False
        self.kind = RESULT
        self.method = b"POST"

    def client_context(self) -> bytes:
        """See `ParsedReply`: a reply that has one leaves no template."""
        return b""

    def parent(self) -> None:
        """See `ParsedReply`: a reply with a traceparent of its own leaves no template."""

    def invocation(self) -> tuple[str, str, int]:
        """See `ParsedReply`."""
        deadline = self.values[self.template.deadline_at]
        return self.request_id, self.invocation_id, int(deadline) if deadline else 0

    def trace(self) -> XRayHeader:
        """See `ParsedReply`."""
        template, values = self.template, self.values
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
        return self.values[self.template.lineage_at]

    def is_traced(self) -> bool:
        """See `ParsedReply`."""
        values, root, parent = self.values, self.template.root_at, self.template.parent_at
        return (
            parent > 0
            and values[parent + 1] == b"1"
            and bool(values[parent].strip(b"0") and (values[root] + values[root + 1]).strip(b"0"))
        )

    def rewritten(self, rewrite: "HeadRewrite", values: tuple[bytes, ...], length: int) -> bytes:
        """See `ParsedReply`."""
        format_: ByteFormat = self.template.formats[rewrite]
        return format_.fill((*self.values, *values, str(length).encode()))
