"""Asks Lambda for the Telemetry API's events, to be delivered to the telemetry process.

Source: AWS Lambda, "Lambda Telemetry API reference", "Subscribe".
"""

import _socket
import select

from lrap_otel import log
from lrap_otel.ipc.telemetry_port import SANDBOX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SCHEMA = "2025-01-29"
# Events of the platform are few, and each is wanted soon; lines of logs are many. Both within what
# Lambda allows.
_SMALL_BUFFER = '{"maxItems":1000,"maxBytes":262144,"timeoutMs":25}'
_LARGE_BUFFER = '{"maxItems":10000,"maxBytes":1048576,"timeoutMs":100}'
_REQUEST = (
    "PUT /2022-07-01/telemetry HTTP/1.1\r\n"
    "Host: {host}\r\n"
    "Lambda-Extension-Identifier: {identifier}\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: {length}\r\n"
    "\r\n"
    "{body}"
)
_ANSWER_LIMIT_BYTES = 4_096
_SAID_CHARACTERS = 200
_CONNECT_S = 0.25
# Lambda takes subscriptions until we ask for our first event. It answers within a few milliseconds,
# while the runtime starts.
_AFTER_RUNTIME_MS, _LIMIT_MS, _LOOK_AGAIN_MS = 20, 250, 2


class Subscription:
    """One request on its way, on a connection of its own: if that breaks, the connection on which
    events are asked for does not.
    """

    __slots__ = ("_socket",)

    def __init__(
        self, address: tuple[str, int], identifier: str, port: int, types: "Sequence[str]"
    ) -> None:
        """Send it; OSError if it cannot be sent. `port`: events are to be delivered to it."""
        quoted = ",".join([f'"{each}"' for each in types])
        body = (
            f'{{"schemaVersion":"{_SCHEMA}","types":[{quoted}],'
            f'"buffering":{_SMALL_BUFFER if len(types) == 1 else _LARGE_BUFFER},'
            f'"destination":{{"protocol":"HTTP","URI":"http://{SANDBOX}:{port}"}}}}'
        )
        request = _REQUEST.format(
            host="{}:{}".format(*address), identifier=identifier, length=len(body), body=body
        )
        self._socket = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        self._socket.settimeout(_CONNECT_S)
        self._socket.connect(address)
        self._socket.sendall(request.encode("latin-1", "replace"))

    def settle(self, has_runtime_asked: "Callable[[], bool]") -> bool:
        """Wait for the answer while the runtime starts, and hardly any longer; warn if there is
        none or it is a refusal. Returns whether Lambda has agreed, as far as is known.
        """
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        waited_ms = asked_ms = 0
        while not poll.poll(_LOOK_AGAIN_MS):
            waited_ms += _LOOK_AGAIN_MS
            asked_ms += _LOOK_AGAIN_MS if has_runtime_asked() else 0
            if asked_ms >= _AFTER_RUNTIME_MS or waited_ms >= _LIMIT_MS:
                log.warning(
                    "the Telemetry API does not answer; what only the platform knows may be missing"
                )
                return True
        try:
            answer = self._socket.recv(_ANSWER_LIMIT_BYTES).decode("latin-1")
        except OSError as error:
            log.warning(
                f"the Telemetry API broke off ({error}); what only the platform knows is missing"
            )
            return False
        status = answer.partition("\r\n")[0].partition(" ")[2][:3]
        said = ascii(answer.partition("\r\n\r\n")[2][:_SAID_CHARACTERS])[1:-1]
        if status == "202":
            log.info("there is no Telemetry API here, so what only the platform knows is missing")
        elif status != "200":
            log.warning(
                f"the Telemetry API refused the subscription with {status or 'no status'} "
                f"({said}); "
                "what only the platform knows is missing"
            )
        return status == "200"
