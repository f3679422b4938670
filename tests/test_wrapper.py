"""The wrapper starts the runtime exactly as it would have started, redirected if and only if the proxy answers."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

WRAPPER = Path(__file__).parents[1] / "opt/wrapper"
RUNTIME_API = "169.254.100.1:9001"

# A runtime that tells how it was started; of the signals, those that are not the C library's own (32 and above).
RUNTIME = """
import json, os, sys
status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if line.startswith("Sig"))
descriptors = sorted(int(name) for name in os.listdir("/proc/self/fd"))
print(json.dumps({"arguments": sys.argv[1:], "environment": dict(os.environ), "ignored": int(status["SigIgn"], 16) & 0x7FFFFFFF, "open": descriptors, "pid": os.getpid()}))
sys.exit(7)
"""
ARGUMENTS = ["a b", "", "'quoted'", "$HOME", "*", "-c", "--", "\\n", "ü"]

# What a shell may set anew in whatever it starts.
SHELL_VARIABLES = {"_", "PWD", "OLDPWD", "SHLVL"}

Answer = Callable[[socket.socket], object]


@contextmanager
def listening(answer: Answer) -> Iterator[tuple[int, list[bytes]]]:
    """A server for one question: its port, and the questions it was asked."""
    questions: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                question = b""
                while b"\r\n\r\n" not in question:
                    question += connection.recv(65_536)
                questions.append(question)
                answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], questions
        thread.join(5)


def answer_as_the_proxy(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 lrap-otel\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")


@pytest.fixture(params=["bash", "another shell, bash installed", "no bash at all"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[list[str], str]:
    """How the wrapper is run: the command, and the PATH it finds."""
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "sh").symlink_to(shutil.which("dash") or "/bin/sh")
    if request.param == "bash":
        return ["bash", "--posix", str(WRAPPER)], os.environ["PATH"]
    if request.param == "another shell, bash installed":
        (commands / "bash").symlink_to(shutil.which("bash") or "/bin/bash")
    return [str(commands / "sh"), str(WRAPPER)], str(commands)


def start(shell: tuple[list[str], str], port: int, **variables: str) -> subprocess.CompletedProcess[str]:
    command, path = shell
    environment = {"PATH": path, "AWS_LAMBDA_RUNTIME_API": RUNTIME_API, "LRAP_LISTENER_PORT": str(port), **variables}
    return subprocess.run(
        [*command, sys.executable, "-c", RUNTIME, *ARGUMENTS],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_the_runtime_is_redirected_when_the_proxy_answers_and_is_otherwise_as_it_was(
    shell: tuple[list[str], str],
) -> None:
    with listening(answer_as_the_proxy) as (port, _):
        wrapped = start(shell, port)
    alone = subprocess.run(
        [sys.executable, "-c", RUNTIME, *ARGUMENTS],
        env={"PATH": shell[1], "AWS_LAMBDA_RUNTIME_API": RUNTIME_API, "LRAP_LISTENER_PORT": str(port)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (wrapped.returncode, wrapped.stderr) == (7, "")
    seen, expected = json.loads(wrapped.stdout), json.loads(alone.stdout)
    assert seen.pop("pid") != expected.pop("pid")
    assert seen["environment"].pop("AWS_LAMBDA_RUNTIME_API") == f"127.0.0.1:{port}"
    assert expected["environment"].pop("AWS_LAMBDA_RUNTIME_API") == RUNTIME_API
    for name in SHELL_VARIABLES:
        seen["environment"].pop(name, None)
        expected["environment"].pop(name, None)
    assert seen == expected


def test_the_proxy_is_told_what_lambda_tells_only_runtimes(shell: tuple[list[str], str]) -> None:
    told = {
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/function",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/22/[$LATEST]0123",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "_HANDLER": "app.handler\r\nInjected: yes",
    }
    with listening(answer_as_the_proxy) as (port, questions):
        wrapped = start(shell, port, **told)
    lines = questions[0].split(b"\r\n")
    assert lines[0] == b"GET /lrap-otel/hello HTTP/1.1"
    # What execs keeps its process id, so the wrapper's is the runtime's.
    assert lines[2] == b"Lrap-Runtime-Pid: %d" % json.loads(wrapped.stdout)["pid"]
    assert lines[3:7] == [
        b"Lrap-Log-Group: /aws/lambda/function",
        b"Lrap-Log-Stream: 2026/11/22/[$LATEST]0123",
        b"Lrap-Execution-Env: AWS_Lambda_python3.13",
        b"Lrap-Handler: app.handlerInjected: yes",
    ]


def say_something_else(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


def say_nothing(connection: socket.socket) -> None:
    connection.recv(1)  # until the wrapper gives up


@pytest.mark.parametrize(
    "stranger", [socket.socket.close, say_something_else, say_nothing], ids=["closes", "is another", "is mute"]
)
def test_a_stranger_at_the_port_leaves_the_runtime_untouched(shell: tuple[list[str], str], stranger: Answer) -> None:
    with listening(stranger) as (port, _):
        wrapped = start(shell, port)
    assert json.loads(wrapped.stdout)["environment"]["AWS_LAMBDA_RUNTIME_API"] == RUNTIME_API
    assert (wrapped.returncode, wrapped.stderr) == (7, "")


def test_nobody_at_the_port_leaves_the_runtime_untouched(shell: tuple[list[str], str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    wrapped = start(shell, port)
    assert json.loads(wrapped.stdout)["environment"]["AWS_LAMBDA_RUNTIME_API"] == RUNTIME_API
    assert (wrapped.returncode, wrapped.stderr) == (7, "")


def test_a_port_that_is_no_number_leaves_the_runtime_untouched(shell: tuple[list[str], str]) -> None:
    wrapped = start(shell, 0, LRAP_LISTENER_PORT="$(touch /tmp/x); 9009")
    assert json.loads(wrapped.stdout)["environment"]["AWS_LAMBDA_RUNTIME_API"] == RUNTIME_API
    assert (wrapped.returncode, wrapped.stderr) == (7, "")


def test_the_wrapper_whose_place_ours_takes_is_run_as_well(shell: tuple[list[str], str], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text('#!/bin/sh\nOTHER_WAS_HERE=yes exec "$@"\n')
    other.chmod(0o755)
    with listening(answer_as_the_proxy) as (port, _):
        wrapped = start(shell, port, LRAP_NEXT_WRAPPER=str(other))
    environment = json.loads(wrapped.stdout)["environment"]
    assert environment["OTHER_WAS_HERE"] == "yes"
    assert environment["AWS_LAMBDA_RUNTIME_API"] == f"127.0.0.1:{port}"


@pytest.mark.parametrize("place", ["wrapper", "lrap-otel/wrapper"])
def test_without_bash_the_wrapper_finds_an_interpreter_as_the_entrypoint_does(tmp_path: Path, place: str) -> None:
    layer, commands = tmp_path / "opt", tmp_path / "bin"
    (layer / "lrap-otel").mkdir(parents=True)
    commands.mkdir()
    wrapper = shutil.copy(WRAPPER, layer / place)
    (layer / "lrap_otel").symlink_to(WRAPPER.parents[1] / "lrap_otel")
    (layer / ".lrap-paths").write_text("LRAP_PYTHON=/gone/python3\r\n")
    (commands / "sh").symlink_to(shutil.which("dash") or "/bin/sh")
    (commands / "python3").symlink_to(Path(sys.executable).resolve())
    with listening(answer_as_the_proxy) as (port, _):
        wrapped = start(([str(commands / "sh"), str(wrapper)], str(commands)), port)
    assert json.loads(wrapped.stdout)["environment"]["AWS_LAMBDA_RUNTIME_API"] == f"127.0.0.1:{port}"
