"""The Invoke API, called by the real boto3."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import threading
from asyncio import to_thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config as ClientConfig
from botocore.exceptions import ClientError

from lrap_otel.emulator import Emulator
from lrap_otel.emulator.__main__ import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lrap_otel.emulator import Config

PRINTS = """
while True:
    event = client.next()
    print("got", event.body.decode(), flush=True)
    client.respond(event["Lambda-Runtime-Aws-Request-Id"], event.body)
"""
FAILS = """
while True:
    event = client.next()
    request_id = event["Lambda-Runtime-Aws-Request-Id"]
    print("tried", request_id, flush=True)
    client.respond(request_id, b'{"errorType":"Broken","errorMessage":"no"}', kind="error")
"""
# The second piece is sent once the caller says that it has the first: by a file.
STREAMS = """
while True:
    event = client.next()
    request_id = event["Lambda-Runtime-Aws-Request-Id"]
    client.send(f"POST /2018-06-01/runtime/invocation/{request_id}/response HTTP/1.1\\r\\nHost: x\\r\\n".encode())
    client.send(b"Lambda-Runtime-Function-Response-Mode: streaming\\r\\nTransfer-Encoding: chunked\\r\\n")
    client.send(b"Trailer: Lambda-Runtime-Function-Error-Type\\r\\n\\r\\n5\\r\\nfirst\\r\\n")
    while not os.path.exists("seen"):
        time.sleep(0.01)
    client.send(b"6\\r\\nsecond\\r\\n0\\r\\n" + (b"Lambda-Runtime-Function-Error-Type: Function.Late\\r\\n"
        if b"fail" in event.body else b"") + b"\\r\\n")
    client.receive()
"""


def with_boto3(config: Config, call: Callable[[Any, Emulator], Any]) -> Any:
    """``call(client, emulator)`` in a thread, while the emulator runs."""

    async def main() -> Any:
        async with Emulator(config) as emulator:
            where = urlsplit(emulator.invoke_url)
            client = boto3.client(
                "lambda",
                endpoint_url=f"http://{where.netloc}",
                region_name="us-east-1",
                aws_access_key_id="a",
                aws_secret_access_key="b",
                config=ClientConfig(retries={"max_attempts": 0}, read_timeout=30),
            )
            return await to_thread(call, client, emulator)

    return asyncio.run(main())


def test_a_synchronous_call_with_log_tail_and_client_context(config: Callable[..., Config]) -> None:
    def call(client: Any, _: Emulator) -> Any:
        context = base64.b64encode(b'{"custom":{"a":"b"}}').decode()
        return [
            {**answer, "Payload": answer["Payload"].read()}
            for _ in range(2)
            if (
                answer := client.invoke(
                    FunctionName="arn:aws:lambda:us-east-1:123456789012:function:function:live",
                    Payload=b'{"a": 1}',
                    LogType="Tail",
                    ClientContext=context,
                )
            )
        ]

    answer = with_boto3(config(PRINTS), call)[1]
    assert (answer["StatusCode"], answer["Payload"], answer["ExecutedVersion"]) == (
        200,
        b'{"a": 1}',
        "$LATEST",
    )
    assert "FunctionError" not in answer
    lines = base64.b64decode(answer["LogResult"]).decode().splitlines()
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert lines[:3] == [
        f"START RequestId: {request_id} Version: $LATEST",
        'got {"a": 1}',
        f"END RequestId: {request_id}",
    ]
    assert lines[3].startswith(f"REPORT RequestId: {request_id}\tDuration: ")


def test_a_handlers_error_is_a_function_error(config: Callable[..., Config]) -> None:
    answer = with_boto3(config(FAILS), lambda client, _: client.invoke(FunctionName="function"))
    assert answer["FunctionError"] == "Unhandled"


@pytest.mark.parametrize(
    ("arguments", "settings", "code"),
    [
        ({"FunctionName": "another"}, {}, "ResourceNotFoundException"),
        ({"FunctionName": "function", "Payload": b"{"}, {}, "InvalidRequestContentException"),
        (
            {"FunctionName": "function", "Payload": b'"' + b"x" * 6_291_456 + b'"'},
            {},
            "RequestTooLargeException",
        ),
        (
            {
                "FunctionName": "function",
                "Payload": b'"' + b"x" * 1_048_576 + b'"',
                "InvocationType": "Event",
            },
            {},
            "RequestTooLargeException",
        ),
        ({"FunctionName": "function"}, {"reserved_concurrency": 0}, "TooManyRequestsException"),
    ],
)
def test_a_call_that_lambda_refuses_raises_boto3s_error(
    config: Callable[..., Config], arguments: dict[str, Any], settings: dict[str, Any], code: str
) -> None:
    def call(client: Any, _: Emulator) -> Any:
        with pytest.raises(ClientError) as caught:
            client.invoke(**arguments)
        return caught.value.response

    answer = with_boto3(config(**settings), call)
    assert answer["Error"]["Code"] == code
    assert answer["Error"]["Message"]


def test_a_caller_beyond_the_reserved_concurrency_is_refused_until_another_has_its_result(
    config: Callable[..., Config],
) -> None:
    waits = """
while True:
    event = client.next()
    while not os.path.exists("go"):
        time.sleep(0.01)
    client.respond(event["Lambda-Runtime-Aws-Request-Id"], event.body)
"""
    made = config(waits, reserved_concurrency=1)

    def call(client: Any, emulator: Emulator) -> Any:
        first = threading.Thread(target=client.invoke, kwargs={"FunctionName": "function"})
        first.start()
        while not emulator._open:
            pass
        with pytest.raises(client.exceptions.TooManyRequestsException) as caught:
            client.invoke(FunctionName="function")
        (made.cwd / "go").touch()
        first.join()
        return caught.value.response["Reason"], client.invoke(FunctionName="function")["StatusCode"]

    assert with_boto3(made, call) == ("ReservedFunctionConcurrentInvocationLimitExceeded", 200)


def test_an_asynchronous_event_that_fails_is_tried_three_times_and_buried(
    config: Callable[..., Config], tmp_path: Path
) -> None:
    letters = tmp_path / "dead.jsonl"

    async def main() -> tuple[str, list[str], list[tuple[str, str]]]:
        is_buried = asyncio.Event()

        def on_step(text: str) -> None:
            if "failed 3 times and is in" in text:
                is_buried.set()

        async with Emulator(
            config(FAILS, retry_wait_s=0.01, dead_letter=letters), on_step=on_step
        ) as emulator:
            headers = {"X-Amz-Invocation-Type": "Event"}
            request_id = await to_thread(post, emulator.invoke_url, b'{"a":1}', headers)
            ids = [(await emulator.outcome(number)).request_id for number in range(3)]
            await is_buried.wait()
            return request_id, ids, emulator.output

    request_id, ids, output = asyncio.run(main())
    assert ids == [request_id] * 3
    assert output == [("function", f"tried {request_id}")] * 3
    (record,) = map(json.loads, letters.read_text().splitlines())
    assert record["requestPayload"] == {"a": 1}
    assert record["responsePayload"]["errorType"] == "Broken"
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 3


def post(url: str, body: bytes, headers: dict[str, str]) -> str:
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.netloc)
    connection.request("POST", where.path, body, headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    assert response.status == 202
    return response.headers["X-Amzn-RequestId"]


@pytest.mark.parametrize("is_failing", [False, True])
def test_a_streamed_result_arrives_while_it_is_written(
    config: Callable[..., Config], is_failing: bool
) -> None:
    made = config(STREAMS)

    def call(client: Any, _: Emulator) -> list[dict[str, Any]]:
        payload = b'"fail"' if is_failing else b"{}"
        answer = client.invoke_with_response_stream(FunctionName="function", Payload=payload)
        events = iter(answer["EventStream"])
        first = next(events)
        (made.cwd / "seen").touch()
        return [first, *events]

    first, second, end = with_boto3(made, call)
    assert first == {"PayloadChunk": {"Payload": b"first"}}
    assert second == {"PayloadChunk": {"Payload": b"second"}}
    assert end["InvokeComplete"].get("ErrorCode") == ("Function.Late" if is_failing else None)


def test_a_buffered_result_and_an_error_come_over_the_streaming_call_too(
    config: Callable[..., Config],
) -> None:
    def call(client: Any, _: Emulator) -> list[dict[str, Any]]:
        answer = client.invoke_with_response_stream(
            FunctionName="function", Payload=b"[1]", LogType="Tail"
        )
        return list(answer["EventStream"])

    chunk, end = with_boto3(config(PRINTS), call)
    assert chunk == {"PayloadChunk": {"Payload": b"[1]"}}
    assert b"REPORT RequestId" in base64.b64decode(end["InvokeComplete"]["LogResult"])
    (failed,) = with_boto3(config(FAILS), call)
    assert failed["InvokeComplete"]["ErrorCode"] == "Unhandled"
    assert json.loads(failed["InvokeComplete"]["ErrorDetails"])["errorType"] == "Broken"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost:3001", "Origin": "http://localhost:3001"}, 200),
    ],
)
def test_a_page_of_another_site_cannot_call_the_function(
    config: Callable[..., Config], headers: dict[str, str], status: int
) -> None:
    def call(_: Any, emulator: Emulator) -> int:
        where = urlsplit(emulator.invoke_url)
        connection = http.client.HTTPConnection(where.netloc)
        connection.request("POST", where.path, b"{}", headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    assert with_boto3(config(), call) == status


def test_invoke_sends_an_example_changed_on_the_command_line(
    config: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    def call(_: Any, emulator: Emulator) -> int:
        port = str(urlsplit(emulator.invoke_url).port)
        return run(
            ["invoke", "--port", port, "--trigger", "sqs", "--set", "Records.0.body=hello", "--log"]
        )

    assert with_boto3(config(PRINTS), call) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["Records"][0]["body"] == "hello"
    assert "REPORT RequestId" in err


def test_invoke_says_what_is_wrong_with_an_event(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("text")
    assert run(["invoke", str(tmp_path / "text"), "--set", "a=1"]) == 2
    assert "is not JSON, so that --set has nothing to change" in capsys.readouterr().err
    assert run(["invoke", str(tmp_path / "nowhere")]) == 2
    assert run(["invoke", "--trigger", "s3", str(tmp_path / "text")]) == 2
    assert run(["invoke", "--trigger", "direct", "--set", "pet=7", "--print"]) == 0
    assert json.loads(capsys.readouterr().out) == {"pet": 7}
