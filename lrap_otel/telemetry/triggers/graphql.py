"""AppSync's resolvers. The event has the request's headers, but neither method nor path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.json_text import as_object, as_text
from lrap_otel.telemetry.triggers import requests
from lrap_otel.telemetry.triggers.description import Description, Trigger
from lrap_otel.telemetry.triggers.requests import Request, headers_of

if TYPE_CHECKING:
    from lrap_otel.telemetry.triggers.description import Event, Options

_OPERATIONS = {"Query": "query", "Mutation": "mutation", "Subscription": "subscription"}


def is_resolver(event: Any) -> bool:
    """Of one field; several fields of one batch come as a list of such events."""
    return isinstance(event, dict) and "arguments" in event and "fieldName" in as_object(event.get("info"))


def _describe(event: Event, _options: Options) -> Description:
    request = Request(headers_of(as_object(event.get("request"))))
    description = Description(semconv.TRIGGER_HTTP, requests.peers(request))
    # The fields of a nested type are resolved in an operation that the event does not name.
    operation = _OPERATIONS.get(as_text(as_object(event.get("info")).get("parentTypeName")))
    if operation:
        description.attributes[semconv.GRAPHQL_OPERATION_TYPE] = operation
    return description


TRIGGERS = (Trigger("appsync_resolver", "arguments", is_resolver, _describe),)
