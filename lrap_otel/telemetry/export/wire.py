"""A connected socket, plain or with TLS, whose operations end at a deadline."""

import _socket
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _ssl
    from collections.abc import Callable
    from typing import Any, TypeVar

    from lrap_otel.telemetry.export.deadline import Deadline
    from lrap_otel.telemetry.export.lookup import Address
    from lrap_otel.telemetry.export.tls import Tls

    T = TypeVar("T")

_READ_BYTES = 65_536
# SIOCOUTQ. Source: tcp(7), "Ioctls".
_UNACKNOWLEDGED_BYTES = 0x5411
# What TLS raises instead of BlockingIOError. By name: most collectors need no TLS to be loaded.
_TLS_WAITS = {"SSLWantReadError": select.POLLIN, "SSLWantWriteError": select.POLLOUT}


class _Socket(_socket.socket):
    """One that can be referred to weakly, as TLS wants it."""


class Wire:
    """A connection. Every method but `close` and `has_ended` raises TimeoutError at `deadline`."""

    __slots__ = ("_socket", "_tls")

    def __init__(self, address: "Address", deadline: "Deadline") -> None:
        """Connect. OSError if that fails."""
        family, kind, protocol, _, where = address
        self._tls: Any = None
        self._socket = _Socket(family, kind, protocol)
        try:
            self._socket.setblocking(False)
            # Called again once the socket is writable, `connect` says how it went.
            self._patiently(lambda: self._socket.connect(where), select.POLLOUT, deadline)
            self._socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        except OSError:
            self.close()
            raise

    def secure(
        self, tls: "Tls", host: str, session: "_ssl.SSLSession | None", deadline: "Deadline"
    ) -> None:
        """Go on with TLS. OSError (`_ssl.SSLError`) if the handshake fails."""
        self._tls = tls.wrap(self._socket, host, session)
        self._patiently(self._tls.do_handshake, select.POLLIN, deadline)

    @property
    def session(self) -> "_ssl.SSLSession | None":
        """What makes the next handshake shorter. The server sends it after the handshake."""
        session: _ssl.SSLSession | None = self._tls.session if self._tls is not None else None
        return session

    def send(self, data: bytes, deadline: "Deadline") -> None:
        """Send all of it. OSError if the connection breaks."""
        left = memoryview(data)
        write = self._socket.send if self._tls is None else self._tls.write
        while left:
            left = left[self._patiently(lambda: write(left), select.POLLOUT, deadline) :]  # noqa: B023 - called at once

    def receive(self, deadline: "Deadline") -> bytes:
        """The next bytes; none if the connection has ended, in whichever way."""
        read: Any = self._socket.recv if self._tls is None else self._tls.read
        try:
            data: bytes = self._patiently(lambda: read(_READ_BYTES), select.POLLIN, deadline)
        except TimeoutError:
            raise
        except OSError:
            return b""
        return data

    def await_answer(self, deadline: "Deadline") -> None:
        """Wait until there is something to read."""
        if self._tls is None or not self._tls.pending():
            deadline.wait(self._socket, select.POLLIN)

    def has_ended(self) -> bool:
        """Whether an idle connection cannot be used any more.

        The server has closed it, or it holds a reply to nothing. TLS session tickets do not count.
        """
        try:
            if self._tls is None:
                self._socket.recv(1)
            else:
                self._tls.read(1)
        except OSError as error:
            return not isinstance(error, BlockingIOError) and type(error).__name__ not in _TLS_WAITS
        return True

    def is_acknowledged(self) -> bool:
        """Whether the other end's system has acknowledged all that was sent. True if unknown."""
        try:
            from fcntl import ioctl  # noqa: PLC0415 - for a connection that has died alone

            left = ioctl(self._socket, _UNACKNOWLEDGED_BYTES, bytes(4))
        except (ImportError, OSError):
            return True
        return not any(left)

    def close(self) -> None:
        """Close it."""
        self._tls = None
        self._socket.close()

    def _patiently(self, operation: "Callable[[], T]", events: int, deadline: "Deadline") -> "T":
        """The result of `operation`, called until it need not wait for `events` or for TLS."""
        while True:
            try:
                return operation()
            except OSError as error:
                awaited = (
                    events
                    if isinstance(error, BlockingIOError)
                    else _TLS_WAITS.get(type(error).__name__)
                )
                if awaited is None:
                    raise
            if deadline.has_come():
                raise TimeoutError
            deadline.wait(self._socket, awaited)
