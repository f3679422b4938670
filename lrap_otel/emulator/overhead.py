"""What the proxy says it costs: the ``lrap.proxy.overhead`` histograms, by endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lrap_otel.emulator.signals import Metric, Point

NAME = "lrap.proxy.overhead"


@dataclass(frozen=True)
class Overhead:
    """Seconds; ``p50_s`` is None if the histogram has no explicit buckets."""

    endpoint: str
    count: int
    mean_s: float
    p50_s: float | None


def summarize(metrics: Iterable[Metric]) -> list[Overhead]:
    """One line for each endpoint: deltas added up, of cumulative points the last."""
    points: dict[str, list[Point]] = {}
    for metric in metrics:
        for point in metric.points if metric.name == NAME else ():
            points.setdefault(str(point.attributes.get("lrap.endpoint", "")), []).append(point)
    return [_overhead(endpoint, group) for endpoint, group in sorted(points.items())]


def _overhead(endpoint: str, points: Sequence[Point]) -> Overhead:
    kept = points[-1:] if points[-1].temporality == "CUMULATIVE" else points
    count = sum(point.count for point in kept)
    counts = [sum(column) for column in zip(*(point.bucket_counts for point in kept), strict=True)]
    mean_s = sum(point.sum for point in kept) / max(1, count)
    p50_s = median(kept[-1].bounds, counts)
    largest = [point.max for point in kept if point.max is not None]
    if p50_s is not None and len(largest) == len(kept):
        # Within its bucket a value is only estimated; the largest that was seen is known.
        p50_s = min(p50_s, max(largest))
    return Overhead(endpoint, count, mean_s, p50_s)


def median(bounds: Sequence[float], counts: Sequence[int]) -> float | None:
    """The middle value, taken as spread evenly within its bucket; None without buckets
    or values.
    """
    half = sum(counts) / 2
    below = 0
    for number, count in enumerate(counts if bounds else ()):
        if count and below + count >= half:
            low = bounds[number - 1] if number else 0.0
            high = bounds[number] if number < len(bounds) else low
            return low + (high - low) * (half - below) / count
        below += count
    return None
