"""The workflow files call make targets that exist, with no more rights than they need."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.other_pythons import SUITES, VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".github/workflows"
# PyYAML reads YAML 1.1, in which the key `on` is a boolean.
ON = True


@pytest.fixture(params=["ci.yml", "release.yml"])
def workflow(request: pytest.FixtureRequest) -> dict[Any, Any]:
    return read(request.param)


def read(name: str) -> dict[Any, Any]:
    found = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def steps(workflow: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


def scripts(workflow: dict[Any, Any]) -> list[str]:
    return [step["run"] for step in steps(workflow) if "run" in step]


def calls_of_make(text: str) -> set[str]:
    return set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE))


def targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def variables() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([A-Z_]+) \?=", makefile, re.MULTILINE))


def test_there_is_a_test_of_each_workflow() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {"ci.yml", "release.yml"}


def test_every_target_and_variable_of_make_exists(workflow: dict[Any, Any]) -> None:
    text = "\n".join(scripts(workflow))

    assert calls_of_make(text)
    assert calls_of_make(text) <= targets()
    for line in text.splitlines():
        if line.startswith("make "):
            assert set(re.findall(r"([A-Z_]+)=", line)) <= variables(), line
    given = {
        name
        for step in steps(workflow)
        if step.get("run", "").startswith("make")
        for name in step.get("env", {})
    }
    assert given <= variables()


def test_ci_has_the_stages_that_the_script_for_one_machine_has() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")

    left_out = calls_of_make(script) - calls_of_make("\n".join(scripts(read("ci.yml"))))
    # A shared machine's times are noise, and the matrix of the job `test` runs more than
    # `test-pythons`.
    assert left_out == {"setup", "bench", "bench-compare", "test-pythons"}


def test_the_tests_run_on_every_python_that_is_supported() -> None:
    assert read("ci.yml")["jobs"]["test"]["strategy"]["matrix"]["python"] == list(VERSIONS)
    assert [suite for suite in SUITES if not (ROOT / suite).exists()] == []
    assert 'requires-python = ">=3.10"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_only_the_job_that_publishes_may_write_and_it_runs_nothing_of_the_sources() -> None:
    for workflow in (read("ci.yml"), read("release.yml")):
        assert workflow["permissions"] == {"contents": "read"}
    rights = {
        name: job["permissions"]
        for name, job in read("release.yml")["jobs"].items()
        if "permissions" in job
    }
    assert rights == {"publish": {"contents": "write"}}
    assert not [job for job in read("ci.yml")["jobs"].values() if "permissions" in job]
    publish = read("release.yml")["jobs"]["publish"]
    assert publish["needs"] == "build"
    assert not [
        step
        for step in publish["steps"]
        if "checkout" in step.get("uses", "") or "make" in step.get("run", "")
    ]


def test_a_release_is_made_for_a_tag_alone_and_checked_against_it() -> None:
    workflow = read("release.yml")
    (build,) = [step for step in steps(workflow) if step.get("run") == "make release"]

    assert workflow[ON] == {"push": {"tags": ["v*"]}}
    assert build["env"] == {"TAG": "${{ github.ref_name }}"}


def test_every_action_is_pinned_by_its_major_version_and_keeps_no_credentials(
    workflow: dict[Any, Any],
) -> None:
    actions = [step for step in steps(workflow) if "uses" in step]

    assert all(re.fullmatch(r"actions/[a-z-]+@v[0-9]+", step["uses"]) for step in actions)
    for step in actions:
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_every_job_ends_and_every_script_is_one(workflow: dict[Any, Any]) -> None:
    assert all(0 < job["timeout-minutes"] <= 60 for job in workflow["jobs"].values())
    for script in scripts(workflow):
        done = subprocess.run(
            ["sh", "-n", "-c", script], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), script
        # What a stranger can name, a branch for instance, is never pasted into a script.
        assert "${{" not in script
