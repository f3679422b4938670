"""All triggers in the order in which they are tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lrap_otel.telemetry.triggers import datasource, http, messaging, timer
from lrap_otel.telemetry.triggers.description import unknown

if TYPE_CHECKING:
    from lrap_otel.telemetry.triggers.description import Description, Options

# A schedule looks like any event of EventBridge's but for its source: it comes first. What matches none (direct calls,
# Step Functions, Cognito, Lex, CloudFormation and so on) is `other`.
TRIGGERS = (*http.TRIGGERS, *timer.TRIGGERS, *messaging.TRIGGERS, *datasource.TRIGGERS)


def describe(event: Any, options: Options) -> Description:
    """What `event`, any JSON value, says about its invocation. The first trigger that matches decides."""
    if isinstance(event, dict):
        for trigger in TRIGGERS:
            if trigger.matches(event):
                return trigger.describe(event, options)
    return unknown()
