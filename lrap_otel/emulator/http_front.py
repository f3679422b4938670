"""Plain HTTP in front of the function: each request becomes an event, each result a response."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from aiohttp import web

from lrap_otel.emulator.http_events import HEAD_END, Request, event, response, streamed_head
from lrap_otel.emulator.invoke import MAX_EVENT_BYTES, RefusedError
from lrap_otel.emulator.web import WebServer

if TYPE_CHECKING:
    from lrap_otel.emulator.async_events import Begin
    from lrap_otel.emulator.config import Config
    from lrap_otel.emulator.http_events import Response
    from lrap_otel.emulator.invocation import Invocation
    from lrap_otel.emulator.invoke import InvokeApi

# The port of `sam local start-api`.
DEFAULT_PORT = 3000
# What the server decides by itself.
FRAMING = {"content-length", "transfer-encoding", "connection", "date"}
MAX_STREAMED_HEAD_BYTES = 64 * 1024


class HttpFront:
    """Listens for any method and any path."""

    def __init__(self, begin: Begin, config: Config, api: InvokeApi) -> None:
        """`begin` is `Emulator.begin`; `api` counts the callers that wait for a result."""
        self._begin = begin
        self._config = config
        self._api = api
        self._server: WebServer | None = None

    @property
    def url(self) -> str:
        """The URL for requests."""
        return f"http://127.0.0.1:{self._server.port if self._server else 0}/"

    async def start(self, port: int) -> None:
        """Listen on 127.0.0.1; 0 is any free port."""
        # The event, which contains the body, is at most 6 MB.
        application = web.Application(client_max_size=MAX_EVENT_BYTES)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._server = WebServer(application)
        await self._server.start(port)

    async def close(self) -> None:
        """Stop listening."""
        if self._server:
            await self._server.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers
        ]
        got = Request(request.method, request.raw_path, headers, await request.read())
        kind = self._config.http_format
        made = json.dumps(event(got, kind, self._config.routes)).encode()
        if len(made) > MAX_EVENT_BYTES:
            return web.json_response({"message": "Request Entity Too Large"}, status=413)
        try:
            self._api.take_place()
        except RefusedError as error:
            return web.json_response({"message": str(error)}, status=error.status)
        try:
            invocation, _ = self._begin(made)
            if kind == "url":
                return await self._stream(request, invocation)
            await asyncio.wait([invocation.result])
            return _whole(response(invocation.result.result(), kind))
        finally:
            self._api.leave_place()

    async def _stream(self, request: web.Request, invocation: Invocation) -> web.StreamResponse:
        """Pass a streamed result on as it comes, once its head is here; any other as a whole."""
        pieces = invocation.listen()
        start = b""
        while (piece := await pieces.get()) is not None and not invocation.result.done():
            start += piece
            head, found, rest = start.partition(HEAD_END)
            streamed = streamed_head(head) if found else None
            if streamed is None:
                if found or len(start) > MAX_STREAMED_HEAD_BYTES:
                    break
                continue
            answer = web.StreamResponse(status=streamed.status)
            _add_headers(answer, streamed)
            await answer.prepare(request)
            if rest:
                await answer.write(rest)
            while (piece := await pieces.get()) is not None:
                await answer.write(piece)
            if (
                invocation.result.result().trailers.get("lambda-runtime-function-error-type")
                and request.transport
            ):
                # A result that failed half-way must not look whole.
                request.transport.abort()
            return answer
        await asyncio.wait([invocation.result])
        return _whole(response(invocation.result.result(), "url"))


def _whole(described: Response) -> web.Response:
    answer = web.Response(status=described.status, body=described.body)
    _add_headers(answer, described)
    return answer


def _add_headers(answer: web.StreamResponse, described: Response) -> None:
    # A body of bytes comes with a type of its own.
    answer.headers.popall("Content-Type", None)
    for name, value in described.headers:
        if name.lower() not in FRAMING:
            answer.headers.add(name, value)
