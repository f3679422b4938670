"""Which finished spans are worth sending: ``LRAP_KEEP``. Loaded only if that is set.

A kept span says by which rule, and its tracestate says of how many like it that rule keeps one
(``ot=th:``), so that a backend can count the ones that were not kept.

Sources: OpenTelemetry, "TraceState: Probability Sampling"; "TraceState Handling"; W3C Trace Context
level 2, "Random Trace ID Flag".
"""

from lrap_otel.propagation.context import SpanContext
from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.otlp.traces import ERROR
from lrap_otel.telemetry.setting_keep import COLD, ERRORS, RATIO, SLOW

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.telemetry.otlp.traces import Span

# Of a trace id, the last 56 bits are random, and a threshold has as many.
_ALL = 1 << 56
_UNKNOWN = -1
_DIGITS = 14
_HEX = frozenset("0123456789abcdef")
_OURS = "ot"
_MOST_MEMBERS, _LONGEST_VALUE = 32, 256


class Keeper:
    """The rules, in the order in which they are asked: errors, slow ones, cold starts, a share of
    the rest.

    The first three keep what the sampler left out, too: they never depend on chance, so a backend
    counts each of their spans once. The share is one of what the sampler took, whose children may
    have been recorded.
    """

    __slots__ = (
        "_bound",
        "_follows_parent",
        "_keeps_cold",
        "_keeps_errors",
        "_max_attributes",
        "_slow_ns",
    )

    def __init__(self, rules: "dict[str, float]", sampler: str, max_attributes: int) -> None:
        """`rules` as `setting_keep.parse` returns them; `sampler` is the sampler's name."""
        self._keeps_errors = ERRORS in rules
        self._keeps_cold = COLD in rules
        self._slow_ns = int(rules[SLOW] * 1e9) if SLOW in rules else None
        self._bound = round((1 - rules.get(RATIO, 0.0)) * _ALL)
        self._follows_parent = sampler.startswith("parentbased_")
        self._max_attributes = max_attributes

    def keeps(self, span: "Span", *, is_sampled: bool, is_cold: bool) -> bool:
        """Whether a finished span is sent, which then says why. `is_sampled` is what the headers
        said.
        """
        context = span.context
        state = _State(context.trace_state)
        rule, threshold = self._certain_rule(span, is_cold=is_cold), 0
        if not rule:
            randomness = state.randomness(context.trace_id_hex)
            if not is_sampled or randomness < self._bound:
                return False
            rule, threshold = RATIO, self._bound
            if self._follows_parent:
                earlier = state.threshold
                # A sampler before that has not gone by its own threshold: nobody knows by what.
                is_known = earlier is not None and earlier <= randomness
                threshold = (
                    max(earlier, threshold) if earlier is not None and is_known else _UNKNOWN
                )
        span.context = SpanContext(
            context.trace_id_hex,
            context.span_id_hex,
            context.trace_flags,
            state.with_threshold(threshold),
        )
        if len(span.attributes) < self._max_attributes:
            span.attributes = {**span.attributes, semconv.LRAP_SAMPLING_KEPT_BY: rule}
        else:
            span.dropped_attributes += 1
        return True

    def _certain_rule(self, span: "Span", *, is_cold: bool) -> str:
        if self._keeps_errors and span.status == ERROR:
            return ERRORS
        if self._slow_ns is not None and span.end_ns - span.start_ns >= self._slow_ns:
            return SLOW
        return COLD if self._keeps_cold and is_cold else ""


class _State:
    """A tracestate, with OpenTelemetry's member of it read.

    `threshold` is what samplers before have gone by, out of 2**56: 0 if they say nothing, as
    collectors assume; None if it is malformed.
    """

    __slots__ = ("_others", "_parts", "threshold")

    def __init__(self, trace_state: str) -> None:
        members = [member.strip() for member in trace_state.split(",") if member.strip()]
        ours = [member for member in members if member.partition("=")[0] == _OURS]
        self._others = [member for member in members if member not in ours]
        self._parts = ours[0].partition("=")[2].split(";") if ours else []
        digits = self._value("th")
        self.threshold: int | None = 0
        if digits is not None:
            is_right = 0 < len(digits) <= _DIGITS and _HEX.issuperset(digits)
            self.threshold = int(digits.ljust(_DIGITS, "0"), 16) if is_right else None

    def randomness(self, trace_id_hex: str) -> int:
        """The 56 bits that all samplers of a trace go by: an explicit value, else the trace id's
        last.
        """
        explicit = self._value("rv")
        if explicit is not None and len(explicit) == _DIGITS and _HEX.issuperset(explicit):
            return int(explicit, 16)
        return int(trace_id_hex[-_DIGITS:], 16)

    def with_threshold(self, threshold: int) -> str:
        """The tracestate with this threshold in the place of another; without any if it is
        `_UNKNOWN`.
        """
        others = [part for part in self._parts if part.partition(":")[0] != "th"]
        own = [] if threshold == _UNKNOWN else [f"th:{f'{threshold:014x}'.rstrip('0') or '0'}"]
        value = ";".join([*own, *others])
        if len(value) > _LONGEST_VALUE:
            value = ";".join(others)
        members = [f"{_OURS}={value}"] if value else []
        return ",".join([*members, *self._others][:_MOST_MEMBERS])

    def _value(self, key: str) -> str | None:
        for part in self._parts:
            name, colon, value = part.partition(":")
            if colon and name == key:
                return value
        return None
