"""``doctor`` on deployed functions: through the API, with what only AWS knows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.aws.conftest import REGION, refusal, zipped
from tests.aws.http_answers import HttpAnswers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.aws.conftest import Answer, Aws, Rule

OURS = "/opt/lrap-otel/wrapper"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
WRAPPED = {"AWS_LAMBDA_EXEC_WRAPPER": OURS, ENDPOINT: "http://collector.internal:4318"}
XRAY = {
    "AWS_LAMBDA_EXEC_WRAPPER": OURS,
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://xray.eu-west-1.amazonaws.com/v1/traces",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "https://monitoring.eu-west-1.amazonaws.com/v1/metrics",
}


@pytest.fixture
def layer(aws: Aws) -> str:
    """Our layer, made for x86_64 alone."""
    made = aws.client().publish_layer_version(
        LayerName="lrap-otel",
        Content={"ZipFile": zipped({"a": "b"})},
        CompatibleArchitectures=["x86_64"],
    )
    return str(made["LayerVersionArn"])


def examine(aws: Aws, *arguments: str) -> tuple[int, dict[str, dict[str, str]], str]:
    """Exit status; for each function its checks and their severities; and everything that was
    printed.
    """
    done = aws.run("doctor", *arguments, "--json", "--offline")
    if done.returncode not in {0, 1, 3}:
        return done.returncode, {}, done.stdout + done.stderr
    found = {
        entry["subject"].partition("  ")[2]: {
            finding["check"]: finding["severity"] for finding in entry["findings"]
        }
        for entry in json.loads(done.stdout)["subjects"]
    }
    return done.returncode, found, done.stdout + done.stderr


def sound(aws: Aws, layer: str, name: str = "f", variables: Any = None, **more: Any) -> None:
    aws.function(
        name,
        variables={**WRAPPED, **(variables or {})},
        **{"Layers": [layer], "MemorySize": 512, **more},
    )


def test_a_function_that_is_well_set_up_gives_no_findings(aws: Aws, layer: str) -> None:
    sound(aws, layer)
    done = aws.run("doctor", "f", "--offline")
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        ["eu-west-1  f: nothing found", "0 errors, 0 warnings, 0 notes"],
    )
    assert {method for method, _ in aws.proxy.seen} == {"GET"}


def test_findings_are_lines_for_people_the_gravest_first(aws: Aws, layer: str) -> None:
    sound(aws, layer, variables={"LRAP_LISTNER_PORT": "1", "AWS_LAMBDA_EXEC_WRAPPER": "/opt/otel-handler"}, TracingConfig={"Mode": "Active"})  # fmt: skip
    done = aws.run("doctor", "f", "--offline")
    assert done.returncode == 3
    lines = done.stdout.splitlines()
    names = (
        "AWS_LAMBDA_EXEC_WRAPPER names /opt/otel-handler of OpenTelemetry's layers for languages"
    )
    ours = f"AWS_LAMBDA_EXEC_WRAPPER={OURS}"
    assert lines[:5] == [
        "eu-west-1  f",
        f"  error    {names}, so ours never starts and nothing is traced.",
        f"           Set {ours} and LRAP_NEXT_WRAPPER=/opt/otel-handler, which then starts after ours.",
        "  warning  LRAP_LISTNER_PORT is no setting.",
        "           Do you mean LRAP_LISTENER_PORT?",
    ]
    assert lines[5].startswith("  note     X-Ray traces the function too")
    assert lines[-1] == "1 error, 1 warning, 1 note"


def test_the_exit_status_is_that_of_the_gravest_finding(aws: Aws, layer: str) -> None:
    sound(aws, layer, "note", TracingConfig={"Mode": "Active"})
    sound(aws, layer, "warning", MemorySize=128)
    aws.function("error")
    assert examine(aws, "note") == (0, {"note": {"x-ray": "note"}}, examine(aws, "note")[2])
    assert examine(aws, "note", "warning")[0] == 1
    assert examine(aws, "error", "note")[0] == 3
    assert aws.run("doctor", "missing", "note", "--offline").returncode == 2
    assert aws.run("doctor", "missing", "error", "--offline").returncode == 3


def test_a_function_that_is_not_ours_is_an_error_only_if_it_was_asked_for(
    aws: Aws, layer: str
) -> None:
    sound(aws, layer)
    aws.function(
        "theirs", variables={"AWS_LAMBDA_EXEC_WRAPPER": "/opt/datadog_wrapper", "SECRET": "s3cr3t"}
    )
    assert examine(aws, "theirs")[:2] == (3, {"theirs": {"not-instrumented": "error"}})
    status, found, printed = examine(aws, "--all")
    assert (status, found) == (0, {"f": {}, "theirs": {"not-instrumented": "note"}})
    assert "Its wrapper goes into LRAP_NEXT_WRAPPER" in printed


def test_five_layers_leave_no_room_for_ours(aws: Aws) -> None:
    layers = [aws.layer(f"l{number}") for number in range(5)]
    aws.function("full", Layers=layers)
    aws.function("almost", Layers=layers[1:])
    found = examine(aws, "full", "almost")[1]
    assert found["full"]["layers-full"] == "error"
    assert "layers-full" not in found["almost"]


def test_an_architecture_that_the_layer_is_not_made_for(aws: Aws, layer: str) -> None:
    sound(aws, layer, "arm", Architectures=["arm64"])
    sound(aws, layer, "intel")
    both = aws.client().publish_layer_version(
        LayerName="lrap-otel",
        Content={"ZipFile": zipped({"b": "c"})},
        CompatibleArchitectures=["x86_64", "arm64"],
    )
    sound(aws, str(both["LayerVersionArn"]), "both", Architectures=["arm64"])
    found = examine(aws, "arm", "intel", "both")[1]
    assert [name for name in found if "architecture" in found[name]] == ["arm"]


def test_a_version_of_the_layer_that_is_not_the_newest(aws: Aws, layer: str) -> None:
    sound(aws, layer, "old")
    sound(aws, aws.layer(), "new")
    status, found, printed = examine(aws, "old", "new")
    assert (status, found) == (0, {"old": {"layer-version": "note"}, "new": {}})
    assert "It has version 1 of the layer, and 2 is the newest." in printed


def test_a_layer_that_another_account_shares_is_looked_up_by_its_arn(aws: Aws, layer: str) -> None:
    shared = "arn:aws:lambda:eu-west-1:999999999999:layer:lrap-otel"

    def edit(method: str, path: str, document: dict[str, Any]) -> None:
        document.get("Configuration", {})["Layers"] = [{"Arn": f"{shared}:4", "CodeSize": 1}]

    def rule(method: str, path: str, body: bytes) -> Answer | None:
        versions = [{"Version": 5}, {"Version": 4, "CompatibleArchitectures": ["arm64"]}]
        answer = json.dumps({"LayerVersions": versions}).encode()
        return (
            (200, {"Content-Type": "application/json"}, answer)
            if f"layers/{shared}/" in path
            else None
        )

    aws.proxy.edits.append(edit)
    aws.proxy.rules.append(rule)
    sound(aws, layer)
    assert examine(aws, "f")[1] == {"f": {"layer-version": "note", "architecture": "error"}}


def test_our_layer_by_another_name(aws: Aws) -> None:
    sound(aws, aws.layer("tracing"))
    assert examine(aws, "f")[1] == {"f": {"no-layer": "error"}}
    assert examine(aws, "f", "--layer-name", "tracing")[1] == {"f": {}}


def answering(path: str, answer: Answer) -> Rule:
    return lambda method, asked, body: (
        answer if path.encode() in asked.encode() + b" " + body else None
    )


def simulated(**decisions: str) -> Answer:
    members = "".join(
        f"<member><EvalActionName>{name.replace('_', ':')}</EvalActionName><EvalDecision>{decision}</EvalDecision></member>"
        for name, decision in decisions.items()
    )
    body = f"<SimulatePrincipalPolicyResponse><SimulatePrincipalPolicyResult><EvaluationResults>{members}</EvaluationResults></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
    return 200, {"Content-Type": "text/xml"}, body.encode()


def destination(name: str, status: str = "ACTIVE") -> Answer:
    return (
        200,
        {"Content-Type": "application/json"},
        json.dumps({"Destination": name, "Status": status}).encode(),
    )


ALLOWED = simulated(
    xray_PutSpans="allowed", xray_PutSpansForIndexing="allowed", cloudwatch_PutMetricData="allowed"
)
DENIED = simulated(
    xray_PutSpans="implicitDeny",
    xray_PutSpansForIndexing="allowed",
    cloudwatch_PutMetricData="allowed",
)
SEARCH, POLICY = "/GetTraceSegmentDestination", "SimulatePrincipalPolicy"
NO_XML = (403, {"Content-Type": "text/xml"}, b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>")  # fmt: skip


@pytest.mark.parametrize(
    ("search", "policy", "expected"),
    [
        (destination("CloudWatchLogs"), ALLOWED, {}),
        (destination("XRay"), ALLOWED, {"transaction-search": "error"}),
        (destination("CloudWatchLogs", "PENDING"), ALLOWED, {"transaction-search": "warning"}),
        (destination("CloudWatchLogs"), DENIED, {"permission": "error"}),
        (
            refusal(403, "AccessDeniedException"),
            NO_XML,
            {"transaction-search": "note", "permission": "note"},
        ),
    ],
    ids=[
        "all is well",
        "search is off",
        "search comes on",
        "a permission is missing",
        "we may not look",
    ],
)
def test_what_aws_itself_asks_for_as_a_backend(
    aws: Aws, layer: str, search: Answer, policy: Answer, expected: dict[str, str]
) -> None:
    aws.proxy.rules += [answering(SEARCH, search), answering(POLICY, policy)]
    sound(aws, layer, variables=XRAY)
    _, found, printed = examine(aws, "f")
    assert found["f"] == expected
    assert ("xray:PutSpans, " not in printed) or "permission" in expected
    assert ("lacks xray:PutSpans," in printed) is (policy is DENIED)


SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:collector-AbCdEf"
PARAMETER = "arn:aws:ssm:eu-west-1:123456789012:parameter/collector/url"


@pytest.mark.parametrize(
    ("decision", "expected"),
    [("allowed", {}), ("implicitDeny", {"permission": "error"})],
    ids=["may", "may not"],
)
def test_whether_the_function_may_read_the_secrets_of_its_settings(
    aws: Aws, layer: str, decision: str, expected: dict[str, str]
) -> None:
    policy = simulated(secretsmanager_GetSecretValue=decision, ssm_GetParameter=decision)
    aws.proxy.rules.append(answering(POLICY, policy))
    headers = f"api-key=${{{SECRET}:key::}},x=${{{SECRET}}}"
    sound(
        aws, layer, variables={ENDPOINT: f"${{{PARAMETER}}}", "OTEL_EXPORTER_OTLP_HEADERS": headers}
    )
    _, found, printed = examine(aws, "f")

    assert found["f"] == expected
    assert (f"{SECRET} cannot be read" in printed) is bool(expected)
    assert (f"{PARAMETER} cannot be read" in printed) is bool(expected)
    assert (
        len(
            [
                path
                for _, path in aws.proxy.seen
                if "2015-03-31" not in path and "2018-10-31" not in path
            ]
        )
        == 2
    )


def test_without_aws_as_a_backend_nothing_is_asked_about_it(aws: Aws, layer: str) -> None:
    sound(aws, layer)
    examine(aws, "f")
    assert [
        path for _, path in aws.proxy.seen if "2015-03-31" not in path and "2018-10-31" not in path
    ] == []


def test_versions_that_may_not_be_listed_are_said_to_be_unknown(aws: Aws, layer: str) -> None:
    aws.proxy.rules.append(answering("/layers/", refusal(403, "AccessDeniedException")))
    sound(aws, layer, "a")
    sound(aws, layer, "b")
    status, found, _ = examine(aws, "a", "b")
    assert (status, found) == (0, {"a": {"layer-version": "note"}, "b": {"layer-version": "note"}})
    assert len([path for _, path in aws.proxy.seen if "/layers/" in path]) == 1


def test_what_the_api_says_of_a_function_is_used(aws: Aws, layer: str) -> None:
    def edit(method: str, path: str, document: dict[str, Any]) -> None:
        configuration = document.get("Configuration", {})
        name = configuration.get("FunctionName")
        if name == "failed":
            configuration["LastUpdateStatus"] = "Failed"
        if name == "unreadable":
            configuration["Environment"] = {
                "Error": {"ErrorCode": "AccessDeniedException", "Message": "kms"}
            }
        if name == "replica":
            configuration["MasterArn"] = (
                configuration["FunctionArn"].replace("replica", "original") + ":1"
            )
        if name == "large":
            configuration["CodeSize"] = 230_000_000
        if name == "fits":
            configuration["CodeSize"] = 220_000_000
        if name == "key":
            configuration["KMSKeyArn"] = "arn:aws:kms:eu-west-1:123456789012:key/k"

    aws.proxy.edits.append(edit)
    for name in ("failed", "unreadable", "replica"):
        sound(aws, layer, name)
    for name in ("large", "fits"):
        aws.function(name)
    secret = {"OTEL_EXPORTER_OTLP_HEADERS": "api-key=s3cr3t"}
    sound(aws, layer, "key", variables=secret)
    sound(aws, layer, "plain", variables=secret)
    _, found, printed = examine(
        aws, "failed", "unreadable", "replica", "large", "fits", "key", "plain"
    )
    assert found == {
        "failed": {"last-update": "warning"},
        "unreadable": {"variables-unreadable": "warning"},
        "replica": {"edge": "error"},
        "large": {"not-instrumented": "error", "too-large": "error"},
        "fits": {"not-instrumented": "error"},
        "key": {"plain-credentials": "note"},
        "plain": {"plain-credentials": "warning"},
    }
    assert "s3cr3t" not in printed


def test_a_role_of_the_edge_is_a_question(aws: Aws) -> None:
    aws.function("f", "us-east-1", Role=aws.edge_role())
    found = examine(aws, "f", "--region", "us-east-1")[1]
    assert found == {"f": {"not-instrumented": "error", "edge": "note"}}


def test_an_image_is_told_what_to_put_into_its_dockerfile(aws: Aws) -> None:
    aws.function(
        "f", PackageType="Image", MemorySize=512, variables={ENDPOINT: "https://collector.example"}
    )
    status, found, printed = examine(aws, "f")
    assert (status, found) == (0, {"f": {"image": "note"}})
    assert "COPY --from=LRAP_OTEL_IMAGE /opt /opt" in printed
    assert "ENTRYPOINT" in printed


def test_an_image_that_nothing_of_ours_is_said_of_is_left_alone_unless_asked_for(aws: Aws) -> None:
    active = {"TracingConfig": {"Mode": "Active"}, "PackageType": "Image"}
    aws.function("theirs", **active)
    aws.function("ours", variables={ENDPOINT: "http://10.0.0.1:4318"}, **active)
    noted = {"image": "note", "x-ray": "note", "memory": "warning"}
    assert examine(aws, "--all")[1] == {"theirs": {"image": "note"}, "ours": noted}
    assert examine(aws, "theirs")[1] == {"theirs": noted}


def test_a_vpc_is_a_question(aws: Aws, layer: str) -> None:
    def edit(method: str, path: str, document: dict[str, Any]) -> None:
        document.get("Configuration", {})["VpcConfig"] = {
            "VpcId": "vpc-1",
            "SubnetIds": ["subnet-1"],
        }

    aws.proxy.edits.append(edit)
    sound(aws, layer, "asked", {ENDPOINT: "https://collector.example"})
    sound(aws, layer, "sure")
    assert examine(aws, "asked", "sure")[1] == {"asked": {"vpc": "note"}, "sure": {}}


def test_functions_and_templates_are_examined_together(aws: Aws, layer: str) -> None:
    sound(aws, layer)
    (aws.folder / "t.json").write_text(
        json.dumps({"Resources": {"F": {"Type": "AWS::Lambda::Function"}}})
    )
    done = aws.run("doctor", "t.json", "f", "--offline")
    assert [line for line in done.stdout.splitlines() if not line.startswith(" ")] == [
        "t.json  F",
        f"{REGION}  f: nothing found",
        "0 errors, 0 warnings, 1 note",
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["f:1"], "a published version never changes"),
        (["a b"], "neither a function's name nor its ARN"),
        (["--prefix", "none"], "no function was chosen"),
    ],
)
def test_what_cannot_be_meant_is_said(aws: Aws, arguments: list[str], text: str) -> None:
    done = aws.run("doctor", *arguments)
    assert done.returncode == 2
    assert text in done.stderr


def test_what_was_found_is_told_though_aws_cannot_be_asked(aws: Aws) -> None:
    (aws.folder / "t.json").write_text(
        json.dumps({"Resources": {"F": {"Type": "AWS::Lambda::Function"}}})
    )
    done = aws.run("doctor", "t.json", "--all", "--json", "--offline", AWS_REGION="")
    assert done.returncode == 2
    assert "failed: no region" in done.stderr
    assert [entry["subject"] for entry in json.loads(done.stdout)["subjects"]] == ["t.json  F"]


@pytest.fixture
def proxied() -> Iterator[HttpAnswers]:
    proxy = HttpAnswers(
        {
            "http://collector.example:4318/wrong/v1/traces": 404,
            "http://collector.example/v1/traces": 401,
        }
    )
    yield proxy
    proxy.close()


def reach(aws: Aws, proxied: HttpAnswers, name: str) -> dict[str, str]:
    done = aws.run("doctor", name, "--json", http_proxy=proxied.url, no_proxy="127.0.0.1")
    (entry,) = json.loads(done.stdout)["subjects"]
    found = {finding["check"]: finding["severity"] for finding in entry["findings"]}
    return {check: severity for check, severity in found.items() if check not in {"plain-http", "plain-credentials", "no-port"}}  # fmt: skip


def test_an_endpoint_is_asked_from_here_without_the_functions_credentials(
    aws: Aws, layer: str, proxied: HttpAnswers
) -> None:
    secret = {"OTEL_EXPORTER_OTLP_HEADERS": "api-key=s3cr3t"}
    sound(
        aws,
        layer,
        variables={ENDPOINT: "http://me:s3cr3t@collector.example:4318/?key=s3cr3t", **secret},
    )
    assert reach(aws, proxied, "f") == {}
    assert [path for path, _, _ in proxied.asked] == [
        "http://collector.example:4318/v1/traces",
        "http://collector.example:4318/v1/metrics",
    ]
    assert {body for _, _, body in proxied.asked} == {b""}
    assert "s3cr3t" not in str(proxied.asked)
    assert {"api-key", "Authorization"} & {
        name for _, headers, _ in proxied.asked for name in headers
    } == set()


def test_a_path_that_takes_nothing_is_found_and_a_refusal_without_credentials_says_nothing(
    aws: Aws, layer: str, proxied: HttpAnswers
) -> None:
    sound(aws, layer, "wrong", {ENDPOINT: "http://collector.example:4318/wrong"})
    sound(aws, layer, "refused", {ENDPOINT: "http://collector.example"})
    assert reach(aws, proxied, "wrong") == {"endpoint-path": "warning"}
    assert reach(aws, proxied, "refused") == {}


def test_an_endpoint_of_many_functions_is_asked_once(
    aws: Aws, layer: str, proxied: HttpAnswers
) -> None:
    for name in ("a", "b"):
        sound(aws, layer, name, {ENDPOINT: "http://collector.example:4318/wrong"})
    done = aws.run("doctor", "--all", http_proxy=proxied.url, no_proxy="127.0.0.1")
    assert done.stdout.count("answers 404 for traces") == 2
    assert len(proxied.asked) == 2


def test_a_host_that_does_not_answer_from_here_is_a_warning_that_says_from_where(
    aws: Aws, layer: str
) -> None:
    sound(aws, layer, variables={ENDPOINT: "https://collector.invalid"})
    done = aws.run("doctor", "f", https_proxy="http://127.0.0.1:1", no_proxy="127.0.0.1")
    assert done.returncode == 1
    assert "  warning  https://collector.invalid cannot be reached from here (" in done.stdout
    assert "run `lrap-otel doctor` where it runs" in done.stdout


def test_no_endpoint_is_asked_offline_or_of_a_function_that_is_not_ours(
    aws: Aws, layer: str, proxied: HttpAnswers
) -> None:
    variables = {ENDPOINT: "http://collector.example:4318"}
    sound(aws, layer, variables=variables)
    aws.function("theirs", variables=variables)
    aws.run("doctor", "f", "--offline", http_proxy=proxied.url)
    reach(aws, proxied, "theirs")
    assert proxied.asked == []
