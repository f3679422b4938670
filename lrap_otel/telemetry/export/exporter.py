"""Sends what is finished, keeps what could not be sent, and counts what was given up."""

from time import monotonic, time

from lrap_otel.telemetry.export import encode
from lrap_otel.telemetry.export.at_once import at_once
from lrap_otel.telemetry.export.connection import TIMEOUT
from lrap_otel.telemetry.export.endpoint import (
    ACCEPTED,
    REFUSED,
    REJECTED,
    TOO_LARGE,
    UNKNOWN,
    Answer,
)
from lrap_otel.telemetry.export.losses import Losses
from lrap_otel.telemetry.export.retry import BackOff, chance
from lrap_otel.telemetry.export.waiting import WaitingSpans
from lrap_otel.telemetry.export.ways import METRICS, TRACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lrap_otel.telemetry.export.deadline import Deadline
    from lrap_otel.telemetry.export.roles import Instruments, Way
    from lrap_otel.telemetry.otlp.traces import Span
    from lrap_otel.telemetry.settings import ExportSettings

# AWS takes no more.
_MAX_BATCH_SPANS = 10_000
_QUEUE_FULL = "queue_full"


class _Signal:
    """What is known of one signal's way out."""

    __slots__ = ("back_off", "codec", "endpoint", "failing_since_s", "name", "reason")

    def __init__(self, name: str, way: "Way", back_off: BackOff) -> None:
        self.name = name
        self.endpoint, self.codec = way
        self.back_off = back_off
        # Unix time; None while attempts do not fail.
        self.failing_since_s: float | None = None
        self.reason = ""

    def post(self, request: "Any", deadline: "Deadline") -> Answer:
        """One attempt. It uses nothing but this signal's, so that two can be under way at once."""
        # Spans have ids; a delta that came twice counts twice.
        answer = self.endpoint.post(request, deadline, may_repeat=self.name == TRACES)
        if answer.outcome in {REFUSED, UNKNOWN}:
            # One that ran out of time has waited already, and perhaps for our own reasons.
            if answer.error_type != TIMEOUT:
                self.back_off.fail(answer.retry_after_s)
            self.failing_since_s = self.failing_since_s or time()
        else:
            self.back_off.succeed()
            self.failing_since_s = None
        if answer.text:
            self.reason = f"{self.endpoint.url}: {answer.text}"
        return answer


class Exporter:
    """The queue of finished spans, and the way out for them and for what was measured.

    A span is sent until the collector has it or will never take it; the oldest give way when the
    queue is full. Metrics are sent again only when the collector certainly does not have them: a
    delta sent twice counts twice. While one request waits for that, further measurements add up in
    the instruments. After a failure, attempts of that signal pause (see `BackOff`).
    """

    def __init__(
        self,
        settings: "ExportSettings",
        warn: "Callable[[str], None]",
        ways: "dict[str, Way | None]",
        *,
        now_s: "Callable[[], float]" = monotonic,
        chance: "Callable[[], float]" = chance,
    ) -> None:
        """`warn` takes a line for people. `ways` say where each signal goes, None if it goes
        nowhere.
        """
        self._warn = warn
        self._warned: set[tuple[str, str]] = set()
        self._losses = Losses()
        traces, metrics = ways[TRACES], ways[METRICS]
        self._traces = _Signal(TRACES, traces, BackOff(now_s, chance)) if traces else None
        self._metrics = _Signal(METRICS, metrics, BackOff(now_s, chance)) if metrics else None
        self._batch_size = min(settings.max_batch_spans, _MAX_BATCH_SPANS)
        codec = traces[1] if traces else encode
        self._spans = WaitingSpans(settings.max_queue_spans, codec, settings.spool, warn)
        self._metric_request: Any = None

    @property
    def has_spans(self) -> bool:
        """Whether spans wait for an export."""
        return bool(self._spans)

    @property
    def has_full_batch(self) -> bool:
        """Whether an export need not wait for more spans."""
        return len(self._spans) >= self._batch_size

    @property
    def takes_metrics(self) -> bool:
        """Whether metrics are sent at all."""
        return self._metrics is not None

    @property
    def metrics_apart_s(self) -> float:
        """The shortest time between two requests with metrics."""
        return self._metrics.endpoint.apart_s if self._metrics else 0.0

    @property
    def may_send_metrics(self) -> bool:
        """Whether there is no pause after a failure."""
        return self._metrics is None or self._metrics.back_off.is_over

    def add(self, span: "Span", metrics: "Instruments") -> None:
        """Keep a finished span until the next export."""
        if self._traces is None:
            return
        self._drop_spans(self._spans.add(span), _QUEUE_FULL, metrics, self._traces)

    def export(
        self,
        metrics: "Instruments",
        deadline: "Deadline",
        *,
        spans: bool = True,
        measured: bool = True,
        is_last: bool = False,
    ) -> tuple[bool, bool]:
        """Send the finished `spans` and what was `measured`, both at once, before `deadline`.

        Returns whether the collector has all spans, and whether it has all metrics; True for what
        was not to be sent. A pause after a failure is kept, but not if this export `is_last`: then
        what became of the spans is measured, and the metrics that say so are sent as well.

        Spans that an earlier process left are sent first; those that are left now have a copy in
        the spool when this returns.
        """
        traces = self._traces
        if not spans or traces is None:
            return self._export(metrics, deadline, spans=spans, measured=measured, is_last=is_last)
        self._spans.recover()
        if self._spans.copied:
            # it will probably fail again, and we may be killed before it is over
            self._spans.keep()
        self._count_losses(traces, metrics)
        try:
            return self._export(metrics, deadline, spans=True, measured=measured, is_last=is_last)
        finally:
            self._spans.keep()
            self._count_losses(traces, metrics)

    def _export(
        self,
        metrics: "Instruments",
        deadline: "Deadline",
        *,
        spans: bool,
        measured: bool,
        is_last: bool,
    ) -> tuple[bool, bool]:
        if deadline.has_come():
            return not (spans and self._spans), not measured
        was_kept = self._metric_request is not None
        if measured:
            self._collect(metrics, is_last=is_last)
        apart = deadline.apart()
        if spans and self._spans and measured and self._metric_request is not None:
            has_spans, answer = at_once(
                lambda: self._send_spans(metrics, deadline, is_last=is_last),
                lambda: self._send_metrics(apart, is_last=is_last),
            )
        else:
            has_spans = not spans or self._send_spans(metrics, deadline, is_last=is_last)
            answer = self._send_metrics(apart, is_last=is_last) if measured else None
        has_metrics = not measured or self._note_metrics(answer, metrics)
        is_paced = self.metrics_apart_s > 0 and not is_last
        if measured and has_metrics and not is_paced and (was_kept or (is_last and not has_spans)):
            if deadline.has_come():
                return has_spans, False
            self._collect(metrics, is_last=is_last)
            answer = self._send_metrics(deadline, is_last=is_last)
            has_metrics = self._note_metrics(answer, metrics)
        return has_spans, has_metrics

    def forget(self) -> None:
        """A snapshot has been restored.

        What waits belongs to another sandbox, and its connections are dead.
        """
        self._spans.clear()
        self._metric_request = None
        self._losses = Losses()
        for signal in self._signals:
            signal.endpoint.forget()
            signal.back_off.succeed()
            signal.failing_since_s = None

    def report_losses(self) -> None:
        """Nothing is sent any more: warn of all that was lost, if anything was."""
        for signal, spans, requests, kept in (
            (self._traces, len(self._spans) - self._spans.copied, 0, self._spans.copied),
            (self._metrics, 0, int(self._metric_request is not None), 0),
        ):
            if signal is not None:
                self._losses.add(
                    signal.reason or "no time was left to send them",
                    spans=spans,
                    metric_requests=requests,
                    kept_spans=kept,
                    since_s=signal.failing_since_s,
                )
        for line in self._losses.lines():
            self._warn(line)

    def close(self) -> None:
        """Close the connections and the spool's file; the next export opens them again."""
        self._spans.close()
        for signal in self._signals:
            signal.endpoint.close()

    @property
    def _signals(self) -> list[_Signal]:
        return [signal for signal in (self._traces, self._metrics) if signal is not None]

    def _send_spans(self, metrics: "Instruments", deadline: "Deadline", *, is_last: bool) -> bool:
        """Send all spans, in batches, until one fails. Whether the collector has them all."""
        signal = self._traces
        if signal is None or not self._spans:
            return True
        has_all = True
        parts: list[int] = []  # of a batch that was too large: how many spans each has
        while self._spans:
            if deadline.has_come() or not (is_last or signal.back_off.is_over):
                return False
            most = parts.pop() if parts else self._batch_size
            try:
                resource, batch = self._spans.batch(most, signal.endpoint.max_batch_bytes)
            except Exception as error:  # noqa: BLE001 - the other spans count
                name = type(error).__name__
                signal.reason = f"a span could not be encoded: {name}"
                batch, answer = [b""], Answer(REJECTED, name, signal.reason)
            else:
                answer = signal.post(signal.codec.spans_request(resource, batch), deadline)
            count = len(batch)
            if answer.outcome == TOO_LARGE and count > 1:
                parts += [count - count // 2, count // 2]
                continue
            self._note(signal, answer, metrics)
            if answer.outcome in {REFUSED, UNKNOWN}:
                return False
            self._spans.drop(count)
            if answer.outcome == ACCEPTED:
                if rejected := signal.codec.rejected(answer.body):
                    self._drop_spans(rejected, "partial_success", metrics, signal)
            else:
                has_all = False
                self._drop_spans(count, answer.error_type, metrics, signal)
        return has_all

    def _count_losses(self, traces: _Signal, metrics: "Instruments") -> None:
        """Count what is lost of what an earlier process left."""
        gave_way, missing = self._spans.take_losses()
        self._drop_spans(gave_way, _QUEUE_FULL, metrics, traces)
        if missing:
            self._warn(
                f"{missing} spans of an earlier process are lost: the spool had no room for them"
            )
            self._drop_spans(missing, "spool_full", metrics, traces)

    def _collect(self, metrics: "Instruments", *, is_last: bool) -> None:
        """Make a request of what was measured since the last one, if it can be sent now."""
        signal = self._metrics
        if signal is None or self._metric_request is not None:
            return
        if not (is_last or signal.back_off.is_over):
            return
        try:
            data = metrics.collect()
            self._metric_request = None if data is None else signal.codec.metrics_request(data)
        except Exception as error:  # noqa: BLE001 - what is measured next counts
            name = type(error).__name__
            signal.reason = f"metrics could not be encoded: {name}"
            self._note(signal, Answer(REJECTED, name, signal.reason), metrics)
            self._losses.add(signal.reason, metric_requests=1)

    def _send_metrics(self, deadline: "Deadline", *, is_last: bool) -> Answer | None:
        """Send the metric request; None if there is none, or no time for it.

        It uses nothing that `_send_spans` uses, which may be running at the same time.
        """
        signal, request = self._metrics, self._metric_request
        if signal is None or request is None or deadline.has_come():
            return None
        if not (is_last or signal.back_off.is_over):
            return None
        answer = signal.post(request, deadline)
        if answer.outcome != REFUSED:
            self._metric_request = None
        return answer

    def _note_metrics(self, answer: Answer | None, metrics: "Instruments") -> bool:
        """Count and report what the answer says. Whether the collector has all metrics."""
        signal = self._metrics
        if signal is None:
            return True
        if answer is None:
            return self._metric_request is None and signal.back_off.is_over
        self._note(signal, answer, metrics)
        if answer.outcome == ACCEPTED:
            if signal.codec.rejected(answer.body):
                self._warn(f"{signal.endpoint.url} took only a part of the metrics it was sent")
            return True
        if answer.outcome != REFUSED:
            self._losses.add(signal.reason, metric_requests=1)
        return False

    def _note(self, signal: _Signal, answer: Answer, metrics: "Instruments") -> None:
        if answer.outcome == ACCEPTED:
            return
        metrics.fail_export(signal.name, answer.error_type)
        if (signal.name, answer.error_type) in self._warned:
            return
        self._warned.add((signal.name, answer.error_type))
        if answer.outcome in {TOO_LARGE, REJECTED}:
            self._warn(f"{signal.name} are lost: {signal.reason}")
        else:
            self._warn(f"{signal.name} could not be exported: {signal.reason}")

    def _drop_spans(
        self, count: int, error_type: str, metrics: "Instruments", signal: _Signal
    ) -> None:
        if not count:
            return
        metrics.drop_spans(count, error_type)
        if error_type == "partial_success":
            signal.reason = f"{signal.endpoint.url} took only a part of the spans it was sent"
            self._warn(signal.reason)
        reason = signal.reason or "more were finished than are kept"
        since_s = signal.failing_since_s
        self._losses.add(reason, spans=count, since_s=since_s)
