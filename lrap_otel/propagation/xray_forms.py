"""The ways in which Lambda writes X-Ray's header, as patterns: for heads that are recognised
instead of parsed.
"""

from lrap_otel.propagation.context import NO_SPAN_ID, NO_TRACE_ID
from lrap_otel.propagation.xray import XRayHeader
from lrap_otel.text.patterns import Group, Value, compile_pattern, lower_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from re import Pattern

    from lrap_otel.text.patterns import Part

_ROOT = b"Root=1-", Group(lower_hex(8)), b"-", Group(lower_hex(24))
_PARENT = b";Parent=", Group(lower_hex(16)), b";Sampled=", Group(Value(b"01", 1, 1))
_LINEAGE = b";Lineage=", Group(Value(bytes(set(range(33, 127)) - set(b';="\\'))))


class UsualForm:
    """One of the ways: Root, then Parent and Sampled or neither, then a Lineage or nothing.

    `parts` are those of a pattern, and `count` is the number of its groups, whose values `read`
    takes: the two parts of the trace id, at `parent_at` the parent and whether it is sampled, at
    `lineage_at` the lineage; 0 where there is none.
    """

    __slots__ = ("_pattern", "count", "lineage_at", "parent_at", "parts")

    def __init__(self, *, has_parent: bool, has_lineage: bool) -> None:
        self.parent_at = 2 if has_parent else 0
        self.lineage_at = (4 if has_parent else 2) if has_lineage else 0
        parent, lineage = _PARENT if has_parent else (), _LINEAGE if has_lineage else ()
        self.parts: tuple[Part, ...] = (*_ROOT, *parent, *lineage)
        self.count = 2 + (2 if has_parent else 0) + (1 if has_lineage else 0)
        self._pattern: Pattern[bytes] | None = None

    def fits(self, value: str) -> bool:
        """Whether this header is written so; False as well if there are no patterns."""
        if self._pattern is None:
            self._pattern = compile_pattern(self.parts)
        return self._pattern is not None and self._pattern.fullmatch(value.encode("latin-1", "replace")) is not None

    def read(self, values: "Sequence[str]") -> XRayHeader:
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


_FORMS = [UsualForm(has_parent=parent, has_lineage=lineage) for parent in (False, True) for lineage in (True, False)]


def usual_form(value: str) -> UsualForm | None:
    """How Lambda has written this header; None where it is written otherwise."""
    return next((form for form in _FORMS if form.fits(value)), None)
