"""One HTTP request, as an event contains it, and the attributes that describe it.

Source: OpenTelemetry, "Semantic conventions for HTTP spans", "HTTP server".
"""

from __future__ import annotations

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.json_text import as_object
from lrap_otel.telemetry.limits import encodable
from lrap_otel.telemetry.percent import query_string
from lrap_otel.telemetry.triggers.description import Description

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lrap_otel.telemetry.semconv import Attributes
    from lrap_otel.telemetry.triggers.description import Event, Options


class Request:
    """One HTTP request. A value that the event does not contain is empty. `made_s`: Unix seconds
    when the request reached the service that sent the event.
    """

    __slots__ = (
        "headers",
        "made_s",
        "method",
        "path",
        "peer",
        "protocol",
        "query",
        "route",
        "scheme",
        "server",
        "user_agent",
    )

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers
        self.method = self.path = self.query = self.route = ""
        self.peer = self.protocol = self.server = self.user_agent = ""
        self.scheme = "https"
        self.made_s: float | None = None


def headers_of(event: Event) -> dict[str, str]:
    """The request's headers by lower-case name. An ALB sends one of two forms; if both are there,
    they agree.
    """
    headers = as_object(event.get("headers")) or as_object(event.get("multiValueHeaders"))
    return {
        name.lower(): value if isinstance(value, str) else _joined(value)
        for name, value in headers.items()
    }


def _joined(values: Any) -> str:
    """A header's value as text. VPC Lattice's second format has lists in its `headers` too."""
    return ",".join(map(str, values)) if isinstance(values, list) else ""


def query_of(event: Event) -> str:
    """The query, encoded again: API Gateway's first format has its parameters decoded."""
    return query_string(_parameters(event))


def raw_query_of(event: Event) -> str:
    """The query from parameters that are still encoded, as a load balancer passes them. An
    ampersand in a parameter that is decoded after all would begin another one, so it is encoded.
    """
    pairs = [
        (name.replace("&", "%26"), value.replace("&", "%26")) for name, value in _parameters(event)
    ]
    return "&".join(f"{name}={value}" for name, value in pairs)


def _parameters(event: Event) -> list[tuple[str, str]]:
    several = as_object(event.get("multiValueQueryStringParameters"))
    single = as_object(event.get("queryStringParameters") or event.get("query_string_parameters"))
    pairs: list[tuple[str, str]] = []
    for name, values in (several or single).items():
        pairs += [
            (name, str(value)) for value in (values if isinstance(values, list) else [values])
        ]
    # A lone surrogate (legal in JSON, but not text) cannot be encoded.
    return [(encodable(name), encodable(value)) for name, value in pairs]


def describe(request: Request, options: Options) -> Description:
    """The description of an event that is an HTTP request and whose result is an HTTP response."""
    description = Description(semconv.TRIGGER_HTTP, _method(request.method, options), request.route)
    attributes = description.attributes
    attributes[semconv.URL_PATH] = request.path
    attributes[semconv.URL_SCHEME] = _outermost(request, "proto").lower() or request.scheme
    if request.query:
        attributes[semconv.URL_QUERY] = request.query
    if request.route:
        attributes[semconv.HTTP_ROUTE] = request.route
    if request.protocol.startswith("HTTP/"):
        attributes[semconv.NETWORK_PROTOCOL_VERSION] = request.protocol.removeprefix("HTTP/")
    attributes.update(peers(request))
    description.made_s = request.made_s
    description.result_is_http = True
    return description


def peers(request: Request) -> Attributes:
    """The client's and the server's addresses, as far as they are known."""
    attributes: Attributes = {}
    client = _outermost(request, "for") or request.peer
    if client:
        attributes[semconv.CLIENT_ADDRESS] = (
            _split_port(client)[0].strip("[]") if ":" in client else client
        )
    if request.peer:
        attributes[semconv.NETWORK_PEER_ADDRESS] = request.peer
    server, port = _server(request)
    if server:
        attributes[semconv.SERVER_ADDRESS] = server
    if port:
        attributes[semconv.SERVER_PORT] = port
    user_agent = request.headers.get("user-agent") or request.user_agent
    if user_agent:
        attributes[semconv.USER_AGENT_ORIGINAL] = user_agent
    return attributes


def _method(method: str, options: Options) -> Attributes:
    if method in options.known_methods:
        return {semconv.HTTP_REQUEST_METHOD: method}
    return {semconv.HTTP_REQUEST_METHOD: "_OTHER", semconv.HTTP_REQUEST_METHOD_ORIGINAL: method}


def _outermost(request: Request, name: str) -> str:
    """The entry of the first of several proxies, the one nearest to the client, in ``Forwarded`` or
    ``X-Forwarded-…``.
    """
    headers = request.headers
    if "forwarded" in headers:
        for pair in headers["forwarded"].partition(",")[0].split(";"):
            key, _, value = pair.partition("=")
            if key.strip().lower() == name:
                return value.strip().strip('"')
    value = headers.get(f"x-forwarded-{name}", "")
    return value.partition(",")[0].strip() if "," in value else value


def _server(request: Request) -> tuple[str, int]:
    address = _outermost(request, "host") or request.headers.get("host") or request.server
    port = 0
    if ":" in address:
        address, port = _split_port(address)
    return address.strip("[]"), port or _port(request.headers.get("x-forwarded-port", ""))


def _split_port(host: str) -> tuple[str, int]:
    address, colon, port = host.rpartition(":")
    if colon and _port(port) and (not address.count(":") or address.endswith("]")):
        return address, _port(port)
    return host, 0


def _port(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
