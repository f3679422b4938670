"""A collector that fails in every way that a collector can, and recovers, always at the same
address.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

if TYPE_CHECKING:
    from typing import Self

HEALTHY = "healthy"
# Nobody answers a connection, or everybody who does breaks it off before there is an answer.
CONNECTION = ("refused", "hangs at connect", "closes at once", "resets at once")
# The request has come, and nobody can know it.
UNKNOWN = (
    "drops the request",
    "resets the request",
    "hangs at the head",
    "hangs in the status line",
    "is no HTTP",
)
# It has taken the spans, however it says so.
TAKEN = ("hangs in the body", "is slow", "closes idle connections", "takes only a part")
RETRYABLE = ("429", "502", "503", "504")
REJECTING = ("301", "400", "401", "403", "404", "408", "413", "415", "500")
TLS = ("has another's certificate", "speaks no TLS", "hangs in the handshake")
FAULTS = (*CONNECTION, *UNKNOWN, *TAKEN, *RETRYABLE, *REJECTING, *TLS)


class FaultyCollector:
    """`become` changes what it does, from the next step on of every connection. With
    `certificates`, the right one and another, it speaks TLS.
    """

    def __init__(self, certificates: tuple[str, str] | None = None) -> None:
        self.received: Counter[str] = Counter()  # spans, by id
        self.named: Counter[str] = Counter()  # the same, by name
        self.invocations: Counter[str] = Counter()  # and by request id
        self.dropped = 0  # what the metrics say of spans
        self.requests = 0
        self._fault = HEALTHY
        self._contexts = [_context(path) for path in certificates] if certificates else []
        # Holds the port while nobody listens.
        self._reserved = _bound(0)
        self.port = self._reserved.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._fillers: list[socket.socket] = []
        self._accepts = threading.Event()
        self._has_stopped = threading.Event()
        self._listen()

    @property
    def url(self) -> str:
        return f"{'https' if self._contexts else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._accepts.set()
        self._stop_listening()
        self._reserved.close()
        for filler in self._fillers:
            filler.close()
        self._hang_up()

    def become(self, fault: str) -> None:
        """Connections that are open go where one would notice."""
        before, self._fault = self._fault, fault
        if before == "refused":
            self._listen()
        if before == "hangs at connect":
            self._accepts.set()
        if fault == "refused":
            self._stop_listening()
        if fault == "hangs at connect":
            self._stop_accepting()
        if fault in {*CONNECTION, *TLS}:
            self._hang_up()

    def end_idle_connections(self) -> None:
        """As a load balancer does with a client that it thinks gone."""
        self._hang_up()

    def _listen(self) -> None:
        self._listener = _bound(self.port)
        self._listener.listen(0)
        self._accepts.set()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _stop_listening(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _stop_accepting(self) -> None:
        """Linux does not answer for a listener whose queue is full."""
        self._has_stopped.clear()
        self._accepts.clear()
        for _ in range(6):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self._fillers.append(filler)
            # The first is still accepted; only then does what is in the queue stay there.
            assert self._has_stopped.wait(10)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with self._lock:
                    self._open.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
                if not self._accepts.is_set():
                    self._has_stopped.set()
                self._accepts.wait()

    def _hang_up(self) -> None:
        with self._lock:
            connections, self._open = self._open, set()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError, IndexError), connection:
            if self._fault == "closes at once":
                return
            if self._fault == "resets at once":
                _reset(connection)
                return
            with self._secured(connection) as wire, wire.makefile("rb") as reader:
                while (request := _read_request(reader)) is not None and self._answer(
                    wire, *request
                ):
                    pass

    def _secured(self, connection: socket.socket) -> socket.socket:
        if self._fault == "hangs in the handshake":
            _wait_for_the_end(connection)
        if not self._contexts or self._fault == "speaks no TLS":
            return connection
        return self._contexts[self._fault == "has another's certificate"].wrap_socket(
            connection, server_side=True
        )

    def _answer(self, wire: socket.socket, path: str, body: bytes) -> bool:
        """Whether another request may follow."""
        self.requests += 1
        fault = self._fault
        if fault in {*UNKNOWN, *CONNECTION}:
            _break_off(wire, fault if path == "/v1/traces" else "")
            return False
        if path == "/v1/metrics":
            self._take_metrics(body)
            wire.sendall(_reply())
            return True
        if fault in {*RETRYABLE, *REJECTING}:
            wire.sendall(_reply(int(fault)))
            return True
        return self._take(wire, fault, body)

    def _take(self, wire: socket.socket, fault: str, body: bytes) -> bool:
        spans = _spans(body)
        rejected = spans[:1] if fault == "takes only a part" else []
        with self._lock:
            self.received.update(span.span_id.hex() for span in spans[len(rejected) :])
            self.named.update(span.name for span in spans[len(rejected) :])
            self.invocations.update(_request_id(span) for span in spans[len(rejected) :])
        response = ExportTraceServiceResponse()
        response.partial_success.rejected_spans = len(rejected)
        reply = _reply(200, response.SerializeToString())
        if fault == "hangs in the body":
            wire.sendall(_reply(200, b"x" * 100)[:-50])
            _wait_for_the_end(wire)
            return False
        if fault == "is slow":
            for byte in reply:
                time.sleep(0.001)
                wire.sendall(bytes((byte,)))
            return True
        wire.sendall(reply)
        return fault != "closes idle connections"

    def _take_metrics(self, body: bytes) -> None:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == "lrap.spans.dropped":
                        with self._lock:
                            self.dropped += sum(point.as_int for point in metric.sum.data_points)


def _break_off(wire: socket.socket, fault: str) -> None:
    if fault == "resets the request":
        _reset(wire)
    elif fault == "is no HTTP":
        wire.sendall(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    elif fault in {"hangs at the head", "hangs in the status line"}:
        wire.sendall(b"HTTP/1.1 20" if "status" in fault else b"")
        _wait_for_the_end(wire)


def _spans(body: bytes) -> list[Any]:
    return [
        span
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _request_id(span: Any) -> str:
    return next(
        (each.value.string_value for each in span.attributes if each.key == "faas.invocation_id"),
        "",
    )


def _bound(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    return made


def _context(path: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def _reply(status: int = 200, body: bytes = b"") -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _wait_for_the_end(connection: socket.socket) -> None:
    while connection.recv(65_536):
        pass


def _read_request(reader: Any) -> tuple[str, bytes] | None:
    line = reader.readline()
    if not line:
        return None
    length = 0
    while (field := reader.readline().strip()) != b"":
        name, _, value = field.decode("latin-1").partition(":")
        if name.lower() == "content-length":
            length = int(value)
    return line.decode("latin-1").split(" ")[1], reader.read(length)
