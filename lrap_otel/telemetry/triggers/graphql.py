"""AppSync: resolvers, and handlers of its Event API. The event contains the request's headers, but
neither method nor path.
"""

from __future__ import annotations

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.json_text import as_object, as_text
from lrap_otel.telemetry.triggers import requests
from lrap_otel.telemetry.triggers.description import Description, Trigger
from lrap_otel.telemetry.triggers.requests import Request, headers_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lrap_otel.telemetry.triggers.description import Event, Options

_OPERATIONS = {"Query": "query", "Mutation": "mutation", "Subscription": "subscription"}


def is_resolver(event: Any) -> bool:
    """Whether the event asks for one field; a batch of fields is a list of such events.

    A field without arguments may lack ``arguments``. Amplify's template has two names in place of
    ``info``.
    """
    if not isinstance(event, dict) or not ("arguments" in event or "request" in event):
        return False
    return "fieldName" in as_object(event.get("info")) or (
        "typeName" in event and "fieldName" in event
    )


def _is_event_handler(event: Event) -> bool:
    return "channel" in as_object(event.get("info")) and "request" in event


def _describe_resolver(event: Event, options: Options) -> Description:
    description = _describe_event_handler(event, options)
    # A field of a nested type is resolved within an operation that the event does not name.
    parent = as_object(event.get("info")).get("parentTypeName") or event.get("typeName")
    operation = _OPERATIONS.get(as_text(parent))
    if operation:
        description.attributes[semconv.GRAPHQL_OPERATION_TYPE] = operation
    return description


def _describe_event_handler(event: Event, _options: Options) -> Description:
    request = Request(headers_of(as_object(event.get("request"))))
    return Description(semconv.TRIGGER_HTTP, requests.peers(request))


TRIGGERS = (
    Trigger("appsync_resolver", None, is_resolver, _describe_resolver),
    Trigger("appsync_events", "info", _is_event_handler, _describe_event_handler),
)
