"""The SDK's six samplers, by the SDK's own arithmetic."""

from lrap_otel.propagation.context import SAMPLED

_ALL = 1 << 64
_WITH_RATIO = ("traceidratio", "parentbased_traceidratio")


class Sampler:
    """Decides whether a span is recorded, as the SDK does for ``OTEL_TRACES_SAMPLER`` and
    ``OTEL_TRACES_SAMPLER_ARG``.

    Without an argument, or with one that is not a number from 0 to 1, the ratio is 1
    (OpenTelemetry's default). `warning` is empty, or says that the argument cannot be used.
    """

    __slots__ = ("_bound", "_follows_parent", "warning")

    def __init__(self, name: str, argument: str = "") -> None:
        self.warning = ""
        self._follows_parent = name.startswith("parentbased_")
        self._bound = (
            self._ratio_bound(argument)
            if name in _WITH_RATIO
            else 0
            if name.endswith("always_off")
            else _ALL
        )

    def _ratio_bound(self, argument: str) -> int:
        if not argument:
            return _ALL
        try:
            ratio = float(argument)
        except ValueError:
            ratio = -1.0
        if 0.0 <= ratio <= 1.0:  # nan fails this comparison
            return round(ratio * _ALL)
        self.warning = (
            f"OTEL_TRACES_SAMPLER_ARG={argument[:60]!r} is not a number from 0 to "
            f"1; 1.0 is used instead"
        )
        return _ALL

    def decide(self, parent_flags: int | None, trace_id_hex: str) -> bool:
        """Whether a span of this trace is recorded and sampled. `parent_flags` are its parent's;
        None for a root.
        """
        if parent_flags is not None and self._follows_parent:
            return parent_flags & SAMPLED != 0
        if self._bound == _ALL:
            return True
        return int(trace_id_hex[16:], 16) < self._bound
