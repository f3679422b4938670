"""What ``emulate`` starts: a handler, a template's function, with layers, again after a change of
the code.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lrap_otel.emulator import template
from lrap_otel.emulator.__main__ import run
from lrap_otel.emulator.code_watch import CodeWatch
from lrap_otel.emulator.errors import StartError
from lrap_otel.emulator.runtime_command import is_handler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
ECHO = "def handler(event, context):\n    return event\n"
TELLS = """
import os, sys
def handler(event, context):
    return {name: os.environ.get(name) for name in event} | {
        "python": sys.executable, "memory": context.memory_limit_in_mb, "name": context.function_name,
        "left": context.get_remaining_time_in_millis()}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with an event that asks for some variables; no virtual environment is
    active.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    (tmp_path / "event.json").write_text('["ONE", "TWO"]')
    return tmp_path


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def python_of_its_own(path: Path, options: str = "") -> Path:
    return executable(
        path, f'#!/bin/sh\nVIA="$0" exec {shlex.quote(sys.executable)} {options} "$@"\n'
    )


def returned(out: str) -> dict[str, str]:
    found = re.search(r"returned +(\{.*?\n(?: {14}.*\n)*)", out)
    assert found, out
    return dict(json.loads(re.sub(r"\n {14}", "", found[1]).strip()))


def test_a_handler_in_the_current_folder_is_traced_by_our_extension(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "app.py").write_text(ECHO)
    assert (
        run(
            [
                "emulate",
                "app.handler",
                "--python",
                sys.executable,
                "--require-traces",
                "--event",
                "event.json",
            ]
        )
        == 0
    )
    out = capsys.readouterr().out
    assert 'returned    ["ONE", "TWO"]' in out
    assert re.search(r"function server +\d+\.\d+ ms", out)


def test_a_handler_runs_in_its_own_interpreter_with_its_settings(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "pets").mkdir()
    (folder / "pets" / "app.py").write_text(TELLS)
    own = python_of_its_own(folder / ".venv/bin/python")
    options = [
        "--without-lrap",
        "--env",
        "ONE=1",
        "--memory",
        "512",
        "--timeout",
        "7",
        "--event",
        "event.json",
    ]
    (folder / "event.json").write_text('["ONE", "VIA", "AWS_EXECUTION_ENV", "_HANDLER"]')
    assert run(["emulate", "pets.app.handler", *options]) == 0
    said = returned(capsys.readouterr().out)
    assert (said["ONE"], said["VIA"], said["memory"]) == ("1", str(own), "512")
    assert (
        said["AWS_EXECUTION_ENV"]
        == f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}"
    )
    assert said["_HANDLER"] == "pets.app.handler"
    assert 6000 < int(said["left"]) <= 7000


def test_a_missing_runtime_client_is_one_line_that_says_what_to_install(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "app.py").write_text(ECHO)
    bare = python_of_its_own(folder / "bin/bare", "-S")
    assert run(["emulate", "app.handler", "--python", str(bare), "--event", "event.json"]) == 1
    assert capsys.readouterr().err == (
        f"failed: {bare} has no runtime client: {bare} -m pip install awslambdaric\n"
    )


def test_a_node_handler_needs_its_runtime_client(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "index.mjs").write_text("export const handler = async () => 1\n")
    executable(folder / "node_modules/.bin/node", "#!/bin/sh\nexit 1\n")
    assert run(["emulate", "index.handler", "--event", "event.json"]) == 1
    assert "has no runtime client for Node: npm install aws-lambda-ric" in capsys.readouterr().err


def test_a_node_handler_is_started_by_its_runtime_client(
    folder: Path, script: Callable[[str, str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A stand-in for Node tells how it was started; the real one is in tests/conformance."""
    (folder / "index.mjs").write_text("")
    client = folder / "node_modules/aws-lambda-ric"
    executable(client / "index.mjs", "")
    (client / "package.json").write_text('{"bin": {"aws-lambda-ric": "index.mjs"}}')
    node = script(
        "node",
        """
event = client.next()
told = {"argv": sys.argv[1:], "runtime": os.environ["AWS_EXECUTION_ENV"]}
client.respond(event["Lambda-Runtime-Aws-Request-Id"], json.dumps(told).encode())
client.next()
""",
    )
    executable(
        folder / "node_modules/.bin/node",
        f'#!/bin/sh\n[ "$1" = -p ] && echo nodejs22.x || exec {node} "$@"\n',
    )
    assert run(["emulate", "index.handler", "--without-lrap", "--event", "event.json"]) == 0
    said = returned(capsys.readouterr().out)
    assert said == {
        "argv": [str(client / "index.mjs"), "index.handler"],
        "runtime": "AWS_Lambda_nodejs22.x",
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a handler such as app.handler, a command after --, or a --template"),
        (
            ["nowhere.handler"],
            "has no nowhere.py, .mjs, .cjs or .js; start in the code's folder, or name it with --cwd",
        ),
        (
            ["app.handler", "--runtime", "java21"],
            "java21: only Python and Node are started by a handler",
        ),
        (["app.handler", "--python", "/nowhere/python"], "there is no /nowhere/python"),
        (["app.handler", "--cwd", "/nowhere"], "there is no folder /nowhere"),
        (["--template", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (
            ["app.handler", "--layer", "event.json"],
            "event.json cannot be used: File is not a zip file",
        ),
    ],
)
def test_what_cannot_be_started_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    (folder / "app.py").write_text(ECHO)
    assert run(["emulate", *words, "--event", "event.json"]) == 1
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_program_with_a_dot_in_its_name_is_a_command(folder: Path) -> None:
    executable(folder / "run.sh", "")
    (folder / "app.handler").write_text("not executable")
    assert is_handler(["app.handler"], folder)
    assert is_handler(["src/app.handler"], folder)
    assert not is_handler(["./run.sh"], folder)
    assert not is_handler(["./bootstrap"], folder)
    assert not is_handler(["../bootstrap"], folder)
    assert not is_handler(["python", "app.handler"], folder)
    assert (
        not is_handler([f"python{sys.version_info.major}.{sys.version_info.minor}"], folder)
        or not os.environ["PATH"]
    )


TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: {Type: String, Default: test}
Globals:
  Function:
    Timeout: 9
    Environment: {Variables: {ONE: shared, TWO: !Sub "${Stage}-${AWS::Region}"}}
Resources:
  Table: {Type: AWS::DynamoDB::Table}
  Tools:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: layer}
  Shop:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.handler
      Runtime: %s
      CodeUri: src
      MemorySize: 256
      Layers: [!Ref Tools, "arn:aws:lambda:us-east-1:1:layer:insights:2"]
      Environment: {Variables: {ONE: !Ref Stage, TABLE: !Ref Table}}
  Other:
    Type: AWS::Lambda::Function
    Properties: {Handler: index.handler, Runtime: python3.13, Code: {ZipFile: "def handler(e, c): return 7"}}
"""


def test_a_templates_function_starts_with_all_that_the_template_says(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "template.yaml").write_text(TEMPLATE % runtime)
    (folder / "src").mkdir()
    (folder / "src" / "app.py").write_text("import tools\n" + TELLS)
    (folder / "layer/python").mkdir(parents=True)
    (folder / "layer/python/tools.py").write_text("")
    (folder / "event.json").write_text('["ONE", "TWO", "TABLE"]')
    options = [
        "--template",
        "template.yaml",
        "--python",
        sys.executable,
        "--without-lrap",
        "--event",
        "event.json",
    ]
    assert run(["emulate", *options]) == 1
    assert (
        "describes 2 functions; choose one with --function: Shop, Other" in capsys.readouterr().err
    )
    assert run(["emulate", *options, "--function", "Shop"]) == 0
    out = capsys.readouterr().out
    said = returned(out)
    assert (said["ONE"], said["TWO"], said["TABLE"]) == ("test", "test-us-east-1", None)
    assert (said["memory"], said["name"]) == ("256", "Shop")
    assert 8000 < int(said["left"]) <= 9000
    assert "variable TABLE is left out: only AWS knows its value; set it with --env" in out
    assert "layer arn:aws:lambda:us-east-1:1:layer:insights:2 is left out" in out
    assert run(["emulate", *options, "--function", "Other"]) == 0
    assert "returned    7" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "has no Resources"),
        ("a: [", "is not YAML"),
        ('{"Resources": {}}', "describes no Lambda function"),
        (
            '{"Resources": {"F": {"Type": "AWS::Lambda::Function", "Properties": {"PackageType": "Image"}}}}',
            "image",
        ),
        (
            '{"Resources": {"F": {"Type": "AWS::Lambda::Function", "Properties": {"Code": {"S3Bucket": "b"}}}}}',
            "the code of F is in S3",
        ),
        (
            '{"Resources": {"F": {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": "nowhere"}}}}',
            "F: there is no ",
        ),
    ],
)
def test_a_template_that_cannot_be_used_says_why(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "template"
    path.write_text(text)
    with pytest.raises(StartError, match=re.escape(said)):
        template.read(path)


def test_an_asset_of_cdk_is_found_by_its_metadata(tmp_path: Path) -> None:
    (tmp_path / "asset.1").mkdir()
    function = {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Handler": "a.b",
            "Code": {"S3Bucket": "b", "S3Key": "k"},
            "FunctionName": "shop",
        },
        "Metadata": {"aws:asset:path": "asset.1"},
    }
    path = tmp_path / "stack.template.json"
    path.write_text(json.dumps({"Resources": {"Shop1234": function}}))
    assert template.read(path, "shop").code == tmp_path / "asset.1"


def test_layers_are_merged_the_later_wins_and_their_extensions_start(
    folder: Path,
    good_extension: str,
    script: Callable[[str, str], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "app.py").write_text(
        "import one, two\ndef handler(event, context): return [one.NAME, two.NAME]\n"
    )
    first = folder / "first/python"
    first.mkdir(parents=True)
    (first / "one.py").write_text("NAME = 'first'")
    (first / "two.py").write_text("NAME = 'first'")
    extension = script("made/extensions/observer", good_extension)
    with zipfile.ZipFile(folder / "second.zip", "w") as archive:
        archive.writestr("python/two.py", "NAME = 'second'")
        archive.write(extension, "extensions/observer")
    options = [
        "--layer",
        "first",
        "--layer",
        "second.zip",
        "--without-lrap",
        "--python",
        sys.executable,
    ]
    assert run(["emulate", "app.handler", *options, "--event", "event.json"]) == 0
    out = capsys.readouterr().out
    assert 'returned    ["first", "second"]' in out
    assert "extension observer: SHUTDOWN seen, exit 0" in out


def test_a_layer_whose_link_leads_out_of_it_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "app.py").write_text(ECHO)
    link = zipfile.ZipInfo("python/out")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(folder / "bad.zip", "w") as archive:
        archive.writestr(link, "../../../etc")
    assert run(["emulate", "app.handler", "--layer", "bad.zip", "--event", "event.json"]) == 1
    assert "python/out leads out of the layer" in capsys.readouterr().err


def test_a_wrapper_of_another_layer_runs_after_ours(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "app.py").write_text(TELLS)
    executable(folder / "layer/theirs", '#!/bin/sh\nexport ONE=wrapped\nexec "$@"\n')
    options = [
        "--layer",
        "layer",
        "--env",
        "AWS_LAMBDA_EXEC_WRAPPER=/opt/theirs",
        "--python",
        sys.executable,
    ]
    assert (
        run(["emulate", "app.handler", *options, "--require-traces", "--event", "event.json"]) == 0
    )
    assert returned(capsys.readouterr().out)["ONE"] == "wrapped"


def test_snapstart_runs_the_hooks_of_the_real_client_around_its_snapshot(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "app.py").write_text(
        """
from snapshot_restore_py import register_after_restore, register_before_snapshot
seen = []
register_before_snapshot(lambda: seen.append("before"))
register_after_restore(lambda: seen.append("after"))
def handler(event, context): return seen
"""
    )
    options = ["--snapstart", "--without-lrap", "--python", sys.executable, "--event", "event.json"]
    assert run(["emulate", "app.handler", *options]) == 0
    out = capsys.readouterr().out
    assert "restored from its snapshot" in out
    assert 'returned    ["before", "after"]' in out


def test_a_restore_that_fails_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "app.py").write_text(
        """
from snapshot_restore_py import register_after_restore
def broken(): raise ValueError("no")
register_after_restore(broken)
def handler(event, context): return 1
"""
    )
    options = ["--snapstart", "--without-lrap", "--python", sys.executable, "--event", "event.json"]
    assert run(["emulate", "app.handler", *options]) == 1
    assert "the runtime could not be restored" in capsys.readouterr().err


def test_concurrency_runs_the_real_client_as_managed_instances_do(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "app.py").write_text(TELLS)
    (folder / "event.json").write_text(
        '["AWS_LAMBDA_MAX_CONCURRENCY", "AWS_LAMBDA_INITIALIZATION_TYPE"]'
    )
    options = [
        "--concurrency",
        "2",
        "--python",
        sys.executable,
        "--require-traces",
        "--event",
        "event.json",
    ]
    assert run(["emulate", "app.handler", *options]) == 0
    said = returned(capsys.readouterr().out)
    assert said["AWS_LAMBDA_MAX_CONCURRENCY"] == "2"
    assert said["AWS_LAMBDA_INITIALIZATION_TYPE"] == "lambda-managed-instances"


def test_a_change_of_the_code_starts_a_new_sandbox_and_a_broken_one_the_next_change_mends(
    folder: Path,
) -> None:
    (folder / "app.py").write_text("def handler(event, context): return 'first'\n")
    with serving(folder, "app.handler", "--without-lrap", "--python", sys.executable) as (
        lines,
        port,
    ):
        assert invoke(port, folder) == '"first"'
        (folder / "app.py").write_text("def handler(event, context): return 'the second'\n")
        wait_for(lines, "app.py changed: a new sandbox")
        wait_for(lines, "init done")
        assert invoke(port, folder) == '"the second"'
        (folder / "app.py").write_text("def handler(event, context) return\n")
        wait_for(lines, "problem")
        (folder / "app.py").write_text("def handler(event, context): return 3\n")
        wait_for(lines, "init done")
        assert invoke(port, folder) == "3"


def test_what_is_no_code_brings_no_new_sandbox(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("1")
    watch = CodeWatch(tmp_path)
    for name in (
        "data.sqlite",
        ".hidden.py",
        "__pycache__/app.cpython-311.pyc",
        "node_modules/a/index.js",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    assert watch.changed() == []
    (tmp_path / "app.py").unlink()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/new.py").write_text("1")
    assert watch.changed() == ["app.py", "lib/new.py"]
    assert watch.changed() == []


@contextmanager
def serving(folder: Path, *words: str) -> Iterator[tuple[Iterator[str], str]]:
    """``emulate`` in a process of its own: the lines it prints, and its port once it is ready."""
    argv = [sys.executable, "-m", "lrap_otel.emulator", "emulate", "--port", "0", *words]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONIOENCODING": "utf-8",
        "COLUMNS": "140",
    }
    with subprocess.Popen(
        argv, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout
        try:
            lines = iter(process.stdout.readline, "")
            port = re.search(r":(\d+)/", wait_for(lines, "invoke  "))
            assert port
            yield lines, port[1]
        finally:
            process.send_signal(signal.SIGINT)
            process.stdout.read()


def wait_for(lines: Iterator[str], words: str) -> str:
    return next(line for line in lines if words in line)


def invoke(port: str, folder: Path) -> str:
    argv = [
        sys.executable,
        "-m",
        "lrap_otel.emulator",
        "invoke",
        "--port",
        port,
        str(folder / "event.json"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.strip()
