"""Where Lambda delivers what the Telemetry API has to say: an HTTP server with one answer, 200.

Any other answer, and none, would only bring the same batch again.
"""

from __future__ import annotations

import _socket
from _thread import allocate_lock, start_new_thread
from time import sleep, time_ns

from lrap_otel.telemetry.bodies import dechunk
from lrap_otel.telemetry.heads import Head
from lrap_otel.telemetry.record_queue import Batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_HEAD_LIMIT_BYTES = 65_536
# A batch has up to twice the largest buffer, 1 MiB, and a little more.
BODY_LIMIT_BYTES = 4 * 1024 * 1024
_RECEIVE_BYTES = 65_536
# Lambda needs one; anybody else in the sandbox may connect, too.
_CONNECTIONS_LIMIT = 16
# Out of descriptors or threads: until one is free, connections wait in the kernel's queue.
_PAUSE_S = 0.1
_EBADF, _EINVAL = 9, 22
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"


class Listener:
    """Hands each batch to `put`, which must not take long, and answers it. A thread for each
    connection.
    """

    __slots__ = ("_connections", "_lock", "_put", "_socket")

    def __init__(self, socket: _socket.socket, put: Callable[[Batch], None]) -> None:
        """`socket` listens already."""
        self._socket = socket
        self._put = put
        self._lock = allocate_lock()
        self._connections: list[_socket.socket] = []

    def start(self) -> None:
        """Serve from now on, on threads that do not keep the process alive."""
        start_new_thread(self._accept, ())

    def _accept(self) -> None:
        while self._accept_one():
            pass

    def _accept_one(self) -> bool:
        """False once no more can come."""
        try:
            descriptor, _ = self._socket._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - what `socket.accept` calls; `socket` costs 8 ms
            self._take(_socket.socket(fileno=descriptor))
        except OSError as error:
            if error.errno in {_EBADF, _EINVAL}:
                return False
            sleep(_PAUSE_S)
        except RuntimeError:
            sleep(_PAUSE_S)
        return True

    def _take(self, connection: _socket.socket) -> None:
        """Serve it. If there are too many, the oldest ends. RuntimeError if there is no thread for
        it.
        """
        with self._lock:
            self._connections.append(connection)
            oldest = (
                self._connections.pop(0) if len(self._connections) > _CONNECTIONS_LIMIT else None
            )
        if oldest is not None:
            _shut(oldest)
        try:
            start_new_thread(self._serve, (connection,))
        except RuntimeError:
            self._forget(connection)
            raise

    def _serve(self, connection: _socket.socket) -> None:
        try:
            ahead = b""
            while (request := _read_request(connection, ahead)) is not None:
                body, ahead = request
                if body:
                    self._put(Batch(time_ns(), body))
                connection.sendall(_ANSWER)
        except Exception:  # noqa: BLE001 - whatever it was, the other connections count
            return
        finally:
            self._forget(connection)

    def _forget(self, connection: _socket.socket) -> None:
        with self._lock:
            if connection in self._connections:
                self._connections.remove(connection)
        connection.close()


def _shut(connection: _socket.socket) -> None:
    try:
        connection.shutdown(2)
    except OSError:
        return


def _read_request(connection: _socket.socket, received: bytes) -> tuple[bytes, bytes] | None:
    """The next request's body, and what came after it. None at the end, and of what is
    no request.
    """
    while (end := received.find(b"\r\n\r\n")) < 0:
        if len(received) > _HEAD_LIMIT_BYTES:
            return None
        more = connection.recv(_RECEIVE_BYTES)
        if not more:
            return None
        received += more
    head, received = Head(received[:end]), received[end + 4 :]
    if head.get("expect"):
        connection.sendall(_GO_ON)
    if head.is_chunked:
        return _read_chunks(connection, received)
    length = head.get("content-length") or "0"
    if not (length.isascii() and length.isdigit() and len(length) < 10):
        return None
    return _read_length(connection, received, int(length))


def _read_length(
    connection: _socket.socket, received: bytes, length: int
) -> tuple[bytes, bytes] | None:
    """A longer body than any batch has is read and left out."""
    if len(received) >= length:
        return received[:length], received[length:]
    parts = [received]
    size = len(received)
    while size < length:
        more = connection.recv(min(_RECEIVE_BYTES, length - size))
        if not more:
            return None
        size += len(more)
        if length <= BODY_LIMIT_BYTES:
            parts.append(more)
    return (b"".join(parts) if length <= BODY_LIMIT_BYTES else b""), b""


def _read_chunks(connection: _socket.socket, received: bytes) -> tuple[bytes, bytes] | None:
    """Nothing may come after it before it is answered, so the end of what is there is where it
    ends.
    """
    data = bytearray(received)
    while not data.endswith(b"0\r\n\r\n"):
        more = connection.recv(_RECEIVE_BYTES)
        if not more or len(data) > BODY_LIMIT_BYTES:
            return None
        data += more
    return dechunk(bytes(data))[0], b""
