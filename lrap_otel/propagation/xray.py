"""X-Ray's trace header: ``X-Amzn-Trace-Id`` among HTTP headers, ``Lambda-Runtime-Trace-Id`` from the Runtime API.

A trace id in X-Ray's notation, ``1-<8 hex>-<24 hex>``, and the same id in W3C's, 32 hex digits, are one id.
"""

from lrap_otel.patterns import Group, Value, compile_text_pattern, lower_hex
from lrap_otel.propagation.context import NO_SPAN_ID, NO_TRACE_ID, SAMPLED, SpanContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrap_otel.patterns import Part

_ROOT_LENGTH = 35
_HEX = "0123456789abcdefABCDEF"
_SAMPLED = {"1": True, "0": False, None: None}

_ROOT = b"Root=1-", Group(lower_hex(8)), b"-", Group(lower_hex(24))
_PARENT = b";Parent=", Group(lower_hex(16)), b";Sampled=", Group(Value(b"01", 1, 1))
_LINEAGE = b";Lineage=", Group(Value(bytes(set(range(33, 127)) - set(b';="\\'))))


class UsualForm:
    """One of the ways in which Lambda writes the header: Root, then Parent and Sampled or neither, then a Lineage or nothing.

    `parts` are those of a pattern. What stands in its groups is what `read` takes: the two parts of the trace id, at `parent_at` the
    parent and whether it is sampled, and at `lineage_at` the lineage; 0 where there is none. `count` is the number of groups.
    """

    __slots__ = ("count", "lineage_at", "parent_at", "parts", "pattern")

    def __init__(self, *, has_parent: bool, has_lineage: bool) -> None:
        self.parent_at = 2 if has_parent else 0
        self.lineage_at = (4 if has_parent else 2) if has_lineage else 0
        self.parts: tuple[Part, ...] = (*_ROOT, *(_PARENT if has_parent else ()), *(_LINEAGE if has_lineage else ()))
        self.count = 2 + (2 if has_parent else 0) + (1 if has_lineage else 0)
        self.pattern = compile_text_pattern(self.parts)

    def read(self, values: "Sequence[str]") -> "XRayHeader":
        """The header that has these values."""
        trace_id_hex, parent_id_hex, sampled = values[0] + values[1], "", None
        if self.parent_at:
            parent_id_hex, sampled = values[self.parent_at], values[self.parent_at + 1] == "1"
        return XRayHeader(
            trace_id_hex if trace_id_hex != NO_TRACE_ID else "",
            parent_id_hex if parent_id_hex != NO_SPAN_ID else "",
            sampled,
            values[self.lineage_at] if self.lineage_at else "",
            is_well_formed=True,
        )


_USUAL = [UsualForm(has_parent=parent, has_lineage=lineage) for parent in (False, True) for lineage in (True, False)]


class XRayHeader:
    """One trace header, read as far as it can be read.

    `trace_id_hex` (of Root) and `parent_id_hex` are lower-case hex, empty where absent, malformed or all zeros. `sampled`
    is None where the header leaves it open (absent or ``?``). `lineage` is Lambda's recursion mark, as it stands.
    `is_well_formed` is false where OpenTelemetry's propagators would discard the header as a whole.
    """

    __slots__ = ("is_well_formed", "lineage", "parent_id_hex", "sampled", "trace_id_hex")

    def __init__(
        self, trace_id_hex: str, parent_id_hex: str, sampled: bool | None, lineage: str, is_well_formed: bool
    ) -> None:
        self.trace_id_hex = trace_id_hex
        self.parent_id_hex = parent_id_hex
        self.sampled = sampled
        self.lineage = lineage
        self.is_well_formed = is_well_formed


def parse(value: str) -> XRayHeader:
    """Decode a trace header. What cannot be decoded stays empty; of equal keys the last counts.

    Source: AWS X-Ray Developer Guide, "Tracing header"; what makes a header ill-formed: OpenTelemetry's AwsXRayPropagator.
    """
    for usual in _USUAL:
        found = usual.pattern.fullmatch(value)
        if found is not None:
            return usual.read(found.groups())
    return _in_any_form(value)


def usual_form(value: str) -> UsualForm | None:
    """How Lambda has written this header; None where it is written otherwise."""
    return next((usual for usual in _USUAL if usual.pattern.fullmatch(value)), None)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _in_any_form(value: str) -> XRayHeader:
    parts = [part.split("=") for part in value.split(";")]
    try:
        fields = dict(parts)
        is_well_formed = True
    except ValueError:
        fields = dict([part for part in parts if len(part) == 2])
        is_well_formed = False
    if " " in value or not value.isprintable():
        fields = {key.strip(): text.strip() for key, text in fields.items()}
    if len(fields) != len(parts):
        is_well_formed = is_well_formed and all(_in_any_form(part).is_well_formed for part in value.split(";"))
    root, parent, sampled = fields.get("Root"), fields.get("Parent"), fields.get("Sampled")
    trace_id_hex = _trace_id(root) if root is not None else ""
    parent_id_hex = _id(parent, 16) if parent is not None else ""
    if trace_id_hex is None or parent_id_hex is None or sampled not in _SAMPLED:
        is_well_formed = False
    lineage = fields.get("Lineage", "")
    if not _is_plain(lineage):
        lineage = ""
    return XRayHeader(trace_id_hex or "", parent_id_hex or "", _SAMPLED.get(sampled), lineage, is_well_formed)


def _trace_id(root: str) -> str | None:
    if len(root) != _ROOT_LENGTH or root[:2] != "1-" or root[10] != "-":
        return None
    return _id(root[2:10] + root[11:], 32)


def _id(text: str, length: int) -> str | None:
    """Lower-case hex; empty if all zeros, None if malformed."""
    if len(text) != length or text.strip(_HEX):
        return None
    return text.lower() if text.strip("0") else ""


def context_of(header: XRayHeader) -> SpanContext | None:
    """The span that a trace header names: well-formed, with Root and Parent; without Sampled it is not sampled."""
    if not (header.is_well_formed and header.trace_id_hex and header.parent_id_hex):
        return None
    return SpanContext(header.trace_id_hex, header.parent_id_hex, SAMPLED if header.sampled else 0)


def is_traced(header: XRayHeader) -> bool:
    """X-Ray traces the function: the header names a segment and says that it is sampled."""
    return bool(header.sampled and header.trace_id_hex and header.parent_id_hex)


def format_header(trace_id: bytes, span_id: bytes, trace_flags: int, lineage: bytes = b"") -> bytes:
    """The trace header that names a span by its ids in hex. OpenTelemetry's propagators refuse a trailing semicolon."""
    sampled = b";Sampled=1" if trace_flags & SAMPLED else b";Sampled=0"
    header = b"".join((b"Root=1-", trace_id[:8], b"-", trace_id[8:], b";Parent=", span_id, sampled))
    return b"".join((header, b";Lineage=", lineage)) if lineage else header
