"""The Runtime API byte by byte, with a runtime that the test plays itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
from asyncio import to_thread
from typing import TYPE_CHECKING

import pytest

from lrap_otel.emulator import Config, Emulator
from tests.emulator.lambda_wire import NEXT, Client, call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from lrap_otel.emulator import Outcome
    from tests.emulator.lambda_wire import Reply

OK = b'{"status":"OK"}\n'


class Played:
    """An emulator, and a runtime on one connection to it."""

    def __init__(self, emulator: Emulator, client: Client) -> None:
        self.emulator = emulator
        self.client = client

    async def deliver(
        self, event: bytes = b'{"a":1}', **how: str
    ) -> tuple[Reply, asyncio.Task[Outcome]]:
        """Poll and invoke; the event as the runtime gets it, and the invocation."""
        polling = asyncio.ensure_future(to_thread(self.client.next))
        _, ended = self.emulator.begin(event, **how)  # type: ignore[arg-type]
        return await polling, ended

    async def end(self) -> None:
        """Ask for an event that never comes: the invocation ends."""
        await to_thread(self.client.send, f"GET {NEXT} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


@contextlib.asynccontextmanager
async def played(config: Config) -> AsyncIterator[Played]:
    async with Emulator(config) as emulator:
        client = Client(emulator.runtime_api)
        try:
            yield Played(emulator, client)
        finally:
            client.close()


def play(story: Callable[[Played], Awaitable[None]], config: Config | None = None) -> None:
    async def run() -> None:
        async with played(config or Config()) as stage:
            await story(stage)

    asyncio.run(run())


def test_an_event_has_the_headers_of_lambda_in_their_order_and_casing() -> None:
    async def story(stage: Played) -> None:
        event, ended = await stage.deliver(
            client_context='{"custom":{}}',
            trace_id="Root=1-5759e988-bd862e3fe1be46a994272793",
            request_id="id-1",
        )
        assert [name for name, _ in event.headers] == [
            "Content-Type",
            "Lambda-Runtime-Aws-Request-Id",
            "Lambda-Runtime-Client-Context",
            "Lambda-Runtime-Deadline-Ms",
            "Lambda-Runtime-Invocation-Id",
            "Lambda-Runtime-Invoked-Function-Arn",
            "Lambda-Runtime-Trace-Id",
            "Date",
            "Content-Length",
        ]
        assert event["Lambda-Runtime-Aws-Request-Id"] == "id-1"
        assert event["Lambda-Runtime-Client-Context"] == '{"custom":{}}'
        assert (
            event["Lambda-Runtime-Invoked-Function-Arn"]
            == "arn:aws:lambda:us-east-1:123456789012:function:function"
        )
        assert event["Lambda-Runtime-Trace-Id"] == "Root=1-5759e988-bd862e3fe1be46a994272793"
        assert event.body == b'{"a":1}'
        await to_thread(stage.client.respond, "id-1")
        await stage.end()
        assert (await ended).deadline_ms == int(event["Lambda-Runtime-Deadline-Ms"])

    play(story)


@pytest.mark.parametrize(
    ("tracing", "pieces"),
    [("passive", ["Root", "Lineage"]), ("active", ["Root", "Parent", "Sampled"]), ("none", [""])],
)
def test_the_trace_header_looks_as_tracing_says(tracing: str, pieces: list[str]) -> None:
    async def story(stage: Played) -> None:
        event, ended = await stage.deliver()
        assert [
            piece.partition("=")[0] for piece in event["Lambda-Runtime-Trace-Id"].split(";")
        ] == pieces
        ended.cancel()

    play(story, Config(tracing=tracing))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "field"),
    [(1900, "Content-Length"), (3000, "Transfer-Encoding"), (6 * 1024 * 1024, "Transfer-Encoding")],
)
def test_an_event_above_two_kilobytes_is_chunked(size: int, field: str) -> None:
    async def story(stage: Played) -> None:
        event, ended = await stage.deliver(b"x" * size)
        assert event.headers[-1][0] == field
        assert event.body == b"x" * size
        ended.cancel()

    play(story)


def test_a_result_is_accepted_and_given_to_the_caller() -> None:
    async def story(stage: Played) -> None:
        event, ended = await stage.deliver()
        reply = await to_thread(
            stage.client.respond,
            event["Lambda-Runtime-Aws-Request-Id"],
            b"done",
            {"Content-Type": "text/plain"},
        )
        assert (reply.status, reply.body) == (202, OK)
        assert reply["Content-Type"] == "application/json"
        assert not ended.done()
        await stage.end()
        outcome = await ended
        assert (outcome.status, outcome.payload, outcome.result.content_type) == (
            "success",
            b"done",
            "text/plain",
        )
        assert stage.emulator.outcomes == [outcome]

    play(story)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Function.BadOrder", "Function.BadOrder"),
        ("Other.Thing", "Function.Unknown"),
        ("", "Function.Unknown"),
    ],
)
def test_an_error_keeps_its_type_only_where_it_is_well_formed(said: str, kept: str) -> None:
    async def story(stage: Played) -> None:
        event, ended = await stage.deliver()
        headers = {"Lambda-Runtime-Function-Error-Type": said}
        reply = await to_thread(
            stage.client.respond,
            event["Lambda-Runtime-Aws-Request-Id"],
            b'{"errorType":"X"}',
            headers,
            "error",
        )
        assert reply.status == 202
        await stage.end()
        outcome = await ended
        assert (outcome.status, outcome.error_type, outcome.payload) == (
            "error",
            kept,
            b'{"errorType":"X"}',
        )

    play(story)


def test_a_streamed_result_is_collected_with_its_trailers() -> None:
    async def story(stage: Played) -> None:
        event, ended = await stage.deliver()
        request_id = event["Lambda-Runtime-Aws-Request-Id"]
        raw = (
            f"POST /2018-06-01/runtime/invocation/{request_id}/response HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            "Lambda-Runtime-Function-Response-Mode: streaming\r\nContent-Type: application/octet-stream\r\n"
            "Trailer: Lambda-Runtime-Function-Error-Type\r\nTrailer: Lambda-Runtime-Function-Error-Body\r\n\r\n"
            "3\r\nabc\r\n2\r\nde\r\n0\r\n"
            "Lambda-Runtime-Function-Error-Type: Function.Broken\r\nLambda-Runtime-Function-Error-Body: e30=\r\n\r\n"
        )
        await to_thread(stage.client.send, raw.encode())
        assert (await to_thread(stage.client.receive)).status == 202
        await stage.end()
        outcome = await ended
        assert (outcome.status, outcome.payload, outcome.result.response_mode) == (
            "success",
            b"abcde",
            "streaming",
        )
        assert outcome.trailers == {
            "lambda-runtime-function-error-type": "Function.Broken",
            "lambda-runtime-function-error-body": "e30=",
        }

    play(story)


def test_an_http_integration_response_is_streamed_without_a_mode() -> None:
    async def story(stage: Played) -> None:
        event, ended = await stage.deliver()
        headers = {"Content-Type": "application/vnd.awslambda.http-integration-response"}
        body = b'{"statusCode":201}' + b"\0" * 8 + b"x" * (6 * 1024 * 1024 + 101)
        assert (
            await to_thread(
                stage.client.respond, event["Lambda-Runtime-Aws-Request-Id"], body, headers
            )
        ).status == 202
        await stage.end()
        assert (await ended).payload == body

    play(story)


def test_a_chunked_result_without_trailers_is_a_plain_result() -> None:
    async def story(stage: Played) -> None:
        event, ended = await stage.deliver()
        path = f"/2018-06-01/runtime/invocation/{event['Lambda-Runtime-Aws-Request-Id']}/response"
        raw = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: A,B\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        await to_thread(stage.client.send, raw.encode())
        assert (await to_thread(stage.client.receive)).status == 202
        await stage.end()
        assert (await ended).payload == b"ok"

    play(story)


def test_the_largest_result_passes() -> None:
    async def story(stage: Played) -> None:
        event, ended = await stage.deliver()
        reply = await to_thread(
            stage.client.respond, event["Lambda-Runtime-Aws-Request-Id"], b"x" * 6_291_556
        )
        assert reply.status == 202
        await stage.end()
        assert len((await ended).payload) == 6_291_556

    play(story)


def test_one_byte_more_is_refused_with_413_and_the_runtime_goes_on() -> None:
    async def story(stage: Played) -> None:
        event, ended = await stage.deliver()
        reply = await to_thread(
            stage.client.respond, event["Lambda-Runtime-Aws-Request-Id"], b"x" * 6_291_557
        )
        assert reply.status == 413
        assert reply.body == (
            b'{"errorMessage":"Exceeded maximum allowed payload size (6291556 bytes).","errorType":"RequestEntityTooLarge"}\n'
        )
        await stage.end()
        outcome = await ended
        assert (outcome.status, outcome.error_type) == ("error", "Function.ResponseSizeTooLarge")

    play(story)


def test_an_unknown_a_finished_and_an_upper_case_id_are_refused() -> None:
    async def story(stage: Played) -> None:
        early = await to_thread(stage.client.respond, "nobody")
        event, ended = await stage.deliver(request_id="abc")
        upper = await to_thread(stage.client.respond, "ABC")
        assert event.status == 200
        await to_thread(stage.client.respond, "abc")
        await stage.end()
        await ended
        late = await to_thread(
            call, stage.emulator.runtime_api, "POST", "/2018-06-01/runtime/invocation/abc/response"
        )
        for reply in (early, upper, late):
            assert (reply.status, reply.body) == (
                400,
                b'{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}\n',
            )

    play(story)


@pytest.mark.parametrize(
    ("kind", "wanted"), [("response", "InvocationResponse"), ("error", "InvocationErrorResponse")]
)
def test_a_second_answer_is_a_forbidden_transition(kind: str, wanted: str) -> None:
    async def story(stage: Played) -> None:
        event, ended = await stage.deliver()
        request_id = event["Lambda-Runtime-Aws-Request-Id"]
        await to_thread(stage.client.respond, request_id, b"first")
        reply = await to_thread(stage.client.respond, request_id, b"second", None, kind)
        assert reply.status == 403
        assert json.loads(reply.body) == {
            "errorMessage": f"State transition from RuntimeResponseSentState to {wanted} failed for runtime. "
            "Error: State transition is not allowed",
            "errorType": "InvalidStateTransition",
        }
        await stage.end()
        assert (await ended).payload == b"first"

    play(story)


def test_an_unknown_response_mode_poisons_the_invocation() -> None:
    async def story(stage: Played) -> None:
        event, ended = await stage.deliver()
        request_id = event["Lambda-Runtime-Aws-Request-Id"]
        reply = await to_thread(
            stage.client.respond,
            request_id,
            b"x",
            {"Lambda-Runtime-Function-Response-Mode": "buffered"},
        )
        assert (reply.status, json.loads(reply.body)["errorType"]) == (
            400,
            "InvalidFunctionResponseMode",
        )
        assert (await to_thread(stage.client.respond, request_id)).status == 403
        assert (await to_thread(stage.client.next)).status == 403
        ended.cancel()

    play(story)


def test_a_result_cut_off_in_its_middle_gets_no_reply_and_blocks_the_next_poll() -> None:
    async def story(stage: Played) -> None:
        event, ended = await stage.deliver()
        path = f"/2018-06-01/runtime/invocation/{event['Lambda-Runtime-Aws-Request-Id']}/response"
        await to_thread(
            stage.client.send,
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf".encode(),
        )
        stage.client.socket.shutdown(1)
        with pytest.raises(ConnectionError):
            await to_thread(stage.client.receive)
        assert (await to_thread(call, stage.emulator.runtime_api, "GET", NEXT)).status == 403
        ended.cancel()

    play(story)


def test_polling_again_while_running_gets_the_same_event() -> None:
    async def story(stage: Played) -> None:
        first, ended = await stage.deliver()
        again = await to_thread(stage.client.next)
        assert again.body == first.body
        assert [pair for pair in again.headers if pair[0] != "Date"] == [
            pair for pair in first.headers if pair[0] != "Date"
        ]
        ended.cancel()

    play(story)


def test_a_poller_that_hung_up_swallows_the_next_event() -> None:
    async def story(stage: Played) -> None:
        await stage.end()
        assert await to_thread(call, stage.emulator.runtime_api, "GET", "/2018-06-01/ping")
        stage.client.close()
        second, third = Client(stage.emulator.runtime_api), Client(stage.emulator.runtime_api)
        waiting = asyncio.ensure_future(to_thread(second.next))
        sandbox = stage.emulator._the_sandbox()
        await sandbox.changes.until(lambda: len(sandbox.runtime._pollers) == 2)
        _, ended = stage.emulator.begin(b"swallowed")
        await sandbox.changes.until(lambda: sandbox.runtime.state.name == "RUNNING")
        assert (await to_thread(third.next)).body == b"swallowed"
        assert not waiting.done()
        ended.cancel()
        await stage.emulator._server.drop_connections()
        with pytest.raises(ConnectionError):
            await waiting
        second.close()
        third.close()

    play(story)


def test_a_result_and_the_next_poll_may_come_in_one_segment() -> None:
    async def story(stage: Played) -> None:
        event, ended = await stage.deliver()
        path = f"/2018-06-01/runtime/invocation/{event['Lambda-Runtime-Aws-Request-Id']}/response"
        raw = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nokGET {NEXT} HTTP/1.1\r\nHost: x\r\n\r\n"
        await to_thread(stage.client.send, raw.encode())
        assert (await to_thread(stage.client.receive)).status == 202
        assert (await ended).payload == b"ok"
        stage.emulator.begin(b"second")
        assert (await to_thread(stage.client.receive)).body == b"second"

    play(story)


def test_the_invocation_id_must_match_where_it_is_echoed() -> None:
    async def story(stage: Played) -> None:
        event, ended = await stage.deliver()
        request_id = event["Lambda-Runtime-Aws-Request-Id"]
        stale = await to_thread(
            stage.client.respond,
            request_id,
            b"x",
            {"Lambda-Runtime-Invocation-Id": "of-another-attempt"},
        )
        assert stale.status == 410
        echoed = {"Lambda-Runtime-Invocation-Id": event["Lambda-Runtime-Invocation-Id"]}
        assert (await to_thread(stage.client.respond, request_id, b"x", echoed)).status == 202
        ended.cancel()

    play(story)


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/2018-06-01/ping", 200, ""),
        ("POST", "/2018-06-01/ping", 405, "GET"),
        ("POST", NEXT, 405, "GET"),
        ("HEAD", NEXT, 405, "GET"),
        ("GET", "/2018-06-01/runtime/init/error", 405, "POST"),
        ("GET", "/2018-06-01/runtime/invocation/x/response", 405, "POST"),
        ("GET", f"{NEXT}/", 404, ""),
        ("GET", f"/{NEXT}", 404, ""),
        ("GET", "/nope", 404, ""),
        ("POST", "/2018-06-01/runtime/invocation/x/response?y=1", 400, ""),
        ("POST", "http://x/2018-06-01/runtime/invocation/x/response", 400, ""),
        ("GET", "/2020-01-01/extension/nope", 404, ""),
        ("GET", "/2020-01-01/extension/register", 405, "POST"),
        ("PUT", "/2022-07-01/telemetry", 403, ""),
        ("PUT", "/2020-08-15/logs", 202, ""),
        ("GET", "/2022-07-01/telemetry", 405, "PUT"),
    ],
)
def test_paths_and_methods_are_routed_as_lambda_does(
    method: str, path: str, status: int, allow: str
) -> None:
    async def story(stage: Played) -> None:
        reply = await to_thread(call, stage.emulator.runtime_api, method, path)
        assert (reply.status, reply["Allow"]) == (status, allow)

    play(story)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /2018-06-01/ping HTTP/1.1\r\n\r\n", 400),
        (b"GET /2018-06-01/ping HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 1_100_000, 431),
        (b"GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 900_000 + b"\r\n\r\n", 200),
        (b"GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 200),
    ],
)
def test_heads_are_judged_as_strictly_as_by_lambda(raw: bytes, status: int) -> None:
    async def story(stage: Played) -> None:
        await to_thread(stage.client.send, raw)
        assert (await to_thread(stage.client.receive)).status == status

    play(story)


def test_a_body_that_waits_for_100_continue_is_asked_for() -> None:
    async def story(stage: Played) -> None:
        event, ended = await stage.deliver()
        path = f"/2018-06-01/runtime/invocation/{event['Lambda-Runtime-Aws-Request-Id']}/response"
        await to_thread(
            stage.client.send,
            f"POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n".encode(),
        )
        assert (await to_thread(stage.client.receive)).status == 100
        await to_thread(stage.client.send, b"ok")
        assert (await to_thread(stage.client.receive)).status == 202
        ended.cancel()

    play(story)


def test_a_refusal_comes_without_100_continue_and_closes() -> None:
    async def story(stage: Played) -> None:
        raw = b"POST /2018-06-01/runtime/invocation/x/response HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        await to_thread(stage.client.send, raw)
        reply = await to_thread(stage.client.receive)
        assert (reply.status, reply["Connection"]) == (400, "close")
        assert await to_thread(stage.client.file.read) == b""

    play(story)
