"""The Extensions API, spoken over one connection that is opened before anything else is loaded."""

import _socket
import select
import time

from lrap_otel import log
from lrap_otel.http1.bodies import dechunk
from lrap_otel.http1.errors import SERVER, DisconnectedError, RemoteProtocolError
from lrap_otel.http1.heads import CHUNKED, Response
from lrap_otel.http1.stream import Stream
from lrap_otel.text import json_scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# The pauses between attempts after a failure: the first, doubled each time up to the longest. An
# extension that does not ask for events keeps its sandbox busy, so the first is short.
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 30.0
# How many different failures are logged.
_SAID_LIMIT = 8

# Far above any reply: what Lambda says of an invocation is a few hundred bytes.
_REPLY_LIMIT_BYTES = 1_048_576
# Lambda freezes a sandbox within a few milliseconds.
_LOOK_MS = 10
_QUIET_LOOKS = 5

_NEXT = (
    "GET /2020-01-01/extension/event/next HTTP/1.1\r\nHost: {host}\r\n"
    "Lambda-Extension-Identifier: {identifier}\r\n\r\n"
)


class RefusedError(Exception):
    """Lambda refused the registration."""


class Client:
    """One registered extension. `stream` is the connection that carried the register request.

    `identifier` is what Lambda knows it by, once it has been read.
    """

    __slots__ = ("_address", "_request", "_retry_pause_s", "_said", "_stream", "identifier")

    def __init__(
        self, stream: Stream, address: tuple[str, int], retry_pause_s: float = _FIRST_PAUSE_S
    ) -> None:
        self._stream = stream
        self._address = address
        self._retry_pause_s = retry_pause_s
        self._request = b""
        self.identifier = ""
        self._said: set[str] = set()

    def read_registration(self) -> dict[str, object]:
        """Wait for the register reply: ``functionName``, ``functionVersion``, ``handler`` and
        perhaps ``accountId``.

        Raises `RefusedError` if Lambda refuses; `DisconnectedError`, `RemoteProtocolError` or
        OSError if the connection breaks.
        """
        reply, body = _read_reply(self._stream)
        if reply.status != 200:
            raise RefusedError(
                f"Lambda refused the registration with {reply.status}: {body[:300]!r}"
            )
        self.identifier = reply.fields.get(b"lambda-extension-identifier", b"").decode("latin-1")
        self._request = _NEXT.format(host=self._address[0], identifier=self.identifier).encode(
            "latin-1"
        )
        return _object(body)

    def next_event(self, when_quiet: "Callable[[], None] | None" = None) -> dict[str, object]:
        """Wait, however long it takes, for an INVOKE or SHUTDOWN event.

        It never gives up: an extension that ends before SHUTDOWN takes the sandbox with it.
        `when_quiet` is called once it is clear that the sandbox goes on running with nothing to do.
        Each kind of failure is logged once.
        """
        pause_s = self._retry_pause_s
        while True:
            try:
                self._stream.send(self._request)
                if when_quiet is not None and self._is_quiet():
                    when_quiet()
                reply, body = _read_reply(self._stream)
                if reply.status == 200:
                    return _object(body)
                self._say_once(f"event/next was answered with {reply.status}")
            except (DisconnectedError, RemoteProtocolError, OSError) as error:
                self._say_once(f"event/next failed ({error})")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            self._reconnect()

    def _say_once(self, what: str) -> None:
        if what not in self._said and len(self._said) < _SAID_LIMIT:
            self._said.add(what)
            log.warning(f"{what}; asking again, less and less often")

    def _is_quiet(self) -> bool:
        """Whether nothing comes while this process runs for a while; a freeze in between, however
        long, counts as one look.
        """
        poll = select.poll()
        poll.register(self._stream.socket, select.POLLIN)
        return not any(poll.poll(_LOOK_MS) for _ in range(_QUIET_LOOKS))

    def _reconnect(self) -> None:
        self._stream.close()
        try:
            socket = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
            self._stream = Stream(socket, SERVER)
            socket.connect(self._address)
        except OSError:
            return  # out of descriptors, or nobody there: the next send fails and says so


def _read_reply(stream: Stream) -> tuple[Response, bytes]:
    raw = stream.read_head()
    if not raw:
        raise DisconnectedError(SERVER, "Lambda closed the connection")
    reply = Response(raw, b"GET")
    pieces = stream.read_body(reply, _REPLY_LIMIT_BYTES)
    if pieces is None:
        raise RemoteProtocolError(SERVER, "Lambda's reply is too long")
    return reply, bytes(dechunk(pieces)) if reply.body_length == CHUNKED else b"".join(pieces)


def _object(body: bytes) -> dict[str, object]:
    """A JSON object; an empty one if Lambda sent something else."""
    try:
        value = json_scan.loads(body.decode("utf-8", "replace"))
    except ValueError:
        value = None
    if isinstance(value, dict):
        return value
    log.warning("Lambda's reply is not a JSON object")
    return {}
