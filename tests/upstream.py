"""A scripted raw-socket peer: what the tests play the Runtime API and the runtime with.

Nothing runs in the background. A test accepts the connections that the proxy makes, reads what came byte for byte, and
answers when the case wants it to.
"""

from __future__ import annotations

import select
import socket
import struct

TIMEOUT_S = 5.0


class Peer:
    """One end of a TCP connection, with a time limit on every wait."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(TIMEOUT_S)
        self._ahead = b""

    def send(self, data: bytes) -> Peer:
        self.socket.sendall(data)
        return self

    def read_head(self) -> bytes:
        """Up to and with the next blank line."""
        while b"\r\n\r\n" not in self._ahead:
            self._ahead += self._receive()
        head, end, self._ahead = self._ahead.partition(b"\r\n\r\n")
        return head + end

    def read(self, length: int) -> bytes:
        while len(self._ahead) < length:
            self._ahead += self._receive()
        data, self._ahead = self._ahead[:length], self._ahead[length:]
        return data

    def read_until(self, ending: bytes) -> bytes:
        """Up to and with `ending`."""
        while ending not in self._ahead:
            self._ahead += self._receive()
        data, end, self._ahead = self._ahead.partition(ending)
        return data + end

    def read_to_end(self) -> bytes:
        """All there is until the other side ends; ConnectionResetError where it resets."""
        while data := self.socket.recv(65_536):
            self._ahead += data
        data, self._ahead = self._ahead, b""
        return data

    def read_message(self) -> tuple[bytes, bytes]:
        """A head and the body that its Content-Length announces."""
        head = self.read_head()
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        return head, self.read(length)

    def has_news(self, wait_s: float = 0.0) -> bool:
        """Bytes or an end have come, or come within `wait_s`."""
        return bool(self._ahead) or bool(select.select([self.socket], [], [], wait_s)[0])

    def end(self) -> None:
        """End this side; the other may still send."""
        self.socket.shutdown(socket.SHUT_WR)

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
    """A listening socket; `accept` hands out what connects, in order."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(TIMEOUT_S)
        self._accepted: list[Peer] = []

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def accept(self) -> Peer:
        peer = Peer(self._listener.accept()[0])
        self._accepted.append(peer)
        return peer

    def has_caller(self, wait_s: float = 0.0) -> bool:
        """Somebody connects, or has."""
        return bool(select.select([self._listener], [], [], wait_s)[0])

    def close(self) -> None:
        self._listener.close()
        for peer in self._accepted:
            peer.close()


def connect(port: int) -> Peer:
    """A connection to the proxy, as a runtime makes it."""
    return Peer(socket.create_connection(("127.0.0.1", port)))
