"""Lambda's Invoke API, as the aws command line, boto3 and the other SDKs speak it.

Sources: AWS Lambda API Reference, "Invoke", "InvokeWithResponseStream".
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from typing import TYPE_CHECKING
from urllib.parse import unquote

from aiohttp import web

from lrap_otel.emulator import event_stream
from lrap_otel.emulator.async_events import AsyncEvents
from lrap_otel.emulator.web import read_body

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lrap_otel.emulator.async_events import Begin
    from lrap_otel.emulator.config import Config
    from lrap_otel.emulator.invocation import Invocation
    from lrap_otel.emulator.outcome import Result

# The port of `sam local start-lambda`, which AWS's documentation gives to local endpoints.
DEFAULT_PORT = 3001
PATH = "/2015-03-31/functions/function/invocations"
MAX_EVENT_BYTES = 6 * 1024 * 1024
MAX_ASYNC_EVENT_BYTES = 1024 * 1024
LOG_TAIL_BYTES = 4096


class RefusedError(Exception):
    """The call is refused, with Lambda's status, error code and message."""

    def __init__(self, status: int, code: str, message: str, **more: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.more = more


class InvokeApi:
    """``POST /2015-03-31/functions/NAME/invocations``: synchronous, ``Event``, ``DryRun``; and the
    streaming call.
    """

    def __init__(self, begin: Begin, config: Config, on_step: Callable[[str], None]) -> None:
        """`begin` is `Emulator.begin`."""
        self._begin = begin
        self._config = config
        self._async = AsyncEvents(begin, config, on_step)
        self._callers = 0

    def add_to(self, application: web.Application) -> None:
        """Serve the API's paths."""
        application.router.add_post(
            "/2015-03-31/functions/{name}/invocations", self._guarded(self._invoke)
        )
        streaming = "/2021-11-15/functions/{name}/response-streaming-invocations"
        application.router.add_post(streaming, self._guarded(self._invoke_streaming))

    async def close(self) -> None:
        """Give up asynchronous events that wait for another attempt."""
        await self._async.close()

    def _guarded(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                self._check_name(request.match_info["name"])
                response: web.StreamResponse = await call(request)
            except RefusedError as error:
                body = {"Type": "User", "Message": str(error), "message": str(error)} | error.more
                return web.json_response(
                    body, status=error.status, headers={"X-Amzn-ErrorType": error.code}
                )
            return response

        return answer

    async def _invoke(self, request: web.Request) -> web.Response:
        kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        if kind not in {"RequestResponse", "Event", "DryRun"}:
            raise RefusedError(
                400, "InvalidParameterValueException", f"{kind} is no invocation type"
            )
        event = await self._event(
            request, MAX_ASYNC_EVENT_BYTES if kind == "Event" else MAX_EVENT_BYTES
        )
        about = _about(request)
        if kind == "DryRun":
            return web.Response(status=204)
        if kind == "Event":
            request_id = self._async.accept(event, **about)
            return web.Response(status=202, headers={"X-Amzn-RequestId": request_id})
        with _Place(self):
            invocation, _ = self._begin(event, **about)
            await asyncio.wait([invocation.result])
        headers = self._headers(invocation)
        if request.headers.get("X-Amz-Log-Type") == "Tail":
            headers["X-Amz-Log-Result"] = await _log_tail(invocation, self._config)
        return _reply(invocation.result.result(), headers)

    async def _invoke_streaming(self, request: web.Request) -> web.StreamResponse:
        event = await self._event(request, MAX_EVENT_BYTES)
        with _Place(self):
            invocation, _ = self._begin(event, **_about(request))
            pieces = invocation.listen()
            response = web.StreamResponse(
                headers=self._headers(invocation) | {"Content-Type": event_stream.CONTENT_TYPE}
            )
            await response.prepare(request)
            while (piece := await pieces.get()) is not None:
                await response.write(
                    event_stream.message("PayloadChunk", "application/octet-stream", piece)
                )
        complete = _completion(invocation.result.result())
        if request.headers.get("X-Amz-Log-Type") == "Tail":
            complete["LogResult"] = await _log_tail(invocation, self._config)
        await response.write(
            event_stream.message(
                "InvokeComplete", "application/json", json.dumps(complete).encode()
            )
        )
        return response

    def _headers(self, invocation: Invocation) -> dict[str, str]:
        return {
            "X-Amzn-RequestId": invocation.request_id,
            "X-Amz-Executed-Version": self._config.function_version,
        }

    async def _event(self, request: web.Request, limit_bytes: int) -> bytes:
        try:
            event = await read_body(request, limit_bytes)
        except web.HTTPRequestEntityTooLarge as error:
            said = (
                f"Request must be smaller than {limit_bytes} bytes for the InvokeFunction operation"
            )
            raise RefusedError(413, "RequestTooLargeException", said) from error
        try:
            json.loads(event or b"{}")
        except (ValueError, RecursionError) as error:
            said = f"Could not parse request body into json: {error}"
            raise RefusedError(400, "InvalidRequestContentException", said) from error
        return event or b"{}"

    def _check_name(self, said: str) -> None:
        """404 unless the function is meant: its name, or any form of its ARN, with or without a
        qualifier.
        """
        name = unquote(said)
        if ":function:" in name:
            name = name.partition(":function:")[2]
        name = name.partition(":")[0]
        if name not in {"function", self._config.function_name}:
            arn = self._config.function_arn.rpartition(":")[0]
            raise RefusedError(
                404, "ResourceNotFoundException", f"Function not found: {arn}:{name}"
            )

    def take_place(self) -> None:
        """Count one more waiting caller; 429 if no more may wait."""
        limit = self._config.reserved_concurrency
        if limit is not None and self._callers >= limit:
            reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
            raise RefusedError(429, "TooManyRequestsException", "Rate Exceeded.", Reason=reason)
        self._callers += 1

    def leave_place(self) -> None:
        """A caller has its result, or has gone."""
        self._callers -= 1


class _Place:
    """One of the callers that may wait at a time."""

    def __init__(self, api: InvokeApi) -> None:
        self._api = api

    def __enter__(self) -> None:
        self._api.take_place()

    def __exit__(self, *_: object) -> None:
        self._api.leave_place()


def _about(request: web.Request) -> dict[str, Any]:
    try:
        client_context = base64.b64decode(
            request.headers.get("X-Amz-Client-Context", ""), validate=True
        ).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        said = "Client context must be base64-encoded JSON"
        raise RefusedError(400, "InvalidRequestContentException", said) from error
    return {"client_context": client_context, "trace_id": request.headers.get("X-Amzn-Trace-Id")}


def _reply(result: Result, headers: dict[str, str]) -> web.Response:
    headers |= {"Content-Type": result.content_type or "application/json"}
    # A plain client sees no trailers, so a streamed error's are sent as header fields.
    headers |= result.trailers
    if result.error_type:
        headers["X-Amz-Function-Error"] = "Unhandled"
    return web.Response(body=result.payload, headers=headers)


def _completion(result: Result) -> dict[str, str]:
    """What InvokeComplete says: nothing, or how a result failed before or while it was streamed."""
    if code := result.trailers.get("lambda-runtime-function-error-type"):
        details = result.trailers.get("lambda-runtime-function-error-body", "")
        try:
            return {
                "ErrorCode": code,
                "ErrorDetails": base64.b64decode(details).decode("utf-8", "replace"),
            }
        except binascii.Error:
            return {"ErrorCode": code, "ErrorDetails": details}
    if result.error_type:
        return {"ErrorCode": "Unhandled", "ErrorDetails": result.payload.decode("utf-8", "replace")}
    return {}


async def _log_tail(invocation: Invocation, config: Config) -> str:
    """The last 4 KB of what the function printed, between the platform's lines, in base64."""
    # What was printed before the result may still be in its pipe.
    await asyncio.sleep(0.01)
    request_id, ms = invocation.request_id, invocation.result_ms
    init = f"\tInit Duration: {invocation.init_ms:.2f} ms" if invocation.init_ms else ""
    report = (
        f"REPORT RequestId: {request_id}\tDuration: {ms:.2f} ms\tBilled Duration: "
        f"{-(-ms // 1):.0f} ms"
    )
    lines = [
        f"START RequestId: {request_id} Version: {config.function_version}",
        *(line.text for line in invocation.lines if line.source == "function"),
        f"END RequestId: {request_id}",
        f"{report}\tMemory Size: {config.memory_mb} MB{init}",
    ]
    text = "".join(f"{line}\n" for line in lines).encode()
    return base64.b64encode(text[-LOG_TAIL_BYTES:]).decode()
