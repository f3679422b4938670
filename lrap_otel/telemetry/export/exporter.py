"""Sends what is finished, keeps what could not be sent, and counts what was given up."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from lrap_otel.telemetry.export import encode
from lrap_otel.telemetry.export.endpoint import Answer, Endpoint, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.export_settings import ExportSettings, SignalSettings
    from lrap_otel.telemetry.export.deadline import Deadline
    from lrap_otel.telemetry.metrics import Metrics
    from lrap_otel.telemetry.otlp.traces import Span

TRACES = "traces"
METRICS = "metrics"
_METRIC_REQUESTS_KEPT = 32


class Exporter:
    """The queue of finished spans and of metric requests, and the way out.

    A span is sent until the collector has it or will never take it; the oldest give way when the queue is full. Metrics
    are sent again only when the collector certainly does not have them: a delta sent twice counts twice.
    """

    def __init__(self, settings: ExportSettings, warn: Callable[[str], None]) -> None:
        self._traces = self._endpoint(settings.traces, TRACES, warn)
        self._metrics = self._endpoint(settings.metrics, METRICS, warn)
        self._batch_size = settings.max_batch_spans
        self._queue_size = settings.max_queue_spans
        self._spans: deque[Span] = deque()
        self._metric_requests: deque[bytes] = deque(maxlen=_METRIC_REQUESTS_KEPT)
        self._warn = warn

    @property
    def has_spans(self) -> bool:
        return bool(self._spans)

    @property
    def has_full_batch(self) -> bool:
        return len(self._spans) >= self._batch_size

    def add(self, span: Span, metrics: Metrics) -> None:
        """Keep a finished span until the next export."""
        if self._traces is None:
            return
        self._spans.append(span)
        if len(self._spans) > self._queue_size:
            self._spans.popleft()
            metrics.drop_spans(1, "queue_full")

    async def export_spans(self, metrics: Metrics, deadline: Deadline) -> bool:
        """Send all spans, in batches, until one fails or `deadline` comes; whether the collector has them all."""
        has_all = True
        while self._traces is not None and self._spans:
            if deadline.has_come():
                return False
            batch = [self._spans.popleft() for _ in range(min(self._batch_size, len(self._spans)))]
            outcome = await self._post_spans(self._traces, batch, metrics, deadline)
            if outcome in {Outcome.REFUSED, Outcome.UNKNOWN}:
                self._spans.extendleft(reversed(batch))
                return False
            has_all = has_all and outcome is Outcome.ACCEPTED
        return has_all

    async def export_metrics(self, metrics: Metrics, deadline: Deadline) -> bool:
        """Send what was measured, and what of before the collector does not have; whether it has all."""
        if self._metrics is None:
            return True
        if deadline.has_come():
            return False
        data = metrics.collect()
        if data is not None:
            self._metric_requests.append(encode.metrics_request(data))
        has_all = True
        while self._metric_requests:
            outcome = await self._post_metrics(self._metrics, self._metric_requests[0], metrics, deadline)
            if outcome is Outcome.REFUSED:
                return False
            self._metric_requests.popleft()
            has_all = has_all and outcome is Outcome.ACCEPTED
        return has_all

    def forget(self) -> None:
        """A snapshot has been restored: what waits belongs to another sandbox, and its connections are dead."""
        self._spans.clear()
        self._metric_requests.clear()
        self.close()

    def close(self) -> None:
        """Close the connections; the next export opens new ones."""
        for endpoint in (self._traces, self._metrics):
            if endpoint is not None:
                endpoint.close()

    async def _post_spans(self, to: Endpoint, batch: list[Span], metrics: Metrics, deadline: Deadline) -> Outcome:
        answer = await to.post(encode.traces_request(batch), deadline)
        self._note(answer, TRACES, metrics)
        if answer.outcome is Outcome.REJECTED:
            metrics.drop_spans(len(batch), answer.reason)
        if rejected := encode.rejected_spans(answer.body):
            metrics.drop_spans(rejected, "partial_success")
            self._warn("the collector took only a part of the spans it was sent")
        return answer.outcome

    async def _post_metrics(self, to: Endpoint, request: bytes, metrics: Metrics, deadline: Deadline) -> Outcome:
        answer = await to.post(request, deadline)
        self._note(answer, METRICS, metrics)
        if encode.rejected_points(answer.body):
            self._warn("the collector took only a part of the metrics it was sent")
        return answer.outcome

    def _note(self, answer: Answer, signal: str, metrics: Metrics) -> None:
        if answer.outcome is Outcome.ACCEPTED:
            return
        metrics.fail_export(signal, answer.reason)
        if answer.outcome is Outcome.REJECTED:
            self._warn(f"the collector answered {answer.reason} to {signal}: they are lost")
        else:
            self._warn(f"{signal} could not be exported: {answer.reason}")

    def _endpoint(self, settings: SignalSettings, signal: str, warn: Callable[[str], None]) -> Endpoint | None:
        if not settings.enabled:
            return None
        try:
            return Endpoint(settings)
        except (ValueError, OSError) as error:
            warn(f"{signal} cannot be exported with these settings: {type(error).__name__}: {error}")
            return None
