"""Several exporters beside each other: each gets everything, and waits for no other."""

from __future__ import annotations

from lrap_otel.telemetry.export.at_once import at_once
from lrap_otel.telemetry.otlp.metrics import CUMULATIVE, Metric, MetricsData

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _thread
    from collections.abc import Callable, Sequence

    from lrap_otel.telemetry.export.deadline import Deadline
    from lrap_otel.telemetry.export.exporter import Exporter
    from lrap_otel.telemetry.export.roles import Finishing
    from lrap_otel.telemetry.metrics import Metrics
    from lrap_otel.telemetry.otlp.traces import Span

    Warn = Callable[[str], None]

# Metrics that one exporter has not taken, while others have: half an hour by default.
_WAITING_LIMIT = 30


class Exporters:
    """As `Exporter`, for several of them: each gets everything, keeps what it could not send, and
    waits for no other.
    """

    def __init__(
        self,
        exporters: Sequence[Exporter],
        endpoints: Sequence[Finishing],
        lock: _thread.LockType,
        warn: Warn,
    ) -> None:
        """`endpoints` are shut down in the end. `lock` is held during each call of `warn`."""
        self._exporters = exporters
        self._endpoints = endpoints
        self._lock = lock
        self._warn = warn
        self._shares = [_Share(self, number) for number in range(len(exporters))]
        self._waiting: list[list[MetricsData]] = [[] for _ in exporters]
        self._measured: Metrics | None = None

    @property
    def has_spans(self) -> bool:
        """Whether spans wait for an export."""
        return any(each.has_spans for each in self._exporters)

    @property
    def has_full_batch(self) -> bool:
        """Whether an export need not wait for more spans."""
        return any(each.has_full_batch for each in self._exporters)

    @property
    def may_send_metrics(self) -> bool:
        """Whether one of them is in no pause after a failure."""
        return any(each.may_send_metrics for each in self._exporters)

    @property
    def metrics_apart_s(self) -> float:
        """The shortest time between two requests with metrics of any of them."""
        return max((each.metrics_apart_s for each in self._exporters), default=0.0)

    def add(self, span: Span, metrics: Metrics) -> None:
        """Keep a finished span until the next export."""
        self._measured = metrics
        for each, share in zip(self._exporters, self._shares, strict=True):
            each.add(span, share)

    def export(
        self,
        metrics: Metrics,
        deadline: Deadline,
        *,
        spans: bool = True,
        measured: bool = True,
        is_last: bool = False,
    ) -> tuple[bool, bool]:
        """Send to all of them at the same time. Whether all have all spans, and all metrics."""
        self._measured = metrics

        def one_of(number: int, deadline: Deadline) -> tuple[bool, bool]:
            share = self._shares[number]
            return self._exporters[number].export(
                share, deadline, spans=spans, measured=measured, is_last=is_last
            )

        def all_from(number: int, deadline: Deadline) -> list[tuple[bool, bool]]:
            if number + 1 == len(self._exporters):
                return [one_of(number, deadline)]
            apart = deadline.apart()
            first, others = at_once(
                lambda: one_of(number, deadline), lambda: all_from(number + 1, apart)
            )
            return [first, *others]

        has = all_from(0, deadline) if self._exporters else []
        if is_last:
            self._finish(deadline)
        return all(has_spans for has_spans, _ in has), all(has_metrics for _, has_metrics in has)

    def forget(self) -> None:
        """A snapshot has been restored."""
        for each in self._exporters:
            each.forget()
        self._waiting = [[] for _ in self._exporters]

    def report_losses(self) -> None:
        """Nothing is sent any more: warn of all that was lost."""
        for each in self._exporters:
            each.report_losses()

    def close(self) -> None:
        """Close the connections."""
        for each in self._exporters:
            each.close()

    def _finish(self, deadline: Deadline) -> None:
        try:
            jobs = [endpoint.finish() for endpoint in self._endpoints]
        except (RuntimeError, OSError):
            return
        for job in jobs:
            job.wait(deadline)

    def collect(self, number: int) -> MetricsData | None:
        """What was measured and the exporter of this number has not had."""
        with self._lock:
            data = self._measured.collect() if self._measured else None
            if data is not None:
                self._share_out(data)
            waiting, self._waiting[number] = self._waiting[number], []
        return _joined(waiting)

    def count(self, what: Callable[[Metrics], None]) -> None:
        """Measure something, whichever thread this is."""
        with self._lock:
            if self._measured is not None:
                what(self._measured)

    def _share_out(self, data: MetricsData) -> None:
        for waiting, exporter in zip(self._waiting, self._exporters, strict=True):
            if not exporter.takes_metrics:
                continue
            if data.metrics[0].temporality == CUMULATIVE:
                waiting.clear()
            waiting.append(data)
            if len(waiting) > _WAITING_LIMIT:
                del waiting[0]
                self._warn("metrics are lost: one of several exporters has not taken any for long")


class _Share:
    """What one exporter sees of the instruments."""

    def __init__(self, of: Exporters, number: int) -> None:
        self._of = of
        self._number = number

    def collect(self) -> MetricsData | None:
        """What was measured since the last call."""
        return self._of.collect(self._number)

    def drop_spans(self, count: int, reason: str) -> None:
        """As the instruments' own."""
        self._of.count(lambda metrics: metrics.drop_spans(count, reason))

    def fail_export(self, signal: str, reason: str) -> None:
        """As the instruments' own."""
        self._of.count(lambda metrics: metrics.fail_export(signal, reason))


def _joined(several: list[MetricsData]) -> MetricsData | None:
    """One after the other, as more points of the same metrics."""
    if len(several) < 2:
        return several[0] if several else None
    metrics: dict[str, Metric] = {}
    for metric in (each for data in several for each in data.metrics):
        before = metrics.get(metric.name)
        points = [*before.points, *metric.points] if before else metric.points
        metrics[metric.name] = Metric(
            metric.name, metric.unit, metric.description, metric.temporality, points
        )
    return MetricsData(several[-1].resource, list(metrics.values()))
