"""An HTTP request as the event that API Gateway, a load balancer or a Function URL makes of it, and
the function's result as their response.

Sources: API Gateway, "Lambda proxy integrations" (formats 1.0 and 2.0); Elastic Load Balancing,
"Lambda functions as targets"; Lambda, "Invoking function URLs".
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from lrap_otel.emulator.config import ACCOUNT_ID, REGION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lrap_otel.emulator.outcome import Result

FORMATS = ("v2", "v1", "alb", "url")
TEXT = re.compile(r"(text/.*|application/(json|javascript|xml))(;.*)?", re.IGNORECASE)
# Between the head and the body of a streamed HTTP result.
HEAD_END = b"\0" * 8


@dataclass(frozen=True)
class Request:
    """One HTTP request. ``target`` as it was sent; ``headers`` with their casing and in their
    order.
    """

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    source_ip: str = "127.0.0.1"

    @property
    def path(self) -> str:
        """Without the query, as it was sent."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """After the question mark, as it was sent."""
        return self.target.partition("?")[2]

    def joined_headers(self) -> dict[str, str]:
        """Names in lower case, values of the same name joined."""
        found: dict[str, str] = {}
        for name, value in self.headers:
            key = name.lower()
            found[key] = f"{found[key]},{value}" if key in found else value
        return found


@dataclass
class Response:
    """What the caller gets."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""


def event(request: Request, kind: str, routes: Sequence[str] = ()) -> dict[str, Any]:
    """The event of one of ``FORMATS``. ``routes`` are such as ``GET /pets/{id}``; the first that
    fits counts.
    """
    if kind == "alb":
        return _of_load_balancer(request)
    route, parameters = _route(request, routes)
    return (
        _of_v1(request, route, parameters)
        if kind == "v1"
        else _of_v2(request, kind, route, parameters)
    )


def response(result: Result, kind: str) -> Response:
    """What they make of the function's result; their own error if it failed or has not the form
    they ask for.
    """
    if result.error_type:
        return _failed(kind, is_function_error=True)
    if result.response_mode == "streaming":
        head, found, body = result.payload.partition(HEAD_END)
        streamed = streamed_head(head) if found else None
        if streamed:
            streamed.body = body
            return streamed
        return Response(
            200,
            [("Content-Type", result.content_type or "application/octet-stream")],
            result.payload,
        )
    try:
        value = json.loads(result.payload)
        if kind in {"v2", "url"} and not (isinstance(value, dict) and "statusCode" in value):
            text = value if isinstance(value, str) else result.payload.decode()
            return Response(200, [("Content-Type", "application/json")], text.encode())
        return _described(value)
    except (ValueError, LookupError, TypeError, AttributeError, binascii.Error):
        return _failed(kind, is_function_error=False)


def streamed_head(head: bytes) -> Response | None:
    """The status and the fields before a streamed body; None if they are not such."""
    try:
        return _described({"statusCode": 200, **json.loads(head)} | {"body": ""})
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _of_v2(request: Request, kind: str, route: str, parameters: dict[str, str]) -> dict[str, Any]:
    headers = _with_forwarding(request)
    cookies = headers.pop("cookie", "")
    domain = _domain(kind)
    text, is_base64 = _body(request)
    now_s = time.time()
    made: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route,
        "rawPath": request.path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT_ID,
            "apiId": domain.partition(".")[0],
            "domainName": domain,
            "domainPrefix": domain.partition(".")[0],
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.source_ip,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": str(uuid.uuid4()),
            "routeKey": route,
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now_s)),
            "timeEpoch": int(now_s * 1000),
        },
        "isBase64Encoded": is_base64,
    }
    if cookies:
        made["cookies"] = [
            cookie.strip() for cookie in cookies.replace(",", ";").split(";") if cookie.strip()
        ]
    if queries := _queries(request):
        made["queryStringParameters"] = {name: ",".join(values) for name, values in queries.items()}
    if parameters:
        made["pathParameters"] = parameters
    if text:
        made["body"] = text
    return made


def _of_v1(request: Request, route: str, parameters: dict[str, str]) -> dict[str, Any]:
    resource = "/{proxy+}" if route == "$default" else route.partition(" ")[2]
    if route == "$default":
        parameters = {"proxy": unquote(request.path).lstrip("/")}
    headers = _listed(request)
    forwarded = _with_forwarding(request)
    known = {name.lower() for name in headers}
    headers |= {name: [value] for name, value in forwarded.items() if name not in known}
    queries = _queries(request)
    text, is_base64 = _body(request, is_text=True)
    now_s = time.time()
    path = unquote(request.path)
    return {
        "resource": resource,
        "path": path,
        "httpMethod": request.method,
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {name: values[-1] for name, values in queries.items()} or None,
        "multiValueQueryStringParameters": queries or None,
        "pathParameters": parameters or None,
        "stageVariables": None,
        "requestContext": {
            "accountId": ACCOUNT_ID,
            "apiId": "emulated",
            "domainName": _domain("v1"),
            "httpMethod": request.method,
            "identity": {"sourceIp": request.source_ip, "userAgent": forwarded.get("user-agent")},
            "path": f"/prod{path}",
            "protocol": "HTTP/1.1",
            "requestId": str(uuid.uuid4()),
            "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now_s)),
            "requestTimeEpoch": int(now_s * 1000),
            "resourcePath": resource,
            "stage": "prod",
        },
        "body": text or None,
        "isBase64Encoded": is_base64,
    }


def _of_load_balancer(request: Request) -> dict[str, Any]:
    text, is_base64 = _body(request)
    # A load balancer passes the query's values on as they were sent, and of several the last.
    queries = dict(part.partition("=")[::2] for part in request.query.split("&") if part)
    group = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT_ID}:targetgroup/emulated/1"
    return {
        "requestContext": {"elb": {"targetGroupArn": group}},
        "httpMethod": request.method,
        "path": request.path,
        "queryStringParameters": queries,
        "headers": _with_forwarding(request),
        "body": text,
        "isBase64Encoded": is_base64,
    }


def _route(request: Request, routes: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The first route that fits, and the parts of the path that it names; ``$default`` if none
    does.
    """
    for route in routes:
        method, _, pattern = route.partition(" ")
        parts = re.split(r"(\{[^}]+\})", pattern)
        groups = [part.strip("{}+") for part in parts if part.startswith("{")]
        wanted = "".join(
            re.escape(part)
            if not part.startswith("{")
            else ("(.+)" if part.endswith("+}") else "([^/]+)")
            for part in parts
        )
        found = re.fullmatch(wanted, request.path)
        if found and method in {"ANY", request.method}:
            return route, {
                name: unquote(value) for name, value in zip(groups, found.groups(), strict=True)
            }
    return "$default", {}


def _domain(kind: str) -> str:
    return (
        f"emulated.lambda-url.{REGION}.on.aws"
        if kind == "url"
        else f"emulated.execute-api.{REGION}.amazonaws.com"
    )


def _with_forwarding(request: Request) -> dict[str, str]:
    """The header fields, and those that each of them adds."""
    added = {
        "x-forwarded-for": request.source_ip,
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    }
    trace = {"x-amzn-trace-id": f"Root=1-{int(time.time()):08x}-{os.urandom(12).hex()}"}
    return trace | request.joined_headers() | added


def _listed(request: Request) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in request.headers:
        found.setdefault(name, []).append(value)
    return found


def _queries(request: Request) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(request.query, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return found


def _body(request: Request, *, is_text: bool = False) -> tuple[str, bool]:
    """The body as text, and whether that is base64: of media types that are no text, and of what is
    no UTF-8.
    """
    headers = request.joined_headers()
    kind = headers.get("content-type", "")
    if (is_text or not kind or TEXT.fullmatch(kind)) and "content-encoding" not in headers:
        try:
            return request.body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(request.body).decode(), bool(request.body)


def _described(value: dict[str, Any]) -> Response:
    """A result that names its status; raises what its parts raise if they are not as they should
    be.
    """
    headers = [(str(name), _text(one)) for name, one in (value.get("headers") or {}).items()]
    several = {name: list(each) for name, each in (value.get("multiValueHeaders") or {}).items()}
    names = {name.lower() for name in several}
    headers = [pair for pair in headers if pair[0].lower() not in names]
    headers += [(name, _text(one)) for name, each in several.items() for one in each]
    headers += [("Set-Cookie", str(cookie)) for cookie in value.get("cookies") or []]
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", "application/json"))
    text = value.get("body") or ""
    if not isinstance(text, str):
        raise TypeError("body is no text")
    body = base64.b64decode(text, validate=True) if value.get("isBase64Encoded") else text.encode()
    status = int(value["statusCode"])
    if not 200 <= status <= 599 or any(
        "\n" in part or "\r" in part for pair in headers for part in pair
    ):
        raise ValueError("no HTTP response")
    return Response(status, headers, body)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _failed(kind: str, *, is_function_error: bool) -> Response:
    if kind == "alb":
        return Response(
            502,
            [("Content-Type", "text/html")],
            b"<html><body><h1>502 Bad Gateway</h1></body></html>",
        )
    if kind == "url":
        return Response(502, [("Content-Type", "application/json")], b"Internal Server Error")
    status = 500 if kind == "v2" else 502
    message = (
        "Internal Server Error" if kind == "v2" and is_function_error else "Internal server error"
    )
    return Response(
        status, [("Content-Type", "application/json")], json.dumps({"message": message}).encode()
    )
