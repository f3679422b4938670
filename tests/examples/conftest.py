"""Copies of the examples, and the tools they are checked with, installed once for each version of
the lock files.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
OPENTOFU = "github.com/opentofu/opentofu@v1.10.10"
KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.8.0"


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder of the locked Python tools' commands."""
    lock = ROOT / "requirements-examples.txt"
    return _installed("examples-python", lock, _install_python) / "bin"


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The locked packages of the CDK in TypeScript."""
    lock = EXAMPLES / "cdk" / "typescript" / "package-lock.json"
    return _installed("examples-node", lock, _install_node) / "node_modules"


@pytest.fixture(scope="session")
def terraform() -> str:
    """Terraform or OpenTofu: the machine's, else OpenTofu built once from the module proxy."""
    installed = shutil.which("terraform") or shutil.which("tofu")
    return installed or str(_installed("examples-opentofu", Path(__file__), _install_tofu) / "tofu")


@pytest.fixture(scope="session")
def kustomize() -> list[str]:
    """The command that writes the manifests of a folder: kubectl's, else kustomize, built once."""
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    return [
        str(_installed("examples-kustomize", Path(__file__), _install_kustomize) / "kustomize"),
        "build",
    ]


@pytest.fixture
def example(tmp_path: Path) -> Callable[[str], Path]:
    """A copy of one example's folder, with the others beside it: tools write next to what they
    read.
    """
    shutil.copytree(
        EXAMPLES,
        tmp_path / "examples",
        ignore=shutil.ignore_patterns("__pycache__", "node_modules"),
    )
    return lambda name: tmp_path / "examples" / name


def _installed(name: str, lock: Path, install: Callable[[Path, Path], None]) -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lrap-otel"
    ready = base / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not (ready / ".ready").exists():
        shutil.rmtree(ready, ignore_errors=True)
        ready.mkdir(parents=True)
        install(ready, lock)
        (ready / ".ready").touch()
    return ready


def _install_python(folder: Path, lock: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    options = [
        "--quiet",
        "--disable-pip-version-check",
        "--no-compile",
        "--no-deps",
        "--require-hashes",
    ]
    subprocess.run([folder / "bin" / "pip", "install", *options, "--requirement", lock], check=True)


def _install_tofu(folder: Path, _: Path) -> None:
    """As a main module: `go install` refuses one whose go.mod replaces others."""
    command = ["go", "mod", "download", "-json", OPENTOFU]
    downloaded = subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout
    source = folder / "source"
    # The module cache is read-only, and a copy of it too.
    shutil.copytree(json.loads(downloaded)["Dir"], source, copy_function=shutil.copyfile)
    for path in (source, *(path for path in source.rglob("*") if path.is_dir())):
        path.chmod(0o755)
    subprocess.run(
        ["go", "build", "-buildvcs=false", "-o", folder / "tofu", "./cmd/tofu"],
        cwd=source,
        check=True,
    )
    shutil.rmtree(source)


def _install_kustomize(folder: Path, _: Path) -> None:
    subprocess.run(
        ["go", "install", KUSTOMIZE], env=os.environ | {"GOBIN": str(folder)}, check=True
    )


def _install_node(folder: Path, lock: Path) -> None:
    for file in (lock, lock.with_name("package.json"), lock.with_name(".npmrc")):
        shutil.copy2(file, folder)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True)
