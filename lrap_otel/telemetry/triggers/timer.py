"""Schedules: EventBridge rules with a rate or cron expression, and EventBridge Scheduler's own
event.

The event does not carry the expression, so there is no ``faas.cron``.
"""

from __future__ import annotations

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.json_text import as_text
from lrap_otel.telemetry.triggers import times
from lrap_otel.telemetry.triggers.description import Description, Trigger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.telemetry.triggers.description import Event, Options

_SOURCES = ("aws.events", "aws.scheduler")


def _is_schedule(event: Event) -> bool:
    return event.get("source") in _SOURCES and event.get("detail-type") == "Scheduled Event"


def _describe(event: Event, _options: Options) -> Description:
    time = as_text(event.get("time"))
    description = Description(semconv.TRIGGER_TIMER, {semconv.FAAS_TIME: time} if time else {})
    description.made_s = times.from_iso(time)
    return description


TRIGGERS = (Trigger("schedule", "detail-type", _is_schedule, _describe),)
