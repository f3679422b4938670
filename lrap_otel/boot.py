"""The order of start, which decides what we cost: the runtime may not start before every extension
has registered.

Bind; connect and send the register request; fork the telemetry process, while no thread exists;
answer the wrapper, so that the runtime starts; load the rest meanwhile; accept; only then ask for
the first extension event. What stands above the register request imports nothing beyond what a bare
interpreter has loaded (tests/test_boot.py holds it).

Once registered, no fault of ours may end this process: Lambda would take the sandbox with it.
"""

import _socket
import _thread
import posix
import sys
import time

from lrap_otel.bundle import load
from lrap_otel.registration import Registration, extension_name, register_request
from lrap_otel.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.ipc.channel import Channel

_BACKLOG = 1_024
_SIGUSR1 = 10
_NICENESS = 19
# How long one thread may keep the interpreter lock from another; the second is CPython's default.
_SWITCH_WHILE_LOADING_S, _SWITCH_S = 0.0002, 0.005
# By which a process in the sandbox reaches itself.
_OUR_NAMES = ("localhost", "0.0.0.0", "sandbox", "sandbox.localdomain")


def main(script: str, skipped: str = "", shell: int = 0) -> int:
    """Be the extension until SHUTDOWN.

    Returns the exit status; what it raises, it raises before it has registered.

    `script` is the path this was started by: it names the extension if it lies in a folder called
    ``extensions``. `skipped` says which interpreters would not do. `shell` is the process that
    waits for us under the id that Lambda knows; 0 if that id is ours.
    """
    _keep_standard_descriptors()
    settings = Settings(posix.environ)
    if skipped:
        settings.warnings.append(f"{skipped}; {sys.executable or sys.orig_argv[0]} is used instead")
    if settings.extensions_api is None or settings.runtime_api is None:
        _commit(shell)
        return _fail(
            "AWS_LAMBDA_RUNTIME_API is not set: this runs as a Lambda extension; `lrap-otel "
            "emulate` starts it locally"
        )
    _avoid_ourselves(settings)
    listener = _bind(settings.listener_port)
    if listener is not None and _is_our_port(settings.extensions_api, settings):
        _commit(shell)
        return _fail(
            "AWS_LAMBDA_RUNTIME_API is our own port, so there is nobody to register with; set "
            "LRAP_LISTENER_PORT"
        )
    proxies = listener is not None
    traces = proxies and settings.export_enabled
    takes_invoke = traces and not settings.is_managed_instances
    request = register_request(
        settings, extension_name(script, settings), takes_invoke=takes_invoke
    )
    _commit(shell)
    try:
        registration = Registration(settings.extensions_api)
        registration.api.sendall(request)
    except OSError as error:
        return _fail(f"the Extensions API at {settings.extensions_api} does not answer: {error}")
    try:
        return _serve(settings, registration, listener, shell, traces=traces)
    except BaseException as error:  # noqa: BLE001 - see the module's docstring
        _fail(f"nothing is traced: {type(error).__name__}: {error}. The function is not affected")
    try:
        return registration.wait_for_shutdown()
    except BaseException:  # noqa: BLE001 - and whoever started us must not have another one register
        return 1


def _keep_standard_descriptors() -> None:
    """What is closed of stdin, stdout and stderr leads nowhere: else a socket of ours would get its
    number, and our own log lines. The telemetry process's successor inherits it.
    """
    try:
        lowest_free = 0
        while lowest_free <= 2:
            lowest_free = posix.open("/dev/null", posix.O_RDWR)
            if lowest_free <= 2:
                posix.set_inheritable(lowest_free, True)
        posix.close(lowest_free)
    except OSError:
        return  # there is no /dev/null


def _commit(shell: int) -> None:
    """From here on the shell may not have another interpreter register."""
    if shell:
        posix.kill(shell, _SIGUSR1)


def _serve(
    settings: Settings,
    registration: Registration,
    listener: _socket.socket | None,
    shell: int,
    *,
    traces: bool,
) -> int:
    """Load the rest and serve until SHUTDOWN. Returns the exit status.

    Before it raises, the runtime has been given another way to the Runtime API.
    """
    channel = handshake = None
    process_id = 0
    try:
        import gc  # noqa: PLC0415 - the register request is out

        # What is imported stays, and looking for garbage in it is a twentieth of the instructions.
        gc.disable()
        load("start")
        if traces:
            channel, process_id = _fork_telemetry(
                registration.api, listener, hears_platform=bool(settings.telemetry_types)
            )
        if shell:
            _thread.start_new_thread(_end_with, (shell,))
        if listener is not None:
            from lrap_otel.handshake import Handshake  # noqa: PLC0415 - the register request is out

            # A bundle runs without a pause in which the handshake's thread would have its turn.
            sys.setswitchinterval(_SWITCH_WHILE_LOADING_S)
            handshake = Handshake(listener)
        load("proxy")
        from lrap_otel.proxy_process import run  # noqa: PLC0415 - everything else is loaded while the runtime starts

        sys.setswitchinterval(_SWITCH_S)
        gc.freeze()
        gc.enable()
        return run(settings, registration, handshake, channel, process_id)
    except BaseException:
        if channel is not None:
            channel.near.close()  # which ends the telemetry process
        if handshake is not None:
            handshake.fall_back(settings.runtime_api or registration.address, registration.address)
        elif listener is not None:
            listener.close()
        raise


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


def _avoid_ourselves(settings: Settings) -> None:
    """A runtime's call that we pass on to our own port would come again, and so on for ever."""
    address = settings.runtime_api
    if address and address != settings.extensions_api and _is_our_port(address, settings):
        settings.warnings.append(
            "LRAP_RUNTIME_API_ENDPOINT is our own port; AWS_LAMBDA_RUNTIME_API is used instead"
        )
        settings.runtime_api = settings.extensions_api


def _is_our_port(address: tuple[str, int], settings: Settings) -> bool:
    host, port = address
    return port == settings.listener_port and (host in _OUR_NAMES or host.startswith("127.0.0."))


def _fork_telemetry(
    api: _socket.socket, listener: _socket.socket | None, *, hears_platform: bool
) -> "tuple[Channel | None, int]":
    """Start the telemetry process: its channel and process id, or None and 0 where it
    cannot start.
    """
    import gc  # noqa: PLC0415 - the register request is out

    from lrap_otel.ipc.channel import Channel  # noqa: PLC0415 - see above

    try:
        channel = Channel()
        if hears_platform:
            from lrap_otel.ipc.telemetry_port import open_port  # noqa: PLC0415 - see above

            channel.platform = open_port(api.getsockname()[0])
        # A collection writes to all that it looks at, and each process would then need its own
        # copy.
        gc.freeze()
        process_id = posix.fork()
    except OSError:
        return None, 0
    if process_id == 0:
        _be_telemetry(api, listener, channel)
    return channel, process_id


def _be_telemetry(api: _socket.socket, listener: _socket.socket | None, channel: "Channel") -> None:
    """The forked child: closes what is the proxy's, above all the listener, and never returns.

    The runtime waits for the proxy, which still has to be loaded, and for nobody else: until the
    first record, which says that it is, this process takes no CPU from it.
    """
    status = 1
    try:
        posix.nice(_NICENESS)
        api.close()
        if listener is not None:
            listener.close()
        channel.near.close()
        channel.alive.close()
        if channel.far.recv(1, _socket.MSG_PEEK):
            load("telemetry")
            from lrap_otel.telemetry.worker import run  # noqa: PLC0415 - in the child alone

            run(channel.far, channel.event_fd, posix.environ, channel.platform)
        status = 0
    finally:
        posix._exit(status)  # noqa: SLF001 - `os` is not loaded; nothing of the parent's may run twice


def _end_with(shell: int) -> None:
    """End when our parent does: whoever kills it means us, and the next extension needs
    our port.
    """
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
