"""The Extensions API, with an extension that the test plays itself."""

from __future__ import annotations

import asyncio
import json
from asyncio import to_thread
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lrap_otel.emulator import Config, Emulator
from tests.emulator.lambda_wire import EXTENSION, NEXT, Client, call

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.emulator.lambda_wire import Reply

NOBODY = "00000000-0000-4000-8000-000000000000"


def ask(
    story: Callable[[str], Reply], config: Config | None = None
) -> tuple[int, dict[str, str], Reply]:
    """Status, decoded body and reply of the last call of a story, which gets the address."""

    async def run() -> Reply:
        async with Emulator(config or Config(handler="app.handler")) as emulator:
            return await to_thread(story, emulator.runtime_api)

    reply = asyncio.run(run())
    return reply.status, json.loads(reply.body), reply


def register(
    api: str, name: str = "inside", body: bytes = b'{"events":["INVOKE"]}', **headers: str
) -> Reply:
    return call(
        api, "POST", f"{EXTENSION}/register", {"Lambda-Extension-Name": name, **headers}, body
    )


def test_registering_tells_about_the_function() -> None:
    status, body, reply = ask(register)
    assert status == 200
    assert body == {
        "functionName": "function",
        "functionVersion": "$LATEST",
        "handler": "app.handler",
    }
    assert len(reply["Lambda-Extension-Identifier"]) == 36


def test_the_account_is_told_to_those_who_ask() -> None:
    _, body, _ = ask(lambda api: register(api, **{"Lambda-Extension-Accept-Feature": "accountId"}))
    assert body["accountId"] == "123456789012"


@pytest.mark.parametrize(
    ("name", "body", "error_type", "message"),
    [
        ("", b"{}", "Extension.InvalidExtensionName", "Empty extension name"),
        (
            "x",
            b'{"events":["BOGUS"]}',
            "Extension.InvalidEventType",
            "BOGUS: ErrorInvalidEventType",
        ),
        (
            "x",
            b'{"events":["SHUTDOWN"]}',
            "Extension.InvalidEventType",
            "SHUTDOWN: ErrorInvalidEventType",
        ),
        (
            "x",
            b'{"events":[],"configurationKeys":["a"]}',
            "InvalidRequestFormat",
            "Invalid request format",
        ),
        ("x", b"not json", "InvalidRequestFormat", "Invalid request format"),
        ("x", b"[]", "InvalidRequestFormat", "Invalid request format"),
    ],
)
def test_a_bad_registration_is_refused_by_name(
    name: str, body: bytes, error_type: str, message: str
) -> None:
    status, said, _ = ask(lambda api: register(api, name, body))
    assert (status, said) == (403, {"errorMessage": message, "errorType": error_type})


def test_managed_instances_refuse_invoke() -> None:
    config = Config(
        initialization_type="lambda-managed-instances", extensions={"mine": Path("/nowhere")}
    )
    status, said, _ = ask(
        lambda api: register(api, "mine", b'{"events":["INVOKE","SHUTDOWN"]}'), config
    )
    assert (status, said["errorType"], said["errorMessage"]) == (
        403,
        "Extension.InvalidEventType",
        "INVOKE: ErrorInvalidEventType",
    )
    assert ask(lambda api: register(api, "mine", b'{"events":["SHUTDOWN"]}'), config)[0] == 200


def test_a_name_registers_once() -> None:
    status, said, _ = ask(lambda api: (register(api), register(api))[-1])
    assert (status, said["errorType"]) == (403, "Extension.InvalidExtensionState")


def test_an_eleventh_extension_is_one_too_many() -> None:
    status, said, _ = ask(
        lambda api: [register(api, f"number-{number}") for number in range(11)][-1]
    )
    assert (status, said["errorType"]) == (403, "Extension.TooManyExtensions")


@pytest.mark.parametrize(
    ("identifier", "error_type"),
    [
        ("", "Extension.MissingExtensionIdentifier"),
        ("not-a-uuid", "Extension.InvalidExtensionIdentifier"),
        (NOBODY, "Extension.UnknownExtensionIdentifier"),
    ],
)
def test_a_caller_nobody_knows_is_refused(identifier: str, error_type: str) -> None:
    headers = {"Lambda-Extension-Identifier": identifier} if identifier else {}
    status, said, _ = ask(lambda api: call(api, "GET", f"{EXTENSION}/event/next", headers))
    assert (status, said["errorType"]) == (403, error_type)


@pytest.mark.parametrize("path", ["init/error", "exit/error"])
def test_after_an_error_report_there_are_no_more_events(path: str) -> None:
    def story(api: str) -> Reply:
        me = {"Lambda-Extension-Identifier": register(api)["Lambda-Extension-Identifier"]}
        assert call(api, "POST", f"{EXTENSION}/{path}", me).status == 403
        accepted = call(
            api,
            "POST",
            f"{EXTENSION}/{path}",
            {**me, "Lambda-Extension-Function-Error-Type": "Extension.X"},
            b"{}",
        )
        assert (accepted.status, accepted.body) == (202, b'{"status":"OK"}\n')
        return call(api, "GET", f"{EXTENSION}/event/next", me)

    status, said, _ = ask(story)
    assert (status, said["errorType"]) == (403, "Extension.InvalidExtensionState")


def test_an_invocation_reaches_runtime_and_internal_extension_and_waits_for_both() -> None:
    async def run() -> None:
        async with Emulator(Config()) as emulator:
            runtime, extension = Client(emulator.runtime_api), Client(emulator.runtime_api)
            me = (await to_thread(extension.register, "inside", b'{"events":["INVOKE"]}'))[
                "Lambda-Extension-Identifier"
            ]
            polls = [
                asyncio.ensure_future(to_thread(runtime.next)),
                asyncio.ensure_future(to_thread(extension.next_event, me)),
            ]
            invocation, ended = emulator.begin(b"{}", trace_id="Root=1-2-3;Parent=4;Sampled=1")
            event, told = await asyncio.gather(*polls)
            assert json.loads(told.body) == {
                "eventType": "INVOKE",
                "deadlineMs": invocation.deadline_ms,
                "requestId": invocation.request_id,
                "invokedFunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:function",
                "tracing": {"type": "X-Amzn-Trace-Id", "value": "Root=1-2-3;Parent=4;Sampled=1"},
            }
            assert len(told["Lambda-Extension-Event-Identifier"]) == 36
            await to_thread(runtime.respond, event["Lambda-Runtime-Aws-Request-Id"])
            assert invocation.result.done()
            await to_thread(runtime.send, f"GET {NEXT} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await emulator._the_sandbox().changes.until(
                lambda: emulator._the_sandbox().runtime.is_ready
            )
            assert not ended.done()
            late = await to_thread(
                call,
                emulator.runtime_api,
                "POST",
                f"{EXTENSION}/register",
                {"Lambda-Extension-Name": "late"},
                b"{}",
            )
            assert json.loads(late.body)["errorType"] == "Extension.RegistrationClosed"
            poll = f"GET {EXTENSION}/event/next HTTP/1.1\r\nHost: x\r\nLambda-Extension-Identifier: {me}\r\n\r\n"
            await to_thread(extension.send, poll.encode())
            assert (await ended).status == "success"
            twice = await to_thread(
                call,
                emulator.runtime_api,
                "GET",
                f"{EXTENSION}/event/next",
                {"Lambda-Extension-Identifier": me},
            )
            assert json.loads(twice.body)["errorType"] == "Extension.InvalidExtensionState"
            runtime.close()
            extension.close()

    asyncio.run(run())
