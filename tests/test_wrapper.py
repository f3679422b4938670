"""The wrapper starts the runtime exactly as it would have started, redirected if and only if the
proxy answers.
"""

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

from tests.upstream import Peer

WRAPPER = Path(__file__).parents[1] / "opt/wrapper"
RUNTIME_API = "169.254.100.1:9001"

# A runtime that tells how it was started; of the signals, those that are not the C library's own
# (32 and above).
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
    connection.sendall(
        b"HTTP/1.1 200 lrap-otel\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )


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


def start(
    shell: tuple[list[str], str], port: int, **variables: str
) -> subprocess.CompletedProcess[str]:
    command, path = shell
    environment = {
        "PATH": path,
        "AWS_LAMBDA_RUNTIME_API": RUNTIME_API,
        "LRAP_LISTENER_PORT": str(port),
        **variables,
    }
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
        env={
            "PATH": shell[1],
            "AWS_LAMBDA_RUNTIME_API": RUNTIME_API,
            "LRAP_LISTENER_PORT": str(port),
        },
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
    assert lines[3] == b"Lrap-Wrapper: " + str(shell[0][-1]).encode()
    assert lines[4:8] == [
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
    "stranger",
    [socket.socket.close, say_something_else, say_nothing],
    ids=["closes", "is another", "is mute"],
)
def test_a_stranger_at_the_port_leaves_the_runtime_untouched(
    shell: tuple[list[str], str], stranger: Answer
) -> None:
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


def test_a_port_that_is_no_number_runs_nothing(
    shell: tuple[list[str], str], tmp_path: Path
) -> None:
    wrapped = start(shell, 0, LRAP_LISTENER_PORT=f"$(touch {tmp_path}/x); 9009")
    assert (wrapped.returncode, wrapped.stderr) == (7, "")
    assert not (tmp_path / "x").exists()


def test_the_wrapper_whose_place_ours_takes_is_run_as_well(
    shell: tuple[list[str], str], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.write_text('#!/bin/sh\nOTHER_WAS_HERE=yes exec "$@"\n')
    other.chmod(0o755)
    with listening(answer_as_the_proxy) as (port, _):
        wrapped = start(shell, port, LRAP_NEXT_WRAPPER=str(other))
    environment = json.loads(wrapped.stdout)["environment"]
    assert environment["OTHER_WAS_HERE"] == "yes"
    assert environment["AWS_LAMBDA_RUNTIME_API"] == f"127.0.0.1:{port}"


@pytest.mark.parametrize("place", ["wrapper", "lrap-otel/wrapper"])
def test_without_bash_the_wrapper_finds_an_interpreter_as_the_entrypoint_does(
    tmp_path: Path, place: str
) -> None:
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
    assert (
        json.loads(wrapped.stdout)["environment"]["AWS_LAMBDA_RUNTIME_API"] == f"127.0.0.1:{port}"
    )


def file_with(path: Path, text: str, mode: int) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


NEXT_WRAPPERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "blanks": (lambda folder: "  ", "is not there or not executable"),
    "not there": (lambda folder: folder / "gone", "is not there or not executable"),
    "no such command": (
        lambda folder: "lrap-otel-no-such-command",
        "is not there or not executable",
    ),
    "not executable": (
        lambda folder: file_with(folder / "x", "#!/bin/sh\n", 0o644),
        "is not there or not executable",
    ),
    "a folder": (lambda folder: folder, "is not there or not executable"),
    "a pipe that nobody writes": (
        lambda folder: pipe(folder / "x"),
        "is not there or not executable",
    ),
    "ourselves": (lambda folder: WRAPPER, "is this wrapper itself"),
    "a link to us": (lambda folder: symlink(folder / "x", WRAPPER), "is this wrapper itself"),
    "a copy of us": (lambda folder: shutil.copy(WRAPPER, folder / "x"), "is this wrapper itself"),
    "no interpreter": (
        lambda folder: file_with(folder / "x", "#!/no/such\n", 0o755),
        "cannot be started",
    ),
}


def pipe(path: Path) -> Path:
    os.mkfifo(path, 0o755)
    path.chmod(0o755)
    return path


def symlink(path: Path, to: Path) -> Path:
    path.symlink_to(to)
    return path


@pytest.mark.parametrize("kind", NEXT_WRAPPERS)
def test_where_the_next_wrapper_cannot_be_run_the_runtime_starts_and_a_line_says_why(
    shell: tuple[list[str], str], tmp_path: Path, kind: str
) -> None:
    make, reason = NEXT_WRAPPERS[kind]
    (tmp_path / "next").mkdir()
    name = make(tmp_path / "next")
    with listening(answer_as_the_proxy) as (port, _):
        wrapped = start(shell, port, LRAP_NEXT_WRAPPER=str(name))
    told = json.loads(wrapped.stdout)
    assert (wrapped.returncode, told["arguments"]) == (7, ARGUMENTS)
    assert told["environment"]["AWS_LAMBDA_RUNTIME_API"] == f"127.0.0.1:{port}"
    (line,) = [line for line in wrapped.stderr.splitlines() if line.startswith("lrap-otel: ")]
    assert (
        line
        == f"lrap-otel: warning: LRAP_NEXT_WRAPPER={name} {reason}; the runtime starts without it"
    )


@pytest.mark.parametrize("options", ["nounset", "errexit", "errexit:nounset"])
def test_a_shell_that_was_told_to_end_at_trifles_starts_the_runtime_and_is_told_so_again(
    shell: tuple[list[str], str], tmp_path: Path, options: str
) -> None:
    # Bash obeys the variable SHELLOPTS of whoever starts it, and changes it when its options
    # change.
    command, path = shell
    if command[0] != "bash":
        letters = "".join(
            letter for letter, name in (("e", "errexit"), ("u", "nounset")) if name in options
        )
        command = [command[0], f"-{letters}", *command[1:]]
    other = file_with(tmp_path / "other", '#!/bin/sh\nexec "$@"\n', 0o755)
    for variables in ({}, {"LRAP_NEXT_WRAPPER": str(other)}):
        with listening(answer_as_the_proxy) as (port, _):
            wrapped = start((command, path), port, SHELLOPTS=options, **variables)
        assert wrapped.returncode == 7, wrapped.stderr
        environment = json.loads(wrapped.stdout)["environment"]
        assert environment["AWS_LAMBDA_RUNTIME_API"] == f"127.0.0.1:{port}"
        assert set(options.split(":")) <= set(environment["SHELLOPTS"].split(":"))


def test_wrappers_that_name_each_other_start_the_runtime(
    shell: tuple[list[str], str], tmp_path: Path
) -> None:
    other = file_with(tmp_path / "other", f'#!/bin/sh\nexec {WRAPPER} "$@"\n', 0o755)
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    assert start(shell, port, LRAP_NEXT_WRAPPER=str(other)).returncode == 7


PROXY = {"http_proxy": "http://proxy.invalid:3128"}


@pytest.mark.parametrize(
    ("variables", "lower", "upper"),
    [
        ({}, None, None),
        ({"no_proxy": "a"}, "a", None),
        (PROXY, "127.0.0.1", "127.0.0.1"),
        ({"HTTP_PROXY": "x"}, "127.0.0.1", "127.0.0.1"),
        ({"all_proxy": "x"}, "127.0.0.1", "127.0.0.1"),
        ({"ALL_PROXY": "x"}, "127.0.0.1", "127.0.0.1"),
        ({"http_proxy": ""}, None, None),
        (
            {**PROXY, "no_proxy": "169.254.100.1"},
            "169.254.100.1,127.0.0.1",
            "169.254.100.1,127.0.0.1",
        ),
        ({**PROXY, "NO_PROXY": "a,b"}, "a,b,127.0.0.1", "a,b,127.0.0.1"),
        ({**PROXY, "NO_PROXY": "a", "no_proxy": "b"}, "b,127.0.0.1", "a,127.0.0.1"),
        ({**PROXY, "NO_PROXY": "a", "no_proxy": ""}, "127.0.0.1", "a,127.0.0.1"),
        ({**PROXY, "no_proxy": "*"}, "*", None),
        ({**PROXY, "NO_PROXY": "*"}, None, "*"),
        ({**PROXY, "no_proxy": "*,a"}, "*,a,127.0.0.1", "*,a,127.0.0.1"),
        ({**PROXY, "no_proxy": "127.0.0.1"}, "127.0.0.1", None),
        ({**PROXY, "no_proxy": "a, 127.0.0.1 ,b"}, "a, 127.0.0.1 ,b", None),
        ({**PROXY, "no_proxy": "127.0.0.10,x127.0.0.1"}, *["127.0.0.10,x127.0.0.1,127.0.0.1"] * 2),
        ({**PROXY, "no_proxy": "127.0.0.1", "NO_PROXY": "a"}, "127.0.0.1", "a,127.0.0.1"),
    ],
)
def test_what_goes_past_a_companys_proxy(
    shell: tuple[list[str], str], variables: dict[str, str], lower: str | None, upper: str | None
) -> None:
    with listening(answer_as_the_proxy) as (port, _):
        environment = json.loads(start(shell, port, **variables).stdout)["environment"]
    assert (environment.get("no_proxy"), environment.get("NO_PROXY")) == (lower, upper)


def test_where_the_runtime_is_not_redirected_what_it_is_told_of_proxies_stays(
    shell: tuple[list[str], str],
) -> None:
    with listening(say_something_else) as (port, _):
        environment = json.loads(start(shell, port, **PROXY).stdout)["environment"]
    assert not {"no_proxy", "NO_PROXY"} & environment.keys()


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
@pytest.mark.parametrize("name", ["http_proxy", "ALL_PROXY"])
def test_a_runtime_made_of_curl_reaches_us_in_spite_of_a_companys_proxy(
    shell: tuple[list[str], str], name: str
) -> None:
    """Curl goes where it is told: without an exemption for our address, the poll reaches the
    company's proxy.
    """
    event = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nevent"
    command, path = shell
    with (
        socket.create_server(("127.0.0.1", 0)) as ours,
        socket.create_server(("127.0.0.1", 0)) as companys,
    ):
        port = ours.getsockname()[1]
        environment = {
            "PATH": path,
            "AWS_LAMBDA_RUNTIME_API": RUNTIME_API,
            "LRAP_LISTENER_PORT": str(port),
            "no_proxy": RUNTIME_API.partition(":")[0],
            name: f"http://127.0.0.1:{companys.getsockname()[1]}",
        }
        script = f'{shutil.which("curl")} -s -m 10 "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next"'
        runtime = subprocess.Popen(
            [*command, "/bin/sh", "-c", script], env=environment, stdout=subprocess.PIPE
        )
        ours.settimeout(10)
        companys.settimeout(0)
        for answer in (b"HTTP/1.1 200 lrap-otel\r\nContent-Length: 2\r\n\r\n{}", event):
            connection, _ = ours.accept()
            with connection:
                Peer(connection).read_head()
                connection.sendall(answer)
        out, _ = runtime.communicate(timeout=10)
        assert out == b"event"
        with pytest.raises(BlockingIOError):
            companys.accept()
