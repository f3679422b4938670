"""The telemetry process as a thread of the tests, with a collector; the test is the proxy."""

from __future__ import annotations

import json
import threading
import time
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

from lrap_otel.ipc import records
from lrap_otel.ipc.channel import Channel
from lrap_otel.ipc.telemetry_port import open_port
from lrap_otel.telemetry.worker import serve
from tests.telemetry.otlp_collector import PATIENCE_S
from tests.telemetry.proxy_records import VARIABLES

if TYPE_CHECKING:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from tests.telemetry.otlp_collector import Collector, Post

# With this, metrics leave with every flush, as spans do.
EVERY_FLUSH = {"OTEL_METRIC_EXPORT_INTERVAL": "1"}


class Telemetry:
    """One telemetry process and the proxy's end of its channel. Where it hears the platform, `tell`
    is Lambda.
    """

    def __init__(self, variables: dict[bytes, bytes], *, hears_platform: bool = False) -> None:
        self.channel = Channel()
        self.channel.platform = open_port("127.0.0.1") if hears_platform else None
        self._platform: HTTPConnection | None = None
        self.channel.near.settimeout(PATIENCE_S)
        self.warnings: list[str] = []
        self.printed = ""
        self._number = 0
        arguments = (self.channel.far, VARIABLES | variables, None, self.channel.platform)
        self._thread = threading.Thread(target=serve, args=arguments)
        self._thread.start()
        assert self.reply()[0] == records.READY

    def offer(self, *sent: tuple[records.Message, bytes]) -> None:
        for message, payload in sent:
            self.channel.offer(message, payload)

    def tell(self, *events: dict[str, Any], body: bytes | None = None) -> None:
        """Deliver a batch of the Telemetry API, over one connection, until it is acknowledged."""
        assert self.channel.platform is not None
        if self._platform is None:
            self._platform = HTTPConnection(
                *self.channel.platform.getsockname(), timeout=PATIENCE_S
            )
        body = json.dumps(events).encode() if body is None else body
        self._platform.request("POST", "/", body, {"Content-Type": "application/json"})
        reply = self._platform.getresponse()
        reply.read()
        assert reply.status == 200

    def reply(self) -> tuple[int, records.Fields]:
        """The next reply that is not a warning; warnings are kept."""
        while True:
            kind, fields = self.channel.receive_reply()
            if kind == records.WARNING:
                self.warnings += [str(text) for text in fields]
            elif kind == records.OUTPUT:
                self.printed += str(fields[0])
            elif kind != records.RELEASED:
                return kind, fields

    def flush(
        self, budget_ms: int = PATIENCE_S * 1_000, dropped: int = 0, billed_ms: int = 0
    ) -> bool:
        self._number += 1
        time.sleep(0.002)  # more than the interval of EVERY_FLUSH
        self.channel.offer(records.flush(self._number, budget_ms, dropped, billed_ms))
        return self._flushed()

    def flush_until_sent(self) -> None:
        """Flush until the pause after a failure is over and the collector has everything."""
        end_s = time.monotonic() + PATIENCE_S
        while not self.flush():
            assert time.monotonic() < end_s
            time.sleep(0.05)

    def shutdown(
        self, reason: str = "spindown", seconds: float = PATIENCE_S, dropped: int = 0
    ) -> bool:
        self._number += 1
        deadline_ms = int((time.time() + seconds) * 1_000)
        self.channel.offer(records.shutdown(self._number, reason, deadline_ms, dropped, 0))
        has_all = self._flushed()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        return has_all

    def _flushed(self) -> bool:
        kind, fields = self.reply()
        assert (kind, fields[0]) == (records.FLUSHED, self._number)
        return bool(fields[1])

    def end(self) -> None:
        self.channel.near.close()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        self.channel.far.close()
        if self.channel.platform is not None and self.channel.platform.fileno() >= 0:
            self.channel.platform.shutdown(2)
            self.channel.platform.close()
        if self._platform is not None:
            self._platform.close()


def spans_of(collector: Collector) -> list[Span]:
    """All spans that have arrived, in order."""
    return [
        span
        for post in collector.received("/v1/traces")
        for resource in post.traces().resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def points(post: Post, name: str) -> list[tuple[dict[str, Any], Any]]:
    """The data points of one metric: their attributes and their sums."""
    return [
        (plain(point.attributes), point.as_int if metric.HasField("sum") else point.sum)
        for resource in post.metrics().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in (
            metric.sum.data_points if metric.HasField("sum") else metric.histogram.data_points
        )
    ]


def plain(attributes: Any) -> dict[str, Any]:
    """OTLP's attributes as a dictionary."""
    return {attribute.key: _value(attribute.value) for attribute in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(part) for part in value.array_value.values]
    return getattr(value, kind)
