"""The runtimes' own clients: how each one's function is started, and what it can do."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.conformance.builds import BUILDS, HERE, built

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NAMES = ("python", "bash", "go", "node", "java", "rust")
STREAMING = ("bash", "go", "node", "rust")
# Those that serve several events at once.
CONCURRENT = ("python", "go", "node", "java", "rust")


@dataclass(frozen=True)
class Client:
    """One client with its function.

    ``has_bootstrap``: its runtime knows no wrapper, so that a ``bootstrap`` of the user's own starts it through ours. ``stream``:
    the command where streamed results need another handler.
    """

    name: str
    command: Sequence[str]
    cwd: Path
    has_bootstrap: bool = False
    stream: Sequence[str] = ()


def each(*names: str) -> pytest.MarkDecorator:
    """Run a test with each of these clients: the fixture is ``client``, the marker is the name."""
    wanted = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in names]
    return pytest.mark.parametrize("client", wanted, indirect=True, scope="session")


def client(name: str) -> Client:
    """The client, built where that is needed and has not been done; FileNotFoundError for a missing toolchain."""
    folder = built(name) if name in BUILDS else HERE / name
    return CLIENTS[name](folder)


def python(folder: Path) -> Client:
    """``awslambdaric``, of our own virtual environment."""
    return Client("python", [sys.executable, "-m", "awslambdaric", "function.handler"], folder)


def bash(folder: Path) -> Client:
    """Nobody's client: a loop around curl."""
    for tool in ("bash", "curl"):
        if shutil.which(tool) is None:
            raise FileNotFoundError(f"{tool} is not installed; this client does not run without it")
    return Client("bash", [str(folder / "function")], folder, has_bootstrap=True)


def go(folder: Path) -> Client:
    """``aws-lambda-go``, which registers an extension of its own for SIGTERM."""
    return Client("go", [str(folder / "bootstrap")], folder, has_bootstrap=True)


def rust(folder: Path) -> Client:
    """``lambda_runtime``."""
    return Client("rust", [str(folder / "bootstrap")], folder, has_bootstrap=True)


def node(folder: Path) -> Client:
    """``aws-lambda-ric``, on the Node it was installed with."""
    (binary,) = folder.glob("node_modules/node-linux-*/bin/node")
    command = [str(binary), str(folder / "node_modules/aws-lambda-ric/index.mjs")]
    return Client("node", [*command, "index.handler"], folder, stream=[*command, "index.stream"])


def java(folder: Path) -> Client:
    """``aws-lambda-java-runtime-interface-client``."""
    path = f"{folder}/target/classes:{folder}/target/dependency/*"
    entry = "com.amazonaws.services.lambda.runtime.api.client.AWSLambda"
    return Client("java", ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", path, entry, "Function"], folder)


CLIENTS = {"python": python, "bash": bash, "go": go, "node": node, "java": java, "rust": rust}
