"""All triggers, in the order in which they are tried."""

from __future__ import annotations

from lrap_otel.telemetry.triggers.description import unknown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lrap_otel.telemetry.triggers.description import Description, Options, Trigger

# The modules in the order in which they are tried, each with members of which its events have one;
# a module is loaded by the first event that has. Authorizers come before HTTP, whose requests look
# like theirs, and schedules before EventBridge's other events. An event that matches none (a direct
# call, an IoT rule) is `other`.
FAMILIES: tuple[tuple[str, frozenset[str] | None], ...] = (
    ("authorizers", frozenset({"type", "authorizationToken"})),
    ("http", frozenset({"requestContext", "method"})),
    ("graphql", None),
    ("timer", frozenset({"detail-type"})),
    ("messaging", frozenset({"Records", "detail-type"})),
    ("streams", frozenset({"records", "Records"})),
    ("brokers", frozenset({"messages", "rmqMessagesByQueue"})),
    ("datasource", frozenset({"Records", "events"})),
    ("monitoring", frozenset({"awslogs", "alarmArn"})),
    ("workflows", None),
    (
        "services",
        frozenset(
            {
                "Records",
                "SecretId",
                "agent",
                "configRuleName",
                "deviceEvent",
                "requestPayload",
                "tasks",
            }
        ),
    ),
    (
        "named",
        frozenset(
            {
                "CodePipeline.job",
                "Name",
                "RequestType",
                "applicationArn",
                "bot",
                "claimCertificateId",
                "connection-id",
                "datasetName",
                "protocolData",
                "serialNumber",
                "userPoolId",
                "xAmzRequestId",
            }
        ),
    ),
)


def rows_of(family: str) -> tuple[Trigger, ...]:
    """The rows of one module."""
    module = __import__(f"lrap_otel.telemetry.triggers.{family}", fromlist=["TRIGGERS"])
    rows: tuple[Trigger, ...] = module.TRIGGERS
    return rows


def describe(event: Any, options: Options) -> Description:
    """What `event`, any JSON value, says about its invocation. The first trigger that matches
    decides.
    """
    if isinstance(event, list):
        event = _of_list(event)
    if isinstance(event, dict):
        for family, members in FAMILIES:
            if members is not None and members.isdisjoint(event):
                continue
            for trigger in rows_of(family):
                if (trigger.member is None or trigger.member in event) and trigger.matches(event):
                    description = trigger.describe(event, options)
                    description.attributes = options.privacy.of_attributes(description.attributes)
                    description.name = trigger.name
                    return description
    return unknown()


def _of_list(events: list[Any]) -> Any:
    """The event that a list stands for. AppSync sends the fields of one batch, all of one request,
    as a list; EventBridge Pipes the records of its source.
    """
    from lrap_otel.telemetry.triggers import brokers, graphql  # noqa: PLC0415 - few events are lists

    first = events[0] if events else None
    if not isinstance(first, dict) or "eventSource" not in first:
        return first if graphql.is_resolver(first) else None
    # Sent to Lambda directly, ActiveMQ's records are in `messages`, RabbitMQ's by queue and Kafka's
    # by partition.
    return {
        "eventSource": first["eventSource"],
        "Records": events,
        "messages": events,
        "rmqMessagesByQueue": brokers.by_queue(events),
        "records": {"": events},
    }
