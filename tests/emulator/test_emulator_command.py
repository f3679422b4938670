"""``emulate`` and ``invoke`` as a user types them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lrap_otel.emulator.__main__ import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lrap_otel.emulator import Config

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAM = [sys.executable, "-m", "lrap_otel.emulator"]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(Path(__file__).parents[2]),
    "COLUMNS": "100",
    "PYTHONIOENCODING": "utf-8",
}
# The arguments in the line that says how to send an event.
ADVICE = r"try +lrap-otel (invoke.*)"
ECHO_EVENT = '{"headers":{"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}'
EXPORTING_EXTENSION = """
import http.client
from urllib.parse import urlsplit
sys.path[:0] = json.loads(os.environ["SITE"])
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

def export(path, message):
    connection = http.client.HTTPConnection(urlsplit(os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"]).netloc)
    connection.request("POST", path, message.SerializeToString(), {"Content-Type": "application/x-protobuf"})
    connection.getresponse().read()

me = client.register(os.path.basename(sys.argv[0]))["Lambda-Extension-Identifier"]
while (event := json.loads(client.next_event(me).body))["eventType"] == "INVOKE":
    traces = ExportTraceServiceRequest()
    span = traces.resource_spans.add().scope_spans.add().spans.add(name="invocation", kind=2, span_id=os.urandom(8))
    span.trace_id = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
    span.parent_span_id = bytes.fromhex(os.environ["PARENT"])
    span.start_time_unix_nano, span.end_time_unix_nano = 1000000, 2000000
    span.attributes.add(key="faas.invocation_id").value.string_value = event["requestId"]
    export("/v1/traces", traces)
metrics = ExportMetricsServiceRequest()
metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="lrap.proxy.overhead").histogram
metric.aggregation_temporality = 1
point = metric.data_points.add(count=2, sum=0.0002, explicit_bounds=[0.0001, 0.0002], bucket_counts=[1, 1, 0])
point.attributes.add(key="lrap.endpoint").value.string_value = "next"
export("/v1/metrics", metrics)
"""


@pytest.fixture
def event(tmp_path: Path) -> str:
    path = tmp_path / "event.json"
    path.write_text(ECHO_EVENT)
    return str(path)


@pytest.fixture
def exporting(script: Callable[[str, str], Path]) -> list[str]:
    path = script("exporting", EXPORTING_EXTENSION)
    return ["--extension", f"exporting={path}", "--env", f"SITE={json.dumps(sys.path)}"]


def emulating(*words: str) -> subprocess.Popen[str]:
    """``emulate`` in a process of its own."""
    return subprocess.Popen(
        [*PROGRAM, "emulate", "--without-lrap", *words],
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=ENVIRONMENT,
    )


def first_match(pattern: str, lines: Iterable[str]) -> str:
    """The group in the first line that has the pattern."""
    return next(found[1] for line in lines if (found := re.search(pattern, line)))


def invoked_as_advised(advice: str, event: str) -> Any:
    """The result of the ``invoke`` that the emulator advises, with this file as its event."""
    command = [*PROGRAM, *advice.split()[:-1], event]
    return json.loads(subprocess.check_output(command, env=ENVIRONMENT))


def test_the_example_events_run_through_and_exit_0(capsys: pytest.CaptureFixture[str]) -> None:
    events = [str(EXAMPLES / "events" / name) for name in ("http.json", "sqs.json", "error.json")]
    command = [sys.executable, "-m", "awslambdaric", "app.handler"]
    assert (
        run(
            [
                "emulate",
                "--without-lrap",
                "--cwd",
                str(EXAMPLES / "python"),
                "--event",
                *events,
                "--",
                *command,
            ]
        )
        == 0
    )
    out, err = capsys.readouterr()
    assert err == ""
    assert "traceparent 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" in out
    assert 'returned    {"batchItemFailures": []}' in out
    assert 'body        {"pet": "42"' in out
    assert "status      error, result after" in out


def test_the_readmes_example_of_a_function_of_ones_own_runs_as_it_is_written() -> None:
    root = Path(__file__).parents[2]
    blocks = re.findall(r"```sh\n(.*?)```", (root / "README.md").read_text(), re.DOTALL)
    (example,) = (block for block in blocks if "lrap-otel" in block and "app.py" in block)
    ran = subprocess.run(
        ["sh", "-e", "-c", example],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert 'returned    "hello you"' in ran.stdout
    assert re.search(r"trace [0-9a-f]{32}\n +function server ", ran.stdout)


def test_traces_and_overhead_are_shown_and_required(
    config: Callable[..., Config],
    event: str,
    exporting: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    common = ["emulate", "--without-lrap", "--event", event, "--require-traces", *exporting]
    assert run([*common, "--env", "PARENT=00f067aa0ba902b7", "--", *config().command]) == 0
    out = capsys.readouterr().out
    assert "invocation server   1.00 ms ███" in out
    assert "next        p50 100 µs, mean 100 µs, 2 calls" in out
    assert "elsewhere" not in out
    assert re.search(r"extension exporting: SHUTDOWN seen, exit 0, \d+ ms", out)


def test_a_span_with_another_parent_than_the_events_fails(
    config: Callable[..., Config],
    event: str,
    exporting: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert (
        run(
            [
                "emulate",
                "--without-lrap",
                "--event",
                event,
                *exporting,
                "--env",
                "PARENT=1111111111111111",
                "--",
                *config().command,
            ]
        )
        == 1
    )
    assert (
        "has trace 4bf92f3577b34da6a3ce929d0e0e4736, parent 1111111111111111, the event said 00-4bf9"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("extension", "said"),
    [
        ("time.sleep(60)", "failed: extension mine did not register within 1 s"),
        ("sys.exit(4)", "failed: extension mine exited before SHUTDOWN: exit status 4"),
    ],
)
def test_a_step_that_fails_is_one_clear_line(
    config: Callable[..., Config],
    event: str,
    capsys: pytest.CaptureFixture[str],
    extension: str,
    said: str,
) -> None:
    made = config(extensions={"mine": extension})
    assert (
        run(
            [
                "emulate",
                "--without-lrap",
                "--init-timeout",
                "1",
                "--timeout",
                "1",
                "--extension",
                f"mine={made.extensions['mine']}",
                "--event",
                event,
                "--",
                *made.command,
            ]
        )
        == 1
    )
    assert capsys.readouterr().err.startswith(said)


def test_a_crash_in_the_middle_of_an_invocation_fails(
    config: Callable[..., Config], event: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run(
            [
                "emulate",
                "--without-lrap",
                "--event",
                event,
                "--",
                *config("client.next()\nsys.exit(1)").command,
            ]
        )
        == 1
    )
    assert (
        "failed: Runtime exited with error: exit status 1; see what the function printed above"
        in capsys.readouterr().err
    )


def test_an_extension_that_exits_with_an_error_fails(
    config: Callable[..., Config],
    good_extension: str,
    event: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = config(extensions={"bad": good_extension.replace("sys.exit(0)", "sys.exit(5)")})
    assert (
        run(
            [
                "emulate",
                "--without-lrap",
                "--opt",
                str(made.extensions["bad"].parents[1]),
                "--event",
                event,
                "--",
                *made.command,
            ]
        )
        == 1
    )
    assert (
        "failed: extension bad ended with 5 after SHUTDOWN; it must exit with 0"
        in capsys.readouterr().err
    )


def test_traces_that_go_elsewhere_are_said_to(
    config: Callable[..., Config], event: str, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = "https://user:secret@collector.example:4318/here?token=secret"
    environment = ["--env", f"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT={elsewhere}"]
    assert (
        run(["emulate", "--without-lrap", "--event", event, *environment, "--", *config().command])
        == 0
    )
    out = capsys.readouterr().out.replace("\n              ", "")
    assert (
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT sends to https://collector.example:4318/here: look there"
        in out
    )
    assert "secret" not in out


def test_an_init_that_is_too_slow_twice_is_told_with_an_option_that_there_is(
    config: Callable[..., Config], event: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--init-timeout", "0.3", "--timeout", "0.5"]
    assert (
        run(
            [
                "emulate",
                "--without-lrap",
                *options,
                "--event",
                event,
                "--",
                *config("time.sleep(60)").command,
            ]
        )
        == 1
    )
    out, err = capsys.readouterr()
    assert "Lambda runs init again, within the first invocation and its time-out" in out
    assert "init did not end within 0.5 s: the runtime did not ask for an event" in err
    assert "allow more with --init-timeout" in err


def test_each_option_that_a_message_advises_exists(capsys: pytest.CaptureFixture[str]) -> None:
    known = ""
    for command in ("emulate", "invoke"):
        with pytest.raises(SystemExit):
            run([command, "--help"])
        known += capsys.readouterr().out
    sources = (Path(__file__).parents[2] / "lrap_otel" / "emulator").glob("*.py")
    advised = {
        option
        for source in sources
        for option in re.findall(r"(?<![\w-])--[a-z-]+", source.read_text())
    }
    assert advised
    assert [option for option in sorted(advised) if option not in known] == []


def test_a_late_trace_is_shown_below_the_invocation_that_it_belongs_to(
    config: Callable[..., Config],
    exporting: list[str],
    event: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = exporting[1].partition("=")[2]
    late = (
        Path(path)
        .read_text()
        .replace(
            '    export("/v1/traces", traces)', '    kept = [traces] + globals().get("kept", [])'
        )
    )
    late = late.replace(
        "metrics = Export",
        'for traces in kept:\n    export("/v1/traces", traces)\nmetrics = Export',
        1,
    )
    Path(path).write_text(late)
    second = tmp_path / "second.json"
    second.write_text(ECHO_EVENT)
    argv = [
        "emulate",
        "--without-lrap",
        "--require-traces",
        *exporting,
        "--env",
        "PARENT=00f067aa0ba902b7",
        "--event",
        event,
        str(second),
    ]
    assert run([*argv, "--", *config().command]) == 0
    out = capsys.readouterr().out
    ends = out[out.index("shutdown") :]
    titles = re.findall(r"event \w+\.json: its trace|invocation server", ends)
    assert sorted(titles[::2]) == ["event event.json: its trace", "event second.json: its trace"]
    assert titles[1::2] == ["invocation server"] * 2


def test_a_missing_event_file_and_a_taken_port_are_told(
    config: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["emulate", "--without-lrap", "--event", "/nowhere.json", "--", "true"]) == 1
    assert "there is no file /nowhere.json" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert (
            run(["emulate", "--without-lrap", "--port", str(taken.getsockname()[1]), "--", "true"])
            == 1
        )
    assert "choose another --port" in capsys.readouterr().err


def test_a_setting_without_a_value_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["emulate", "--without-lrap", "--env", "NOTHING", "--", "true"])
    assert "--env" in capsys.readouterr().err


def test_without_events_it_serves_until_ctrl_c(
    config: Callable[..., Config], exporting: list[str], event: str
) -> None:
    words = [*exporting, "--env", "PARENT=00f067aa0ba902b7", "--", *config().command]
    with emulating(*words) as serving:
        assert serving.stdout
        try:
            assert invoked_as_advised(first_match(ADVICE, serving.stdout), event) == json.loads(
                ECHO_EVENT
            )
            assert any("invocation server" in line for line in serving.stdout)
            serving.send_signal(signal.SIGINT)
            rest = serving.stdout.read()
        finally:
            serving.send_signal(signal.SIGINT)
    assert "extension exporting: SHUTDOWN seen, exit 0" in rest
    assert serving.returncode == 0


def test_ctrl_c_in_the_middle_of_an_event_ends_everything(
    config: Callable[..., Config], event: str
) -> None:
    made = config("client.next()\nprint(os.getpid(), flush=True)\ntime.sleep(60)")
    with emulating("--timeout", "1", "--event", event, "--", *made.command) as running:
        assert running.stdout
        pid = int(first_match(r"function \| (\d+)", running.stdout))
        running.send_signal(signal.SIGINT)
        running.stdout.read()
    assert running.returncode in {1, 130}
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_invoking_nobody_says_so(event: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["invoke", "--port", "1", event]) == 1
    assert "is an emulator listening on port 1?" in capsys.readouterr().err


def test_the_second_of_two_emulators_says_which_port_it_took(
    config: Callable[..., Config], event: str
) -> None:
    running: list[subprocess.Popen[str]] = []
    advice = []
    try:
        for _ in range(2):
            one = emulating("--", *config().command)
            running.append(one)
            assert one.stdout
            advice.append(first_match(ADVICE, one.stdout))
        for words in advice:
            assert invoked_as_advised(words, event) == json.loads(ECHO_EVENT)
    finally:
        for one in running:
            one.send_signal(signal.SIGINT)
            one.communicate()
    assert advice[1].startswith("invoke --port ")
