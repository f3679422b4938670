"""Host names looked up without waiting longer than a deadline."""

import select
from _socket import AI_NUMERICHOST, SOCK_STREAM, gaierror, getaddrinfo
from _thread import start_new_thread

from lrap_otel.ipc.event_fd import new_event_fd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lrap_otel.telemetry.export.deadline import Deadline

    # What getaddrinfo returns for each address: family, type, protocol, canonical name, address.
    Address = tuple[int, int, int, str, Any]
    Resolve = Callable[[bytes, int], list[Address]]


def resolve(host: bytes, port: int) -> "list[Address]":
    """The addresses of a host name, by the system's resolver. It may take as long as it likes."""
    # Bytes: for text, CPython imports its IDNA codec, which costs milliseconds.
    return getaddrinfo(host, port, 0, SOCK_STREAM)


class Lookup:
    """The addresses of one host, by getaddrinfo, which has no time-out and cannot be interrupted.

    So it runs in a thread that is abandoned if it takes too long. The next call waits for the same
    thread: there is never more than one. Nothing waits for it when the process ends.
    """

    __slots__ = ("_host", "_pending", "_port", "_resolve")

    def __init__(self, host: str, port: int, resolver: "Resolve" = resolve) -> None:
        """`host` is ASCII."""
        self._host = host.encode("ascii")
        self._port = port
        self._resolve = resolver
        self._pending: _Pending | None = None

    def addresses(self, deadline: "Deadline") -> "list[Address]":
        """All addresses, in the order in which to try them; at least one.

        Raises gaierror if there is none, TimeoutError if `deadline` comes first, and RuntimeError
        or OSError if no thread or no descriptor is free.
        """
        if self._pending is None:
            try:
                return getaddrinfo(self._host, self._port, 0, SOCK_STREAM, 0, AI_NUMERICHOST)
            except gaierror:
                self._pending = _Pending()
            try:
                start_new_thread(self._pending.run, (self._resolve, self._host, self._port))
            except RuntimeError:
                self._pending = None
                raise
        pending = self._pending
        deadline.wait(pending.event_fd, select.POLLIN)
        self._pending = None
        if pending.error is not None:
            raise pending.error
        return pending.addresses


class _Pending:
    """A lookup under way; `event_fd` is set when it is over."""

    __slots__ = ("addresses", "error", "event_fd")

    def __init__(self) -> None:
        self.event_fd = new_event_fd()
        self.addresses: list[Address] = []
        self.error: OSError | None = None

    def run(self, resolver: "Resolve", host: bytes, port: int) -> None:
        try:
            self.addresses = resolver(host, port)
        except OSError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 - reported as every failure of a lookup is
            self.error = gaierror(0, f"{type(error).__name__}: {error}")
        self.event_fd.set()
