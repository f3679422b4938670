"""The page of the emulator, and what it asks for: invocations as JSON, telemetry as OTLP JSON
lines.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from lrap_otel.emulator.otlp_json import parse, to_line
from lrap_otel.emulator.sample_events import SAMPLES, sample
from lrap_otel.emulator.web import read_body

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from lrap_otel.emulator.async_events import Begin
    from lrap_otel.emulator.config import Config
    from lrap_otel.emulator.history import History
    from lrap_otel.emulator.otlp import Receiver

FILE = Path(__file__).with_name("page.html")
LINES = "application/x-ndjson"
# A stream that has nothing to send sends an empty line this often: so a client that has gone is
# noticed.
HEARTBEAT_S = 15.0
MAX_IMPORT_BYTES = 256 * 1024 * 1024
SIGNALS: dict[str, type[Message]] = {
    "resourceSpans": ExportTraceServiceRequest,
    "resourceMetrics": ExportMetricsServiceRequest,
    "resourceLogs": ExportLogsServiceRequest,
}


class Page:
    """Serves the page and its data."""

    def __init__(self, history: History, otlp: Receiver, begin: Begin, config: Config) -> None:
        """`begin` is `Emulator.begin`."""
        self._history = history
        self._otlp = otlp
        self._begin = begin
        self._config = config

    def add_to(self, application: web.Application) -> None:
        """Serve its paths."""
        application.router.add_get("/", self._page)
        application.router.add_get("/api/about", self._about)
        application.router.add_get("/api/invocations", self._invocations)
        application.router.add_get("/api/invocations/{id}", self._invocation)
        application.router.add_post("/api/invocations", self._send)
        application.router.add_get("/api/metrics", self._metrics)
        application.router.add_get("/api/samples/{trigger}", self._sample)
        application.router.add_get("/api/search", self._search)
        application.router.add_get("/api/telemetry", self._export)
        application.router.add_post("/api/telemetry", self._import)

    async def _page(self, _: web.Request) -> web.Response:
        text = FILE.read_text("utf-8")
        # The page loads and runs nothing but its own content, even if an event contains HTML.
        allowed = "; ".join(
            f"{kind}-src {' '.join(_hashes(text, tag))}"
            for kind, tag in (("script", "script"), ("style", "style"))
        )
        policy = (
            f"default-src 'none'; connect-src 'self'; base-uri 'none'; form-action "
            f"'none'; {allowed}"
        )
        headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def _about(self, _: web.Request) -> web.Response:
        config = self._config
        return web.json_response(
            {
                "function": config.function_name,
                "handler": config.handler_name,
                "runtime": config.runtime,
                "memory_mb": config.memory_mb,
                "timeout_s": config.timeout_s,
                "otlp": self._otlp.endpoint,
                "triggers": list(SAMPLES),
            }
        )

    async def _invocations(self, request: web.Request) -> web.StreamResponse:
        change, found = self._history.changed_since(0)
        if "follow" not in request.query:
            return web.json_response(found)
        response = await _stream(request)
        # Ended when the reader goes away.
        with contextlib.suppress(ConnectionResetError):
            while True:
                await response.write(
                    b"".join(json.dumps(row).encode() + b"\n" for row in found) or b"\n"
                )
                await self._history.wait_for_change(change, HEARTBEAT_S)
                change, found = self._history.changed_since(change)
        return response

    async def _invocation(self, request: web.Request) -> web.Response:
        detail = self._history.detail(request.match_info["id"])
        if detail is None:
            raise web.HTTPNotFound(text="there is no such invocation any more")
        return web.json_response(detail)

    async def _send(self, request: web.Request) -> web.Response:
        asked = await _json(request)
        event, client_context = asked.get("event"), asked.get("client_context", "")
        if not isinstance(event, str) or not isinstance(client_context, str):
            raise web.HTTPBadRequest(text="event and client_context are texts")
        try:
            json.loads(event)
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"the event is not JSON: {error}") from error
        invocation, _ = self._begin(event.encode(), client_context=client_context)
        return web.json_response({"id": invocation.request_id})

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.json_response(
            [
                series | {"points": list(series["points"])}
                for series in self._history.metrics.values()
            ]
        )

    async def _sample(self, request: web.Request) -> web.Response:
        try:
            return web.json_response(sample(request.match_info["trigger"]))
        except KeyError:
            raise web.HTTPNotFound(text="there is no such trigger") from None

    async def _search(self, request: web.Request) -> web.Response:
        return web.json_response(self._history.search(request.query.get("q", "")))

    async def _export(self, request: web.Request) -> web.StreamResponse:
        """All telemetry that is still here, one export a line; ``?follow=1`` goes on with what
        comes.
        """
        position, messages = self._history.exports(0)
        response = await _stream(request)
        with contextlib.suppress(ConnectionResetError):
            while True:
                for message in messages:
                    await response.write(to_line(message).encode() + b"\n")
                if "follow" not in request.query:
                    break
                await self._history.wait_for_export(position, HEARTBEAT_S)
                position, messages = self._history.exports(position)
                if not messages:
                    await response.write(b"\n")
        return response

    async def _import(self, request: web.Request) -> web.Response:
        """Take OTLP JSON lines as if they had been exported to us; 400 names the first line that is
        not.
        """
        count = 0
        for number, line in enumerate((await read_body(request, MAX_IMPORT_BYTES)).splitlines(), 1):
            if not line.strip():
                continue
            try:
                self._otlp.take(_message(line))
            except ValueError as error:
                raise web.HTTPBadRequest(text=f"line {number}: {error}") from error
            count += 1
        return web.json_response({"lines": count})


def _message(line: bytes) -> Message:
    try:
        members = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    for member, kind in SIGNALS.items():
        if isinstance(members, dict) and member in members:
            message = kind()
            parse(line, message)
            return message
    raise ValueError(f"no OTLP: there is none of {', '.join(SIGNALS)}")


async def _stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": LINES, "Cache-Control": "no-store"})
    await response.prepare(request)
    return response


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        asked = json.loads(await read_body(request, MAX_IMPORT_BYTES))
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"not JSON: {error}") from error
    if not isinstance(asked, dict):
        raise web.HTTPBadRequest(text="not an object")
    return asked


def _hashes(text: str, tag: str) -> list[str]:
    parts = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in parts]
    return [f"'sha256-{digest}'" for digest in digests]
