"""The wrapper's question where there is no bash to ask it: a script, started by its path.

``handshake_client.py PORT PID WRAPPER`` exits with 0 if the proxy answers, with 3 if somebody else
does, or nobody. Any other status means that this interpreter cannot be used.
"""

import _socket
import posix
import sys

TIMEOUT_S = 1.0
NOBODY = 3

_ANSWER = b"HTTP/1.1 200 lrap-otel\r\n"
_HAND_OVER = (
    (b"Lrap-Log-Group", b"AWS_LAMBDA_LOG_GROUP_NAME"),
    (b"Lrap-Log-Stream", b"AWS_LAMBDA_LOG_STREAM_NAME"),
    (b"Lrap-Execution-Env", b"AWS_EXECUTION_ENV"),
    (b"Lrap-Handler", b"_HANDLER"),
)


def is_answered(port: int, process_id: str, wrapper: str) -> bool:
    """Whether the proxy is at this port of 127.0.0.1.

    The question hands over the runtime's process id, what the wrapper was started as, and the
    variables that Lambda gives to runtimes alone.
    """
    try:
        socket = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        socket.settimeout(TIMEOUT_S)
        socket.connect(("127.0.0.1", port))
        socket.sendall(_question(process_id, wrapper))
        answer = b""
        while len(answer) < len(_ANSWER) and (more := socket.recv(len(_ANSWER))):
            answer += more
    except OSError:
        return False
    return answer.startswith(_ANSWER)


def _question(process_id: str, wrapper: str) -> bytes:
    lines = [
        b"GET /lrap-otel/hello HTTP/1.1",
        b"Host: 127.0.0.1",
        b"Lrap-Runtime-Pid: " + process_id.encode(),
    ]
    lines.append(
        b"Lrap-Wrapper: " + wrapper.encode("utf-8", "surrogateescape").translate(None, b"\r\n")
    )
    for name, variable in _HAND_OVER:
        lines.append(name + b": " + posix.environ.get(variable, b"").translate(None, b"\r\n"))
    return b"\r\n".join((*lines, b"\r\n"))


if __name__ == "__main__":
    sys.exit(0 if is_answered(int(sys.argv[1]), *sys.argv[2:]) else NOBODY)
