"""Authorizers: functions that decide whether a request may pass, for API Gateway (both formats) and
AppSync.

They return a policy, not an HTTP response. Their span has the function's name, not the route's.
"""

from __future__ import annotations

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.json_text import as_text
from lrap_otel.telemetry.triggers import requests
from lrap_otel.telemetry.triggers.description import Description, Trigger
from lrap_otel.telemetry.triggers.http import (
    context_of,
    describe_http_api,
    describe_rest_api,
    describe_websocket,
    is_http_api,
    is_rest_api,
    is_websocket,
)
from lrap_otel.telemetry.triggers.requests import Request, headers_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.telemetry.triggers.description import Event, Options


def _is_authorizer(event: Event) -> bool:
    return event.get("type") in ("REQUEST", "TOKEN") and (
        "methodArn" in event or "routeArn" in event
    )


def _is_appsync_authorizer(event: Event) -> bool:
    """Whether the event asks an authorizer of a GraphQL API or of the Event API (``EVENT_CONNECT``,
    ``EVENT_PUBLISH``, ``EVENT_SUBSCRIBE``).
    """
    context = context_of(event)
    return "queryString" in context or as_text(context.get("operation")).startswith("EVENT_")


def _describe_authorizer(event: Event, options: Options) -> Description:
    if is_http_api(event):
        description = describe_http_api(event, options)
    elif is_websocket(event):
        description = describe_websocket(event, options)
    elif is_rest_api(event):
        description = describe_rest_api(event, options)
    else:
        # The event has the request's token and the method's ARN; the path in the ARN is the API's,
        # not the client's.
        description = Description(semconv.TRIGGER_HTTP)
    description.span_name = ""
    description.result_is_http = False
    return description


def _describe_appsync_authorizer(event: Event, _options: Options) -> Description:
    request = Request(headers_of({"headers": event.get("requestHeaders")}))
    description = Description(semconv.TRIGGER_HTTP, requests.peers(request))
    operation = as_text(context_of(event).get("operationName"))
    if operation:
        description.attributes[semconv.GRAPHQL_OPERATION_NAME] = operation
    return description


TRIGGERS = (
    Trigger("api_gateway_authorizer", "type", _is_authorizer, _describe_authorizer),
    Trigger(
        "appsync_authorizer",
        "authorizationToken",
        _is_appsync_authorizer,
        _describe_appsync_authorizer,
    ),
)
