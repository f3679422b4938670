"""X-Ray's trace header: ``X-Amzn-Trace-Id`` among HTTP headers, ``Lambda-Runtime-Trace-Id`` from
the Runtime API.

A trace id in X-Ray's notation, ``1-<8 hex>-<24 hex>``, and the same id in W3C's, 32 hex digits, are
one id.
"""

from lrap_otel.propagation.context import SAMPLED, SpanContext

_ROOT_LENGTH = 35
_SAMPLED = {"1": True, "0": False, None: None}


class XRayHeader:
    """One trace header, read as far as it can be read.

    `trace_id_hex` (of Root) and `parent_id_hex` are lower-case hex, empty where absent, malformed
    or all zeros. `sampled` is None where the header leaves it open (absent or ``?``). `lineage` is
    Lambda's recursion mark, as it stands. `is_well_formed` is false where OpenTelemetry's
    propagators would discard the header as a whole.
    """

    __slots__ = ("is_well_formed", "lineage", "parent_id_hex", "sampled", "trace_id_hex")

    def __init__(
        self,
        trace_id_hex: str,
        parent_id_hex: str,
        sampled: bool | None,
        lineage: str,
        is_well_formed: bool,
    ) -> None:
        self.trace_id_hex = trace_id_hex
        self.parent_id_hex = parent_id_hex
        self.sampled = sampled
        self.lineage = lineage
        self.is_well_formed = is_well_formed


def parse(value: str) -> XRayHeader:
    """Decode a trace header. What cannot be decoded stays empty; of equal keys the last counts.

    Source: AWS X-Ray Developer Guide, "Tracing header"; what makes a header ill-formed:
    OpenTelemetry's AwsXRayPropagator.
    """
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
        is_well_formed = is_well_formed and all(
            parse(part).is_well_formed for part in value.split(";")
        )
    root, parent, sampled = fields.get("Root"), fields.get("Parent"), fields.get("Sampled")
    trace_id_hex = _trace_id(root) if root is not None else ""
    parent_id_hex = _id(parent, 16) if parent is not None else ""
    if trace_id_hex is None or parent_id_hex is None or sampled not in _SAMPLED:
        is_well_formed = False
    lineage = fields.get("Lineage", "")
    if not (lineage.isascii() and lineage.isprintable()):
        lineage = ""
    return XRayHeader(
        trace_id_hex or "", parent_id_hex or "", _SAMPLED.get(sampled), lineage, is_well_formed
    )


def _trace_id(root: str) -> str | None:
    if len(root) != _ROOT_LENGTH or root[:2] != "1-" or root[10] != "-":
        return None
    return _id(root[2:10] + root[11:], 32)


def _id(text: str, length: int) -> str | None:
    """Lower-case hex; empty if all zeros, None if malformed."""
    try:
        digits = bytes.fromhex(text).hex()
    except ValueError:
        return None
    if len(text) != length or len(digits) != length:  # between two bytes `fromhex` skips blanks
        return None
    return digits if digits.strip("0") else ""


def context_of(header: XRayHeader) -> SpanContext | None:
    """The span that a trace header names: well-formed, with Root and Parent; without Sampled it is
    not sampled.
    """
    if not (header.is_well_formed and header.trace_id_hex and header.parent_id_hex):
        return None
    return SpanContext(header.trace_id_hex, header.parent_id_hex, SAMPLED if header.sampled else 0)


def is_traced(header: XRayHeader) -> bool:
    """X-Ray traces the function: the header names a segment and says that it is sampled."""
    return bool(header.sampled and header.trace_id_hex and header.parent_id_hex)


def format_header(
    trace_id_hex: str, span_id_hex: str, trace_flags: int, lineage: bytes = b""
) -> bytes:
    """The trace header that names a span.

    OpenTelemetry's propagators refuse a trailing semicolon.
    """
    root = trace_id_hex[:8] + "-" + trace_id_hex[8:]
    header = f"Root=1-{root};Parent={span_id_hex};Sampled={trace_flags & SAMPLED}".encode()
    return header + b";Lineage=" + lineage if lineage else header
