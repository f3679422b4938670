"""Run the tests that start both processes on every other Python of this machine: ``python -m
tests.other_pythons``.

Each Python gets a copy of the sources in ``build/python-3.X``, with a virtual environment of its
own: a checkout names one interpreter in ``.lrap-paths``. Exits with 1 if any Python failed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.interpreters import find

ROOT = Path(__file__).parents[1]
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
# What differs between Pythons: the start, the matcher's codes, marshal, `_ssl`, and whole
# invocations. The workflow runs all tests on all of them.
SUITES = (
    "tests/text",
    "tests/ipc",
    "tests/sandbox",
    "tests/e2e",
    "tests/test_boot.py",
    "tests/test_entrypoint.py",
    "tests/test_proxy_process.py",
    "tests/telemetry/test_export_tls.py",
    "tests/telemetry/test_golden_spans.py",
    "tests/telemetry/test_telemetry_imports.py",
)
PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")


def others() -> dict[str, Path]:
    """The interpreters of this machine that are not of our own version, by version."""
    own = "{}.{}".format(*sys.version_info)
    found = {version: find(version) for version in VERSIONS if version != own}
    return {version: path for version, path in found.items() if path is not None}


def set_up(version: str, interpreter: Path) -> Path:
    """A copy of the sources as they are, ready for its tests."""
    folder = ROOT / "build" / f"python-{version}"
    shutil.rmtree(folder, ignore_errors=True)
    made = shutil.ignore_patterns(
        ".git", ".venv", ".lrap-paths", "build", "dist", "__pycache__", ".*_cache"
    )
    shutil.copytree(ROOT, folder, ignore=made, symlinks=True)
    subprocess.run([interpreter, "-m", "venv", folder / ".venv"], check=True)
    python = folder / ".venv/bin/python"
    requirements = ("--no-compile", "--require-hashes", "--requirement", "requirements-dev.txt")
    for options in (requirements, ("--no-deps", "--no-build-isolation", "--editable", ".")):
        subprocess.run([python, *PIP, *options], cwd=folder, check=True)
    (packages,) = (folder / ".venv/lib").glob("python3.*/site-packages")
    (folder / ".lrap-paths").write_text(
        f"LRAP_PYTHON='{interpreter}'\nLRAP_DEPENDENCIES='{packages}'\n"
    )
    return folder


def main() -> int:
    """Run the suites; the exit status."""
    failed = []
    for version, interpreter in others().items():
        sys.stdout.write(f"== Python {version}: {interpreter}\n")
        sys.stdout.flush()
        folder = set_up(version, interpreter)
        command = [folder / ".venv/bin/python", "-m", "pytest", "-q", *SUITES]
        if subprocess.run(command, cwd=folder, check=False).returncode:
            failed.append(version)
        shutil.rmtree(folder)
    sys.stdout.write(f"failed on Python {', '.join(failed)}\n" if failed else "")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
