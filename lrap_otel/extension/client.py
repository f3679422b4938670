"""The Extensions API, spoken over one connection that is opened before anything else is loaded."""

import _socket
import select
import time

from lrap_otel import json_scan, log
from lrap_otel.proxy.http1 import CHUNKED, UNTIL_CLOSE, ProtocolError, Response, body_of, dechunk
from lrap_otel.proxy.stream import RECEIVE_BYTES, BrokenError, Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Lambda freezes a sandbox within a few milliseconds.
_LOOK_MS = 10
_QUIET_LOOKS = 5

_NEXT = (
    "GET /2020-01-01/extension/event/next HTTP/1.1\r\nHost: {host}\r\nLambda-Extension-Identifier: {identifier}\r\n\r\n"
)


class RefusedError(Exception):
    """Lambda refused the registration."""


class Client:
    """One registered extension. `stream` is the connection that carried the register request."""

    __slots__ = ("_address", "_request", "_retry_pause_s", "_stream")

    def __init__(self, stream: Stream, address: tuple[str, int], retry_pause_s: float = 1.0) -> None:
        self._stream = stream
        self._address = address
        self._retry_pause_s = retry_pause_s
        self._request = b""

    def read_registration(self) -> dict[str, object]:
        """Wait for the register reply: ``functionName``, ``functionVersion``, ``handler`` and perhaps ``accountId``.

        `RefusedError` where Lambda says no, `BrokenError` or OSError where it goes away.
        """
        reply, body = _read_reply(self._stream)
        if reply.status != 200:
            raise RefusedError(f"Lambda refused the registration with {reply.status}: {body[:300]!r}")
        identifier = reply.fields.get(b"lambda-extension-identifier", b"").decode("latin-1")
        self._request = _NEXT.format(host=self._address[0], identifier=identifier).encode("latin-1")
        return _object(body)

    def next_event(self, when_quiet: "Callable[[], None] | None" = None) -> dict[str, object]:
        """Wait, however long it takes, for an INVOKE or SHUTDOWN event.

        It never gives up: an extension that ends before SHUTDOWN takes the sandbox with it. `when_quiet` is called once
        it is clear that the sandbox goes on running with nothing to do.
        """
        while True:
            try:
                self._stream.send(self._request)
                if when_quiet is not None and self._is_quiet():
                    when_quiet()
                reply, body = _read_reply(self._stream)
                if reply.status == 200:
                    return _object(body)
                log.warning(f"event/next was answered with {reply.status}; asking again")
            except (BrokenError, OSError) as error:
                log.warning(f"event/next failed ({error}); asking again")
            time.sleep(self._retry_pause_s)
            self._reconnect()

    def _is_quiet(self) -> bool:
        """Nothing comes in a while in which we run; a freeze in between, however long, counts as one look."""
        poll = select.poll()
        poll.register(self._stream.socket, select.POLLIN)
        return not any(poll.poll(_LOOK_MS) for _ in range(_QUIET_LOOKS))

    def _reconnect(self) -> None:
        self._stream.close()
        try:
            socket = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
            self._stream = Stream(socket)
            socket.connect(self._address)
        except OSError:
            return  # out of descriptors, or nobody there: the next send fails and says so


def _read_reply(stream: Stream) -> tuple[Response, bytes]:
    try:
        raw = stream.read_head()
        if not raw:
            raise BrokenError("Lambda closed the connection")
        reply = Response(raw, b"GET")
        body, framing = bytearray(), body_of(reply)
        while not framing.is_complete:
            data = stream.take_ahead() or stream.socket.recv(RECEIVE_BYTES)
            if not data and reply.body_length == UNTIL_CLOSE:
                break
            if not data:
                raise BrokenError("Lambda broke off its reply")
            used = framing.take(data)
            body += data[:used]
            stream.ahead = data[used:]
    except ProtocolError as error:
        raise BrokenError(str(error)) from error
    return reply, bytes(dechunk([bytes(body)])) if reply.body_length == CHUNKED else bytes(body)


def _object(body: bytes) -> dict[str, object]:
    """A JSON object; an empty one where Lambda sent something else."""
    try:
        value = json_scan.loads(body.decode("utf-8", "replace"))
    except ValueError:
        value = None
    if isinstance(value, dict):
        return value
    log.warning("Lambda's reply is not a JSON object")
    return {}
