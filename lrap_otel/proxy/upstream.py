"""Connections to the Runtime API, kept alive and handed from one runtime connection to the next."""

import _socket
import errno

from lrap_otel import log
from lrap_otel.http1.errors import SERVER
from lrap_otel.http1.stream import Stream

# What a runtime's own client gives a connect. Nothing after that has a limit, neither there nor
# here.
CONNECT_TIMEOUT_S = 1.0
# Of these an address is not the cause.
_OUR_ERRORS = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)
)


class Upstream:
    """The Runtime API at one address.

    `snapshot_generation` counts how often this sandbox came out of a snapshot. `lambdas` is the
    address that Lambda itself gives. If ours is another one and nobody answers there, `lambdas` is
    used from then on: a function without the proxy in front of us is better than none.
    """

    __slots__ = ("_address", "_idle", "_lambdas", "snapshot_generation")

    def __init__(self, address: tuple[str, int], lambdas: tuple[str, int] | None = None) -> None:
        self._address = address
        self._lambdas = lambdas or address
        self._idle: list[Stream] = []
        self.snapshot_generation = 0

    def connect(self) -> Stream:
        """A new connection; OSError where nobody answers."""
        address = self._address
        try:
            return self._connect_to(address)
        except OSError as error:
            if address == self._lambdas or error.errno in _OUR_ERRORS:
                raise
            stream = self._connect_to(self._lambdas)
            if self._address == address:  # else another thread has found out as well
                self._address = self._lambdas
                log.warning(
                    f"LRAP_RUNTIME_API_ENDPOINT={address[0]}:{address[1]} does not answer "
                    f"({error}); from now on the runtime's "
                    "calls go to AWS_LAMBDA_RUNTIME_API"
                )
            return stream

    def _connect_to(self, address: tuple[str, int]) -> Stream:
        socket = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            socket.settimeout(CONNECT_TIMEOUT_S)
            socket.connect(address)
            socket.settimeout(None)
            socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        except OSError:
            socket.close()
            raise
        return Stream(socket, SERVER, self.snapshot_generation)

    def acquire(self) -> Stream | None:
        """An idle connection that is still open."""
        while self._idle:
            try:
                stream = self._idle.pop()
            except IndexError:  # another thread took the last one
                return None
            if self.is_usable(stream):
                return stream
            stream.close()
        return None

    def is_usable(self, stream: Stream) -> bool:
        """Nothing is left over on it, it is still open, and it was not made before the snapshot:
        such sockets lead nowhere.
        """
        return stream.snapshot_generation == self.snapshot_generation and stream.is_quiet()

    def release(self, stream: Stream) -> None:
        """Keep a connection on which nothing is under way."""
        self._idle.append(stream)
