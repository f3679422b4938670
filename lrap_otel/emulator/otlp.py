"""An OTLP/HTTP receiver, of protobuf and of JSON, that keeps what it is sent, decoded."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import TYPE_CHECKING

from aiohttp import web
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from lrap_otel.emulator.changes import Changes
from lrap_otel.emulator.otlp_json import parse
from lrap_otel.emulator.signals import (
    LogRecord,
    Metric,
    Span,
    decode_logs,
    decode_metrics,
    decode_spans,
)
from lrap_otel.emulator.web import WebServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from lrap_otel.emulator.history import History

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
MAX_REQUEST_BYTES = 64 * 1024 * 1024


class Receiver:
    """Takes /v1/traces, /v1/metrics and /v1/logs as protobuf or JSON, plain or gzip; ``received``,
    ``metrics`` and ``logs`` grow, and a ``history`` gets them too.
    """

    def __init__(self, history: History | None = None) -> None:
        self.history = history
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
        return next(
            (
                span
                for span in self.received
                if span.attributes.get("faas.invocation_id") == request_id
            ),
            None,
        )

    def take(self, message: Message) -> None:
        """Keep what one export request holds."""
        if isinstance(message, ExportTraceServiceRequest):
            spans = decode_spans(message)
            self.received += spans
            if self.history:
                self.history.add_spans(spans)
        elif isinstance(message, ExportMetricsServiceRequest):
            metrics = decode_metrics(message)
            self.metrics += metrics
            if self.history:
                self.history.add_metrics(metrics)
        elif isinstance(message, ExportLogsServiceRequest):
            logs = decode_logs(message)
            self.logs += logs
            if self.history:
                self.history.add_logs(logs)
        if self.history:
            self.history.export(message)
        self._changes.notify()

    async def _traces(self, request: web.Request) -> web.Response:
        return await self._accept(
            request, ExportTraceServiceRequest(), ExportTraceServiceResponse()
        )

    async def _metrics(self, request: web.Request) -> web.Response:
        return await self._accept(
            request, ExportMetricsServiceRequest(), ExportMetricsServiceResponse()
        )

    async def _logs(self, request: web.Request) -> web.Response:
        return await self._accept(request, ExportLogsServiceRequest(), ExportLogsServiceResponse())

    async def _accept(
        self, request: web.Request, message: Message, response: Message
    ) -> web.Response:
        await _read(request, message)
        self.take(message)
        if request.content_type == JSON:
            return web.json_response({})
        return web.Response(body=response.SerializeToString(), content_type=PROTOBUF)


async def _read(request: web.Request, message: Message) -> None:
    """Fill ``message`` from the body; 415 for another encoding than protobuf and JSON, 400 for
    bytes that are none.
    """
    if request.content_type not in {PROTOBUF, JSON}:
        raise web.HTTPUnsupportedMediaType(
            text=f"{PROTOBUF} and {JSON} are understood here, not {request.content_type}"
        )
    body = await request.read()
    try:
        plain = gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body
        if request.content_type == JSON:
            parse(plain, message)
        else:
            message.ParseFromString(plain)
    except (DecodeError, OSError, EOFError, ValueError, zlib.error) as error:
        raise web.HTTPBadRequest(text=f"not an OTLP request: {error}") from error
