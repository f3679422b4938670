"""``doctor`` on templates: every check of a configuration fires where it should, and nothing is
concluded from what is not known.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lrap_otel.aws.doctor.template import MAX_BYTES
from lrap_otel.cli import main
from lrap_otel.extras import remedy

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
OURS = "/opt/lrap-otel/wrapper"
LAYER = "arn:aws:lambda:eu-west-1:123456789012:layer:lrap-otel:3"
OTHER = "arn:aws:lambda:eu-west-1:123456789012:layer:other:1"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
WRAPPED = {"AWS_LAMBDA_EXEC_WRAPPER": OURS, ENDPOINT: "https://collector.example"}

if TYPE_CHECKING:
    # A function's properties and variables; the answer has each check and its severity.
    Examine = Callable[..., dict[str, str]]


@pytest.fixture
def doctor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Examine a template: the exit status, and the findings of each subject."""

    def examine(
        document: Any, *options: str, name: str = "template.yaml"
    ) -> tuple[int, dict[str, Any]]:
        path = tmp_path / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        status = main(["doctor", str(path), "--json", "--offline", *options])
        subjects = json.loads(capsys.readouterr().out)["subjects"]
        named = {
            entry["subject"].rpartition("  ")[2].rpartition("/")[2]: entry for entry in subjects
        }
        return status, named

    return examine


@pytest.fixture
def found(doctor: Callable[..., tuple[int, dict[str, Any]]]) -> Examine:
    """Examine one function of a SAM template that is well set up but for what is given."""

    def examine(variables: dict[str, Any] | None = None, **properties: Any) -> dict[str, str]:
        function = {
            "Runtime": "python3.13",
            "MemorySize": 512,
            "Layers": [LAYER],
            "Environment": {"Variables": {**WRAPPED, **(variables or {})}},
            **properties,
        }
        resources = {"F": {"Type": "AWS::Serverless::Function", "Properties": function}}
        _, subjects = doctor({"Resources": resources})
        return {finding["check"]: finding["severity"] for finding in subjects["F"]["findings"]}

    return examine


MANY = [f"arn:aws:lambda:eu-west-1:123456789012:layer:l{number}:1" for number in range(5)]
BARE: dict[str, Any] = {"Environment": {"Variables": {}}, "Layers": []}

# The check, its severity, properties and variables that it finds, and the nearest that it does not.
CASES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("old-runtime", "error", {"Runtime": "go1.x"}, {"Runtime": "provided.al2023"}),
    ("image", "note", {"PackageType": "Image"}, {"PackageType": "Zip"}),
    ("not-instrumented", "note", BARE, {"Layers": []}),
    ("no-layer", "error", {"Layers": [OTHER]}, {"Layers": [LAYER, OTHER]}),
    ("no-layer", "error", {"Layers": []}, {"Layers": [{"Ref": "LayerParameter"}]}),
    ("layers-full", "error", {"Layers": [LAYER, *MANY]}, {"Layers": [LAYER, *MANY[1:]]}),
    ("layers-full", "note", {**BARE, "Layers": MANY}, {**BARE, "Layers": MANY[1:]}),
    ("layers-full", "note", {**BARE, "Layers": MANY}, {"Layers": [{"Ref": "Parameter"}, *MANY[1:]]}),
    ("variables-full", "error", {"variables": {"A": "x" * 4_000}}, {"variables": {"A": "x" * 3_900}}),
    ("unknown-runtime", "note", {"Runtime": "perl5.40"}, {"Runtime": "ruby4.0"}),
    ("no-wrapper", "error", {"variables": {"AWS_LAMBDA_EXEC_WRAPPER": ""}}, {}),
    ("no-wrapper", "error", {"variables": {"AWS_LAMBDA_EXEC_WRAPPER": ""}}, {"variables": {"AWS_LAMBDA_EXEC_WRAPPER": ""}, "Runtime": "provided.al2023"}),
    ("own-bootstrap", "warning", {"Runtime": "provided.al2023"}, {"Runtime": "java21"}),
    ("own-bootstrap", "note", {"Runtime": "provided.al2023", "variables": {"AWS_LAMBDA_EXEC_WRAPPER": ""}}, {}),
    ("other-wrapper", "error", {"variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/datadog_wrapper"}}, {"variables": {"AWS_LAMBDA_EXEC_WRAPPER": {"Ref": "W"}}}),
    ("web-adapter", "error", {"variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap"}}, {"variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap", "AWS_LWA_LAMBDA_RUNTIME_API_PROXY": {"Ref": "P"}}}),
    ("next-wrapper", "warning", {"variables": {"LRAP_NEXT_WRAPPER": "/opt/otel-handler"}}, {"variables": {"LRAP_NEXT_WRAPPER": "/opt/otel-handler"}, "Layers": [LAYER, OTHER]}),
    ("short-wrapper", "note", {"variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper"}, "Layers": [LAYER, OTHER]}, {"variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper"}}),
    ("malformed-endpoint", "error", {"variables": {ENDPOINT: "collector.example"}}, {"variables": {ENDPOINT: {"Ref": "E"}}}),
    ("malformed-value", "warning", {"variables": {"LRAP_FLUSH_BUDGET_MS": "5s"}}, {"variables": {"LRAP_FLUSH_BUDGET_MS": 5_000}}),
    ("malformed-value", "warning", {"variables": {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/xml"}}, {"variables": {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}}),
    ("malformed-value", "warning", {"variables": {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "10%"}}, {"variables": {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": 0.1}}),
    ("misspelled", "warning", {"variables": {"LRAP_LISTNER_PORT": "9010"}}, {"variables": {"LRAP_LISTENER_PORT": "9010"}}),
    ("misspelled", "warning", {"variables": {"LRAP_PORT": {"Ref": "P"}}}, {"variables": {"LRAP_LISTENER_PORT": {"Ref": "P"}}}),
    ("not-used", "note", {"variables": {"OTEL_LOG_LEVEL": "debug"}}, {"variables": {"OTEL_LOG_LEVEL": "none"}}),
    ("plain-credentials", "warning", {"variables": {"OTEL_EXPORTER_OTLP_HEADERS": "api-key=k"}}, {"variables": {"OTEL_EXPORTER_OTLP_HEADERS": "{{resolve:secretsmanager:otlp}}"}}),
    ("plain-credentials", "warning", {"variables": {"OTEL_EXPORTER_OTLP_TRACES_HEADERS": "authorization=Basic%20x"}}, {"variables": {"OTEL_EXPORTER_OTLP_HEADERS": "x-scope-orgid=1"}}),
    ("plain-credentials", "warning", {"variables": {ENDPOINT: "https://me:pw@collector.example"}}, {"variables": {ENDPOINT: "https://collector.example/@me"}}),
    ("loopback", "warning", {"Environment": {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": OURS}}}, {}),
    ("loopback", "note", {"variables": {ENDPOINT: "http://localhost:4318"}, "Layers": [LAYER, OTHER]}, {"variables": {ENDPOINT: "http://localhost:4318"}, "Layers": [LAYER, {"Ref": "L"}]}),
    ("vpc", "note", {"VpcConfig": {"SubnetIds": ["subnet-1"]}}, {"VpcConfig": {"SubnetIds": ["subnet-1"]}, "variables": {ENDPOINT: "http://10.0.0.1:4318"}}),
    ("x-ray", "note", {"Tracing": "Active"}, {"Tracing": "PassThrough"}),
    ("snap-start", "note", {"SnapStart": {"ApplyOn": "PublishedVersions"}}, {"SnapStart": {"ApplyOn": "PublishedVersions"}, "AutoPublishAlias": "live"}),
    ("managed-instances", "note", {"CapacityProviderConfig": {}}, {"CapacityProviderConfig": {}, "AutoPublishAlias": "live"}),
    ("memory", "warning", {"MemorySize": 128}, {"MemorySize": 256}),
    ("memory", "warning", {"MemorySize": "192"}, {"MemorySize": {"Ref": "M"}}),
    # Of the checks of variables alone (tests/test_variable_checks.py), one that shows that they are
    # made.
    ("plain-http", "warning", {"variables": {ENDPOINT: "http://collector.example:4318"}}, {"variables": {ENDPOINT: "http://collector:4318"}}),
]  # fmt: skip


@pytest.mark.parametrize(("check", "severity", "properties", "_sound"), CASES)
def test_what_keeps_a_function_from_being_traced_is_found(
    found: Examine, check: str, severity: str, properties: dict[str, Any], _sound: object
) -> None:
    assert found(**properties).get(check) == severity


@pytest.mark.parametrize(("check", "_severity", "_found", "properties"), CASES)
def test_what_is_right_or_not_known_is_not_found(
    found: Examine, check: str, _severity: str, _found: object, properties: dict[str, Any]
) -> None:
    assert check not in found(**properties)


def test_a_function_that_is_well_set_up_gives_no_findings(found: Examine) -> None:
    assert found() == {}


def test_every_check_has_a_test() -> None:
    sources = [
        *(ROOT / "lrap_otel/aws/doctor").glob("*.py"),
        ROOT / "lrap_otel/telemetry/variable_checks.py",
    ]
    checks = {
        name
        for source in sources
        for name in re.findall(r'Finding\(\s*f?"([a-z{}-]+)"', source.read_text())
    }
    tests = "".join(test.read_text() for test in [*ROOT.glob("tests/aws/test_aws_doctor_*.py"), ROOT / "tests/test_variable_checks.py"])  # fmt: skip
    expanded = (checks - {"no-{name}-file"}) | {"no-extension-file", "no-wrapper-file"}
    assert len(expanded) > 40
    assert [check for check in sorted(expanded) if f'"{check}"' not in tests] == []


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("examples/*/template.yaml")), ids=lambda path: path.parent.name
)
def test_the_examples_are_well_set_up(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(path), "--offline"]) == 0
    assert "0 errors, 0 warnings" in capsys.readouterr().out


SAM = f"""
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    Runtime: python3.13
    MemorySize: 512
    Layers: [{LAYER}]
    Environment:
      Variables:
        AWS_LAMBDA_EXEC_WRAPPER: {OURS}
        OTEL_EXPORTER_OTLP_ENDPOINT: http://collector.internal:4318
Resources:
  Usual:
    Type: AWS::Serverless::Function
  Own:
    Type: AWS::Serverless::Function
    Properties:
      MemorySize: 128
      Layers: [!Ref Other]
      Environment:
        Variables:
          AWS_LAMBDA_EXEC_WRAPPER: /opt/datadog_wrapper
  # Globals are SAM's alone.
  Plain:
    Type: AWS::Lambda::Function
    Properties: {{Runtime: python3.13, MemorySize: 512}}
  Table:
    Type: AWS::DynamoDB::Table
"""


def test_globals_are_added_to_layers_and_variables_and_give_way_elsewhere(doctor: Any) -> None:
    status, subjects = doctor(SAM)
    found = {
        name: [finding["check"] for finding in subjects[name]["findings"]] for name in subjects
    }
    assert found == {"Usual": [], "Own": ["other-wrapper", "memory"], "Plain": ["not-instrumented"]}
    assert status == 3


OPEN = """
Parameters: {Runtime: {Type: String}}
Conditions: {Traced: !Equals [a, !Ref Runtime]}
Resources:
  Own:
    Type: AWS::Serverless::LayerVersion
    Properties: {LayerName: lrap-otel, CompatibleArchitectures: [arm64]}
  Unnamed:
    Type: AWS::Lambda::LayerVersion
    Properties: {LayerName: !Sub "${AWS::StackName}-layer"}
  A:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: !Ref Runtime
      MemorySize: !FindInMap [A, b, !Sub "c"]
      Architectures: !If [Traced, [arm64], !Ref "AWS::NoValue"]
      Layers: !If [Traced, [!Ref Own], []]
      Environment: {Variables: !If [Traced, {A: b}, {}]}
      TracingConfig: {Mode: !If [Traced, Active, PassThrough]}
  B:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: python3.13
      MemorySize: 512
      Architectures: [arm64]
      Layers:
        - !Ref Own
        - !Ref Unnamed
        - !Sub "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:layer:other:${Version}"
        - !ImportValue layer
        - Fn::Sub: ["${A}", {A: !GetAtt Stack.Outputs.Layer}]
      Environment:
        Variables:
          AWS_LAMBDA_EXEC_WRAPPER: !Join ["", [/opt/, lrap-otel/wrapper]]
          LRAP_LISTENER_PORT: !Cidr [a, 1]
          OTEL_EXPORTER_OTLP_ENDPOINT: !Sub "http://collector.${AWS::Region}.example"
          OTEL_EXPORTER_OTLP_HEADERS: !Base64 api-key=x
  C:
    Type: AWS::Lambda::Function
    Properties: !Transform {Name: AWS::Include, Parameters: {Location: s3://x}}
"""


def test_nothing_is_concluded_from_what_a_deployment_decides(doctor: Any) -> None:
    status, subjects = doctor(OPEN)
    assert {name: entry["findings"] for name, entry in subjects.items()} == {
        "A": [],
        "B": [],
        "C": [],
    }
    assert status == 0


def test_a_layer_of_the_template_itself_is_known_by_its_name_and_architectures(doctor: Any) -> None:
    text = OPEN.replace("Architectures: [arm64]\n", "Architectures: [x86_64]\n").replace(
        "!ImportValue layer", OTHER
    )
    status, subjects = doctor(text)
    assert [finding["check"] for finding in subjects["B"]["findings"]] == ["architecture"]
    assert "runs on x86_64" in subjects["B"]["findings"][0]["what"]
    assert status == 3


def test_a_layer_that_the_template_makes_may_be_ours_by_any_name(doctor: Any) -> None:
    layer = (
        "\n  Other: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: build/opt}}\n"
    )
    text = SAM.replace(f"[{LAYER}]", "[!Ref Other]")
    assert (
        doctor(text.replace("\nResources:\n", "\nResources:" + layer))[1]["Usual"]["findings"] == []
    )


def test_our_layer_may_have_another_name(doctor: Any) -> None:
    text = SAM.replace("layer:lrap-otel:", "layer:tracing:")
    assert [finding["check"] for finding in doctor(text)[1]["Usual"]["findings"]] == ["no-layer"]
    assert doctor(text, "--layer-name", "tracing")[1]["Usual"]["findings"] == []


def test_a_loop_is_said_not_to_be_looked_at(doctor: Any) -> None:
    loop = {
        "Fn::ForEach::Functions": ["Name", ["a"], {"F${Name}": {"Type": "AWS::Lambda::Function"}}]
    }
    status, subjects = doctor({"Resources": loop})
    assert [finding["check"] for finding in subjects["template.yaml"]["findings"]] == [
        "not-looked-at"
    ]
    assert status == 0
    assert "not-looked-at" not in str(doctor(SAM))


DEEP = "[" * 100_000
MERGES = "\n".join(["a0: &a0 {x: 1, y: 2}", *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 30))])  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no mapping"),
        ("[]", "no mapping"),
        ("Resources: []", "no Resources"),
        ("Outputs: {}", "no Resources"),
        ("{", "cannot be read"),
        ("a: [", "in line 1"),
        ("a: b: c", "in line 1"),
        ("? [a]\n: b", "cannot be read"),
        ("a: !!python/object/apply:os.system [id]", "could not determine a constructor"),
        ("\x00", "cannot be read"),
        ('{"Resources": ' + DEEP, "nested too deeply"),
        (DEEP, "nested too deeply"),
        (MERGES, "no Resources"),
        ("#" * (MAX_BYTES + 1), "at most"),
        ("Resources: {T: {Type: AWS::DynamoDB::Table}}", "no function in it"),
        ("Resources: &r {F: *r}", "no function in it"),
        ("a: 2020-13-45", "cannot be read"),
    ],
)
def test_what_is_no_template_is_said_to_be_none(doctor: Any, text: str, reason: str) -> None:
    status, subjects = doctor(text)
    assert reason in subjects["template.yaml"]["failure"]
    assert status == 2


def test_a_file_that_is_not_there_is_said_beside_what_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "none.yaml"
    assert (
        main(["doctor", str(missing), str(ROOT / "examples/sam/template.yaml"), "--offline"]) == 2
    )
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0]
        == f"{missing}: cannot be looked at: cannot read {missing}: No such file or directory"
    )
    assert lines[1].endswith("Pets: nothing found")


ODD: Any = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from([LAYER, OURS]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.text(max_size=5), st.sampled_from(["Ref", "Fn::Sub", "Fn::If"])),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=6,
)
PROPERTIES = st.dictionaries(
    st.sampled_from(
        [
            "Runtime",
            "MemorySize",
            "Layers",
            "Environment",
            "Architectures",
            "VpcConfig",
            "SnapStart",
            "PackageType",
        ]
    ),
    ODD | st.fixed_dictionaries({"Variables": ODD}),
)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    globals_=ODD | st.fixed_dictionaries({"Function": PROPERTIES}),
    properties=ODD | PROPERTIES,
    layer=ODD,
)
def test_no_template_makes_it_fail(doctor: Any, globals_: Any, properties: Any, layer: Any) -> None:
    resources = {
        "F": {"Type": "AWS::Serverless::Function", "Properties": properties},
        "L": {"Type": "AWS::Lambda::LayerVersion", "Properties": layer},
        "\ud800": {
            "Type": "AWS::Lambda::Function",
            "Properties": {"Environment": {"Variables": {"\udfff": "\ud800"}}},
        },
    }
    status, subjects = doctor({"Globals": globals_, "Resources": resources})
    assert status in {0, 1, 3}
    assert len(subjects) == 2


def test_neither_boto3_nor_its_credentials_are_needed_for_a_template(tmp_path: Path) -> None:
    code = "import sys; sys.modules['boto3'] = sys.modules['botocore'] = None; from lrap_otel.cli import main; sys.exit(main())"
    template = str(ROOT / "examples/sam/template.yaml")
    done = subprocess.run(
        [sys.executable, "-c", code, "doctor", template, "--offline"],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Pets: nothing found" in done.stdout


def test_a_template_in_yaml_says_what_it_needs_and_one_in_json_needs_nothing(
    tmp_path: Path,
) -> None:
    code = (
        "import sys; sys.modules['yaml'] = None; from lrap_otel.cli import main; sys.exit(main())"
    )
    path = tmp_path / "t.json"
    path.write_text(
        json.dumps({"Resources": {"F": {"Type": "AWS::Lambda::Function", "Properties": {}}}})
    )
    command = [
        sys.executable,
        "-c",
        code,
        "doctor",
        str(path),
        str(ROOT / "examples/sam/template.yaml"),
        "--offline",
    ]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "F\n  note     Neither our layer nor our wrapper" in done.stdout
    assert f"needs PyYAML: {remedy('aws')}" in done.stdout
