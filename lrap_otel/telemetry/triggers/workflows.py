"""Step Functions, if the state machine passes its context object on, and durable functions.

A state's input is any JSON, so a task without the context object looks like a direct call.
"""

from __future__ import annotations

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.json_text import as_list, as_object, as_text
from lrap_otel.telemetry.triggers import times
from lrap_otel.telemetry.triggers.description import Description, Trigger
from lrap_otel.telemetry.triggers.events import arn_part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lrap_otel.telemetry.semconv import Attributes
    from lrap_otel.telemetry.triggers.description import Event, Options


def _is_state(event: Event) -> bool:
    return bool(_state_context(event))


def _state_context(event: Event) -> dict[str, Any]:
    """``$$`` of the Amazon States Language; empty if it is not in the event.

    A state's parameters place it anywhere: as the whole input, or as a member of it or of its
    ``Payload``, with any name.
    """
    for value in (event, *event.values(), *as_object(event.get("Payload")).values()):
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


def _is_durable(event: Event) -> bool:
    return "CheckpointToken" in event or "InitialExecutionState" in event


def _describe_durable(event: Event, _options: Options) -> Description:
    """One invocation of a durable function. The event does not contain when this step was due, so
    it has no age.

    The first operation is the execution itself. If there are more operations, or more pages of
    them, this invocation replays what earlier ones have done.
    """
    state = as_object(event.get("InitialExecutionState"))
    is_replay = len(as_list(state.get("Operations"))) > 1 or bool(as_text(state.get("NextMarker")))
    attributes: Attributes = {semconv.AWS_DURABLE_EXECUTION_REPLAY: is_replay}
    arn = as_text(event.get("DurableExecutionArn"))
    if arn:
        attributes[semconv.AWS_DURABLE_EXECUTION_ARN] = arn
    return Description(semconv.TRIGGER_OTHER, attributes)


TRIGGERS = (
    Trigger("durable_execution", "DurableExecutionArn", _is_durable, _describe_durable),
    Trigger("step_functions", None, _is_state, _describe_state),
)
