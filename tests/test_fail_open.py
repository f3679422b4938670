"""Whatever of our own code fails, before or after the registration, the function runs as if we were
not there.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.layer_folder import REGISTERED, ROOT, SHUTDOWN, Layer
from tests.ports import free_port
from tests.upstream import Peer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENT = b'{"is":"an event"}'
# Invokes twice: the event goes out with the first poll, and the result of both comes back.
RUNTIME = """
import http.client, os
def call(method, path, body=None):
    connection.request(method, "/2018-06-01/runtime/invocation/" + path, body)
    reply = connection.getresponse()
    return reply.status, reply.getheader("Lambda-Runtime-Aws-Request-Id"), reply.read()
connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"], timeout=20)
for _ in range(2):
    _, request_id, event = call("GET", "next")
    status, _, _ = call("POST", request_id + "/response", event)
    print(status, event.decode(), os.environ["AWS_LAMBDA_RUNTIME_API"])
"""

# In the place of a module: the next two threads cannot be started.
NO_THREAD_AT_FIRST = """
import _thread
start, attempts = _thread.start_new_thread, []
def refuse(*given):
    attempts.append(given)
    if len(attempts) == 2:
        _thread.start_new_thread = start
    raise RuntimeError("can't start new thread")
_thread.start_new_thread = refuse
raise RuntimeError("broken on purpose")
"""
# What the proxy process loads; a telemetry process that fails has its own tests.
FOLDERS = (
    "",
    "http1",
    "ipc",
    "sandbox",
    "text",
    "proxy",
    "extension",
    "propagation",
    "propagation/carrier",
)
BESIDE = {"__init__", "__main__", "cli", "extras", "handshake_client", "restart"}
# Loaded when a second event has come: without them nothing is learned, which costs time alone.
LATE = {"learn", "learn_heads", "patterns"}
MODULES = sorted(
    f"{folder}/{path.name}".lstrip("/")
    for folder in FOLDERS
    for path in (ROOT / "lrap_otel" / folder).glob("*.py")
    if path.stem not in BESIDE
)


class Lambda:
    """Both APIs, served in threads: events for the runtime, INVOKE for the extension, SHUTDOWN once
    `end` is called.
    """

    def __init__(self, layer: Layer) -> None:
        self.requests: list[bytes] = []
        self._events = 0
        self._is_over = threading.Event()
        self._listener = layer.api._listener
        self._listener.settimeout(None)
        threading.Thread(target=self._accept, daemon=True).start()

    def end(self) -> None:
        self._is_over.set()

    def registrations(self) -> int:
        return sum(b"/extension/register " in request for request in self.requests)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(Peer(connection),), daemon=True).start()

    def _serve(self, peer: Peer) -> None:
        peer.socket.settimeout(None)
        try:
            while True:
                head, _ = peer.read_message()
                self.requests.append(head)
                peer.send(self._answer(head.split(b" ")[1]))
        except (OSError, EOFError):
            peer.close()

    def _answer(self, path: bytes) -> bytes:
        if path.endswith(b"/extension/register"):
            return REGISTERED
        if path.endswith(b"/invocation/next"):
            self._events += 1
            return _reply(EVENT, b"Lambda-Runtime-Aws-Request-Id: r%d\r\n" % self._events)
        if path.endswith(b"/event/next"):
            self._is_over.wait(30)
            return _reply(SHUTDOWN)
        return b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


def _reply(body: bytes, fields: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (fields, len(body), body)


@pytest.fixture
def layer(tmp_path: Path) -> Iterator[Layer]:
    layer = Layer(tmp_path / "opt")
    shutil.copy(ROOT / "opt/wrapper", layer.root / "wrapper")
    layer.name_interpreter(sys.executable)
    yield layer
    layer.close()


def start_runtime(layer: Layer, port: int) -> subprocess.Popen[str]:
    """Behind the real wrapper, as Lambda starts it once every extension has registered."""
    variables = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{layer.api.port}",
        "LRAP_LISTENER_PORT": str(port),
    }
    command = [layer.root / "wrapper", sys.executable, "-c", RUNTIME]
    return subprocess.Popen(
        command, env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True
    )


def wait_for_registration(aws: Lambda) -> None:
    end = time.monotonic() + 20
    while not aws.registrations():
        assert time.monotonic() < end
        time.sleep(0.002)


def live(
    layer: Layer, aws: Lambda, port: int, runtime: subprocess.Popen[str]
) -> tuple[list[str], list[str]]:
    """Until both have ended: through which address each event came, and what the extension said."""
    out, _ = runtime.communicate(timeout=40)
    aws.end()
    assert layer.process is not None
    _, errors = layer.process.communicate(timeout=30)
    assert (runtime.returncode, layer.process.returncode) == (0, 0), errors
    assert aws.registrations() == 1
    results = [line.split(" ") for line in out.splitlines()]
    assert [(status, " ".join(event)) for status, *event, _ in results] == [
        ("202", EVENT.decode())
    ] * 2
    return [address for *_, address in results], errors.decode().splitlines()


@pytest.mark.parametrize("module", MODULES)
def test_a_module_that_cannot_be_loaded_ends_neither_the_extension_nor_the_function(
    layer: Layer, module: str
) -> None:
    (layer.root / "lrap_otel" / module).write_text("raise RuntimeError('broken on purpose')\n")
    aws, port = Lambda(layer), free_port()
    layer.start(["sh"], LRAP_LISTENER_PORT=str(port))
    wait_for_registration(aws)
    _, said = live(layer, aws, port, start_runtime(layer, port))
    assert module.rpartition("/")[2].removesuffix(".py") in LATE or any(
        "broken on purpose" in line for line in said
    )
    assert sum(line.startswith("lrap-otel: ") for line in said) <= 2


WAITS = """
import os, time
while not os.path.exists({path!r}):
    time.sleep(0.001)
{then}
"""


def hold_up(layer: Layer, module: str, then: str = "") -> Path:
    """Have a module wait until a file is made, and then be itself, or do what `then` says."""
    path, go_on = layer.root / "lrap_otel" / module, layer.root / "go-on"
    path.write_text(WAITS.format(path=str(go_on), then=then or path.read_text()))
    return go_on


def say_hello(port: int) -> Peer:
    """What the wrapper says."""
    question = (
        b"GET /lrap-otel/hello HTTP/1.1\r\nHost: 127.0.0.1\r\nLrap-Log-Group: /aws/lambda/f\r\n\r\n"
    )
    return Peer(socket.create_connection(("127.0.0.1", port))).send(question)


NEXT_HEAD = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def test_the_wrapper_is_answered_while_the_proxy_is_loaded_and_its_first_poll_waits_for_it(
    layer: Layer,
) -> None:
    go_on = hold_up(layer, "proxy_process.py")
    aws, port = Lambda(layer), free_port()
    layer.start(["sh"], LRAP_LISTENER_PORT=str(port))
    wait_for_registration(aws)
    early = Peer(socket.create_connection(("127.0.0.1", port))).send(NEXT_HEAD)
    for _ in range(2):
        assert say_hello(port).read_head().startswith(b"HTTP/1.1 200 lrap-otel\r\n")
    assert not early.has_news()
    go_on.touch()
    head, body = early.read_message()
    assert b"\r\ntraceparent: " in head
    assert body == EVENT
    assert say_hello(port).read_head().startswith(b"HTTP/1.1 200 lrap-otel\r\n")


def test_where_the_proxy_cannot_be_loaded_after_the_wrapper_was_answered_bytes_are_relayed(
    layer: Layer,
) -> None:
    go_on = hold_up(layer, "proxy_process.py", "raise RuntimeError('broken on purpose')")
    aws, port = Lambda(layer), free_port()
    layer.start(["sh"], LRAP_LISTENER_PORT=str(port))
    wait_for_registration(aws)
    early = Peer(socket.create_connection(("127.0.0.1", port))).send(NEXT_HEAD)
    assert say_hello(port).read_head().startswith(b"HTTP/1.1 200 lrap-otel\r\n")
    go_on.touch()
    assert early.read_message()[1] == EVENT
    early.end()
    assert early.read_to_end() == b""
    runtime = start_runtime(layer, port)
    _, said = live(layer, aws, port, runtime)
    (line,) = said
    assert line.startswith("lrap-otel: error: nothing is traced: RuntimeError: broken on purpose")


def test_a_connection_for_which_no_thread_is_free_is_relayed_once_one_is(layer: Layer) -> None:
    go_on = hold_up(layer, "proxy_process.py", NO_THREAD_AT_FIRST)
    aws, port = Lambda(layer), free_port()
    layer.start(["sh"], LRAP_LISTENER_PORT=str(port))
    wait_for_registration(aws)
    early = Peer(socket.create_connection(("127.0.0.1", port))).send(NEXT_HEAD)
    assert say_hello(port).read_head().startswith(b"HTTP/1.1 200 lrap-otel\r\n")
    go_on.touch()
    assert early.read_message()[1] == EVENT


def test_a_fallen_back_runtime_finds_the_runtime_api_where_the_other_endpoint_is_dead(
    layer: Layer,
) -> None:
    go_on = hold_up(layer, "proxy_process.py", "raise RuntimeError('broken on purpose')")
    aws, port = Lambda(layer), free_port()
    layer.start(
        ["sh"], LRAP_LISTENER_PORT=str(port), LRAP_RUNTIME_API_ENDPOINT=f"127.0.0.1:{free_port()}"
    )
    wait_for_registration(aws)
    assert say_hello(port).read_head().startswith(b"HTTP/1.1 200 lrap-otel\r\n")
    go_on.touch()
    assert (
        Peer(socket.create_connection(("127.0.0.1", port))).send(NEXT_HEAD).read_message()[1]
        == EVENT
    )


def test_where_nobody_was_answered_the_port_is_closed(layer: Layer) -> None:
    (layer.root / "lrap_otel/proxy_process.py").write_text("raise SystemExit(3)\n")
    aws, port = Lambda(layer), free_port()
    layer.start(["sh"], LRAP_LISTENER_PORT=str(port))
    wait_for_registration(aws)
    end = time.monotonic() + 10
    while True:
        assert time.monotonic() < end
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            break
    addresses, said = live(layer, aws, port, start_runtime(layer, port))
    assert set(addresses) == {f"127.0.0.1:{layer.api.port}"}
    (line,) = said
    assert "SystemExit" in line


def test_a_fault_after_serving_has_begun_leaves_the_runtime_its_proxy(layer: Layer) -> None:
    path = layer.root / "lrap_otel/extension/lifecycle.py"
    path.write_text(
        path.read_text().replace(
            "def run(self) -> None:",
            "def run(self) -> None:\n        raise RuntimeError('broken on purpose')\n",
            1,
        )
    )
    aws, port = Lambda(layer), free_port()
    layer.start(["sh"], LRAP_LISTENER_PORT=str(port))
    wait_for_registration(aws)
    while not any(b"/event/next " in request for request in aws.requests):
        time.sleep(0.002)
    addresses, said = live(layer, aws, port, start_runtime(layer, port))
    assert set(addresses) == {f"127.0.0.1:{port}"}
    (line,) = [line for line in said if "broken on purpose" in line]
    assert line.startswith("lrap-otel: error: ")
