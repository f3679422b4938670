"""Step Functions, where the state machine passes its context object on, and durable functions.

A state's input is any JSON, so a task without the context object cannot be told from a direct call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.json_text import as_object, as_text
from lrap_otel.telemetry.triggers import times
from lrap_otel.telemetry.triggers.description import Description, Trigger
from lrap_otel.telemetry.triggers.events import arn_part, has

if TYPE_CHECKING:
    from lrap_otel.telemetry.triggers.description import Event, Options

# Where a state's parameters put the context object: as the whole input, or as one member of it (the second is Datadog's).
_PLACES = ("Payload", "_datadog")


def _is_state(event: Event) -> bool:
    return bool(_state_context(event))


def _state_context(event: Event) -> dict[str, Any]:
    """``$$`` of the Amazon States Language; empty if it is not there."""
    for value in (event, *(event.get(name) for name in _PLACES)):
        context = as_object(value)
        execution = as_object(context.get("Execution"))
        if arn_part(execution.get("Id"), 2) == "states" and "State" in context:
            return context
    return {}


def _describe_state(event: Event, _options: Options) -> Description:
    context = _state_context(event)
    description = Description(semconv.TRIGGER_OTHER)
    machine = as_text(as_object(context.get("StateMachine")).get("Id"))
    if machine:
        description.attributes[semconv.AWS_STEP_FUNCTIONS_STATE_MACHINE_ARN] = machine
    description.made_s = times.from_iso(as_object(context.get("State")).get("EnteredTime"))
    return description


def _describe_durable(_event: Event, _options: Options) -> Description:
    """It is called again for each step, and does not tell since when this one waits."""
    return Description(semconv.TRIGGER_OTHER)


TRIGGERS = (
    Trigger("durable_execution", "DurableExecutionArn", has("CheckpointToken"), _describe_durable),
    Trigger("step_functions", None, _is_state, _describe_state),
)
