"""Measurements between two exports: sums, and histograms of values that are not negative."""

from _bisect import bisect_left
from _random import Random
from math import floor, frexp, ldexp, log
from time import time_ns

from lrap_otel.telemetry.otlp.metrics import Exemplar, ExponentialPoint, HistogramPoint, SumPoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrap_otel.propagation.context import SpanContext
    from lrap_otel.telemetry.otlp.wire import Attributes

_MAX_SCALE = 20
_MAX_BUCKETS = 160
_MAX_EXEMPLARS = 20
_BITS_PER_E = 1 / log(2)
_SMALLEST_NORMAL = ldexp(1.0, -1022)


class Sum:
    """A counter."""

    __slots__ = ("_value",)

    def __init__(self) -> None:
        self._value = 0

    def add(self, count: int) -> None:
        """`count` more."""
        self._value += count

    def point(self, attributes: "Attributes", start_ns: int, end_ns: int) -> SumPoint:
        """The total so far."""
        return SumPoint(attributes, start_ns, end_ns, self._value)


class Histogram:
    """A histogram with explicit buckets: `bounds` are the upper ends of all but the last. The
    latest measurement in a bucket is its exemplar.
    """

    __slots__ = ("_bounds", "_counts", "_exemplars", "_maximum", "_minimum", "_sum")

    def __init__(self, bounds: "Sequence[float]") -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._exemplars: dict[int, Exemplar] = {}
        self._sum = 0.0
        self._minimum = float("inf")
        self._maximum = float("-inf")

    def record(self, value: float, span: "SpanContext | None") -> None:
        """Add one value. `span`, if given, makes it an exemplar."""
        bucket = bisect_left(self._bounds, value)
        self._counts[bucket] += 1
        self._sum += value
        self._minimum = min(self._minimum, value)
        self._maximum = max(self._maximum, value)
        if span is not None:
            self._exemplars[bucket] = _exemplar(value, span)

    def point(self, attributes: "Attributes", start_ns: int, end_ns: int) -> HistogramPoint:
        """The values so far, and the exemplars since the last call."""
        point = HistogramPoint(attributes, start_ns, end_ns)
        point.sum, point.minimum, point.maximum = self._sum, self._minimum, self._maximum
        point.counts, point.bounds = tuple(self._counts), self._bounds
        point.exemplars = [self._exemplars[bucket] for bucket in sorted(self._exemplars)]
        self._exemplars = {}
        return point


class ExponentialHistogram:
    """A histogram with base-2 exponential buckets, at most 160, as fine as that allows.

    It keeps a few exemplars, chosen with equal chance.

    Source: OpenTelemetry, "Metrics SDK", "Base2 Exponential Bucket Histogram Aggregation".
    """

    __slots__ = (
        "_chance",
        "_count",
        "_counts",
        "_exemplars",
        "_maximum",
        "_minimum",
        "_offered",
        "_scale",
        "_sum",
        "_zero_count",
    )

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._scale = _MAX_SCALE
        self._zero_count = 0
        self._count = 0
        self._sum = 0.0
        self._minimum = float("inf")
        self._maximum = float("-inf")
        self._exemplars: list[Exemplar] = []
        self._offered = 0
        self._chance = Random()

    def record(self, value: float, span: "SpanContext | None") -> None:
        """Add one value. `span`, if given, makes it an exemplar."""
        self._count += 1
        self._sum += value
        self._minimum = min(self._minimum, value)
        self._maximum = max(self._maximum, value)
        if value == 0:
            self._zero_count += 1
        else:
            index = bucket_index(value, self._scale)
            if index not in self._counts and self._make_room(index):
                index = bucket_index(value, self._scale)
            self._counts[index] = self._counts.get(index, 0) + 1
        if span is not None:
            self._offer(_exemplar(value, span))

    def point(self, attributes: "Attributes", start_ns: int, end_ns: int) -> ExponentialPoint:
        """The values so far, and the exemplars since the last call."""
        point = ExponentialPoint(attributes, start_ns, end_ns)
        point.count, point.zero_count, point.sum = self._count, self._zero_count, self._sum
        point.minimum, point.maximum = self._minimum, self._maximum
        if self._counts:
            point.scale, point.offset = self._scale, min(self._counts)
            point.counts = [
                self._counts.get(index, 0) for index in range(point.offset, max(self._counts) + 1)
            ]
        point.exemplars = self._exemplars
        self._exemplars, self._offered = [], 0
        return point

    def _make_room(self, index: int) -> int:
        """Merge neighbouring buckets until they are few enough, including the one at `index`.
        Returns by how many scales.
        """
        low, high = min(self._counts, default=index), max(self._counts, default=index)
        low, high = min(low, index), max(high, index)
        shift = 0
        while (high >> shift) - (low >> shift) >= _MAX_BUCKETS:
            shift += 1
        if shift:
            merged: dict[int, int] = {}
            for old, count in self._counts.items():
                merged[old >> shift] = merged.get(old >> shift, 0) + count
            self._counts = merged
            self._scale -= shift
        return shift

    def _offer(self, exemplar: Exemplar) -> None:
        self._offered += 1
        if len(self._exemplars) < _MAX_EXEMPLARS:
            self._exemplars.append(exemplar)
            return
        place = int(self._chance.random() * self._offered)
        if place < _MAX_EXEMPLARS:
            self._exemplars[place] = exemplar


def bucket_index(value: float, scale: int) -> int:
    """The bucket of a value above zero: it ends, inclusively, at ``2 ** ((index + 1) * 2 **
    -scale)``.

    Source: OpenTelemetry, "Metrics data model", "Exponential histogram", "Producer expectations".
    """
    fraction, exponent = frexp(max(value, _SMALLEST_NORMAL))
    # A power of two is the upper end of its bucket, exactly; a logarithm might say otherwise.
    whole = exponent - 2 if fraction == 0.5 else exponent - 1
    if scale <= 0:
        return whole >> -scale
    if fraction == 0.5:
        return ((exponent - 1) << scale) - 1
    return min(floor(log(value) * ldexp(_BITS_PER_E, scale)), (1024 << scale) - 1)


def _exemplar(value: float, span: "SpanContext") -> Exemplar:
    return Exemplar(time_ns(), value, span.trace_id_hex, span.span_id_hex)
