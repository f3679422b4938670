"""Processes from init to SHUTDOWN: what Lambda does when they behave, and when they do not."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lrap_otel.emulator import Config, Emulator, SandboxError, SandboxTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.emulator import ExtensionReport, Outcome

REGISTER = 'me = client.register(os.path.basename(sys.argv[0]))["Lambda-Extension-Identifier"]\n'
POLL = "event = json.loads(client.next_event(me).body)\n"


def once(config: Config) -> tuple[Outcome, list[ExtensionReport], Emulator]:
    """One event, then SHUTDOWN."""

    async def run() -> tuple[Outcome, list[ExtensionReport], Emulator]:
        async with Emulator(config) as emulator:
            return await emulator.invoke(b'{"a":1}'), await emulator.shutdown(), emulator

    return asyncio.run(run())


def printed(emulator: Emulator, source: str) -> list[str]:
    return [line for name, line in emulator.output if name == source]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_extension_and_runtime_work_together_and_end_cleanly(
    config: Callable[..., Config], good_extension: str
) -> None:
    outcome, reports, emulator = once(config(extensions={"watcher": good_extension}))
    assert (outcome.status, outcome.payload) == ("success", b'{"a":1}')
    invoke, shutdown = (json.loads(line) for line in printed(emulator, "watcher"))
    assert (invoke["eventType"], invoke["requestId"]) == ("INVOKE", outcome.request_id)
    assert (shutdown["eventType"], shutdown["shutdownReason"]) == ("SHUTDOWN", "spindown")
    (report,) = reports
    assert (
        report.name,
        report.shutdown_seen,
        report.exit_code,
        report.killed,
        report.is_clean,
    ) == (
        "watcher",
        True,
        0,
        False,
        True,
    )


def test_every_file_of_a_layer_is_started(
    config: Callable[..., Config], script: Callable[[str, str], Path], good_extension: str
) -> None:
    layer = script("opt/extensions/one", good_extension).parents[1]
    script("opt/extensions/two", good_extension)
    (layer / "extensions" / "folder").mkdir()
    _, reports, _ = once(config(opt=layer))
    assert [report.name for report in reports] == ["one", "two"]


def test_the_runtime_starts_only_after_every_extension_has_registered(
    config: Callable[..., Config],
) -> None:
    slow = (
        'import time; time.sleep(0.2); print("registering", flush=True)\n' + REGISTER + POLL + POLL
    )
    runtime = 'print("started", flush=True)\nevent = client.next()\nclient.respond(event["Lambda-Runtime-Aws-Request-Id"])\nclient.next()'
    _, _, emulator = once(config(runtime, {"slow": slow}))
    assert emulator.output == [("slow", "registering"), ("function", "started")]


def test_an_extension_sees_what_lambda_shows_and_not_what_it_withholds(
    config: Callable[..., Config],
) -> None:
    dump = "print(json.dumps(dict(os.environ)), flush=True)\n"
    runtime = (
        dump
        + 'event = client.next()\nclient.respond(event["Lambda-Runtime-Aws-Request-Id"])\nclient.next()'
    )
    settings = {
        "env": {"MINE": "1"},
        "memory_mb": 256,
        "handler": "app.handler",
        "runtime": "python3.13",
    }
    _, _, emulator = once(config(runtime, {"looker": dump + REGISTER + POLL + POLL}, **settings))
    function = json.loads(printed(emulator, "function")[0])
    extension = json.loads(printed(emulator, "looker")[0])
    assert (
        function["AWS_LAMBDA_RUNTIME_API"]
        == extension["AWS_LAMBDA_RUNTIME_API"]
        == emulator.runtime_api
    )
    assert (
        function["OTEL_EXPORTER_OTLP_ENDPOINT"]
        == extension["OTEL_EXPORTER_OTLP_ENDPOINT"]
        == emulator.otlp.endpoint
    )
    assert function["LRAP_LISTENER_PORT"] == extension["LRAP_LISTENER_PORT"]
    assert (extension["MINE"], extension["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]) == ("1", "256")
    assert (function["AWS_EXECUTION_ENV"], function["_HANDLER"]) == (
        "AWS_Lambda_python3.13",
        "app.handler",
    )
    assert set(function) - set(extension) == {
        "AWS_EXECUTION_ENV",
        "_LAMBDA_TELEMETRY_LOG_FD",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_XRAY_CONTEXT_MISSING",
        "AWS_XRAY_DAEMON_ADDRESS",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
        "_AWS_XRAY_DAEMON_ADDRESS",
        "_AWS_XRAY_DAEMON_PORT",
        "_HANDLER",
    }


def test_the_wrapper_gets_the_command_and_its_variable_is_seen_by_extensions(
    config: Callable[..., Config], script: Callable[[str, str], Path]
) -> None:
    wrapper = script(
        "wrapper",
        'print("wrapped", len(sys.argv), flush=True)\nos.execvp(sys.argv[1], sys.argv[1:])',
    )
    look = 'print(os.environ["AWS_LAMBDA_EXEC_WRAPPER"], flush=True)\n'
    outcome, _, emulator = once(
        config(extensions={"looker": look + REGISTER + POLL + POLL}, wrapper=wrapper)
    )
    assert outcome.status == "success"
    assert printed(emulator, "function") == ["wrapped 4"]
    assert printed(emulator, "looker") == [str(wrapper)]


@pytest.mark.parametrize(("exists", "status"), [(False, 127), (True, 126)])
def test_a_wrapper_that_cannot_run_ends_the_runtime_as_its_bootstrap_does(
    config: Callable[..., Config], tmp_path: Path, exists: bool, status: int
) -> None:
    wrapper = tmp_path / "wrapper"
    if exists:
        wrapper.write_text("not executable")
    outcome, _, _ = once(config(wrapper=wrapper))
    assert (outcome.status, outcome.error_type) == ("crash", "Runtime.ExitError")
    assert outcome.reason == f"Runtime exited with error: exit status {status}"


def test_an_extension_under_a_wrong_name_never_registers_and_init_times_out(
    config: Callable[..., Config],
) -> None:
    wrong = 'client.register("other", b\'{"events":["INVOKE"]}\')\ntime.sleep(60)'
    outcome, _, _ = once(config(extensions={"named": wrong}, init_timeout_s=0.3, timeout_s=1.5))
    assert (outcome.status, outcome.error_type) == ("timeout", "Sandbox.Timedout")
    assert outcome.reason == "extension named did not register within 1.5 s (registered: other)"
    assert [(report.name, report.killed, report.shutdown_seen) for report in outcome.reports] == [
        ("named", True, False)
    ]


def test_an_extension_that_never_polls_keeps_init_open(config: Callable[..., Config]) -> None:
    lazy = REGISTER + "time.sleep(1.7)\n" + POLL
    outcome, _, _ = once(config(extensions={"lazy": lazy}, init_timeout_s=0.5, timeout_s=1.5))
    assert (
        outcome.reason == "init did not end within 1.5 s: extension lazy did not ask for an event"
    )
    assert outcome.reports[0].shutdown_seen


def test_a_runtime_that_never_polls_keeps_init_open(config: Callable[..., Config]) -> None:
    async def run() -> None:
        async with Emulator(config("time.sleep(60)", init_timeout_s=0.3)) as emulator:
            with pytest.raises(
                SandboxTimeoutError,
                match=r"init did not end within 0\.3 s: the runtime did not ask",
            ):
                await emulator.start()

    asyncio.run(run())


ECHO = """
while True:
    event = client.next()
    client.respond(event["Lambda-Runtime-Aws-Request-Id"], event.body)
"""
# Slow in its first init, not in its second.
SLOW_ONCE = """
if not os.path.exists("tried"):
    open("tried", "w").close()
    time.sleep(60)
"""


def test_an_init_that_ran_out_of_time_runs_again_within_the_first_invocation(
    config: Callable[..., Config],
) -> None:
    async def run() -> None:
        echo = config(SLOW_ONCE + "time.sleep(0.4)\n" + ECHO, init_timeout_s=0.5, timeout_s=5)
        async with Emulator(echo) as emulator:
            first, second = await emulator.invoke(b'"1"'), await emulator.invoke(b'"2"')
        assert [first.status, first.payload, second.status] == ["success", b'"1"', "success"]
        # The second init is not reported as one: the invocation pays for it.
        assert first.init_ms == 0
        assert first.billed_ms >= first.duration_ms >= 400
        assert second.billed_ms < 400

    asyncio.run(run())


def test_the_second_init_and_its_event_share_the_functions_time(
    config: Callable[..., Config],
) -> None:
    slow = SLOW_ONCE + "time.sleep(1.2)\nclient.next()\ntime.sleep(60)"

    async def run() -> None:
        async with Emulator(config(slow, init_timeout_s=0.5, timeout_s=2)) as emulator:
            with pytest.raises(SandboxTimeoutError):
                await emulator.start()
            outcome = await emulator.invoke(b"{}")
        assert (outcome.status, outcome.reason) == ("timeout", "Task timed out after 2.00 seconds")
        assert 2000 <= outcome.billed_ms < 3000

    asyncio.run(run())


def test_managed_instances_have_no_second_init(config: Callable[..., Config]) -> None:
    managed = config(
        SLOW_ONCE + ECHO, init_timeout_s=0.5, initialization_type="lambda-managed-instances"
    )
    outcome, _, _ = once(managed)
    assert outcome.reason.startswith("init did not end within 0.5 s")


def test_an_extension_that_exits_early_is_a_crash_even_with_0(
    config: Callable[..., Config],
) -> None:
    outcome, _, _ = once(config(extensions={"short": REGISTER}))
    assert (outcome.status, outcome.error_type) == ("crash", "Extension.Crash")
    assert outcome.reason == "extension short exited before SHUTDOWN: exit status 0"


def test_an_extension_that_reports_a_failed_init_is_over_when_it_exits(
    config: Callable[..., Config],
) -> None:
    says = 'h = {"Lambda-Extension-Identifier": me, "Lambda-Extension-Function-Error-Type": "Extension.Bad"}\n'
    calls = 'client.call("POST", "/2020-01-01/extension/init/error", h)\nsys.exit(3)'
    outcome, _, _ = once(config(extensions={"bad": REGISTER + says + calls}))
    assert outcome.reason == "extension bad exited before SHUTDOWN: exit status 3"


def test_a_file_that_cannot_be_started_is_named(
    config: Callable[..., Config], tmp_path: Path
) -> None:
    (tmp_path / "plain").write_text("text")

    async def run() -> None:
        async with Emulator(
            Config(command=["true"], extensions={"plain": tmp_path / "plain"})
        ) as emulator:
            with pytest.raises(SandboxError, match="plain cannot be started") as caught:
                await emulator.start()
            assert caught.value.error_type == "Extension.LaunchError"

    asyncio.run(run())


def test_an_init_error_is_what_the_caller_gets(config: Callable[..., Config]) -> None:
    runtime = """
h = {"Lambda-Runtime-Function-Error-Type": "Runtime.NoHandler"}
assert client.call("POST", "/2018-06-01/runtime/init/error", h, b'{"errorType":"NoHandler"}').status == 202
assert client.call("POST", "/2018-06-01/runtime/init/error", h, b"").status == 403
assert client.next().status == 403
sys.exit(1)
"""
    outcome, _, _ = once(config(runtime))
    assert (outcome.status, outcome.error_type, outcome.payload) == (
        "crash",
        "Runtime.NoHandler",
        b'{"errorType":"NoHandler"}',
    )


def test_a_time_out_ends_the_runtime_first_and_tells_the_extension(
    config: Callable[..., Config], good_extension: str
) -> None:
    runtime = 'signal.signal(signal.SIGTERM, lambda *_: (print("terminated", flush=True), os._exit(0)))\nclient.next()\ntime.sleep(60)'
    outcome, reports, emulator = once(config(runtime, {"watcher": good_extension}, timeout_s=0.3))
    assert (outcome.status, outcome.error_type) == ("timeout", "Sandbox.Timedout")
    said = json.loads(outcome.payload)["errorMessage"]
    assert said == f"RequestId: {outcome.request_id} Error: Task timed out after 0.30 seconds"
    assert printed(emulator, "function") == ["terminated"]
    assert json.loads(printed(emulator, "watcher")[-1])["shutdownReason"] == "timeout"
    assert outcome.reports[0].is_clean
    assert reports == []


def test_an_extension_that_holds_an_invocation_open_is_billed_and_times_it_out(
    config: Callable[..., Config],
) -> None:
    outcome, _, _ = once(
        config(extensions={"holder": REGISTER + POLL + "time.sleep(1.2)\n" + POLL}, timeout_s=1.0)
    )
    assert (outcome.status, outcome.payload, outcome.function_error) == (
        "timeout",
        b'{"a":1}',
        None,
    )
    assert outcome.duration_ms < outcome.billed_ms
    assert outcome.billed_ms >= 1000


def test_a_stubborn_runtime_is_killed_before_the_extension_is_told(
    config: Callable[..., Config], good_extension: str
) -> None:
    runtime = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nclient.next()\ntime.sleep(60)"
    outcome, _, _ = once(config(runtime, {"watcher": good_extension}, timeout_s=0.2))
    assert outcome.reports[0].is_clean
    assert outcome.reports[0].ms >= 600


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("sys.exit(1)", "Runtime exited with error: exit status 1"),
        ("os._exit(0)", "Runtime exited without providing a reason"),
        ("os.kill(os.getpid(), 9)", "Runtime exited with error: signal 9"),
    ],
)
def test_a_crash_is_told_to_caller_and_extension(
    config: Callable[..., Config], good_extension: str, end: str, reason: str
) -> None:
    outcome, _, emulator = once(config(f"client.next()\n{end}", {"watcher": good_extension}))
    assert (outcome.status, outcome.error_type, outcome.reason) == (
        "crash",
        "Runtime.ExitError",
        reason,
    )
    assert json.loads(printed(emulator, "watcher")[-1])["shutdownReason"] == "failure"


def test_after_a_crash_the_next_event_finds_a_new_sandbox(
    config: Callable[..., Config], good_extension: str
) -> None:
    runtime = """
event = client.next()
if event.body == b"crash":
    sys.exit(1)
client.respond(event["Lambda-Runtime-Aws-Request-Id"], b"fine")
client.next()
"""

    async def run() -> list[Outcome]:
        async with Emulator(config(runtime, {"watcher": good_extension})) as emulator:
            return [await emulator.invoke(event) for event in (b"crash", b"work")]

    first, second = asyncio.run(run())
    assert (first.status, second.status) == ("crash", "success")
    assert second.init_ms > 0


def test_a_runtime_that_exits_between_invocations_fails_the_next_one(
    config: Callable[..., Config],
) -> None:
    runtime = """
import threading
event = client.next()
client.respond(event["Lambda-Runtime-Aws-Request-Id"], b"fine")
threading.Timer(0.05, os._exit, [7]).start()
client.next()
"""

    async def run() -> list[Outcome]:
        async with Emulator(config(runtime)) as emulator:
            first = await emulator.invoke(b"{}")
            await asyncio.wait([emulator._the_sandbox().runtime_process.exited])  # type: ignore[union-attr]
            return [first, await emulator.invoke(b"{}")]

    first, second = asyncio.run(run())
    assert (first.status, second.status, second.reason) == (
        "success",
        "crash",
        "Runtime exited with error: exit status 7",
    )


def test_an_extension_that_is_late_at_shutdown_is_killed_at_the_deadline(
    config: Callable[..., Config],
) -> None:
    _, (report,), _ = once(config(extensions={"late": REGISTER + POLL + POLL + "time.sleep(60)"}))
    assert (report.shutdown_seen, report.killed, report.exit_code, report.is_clean) == (
        True,
        True,
        -signal.SIGKILL,
        False,
    )
    assert report.ms >= 2000


def test_an_extension_without_shutdown_is_killed_at_once(config: Callable[..., Config]) -> None:
    deaf = (
        'me = client.register("deaf", b\'{"events":["INVOKE"]}\')["Lambda-Extension-Identifier"]\n'
        + POLL
        + POLL
    )
    _, (report,), _ = once(config(extensions={"deaf": deaf}))
    assert (report.subscribed, report.shutdown_seen, report.killed, report.is_clean) == (
        False,
        False,
        True,
        True,
    )


@pytest.mark.parametrize(
    ("mode", "killed"), [("on-demand", False), ("lambda-managed-instances", True)]
)
def test_only_managed_instances_wait_for_whoever_holds_the_output(
    config: Callable[..., Config], tmp_path: Path, mode: str, killed: bool
) -> None:
    parent = """
me = client.register("parent", b'{"events":["SHUTDOWN"]}')["Lambda-Extension-Identifier"]
held_while_alive = os.open(os.environ["FIFO"], os.O_WRONLY)
if os.fork() == 0:
    signal.pause()
client.next_event(me)
"""
    os.mkfifo(tmp_path / "fifo")
    fifo = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    settings = {"initialization_type": mode, "env": {"FIFO": str(tmp_path / "fifo")}}
    _, (report,), _ = once(config(extensions={"parent": parent}, **settings))
    assert (report.exit_code, report.killed) == (0, killed)
    os.set_blocking(fifo, True)
    nobody_is_left = os.read(fifo, 1) == b""
    os.close(fifo)
    assert nobody_is_left


def test_nothing_stays_behind_when_a_test_fails_in_the_middle(
    config: Callable[..., Config], good_extension: str
) -> None:
    pids: list[int] = []

    async def run() -> None:
        async with Emulator(config(extensions={"watcher": good_extension})) as emulator:
            await emulator.start()
            pids.extend(process._popen.pid for process in emulator._the_sandbox().processes())
            raise KeyError("in the test")

    with pytest.raises(KeyError):
        asyncio.run(run())
    assert len(pids) == 2
    assert not any(map(is_running, pids))


def test_several_emulators_run_side_by_side(
    config: Callable[..., Config], good_extension: str
) -> None:
    one = config(extensions={"watcher": good_extension})

    async def run() -> list[bytes]:
        async with Emulator(one) as left, Emulator(one) as right:
            assert left.environment["LRAP_LISTENER_PORT"] != right.environment["LRAP_LISTENER_PORT"]
            outcomes = await asyncio.gather(left.invoke(b"left"), right.invoke(b"right"))
            return [outcome.payload for outcome in outcomes]

    assert asyncio.run(run()) == [b"left", b"right"]


def test_invocations_sent_at_once_run_one_after_the_other(config: Callable[..., Config]) -> None:
    async def run() -> list[bytes]:
        async with Emulator(config()) as emulator:
            return [
                outcome.payload
                for outcome in await asyncio.gather(*(emulator.invoke(b"%d" % n) for n in range(5)))
            ]

    assert asyncio.run(run()) == [b"0", b"1", b"2", b"3", b"4"]


def test_output_without_a_newline_and_beyond_ascii_is_kept(config: Callable[..., Config]) -> None:
    runtime = (
        'sys.stdout.buffer.write("Zoë\\n\\xff".encode("latin-1")); sys.stdout.flush(); os._exit(1)'
    )
    _, _, emulator = once(config(runtime))
    assert printed(emulator, "function") == [
        "Zo\N{REPLACEMENT CHARACTER}",
        "\N{REPLACEMENT CHARACTER}",
    ]


def test_a_command_that_does_not_exist_is_an_invalid_entry_point() -> None:
    outcome, _, _ = once(Config(command=["/nowhere/at/all"], cwd=Path(sys.prefix)))
    assert (outcome.status, outcome.error_type) == ("crash", "Runtime.InvalidEntrypoint")
