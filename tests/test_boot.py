"""What happens until the extension has asked to be registered: little, in this order, and it is
loaded from little.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from lrap_otel import boot
from lrap_otel.registration import Registration, extension_name
from lrap_otel.settings import Settings
from tests.ports import free_port
from tests.processes import children, proxies_of
from tests.upstream import Upstream, connect

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
ROOT = Path(__file__).parents[1]

REGISTERED = b"HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: me\r\nContent-Length: 2\r\n\r\n{}"

# The address answers nobody, so `main` returns where the register request would go.
WHAT_IS_LOADED = """
import sys
sys.path.insert(0, sys.argv[1])
bare = set(sys.modules)
from lrap_otel.boot import main
assert main("opt/entrypoint") == 1
print(*sorted(set(sys.modules) - bare))
"""

WITHOUT_DESCRIPTORS = """
import posix, sys
*closed, entrypoint = sys.argv[1:]
for descriptor in closed:
    posix.close(int(descriptor))
posix.execv(entrypoint, [entrypoint])
"""


def test_nothing_is_loaded_before_the_register_request_but_the_socket_and_our_settings() -> None:
    environment = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{free_port()}",
        "LRAP_LISTENER_PORT": str(free_port()),
    }
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", WHAT_IS_LOADED, str(ROOT)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [
        "_socket",
        "lrap_otel",
        "lrap_otel.boot",
        "lrap_otel.bundle",
        "lrap_otel.environment",
        "lrap_otel.registration",
        "lrap_otel.settings",
    ]
    assert "does not answer" in done.stderr


def test_the_port_is_open_to_this_machine_alone() -> None:
    port = free_port()
    listener = boot._bind(port)
    assert listener is not None
    try:
        assert listener.getsockname() == ("127.0.0.1", port)
        # Another address of this machine, for want of another machine.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5)
    finally:
        listener.close()


def test_the_runtime_can_connect_before_the_extension_is_registered() -> None:
    api, port = Upstream(), free_port()
    extension = start_extension(api.port, LRAP_LISTENER_PORT=str(port))
    try:
        request, body = api.accept().read_message()
        assert request.startswith(b"POST /2020-01-01/extension/register HTTP/1.1\r\n")
        assert b"\r\nLambda-Extension-Name: lrap-otel\r\n" in request
        assert b"\r\nLambda-Extension-Accept-Feature: accountId\r\n" in request
        assert json.loads(body) == {"events": ["INVOKE", "SHUTDOWN"]}
        connect(port).close()
    finally:
        stop(extension)
        api.close()


@pytest.mark.parametrize(
    "variables",
    [
        {"AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances"},
        {"OTEL_SDK_DISABLED": "true"},
        {"LRAP_ENABLED": "False"},
    ],
    ids=["managed instances", "SDK disabled", "switched off"],
)
def test_only_shutdown_is_asked_for_where_invoke_is_refused_or_useless(
    variables: dict[str, str],
) -> None:
    api = Upstream()
    extension = start_extension(api.port, LRAP_LISTENER_PORT=str(free_port()), **variables)
    try:
        _, body = api.accept().read_message()
        assert json.loads(body) == {"events": ["SHUTDOWN"]}
    finally:
        stop(extension)
        api.close()


def test_the_whole_life_of_an_extension_that_is_switched_off() -> None:
    api = Upstream()
    extension = start_extension(api.port, LRAP_LISTENER_PORT=str(free_port()), LRAP_ENABLED="false")
    lambda_side = api.accept()
    lambda_side.read_message()
    lambda_side.send(REGISTERED)
    assert b"\r\nLambda-Extension-Identifier: me\r\n" in lambda_side.read_head()
    event = b'{"eventType":"SHUTDOWN","shutdownReason":"spindown","deadlineMs":1}'
    lambda_side.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(event), event))
    _, errors = extension.communicate(timeout=10)
    assert (extension.returncode, errors) == (0, b"")
    api.close()


def test_a_registration_that_lambda_refuses_ends_the_extension_with_its_reason() -> None:
    api = Upstream()
    extension = start_extension(api.port, LRAP_LISTENER_PORT=str(free_port()))
    lambda_side = api.accept()
    lambda_side.read_message()
    lambda_side.send(b'HTTP/1.1 403 Forbidden\r\nContent-Length: 11\r\n\r\n{"no":"way"}'[:-1])
    _, errors = extension.communicate(timeout=10)
    assert extension.returncode == 1
    assert b"refused the registration with 403" in errors
    api.close()


def test_the_telemetry_process_loads_nothing_until_the_proxy_has_been_loaded() -> None:
    api = Upstream()
    extension = start_extension(api.port, LRAP_LISTENER_PORT=str(free_port()))
    try:
        lambda_side = api.accept()
        lambda_side.read_message()
        process = Path(f"/proc/{telemetry_of(extension)}")
        wait_for(
            lambda: " S " in (process / "stat").read_text(encoding="ascii")
        )  # it sleeps: it waits
        assert os.getpriority(os.PRIO_PROCESS, int(process.name)) == 19  # before its first import
        # What its first own code sets.
        assert (process / "oom_score_adj").read_text(encoding="ascii") == "0\n"
        lambda_side.send(REGISTERED)
        wait_for(lambda: (process / "oom_score_adj").read_text(encoding="ascii") == "1000\n")
    finally:
        stop(extension)
        api.close()


@pytest.mark.parametrize("closed", [(2,), (1, 2), (0, 1, 2)])
def test_a_log_line_never_gets_into_a_socket_of_ours(closed: tuple[int, ...]) -> None:
    # What is closed of stdin, stdout and stderr would be the number of the next socket.
    api = Upstream()
    port = free_port()
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        WITHOUT_DESCRIPTORS,
        *map(str, closed),
        str(ROOT / "opt/entrypoint"),
    ]
    variables = {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.port}", "LRAP_LISTENER_PORT": str(port)}
    extension = subprocess.Popen(
        command, env={"PATH": os.environ["PATH"], "LRAP_FLUSH": "often", **variables}
    )
    try:
        lambda_side = api.accept()
        lambda_side.read_message()
        lambda_side.send(REGISTERED)
        assert lambda_side.read_head().startswith(
            b"GET /2020-01-01/extension/event/next HTTP/1.1\r\n"
        )
        (proxy,) = proxies_of(extension.pid)
        for process_id in (proxy, *children(proxy)):
            for descriptor in closed:
                assert Path(f"/proc/{process_id}/fd/{descriptor}").readlink() == Path("/dev/null")
    finally:
        stop(extension)
        api.close()


@pytest.mark.parametrize("how", ["refused", "killed"])
def test_a_telemetry_process_whose_proxy_is_never_loaded_ends_with_it(how: str) -> None:
    api = Upstream()
    extension = start_extension(api.port, LRAP_LISTENER_PORT=str(free_port()))
    lambda_side = api.accept()
    lambda_side.read_message()
    child = telemetry_of(extension)
    if how == "refused":
        lambda_side.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}")
    else:
        extension.kill()
    extension.communicate(timeout=10)
    wait_for(lambda: not Path(f"/proc/{child}").exists())
    api.close()


def test_without_a_runtime_api_it_says_what_to_do() -> None:
    done = subprocess.run(
        [ROOT / "opt/entrypoint"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "lrap-otel emulate" in done.stderr


def test_a_file_in_an_extensions_folder_gives_its_name() -> None:
    settings = Settings({b"LRAP_EXTENSION_NAME": b"mine"})
    assert extension_name("/opt/extensions/renamed", settings) == "renamed"
    assert extension_name("/checkout/opt/entrypoint", settings) == "mine"
    assert extension_name("entrypoint", settings) == "mine"


def test_the_layout_of_a_layer_works_as_a_checkout_does(tmp_path: Path) -> None:
    layer = tmp_path / "opt"
    shutil.copytree(ROOT / "lrap_otel", layer / "lrap_otel")
    shutil.copy(ROOT / ".lrap-paths", layer / ".lrap-paths")
    (layer / "extensions").mkdir()
    shutil.copy(ROOT / "opt/entrypoint", layer / "extensions/lrap-otel-layer")
    api = Upstream()
    extension = start_extension(
        api.port,
        entrypoint=layer / "extensions/lrap-otel-layer",
        LRAP_LISTENER_PORT=str(free_port()),
    )
    try:
        request, _ = api.accept().read_message()
        assert b"\r\nLambda-Extension-Name: lrap-otel-layer\r\n" in request
    finally:
        stop(extension)
        api.close()


@pytest.mark.parametrize(
    "command", [["-m", "lrap_otel"], ["-c", "from lrap_otel.cli import main; main(['extension'])"]]
)
def test_the_extension_can_be_started_by_hand(command: list[str]) -> None:
    api = Upstream()
    variables = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.port}",
        "LRAP_LISTENER_PORT": str(free_port()),
    }
    extension = subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, **variables},
        cwd=ROOT,
        stderr=subprocess.PIPE,
    )
    try:
        request, _ = api.accept().read_message()
        assert b"\r\nLambda-Extension-Name: lrap-otel\r\n" in request
    finally:
        stop(extension)
        api.close()


def start_extension(
    api_port: int, entrypoint: Path = ROOT / "opt/entrypoint", **variables: str
) -> subprocess.Popen[bytes]:
    environment = {"PATH": os.environ["PATH"], "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api_port}"}
    environment |= {"LRAP_SPOOL_BYTES": "0", **variables}  # /tmp is everybody's
    return subprocess.Popen([entrypoint], env=environment, stderr=subprocess.PIPE)


def telemetry_of(extension: subprocess.Popen[bytes]) -> int:
    (proxy,) = wait_for(lambda: proxies_of(extension.pid))
    (telemetry,) = wait_for(lambda: children(proxy))
    return telemetry


def wait_for(condition: Callable[[], T]) -> T:
    """What `condition` gives, once that is true."""
    end = time.monotonic() + 20.0
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.005)
    assert value
    return value


def stop(extension: subprocess.Popen[bytes]) -> None:
    extension.kill()
    extension.communicate()


def test_an_event_that_comes_in_pieces_is_waited_for_when_nothing_else_is_left_of_us() -> None:
    """One that was taken for an INVOKE too early would be SHUTDOWN, and no other would follow."""
    api = Upstream()
    registration = Registration(("127.0.0.1", api.port))
    api.accept().send(REGISTERED)
    statuses: list[int] = []
    waiting = threading.Thread(
        target=lambda: statuses.append(registration.wait_for_shutdown()), daemon=True
    )
    waiting.start()
    lambda_side = api.accept()
    lambda_side.read_message()
    try:
        lambda_side.send(b'HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{"eventType":"SHU')
        assert not api.has_caller()  # it asks for no other
        lambda_side.send(b'TDOWN"}')
        waiting.join(10.0)
        assert statuses == [0]
    finally:
        api.close()


def test_a_successor_steps_back_before_it_loads_anything_of_ours(tmp_path: Path) -> None:
    package = tmp_path / "lrap_otel"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import posix\nposix.write(2, b'%d' % posix.nice(0))\nposix._exit(7)\n"
    )
    command = [
        sys.executable,
        "-I",
        "-S",
        str(ROOT / "lrap_otel/telemetry/__main__.py"),
        str(tmp_path),
    ]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=30
    )
    assert (done.returncode, done.stderr) == (7, b"19")
