"""A collector: receives OTLP over gRPC, keeps the requests, and refuses on demand."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

PATIENCE_S = 60


class GrpcCollector(
    trace_service_pb2_grpc.TraceServiceServicer, metrics_service_pb2_grpc.MetricsServiceServicer
):
    """A collector. `script` is called for each request to either service with its number, from 0.
    It returns the status to answer, or None.
    """

    def __init__(
        self, script: Callable[[int], grpc.StatusCode | None] = lambda number: None
    ) -> None:
        self.traces: Queue[trace_service_pb2.ExportTraceServiceRequest] = Queue()
        self.metrics: Queue[metrics_service_pb2.ExportMetricsServiceRequest] = Queue()
        self.metadata: list[dict[str, Any]] = []
        self._script = script
        self._server = grpc.server(ThreadPoolExecutor(4))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(grace=None).wait(PATIENCE_S)

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - both services' one method
        """The method of both services; the request's class says whether it has traces
        or metrics.
        """
        number = len(self.metadata)
        self.metadata.append({each.key: each.value for each in context.invocation_metadata()})
        if (status := self._script(number)) is not None:
            context.abort(status, "as the test wants it")
        if isinstance(request, trace_service_pb2.ExportTraceServiceRequest):
            self.traces.put(request)
            return trace_service_pb2.ExportTraceServiceResponse()
        self.metrics.put(request)
        return metrics_service_pb2.ExportMetricsServiceResponse()

    def next_spans(self) -> list[Any]:
        """The spans of the next request."""
        request = self.traces.get(timeout=PATIENCE_S)
        return [
            span
            for of in request.resource_spans
            for scope in of.scope_spans
            for span in scope.spans
        ]

    def next_metrics(self) -> list[Any]:
        """The metrics of the next request."""
        request = self.metrics.get(timeout=PATIENCE_S)
        return [
            metric
            for of in request.resource_metrics
            for scope in of.scope_metrics
            for metric in scope.metrics
        ]
