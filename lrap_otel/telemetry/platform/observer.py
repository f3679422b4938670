"""Joins what the platform reports with what the proxy has seen."""

from __future__ import annotations

from posix import urandom
from time import time_ns

from lrap_otel.propagation.context import RANDOM, SAMPLED, SpanContext
from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.failures import TIMEOUT
from lrap_otel.telemetry.otlp.traces import Link
from lrap_otel.telemetry.platform.batches import Reader
from lrap_otel.telemetry.platform.phases import (
    INIT,
    RESTORE,
    SNAP_START,
    Phases,
    number,
    phase_span,
)
from lrap_otel.telemetry.platform.reports import Reported, is_out_of_memory
from lrap_otel.telemetry.triggers.description import LinkTo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from lrap_otel.propagation.sampling import Sampler
    from lrap_otel.telemetry.failures import Failure
    from lrap_otel.telemetry.limits import Limits
    from lrap_otel.telemetry.logs.gathering import Logs
    from lrap_otel.telemetry.metrics import Metrics
    from lrap_otel.telemetry.open_invocations import Invocation
    from lrap_otel.telemetry.otlp.traces import Span
    from lrap_otel.telemetry.otlp.wire import Resource
    from lrap_otel.telemetry.platform.batches import Event
    from lrap_otel.telemetry.platform.phases import Phase
    from lrap_otel.telemetry.platform.reports import Measured
    from lrap_otel.telemetry.record_queue import Batch

    class Outlet(Protocol):
        """Takes spans and measurements, as the pipeline does. `metrics` is read once for each
        measurement: reading it notes the time.
        """

        @property
        def metrics(self) -> Metrics: ...
        @property
        def resource(self) -> Resource: ...
        @property
        def limits(self) -> Limits: ...
        @property
        def sampler(self) -> Sampler: ...
        def add(self, span: Span, *, is_sampled: bool, is_cold: bool) -> None: ...


# How many invocations may await their report: with one at a time it is one or two, Managed
# Instances have 64 at once. Fewer before the first batch: perhaps none will come.
_AWAITED_LIMIT, _UNHEARD_LIMIT = 256, 4
# How many of the platform's events are remembered: four times what 64 invocations at once have.
_KNOWN_LIMIT = 1_024
_BATCHES_LIMIT = 16
# Phases before the first invocation: Lambda has two or three, and anybody in the sandbox may make
# up more.
_PHASES_LIMIT = 16
# The kinds of event that are printed lines.
_PRINTED = frozenset({"function", "extension"})
# An init that ended longer than this before the first event was made in advance.
_AHEAD_NS = 10_000_000_000
_NANOSECONDS = 1_000_000_000


class Observer:
    """Turns events into spans of init and restore, attributes of invocations, and measurements.

    `is_subscribed` is set once Lambda has agreed to deliver events.
    """

    __slots__ = (
        "_awaited",
        "_batches",
        "_first",
        "_first_ns",
        "_has_heard",
        "_has_init_error",
        "_known",
        "_links",
        "_logs",
        "_outlet",
        "_phases",
        "_reader",
        "_running",
        "_unplaced",
        "is_subscribed",
    )

    def __init__(self, outlet: Outlet, logs: Logs | None = None) -> None:
        """`logs` takes what the function and extensions have printed; None if it is not sent."""
        self._outlet = outlet
        self._logs = logs
        self._reader = Reader()
        self._phases = Phases()
        self._awaited: dict[str, Reported] = {}
        self._known: dict[int, None] = {}
        self.is_subscribed = self._has_heard = self._has_init_error = False
        # Phases that have ended before the first invocation; spans that it links to.
        self._unplaced: list[Phase] = []
        self._links: list[SpanContext] = []
        self._first: SpanContext | None = None
        self._first_ns = 0
        self._running = ""
        self._batches: dict[int, None] = {}

    @property
    def is_awaiting(self) -> bool:
        """Whether the platform sends events, and has not yet reported every invocation that was
        delivered.
        """
        speaks = self.is_subscribed or self._has_heard
        return speaks and not all(reported.is_reported for reported in self._awaited.values())

    def take(self, batch: Batch) -> int:
        """Work off a batch. Returns how many of its records could not be read."""
        self._has_heard = True
        body = batch.payload or b""
        if self._logs is not None and self._is_known_batch(body):
            return 0
        events, malformed = self._reader.read(body, batch.received_ns)
        for event in events:
            if event.kind in _PRINTED:
                self._take_printed(event, batch.received_ns)
            elif not self._is_known(event):
                self._take(event)
        return malformed

    def delivered(self, invocation: Invocation) -> None:
        """A new invocation."""
        if self._logs is not None:
            self._logs.delivered(invocation)
        if self._first is None:
            self._begin(invocation)
        request_id = invocation.delivered.request_id
        known = self._awaited.get(request_id)
        if known is None:
            self._await(request_id, Reported(invocation))
        elif known.context is None:
            known.join(invocation)
        else:
            known.later = Reported(invocation)

    def ended(self, invocation: Invocation, span: Span | None) -> None:
        """An invocation has ended, and `span` is about to leave; None if it is not sampled."""
        reported = self._of(invocation)
        if reported is not None:
            reported.has_ended, reported.has_failed = True, invocation.failure is not None
            reported.span = span
            reported.apply(self._outlet.limits.max_attributes)
            self._let_go(invocation.delivered.request_id)

    def failure_of(self, invocation: Invocation) -> Failure | None:
        """Why an invocation that is still open has failed, as far as the platform has reported."""
        reported = self._of(invocation)
        return reported.cause if reported is not None else None

    def init_failed(self) -> int:
        """The runtime has reported that its init failed, which becomes a span. Returns when init
        began (Unix ns), 0 if that is not known.
        """
        for phase in self._unplaced:
            if phase.name == INIT and phase.has_failed:
                self._unplaced.remove(phase)
                return phase.start_ns
        self._has_init_error = True
        return self._phases.start_ns(INIT)

    def restored(self) -> None:
        """Begin anew in a sandbox that was made from a snapshot."""
        self._awaited.clear()
        self._unplaced = [phase for phase in self._unplaced if phase.name == RESTORE]
        self._links.clear()
        self._first = None
        self._running = ""
        if self._logs is not None:
            self._logs.restored()

    def close(self, reason: str) -> None:
        """The sandbox ends for `reason`: so do the phases that no invocation has followed."""
        if self._logs is not None:
            self._logs.release(is_last=True)
        for phase in self._phases.take_open():
            phase.status = phase.status or reason
            phase.end_ns = time_ns()
            self._end_phase(phase)
        for phase in self._unplaced:
            self._add_alone(phase)
        self._unplaced.clear()

    def _take_printed(self, event: Event, received_ns: int) -> None:
        """A line, or an object, of a log."""
        if self._running and is_out_of_memory(event.record):
            self._reported_by(self._running).has_run_out_of_memory = True
        if self._logs is not None:
            self._logs.take(event, received_ns, self._reader)

    def _is_known_batch(self, body: bytes) -> bool:
        """True if the whole batch comes again: of its lines, two may be the same."""
        return _was_known(self._batches, hash(body), _BATCHES_LIMIT)

    def _is_known(self, event: Event) -> bool:
        """True if the event comes again, as one does whose batch was not acknowledged in time: it
        must not count twice.
        """
        key = hash((event.kind, event.at_ns, event.request_id))
        return _was_known(self._known, key, _KNOWN_LIMIT)

    def _take(self, event: Event) -> None:
        kind = event.kind
        if kind == "platform.runtimeDone":
            reported = self._reported(event)
            reported.take(event)
            reported.apply(self._outlet.limits.max_attributes)
        elif kind == "platform.report":
            self._report(event)
        elif kind == "platform.start":
            self._running = event.request_id
            if self._logs is not None:
                self._logs.started(self._running)
        elif kind == "platform.logsDropped":
            dropped = number(event.members.get("droppedRecords"))
            if dropped:
                self._outlet.metrics.drop_records(int(dropped), "telemetry_api")
        else:
            for phase in self._phases.take(event):
                self._end_phase(phase)

    def _report(self, event: Event) -> None:
        reported = self._reported(event)
        measured = reported.take_report(event)
        reported.apply(self._outlet.limits.max_attributes)
        self._measure(reported, measured)
        self._let_go(event.request_id)

    def _let_go(self, request_id: str) -> None:
        """Forget the invocation once it has been reported and has ended: nothing more is expected
        of it.
        """
        reported = self._awaited[request_id]
        # The proxy's own records may come after the platform's.
        if reported.is_reported and reported.has_ended:
            del self._awaited[request_id]
            if reported.later is not None:
                self._awaited[request_id] = reported.later

    def _measure(self, reported: Reported, measured: Measured) -> None:
        metrics = self._outlet.metrics
        metrics.report(measured, reported.trigger, reported.context)
        # The proxy counts how it ended, but for a bad end after a good result.
        if reported.has_ended and not reported.has_failed and reported.failure is not None:
            metrics.fail(reported.trigger, is_timeout=reported.failure.type == TIMEOUT)

    def _reported(self, event: Event) -> Reported:
        return self._reported_by(event.request_id)

    def _reported_by(self, request_id: str) -> Reported:
        known = self._awaited.get(request_id)
        return known if known is not None else self._await(request_id, Reported())

    def _of(self, invocation: Invocation) -> Reported | None:
        """What is reported of an invocation of the proxy's."""
        reported = self._awaited.get(invocation.delivered.request_id)
        while reported is not None and (
            reported.context is None
            or reported.context.span_id_hex != invocation.delivered.span_id_hex
        ):
            reported = reported.later
        return reported

    def _await(self, request_id: str, reported: Reported) -> Reported:
        self._awaited[request_id] = reported
        if len(self._awaited) > (_AWAITED_LIMIT if self._has_heard else _UNHEARD_LIMIT):
            del self._awaited[next(iter(self._awaited))]
        return reported

    def _begin(self, invocation: Invocation) -> None:
        """The first invocation: what was before it belongs to its trace, or is linked from its
        span.
        """
        delivered = invocation.delivered
        first = SpanContext(
            delivered.trace_id_hex,
            delivered.span_id_hex,
            delivered.trace_flags,
            delivered.trace_state,
        )
        self._first_ns = delivered.delivered_ns
        for phase in self._unplaced:
            self._place(phase, first)
        self._unplaced.clear()
        invocation.description.links += [
            LinkTo(context, {semconv.LRAP_LINK_SOURCE: semconv.LRAP_LINK_SOURCE_INIT})
            for context in self._links
        ]
        self._links.clear()
        self._first = first

    def _end_phase(self, phase: Phase) -> None:
        duration_ms = phase.duration_ms
        if duration_ms is not None:
            kind = phase.initialization_type or (SNAP_START if phase.name == RESTORE else "")
            self._outlet.metrics.init(duration_ms / 1_000, kind)
        if phase.name == INIT and phase.has_failed and self._has_init_error:
            self._has_init_error = False  # the runtime's own report of it is a span already
        elif self._first is not None:
            self._place(phase, self._first)
        elif phase.is_ahead_of_events and not phase.has_failed:
            self._add_alone(phase)
        else:
            # The runtime's own report of a failure may still come.
            self._unplaced.append(phase)
            if len(self._unplaced) > _PHASES_LIMIT:
                self._add_alone(self._unplaced.pop(0))

    def _place(self, phase: Phase, first: SpanContext) -> None:
        if phase.is_ahead_of_events or self._first_ns - phase.end_ns > _AHEAD_NS:
            self._add_alone(phase)
        else:
            context = SpanContext(
                first.trace_id_hex, urandom(8).hex(), first.trace_flags, first.trace_state
            )
            self._add(phase, context, first.span_id_hex)

    def _add_alone(self, phase: Phase) -> None:
        """Add the phase as a trace of its own, with a link to the first invocation; if that comes
        later, it gets a link to the phase.
        """
        trace_id_hex = urandom(16).hex()
        is_sampled = self._outlet.sampler.decide(None, trace_id_hex)
        context = SpanContext(
            trace_id_hex, urandom(8).hex(), RANDOM | SAMPLED if is_sampled else RANDOM
        )
        self._add(phase, context, "", links_to=self._first)
        if self._first is None and is_sampled and len(self._links) < _PHASES_LIMIT:
            self._links.append(context)

    def _add(
        self,
        phase: Phase,
        context: SpanContext,
        parent_span_id_hex: str,
        links_to: SpanContext | None = None,
    ) -> None:
        outlet = self._outlet
        span = phase_span(phase, context, parent_span_id_hex, outlet.resource, outlet.limits)
        if links_to is not None and outlet.limits.max_links:
            span.links = (Link(links_to, {}),)
        outlet.add(span, is_sampled=bool(context.trace_flags & SAMPLED), is_cold=True)


def _was_known(known: dict[int, None], key: int, limit: int) -> bool:
    """Whether `known` has the key. Adds it if not, and forgets the oldest above `limit` keys."""
    if key in known:
        return True
    known[key] = None
    if len(known) > limit:
        del known[next(iter(known))]
    return False
