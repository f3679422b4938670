"""The wrapper's question and its answer, and the runtime's first connections while the proxy is
still being loaded: the wrapper is answered, so that the runtime starts meanwhile, and all else
waits.

If the proxy cannot be loaded after the wrapper has been answered, bytes are passed to and fro as
they are: the runtime has nowhere else to go. Loaded just after the register request has gone, so
nothing slow is imported.
"""

import _socket
import _thread
import select
import time

from lrap_otel.ipc.event_fd import new_event_fd
from lrap_otel.sandbox.runtime_process import watched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[[_socket.socket, list[_socket.socket], list["Hello"]], None]

_HELLO = b"GET /lrap-otel/hello HTTP/1."
ANSWER = (
    b"HTTP/1.1 200 lrap-otel\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    b"Connection: close\r\n\r\n{}"
)
_HEAD_LIMIT_BYTES = 65_536
# The wrapper waits as long for its answer.
_HEAD_TIMEOUT_S = 1.0
_CONNECT_TIMEOUT_S = 1.0
_PAUSE_S = 0.05


class Hello:
    """What the wrapper said: `fields` by lower-case name.

    `lives` returns whether the runtime's process is still there; None if that cannot be known.
    """

    __slots__ = ("fields", "lives")

    def __init__(self, head: bytes) -> None:
        self.fields: dict[bytes, bytes] = {}
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            self.fields[name.strip().lower()] = value.strip()
        # Now: once answered, the wrapper becomes the runtime, and its command line is another.
        self.lives = watched(
            self.fields.get(b"lrap-runtime-pid", b""), self.fields.get(b"lrap-wrapper", b"")
        )


class Handshake:
    """Answers at `listener`, in a thread of its own, until `serve` or `fall_back` says who goes on.

    RuntimeError or OSError where no thread or no descriptor is to be had.
    """

    __slots__ = ("_early", "_event_fd", "_goes_on", "_hellos", "_listener")

    def __init__(self, listener: _socket.socket) -> None:
        self._listener = listener
        self._event_fd = new_event_fd()
        self._early: dict[int, _socket.socket] = {}
        self._goes_on: Serve | None = None
        self._hellos: list[Hello] = []
        _thread.start_new_thread(self._run, ())

    def serve(self, serve: "Serve") -> None:
        """Have `serve(listener, early, hellos)` go on, in our thread.

        `early` are connections of which nothing has been read. Only the first call counts.
        """
        if self._goes_on is None:
            self._goes_on = serve
            self._event_fd.set()

    def fall_back(self, *addresses: tuple[str, int]) -> None:
        """The proxy will not come.

        If a wrapper has been answered, or a connection waits, connections are passed on to the
        first of `addresses` that answers. Else the port is closed, and the wrapper finds nobody.
        """

        def relay(
            listener: _socket.socket, early: list[_socket.socket], hellos: list[Hello]
        ) -> None:
            waiting = [runtime for runtime in early if not _has_gone(runtime)]
            if not hellos and not waiting:
                listener.close()
                return
            while True:
                _relay_next(waiting, listener, addresses)

        self.serve(relay)

    def _run(self) -> None:
        watch = select.poll()
        watch.register(self._listener, select.POLLIN)
        watch.register(self._event_fd, select.POLLIN)
        while self._goes_on is None:
            for descriptor, _ in watch.poll():
                if descriptor == self._listener.fileno():
                    self._greet(watch)
                elif descriptor in self._early:
                    watch.unregister(descriptor)
                    self._answer(self._early[descriptor])
        self._goes_on(self._listener, list(self._early.values()), self._hellos)

    def _greet(self, watch: "select.poll") -> None:
        """Take a connection, which may say something at once, later or never."""
        try:
            caller = _accept(self._listener)
        except OSError:  # out of descriptors, perhaps: the proxy knows what to do
            watch.unregister(self._listener)
            return
        self._early[caller.fileno()] = caller
        watch.register(caller, select.POLLIN)

    def _answer(self, caller: _socket.socket) -> None:
        """Answer the wrapper. What anybody else says stays unread."""
        try:
            if not caller.recv(len(_HELLO), _socket.MSG_PEEK).startswith(_HELLO):
                return
            del self._early[caller.fileno()]
            caller.settimeout(_HEAD_TIMEOUT_S)
            head = b""
            while b"\r\n\r\n" not in head:
                more = caller.recv(_HEAD_LIMIT_BYTES)
                head += more
                if not more or len(head) > _HEAD_LIMIT_BYTES:
                    return
            hello = Hello(head)
            self._hellos.append(hello)  # before it knows: then there is a way for it
            caller.sendall(ANSWER)
        except OSError:
            return  # it has gone, and starts the runtime untouched
        finally:
            if caller.fileno() not in self._early:
                caller.close()


def _accept(listener: _socket.socket) -> _socket.socket:
    descriptor, _ = listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - what `socket.accept` calls
    return _socket.socket(fileno=descriptor)


def _has_gone(peer: _socket.socket) -> bool:
    watch = select.poll()
    watch.register(peer, select.POLLRDHUP)
    return bool(watch.poll(0))


def _relay_next(
    waiting: list[_socket.socket], listener: _socket.socket, addresses: tuple[tuple[str, int], ...]
) -> None:
    try:
        runtime = waiting.pop() if waiting else _accept(listener)
    except OSError:  # out of descriptors, until one is free
        time.sleep(_PAUSE_S)
        return
    try:
        _thread.start_new_thread(_relay, (runtime, addresses))
    except RuntimeError:  # out of threads, until one ends
        waiting.append(runtime)
        time.sleep(_PAUSE_S)


def _connect(addresses: tuple[tuple[str, int], ...]) -> _socket.socket:
    for address in addresses:
        upstream = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        upstream.settimeout(_CONNECT_TIMEOUT_S)
        try:
            upstream.connect(address)
        except OSError:
            upstream.close()
        else:
            upstream.settimeout(None)
            return upstream
    raise OSError


def _relay(runtime: _socket.socket, addresses: tuple[tuple[str, int], ...]) -> None:
    """Pass every byte on, either way, and each side's end."""
    try:
        upstream = _connect(addresses)
    except OSError:
        runtime.close()
        return
    try:
        peers = {runtime.fileno(): (runtime, upstream), upstream.fileno(): (upstream, runtime)}
        watch = select.poll()
        for descriptor in peers:
            watch.register(descriptor, select.POLLIN)
        while peers:
            for descriptor, _ in watch.poll():
                source, sink = peers[descriptor]
                data = source.recv(_HEAD_LIMIT_BYTES)
                if data:
                    sink.sendall(data)
                else:
                    sink.shutdown(_socket.SHUT_WR)
                    watch.unregister(descriptor)
                    del peers[descriptor]
    except OSError:
        pass  # one side has gone; the other learns it from the closing below
    finally:
        runtime.close()
        upstream.close()
