"""A Runtime API client on a bare socket, for scripted runtimes and extensions; imports nothing that
is slow to start.
"""

from __future__ import annotations

import os
import socket

NEXT = "/2018-06-01/runtime/invocation/next"
EXTENSION = "/2020-01-01/extension"


class Reply:
    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def __getitem__(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")


class Client:
    """One connection to ``api`` (host:port)."""

    def __init__(self, api: str = "") -> None:
        host, port = (api or os.environ["AWS_LAMBDA_RUNTIME_API"]).split(":")
        self.socket = socket.create_connection((host, int(port)))
        self.file = self.socket.makefile("rb")

    def send(self, raw: bytes) -> None:
        self.socket.sendall(raw)

    def receive(self) -> Reply:
        line = self.file.readline()
        if not line:
            raise ConnectionError("closed without a reply")
        status = int(line.split()[1])
        headers = []
        while (line := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("utf-8").rstrip("\r\n").partition(": ")
            headers.append((name, value))
        return Reply(status, headers, self._body(status, dict(headers)))

    def call(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        fields = {
            "Host": "x",
            **({"Content-Length": len(body)} if body or method == "POST" else {}),
            **(headers or {}),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        return self.receive()

    def next(self) -> Reply:
        return self.call("GET", NEXT)

    def respond(
        self,
        request_id: str,
        body: bytes = b"{}",
        headers: dict[str, str] | None = None,
        kind: str = "response",
    ) -> Reply:
        return self.call(
            "POST", f"/2018-06-01/runtime/invocation/{request_id}/{kind}", headers, body
        )

    def register(
        self,
        name: str,
        body: bytes = b'{"events":["INVOKE","SHUTDOWN"]}',
        headers: dict[str, str] | None = None,
    ) -> Reply:
        return self.call(
            "POST",
            f"{EXTENSION}/register",
            {"Lambda-Extension-Name": name, **(headers or {})},
            body,
        )

    def next_event(self, identifier: str) -> Reply:
        return self.call(
            "GET", f"{EXTENSION}/event/next", {"Lambda-Extension-Identifier": identifier}
        )

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def _body(self, status: int, headers: dict[str, str]) -> bytes:
        if headers.get("Transfer-Encoding") == "chunked":
            pieces = []
            while size := int(self.file.readline(), 16):
                pieces.append(self.file.read(size))
                self.file.readline()
            self.file.readline()
            return b"".join(pieces)
        return self.file.read(int(headers.get("Content-Length", 0))) if status >= 200 else b""


def call(
    api: str, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> Reply:
    """One request on a connection of its own."""
    client = Client(api)
    try:
        return client.call(method, path, headers, body)
    finally:
        client.close()
