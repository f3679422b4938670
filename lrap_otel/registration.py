"""The registration, and the Extensions API with little code: enough to live on if the rest fails.

Loaded before the extension registers, so this file imports what a bare interpreter has loaded.
"""

import _socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.settings import Settings

_CONNECT_TIMEOUT_S = 5.0
_HEAD_LIMIT_BYTES = 65_536
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 30.0

_REGISTER = (
    "POST /2020-01-01/extension/register HTTP/1.1\r\n"
    "Host: {host}\r\n"
    "Lambda-Extension-Name: {name}\r\n"
    "Lambda-Extension-Accept-Feature: accountId\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: {length}\r\n"
    "\r\n"
    "{body}"
)
# As they stand in an event, which may come in pieces.
_EVENT_TYPES = (b'"INVOKE"', b'"SHUTDOWN"')
_NEXT = (
    b"GET /2020-01-01/extension/event/next HTTP/1.1\r\nHost: %s\r\n"
    b"Lambda-Extension-Identifier: %s\r\n\r\n"
)


def extension_name(script: str, settings: "Settings") -> str:
    """The name to register: Lambda wants the base name of the file in its extensions folder."""
    folder, _, name = script.rpartition("/")
    if folder.rpartition("/")[2] == "extensions":
        return name
    return settings.extension_name


def register_request(settings: "Settings", name: str, *, takes_invoke: bool) -> bytes:
    """The request that registers `name`; `takes_invoke`: for INVOKE events as well as SHUTDOWN."""
    body = '{"events":["INVOKE","SHUTDOWN"]}' if takes_invoke else '{"events":["SHUTDOWN"]}'
    host = "{}:{}".format(*settings.extensions_api or ())
    return _REGISTER.format(host=host, name=name, length=len(body), body=body).encode(
        "latin-1", "replace"
    )


class Registration:
    """The Extensions API with little code, enough to live on if the rest fails.

    `api` is the connection that carries the register request. OSError where nobody answers at
    `address`.
    """

    __slots__ = ("_identifier", "address", "api")

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.api = _connect(address)
        self._identifier = b""

    def look(self) -> None:
        """Wait for the register reply and remember the identifier in it; the reply stays unread."""
        head = self.api.recv(_HEAD_LIMIT_BYTES, _socket.MSG_PEEK)
        for line in head.partition(b"\r\n\r\n")[0].split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"lambda-extension-identifier":
                self._identifier = value.strip()

    def wait_for_shutdown(self) -> int:
        """Ask for one event after the other until SHUTDOWN.

        Returns the exit status: 1 if Lambda has not registered us.
        """
        if not self._identifier:
            self.look()
        pause_s = _FIRST_PAUSE_S
        while self._identifier:
            try:
                event = self._next_event()
            except OSError:
                event = b""
            if b'"SHUTDOWN"' in event:
                return 0
            if event:
                pause_s = _FIRST_PAUSE_S
            else:
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        return 1

    def _next_event(self) -> bytes:
        """An event's JSON; empty where Lambda does not give any."""
        api = _connect(self.address)
        host = "{}:{}".format(*self.address).encode()
        api.sendall(_NEXT % (host, self._identifier))
        reply = b""
        while more := api.recv(_HEAD_LIMIT_BYTES):
            reply += more
            head, blank, body = reply.partition(b"\r\n\r\n")
            if blank and b" 200 " not in head[:13]:
                return b""
            if any(event_type in body for event_type in _EVENT_TYPES):
                return body
        return b""


def _connect(address: tuple[str, int]) -> _socket.socket:
    api = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    api.settimeout(_CONNECT_TIMEOUT_S)
    api.connect(address)
    api.settimeout(None)  # whatever is asked from now on may be answered in hours
    return api
