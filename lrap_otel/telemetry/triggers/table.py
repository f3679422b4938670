"""All triggers in the order in which they are tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lrap_otel.telemetry.triggers import (
    authorizers,
    brokers,
    datasource,
    graphql,
    http,
    messaging,
    monitoring,
    named,
    services,
    streams,
    timer,
    workflows,
)
from lrap_otel.telemetry.triggers.description import unknown

if TYPE_CHECKING:
    from lrap_otel.telemetry.triggers.description import Description, Options

# An authorizer is asked about a request and looks like one; a schedule looks like any event of EventBridge's: they come
# first. What matches none (a direct call, a state of Step Functions, an IoT rule) is `other`.
TRIGGERS = (
    *authorizers.TRIGGERS,
    *http.TRIGGERS,
    *graphql.TRIGGERS,
    *timer.TRIGGERS,
    *messaging.TRIGGERS,
    *streams.TRIGGERS,
    *brokers.TRIGGERS,
    *datasource.TRIGGERS,
    *monitoring.TRIGGERS,
    *workflows.TRIGGERS,
    *services.TRIGGERS,
    *named.TRIGGERS,
)


def describe(event: Any, options: Options) -> Description:
    """What `event`, any JSON value, says about its invocation. The first trigger that matches decides."""
    if isinstance(event, list):
        event = _of_list(event)
    if isinstance(event, dict):
        for trigger in TRIGGERS:
            if (trigger.member is None or trigger.member in event) and trigger.matches(event):
                description = trigger.describe(event, options)
                description.attributes = options.privacy.of_attributes(description.attributes)
                description.name = trigger.name
                return description
    return unknown()


def _of_list(events: list[Any]) -> Any:
    """AppSync brings the fields of one batch as a list, all of one request; EventBridge Pipes the records of its source."""
    first = events[0] if events else None
    if not isinstance(first, dict) or "eventSource" not in first:
        return first if graphql.is_resolver(first) else None
    # To Lambda itself come ActiveMQ's as messages, RabbitMQ's by queue and Kafka's by partition.
    return {
        "eventSource": first["eventSource"],
        "Records": events,
        "messages": events,
        "rmqMessagesByQueue": brokers.by_queue(events),
        "records": {"": events},
    }
