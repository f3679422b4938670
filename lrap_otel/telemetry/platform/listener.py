"""The HTTP server to which Lambda delivers the Telemetry API's events. It has one answer, 200.

After any other answer, or none, Lambda would only send the same batch again.
"""

from __future__ import annotations

import _socket
from _thread import allocate_lock, start_new_thread
from time import sleep, time_ns

from lrap_otel.telemetry.heads import Head
from lrap_otel.telemetry.message_reader import MessageReader
from lrap_otel.telemetry.record_queue import Batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

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
        """Serve the connection. If there are too many, the oldest ends. RuntimeError if there is no
        thread for it.
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
            reader = MessageReader(lambda: connection.recv(_RECEIVE_BYTES))
            while (raw := reader.head()) is not None:
                head = Head(raw)
                if head.get("expect"):
                    connection.sendall(_GO_ON)
                body, is_whole = reader.body(head, default_length="0")
                if not is_whole:
                    return
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
