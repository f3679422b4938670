"""The invoke endpoint: what ``aws lambda invoke`` and curl post to."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import TYPE_CHECKING

from aiohttp import web

from lrap_otel.emulator.runtime_api import MAX_PAYLOAD_BYTES
from lrap_otel.emulator.web import WebServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.emulator.invocation import Invocation
    from lrap_otel.emulator.outcome import Outcome, Result

    Begin = Callable[..., tuple[Invocation, asyncio.Task[Outcome]]]

# The port of `sam local start-lambda`, which AWS's documentation gives to local endpoints.
DEFAULT_PORT = 3001
PATH = "/2015-03-31/functions/function/invocations"


class InvokeEndpoint:
    """Serves ``POST PATH``: 200 and the result as soon as the function gives it, failures with X-Amz-Function-Error."""

    def __init__(self, begin: Begin) -> None:
        """`begin` is `Emulator.begin`."""
        self._begin = begin
        self._server: WebServer | None = None

    @property
    def url(self) -> str:
        """Where events are posted."""
        return f"http://127.0.0.1:{self._server.port if self._server else 0}{PATH}"

    async def start(self, port: int) -> None:
        """Listen on 127.0.0.1; port 0 is any free one."""
        application = web.Application(client_max_size=MAX_PAYLOAD_BYTES)
        application.router.add_post(PATH, self._invoke)
        self._server = WebServer(application)
        await self._server.start(port)

    async def close(self) -> None:
        """Stop listening."""
        if self._server:
            await self._server.close()

    async def _invoke(self, request: web.Request) -> web.Response:
        try:
            client_context = base64.b64decode(request.headers.get("X-Amz-Client-Context", ""), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return web.json_response({"message": "Client context must be base64-encoded JSON"}, status=400)
        trace_header = request.headers.get("X-Amzn-Trace-Id")
        event = await request.read() or b"{}"
        invocation, _ = self._begin(event, client_context=client_context, trace_id=trace_header)
        if request.headers.get("X-Amz-Invocation-Type") == "Event":
            return web.Response(status=202, headers={"X-Amzn-RequestId": invocation.request_id})
        await asyncio.wait([invocation.result])
        return _reply(invocation, invocation.result.result())


def _reply(invocation: Invocation, result: Result) -> web.Response:
    headers = {"X-Amzn-RequestId": invocation.request_id, "X-Amz-Executed-Version": "$LATEST"}
    headers |= {"Content-Type": result.content_type or "application/json"}
    # A plain client sees no trailers, so that a streamed error's stand among the fields.
    headers |= result.trailers
    if result.error_type:
        headers["X-Amz-Function-Error"] = "Unhandled"
    return web.Response(body=result.payload, headers=headers)
