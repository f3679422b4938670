"""The SDK's six samplers, by the SDK's own arithmetic."""

from lrap_otel.propagation.context import SAMPLED

_ALL = 1 << 64
_WITH_RATIO = ("traceidratio", "parentbased_traceidratio")


class Sampler:
    """Decides whether a span is recorded, as the SDK does for ``OTEL_TRACES_SAMPLER`` and ``OTEL_TRACES_SAMPLER_ARG``.

    An argument that is no number from 0 to 1, and is needed, counts as 1; `warning` then says so, else it is empty.
    """

    __slots__ = ("_bound", "_follows_parent", "warning")

    def __init__(self, name: str, argument: str = "") -> None:
        self.warning = ""
        self._follows_parent = name.startswith("parentbased_")
        self._bound = self._ratio_bound(argument) if name in _WITH_RATIO else 0 if name.endswith("always_off") else _ALL

    def _ratio_bound(self, argument: str) -> int:
        try:
            ratio = float(argument)
            if 0.0 <= ratio <= 1.0:
                return round(ratio * _ALL)
        except ValueError:
            pass
        self.warning = f"OTEL_TRACES_SAMPLER_ARG={argument!r} is not a number from 0 to 1; 1.0 is used instead"
        return _ALL

    def decide(self, parent_flags: int | None, trace_id_hex: str) -> bool:
        """Whether a span in the trace is recorded and sampled, whose parent has these flags (None: a root)."""
        if parent_flags is not None and self._follows_parent:
            return parent_flags & SAMPLED != 0
        if self._bound == _ALL:
            return True
        return int(trace_id_hex[16:], 16) < self._bound
