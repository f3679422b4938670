"""An OTLP/HTTP receiver that keeps what it is sent, decoded."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import TYPE_CHECKING

from aiohttp import web
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from lrap_otel.emulator.changes import Changes
from lrap_otel.emulator.signals import LogRecord, Metric, Span, decode_logs, decode_metrics, decode_spans
from lrap_otel.emulator.web import WebServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

PROTOBUF = "application/x-protobuf"
MAX_REQUEST_BYTES = 64 * 1024 * 1024


class Receiver:
    """Takes /v1/traces, /v1/metrics and /v1/logs as protobuf, plain or gzip; ``received``, ``metrics`` and ``logs`` grow."""

    def __init__(self) -> None:
        self.received: list[Span] = []
        self.metrics: list[Metric] = []
        self.logs: list[LogRecord] = []
        self._changes = Changes()
        self._server: WebServer | None = None

    @property
    def endpoint(self) -> str:
        """The value for OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.port if self._server else 0}"

    async def start(self, port: int) -> None:
        """Listen on 127.0.0.1; port 0 is any free one."""
        application = web.Application(client_max_size=MAX_REQUEST_BYTES)
        application.router.add_post("/v1/traces", self._traces)
        application.router.add_post("/v1/metrics", self._metrics)
        application.router.add_post("/v1/logs", self._logs)
        self._server = WebServer(application)
        await self._server.start(port)

    async def close(self) -> None:
        """Stop listening."""
        if self._server:
            await self._server.close()

    async def spans(self, count: int = 1, timeout_s: float = 5.0) -> list[Span]:
        """All spans so far, once there are at least ``count``; TimeoutError says how many came."""
        if not await self.wait(lambda: len(self.received) >= count, timeout_s):
            raise TimeoutError(f"{len(self.received)} of {count} spans came within {timeout_s:g} s")
        return list(self.received)

    async def wait(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        """Whether ``holds()``, looked at after each export, comes true in time."""
        try:
            await asyncio.wait_for(self._changes.until(holds), timeout_s)
        except (TimeoutError, asyncio.TimeoutError):
            return holds()
        return True

    def find_span(self, request_id: str) -> Span | None:
        """The span of one invocation, by its ``faas.invocation_id``."""
        return next((span for span in self.received if span.attributes.get("faas.invocation_id") == request_id), None)

    async def _traces(self, request: web.Request) -> web.Response:
        message = ExportTraceServiceRequest()
        await _read(request, message)
        self.received += decode_spans(message)
        return self._accept(ExportTraceServiceResponse())

    async def _metrics(self, request: web.Request) -> web.Response:
        message = ExportMetricsServiceRequest()
        await _read(request, message)
        self.metrics += decode_metrics(message)
        return self._accept(ExportMetricsServiceResponse())

    async def _logs(self, request: web.Request) -> web.Response:
        message = ExportLogsServiceRequest()
        await _read(request, message)
        self.logs += decode_logs(message)
        return self._accept(ExportLogsServiceResponse())

    def _accept(self, response: Message) -> web.Response:
        self._changes.ring()
        return web.Response(body=response.SerializeToString(), content_type=PROTOBUF)


async def _read(request: web.Request, message: Message) -> None:
    """Fill ``message`` from the body; 415 for another encoding than protobuf, 400 for bytes that are none."""
    if request.content_type != PROTOBUF:
        raise web.HTTPUnsupportedMediaType(text=f"only {PROTOBUF} is understood here, not {request.content_type}")
    body = await request.read()
    try:
        message.ParseFromString(gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body)
    except (DecodeError, OSError, EOFError, zlib.error) as error:
        raise web.HTTPBadRequest(text=f"not an OTLP request: {error}") from error
