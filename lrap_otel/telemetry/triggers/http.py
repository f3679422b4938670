"""HTTP requests: API Gateway (both payload formats, WebSocket), Function URL, Application Load
Balancer, VPC Lattice.

Source: OpenTelemetry, "AWS Lambda", "API Gateway".
"""

from __future__ import annotations

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.json_text import as_object, as_text
from lrap_otel.telemetry.triggers import requests, times
from lrap_otel.telemetry.triggers.description import Description, Trigger
from lrap_otel.telemetry.triggers.requests import Request, headers_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lrap_otel.telemetry.triggers.description import Event, Options


def is_rest_api(event: Event) -> bool:
    """Whether this is API Gateway's payload format 1.0, or a shortened copy that still has its
    characteristic members.
    """
    return (
        "httpMethod" in event
        and "resource" in event
        and isinstance(event.get("requestContext"), dict)
    )


def is_http_api(event: Event) -> bool:
    """Whether this is API Gateway's payload format 2.0, which Function URLs use too."""
    return event.get("version") == "2.0" and "http" in context_of(event)


def is_websocket(event: Event) -> bool:
    """Whether this is a WebSocket API's connection, or a message on one."""
    context = context_of(event)
    return "eventType" in context and "connectionId" in context


def context_of(event: Event) -> dict[str, Any]:
    """``requestContext``: what the service adds to the request; empty if absent."""
    return as_object(event.get("requestContext"))


def _is_function_url(event: Event) -> bool:
    context = context_of(event)
    return "http" in context and ".lambda-url." in as_text(context.get("domainName"))


def _is_load_balancer(event: Event) -> bool:
    return "elb" in context_of(event)


def _is_lattice(event: Event) -> bool:
    return "raw_path" in event or "serviceNetworkArn" in context_of(event)


def describe_rest_api(event: Event, options: Options) -> Description:
    """An event of payload format 1.0."""
    context = context_of(event)
    identity = as_object(context.get("identity"))
    request = Request(headers_of(event))
    request.method = as_text(event.get("httpMethod"))
    # "$default" is the name of an HTTP API's default route, which is no route.
    route = as_text(event.get("resource"))
    request.route = route if route.startswith("/") else ""
    # This one includes the stage or the mapped base path, as the client asked for it; `path` does
    # not. The console's test event has the route here.
    path = as_text(context.get("path"))
    request.path = path if path not in {"", route} else as_text(event.get("path"))
    request.query = requests.query_of(event)
    request.peer = as_text(identity.get("sourceIp"))
    request.protocol = as_text(context.get("protocol"))
    request.server = as_text(context.get("domainName"))
    request.user_agent = as_text(identity.get("userAgent"))
    request.made_s = times.from_milliseconds(context.get("requestTimeEpoch"))
    return requests.describe(request, options)


def describe_http_api(event: Event, options: Options) -> Description:
    """An event of payload format 2.0."""
    context = context_of(event)
    http = as_object(context.get("http"))
    request = Request(headers_of(event))
    request.method = as_text(http.get("method"))
    request.path = as_text(event.get("rawPath")) or as_text(http.get("path"))
    request.query = as_text(event.get("rawQueryString"))
    # "GET /pets/{id}"; "$default" names no route.
    request.route = as_text(event.get("routeKey")).partition(" ")[2]
    request.peer = as_text(http.get("sourceIp"))
    request.protocol = as_text(http.get("protocol"))
    request.server = as_text(context.get("domainName"))
    request.user_agent = as_text(http.get("userAgent"))
    request.made_s = times.from_milliseconds(context.get("timeEpoch"))
    description = requests.describe(request, options)
    description.result_has_default_status = True
    return description


def describe_websocket(event: Event, options: Options) -> Description:
    """Only CONNECT is an HTTP request. The other events are frames on the connection it opened;
    nobody receives the status in their results.
    """
    context = context_of(event)
    identity = as_object(context.get("identity"))
    request = Request(headers_of(event))
    request.peer = as_text(identity.get("sourceIp"))
    request.server = as_text(context.get("domainName"))
    request.user_agent = as_text(identity.get("userAgent"))
    request.made_s = times.from_milliseconds(context.get("requestTimeEpoch"))
    if context.get("eventType") == "CONNECT":
        request.method = "GET"
        request.path = "/" + as_text(context.get("stage"))
        request.query = requests.query_of(event)
        return requests.describe(request, options)
    description = Description(semconv.TRIGGER_HTTP, requests.peers(request))
    description.made_s = request.made_s
    return description


def _describe_load_balancer(event: Event, options: Options) -> Description:
    request = Request(headers_of(event))
    request.method = as_text(event.get("httpMethod"))
    request.path = as_text(event.get("path"))
    request.query = requests.raw_query_of(event)
    request.scheme = "http"
    return requests.describe(request, options)


def _describe_lattice(event: Event, options: Options) -> Description:
    context = context_of(event)
    request = Request(headers_of(event))
    target = as_text(event.get("path")) or as_text(event.get("raw_path"))
    request.method = as_text(event.get("method"))
    request.path, _, in_target = target.partition("?")
    request.query = in_target or requests.raw_query_of(event)
    request.peer = as_text(as_object(context.get("identity")).get("sourceIp"))
    request.made_s = times.from_microseconds(context.get("timeEpoch"))
    return requests.describe(request, options)


TRIGGERS = (
    Trigger("api_gateway_websocket", "requestContext", is_websocket, describe_websocket),
    Trigger("function_url", "requestContext", _is_function_url, describe_http_api),
    Trigger("api_gateway_http", "requestContext", is_http_api, describe_http_api),
    Trigger("api_gateway_rest", "requestContext", is_rest_api, describe_rest_api),
    Trigger("load_balancer", "requestContext", _is_load_balancer, _describe_load_balancer),
    Trigger("vpc_lattice", "method", _is_lattice, _describe_lattice),
)
