"""The order of start, which decides what we cost: the runtime may not start before every extension has registered.

Bind; connect and send the register request; fork the telemetry process, while no thread exists; read the answer; load the
rest; accept; only then ask for the first extension event. What stands above the register request imports nothing beyond
what a bare interpreter has loaded (tests/test_boot.py holds it).
"""

import _socket
import _thread
import posix
import sys

from lrap_otel.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lrap_otel.channel import Channel

    StartTelemetry = Callable[[_socket.socket, Mapping[bytes, bytes], str], None]

_BACKLOG = 1_024
_CONNECT_TIMEOUT_S = 5.0

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


def main(script: str, dependencies: str, skipped: str = "", shell: int = 0) -> int:
    """Be the extension until SHUTDOWN. Returns the exit status.

    `script` is the path this was started by, which names the extension where it lies in a folder called ``extensions``;
    `dependencies` is the folder that the telemetry process imports the SDK from; `skipped` says which interpreters
    would not do, and `shell` is the process that waits for us under the id that Lambda knows, 0 where that is ours.
    """
    settings = Settings(posix.environ)
    if skipped:
        settings.warnings.append(f"{skipped}; {sys.executable or sys.orig_argv[0]} is used instead")
    if settings.extensions_api is None or settings.runtime_api is None:
        return _fail(
            "AWS_LAMBDA_RUNTIME_API is not set: this runs as a Lambda extension; `lrap-otel emulate` starts it locally"
        )
    listener = _bind(settings.listener_port)
    proxies = listener is not None
    traces = proxies and settings.export_enabled
    takes_invoke = traces and not settings.is_managed_instances
    try:
        api = _connect(settings.extensions_api)
        api.sendall(_register_request(settings, extension_name(script, settings), takes_invoke=takes_invoke))
    except OSError as error:
        return _fail(f"the Extensions API at {settings.extensions_api} does not answer: {error}")
    channel, process_id = _fork_telemetry(api, listener, dependencies) if traces else (None, 0)
    if shell:
        _thread.start_new_thread(_end_with, (shell,))
    from lrap_otel.service import run  # noqa: PLC0415 - everything else is loaded while Lambda answers

    return run(settings, api, listener, channel, process_id, dependencies)


def extension_name(script: str, settings: Settings) -> str:
    """The name to register: Lambda wants the base name of the file in its extensions folder."""
    folder, _, name = script.rpartition("/")
    if folder.rpartition("/")[2] == "extensions":
        return name
    return settings.extension_name


def _bind(port: int) -> _socket.socket | None:
    """Listen for the runtime; None where the port is taken."""
    listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    # A sandbox that is reset starts the next extension within milliseconds.
    listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        return None
    return listener


def _connect(address: tuple[str, int]) -> _socket.socket:
    api = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    api.settimeout(_CONNECT_TIMEOUT_S)
    api.connect(address)
    api.settimeout(None)  # whatever is asked from now on may be answered in hours
    return api


def _register_request(settings: Settings, name: str, *, takes_invoke: bool) -> bytes:
    body = '{"events":["INVOKE","SHUTDOWN"]}' if takes_invoke else '{"events":["SHUTDOWN"]}'
    host = "{}:{}".format(*settings.extensions_api or ())
    return _REGISTER.format(host=host, name=name, length=len(body), body=body).encode("latin-1", "replace")


def _fork_telemetry(
    api: _socket.socket, listener: _socket.socket | None, dependencies: str
) -> "tuple[Channel | None, int]":
    """Start the telemetry process: its channel and process id, or None and 0 where it cannot start."""
    from lrap_otel.channel import Channel  # noqa: PLC0415 - the register request is out

    try:
        channel = Channel()
        process_id = posix.fork()
    except OSError:
        return None, 0
    if process_id == 0:
        _be_telemetry(api, listener, channel, dependencies)
    return channel, process_id


def _be_telemetry(api: _socket.socket, listener: _socket.socket | None, channel: "Channel", dependencies: str) -> None:
    """The forked child: closes what is the proxy's, above all the listener, and never returns.

    The runtime waits for the proxy, which still has to be loaded, and for nobody else: until the first record, which says that it
    is, this process takes no CPU from it.
    """
    status = 1
    try:
        api.close()
        if listener is not None:
            listener.close()
        channel.near.close()
        if channel.far.recv(1, _socket.MSG_PEEK):
            from lrap_otel.telemetry.worker import run  # noqa: PLC0415 - in the child alone

            run(channel.far, channel.bell, posix.environ, dependencies)
        status = 0
    finally:
        posix._exit(status)  # noqa: SLF001 - `os` is not loaded; nothing of the parent's may run twice


def _end_with(shell: int) -> None:
    """End when our parent does: whoever kills it means us, and the next extension needs our port."""
    import time  # noqa: PLC0415 - only a child of a shell needs it

    try:
        import select  # noqa: PLC0415

        watch = select.poll()
        watch.register(posix.pidfd_open(shell), select.POLLIN)
        if posix.getppid() == shell:
            watch.poll()
    except (AttributeError, OSError):  # an older kernel's, or built for one
        while posix.getppid() == shell:
            time.sleep(1.0)
    posix._exit(1)  # noqa: SLF001 - `os` is not loaded


def _fail(text: str) -> int:
    posix.write(2, f"lrap-otel: error: {text}\n".encode("utf-8", "backslashreplace"))
    return 1
