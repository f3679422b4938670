"""200 functions, half of them odd: put on, killed in the middle, run again, taken off."""

from __future__ import annotations

import json
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from tests.aws.conftest import REGION

if TYPE_CHECKING:
    from tests.aws.conftest import Answer, Aws

WRAPPER = "/opt/lrap-otel/wrapper"
ENDPOINT = "https://collector.example:4318"
ARGUMENTS = [
    "instrument",
    "--all",
    "--zip",
    "lrap-otel.zip",
    "--endpoint",
    ENDPOINT,
    "--env",
    "OTEL_SERVICE_NAME=x",
    "--yes",
]


def make_fleet(aws: Aws, usual: int, odd: int) -> dict[str, str]:
    """Usual functions, and so many of each odd kind, whose names begin with it; their
    configurations.
    """
    old, older = aws.layer(), aws.layer()
    other = [aws.layer(f"other-{number}") for number in range(5)]
    vendor = aws.layer("Datadog-Extension")
    for number in range(usual):
        aws.function(
            f"usual-{number:03}",
            variables={"SECRET": f"s3cr3t-{number}", "B": "2"},
            Layers=other[: number % 4],
        )
    kinds = {
        "wrapped": {
            "variables": {"A": "1", "AWS_LAMBDA_EXEC_WRAPPER": "/opt/their-wrapper", "Z": "é"}
        },
        "full": {"Layers": other},
        "image": {"PackageType": "Image"},
        "older": {
            "Layers": [other[0], old, other[1]],
            "variables": {
                "AWS_LAMBDA_EXEC_WRAPPER": WRAPPER,
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://old.example",
            },
        },
        "twice": {
            "Layers": [older, other[2], old],
            "variables": {
                "LRAP_NEXT_WRAPPER": WRAPPER,
                "AWS_LAMBDA_EXEC_WRAPPER": WRAPPER,
                "Q": "q",
            },
        },
        "bare": {"variables": None},
        "big": {"variables": {"BIG": "x" * 4_050}},
        "vendor": {
            "Layers": [vendor],
            "variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/datadog_wrapper"},
        },
        "unknown": {"Runtime": "cobol1985"},
        "vanishing": {"variables": {"A": "1"}},
        "provided": {"Runtime": "provided.al2023", "variables": {"A": "1"}},
        "go": {"Runtime": "go1.x"},
        "short": {"Layers": [old], "variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper"}},
    }
    for kind, arguments in kinds.items():
        for number in range(odd):
            aws.function(f"{kind}-{number}", **arguments)
    return aws.snapshot()


def let_vanish(aws: Aws) -> None:
    """The functions so named are deleted by somebody else just before they are changed."""

    def rule(method: str, path: str, body: bytes) -> Answer | None:
        name = path.split("/")[-2]
        if method == "PUT" and name.startswith("vanishing"):
            aws.client().delete_function(FunctionName=name)
        return None

    aws.proxy.rules.append(rule)


def run_and_kill(aws: Aws, count: int, *arguments: str) -> None:
    """Run the command, and SIGKILL it when it sends its `count`th change, before that
    has arrived.
    """
    counted = threading.Semaphore(count - 1)
    with aws.start(*arguments) as process:

        def rule(method: str, path: str, body: bytes) -> Answer | None:
            if (
                method == "PUT"
                and path.endswith("/configuration")
                and not counted.acquire(blocking=False)
            ):
                process.kill()
            return None

        aws.proxy.rules.append(rule)
        process.communicate(timeout=100)
    assert process.returncode == -signal.SIGKILL
    aws.proxy.rules.remove(rule)


def without_vanished(snapshot: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in snapshot.items() if not name.startswith("vanishing")}


@pytest.mark.timeout(600)  # some 1,500 calls
def test_200_functions_are_instrumented_and_restored_though_a_run_is_killed(aws: Aws) -> None:
    before = make_fleet(aws, usual=100, odd=8)
    assert len(before) >= 200
    let_vanish(aws)
    run_and_kill(aws, 70, *ARGUMENTS)
    assert 30 < sum(aws.snapshot().get(name) != text for name, text in before.items()) < 100

    put_on = aws.run(*ARGUMENTS, "--json")
    assert put_on.returncode == 0, put_on.stderr
    ours = f"arn:aws:lambda:{REGION}:123456789012:layer:lrap-otel:3"
    others = [f"arn:aws:lambda:{REGION}:123456789012:layer:other-{number}:1" for number in range(5)]

    # Those that vanished in the killed run are not listed any more.
    statuses = {entry["function"]: entry for entry in json.loads(put_on.stdout)["functions"]}
    by_kind: dict[str, set[str]] = {}
    for name, entry in statuses.items():
        # Some were changed by the run that was killed.
        status = "changed" if entry["status"] == "unchanged" else entry["status"]
        by_kind.setdefault(name.partition("-")[0], set()).add(status)
    refused = {"full", "image", "big", "go"}
    assert by_kind == {
        kind: {"refused"} if kind in refused else {"gone"} if kind == "vanishing" else {"changed"}
        for kind in by_kind
    }
    assert "layers" in statuses["full-0"]["reason"]
    assert "image" in statuses["image-0"]["reason"]
    assert "4096 bytes" in statuses["big-0"]["reason"]
    assert "go1.x" in statuses["go-0"]["reason"]

    after = aws.snapshot()
    for name in before:
        if name.partition("-")[0] in refused:
            assert after[name] == before[name]
    assert aws.layers("usual-003") == [ours, *others[:3]]
    assert aws.layers("older-0") == [others[0], ours, others[1]]
    assert aws.layers("twice-0") == [ours, others[2]]
    assert aws.layers("short-0") == [ours]
    added = {"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT, "OTEL_SERVICE_NAME": "x"}
    assert aws.variables("usual-003") == {
        "SECRET": "s3cr3t-3",
        "B": "2",
        "AWS_LAMBDA_EXEC_WRAPPER": WRAPPER,
        **added,
    }
    assert aws.variables("wrapped-0") == {
        "A": "1",
        "AWS_LAMBDA_EXEC_WRAPPER": WRAPPER,
        "Z": "é",
        "LRAP_NEXT_WRAPPER": "/opt/their-wrapper",
        **added,
    }
    assert aws.variables("twice-0") == {"AWS_LAMBDA_EXEC_WRAPPER": WRAPPER, "Q": "q", **added}
    assert aws.variables("bare-0") == {"AWS_LAMBDA_EXEC_WRAPPER": WRAPPER, **added}
    assert aws.variables("vendor-0")["LRAP_NEXT_WRAPPER"] == "/opt/datadog_wrapper"
    assert aws.variables("provided-0") == {"A": "1", **added}
    assert aws.variables("short-0") == {"AWS_LAMBDA_EXEC_WRAPPER": WRAPPER, **added}
    assert "s3cr3t" not in put_on.stdout + put_on.stderr

    taken_off = aws.run("uninstrument", "--yes")
    assert taken_off.returncode == 0, taken_off.stderr
    assert aws.snapshot() == without_vanished(before)
    assert not (aws.folder / "lrap-otel-undo.json").exists()


@pytest.mark.parametrize("count", [1, 9])
def test_a_run_killed_and_run_again_ends_as_one_that_was_not(aws: Aws, count: int) -> None:
    before = make_fleet(aws, usual=4, odd=1)
    run_and_kill(aws, count, *ARGUMENTS)
    assert aws.run(*ARGUMENTS).returncode == 0
    after = aws.snapshot()

    run_and_kill(aws, count, "uninstrument", "--yes")
    assert aws.run("uninstrument", "--yes").returncode == 0
    assert aws.snapshot() == before

    assert aws.run(*ARGUMENTS).returncode == 0
    assert aws.snapshot() == after


def test_a_second_run_finds_nothing_to_do(aws: Aws) -> None:
    before = make_fleet(aws, usual=2, odd=1)
    assert aws.run(*ARGUMENTS).returncode == 0
    after = aws.snapshot()
    records = (aws.folder / "lrap-otel-undo.json").read_bytes()

    again = aws.run(*ARGUMENTS)
    assert again.returncode == 0
    assert "nothing to do" in again.stdout
    assert aws.snapshot() == after
    assert (aws.folder / "lrap-otel-undo.json").read_bytes() == records
    assert aws.run("uninstrument", "--yes").returncode == 0
    assert aws.snapshot() == before
