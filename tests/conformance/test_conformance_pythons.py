"""Functions of every version of Python that Lambda has, whichever one the extension runs on."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.conformance import builds
from tests.conformance.clients import Client
from tests.conformance.places import EVENT, told
from tests.conformance.sandbox import through
from tests.interpreters import find

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
pytestmark = [pytest.mark.python, pytest.mark.timeout(600)]


# Those that this machine has: a function of a version cannot run without it.
INTERPRETERS = {version: found for version in VERSIONS if (found := find(version)) is not None}


@pytest.mark.parametrize("version", INTERPRETERS)
def test_a_function_of_any_python_is_traced_and_sees_nothing_of_ours(
    version: str, tmp_path: Path
) -> None:
    interpreter = INTERPRETERS[version]
    folder = _built(version, interpreter)
    command = [str(interpreter), "-m", "awslambdaric", "function.handler"]
    client = Client("python", command, folder, env={"PYTHONPATH": str(folder / "dependencies")})
    seen = through(client, tmp_path, EVENT)
    (span,) = seen.spans
    found = told(seen)
    carried = found["event"]["headers"]["traceparent"]
    assert carried == f"00-4bf92f3577b34da6a3ce929d0e0e4736-{span.span_id_hex}-01"
    assert all(report.is_clean for report in seen.reports)
    assert [line for line in seen.output if line.startswith("lrap-otel:")] == []


def _built(version: str, interpreter: Path) -> Path:
    """The function with its client for this interpreter, kept as the other builds are."""
    ready = builds.cache() / f"python-{version}-{builds.fingerprint(builds.HERE / 'python')}"
    if not ready.is_dir():
        shutil.copytree(builds.HERE / "python", ready, ignore=shutil.ignore_patterns("__pycache__"))
        try:
            builds.python(ready, str(interpreter))
        except BaseException:
            shutil.rmtree(ready, ignore_errors=True)
            raise
    return ready
