"""A collector: receives OTLP over HTTP, keeps the requests, and misbehaves on demand."""

from __future__ import annotations

import gzip
import socket
import threading
from collections import Counter
from contextlib import suppress
from queue import Queue
from typing import TYPE_CHECKING, NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from typing import Any, Self

PATIENCE_S = 90


class Post(NamedTuple):
    connection: int
    path: str
    fields: dict[str, str]
    body: bytes

    @property
    def content(self) -> bytes:
        return (
            gzip.decompress(self.body)
            if self.fields.get("content-encoding") == "gzip"
            else self.body
        )

    def traces(self) -> ExportTraceServiceRequest:
        return ExportTraceServiceRequest.FromString(self.content)

    def logs(self) -> ExportLogsServiceRequest:
        return ExportLogsServiceRequest.FromString(self.content)

    def metrics(self) -> ExportMetricsServiceRequest:
        return ExportMetricsServiceRequest.FromString(self.content)


def reply(status: int = 200, body: bytes = b"", fields: str = "") -> bytes:
    """The bytes of a plain reply; `fields` are whole lines."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/x-protobuf\r\nContent-Length: {len(body)}\r\n{fields}\r\n"
    return head.encode() + body


# What a script may return instead of bytes to send.
HANG, DROP = "hang", "drop"


class Collector:
    """A collector. `script` is called for each POST with its number, from 0, among those to its
    path. It returns the bytes to answer, a list of pieces to send one after the other, HANG, or
    DROP (close without an answer).
    """

    def __init__(
        self,
        script: Callable[[int, Post], Any] = lambda number, post: reply(),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.posts: Queue[Post] = Queue()
        self._passed_over: list[Post] = []
        self._script = script
        self._tls = tls
        self._numbers: Counter[str] = Counter()
        self._connections = 0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def next(self, path: str = "") -> Post:
        """The next POST (to `path`). POSTs to other paths are kept for later calls."""
        passed_over = []
        while not (post := self._take()).path.endswith(path):
            passed_over.append(post)
        self._passed_over = passed_over + self._passed_over
        return post

    def received(self, path: str = "") -> list[Post]:
        """Every POST (to `path`) that has arrived and has not been returned before."""
        posts = [self._take() for _ in range(len(self._passed_over) + self.posts.qsize())]
        return [post for post in posts if post.path.endswith(path)]

    def _take(self) -> Post:
        return self._passed_over.pop(0) if self._passed_over else self.posts.get(timeout=PATIENCE_S)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self._start_serving(self._listener.accept()[0])

    def _start_serving(self, connection: socket.socket) -> None:
        self._connections += 1
        self._open.append(connection)
        self._threads.append(
            threading.Thread(target=self._serve, args=(connection, self._connections))
        )
        self._threads[-1].start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with suppress(OSError), connection:
            wire = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            self._open.append(wire)
            with wire, wire.makefile("rb") as reader:
                while (post := _read_post(reader, number)) is not None and self._answer(wire, post):
                    pass

    def _answer(self, wire: socket.socket, post: Post) -> bool:
        number = self._numbers[post.path]
        self._numbers[post.path] += 1
        answer = self._script(number, post)
        if answer == HANG:
            self.posts.put(post)
            wire.recv(1)
            return False
        if answer == DROP:
            self.posts.put(post)
            return False
        # Kept before it is answered, so that it is found by anybody who has the answer.
        self.posts.put(post)
        pieces = answer if isinstance(answer, list) else [answer]
        for piece in pieces:
            wire.sendall(piece)
        return b"connection: close" not in b"".join(pieces).lower()


def _read_post(reader: Any, connection: int) -> Post | None:
    line = reader.readline()
    if not line:
        return None
    fields = {}
    while (field := reader.readline().strip()) != b"":
        name, _, value = field.decode().partition(":")
        fields[name.lower()] = value.strip()
    body = reader.read(int(fields["content-length"]))
    return Post(connection, line.decode().split(" ")[1], fields, body)
