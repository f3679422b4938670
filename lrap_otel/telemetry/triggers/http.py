"""HTTP-shaped events: API Gateway (both payload formats, WebSocket), Function URL, Application Load Balancer, VPC Lattice.

Sources: OpenTelemetry, "AWS Lambda", "API Gateway"; "Semantic conventions for HTTP spans", "HTTP server".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.json_text import as_object, as_text
from lrap_otel.telemetry.limits import encodable
from lrap_otel.telemetry.triggers.description import Description, Trigger

if TYPE_CHECKING:
    from lrap_otel.telemetry.triggers.description import Attributes, Event, Options

# Parameters whose values sign a request (semantic conventions, `url.query`).
_SIGNING_PARAMETERS = frozenset(
    {
        "AWSAccessKeyId",
        "Signature",
        "X-Amz-Credential",
        "X-Amz-Security-Token",
        "X-Amz-Signature",
        "X-Goog-Signature",
        "sig",
    }
)


class _Request:
    """One HTTP request as an event tells it. What the event leaves out is empty."""

    __slots__ = ("headers", "method", "path", "peer", "protocol", "query", "route", "scheme", "server", "user_agent")

    def __init__(self, event: Event) -> None:
        self.headers = _headers(event)
        self.method = self.path = self.query = self.route = ""
        self.peer = self.protocol = self.server = self.user_agent = ""
        self.scheme = "https"


def _headers(event: Event) -> dict[str, str]:
    """By lower-case name. An ALB sends either form; where both stand they say the same."""
    several = as_object(event.get("multiValueHeaders"))
    headers = {name.lower(): ",".join(map(str, values)) for name, values in several.items() if isinstance(values, list)}
    for name, value in as_object(event.get("headers")).items():
        # VPC Lattice's second format has lists here.
        headers[name.lower()] = ",".join(map(str, value)) if isinstance(value, list) else as_text(value)
    return headers


def _is_rest_api(event: Event) -> bool:
    return "httpMethod" in event and "resource" in event and "stage" in _context(event)


def _is_http_api(event: Event) -> bool:
    return event.get("version") == "2.0" and "http" in _context(event) and not _is_function_url(event)


def _is_function_url(event: Event) -> bool:
    return "http" in _context(event) and ".lambda-url." in as_text(_context(event).get("domainName"))


def _is_websocket(event: Event) -> bool:
    return "eventType" in _context(event) and "connectionId" in _context(event)


def _is_load_balancer(event: Event) -> bool:
    return "elb" in _context(event)


def _is_lattice(event: Event) -> bool:
    return "serviceNetworkArn" in _context(event) or ("raw_path" in event and "method" in event)


def _is_authorizer(event: Event) -> bool:
    return event.get("type") in ("REQUEST", "TOKEN") and ("methodArn" in event or "routeArn" in event)


def _is_graphql(event: Event) -> bool:
    return "arguments" in event and "fieldName" in as_object(event.get("info"))


def _context(event: Event) -> dict[str, Any]:
    return as_object(event.get("requestContext"))


def _describe_rest_api(event: Event, options: Options) -> Description:
    context = _context(event)
    identity = as_object(context.get("identity"))
    request = _Request(event)
    request.method = as_text(event.get("httpMethod"))
    # With the stage or the mapped base path, as the client asked for it; `path` is without.
    request.path = as_text(context.get("path")) or as_text(event.get("path"))
    request.query = _encoded_query(event)
    request.route = as_text(event.get("resource"))
    request.peer = as_text(identity.get("sourceIp"))
    request.protocol = as_text(context.get("protocol"))
    request.server = as_text(context.get("domainName"))
    request.user_agent = as_text(identity.get("userAgent"))
    return _description(request, options)


def _describe_http_api(event: Event, options: Options) -> Description:
    context = _context(event)
    http = as_object(context.get("http"))
    request = _Request(event)
    request.method = as_text(http.get("method"))
    request.path = as_text(event.get("rawPath")) or as_text(http.get("path"))
    request.query = as_text(event.get("rawQueryString"))
    # "GET /pets/{id}"; "$default" names no route.
    request.route = as_text(event.get("routeKey")).partition(" ")[2]
    request.peer = as_text(http.get("sourceIp"))
    request.protocol = as_text(http.get("protocol"))
    request.server = as_text(context.get("domainName"))
    request.user_agent = as_text(http.get("userAgent"))
    description = _description(request, options)
    description.result_has_default_status = True
    return description


def _describe_websocket(event: Event, options: Options) -> Description:
    context = _context(event)
    identity = as_object(context.get("identity"))
    request = _Request(event)
    request.peer = as_text(identity.get("sourceIp"))
    request.server = as_text(context.get("domainName"))
    request.user_agent = as_text(identity.get("userAgent"))
    if context.get("eventType") == "CONNECT":
        # The one event that is an HTTP request; the others are frames on the connection it opened.
        request.method = "GET"
        request.path = "/" + as_text(context.get("stage"))
        return _description(request, options)
    description = Description(semconv.TRIGGER_HTTP, _peers(request))
    description.result_is_http = True
    return description


def _describe_load_balancer(event: Event, options: Options) -> Description:
    request = _Request(event)
    request.method = as_text(event.get("httpMethod"))
    request.path = as_text(event.get("path"))
    request.query = _raw_query(event)
    request.scheme = "http"
    return _description(request, options)


def _describe_lattice(event: Event, options: Options) -> Description:
    request = _Request(event)
    target = as_text(event.get("path")) or as_text(event.get("raw_path"))
    request.method = as_text(event.get("method"))
    request.path, _, in_target = target.partition("?")
    request.query = in_target or _raw_query(event)
    request.peer = as_text(as_object(_context(event).get("identity")).get("sourceIp"))
    return _description(request, options)


def _describe_authorizer(event: Event, options: Options) -> Description:
    """It is asked about a request; its answer is a policy and no HTTP response."""
    if _is_http_api(event):
        description = _describe_http_api(event, options)
    elif _is_rest_api(event):
        description = _describe_rest_api(event, options)
    else:
        description = Description(semconv.TRIGGER_HTTP)
    description.result_is_http = False
    return description


def _describe_graphql(event: Event, _options: Options) -> Description:
    """A resolver of AppSync's: the event has the request's headers, but neither method nor path."""
    return Description(semconv.TRIGGER_HTTP, _peers(_Request(as_object(event.get("request")))))


def _description(request: _Request, options: Options) -> Description:
    description = Description(semconv.TRIGGER_HTTP, _method(request.method, options), request.route)
    attributes = description.attributes
    attributes[semconv.URL_PATH] = request.path
    attributes[semconv.URL_SCHEME] = request.headers.get("x-forwarded-proto") or request.scheme
    if request.query:
        attributes[semconv.URL_QUERY] = _redacted(request.query)
    if request.route:
        attributes[semconv.HTTP_ROUTE] = request.route
    if request.protocol.startswith("HTTP/"):
        attributes[semconv.NETWORK_PROTOCOL_VERSION] = request.protocol.removeprefix("HTTP/")
    attributes.update(_peers(request))
    description.result_is_http = True
    return description


def _method(method: str, options: Options) -> Attributes:
    if method in options.known_methods:
        return {semconv.HTTP_REQUEST_METHOD: method}
    return {semconv.HTTP_REQUEST_METHOD: "_OTHER", semconv.HTTP_REQUEST_METHOD_ORIGINAL: method}


def _peers(request: _Request) -> Attributes:
    client = request.headers.get("x-forwarded-for", "").partition(",")[0].strip() or request.peer
    server, port = _server(request)
    user_agent = request.headers.get("user-agent") or request.user_agent
    values: Attributes = {
        semconv.CLIENT_ADDRESS: client,
        semconv.NETWORK_PEER_ADDRESS: request.peer,
        semconv.SERVER_ADDRESS: server,
        semconv.USER_AGENT_ORIGINAL: user_agent,
    }
    attributes = {name: value for name, value in values.items() if value}
    if port:
        attributes[semconv.SERVER_PORT] = port
    return attributes


def _server(request: _Request) -> tuple[str, int]:
    host = request.headers.get("x-forwarded-host", "").partition(",")[0].strip()
    host = host or request.headers.get("host") or request.server
    address, port = _split_port(host)
    return address, port or _port(request.headers.get("x-forwarded-port", ""))


def _split_port(host: str) -> tuple[str, int]:
    address, colon, port = host.rpartition(":")
    if colon and _port(port) and (not address.count(":") or address.endswith("]")):
        return address, _port(port)
    return host, 0


def _port(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0


def _encoded_query(event: Event) -> str:
    """API Gateway's first format has the parameters decoded; they are encoded again."""
    return urlencode(_parameters(event))


def _raw_query(event: Event) -> str:
    """A load balancer passes the parameters as they stood in the query."""
    return "&".join(f"{name}={value}" for name, value in _parameters(event))


def _parameters(event: Event) -> list[tuple[str, str]]:
    several = as_object(event.get("multiValueQueryStringParameters"))
    single = as_object(event.get("queryStringParameters") or event.get("query_string_parameters"))
    pairs: list[tuple[str, str]] = []
    for name, values in (several or single).items():
        pairs += [(name, str(value)) for value in (values if isinstance(values, list) else [values])]
    # A lone surrogate (legal in JSON, no text) cannot be encoded.
    return [(encodable(name), encodable(value)) for name, value in pairs]


def _redacted(query: str) -> str:
    return "&".join(_redacted_parameter(parameter) for parameter in query.split("&"))


def _redacted_parameter(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    return f"{name}=REDACTED" if equals and name in _SIGNING_PARAMETERS else parameter


TRIGGERS = (
    Trigger("API Gateway authorizer", _is_authorizer, _describe_authorizer),
    Trigger("API Gateway WebSocket", _is_websocket, _describe_websocket),
    Trigger("API Gateway HTTP API", _is_http_api, _describe_http_api),
    Trigger("Function URL", _is_function_url, _describe_http_api),
    Trigger("API Gateway REST API", _is_rest_api, _describe_rest_api),
    Trigger("Application Load Balancer", _is_load_balancer, _describe_load_balancer),
    Trigger("AppSync resolver", _is_graphql, _describe_graphql),
    Trigger("VPC Lattice", _is_lattice, _describe_lattice),
)
