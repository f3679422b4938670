"""Requests over plain HTTP as events, and results as responses."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import subprocess
from asyncio import to_thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from lrap_otel.emulator import Emulator, template
from lrap_otel.emulator.http_events import Request, event, response
from lrap_otel.emulator.outcome import Result
from lrap_otel.telemetry.triggers import table
from lrap_otel.telemetry.triggers.description import Options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lrap_otel.emulator import Config

BINARY = bytes(range(256))
# Gives back the event, or what its header `answer` holds.
MIRROR = """
while True:
    event = client.next()
    headers = json.loads(event.body)["headers"]
    body = headers["answer"].encode() if "answer" in headers else json.dumps({"statusCode": 200, "body": event.body.decode()}).encode()
    kind = "error" if "fail" in headers else "response"
    client.respond(event["Lambda-Runtime-Aws-Request-Id"], body, kind=kind)
"""
# Its second piece comes once the caller says that it has the first: by a file.
STREAMS = """
while True:
    event = client.next()
    request_id = event["Lambda-Runtime-Aws-Request-Id"]
    client.send(f"POST /2018-06-01/runtime/invocation/{request_id}/response HTTP/1.1\\r\\nHost: x\\r\\n".encode())
    client.send(b"Lambda-Runtime-Function-Response-Mode: streaming\\r\\nTransfer-Encoding: chunked\\r\\n")
    client.send(b"Content-Type: application/vnd.awslambda.http-integration-response\\r\\n")
    client.send(b"Trailer: Lambda-Runtime-Function-Error-Type\\r\\n\\r\\n")
    for piece in (b'{"statusCode": 201, "headers": {"x-a": "b"}, "cooki', b'es": ["c=d"]}' + bytes(8) + b"first"):
        client.send(b"%x\\r\\n%b\\r\\n" % (len(piece), piece))
    while not os.path.exists("seen"):
        time.sleep(0.01)
    client.send(b"6\\r\\nsecond\\r\\n0\\r\\n" + (b"Lambda-Runtime-Function-Error-Type: Function.Late\\r\\n"
        if b"fail" in event.body else b"") + b"\\r\\n")
    client.receive()
"""


def call(
    config: Config,
    method: str,
    target: str,
    headers: list[tuple[str, str]] | None = None,
    body: bytes | None = None,
) -> tuple[int, list[tuple[str, str]], bytes]:
    async def main() -> tuple[int, list[tuple[str, str]], bytes]:
        async with Emulator(config) as emulator:

            def ask() -> tuple[int, list[tuple[str, str]], bytes]:
                connection = http.client.HTTPConnection(urlsplit(emulator.http_url).netloc)
                connection.putrequest(method, target)
                for name, value in headers or []:
                    connection.putheader(name, value)
                if body is not None:
                    connection.putheader("Content-Length", str(len(body)))
                connection.endheaders(body)
                answer = connection.getresponse()
                return answer.status, answer.getheaders(), answer.read()

            return await to_thread(ask)

    return asyncio.run(main())


def test_curl_is_a_v2_event(config: Callable[..., Config]) -> None:
    async def main() -> bytes:
        async with Emulator(
            config(MIRROR, http_port=0, routes=["POST /pets", "GET /pets/{id}"])
        ) as emulator:
            url = f"{emulator.http_url}pets/42?color=red&color=blue&note=a%20b"
            curl = ["curl", "-sS", "-b", "a=b; c=d", "-H", "X-One: 1", "-H", "X-One: 2", url]
            return (
                await to_thread(subprocess.run, curl, capture_output=True, check=True, timeout=20)
            ).stdout

    made = json.loads(asyncio.run(main()))
    assert (made["version"], made["routeKey"], made["rawPath"]) == (
        "2.0",
        "GET /pets/{id}",
        "/pets/42",
    )
    assert made["rawQueryString"] == "color=red&color=blue&note=a%20b"
    assert made["queryStringParameters"] == {"color": "red,blue", "note": "a b"}
    assert made["pathParameters"] == {"id": "42"}
    assert made["cookies"] == ["a=b", "c=d"]
    assert made["headers"]["x-one"] == "1,2"
    assert "cookie" not in made["headers"]
    assert made["requestContext"]["http"]["method"] == "GET"
    assert (made["isBase64Encoded"], "body" in made) == (False, False)


@pytest.mark.parametrize(
    ("kind", "trigger"),
    [
        ("v2", "api_gateway_http"),
        ("v1", "api_gateway_rest"),
        ("alb", "load_balancer"),
        ("url", "function_url"),
    ],
)
def test_each_format_is_the_trigger_that_it_says(
    config: Callable[..., Config], kind: str, trigger: str
) -> None:
    status, _, body = call(
        config(MIRROR, http_port=0, http_format=kind), "PUT", "/pets/42?a=1&a=2", [], b"text"
    )
    assert status == 200
    made = json.loads(body)
    described = table.describe(made, Options())
    assert (described.name, described.attributes["http.request.method"]) == (trigger, "PUT")
    assert made["body"] == "text"


def test_v1_has_several_values_and_a_load_balancer_the_last() -> None:
    request = Request("GET", "/a%20b?x=1&x=%32", [("X-One", "1"), ("X-One", "2")], b"")
    made = event(request, "v1")
    assert (made["path"], made["pathParameters"], made["resource"]) == (
        "/a b",
        {"proxy": "a b"},
        "/{proxy+}",
    )
    assert (made["multiValueHeaders"]["X-One"], made["headers"]["X-One"]) == (["1", "2"], "2")
    assert made["multiValueQueryStringParameters"] == {"x": ["1", "2"]}
    assert made["body"] is None
    balanced = event(request, "alb")
    assert (balanced["path"], balanced["queryStringParameters"], balanced["body"]) == (
        "/a%20b",
        {"x": "%32"},
        "",
    )


@pytest.mark.parametrize(
    ("headers", "body", "is_base64"),
    [
        ([("Content-Type", "application/json; charset=utf-8")], b'{"a":1}', False),
        ([("Content-Type", "image/png")], BINARY, True),
        ([("Content-Type", "application/x-www-form-urlencoded")], b"a=b", True),
        ([("Content-Type", "text/plain")], BINARY, True),
        ([("Content-Type", "text/plain"), ("Content-Encoding", "gzip")], b"packed", True),
        ([], b"text", False),
    ],
)
def test_a_body_is_text_or_base64(
    config: Callable[..., Config], headers: list[tuple[str, str]], body: bytes, is_base64: bool
) -> None:
    _, _, answer = call(config(MIRROR, http_port=0), "POST", "/", headers, body)
    made = json.loads(answer)
    assert made["isBase64Encoded"] is is_base64
    assert (base64.b64decode(made["body"]) if is_base64 else made["body"].encode()) == body


def test_status_fields_cookies_and_binary_of_a_result_reach_the_caller(
    config: Callable[..., Config],
) -> None:
    result = {
        "statusCode": 201,
        "headers": {"content-type": "image/png", "x-number": 7, "content-length": "999"},
        "cookies": ["a=b; Path=/", "c=d"],
        "body": base64.b64encode(BINARY).decode(),
        "isBase64Encoded": True,
    }
    status, headers, body = call(
        config(MIRROR, http_port=0), "GET", "/", [("answer", json.dumps(result))]
    )
    assert (status, body) == (201, BINARY)
    assert [value for name, value in headers if name == "Set-Cookie"] == ["a=b; Path=/", "c=d"]
    found = {name.lower(): value for name, value in headers}
    assert (found["content-type"], found["x-number"], found["content-length"]) == (
        "image/png",
        "7",
        "256",
    )


def test_several_values_of_a_field_of_v1_reach_the_caller() -> None:
    result = Result(
        json.dumps(
            {"statusCode": 200, "headers": {"A": "0"}, "multiValueHeaders": {"a": ["1", "2"]}}
        ).encode()
    )
    assert response(result, "v1").headers[:2] == [("a", "1"), ("a", "2")]


@pytest.mark.parametrize(
    ("kind", "payload", "status", "body"),
    [
        ("v2", b'{"pet": 42}', 200, b'{"pet": 42}'),
        ("url", b'"hello"', 200, b"hello"),
        ("v2", b'{"statusCode": "x"}', 500, b'{"message": "Internal server error"}'),
        ("v1", b'{"pet": 42}', 502, b'{"message": "Internal server error"}'),
        (
            "v1",
            b'{"statusCode": 200, "body": {"not": "text"}}',
            502,
            b'{"message": "Internal server error"}',
        ),
        ("alb", b"7", 502, b"<html><body><h1>502 Bad Gateway</h1></body></html>"),
        (
            "url",
            b'{"statusCode": 200, "headers": {"a": "b\\r\\nc: d"}}',
            502,
            b"Internal Server Error",
        ),
        (
            "v1",
            b'{"statusCode": 200, "body": "*", "isBase64Encoded": true}',
            502,
            b'{"message": "Internal server error"}',
        ),
    ],
)
def test_a_result_of_another_form_is_what_each_of_them_makes_of_it(
    kind: str, payload: bytes, status: int, body: bytes
) -> None:
    got = response(Result(payload), kind)
    assert (got.status, got.body) == (status, body)


@pytest.mark.parametrize(("kind", "status"), [("v2", 500), ("v1", 502), ("alb", 502), ("url", 502)])
def test_a_functions_error_is_theirs(config: Callable[..., Config], kind: str, status: int) -> None:
    assert (
        call(config(MIRROR, http_port=0, http_format=kind), "GET", "/", [("fail", "1")])[0]
        == status
    )


def test_an_event_that_would_be_too_large_is_refused(config: Callable[..., Config]) -> None:
    headers = [("Content-Type", "image/png")]
    assert call(config(MIRROR, http_port=0), "POST", "/", headers, bytes(5_000_000))[0] == 413


def test_a_caller_beyond_the_reserved_concurrency_is_refused(config: Callable[..., Config]) -> None:
    assert call(config(MIRROR, http_port=0, reserved_concurrency=0), "GET", "/")[0] == 429


@pytest.mark.parametrize("is_failing", [False, True])
def test_a_function_url_streams_and_a_failure_half_way_does_not_look_whole(
    config: Callable[..., Config], is_failing: bool
) -> None:
    made = config(STREAMS, http_port=0, http_format="url")

    async def main() -> tuple[int, dict[str, Any], bytes, bytes | None]:
        async with Emulator(made) as emulator:

            def ask() -> tuple[int, dict[str, Any], bytes, bytes | None]:
                connection = http.client.HTTPConnection(urlsplit(emulator.http_url).netloc)
                connection.request("GET", "/fail" if is_failing else "/")
                answer = connection.getresponse()
                first = answer.read(5)
                (made.cwd / "seen").touch()
                try:
                    rest = answer.read()
                except (http.client.IncompleteRead, ConnectionError):
                    rest = None
                return answer.status, dict(answer.getheaders()), first, rest

            return await to_thread(ask)

    status, headers, first, rest = asyncio.run(main())
    assert (status, headers["x-a"], headers["Set-Cookie"], first) == (201, "b", "c=d", b"first")
    assert rest == (None if is_failing else b"second")


def test_a_templates_events_are_routes_and_decide_the_format(tmp_path: Path) -> None:
    path = tmp_path / "template.json"
    events = {
        "One": {"Type": "Api", "Properties": {"Path": "/pets/{id}", "Method": "get"}},
        "Queue": {"Type": "SQS"},
    }
    function = {
        "Type": "AWS::Serverless::Function",
        "Properties": {"Events": events, "Handler": "a.b"},
    }
    path.write_text(json.dumps({"Resources": {"Shop": function}}))
    described = template.read(path)
    assert (described.http_format, described.routes) == ("v1", ["GET /pets/{id}"])


def test_greedy_routes_and_any_method() -> None:
    def route(target: str) -> tuple[str, dict[str, str] | None]:
        made = event(Request("DELETE", target, [], b""), "v2", ["GET /pets", "ANY /files/{path+}"])
        return made["routeKey"], made.get("pathParameters")

    assert route("/files/a/b%20c?x=1") == ("ANY /files/{path+}", {"path": "a/b c"})
    assert route("/pets") == ("$default", None)
