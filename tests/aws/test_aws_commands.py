"""``instrument`` and ``uninstrument`` against an AWS that is slow, busy, half-hidden or being
edited.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from lrap_otel.extras import remedy
from tests.aws.conftest import CODE, COMMAND, LAYER, REGION, refusal

if TYPE_CHECKING:
    from tests.aws.conftest import Answer, Aws, Rule

WRAPPER = "/opt/lrap-otel/wrapper"
ENDPOINT = ["--endpoint", "https://collector.example"]
ZIP = ["--zip", "lrap-otel.zip", *ENDPOINT]


def is_update(method: str, path: str) -> bool:
    return method == "PUT" and path.endswith("/configuration")


def first(count: int, answer: Answer) -> Rule:
    """Answer the first updates so, in AWS's place."""
    left = threading.Semaphore(count)

    def rule(method: str, path: str, body: bytes) -> Answer | None:
        return answer if is_update(method, path) and left.acquire(blocking=False) else None

    return rule


def test_the_difference_is_printed_and_nothing_is_changed_by_a_dry_run(aws: Aws) -> None:
    aws.function("f", variables={"SECRET": "s3cr3t"})
    before = aws.snapshot()
    done = aws.run("instrument", "f", *ZIP, "--dry-run")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "eu-west-1  f  (python3.13, x86_64)",
        "    + layer arn:aws:lambda:eu-west-1:123456789012:layer:lrap-otel:1",
        "    + AWS_LAMBDA_EXEC_WRAPPER=/opt/lrap-otel/wrapper",
        "    + OTEL_EXPORTER_OTLP_ENDPOINT=https://collector.example",
        "1 to change; nothing was changed (--dry-run)",
    ]
    assert aws.snapshot() == before
    assert {method for method, _ in aws.proxy.seen} == {"GET"}
    assert [path.name for path in aws.folder.iterdir()] == ["lrap-otel.zip"]


def test_without_yes_and_without_anybody_to_ask_nothing_is_changed(aws: Aws) -> None:
    aws.function("f")
    before = aws.snapshot()
    done = aws.run("instrument", "f", *ZIP)
    assert (done.returncode, done.stderr) == (
        2,
        "failed: nobody is here to confirm this; add --yes\n",
    )
    assert "+ AWS_LAMBDA_EXEC_WRAPPER" in done.stdout
    assert aws.snapshot() == before


@pytest.mark.parametrize(("answer", "status"), [(b"y\n", 0), (b"n\n", 1), (b"\n", 1)])
def test_a_person_is_asked(aws: Aws, answer: bytes, status: int) -> None:
    aws.function("f")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "instrument", "f", *ZIP],
        env=aws.environment(),
        stdin=theirs,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        os.write(ours, answer)
        out, _ = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == status
    assert "instrument 1 function? [y/N]" in out
    assert ("AWS_LAMBDA_EXEC_WRAPPER" in aws.variables("f")) is (status == 0)


def test_a_terminal_shows_what_is_being_waited_for(aws: Aws) -> None:
    aws.function("f")
    ours, theirs = pty.openpty()
    command = [*COMMAND, "instrument", "f", *ZIP, "--yes"]
    with subprocess.Popen(
        command, env=aws.environment(), stdin=subprocess.DEVNULL, stdout=theirs
    ) as process:
        assert process.wait(60) == 0
    shown = os.read(ours, 65_536).decode()
    os.close(ours)
    os.close(theirs)
    assert "reading eu-west-1 f" in shown
    assert "changing eu-west-1 f" in shown
    assert "\r\x1b[K[1/1] eu-west-1  f  changed" in shown


def test_functions_are_chosen_by_name_arn_prefix_tag_and_region(aws: Aws) -> None:
    for region in ("eu-west-1", "us-east-1"):
        aws.function("shop-a", region, Tags={"team": "shop", "stage": "live"})
        aws.function("shop-b", region, Tags={"team": "shop"})
        aws.function("other", region, Tags={"team": "other", "stage": "live"})

    def chosen(*arguments: str) -> set[str]:
        done = aws.run("instrument", *ZIP, "--dry-run", "--json", *arguments)
        assert done.returncode == 0, done.stderr
        return {
            f"{entry['region'][:2]} {entry['function']}"
            for entry in json.loads(done.stdout)["functions"]
        }

    assert chosen("other") == {"eu other"}
    assert chosen("arn:aws:lambda:us-east-1:123456789012:function:other", "shop-a") == {
        "us other",
        "eu shop-a",
    }
    assert chosen("--prefix", "shop-") == {"eu shop-a", "eu shop-b"}
    assert chosen("--tag", "stage=live") == {"eu shop-a", "eu other"}
    assert chosen("--tag", "stage=live", "--tag", "team=shop") == {"eu shop-a"}
    assert chosen("--tag", "stage=live", "--prefix", "shop", "shop-b") == {"eu shop-a", "eu shop-b"}
    assert chosen("--all", "--region", "us-east-1") == {"us shop-a", "us shop-b", "us other"}
    assert chosen("--region", "us-east-1", "other") == {"us other"}
    assert chosen("other", "--region", "us-east-1", "--region", "eu-west-1") == {
        "us other",
        "eu other",
    }


def test_a_layer_is_published_once_for_each_region_and_not_again(aws: Aws) -> None:
    for region in ("eu-west-1", "us-east-1"):
        aws.function("f", region)
        aws.function("g", region)
    both = ["--all", "--region", "eu-west-1,us-east-1"]
    assert aws.run("instrument", *ZIP, *both, "--yes").returncode == 0
    assert aws.run("uninstrument", "--yes").returncode == 0
    assert aws.run("instrument", *ZIP, *both, "--yes").returncode == 0
    for region in ("eu-west-1", "us-east-1"):
        found = aws.client(region=region).list_layer_versions(LayerName="lrap-otel")[
            "LayerVersions"
        ]
        assert [(version["Version"], version["LicenseInfo"]) for version in found] == [
            (1, "Apache-2.0")
        ]
        assert aws.layers("g", region) == [
            f"arn:aws:lambda:{region}:123456789012:layer:lrap-otel:1"
        ]


def test_without_a_layer_named_the_account_s_newest_is_taken(aws: Aws) -> None:
    aws.function("f")
    missing = aws.run("instrument", "f", "--yes")
    assert missing.returncode == 2
    assert "--zip build/lrap-otel.zip" in missing.stderr
    aws.layer()
    newest = aws.layer()
    assert aws.run("instrument", "f", "--yes").returncode == 0
    assert aws.layers("f") == [newest]


def test_a_layer_may_be_named_for_each_region(aws: Aws) -> None:
    arns = {region: aws.layer("tracing", region) for region in ("eu-west-1", "us-east-1")}
    for region in arns:
        aws.function("f", region)
    both = ["f", *ENDPOINT, "--region", ",".join(arns), "--yes"]
    one = aws.run("instrument", *both, "--layer", arns["eu-west-1"])
    assert one.returncode == 2
    assert "no --layer for us-east-1" in one.stderr
    assert (
        aws.run(
            "instrument", *both, "--layer", arns["eu-west-1"].replace("eu-west-1", "{region}")
        ).returncode
        == 0
    )
    assert aws.run("uninstrument", "--yes").returncode == 0
    assert [aws.layers("f", region) for region in arns] == [[], []]
    several = [part for arn in arns.values() for part in ("--layer", arn)]
    assert aws.run("instrument", *both, *several).returncode == 0
    assert [aws.layers("f", region) for region in arns] == [[arn] for arn in arns.values()]


def test_a_layer_that_does_not_exist_is_noticed_before_anything_is_changed(aws: Aws) -> None:
    aws.function("f")
    arn = "arn:aws:lambda:eu-west-1:123456789012:layer:lrap-otel:99"
    done = aws.run("instrument", "f", "--layer", arn, "--yes")
    assert (done.returncode, done.stderr) == (
        2,
        f"failed: there is no layer {arn}; `make deploy` prints those that there are\n",
    )


@pytest.mark.parametrize(
    "answer",
    [
        refusal(429, "TooManyRequestsException", "Rate exceeded"),
        refusal(500, "ServiceException"),
        refusal(409, "ResourceConflictException", "An update is in progress for resource"),
    ],
    ids=["throttled", "broken", "in conflict"],
)
def test_what_passes_by_itself_is_tried_again(aws: Aws, answer: Answer) -> None:
    aws.function("f", variables={"A": "1"})
    aws.proxy.rules.append(first(2, answer))
    done = aws.run("instrument", "f", *ZIP, "--yes")
    assert done.returncode == 0, done.stderr
    assert aws.variables("f")["AWS_LAMBDA_EXEC_WRAPPER"] == WRAPPER
    assert sum(is_update(*seen) for seen in aws.proxy.seen) == 3


def test_a_conflict_that_never_ends_is_given_up_and_said(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrap_otel.aws.change.LONGEST_PAUSE_S", 0.01)
    aws.function("f")
    aws.proxy.rules.append(first(1_000, refusal(409, "ResourceConflictException")))
    done = aws.run("instrument", "f", *ZIP, "--yes")
    assert done.returncode == 1
    assert "somebody else has been changing it" in done.stdout


def test_an_edit_between_reading_and_changing_is_kept(aws: Aws) -> None:
    aws.function("f", variables={"A": "1"})
    other = aws.layer("other")
    once = threading.Semaphore(1)

    def rule(method: str, path: str, body: bytes) -> Answer | None:
        if is_update(method, path) and once.acquire(blocking=False):
            aws.client().update_function_configuration(
                FunctionName="f", Layers=[other], Environment={"Variables": {"A": "2", "B": "3"}}
            )
        return None

    aws.proxy.rules.append(rule)
    assert aws.run("instrument", "f", *ZIP, "--yes").returncode == 0
    assert {**aws.variables("f"), "A": "2", "B": "3"} == aws.variables("f")
    assert aws.layers("f")[1:] == [other]
    assert aws.variables("f")["AWS_LAMBDA_EXEC_WRAPPER"] == WRAPPER
    assert aws.run("uninstrument", "--yes").returncode == 0
    assert (aws.variables("f"), aws.layers("f")) == ({"A": "2", "B": "3"}, [other])


def test_it_waits_until_lambda_has_carried_the_change_out(aws: Aws) -> None:
    aws.function("f")
    looks: list[str] = []

    def edit(method: str, path: str, document: dict[str, Any]) -> None:
        if any(is_update(*seen) for seen in aws.proxy.seen) and "Configuration" in document:
            looks.append(path)
            document["Configuration"]["LastUpdateStatus"] = (
                "InProgress" if len(looks) < 3 else "Successful"
            )

    aws.proxy.edits.append(edit)
    assert aws.run("instrument", "f", *ZIP, "--yes").returncode == 0
    assert len(looks) == 3


def test_a_change_that_lambda_takes_and_then_fails_is_said_with_its_reason(aws: Aws) -> None:
    aws.function("f")

    def edit(method: str, path: str, document: dict[str, Any]) -> None:
        if any(is_update(*seen) for seen in aws.proxy.seen) and "Configuration" in document:
            document["Configuration"].update(
                LastUpdateStatus="Failed", LastUpdateStatusReason="No subnet"
            )

    aws.proxy.edits.append(edit)
    done = aws.run("instrument", "f", *ZIP, "--yes")
    assert done.returncode == 1
    assert "No subnet; `lrap-otel uninstrument` takes it back" in done.stdout


def test_no_secret_is_printed_though_aws_repeats_it(aws: Aws) -> None:
    aws.function("f", variables={"PASSWORD": "hunter22"})
    message = (
        'exceeded the 4KB limit; hunter22. String measured: {"PASSWORD":"hunter22","TOKEN":"t0k3n"}'
    )
    aws.proxy.rules.append(first(99, refusal(400, "InvalidParameterValueException", message)))
    done = aws.run("instrument", "f", *ZIP, "--yes", "--json", "--env", "TOKEN", TOKEN="t0k3n")
    assert done.returncode == 1
    assert "exceeded the 4KB limit; ***" in done.stdout
    assert "hunter22" not in done.stdout + done.stderr
    assert "t0k3n" not in done.stdout + done.stderr


def test_variables_that_may_not_be_read_are_left_alone(aws: Aws) -> None:
    aws.function("f", variables={"PASSWORD": "x"})
    before = aws.snapshot()

    def edit(method: str, path: str, document: dict[str, Any]) -> None:
        if "Configuration" in document:
            document["Configuration"]["Environment"] = {
                "Error": {"ErrorCode": "AccessDeniedException"}
            }

    aws.proxy.edits.append(edit)
    done = aws.run("instrument", "f", *ZIP, "--yes")
    assert done.returncode == 3
    assert "kms:Decrypt" in done.stdout
    assert aws.snapshot() == before


def test_a_named_function_that_cannot_be_instrumented_is_another_status(aws: Aws) -> None:
    aws.function("image", PackageType="Image")
    aws.function("usual")
    named = aws.run("instrument", "image", "usual", *ZIP, "--yes")
    assert named.returncode == 3
    assert "Dockerfile" in named.stdout
    assert WRAPPER in aws.variables("usual").values()
    assert aws.run("instrument", "--all", *ZIP, "--yes").returncode == 0


def test_a_function_of_the_edge_is_passed_over_unless_it_is_named(aws: Aws) -> None:
    aws.function("edge", "us-east-1", Role=aws.edge_role())
    before = aws.snapshot("us-east-1")
    assert (
        "Lambda@Edge"
        in aws.run("instrument", "--all", "--region", "us-east-1", *ZIP, "--yes").stdout
    )
    assert aws.snapshot("us-east-1") == before
    named = aws.run("instrument", "edge", "--region", "us-east-1", *ZIP, "--yes")
    assert named.returncode == 0
    assert "is it at the edge?" in named.stdout


def test_a_function_that_is_not_there_is_said_and_the_others_go_on(aws: Aws) -> None:
    aws.function("here")
    done = aws.run("instrument", "here", "gone", *ZIP, "--yes")
    assert done.returncode == 1
    assert "there is no function gone in eu-west-1" in done.stdout
    assert WRAPPER in aws.variables("here").values()


def test_versions_stay_as_they_are_unless_asked(aws: Aws) -> None:
    aws.function("f")
    client = aws.client()
    client.publish_version(FunctionName="f")
    client.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
    assert aws.run("instrument", "f", *ZIP, "--yes").returncode == 0
    assert client.get_alias(FunctionName="f", Name="live")["FunctionVersion"] == "1"
    assert len(client.list_versions_by_function(FunctionName="f")["Versions"]) == 2

    done = aws.run("instrument", "f", *ZIP, "--alias", "live", "--yes", "--json")
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["functions"][0]["version"] == "2"
    assert client.get_alias(FunctionName="f", Name="live")["FunctionVersion"] == "2"
    published = client.get_function(FunctionName="f", Qualifier="live")["Configuration"]
    assert WRAPPER in published["Environment"]["Variables"].values()

    client.update_alias(
        FunctionName="f",
        Name="live",
        FunctionVersion="2",
        RoutingConfig={"AdditionalVersionWeights": {"1": 0.1}},
    )
    shared = aws.run("instrument", "f", *ZIP, "--alias", "live", "--yes")
    assert shared.returncode == 1
    assert "shares its traffic" in shared.stdout
    missing = aws.run("instrument", "f", *ZIP, "--alias", "nowhere", "--yes")
    assert missing.returncode == 1
    assert "the alias nowhere is not moved" in missing.stdout


def test_taking_off_publishes_no_version_of_others(aws: Aws) -> None:
    aws.function("f")
    aws.function("other")
    assert aws.run("instrument", "f", *ZIP, "--publish", "--yes").returncode == 0
    done = aws.run("uninstrument", "--all", "--publish", "--yes")
    assert done.returncode == 0
    client = aws.client()
    versions = {
        name: client.list_versions_by_function(FunctionName=name)["Versions"]
        for name in ("f", "other")
    }
    assert {name: len(found) for name, found in versions.items()} == {"f": 3, "other": 1}
    assert (
        "Environment" not in client.get_function(FunctionName="f", Qualifier="2")["Configuration"]
    )


def test_the_document_is_alone_on_standard_output(aws: Aws) -> None:
    aws.function("f")
    done = aws.run("instrument", "f", *ZIP, "--yes", "--json")
    document = json.loads(done.stdout)
    assert document["command"] == "instrument"
    assert document["functions"] == [
        {
            "region": REGION,
            "function": "f",
            "status": "changed",
            "reason": "",
            "version": "",
            "difference": [
                "+ layer arn:aws:lambda:eu-west-1:123456789012:layer:lrap-otel:1",
                "+ AWS_LAMBDA_EXEC_WRAPPER=/opt/lrap-otel/wrapper",
                "+ OTEL_EXPORTER_OTLP_ENDPOINT=https://collector.example",
            ],
            "notes": [],
        }
    ]
    assert "[1/1] eu-west-1  f  changed" in done.stderr


def test_without_an_endpoint_it_is_said_where_traces_go(aws: Aws) -> None:
    aws.function("f")
    assert (
        "no --endpoint" in aws.run("instrument", "f", "--zip", "lrap-otel.zip", "--dry-run").stdout
    )
    aws.function("g", variables={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"})
    assert (
        "no --endpoint"
        not in aws.run("instrument", "g", "--zip", "lrap-otel.zip", "--dry-run").stdout
    )


def test_ctrl_c_finishes_what_has_begun_and_a_second_run_the_rest(aws: Aws) -> None:
    for number in range(12):
        aws.function(f"f-{number}")
    before = aws.snapshot()
    process = aws.start("instrument", "--all", *ZIP, "--jobs", "2", "--yes")

    def rule(method: str, path: str, body: bytes) -> Answer | None:
        if is_update(method, path) and sum(is_update(*seen) for seen in aws.proxy.seen) == 3:
            process.send_signal(signal.SIGINT)
        return None

    aws.proxy.rules.append(rule)
    with process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "run the same command again for the rest" in out
    assert "Traceback" not in err
    changed = sum(text != before[name] for name, text in aws.snapshot().items())
    assert 2 <= changed < 12
    assert f"{changed} changed" in out

    assert aws.run("instrument", "--all", *ZIP, "--yes").returncode == 0
    assert aws.run("uninstrument", "--yes").returncode == 0
    assert aws.snapshot() == before


def test_the_undo_file_is_its_owner_s_alone_and_there_before_the_first_change(aws: Aws) -> None:
    aws.function("f", variables={"TOKEN": "old"})
    path = aws.folder / "undo.json"
    found: list[dict[str, Any]] = []

    def rule(method: str, path_: str, body: bytes) -> Answer | None:
        if is_update(method, path_):
            found.append(json.loads(path.read_text()))
        return None

    aws.proxy.rules.append(rule)
    assert (
        aws.run(
            "instrument", "f", *ZIP, "--env", "TOKEN=new", "--undo-file", "undo.json", "--yes"
        ).returncode
        == 0
    )
    record = found[0]["functions"]["arn:aws:lambda:eu-west-1:123456789012:function:f"]
    assert record["variables"]["TOKEN"] == {"before": "old", "after": "new"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert aws.run("uninstrument", "--undo-file", "undo.json", "--yes").returncode == 0
    assert aws.variables("f") == {"TOKEN": "old"}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": "lrap-otel undo", "version": 2, "functions": {}}', "\xff"]
)
def test_an_undo_file_that_is_none_is_never_overwritten(aws: Aws, text: str) -> None:
    aws.function("f")
    path = aws.folder / "lrap-otel-undo.json"
    path.write_text(text, "latin-1")
    for command in (["instrument", "f", *ZIP], ["uninstrument"]):
        done = aws.run(*command, "--yes")
        assert done.returncode == 2
        assert "undo" in done.stderr
    assert path.read_text("latin-1") == text
    assert aws.variables("f") == {}


def test_an_undo_file_that_cannot_be_written_stops_before_the_first_change(aws: Aws) -> None:
    aws.function("f")
    done = aws.run("instrument", "f", *ZIP, "--undo-file", "no/such/folder.json", "--yes")
    assert done.returncode == 2
    assert "--undo-file" in done.stderr
    assert aws.variables("f") == {}


def test_two_runs_at_once_keep_each_other_s_records(aws: Aws) -> None:
    for name in ("a", "b"):
        for number in range(4):
            aws.function(f"{name}-{number}", variables={"X": "1"})
    before = aws.snapshot()
    aws.layer(content=LAYER)
    both = [aws.start("instrument", "--prefix", name, *ENDPOINT, "--yes") for name in ("a", "b")]
    for process in both:
        with process:
            _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    records = json.loads((aws.folder / "lrap-otel-undo.json").read_text())["functions"]
    assert len(records) == 8
    assert aws.run("uninstrument", "--yes").returncode == 0
    assert aws.snapshot() == before


def test_a_function_deleted_since_does_not_stop_the_undoing(aws: Aws) -> None:
    aws.function("f")
    aws.function("g")
    assert aws.run("instrument", "f", "g", *ZIP, "--yes").returncode == 0
    aws.client().delete_function(FunctionName="f")
    done = aws.run("uninstrument", "--yes")
    assert done.returncode == 0, done.stdout
    assert aws.variables("g") == {}
    assert not (aws.folder / "lrap-otel-undo.json").exists()


def test_a_region_can_be_undone_by_itself(aws: Aws) -> None:
    for region in ("eu-west-1", "us-east-1"):
        aws.function("f", region)
    assert (
        aws.run("instrument", "f", *ZIP, "--region", "eu-west-1,us-east-1", "--yes").returncode == 0
    )
    assert aws.run("uninstrument", "--region", "us-east-1", "--yes").returncode == 0
    assert aws.variables("f", "us-east-1") == {}
    assert aws.variables("f") != {}
    assert aws.run("uninstrument", "--yes").returncode == 0
    assert aws.variables("f") == {}


def test_without_the_undo_file_what_is_ours_is_removed_by_rule(aws: Aws) -> None:
    aws.function("f", variables={"A": "1", "AWS_LAMBDA_EXEC_WRAPPER": "/opt/theirs"})
    aws.function("untouched", variables={"B": "2"})
    assert aws.run("instrument", "f", *ZIP, "--env", "LRAP_LOG_LEVEL=info", "--yes").returncode == 0
    (aws.folder / "lrap-otel-undo.json").unlink()
    nothing = aws.run("uninstrument", "--yes")
    assert nothing.returncode == 2
    assert "--all" in nothing.stderr
    done = aws.run("uninstrument", "--all", "--yes")
    assert done.returncode == 0
    assert "OTEL_* stay" in done.stdout
    assert aws.variables("f") == {
        "A": "1",
        "AWS_LAMBDA_EXEC_WRAPPER": "/opt/theirs",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.example",
    }
    assert aws.layers("f") == []
    assert aws.variables("untouched") == {"B": "2"}


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["instrument", *ZIP], 2, "choose them by --prefix"),
        (["instrument", "f", *ZIP, "--layer", "arn:x"], 2, "choose one"),
        (["instrument", "f", "--layer", "arn:x"], 2, "make deploy"),
        (["instrument", "f", "--zip", "nothing.zip"], 2, "`make layer` builds it"),
        (["instrument", "f:3", *ZIP], 2, "published version"),
        (
            ["instrument", "arn:aws:lambda:eu-west-1:123456789012:web-function/w", *ZIP],
            2,
            "Web Function",
        ),
        (["instrument", "--prefix", "none", *ZIP], 2, "no function was chosen"),
        (["instrument", "f", "--endpoint", "collector:4318"], 2, "http://"),
        (["instrument", "f", "--endpoint", "https://[x"], 2, "http://"),
        (["instrument", "f", "--env", "1=2"], 2, "no name of a variable"),
        (["instrument", "f", "--env", "NOT_SET_HERE"], 2, "is not set here"),
        (["instrument", "f", "--env", "AWS_LAMBDA_EXEC_WRAPPER=/x"], 2, "sets by itself"),
        (["instrument", "f", "--tag", "x"], 2, "NAME=VALUE"),
        (["instrument", "f", "--jobs", "0"], 2, "1 to 64"),
        (["instrument", "f", "--region", "Nowhere!", *ZIP], 1, "is the region's name right"),
    ],
)
def test_what_cannot_be_meant_is_said_with_what_to_do(
    aws: Aws, arguments: list[str], status: int, says: str
) -> None:
    aws.function("f")
    done = aws.run(*arguments, "--yes")
    assert done.returncode == status, done
    assert says in done.stdout + done.stderr
    assert aws.variables("f") == {}


def test_a_zip_that_is_not_the_layer_is_refused(aws: Aws) -> None:
    aws.function("f")
    (aws.folder / "text.zip").write_text("text")
    (aws.folder / "other.zip").write_bytes(CODE)
    assert "is no zip" in aws.run("instrument", "f", "--zip", "text.zip").stderr
    assert "extensions/lrap-otel" in aws.run("instrument", "f", "--zip", "other.zip").stderr


def test_without_credentials_or_region_or_boto3_it_is_said_what_to_do(aws: Aws) -> None:
    aws.function("f")
    no_keys = aws.run("instrument", "f", *ZIP, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert no_keys.returncode == 1
    assert "aws configure" in no_keys.stdout
    no_keys = aws.run("instrument", "--all", *ZIP, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert no_keys.returncode == 2
    assert "aws configure" in no_keys.stderr
    no_region = aws.run("instrument", "f", *ZIP, AWS_REGION="")
    assert (no_region.returncode, no_region.stderr) == (
        2,
        "failed: no region: pass --region eu-west-1 (it may be repeated), or set AWS_REGION\n",
    )
    no_profile = aws.run("instrument", "f", *ZIP, AWS_PROFILE="nobody")
    assert no_profile.returncode == 2
    assert "AWS_PROFILE" in no_profile.stderr

    code = (
        "import sys; sys.modules['boto3'] = None; from lrap_otel.cli import main; sys.exit(main())"
    )
    no_boto = subprocess.run(
        [sys.executable, "-c", code, "instrument", "f", *ZIP],
        capture_output=True,
        text=True,
        check=False,
        env=aws.environment(),
    )
    assert (no_boto.returncode, no_boto.stderr) == (
        2,
        f"failed: this command needs boto3: {remedy('aws')}\n",
    )


def test_tags_that_may_not_be_read_choose_nothing(aws: Aws) -> None:
    aws.function("f", Tags={"a": "b"})

    def edit(method: str, path: str, document: dict[str, Any]) -> None:
        if "Configuration" in document:
            document.pop("Tags", None)
            document["TagsError"] = {
                "ErrorCode": "AccessDeniedException",
                "Message": "not authorized",
            }

    aws.proxy.edits.append(edit)
    done = aws.run("instrument", "--tag", "a=b", *ZIP, "--yes")
    assert done.returncode == 2
    assert "lambda:ListTags" in done.stderr


def test_a_permission_that_is_missing_is_named(aws: Aws) -> None:
    aws.function("f")
    message = "User: arn:aws:iam::1:user/u is not authorized to perform: lambda:UpdateFunctionConfiguration"
    aws.proxy.rules.append(first(1, refusal(403, "AccessDeniedException", message)))
    done = aws.run("instrument", "f", *ZIP, "--yes")
    assert done.returncode == 1
    assert "lambda:UpdateFunctionConfiguration: ask for that permission" in done.stdout
