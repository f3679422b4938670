"""A scripted raw-socket peer, with which tests play the Runtime API and the runtime.

Nothing runs in the background. A test accepts the proxy's connections, reads the bytes that came,
and answers when the case requires it.
"""

from __future__ import annotations

import select
import socket
import struct

TIMEOUT_S = 5.0
# How long a test waits for something that must not come.
QUIET_S = 0.05


def is_readable(source: socket.socket, wait_s: float) -> bool:
    """Whether the socket becomes readable within `wait_s`."""
    poll = select.poll()
    poll.register(source, select.POLLIN)
    return bool(poll.poll(wait_s * 1_000))


class Peer:
    """One end of a TCP connection, with a time limit on every wait."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ahead = b""

    def send(self, data: bytes) -> Peer:
        self.socket.sendall(data)
        return self

    def send_bytewise(self, data: bytes) -> Peer:
        """Send one segment for each byte, if the kernel does not join them."""
        for position in range(len(data)):
            self.socket.sendall(data[position : position + 1])
        return self

    def read_head(self) -> bytes:
        """Read up to and including the next blank line."""
        return self.read_until(b"\r\n\r\n")

    def read(self, length: int) -> bytes:
        pieces = [self._ahead]
        missing = length - len(self._ahead)
        while missing > 0:
            pieces.append(self._receive())
            missing -= len(pieces[-1])
        data = b"".join(pieces)
        self._ahead = data[length:]
        return data[:length]

    def read_until(self, ending: bytes) -> bytes:
        """Read up to and including `ending`."""
        while ending not in self._ahead:
            self._ahead += self._receive()
        data, end, self._ahead = self._ahead.partition(ending)
        return data + end

    def read_to_end(self) -> bytes:
        """Read until the other side ends. Raises ConnectionResetError if it resets."""
        while data := self.socket.recv(65_536):
            self._ahead += data
        data, self._ahead = self._ahead, b""
        return data

    def read_to_any_end(self) -> tuple[bytes, bool]:
        """Read until the other side ends or resets. Returns the bytes, and whether it
        was a reset.
        """
        try:
            return self.read_to_end(), False
        except ConnectionResetError:
            data, self._ahead = self._ahead, b""
            return data, True

    def read_message(self) -> tuple[bytes, bytes]:
        """Read a head and the body of its Content-Length."""
        head = self.read_head()
        return head, self.read(int(field(head, "content-length") or 0))

    def has_news(self, wait_s: float = QUIET_S) -> bool:
        """Whether bytes or an end arrive within `wait_s`."""
        return bool(self._ahead) or is_readable(self.socket, wait_s)

    def has_ended(self) -> bool:
        """Whether the other side has ended or reset, with everything it sent read."""
        try:
            return self.has_news(0) and not self._ahead and not self.socket.recv(1, socket.MSG_PEEK)
        except ConnectionResetError:
            return True

    def end(self) -> Peer:
        """End this side; the other side may still send."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _receive(self) -> bytes:
        data = self.socket.recv(65_536)
        if not data:
            raise EOFError(f"the connection ended after {self._ahead[-200:]!r}")
        return data


class Upstream:
    """A listening socket; `accept` returns its connections in order."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1_024)
        self._listener.settimeout(TIMEOUT_S)
        self._accepted: list[Peer] = []

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def accept(self) -> Peer:
        peer = Peer(self._listener.accept()[0])
        self._accepted.append(peer)
        return peer

    def has_caller(self, wait_s: float = QUIET_S) -> bool:
        """Whether somebody connects within the wait."""
        return is_readable(self._listener, wait_s)

    def close(self) -> None:
        self._listener.close()
        for peer in self._accepted:
            peer.close()


def connect(port: int) -> Peer:
    """A connection to the proxy, as a runtime makes it."""
    return Peer(socket.create_connection(("127.0.0.1", port)))


def field(head: bytes, name: str) -> bytes | None:
    """The value of the first field of this name, in any case."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name.encode():
            return value.strip()
    return None


def lines(head: bytes) -> list[bytes]:
    """The lines of a head, or of a message's head, without the blank one."""
    return head.partition(b"\r\n\r\n")[0].split(b"\r\n")
