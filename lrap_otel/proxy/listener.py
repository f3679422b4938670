"""Accepts the runtime's connections: a thread for each."""

import _socket
import _thread
import errno
import posix
import time

from lrap_otel import log
from lrap_otel.http1.errors import CLIENT
from lrap_otel.http1.stream import Stream
from lrap_otel.proxy.exchange import Exchange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lrap_otel.proxy.shared_state import SharedState

# Out of descriptors or threads: until one is free, new connections wait in the kernel's queue.
_PAUSE_S = 0.05
_PASSING_ERRORS = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED, errno.EINTR)
)
# The listener has been closed, or listens no more.
_ENDED_ERRORS = frozenset((errno.EBADF, errno.EINVAL))
# Any other error, accept(2) lists a dozen, may pass as well; it may take longer.
_LONGEST_PAUSE_S = 1.0


def accept_connections(
    listener: _socket.socket, shared: "SharedState", early: "Iterable[_socket.socket]" = ()
) -> None:
    """Serve runtime connections for as long as the listener is open; first those that are `early`,
    accepted before.
    """
    for socket in early:
        _serve(socket, shared)
    has_said, pause_s = False, _PAUSE_S
    while True:
        try:
            descriptor, _ = listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - what `socket.accept` calls; `socket` costs 8 ms
        except (OSError, MemoryError) as error:
            number = error.errno if isinstance(error, OSError) else errno.ENOMEM
            if number in _ENDED_ERRORS:
                return
            if number not in _PASSING_ERRORS:
                if not has_said:
                    log.warning(f"no connection of the runtime is accepted ({error}); trying again")
                has_said, pause_s = True, min(2 * pause_s, _LONGEST_PAUSE_S)
            time.sleep(pause_s)
            continue
        pause_s = _PAUSE_S
        try:
            socket = _socket.socket(fileno=descriptor)
        except (OSError, MemoryError) as error:
            _warn(error)
            posix.close(descriptor)
            continue
        _serve(socket, shared)


def _serve(socket: _socket.socket, shared: "SharedState") -> None:
    """In a thread of its own, as soon as one can start."""
    pause_s = _PAUSE_S
    while error := _start(socket, shared):
        if pause_s == _PAUSE_S:
            log.warning(f"a connection waits to be served ({error}); trying again")
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _start(socket: _socket.socket, shared: "SharedState") -> "Exception | None":
    """The error if no thread can start now: were the connection closed, the runtime would end."""
    try:
        socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        _thread.start_new_thread(Exchange(Stream(socket, CLIENT), shared).serve, ())
    except OSError as error:
        _warn(error)
        socket.close()
    except (RuntimeError, MemoryError) as error:
        return error
    return None


def _warn(error: Exception) -> None:
    log.warning(f"a connection could not be served: {error}")
