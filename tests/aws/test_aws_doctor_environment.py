"""``doctor`` without an argument: in a process of its own, with real files, ports and servers."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.aws.conftest import COMMAND
from tests.aws.http_answers import HttpAnswers
from tests.ports import free_port
from tests.test_boot import REGISTERED
from tests.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
OURS = "/opt/lrap-otel/wrapper"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"


@pytest.fixture
def collector() -> Iterator[HttpAnswers]:
    server = HttpAnswers()
    yield server
    server.close()


@pytest.fixture
def opt(tmp_path: Path) -> Path:
    """A layer's files, as far as they are looked at."""
    folder = tmp_path / "opt"
    for name, source in (("extensions/lrap-otel", "entrypoint"), ("lrap-otel/wrapper", "wrapper")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "opt" / source, folder / name)
    machine = folder / "lrap-otel" / platform.machine()
    machine.mkdir()
    for name in ("python", "ld.so"):
        (machine / name).write_bytes(b"")
    return folder


def run(opt: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "LRAP_LISTENER_PORT": str(free_port()),
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "AWS_LAMBDA_EXEC_WRAPPER": OURS,
        **variables,
    }
    without_boto3 = "import sys; sys.modules['boto3'] = sys.modules['botocore'] = None; "
    command = [*COMMAND[:2], without_boto3 + COMMAND[2], "doctor", "--opt", str(opt), *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def found(opt: Path, *options: str, **variables: str) -> dict[str, str]:
    done = run(opt, "--json", *options, **variables)
    assert "Traceback" not in done.stderr
    (entry,) = json.loads(done.stdout)["subjects"]
    return {finding["check"]: finding["severity"] for finding in entry["findings"]}


def offline(opt: Path, **variables: str) -> dict[str, str]:
    return found(opt, "--offline", **variables)


def test_a_sandbox_that_is_well_set_up_gives_no_findings(opt: Path, collector: HttpAnswers) -> None:
    done = run(opt, **{ENDPOINT: collector.url, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512"})
    assert done.stdout == "this environment: nothing found\n0 errors, 0 warnings, 0 notes\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_a_workstation_is_no_sandbox_and_its_files_are_left_alone(tmp_path: Path) -> None:
    bare = {"AWS_LAMBDA_FUNCTION_NAME": "", "AWS_LAMBDA_EXEC_WRAPPER": ""}
    assert offline(tmp_path, **bare) == {"no-sandbox": "note"}
    assert offline(tmp_path, **{**bare, "LAMBDA_TASK_ROOT": "/var/task"}) == {
        "no-extension-file": "error",
        "no-wrapper-file": "error",
        "no-wrapper": "note",
    }
    silent = found(tmp_path, **{**bare, ENDPOINT: f"http://127.0.0.1:{free_port()}"})
    assert silent == {"no-sandbox": "note", "unreachable": "warning"}


def test_files_that_are_missing_or_not_executable(opt: Path) -> None:
    (opt / "lrap-otel/wrapper").chmod(0o644)
    assert offline(opt) == {"no-wrapper-file": "error"}
    (opt / "extensions/lrap-otel").unlink()
    assert offline(opt) == {"no-wrapper-file": "error", "no-extension-file": "error"}


def test_a_layer_for_another_architecture_or_without_its_interpreter(
    opt: Path, tmp_path: Path
) -> None:
    machine = opt / "lrap-otel" / platform.machine()
    (machine / "python").unlink()
    assert offline(opt) == {"no-interpreter": "error"}
    other = "aarch64" if platform.machine() == "x86_64" else "x86_64"
    machine.rename(machine.with_name(other))
    assert offline(opt) == {"architecture": "error"}
    shutil.rmtree(machine.with_name(other))
    assert offline(opt) == {}  # python3 is on the PATH
    assert offline(opt, PATH=str(tmp_path)) == {"no-interpreter": "error"}
    (opt / ".lrap-paths").touch()
    assert offline(opt, PATH=str(tmp_path)) == {}


def test_wrappers_that_are_not_there(opt: Path) -> None:
    theirs = opt / "otel-handler"
    assert offline(opt, LRAP_NEXT_WRAPPER="/opt/otel-handler") == {"wrapper-missing": "warning"}
    theirs.write_text("#!/bin/sh\n")
    assert offline(opt, LRAP_NEXT_WRAPPER="/opt/otel-handler") == {"wrapper-missing": "warning"}
    theirs.chmod(0o755)
    assert offline(opt, LRAP_NEXT_WRAPPER="/opt/otel-handler") == {}
    assert offline(opt, LRAP_NEXT_WRAPPER="env") == {}
    assert offline(opt, AWS_LAMBDA_EXEC_WRAPPER="/opt/otel-handler") == {"other-wrapper": "error"}
    both = {"other-wrapper": "warning", "wrapper-missing": "error"}
    assert offline(opt, AWS_LAMBDA_EXEC_WRAPPER="/no/\udc80where") == both


def test_without_a_wrapper_variable_a_child_of_the_runtime_shows_that_it_ran(opt: Path) -> None:
    assert offline(opt, AWS_LAMBDA_EXEC_WRAPPER="") == {"no-wrapper": "note"}
    port = str(free_port())
    behind = {"LRAP_LISTENER_PORT": port, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}"}
    assert offline(opt, AWS_LAMBDA_EXEC_WRAPPER="", **behind) == {}


def test_a_child_of_a_runtime_that_started_past_us(opt: Path) -> None:
    direct = {
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_RUNTIME_API": "169.254.100.1:9001",
    }
    assert offline(opt, **direct) == {"past-us": "warning"}
    assert offline(opt, **{**direct, "AWS_EXECUTION_ENV": ""}) == {}
    # Ours, though it cannot be seen whose it is.
    with socket.create_server(("127.0.0.1", 0)) as ours:
        port = str(ours.getsockname()[1])
        behind = {
            **direct,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
            "LRAP_LISTENER_PORT": port,
        }
        assert offline(opt, **behind) == {}
        other = {**behind, "LRAP_RUNTIME_API_ENDPOINT": "127.0.0.1:9"}
        assert offline(opt, **other) == {}


def test_what_the_extension_would_warn_of(opt: Path) -> None:
    variables = {"LRAP_FLUSH_BUDGET_MS": "soon", "LRAP_LOGLEVEL": "info", "OTEL_LOG_LEVEL": "debug"}
    assert offline(opt, **variables) == {
        "malformed-value": "warning",
        "misspelled": "warning",
        "not-used": "note",
    }
    assert offline(opt, **{ENDPOINT: "localhost:4318"}) == {"malformed-endpoint": "error"}


def test_memory_below_what_start_up_likes(opt: Path) -> None:
    assert offline(opt, AWS_LAMBDA_FUNCTION_MEMORY_SIZE="128") == {"memory": "warning"}
    assert offline(opt, AWS_LAMBDA_FUNCTION_MEMORY_SIZE="256") == {}
    assert offline(opt, AWS_LAMBDA_FUNCTION_MEMORY_SIZE="x") == {"malformed-value": "warning"}


def test_a_port_that_another_process_has_is_named_with_the_process(opt: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert offline(opt, LRAP_LISTENER_PORT=port) == {"port-taken": "error"}
        done = run(opt, "--offline", LRAP_LISTENER_PORT=port)
    assert done.returncode == 3
    name = Path(sys.executable).name
    assert (
        f"  error    Port {port} cannot be used: the process {name} listens there." in done.stdout
    )
    assert offline(opt, LRAP_LISTENER_PORT=port) == {}


def test_the_extension_itself_at_its_port_is_no_finding(opt: Path) -> None:
    api, port = Upstream(), str(free_port())
    environment = {"PATH": os.environ["PATH"], "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.port}"}
    with subprocess.Popen(
        [ROOT / "opt/entrypoint"], env={**environment, "LRAP_LISTENER_PORT": port}
    ) as extension:
        lambda_side = api.accept()
        lambda_side.read_message()
        lambda_side.send(REGISTERED)
        assert offline(opt, LRAP_LISTENER_PORT=port) == {}
        extension.kill()
    api.close()


def test_the_collector_gets_what_the_extension_would_send_it_and_nothing_in_it(
    opt: Path, collector: HttpAnswers
) -> None:
    assert found(opt, **{ENDPOINT: collector.url, HEADERS: "api-key=s3cr3t"}) == {}
    assert [(path, headers["api-key"], body) for path, headers, body in collector.asked] == [
        ("/v1/traces", "s3cr3t", b""),
        ("/v1/metrics", "s3cr3t", b""),
    ]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, {"credentials-refused": "error"}),
        (403, {"credentials-refused": "error"}),
        (404, {"endpoint-path": "error"}),
        (405, {"endpoint-path": "error"}),
        (500, {"endpoint-answer": "warning"}),
        (503, {"endpoint-answer": "warning"}),
        (202, {}),
    ],
)
def test_what_the_collectors_answer_says(opt: Path, status: int, expected: dict[str, str]) -> None:
    server = HttpAnswers(otherwise=status)
    assert found(opt, **{ENDPOINT: server.url}) == expected
    server.close()


@pytest.mark.parametrize(
    ("status", "expected"), [(403, {"aws-answer": "error"}), (400, {}), (200, {})]
)
def test_awss_own_endpoint_is_asked_with_a_signature_and_its_refusal_explained(
    opt: Path, status: int, expected: dict[str, str]
) -> None:
    proxy = HttpAnswers(otherwise=status)
    variables = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://xray.eu-west-1.amazonaws.com/v1/traces",
        "OTEL_METRICS_EXPORTER": "none",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "s3cr3t",
        "http_proxy": proxy.url,
    }
    done = run(opt, "--json", **variables)
    proxy.close()
    (entry,) = json.loads(done.stdout)["subjects"]
    checks = {finding["check"]: finding["severity"] for finding in entry["findings"]}
    assert checks == {"http-for-https": "error", **expected}
    assert ("xray:PutSpansForIndexing" in done.stdout) is bool(expected)
    assert "s3cr3t" not in done.stdout + done.stderr
    ((_, fields, _),) = proxy.asked
    assert fields["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")


def test_an_endpoint_whose_settings_refer_to_secrets_is_not_asked(
    opt: Path, collector: HttpAnswers
) -> None:
    secret = "${arn:aws:secretsmanager:eu-west-1:123456789012:secret:name-AbCdEf}"
    assert found(opt, **{ENDPOINT: collector.url, HEADERS: f"api-key={secret}"}) == {
        "secrets": "note"
    }
    assert collector.asked == []


def test_no_secret_is_printed_whatever_goes_wrong(opt: Path) -> None:
    server = HttpAnswers(otherwise=401)
    url = server.url.replace("//", "//me:s3cr3t1@") + "/s3cr3t2?key=s3cr3t3"
    secrets = {
        ENDPOINT: url,
        HEADERS: "api-key=s3cr3t4",
        "OTHER": "s3cr3t5",
        "LRAP_TYPO": "s3cr3t6",
    }
    done = run(opt, **secrets)
    silent = run(
        opt,
        **{**secrets, ENDPOINT: f"http://me:s3cr3t1@127.0.0.1:{free_port()}/s3cr3t2?key=s3cr3t3"},
    )
    server.close()
    assert (done.returncode, silent.returncode) == (3, 3)
    assert "s3cr3t" not in done.stdout + done.stderr + silent.stdout + silent.stderr


def test_nobody_at_the_endpoint_is_said_with_where_it_was_asked_from(opt: Path) -> None:
    done = run(opt, **{ENDPOINT: f"http://127.0.0.1:{free_port()}"})
    assert done.returncode == 3
    assert (
        f"cannot be reached from here ({socket.gethostname()}): connection refused." in done.stdout
    )


def test_an_endpoint_that_speaks_no_tls_or_does_not_answer_at_all(
    opt: Path, collector: HttpAnswers
) -> None:
    assert found(opt, **{ENDPOINT: collector.url.replace("http", "https")}) == {
        "https-for-http": "warning",
        "unreachable": "error",
    }
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        done = run(opt, **{ENDPOINT: f"https://127.0.0.1:{silent.getsockname()[1]}"})
    assert done.returncode == 3
    assert done.stdout.count("cannot be reached from here") == 1
    assert "in time" in done.stdout


def test_a_certificate_file_that_is_not_there(opt: Path, collector: HttpAnswers) -> None:
    variables: dict[str, Any] = {
        ENDPOINT: collector.url,
        "OTEL_EXPORTER_OTLP_CERTIFICATE": "/no/such.pem",
    }
    assert found(opt, **variables) == {}  # plain http needs none
    variables[ENDPOINT] = collector.url.replace("http", "https")
    assert found(opt, **variables)["unusable-endpoint"] == "error"


def test_nothing_is_asked_offline_or_if_everything_is_switched_off(
    opt: Path, collector: HttpAnswers
) -> None:
    assert offline(opt, **{ENDPOINT: collector.url}) == {}
    assert found(opt, **{ENDPOINT: collector.url, "LRAP_ENABLED": "false"}) == {
        "switched-off": "warning"
    }
    assert collector.asked == []
