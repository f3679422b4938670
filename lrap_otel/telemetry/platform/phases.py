"""Init and restore, as the platform reports them, and their spans.

Source: AWS Lambda, "Lambda Telemetry API Event schema reference", "platform.initStart" and those
after it.
"""

from __future__ import annotations

from lrap_otel.telemetry import json_text, semconv
from lrap_otel.telemetry.otlp.traces import ERROR, INTERNAL, Event, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lrap_otel.propagation.context import SpanContext
    from lrap_otel.telemetry.limits import Limits
    from lrap_otel.telemetry.otlp.wire import Resource
    from lrap_otel.telemetry.platform.batches import Event as PlatformEvent
    from lrap_otel.telemetry.semconv import Attributes

INIT, RESTORE = "init", "restore"
_START, _RUNTIME_DONE, _REPORT = range(3)
_STEPS = {
    "platform.initStart": (INIT, _START),
    "platform.initRuntimeDone": (INIT, _RUNTIME_DONE),
    "platform.initReport": (INIT, _REPORT),
    "platform.restoreStart": (RESTORE, _START),
    "platform.restoreRuntimeDone": (RESTORE, _RUNTIME_DONE),
    "platform.restoreReport": (RESTORE, _REPORT),
}
SNAP_START = "snap-start"
# Types of initialization that nobody waits for.
_AHEAD_OF_EVENTS = frozenset({"provisioned-concurrency", "lambda-managed-instances"})
_SUCCESS = "success"
_NANOSECONDS_PER_MILLISECOND = 1_000_000
# Of anything that the platform measures: three years in milliseconds.
_MOST = 1e11


class Phase:
    """One init or restore. Times are Unix nanoseconds, 0 if they are not known; `duration_ms` is
    the platform's own measure, None if it has not come; texts are the platform's own words.
    """

    __slots__ = (
        "duration_ms",
        "end_ns",
        "error_type",
        "initialization_type",
        "name",
        "phase",
        "runtime_done_ns",
        "runtime_version",
        "start_ns",
        "status",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.start_ns = self.runtime_done_ns = self.end_ns = 0
        self.duration_ms: float | None = None
        self.initialization_type = self.phase = self.runtime_version = self.status = (
            self.error_type
        ) = ""

    @property
    def is_ahead_of_events(self) -> bool:
        """Whether nobody waited for it."""
        return self.initialization_type in _AHEAD_OF_EVENTS

    @property
    def has_failed(self) -> bool:
        """Whether it has failed, by what the platform says."""
        return self.status not in {"", _SUCCESS}

    def take(self, step: int, event: PlatformEvent) -> None:
        """What the next event says about it."""
        record = event.members
        self.initialization_type = (
            json_text.as_text(record.get("initializationType")) or self.initialization_type
        )
        self.phase = json_text.as_text(record.get("phase")) or self.phase
        self.runtime_version = (
            json_text.as_text(record.get("runtimeVersion")) or self.runtime_version
        )
        self.status = json_text.as_text(record.get("status")) or self.status
        self.error_type = json_text.as_text(record.get("errorType")) or self.error_type
        if step == _START:
            self.start_ns = event.at_ns
        elif step == _RUNTIME_DONE:
            self.runtime_done_ns = self.end_ns = event.at_ns
        else:
            self._report(event)

    def _report(self, event: PlatformEvent) -> None:
        self.duration_ms = number(
            json_text.as_object(event.members.get("metrics")).get("durationMs")
        )
        self.end_ns = event.at_ns
        if self.duration_ms is None:
            return
        duration_ns = int(self.duration_ms * _NANOSECONDS_PER_MILLISECOND)
        if self.start_ns:
            self.end_ns = self.start_ns + duration_ns
        else:
            self.start_ns = event.at_ns - duration_ns


class Phases:
    """Joins the events of each phase. The snapshot's own init is left out: the platform reports it
    again in each sandbox that is made from the snapshot, and nobody waited for it there.
    """

    __slots__ = ("_is_restored", "_open")

    def __init__(self) -> None:
        self._open: dict[str, Phase] = {}
        self._is_restored = False

    def take(self, event: PlatformEvent) -> list[Phase]:
        """The phases that `event` ends. It may be any event."""
        known = _STEPS.get(event.kind)
        if known is None:
            return []
        name, step = known
        self._is_restored = self._is_restored or name == RESTORE
        is_snapshots = event.members.get("initializationType") == SNAP_START
        if name == INIT and (self._is_restored or is_snapshots):
            return []
        ended = []
        if step == _START and name in self._open:
            ended.append(self._open.pop(name))  # it ran out of time, and begins again
        phase = self._open.setdefault(name, Phase(name))
        phase.take(step, event)
        if step == _REPORT:
            ended.append(self._open.pop(name))
        return ended

    def start_ns(self, name: str) -> int:
        """When the phase `name`, which has not ended, began; 0 if that is not known."""
        phase = self._open.get(name)
        return phase.start_ns if phase is not None else 0

    def take_open(self) -> list[Phase]:
        """Those that will not end any more; an end that is not known is `Phase.start_ns`."""
        phases = list(self._open.values())
        self._open.clear()
        return phases


def phase_span(
    phase: Phase, context: SpanContext, parent_span_id_hex: str, resource: Resource, limits: Limits
) -> Span:
    """INTERNAL. When the runtime was done is an event in it, with the platform's own name."""
    start_ns = phase.start_ns or phase.runtime_done_ns or phase.end_ns
    end_ns = max(phase.end_ns, start_ns)
    span = Span(phase.name, INTERNAL, context, parent_span_id_hex, start_ns, end_ns, resource)
    attributes: Attributes = {
        semconv.FAAS_COLDSTART: True,
        semconv.LRAP_INIT_TYPE: phase.initialization_type
        or (SNAP_START if phase.name == RESTORE else ""),
        semconv.LRAP_INIT_PHASE: phase.phase,
        semconv.LRAP_RUNTIME_VERSION: phase.runtime_version,
    }
    attributes = {name: value for name, value in attributes.items() if value != ""}
    if phase.has_failed:
        attributes[semconv.ERROR_TYPE] = phase.error_type or phase.status
        span.status = ERROR
    span.attributes, span.dropped_attributes = limits.applied(attributes, limits.max_attributes)
    if phase.runtime_done_ns and limits.max_events:
        span.events = (Event(f"platform.{phase.name}RuntimeDone", phase.runtime_done_ns, {}),)
    elif phase.runtime_done_ns:
        span.dropped_events = 1
    return span


def number(value: Any) -> float | None:
    """A number that is not negative, of a size that can be; None if it is something else."""
    return float(value) if type(value) in {int, float} and 0 <= value <= _MOST else None
