"""Every example is checked by the tools that its users deploy it with, as far as they go without an
account.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

    Example = Callable[[str], Path]

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
LAYER = "arn:aws:lambda:us-east-1:123456789012:layer:lrap-otel:1"
ENDPOINT = "https://collector.example:4318"
WRAPPER = "/opt/lrap-otel/wrapper"
# The first test installs the tools.
pytestmark = pytest.mark.timeout(900)
TEMPLATES = sorted(path.parent.name for path in EXAMPLES.glob("*/template.yaml"))
NO_ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_DEFAULT_REGION": "us-east-1",
    "SAM_CLI_TELEMETRY": "0",
    "CDK_DISABLE_VERSION_CHECK": "1",
    "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
}


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """What it printed; a failure shows all of it."""
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    environment = {"PATH": path, "HOME": str(cwd), **NO_ACCOUNT, **(env or {})}
    ran = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def functions_of(template: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        resource["Properties"]
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::Lambda::Function"
    ]


@pytest.mark.parametrize("name", TEMPLATES)
def test_cfn_lint_has_nothing_to_say_of_a_template(
    name: str, tools: Path, example: Example
) -> None:
    run(tools / "cfn-lint", "template.yaml", cwd=example(name))


@pytest.mark.parametrize("name", TEMPLATES)
def test_sam_validates_a_template(name: str, tools: Path, example: Example) -> None:
    said = run(
        tools / "sam", "validate", "--lint", "--template", "template.yaml", cwd=example(name)
    )
    assert "valid SAM Template" in said


def test_a_template_that_is_wrong_does_not_pass(tools: Path, example: Example) -> None:
    template = example("sam") / "template.yaml"
    template.write_text(template.read_text().replace("Handler:", "Handlr:"))
    ran = subprocess.run([tools / "cfn-lint", template], capture_output=True, check=False)
    assert ran.returncode != 0


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_reference_of_a_template_exists(name: str) -> None:
    """cfn-lint does not look into the Globals of SAM."""
    text = (EXAMPLES / name / "template.yaml").read_text()
    declared = set(re.findall(r"^  (\w+):\n    Type:", text, re.MULTILINE))
    used = set(re.findall(r"!Ref (\w+)", text))
    assert used
    assert used <= declared


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_names_files_that_there_are(name: str) -> None:
    text = (EXAMPLES / name / "template.yaml").read_text()
    (code,) = re.findall(r"CodeUri: (\S+)", text)
    (handler,) = re.findall(r"Handler: (\S+)", text)
    file = handler if handler.endswith(".sh") else f"{handler.partition('.')[0]}.py"
    assert (EXAMPLES / name / code / file).is_file()


def test_the_cdk_app_in_typescript_has_types_and_a_template(
    node_modules: Path, example: Example
) -> None:
    folder = example("cdk/typescript")
    (folder / "node_modules").symlink_to(node_modules)
    run("npx", "tsc", "--noEmit", cwd=folder)
    run("npx", "cdk", "synth", "--quiet", *_cdk_context(), cwd=folder)
    _assert_is_traced(folder / "cdk.out" / "PetShop.template.json")


def test_the_cdk_app_in_python_has_a_template(
    tools: Path, node_modules: Path, example: Example
) -> None:
    folder = example("cdk/python")
    app = f"{tools / 'python'} app.py"
    run(
        node_modules / ".bin" / "cdk", "synth", "--quiet", "--app", app, *_cdk_context(), cwd=folder
    )
    _assert_is_traced(folder / "cdk.out" / "PetShop.template.json")


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (
            "",
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT,
                "AWS_LAMBDA_EXEC_WRAPPER": WRAPPER,
                "OWN": "kept",
            },
        ),
        (
            'next_wrapper="/opt/other", environment={"OTEL_SERVICE_NAME": "shop"}',
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT,
                "AWS_LAMBDA_EXEC_WRAPPER": WRAPPER,
                "LRAP_NEXT_WRAPPER": "/opt/other",
                "OTEL_SERVICE_NAME": "shop",
                "OWN": "kept",
            },
        ),
    ],
)
def test_the_construct_keeps_what_the_function_has(
    arguments: str, variables: dict[str, str], tools: Path, example: Example
) -> None:
    layers, environment = _construct(tools, example, "PYTHON_3_13", arguments)
    assert layers == ["arn:aws:lambda:us-east-1:123456789012:layer:other:7", LAYER]
    assert environment == variables


def test_the_construct_sets_no_wrapper_where_lambda_ignores_it(
    tools: Path, example: Example
) -> None:
    _, environment = _construct(tools, example, "PROVIDED_AL2023", "")
    assert environment == {"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT, "OWN": "kept"}


def test_terraform_has_nothing_to_format(terraform: str, example: Example) -> None:
    run(terraform, "fmt", "-check", "-recursive", cwd=example("terraform"))


def test_terraform_evaluates_the_module(terraform: str, example: Example) -> None:
    """The module needs no provider, so its outputs can be computed without a registry."""
    folder = example("terraform") / "modules" / "lrap-otel"
    given = {
        "layer_arn": LAYER,
        "endpoint": ENDPOINT,
        "runtime": "nodejs22.x",
        "layers": ["arn:aws:lambda:us-east-1:123456789012:layer:other:7"],
        "environment_variables": {"OWN": "kept"},
        "next_wrapper": "/opt/other",
    }
    (folder / "terraform.tfvars.json").write_text(json.dumps(given))
    run(terraform, "init", "-input=false", cwd=folder)
    run(terraform, "validate", cwd=folder)
    run(terraform, "apply", "-auto-approve", "-input=false", cwd=folder)
    made = json.loads(run(terraform, "output", "-json", cwd=folder))
    assert made["layers"]["value"] == [LAYER, *given["layers"]]
    assert made["environment_variables"]["value"] == {
        "OWN": "kept",
        "AWS_LAMBDA_EXEC_WRAPPER": WRAPPER,
        "LRAP_NEXT_WRAPPER": "/opt/other",
        "OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT,
    }


def test_every_reference_of_the_terraform_files_exists(tools: Path) -> None:
    """The provider cannot be had offline, so that what it would find is looked for here."""
    script = (
        "import hcl2, json, pathlib, sys\n"
        "print(json.dumps({p: hcl2.loads(pathlib.Path(p).read_text()) for p in sys.argv[1:]}))"
    )
    for folder in (EXAMPLES / "terraform", EXAMPLES / "terraform" / "modules" / "lrap-otel"):
        files = sorted(str(path) for path in folder.glob("*.tf"))
        parsed = json.loads(run(tools / "python", "-c", script, *files, cwd=folder))
        text = json.dumps(parsed)
        declared = _declared(parsed.values())
        used = set(re.findall(r"\b((?:var|local|module|data\.\w+|aws_\w+)\.\w+)", text))
        assert used
        assert {name for name in used if name not in declared} == set(), folder


def test_the_serverless_configuration_is_whole() -> None:
    config = yaml.safe_load((EXAMPLES / "serverless" / "serverless.yml").read_text())
    provider = config["provider"]
    assert provider["layers"] == ["${param:layer}"]
    assert provider["environment"] == {
        "AWS_LAMBDA_EXEC_WRAPPER": WRAPPER,
        "OTEL_EXPORTER_OTLP_ENDPOINT": "${param:endpoint}",
    }
    handlers = [function["handler"] for function in config["functions"].values()]
    assert all(
        (EXAMPLES / "serverless" / f"{name.partition('.')[0]}.py").is_file() for name in handlers
    )


def test_cfn_lint_has_nothing_to_say_of_the_collectors_on_ecs(
    tools: Path, example: Example
) -> None:
    run(tools / "cfn-lint", "ecs.yaml", cwd=example("collector"))


def test_the_collectors_on_kubernetes_are_what_its_schemas_allow(
    kustomize: list[str], tools: Path, example: Example
) -> None:
    folder = example("collector")
    manifests = run(*kustomize, ".", cwd=folder)
    (folder / "all.yaml").write_text(manifests)
    run(tools / "kubernetes-validate", "--strict", "all.yaml", cwd=folder)
    (config,) = [one for one in yaml.safe_load_all(manifests) if one["kind"] == "ConfigMap"]
    assert config["data"] == {
        name: (folder / name).read_text() for name in ("balancer.yaml", "sampler.yaml")
    }


def test_a_manifest_that_is_wrong_does_not_pass(tools: Path, example: Example) -> None:
    manifest = example("collector") / "kubernetes.yaml"
    manifest.write_text(manifest.read_text().replace("replicas:", "replica:"))
    ran = subprocess.run(
        [tools / "kubernetes-validate", "--strict", manifest], capture_output=True, check=False
    )
    assert ran.returncode != 0


@pytest.mark.parametrize("name", ["balancer.yaml", "sampler.yaml"])
def test_a_collectors_configuration_fits_into_a_parameter_of_ssm(name: str) -> None:
    assert len((EXAMPLES / "collector" / name).read_bytes()) <= 4_096


@pytest.mark.parametrize("deployment", ["ecs.yaml", "kubernetes.yaml"])
def test_each_collector_is_given_the_variables_that_its_configuration_reads(
    deployment: str,
) -> None:
    text = (EXAMPLES / "collector" / deployment).read_text()
    given = {"balancer": text.partition("--config=")[2], "sampler": text.rpartition("--config=")[2]}
    for name, container in given.items():
        read = set(
            re.findall(r"\$\{env:(\w+)\}", (EXAMPLES / "collector" / f"{name}.yaml").read_text())
        )
        assert read == {"BACKEND_ENDPOINT", "BACKEND_AUTHORIZATION"}
        assert read <= set(re.findall(r"[Nn]ame: (\w+)$", container, re.MULTILINE))


def _construct(
    tools: Path, example: Example, runtime: str, arguments: str
) -> tuple[list[str], dict[str, str]]:
    """The layers and variables of a function after the construct in Python has been given it."""
    folder = example("cdk/python")
    other = "arn:aws:lambda:us-east-1:123456789012:layer:other:7"
    (folder / "try.py").write_text(
        f"""
from aws_cdk import App, Stack
from aws_cdk import aws_lambda as lambda_
from lrap_otel_construct import LrapOtel

app = App(outdir="out")
stack = Stack(app, "S")
function = lambda_.Function(
    stack, "F", runtime=lambda_.Runtime.{runtime}, handler="app.handler",
    code=lambda_.Code.from_asset("../../python"), environment={{"OWN": "kept"}},
    layers=[lambda_.LayerVersion.from_layer_version_arn(stack, "Other", "{other}")],
)
LrapOtel(stack, "L", function=function, layer_arn="{LAYER}", endpoint="{ENDPOINT}", {arguments})
app.synth()
"""
    )
    run(tools / "python", "try.py", cwd=folder)
    (function,) = functions_of(json.loads((folder / "out" / "S.template.json").read_text()))
    return function["Layers"], function["Environment"]["Variables"]


def _cdk_context() -> list[str]:
    return ["--context", f"layer={LAYER}", "--context", f"endpoint={ENDPOINT}"]


def _assert_is_traced(template: Path) -> None:
    (function,) = functions_of(json.loads(template.read_text()))
    assert function["Layers"] == [LAYER]
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": WRAPPER, "OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT}
    assert function["Environment"]["Variables"] == variables


def _declared(files: Any) -> set[str]:
    found = set()
    for file in files:
        for kind, prefix in (("variable", "var"), ("module", "module")):
            found |= {
                f"{prefix}.{name.strip(chr(34))}" for block in file.get(kind, []) for name in block
            }
        found |= {f"local.{name}" for block in file.get("locals", []) for name in block}
        for kind, prefix in (("resource", ""), ("data", "data.")):
            found |= {
                f"{prefix}{type_.strip(chr(34))}.{name.strip(chr(34))}"
                for block in file.get(kind, [])
                for type_, named in block.items()
                for name in named
            }
    return found
