"""A target: the proxy that one would write first, on aiohttp, with the OpenTelemetry SDK in its own
process.

A span for each event, ended when its result has gone; traceparent on the reply to ``/next``; export
by the SDK's batch processor over OTLP/HTTP. Addresses as every peer takes them:
AWS_LAMBDA_RUNTIME_API and LRAP_LISTENER_PORT.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import inject
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from multidict import CIMultiDict

UPSTREAM = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}"
HOP_BY_HOP = ("Connection", "Keep-Alive", "TE", "Transfer-Encoding", "Upgrade")
NEXT = "/2018-06-01/runtime/invocation/next"
LIMIT_BYTES = 16 * 1024 * 1024


class Proxy:
    """Passes every call on and traces invocations by their request id."""

    def __init__(self) -> None:
        self._session: ClientSession
        self._spans: dict[str, trace.Span] = {}
        self._provider = TracerProvider()
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("bench")

    async def live(self, _app: web.Application) -> AsyncIterator[None]:
        """Open the pooled connections; export what is left at the end."""
        connector = TCPConnector(limit=0)
        async with ClientSession(
            connector=connector, timeout=ClientTimeout(), auto_decompress=False
        ) as self._session:
            yield
        self._provider.shutdown()

    async def forward(self, request: web.Request) -> web.Response:
        """One call: its head and body up, the reply down."""
        body = request.content if request.body_exists else None
        headers = _end_to_end(request.headers.copy())
        async with self._session.request(
            request.method, UPSTREAM + request.path_qs, headers=headers, data=body
        ) as reply:
            payload, answered = await reply.read(), _end_to_end(reply.headers.copy())
            if request.path == NEXT:
                self._begin(answered)
            elif request.path.endswith("/response") or request.path.endswith("/error"):
                self._end(request.path)
            return web.Response(status=reply.status, headers=answered, body=payload)

    def _begin(self, headers: CIMultiDict[str]) -> None:
        span = self._tracer.start_span("bench", kind=trace.SpanKind.SERVER)
        request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        span.set_attribute("faas.invocation_id", request_id)
        inject(headers, trace.set_span_in_context(span))
        self._spans[request_id] = span

    def _end(self, path: str) -> None:
        span = self._spans.pop(path.split("/")[-2], None)
        if span:
            span.end()


def _end_to_end(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    for name in HOP_BY_HOP:
        headers.popall(name, None)
    return headers


def main() -> None:
    """Serve until SIGTERM."""
    proxy = Proxy()
    app = web.Application(client_max_size=LIMIT_BYTES)
    app.cleanup_ctx.append(proxy.live)
    app.router.add_route("*", "/{path:.*}", proxy.forward)
    port = int(os.environ["LRAP_LISTENER_PORT"])
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None)


if __name__ == "__main__":
    main()
