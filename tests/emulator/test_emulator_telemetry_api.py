"""The Telemetry API of the emulator, by what AWS documents of it."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio import to_thread
from typing import TYPE_CHECKING, Any

import pytest

from lrap_otel.emulator import Config, Emulator
from lrap_otel.emulator.config import TelemetryFaults
from lrap_otel.emulator.platform_events import PlatformEvents
from lrap_otel.emulator.sandbox import SandboxError
from lrap_otel.emulator.telemetry_api import TelemetryApi
from tests.e2e.conftest import run_through
from tests.emulator.lambda_wire import EXTENSION, call
from tests.emulator.telemetry_subscriber import EXTENSION as SUBSCRIBING
from tests.emulator.telemetry_subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Make = Callable[..., Config]

PATH = "/2022-07-01/telemetry"
NOBODY = "00000000-0000-4000-8000-000000000000"

PRINTING = """
print("while it starts", flush=True)
while True:
    event = client.next()
    print("hello", flush=True)
    print(json.dumps({"level": "INFO", "message": {"deep": 1}}), flush=True)
    client.respond(event["Lambda-Runtime-Aws-Request-Id"], event.body)
"""
FRAMES = """
fd = int(os.environ["_LAMBDA_TELEMETRY_LOG_FD"])
event = client.next()
text = b"first line\\nsecond line\\n"
os.write(fd, b"\\xa5\\x5a\\x00\\x03" + len(text).to_bytes(4, "big") + (1_700_000_000_000_000).to_bytes(8, "big") + text)
client.respond(event["Lambda-Runtime-Aws-Request-Id"], event.body)
client.next()
"""


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    with Subscriber() as subscriber:
        yield subscriber


def subscribed(
    make: Make, subscriber: Subscriber, source: str = PRINTING, wanted: str = "", **settings: Any
) -> Config:
    """A function with an extension that subscribes."""
    variables = {"SUBSCRIBE": wanted or subscriber.wanted(), **settings.pop("env", {})}
    return make(source, {"listening": SUBSCRIBING}, env=variables, **settings)


def ask(
    body: str | bytes, config: Config | None = None, identifier: str | None = None
) -> tuple[int, Any]:
    """The answer to one subscription of an extension that has registered."""

    async def story() -> tuple[int, Any]:
        async with Emulator(config or Config()) as emulator:
            reply = await to_thread(
                call,
                emulator.runtime_api,
                "POST",
                f"{EXTENSION}/register",
                {"Lambda-Extension-Name": "inside"},
                b"{}",
            )
            me = reply["Lambda-Extension-Identifier"] if identifier is None else identifier
            fields = {"Lambda-Extension-Identifier": me} if me else {}
            body_bytes = body if isinstance(body, bytes) else body.encode()
            said = await to_thread(call, emulator.runtime_api, "PUT", PATH, fields, body_bytes)
            return said.status, json.loads(said.body)

    return asyncio.run(story())


def test_init_an_invocation_and_its_lines_are_told_in_order(
    config: Make, subscriber: Subscriber
) -> None:
    run_through(subscribed(config, subscriber, memory_mb=512), b"{}")

    kinds = [kind for kind in subscriber.kinds() if kind not in {"extension", "platform.extension"}]
    assert kinds[0] == "platform.initStart"
    assert set(kinds[1:4]) == {
        "platform.telemetrySubscription",
        "function",
        "platform.initRuntimeDone",
    }
    assert kinds[4:] == [
        "platform.initReport",
        "platform.start",
        "function",
        "function",
        "platform.runtimeDone",
        "platform.report",
    ]
    (start,) = subscriber.of("platform.initStart")
    assert (start["initializationType"], start["phase"]) == ("on-demand", "init")
    (report,) = subscriber.of("platform.report")
    assert report["status"] == "success"
    assert report["metrics"]["memorySizeMB"] == 512
    assert report["metrics"]["maxMemoryUsedMB"] > 5
    assert report["metrics"]["billedDurationMs"] >= report["metrics"]["initDurationMs"] > 0
    assert [span["name"] for span in report["spans"]] == ["extensionOverhead"]
    (done,) = subscriber.of("platform.runtimeDone")
    assert done["requestId"] == report["requestId"]
    assert done["metrics"]["producedBytes"] == 2
    assert [span["name"] for span in done["spans"]] == [
        "responseLatency",
        "responseDuration",
        "runtimeOverhead",
    ]
    assert subscriber.of("platform.start")[0]["tracing"]["type"] == "X-Amzn-Trace-Id"
    assert subscriber.heads[0]["Host"] == f"sandbox.localdomain:{subscriber.port}"


def test_each_type_is_sent_to_those_who_asked_for_it(config: Make, subscriber: Subscriber) -> None:
    run_through(
        subscribed(config, subscriber, wanted=subscriber.wanted("function", "extension")), b"{}"
    )

    assert set(subscriber.kinds()) == {"function", "extension"}
    assert "subscribed: 200" in subscriber.of("extension")
    assert subscriber.of("function")[:2] == ["while it starts", "hello"]


@pytest.mark.parametrize(
    ("log_format", "schema", "is_object"),
    [
        ("Text", "2025-01-29", False),
        ("JSON", "2025-01-29", True),
        ("JSON", "2022-12-13", True),
        ("JSON", "2022-07-01", False),
    ],
)
def test_a_json_line_is_an_object_in_the_json_format_of_a_newer_schema(
    config: Make, subscriber: Subscriber, log_format: str, schema: str, is_object: bool
) -> None:
    wanted = subscriber.wanted("function", schemaVersion=schema)
    run_through(subscribed(config, subscriber, wanted=wanted, log_format=log_format), b"{}")

    last = subscriber.of("function")[-1]
    assert isinstance(last, dict) == is_object
    assert (last if is_object else json.loads(last)) == {"level": "INFO", "message": {"deep": 1}}


def test_a_log_call_of_a_managed_runtime_is_one_record_with_its_own_time(
    config: Make, subscriber: Subscriber
) -> None:
    emulator = run_through(
        subscribed(config, subscriber, FRAMES, subscriber.wanted("function")), b"{}"
    )

    (event,) = subscriber.events
    assert event == {
        "time": "2023-11-14T22:13:20.000Z",
        "type": "function",
        "record": "first line\nsecond line\n",
    }
    assert [line for name, line in emulator.output if name == "function"] == [
        "first line",
        "second line",
    ]


def test_the_report_comes_with_the_next_event(config: Make, subscriber: Subscriber) -> None:
    """Between two events the sandbox is frozen: nobody is there to take it."""

    async def story() -> None:
        async with Emulator(
            subscribed(config, subscriber, wanted=subscriber.wanted("platform"))
        ) as emulator:
            first = await emulator.invoke(b"{}")
            await asyncio.sleep(0.3)
            assert subscriber.of("platform.report") == []
            await emulator.invoke(b"{}")
            await to_thread(subscriber.wait, lambda: bool(subscriber.of("platform.report")))
            assert subscriber.of("platform.report")[0]["requestId"] == first.request_id

    asyncio.run(story())


def test_what_is_not_acknowledged_comes_again(config: Make, subscriber: Subscriber) -> None:
    subscriber.answers += [500, 503]
    run_through(subscribed(config, subscriber, env={"LINGER_S": "1"}), b"{}")

    assert subscriber.kinds().count("platform.report") == 1
    assert "platform.initStart" in subscriber.kinds()


def test_a_subscriber_that_never_acknowledges_is_told_what_was_dropped(
    config: Make, subscriber: Subscriber
) -> None:
    async def story() -> None:
        subscriber.answers += [500] * 6
        made = subscribed(
            config,
            subscriber,
            wanted=subscriber.wanted("platform"),
            timeout_s=20.0,
            env={"BUSY_S": "6"},
        )
        async with Emulator(made) as emulator:
            await emulator.invoke(b"{}")
            await to_thread(subscriber.wait, lambda: bool(subscriber.of("platform.logsDropped")))

    asyncio.run(story())
    (dropped,) = subscriber.of("platform.logsDropped")
    assert dropped["droppedRecords"] >= 1
    assert dropped["droppedBytes"] > 100


def test_doubling_delivers_each_batch_twice(config: Make, subscriber: Subscriber) -> None:
    run_through(subscribed(config, subscriber, telemetry=TelemetryFaults(is_doubled=True)), b"{}")

    assert subscriber.batches[0] == subscriber.batches[1]
    assert subscriber.kinds().count("platform.report") == 2


def test_a_time_out_is_told_before_shutdown(config: Make, subscriber: Subscriber) -> None:
    run_through(
        subscribed(config, subscriber, "client.next()\ntime.sleep(60)", timeout_s=0.5), b"{}"
    )

    (done,), (report,) = subscriber.of("platform.runtimeDone"), subscriber.of("platform.report")
    assert (done["status"], report["status"]) == ("timeout", "timeout")
    assert report["metrics"]["durationMs"] >= 500


def test_a_crash_is_told_with_its_type(config: Make, subscriber: Subscriber) -> None:
    run_through(subscribed(config, subscriber, "client.next()\nsys.exit(3)"), b"{}")

    (done,) = subscriber.of("platform.runtimeDone")
    assert (done["status"], done["errorType"]) == ("failure", "Runtime.ExitError")


def test_an_init_that_fails_is_told(config: Make, subscriber: Subscriber) -> None:
    async def story() -> None:
        async with Emulator(subscribed(config, subscriber, "sys.exit(1)")) as emulator:
            with pytest.raises(SandboxError):
                await emulator.start()

    asyncio.run(story())
    (report,) = subscriber.of("platform.initReport")
    assert (report["status"], report["errorType"]) == ("error", "Runtime.ExitError")


def test_an_init_within_the_invocation_has_that_phase(config: Make, subscriber: Subscriber) -> None:
    source = """
if not os.path.exists("begun"):
    open("begun", "w").close()
    time.sleep(60)
while True:
    event = client.next()
    client.respond(event["Lambda-Runtime-Aws-Request-Id"], event.body)
"""
    run_through(subscribed(config, subscriber, source, init_timeout_s=1.0, timeout_s=10.0), b"{}")

    assert [start["phase"] for start in subscriber.of("platform.initStart")] == ["init", "invoke"]
    assert [report["status"] for report in subscriber.of("platform.initReport")] == [
        "timeout",
        "success",
    ]


def test_managed_instances_report_without_runtime_done(
    config: Make, subscriber: Subscriber
) -> None:
    made = subscribed(config, subscriber, initialization_type="lambda-managed-instances")
    extension = next(iter(made.extensions.values()))
    extension.write_text(
        extension.read_text().replace(
            "client.register(os.path.basename(sys.argv[0]))",
            'client.register(os.path.basename(sys.argv[0]), b\'{"events":["SHUTDOWN"]}\')',
        )
    )
    run_through(made, b"{}")

    (report,) = subscriber.of("platform.report")
    assert set(report["metrics"]) == {"durationMs"}
    assert [span["name"] for span in report["spans"]] == ["responseLatency", "responseDuration"]
    assert subscriber.of("platform.runtimeDone") == []
    assert {"level": "INFO", "message": {"deep": 1}} in subscriber.of("function")


def test_a_restore_tells_the_snapshots_init_again() -> None:
    async def story() -> list[str]:
        api = TelemetryApi(Config(initialization_type="snap-start"))
        PlatformEvents(Config(), api).restored(1_700_000_000.0, 1_700_000_000.25)
        return [event.kind for event in api._history]

    assert asyncio.run(story()) == [
        *("platform.initStart", "platform.initRuntimeDone", "platform.initReport"),
        *("platform.restoreStart", "platform.restoreRuntimeDone", "platform.restoreReport"),
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"schemaVersion": "2021-01-01"}, "schemaVersion '2021-01-01' is none of"),
        ({"types": []}, "types should not be empty"),
        ({"types": ["logs"]}, "type 'logs' is none of"),
        ({"destination": None}, "destination should not be empty"),
        ({"destination": {"protocol": "TCP", "port": 4243}}, "TCP is not emulated"),
        (
            {"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain"}},
            "URI port is not provided",
        ),
        (
            {"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:99999"}},
            "URI port is not provided",
        ),
        (
            {"destination": {"protocol": "HTTP", "URI": "http://example.com:8080"}},
            "URI should be http://sandbox",
        ),
        (
            {"destination": {"protocol": "HTTP", "URI": "http://127.0.0.1:9001/"}},
            "port 9001 is reserved",
        ),
        ({"buffering": {"maxItems": 999}}, "maxItems should be between 1000 and 10000"),
        ({"buffering": {"maxBytes": 1048577}}, "maxBytes should be between 262144 and 1048576"),
        ({"buffering": {"timeoutMs": 24}}, "timeoutMs should be between 25 and 30000"),
        ({"buffering": {"timeoutMs": True}}, "timeoutMs should be between 25 and 30000"),
        ({"buffering": [1]}, "buffering should be an object"),
    ],
)
def test_a_subscription_that_is_wrong_is_refused_by_name(
    subscriber: Subscriber, changed: dict[str, Any], message: str
) -> None:
    status, said = ask(subscriber.wanted(**changed))
    assert (status, said["errorType"]) == (400, "ValidationError")
    assert message in said["errorMessage"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    assert ask(body)[0] == 400


@pytest.mark.parametrize("host", ["sandbox", "localhost", "127.0.0.1", "127.1.2.3", "[::1]"])
def test_what_is_inside_the_sandbox_may_be_a_destination(subscriber: Subscriber, host: str) -> None:
    destination = {"protocol": "HTTP", "URI": f"http://{host}:{subscriber.port}/x"}
    assert ask(subscriber.wanted(destination=destination)) == (200, "OK")


def test_all_but_types_and_destination_has_a_default(subscriber: Subscriber) -> None:
    asked = json.loads(subscriber.wanted())
    assert ask(json.dumps({name: asked[name] for name in ("types", "destination")})) == (200, "OK")


@pytest.mark.parametrize(
    ("identifier", "error_type"),
    [
        ("", "Extension.MissingExtensionIdentifier"),
        (NOBODY, "Extension.UnknownExtensionIdentifier"),
    ],
)
def test_only_a_registered_extension_may_subscribe(
    subscriber: Subscriber, identifier: str, error_type: str
) -> None:
    status, said = ask(subscriber.wanted(), identifier=identifier)
    assert (status, said["errorType"]) == (403, error_type)


def test_managed_instances_need_the_newest_schema(subscriber: Subscriber) -> None:
    managed = Config(initialization_type="lambda-managed-instances")
    assert ask(subscriber.wanted(schemaVersion="2022-12-13"), managed)[0] == 400
    assert (
        "2025-01-29"
        in ask(subscriber.wanted(schemaVersion="2022-12-13"), managed)[1]["errorMessage"]
    )


def test_after_init_nobody_may_subscribe(config: Make, subscriber: Subscriber) -> None:
    late = SUBSCRIBING.replace(
        "while True:",
        "client.next_event(me)\nclient = Client()\nasked = client.call('PUT', '/2022-07-01/telemetry', {'Lambda-Extension-Identifier': me}, os.environ['SUBSCRIBE'].encode())\nprint('late:', asked.status, asked.body.decode(), flush=True)\nwhile True:",
        1,
    )
    emulator = run_through(
        config(PRINTING, {"late": late}, env={"SUBSCRIBE": subscriber.wanted()}), b"{}"
    )

    (line,) = [line for _, line in emulator.output if line.startswith("late:")]
    assert line.startswith("late: 403")
    assert "Telemetry.SubscriptionClosed" in line


@pytest.mark.parametrize("status", [202, 400, 403])
def test_it_refuses_on_request(subscriber: Subscriber, status: int) -> None:
    assert ask(subscriber.wanted(), Config(telemetry=TelemetryFaults(status=status)))[0] == status


def test_it_is_silent_on_request(config: Make, subscriber: Subscriber) -> None:
    asking = SUBSCRIBING.replace(
        "asked = client.call", "client.socket.settimeout(0.3)\ntry:\n    asked = client.call"
    ).replace(
        'print("subscribed:", asked.status, flush=True)',
        "except TimeoutError:\n    print('silence', flush=True)\nclient = Client()",
    )
    emulator = run_through(
        config(
            PRINTING,
            {"asking": asking},
            env={"SUBSCRIBE": subscriber.wanted()},
            telemetry=TelemetryFaults(is_silent=True),
        ),
        b"{}",
    )
    assert ("asking", "silence") in emulator.output


def test_a_large_backlog_comes_in_batches_of_the_size_that_was_asked_for(
    config: Make, subscriber: Subscriber
) -> None:
    source = """
event = client.next()
for number in range(3000):
    print(number)
sys.stdout.flush()
client.respond(event["Lambda-Runtime-Aws-Request-Id"], event.body)
client.next()
"""
    run_through(
        subscribed(
            config, subscriber, source, subscriber.wanted("function"), env={"LINGER_S": "1"}
        ),
        b"{}",
    )

    assert subscriber.of("function") == [str(number) for number in range(3000)]
    assert max(map(len, subscriber.batches)) <= 1000


def test_the_python_runtime_logs_through_its_pipe(
    subscriber: Subscriber, tmp_path: Any, script: Callable[[str, str], Any]
) -> None:
    (tmp_path / "app.py").write_text(
        "import logging\n"
        "def handler(event, context):\n"
        "    print('printed')\n"
        "    logging.getLogger().warning('two\\nlines')\n"
        "    return 1\n"
    )
    made = Config(
        command=[sys.executable, "-m", "awslambdaric", "app.handler"],
        cwd=tmp_path,
        extensions={"listening": script("extensions/listening", SUBSCRIBING)},
        env={"SUBSCRIBE": subscriber.wanted("function")},
        timeout_s=10.0,
    )
    emulator = run_through(made, b"{}")

    request_id = emulator.outcomes[0].request_id
    printed, logged = subscriber.of("function")
    assert printed == "printed"
    assert logged.startswith("[WARNING]\t")
    assert logged.endswith(f"\t{request_id}\ttwo\nlines\n")
