"""The exporters that the settings ask for, and what goes to several of them."""

from __future__ import annotations

import _thread
from importlib.metadata import entry_points
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics.export import MetricReader

from lrap_otel.telemetry.export.at_once import at_once
from lrap_otel.telemetry.export.deadline import Clock, Deadline
from lrap_otel.telemetry.export.endpoint import secrets_of, shown
from lrap_otel.telemetry.export.exporter import Exporter
from lrap_otel.telemetry.export.packages import OURS_INSTEAD, missing
from lrap_otel.telemetry.export.sdk import codec
from lrap_otel.telemetry.export.sdk.endpoint import SdkEndpoint
from lrap_otel.telemetry.export.sdk.job import Job
from lrap_otel.telemetry.export.ways import METRICS, TRACES, Ways
from lrap_otel.telemetry.otlp.metrics import CUMULATIVE, Metric, MetricsData

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lrap_otel.telemetry.export.ways import Way
    from lrap_otel.telemetry.metrics import Metrics
    from lrap_otel.telemetry.otlp.traces import Span
    from lrap_otel.telemetry.settings import ExportSettings, SignalSettings

    Warn = Callable[[str], None]

# OpenTelemetry's groups of entry points.
_GROUPS = {TRACES: "opentelemetry_traces_exporter", METRICS: "opentelemetry_metrics_exporter"}
# Their own time-out is in seconds where the specification has milliseconds.
_STOCK = frozenset({"otlp_proto_grpc", "otlp_proto_http"})
# For an exporter to be imported and made; the proxy waits for none of it.
_LOAD_S = 10.0
# Metrics that one exporter has not taken, while others have: half an hour by default.
_WAITING_LIMIT = 30


def exporters_of(settings: ExportSettings, warn: Warn) -> Exporters:
    """The exporters that are asked for and can be had; our own for a signal that has none of them.

    `settings` are changed to what is used.
    """
    lock = _thread.allocate_lock()

    def warn_alone(text: str) -> None:
        with lock:
            warn(text)

    made = Ways(settings, warn)
    endpoints: list[SdkEndpoint] = []

    def ways(name: str, own: SignalSettings) -> list[Way]:
        found = [each for other, asked_by in own.others.items() if (each := _load(name, other, asked_by, own, warn))]
        own.enabled = own.enabled or bool(own.others and not found)
        endpoints.extend(found)
        ours = made.by_otlp(name)
        return [*([ours] if ours else []), *((each, codec) for each in found)]

    pairs = zip_longest(ways(TRACES, settings.traces), ways(METRICS, settings.metrics))
    exporters = [Exporter(settings, warn_alone, ways={TRACES: traces, METRICS: metrics}) for traces, metrics in pairs]
    return Exporters(exporters, endpoints, lock, warn)


def _load(signal: str, name: str, asked_by: str, settings: SignalSettings, warn: Warn) -> SdkEndpoint | None:
    """The exporter that a package registers by this name; None, and a warning, if there is none that can be used."""
    options = {"timeout": settings.timeout_ms / 1_000} if name in _STOCK else {}
    registered = entry_points(group=_GROUPS[signal])
    if name not in registered.names:
        there = ", ".join(sorted(registered.names - {"otlp", "console"}))
        warn(missing(name, asked_by) + (f". Exporters of {signal} that are there: {there}" if there else ""))
        return None

    def make() -> Any:
        made_by = registered[name].load()
        if isinstance(made_by, type) and issubclass(made_by, MetricReader):
            raise TypeError("it is a reader, which waits to be asked, and no exporter")
        return made_by(**options)

    job = Job(make)
    if not job.wait(Deadline(Clock().now_s() + _LOAD_S, clock=Clock())):
        why = f"it has not loaded in {_LOAD_S:.0f} s"
    elif job.error is not None:
        why = f"{type(job.error).__name__}: {job.error}"
    else:
        return SdkEndpoint(name, make, job.result, settings)
    why = shown(why, secrets_of(settings.headers.values()))
    warn(f"{asked_by}: the exporter {name} of {signal} cannot be used ({why}); {OURS_INSTEAD}")
    return None


class Exporters:
    """As `Exporter`, for several of them: each gets everything, keeps what it could not send, and waits for no other."""

    def __init__(
        self, exporters: Sequence[Exporter], endpoints: Sequence[SdkEndpoint], lock: _thread.LockType, warn: Warn
    ) -> None:
        """`endpoints` are told when all is over. `lock` is held by whoever calls `warn`."""
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
            return self._exporters[number].export(share, deadline, spans=spans, measured=measured, is_last=is_last)

        def all_from(number: int, deadline: Deadline) -> list[tuple[bool, bool]]:
            if number + 1 == len(self._exporters):
                return [one_of(number, deadline)]
            apart = deadline.apart()
            first, others = at_once(lambda: one_of(number, deadline), lambda: all_from(number + 1, apart))
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
        metrics[metric.name] = Metric(metric.name, metric.unit, metric.description, metric.temporality, points)
    return MetricsData(several[-1].resource, list(metrics.values()))
