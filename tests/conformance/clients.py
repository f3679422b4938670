"""The runtimes' own clients: how to start each one's function, and what it supports."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from tests.conformance.builds import BUILDS, HERE, built

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NAMES = ("python", "bash", "go", "node", "java", "rust")
STREAMING = ("bash", "go", "node", "rust")
# Clients that serve several events at once.
CONCURRENT = ("python", "go", "node", "java", "rust")
# Clients with an instrumentation of OpenTelemetry's own.
WITH_SDK = ("python", "go", "node", "java")


@dataclass(frozen=True)
class Client:
    """One client with its function.

    ``has_bootstrap``: its runtime does not use a wrapper, so the user's own ``bootstrap`` starts it
    through ours. ``stream``: the command for streamed results, if it differs. ``traced``: the
    function with OpenTelemetry's SDK in it. ``env``: the function's variables.
    """

    name: str
    command: Sequence[str]
    cwd: Path
    has_bootstrap: bool = False
    stream: Sequence[str] = ()
    traced: Sequence[str] = ()
    env: dict[str, str] = field(default_factory=dict)

    def with_sdk(self) -> Client:
        """The same client with the function that has OpenTelemetry's SDK in it, which returns its
        event.
        """
        return replace(self, command=self.traced)


def each(*names: str) -> pytest.MarkDecorator:
    """Run a test with each of these clients: the fixture is ``client``, the marker is the name."""
    wanted = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in names]
    return pytest.mark.parametrize("client", wanted, indirect=True, scope="session")


def client(name: str) -> Client:
    """The client, built if necessary. Raises FileNotFoundError for a missing toolchain."""
    folder = built(name) if name in BUILDS else HERE / name
    return CLIENTS[name](folder)


def python(folder: Path) -> Client:
    """``awslambdaric``."""
    command = [sys.executable, "-m", "awslambdaric"]
    env = {"PYTHONPATH": str(folder / "dependencies")}
    return Client(
        "python",
        [*command, "function.handler"],
        folder,
        traced=[*command, "traced.handler"],
        env=env,
    )


def bash(folder: Path) -> Client:
    """A loop around curl, without a client library."""
    for tool in ("bash", "curl"):
        if shutil.which(tool) is None:
            raise FileNotFoundError(f"{tool} is not installed; this client does not run without it")
    return Client("bash", [str(folder / "function")], folder, has_bootstrap=True)


def go(folder: Path) -> Client:
    """``aws-lambda-go``, which registers an extension of its own for SIGTERM."""
    traced = [str(folder / "traced/bootstrap")]
    return Client("go", [str(folder / "bootstrap")], folder, has_bootstrap=True, traced=traced)


def rust(folder: Path) -> Client:
    """``lambda_runtime``."""
    return Client("rust", [str(folder / "bootstrap")], folder, has_bootstrap=True)


def node(folder: Path) -> Client:
    """``aws-lambda-ric``, on the Node it was installed with."""
    (binary,) = folder.glob("node_modules/node-linux-*/bin/node")
    ric = str(folder / "node_modules/aws-lambda-ric/index.mjs")
    command = [str(binary), ric]
    traced = [str(binary), "--import", str(folder / "tracing.mjs"), ric, "traced.handler"]
    return Client(
        "node",
        [*command, "index.handler"],
        folder,
        stream=[*command, "index.stream"],
        traced=traced,
    )


def java(folder: Path) -> Client:
    """``aws-lambda-java-runtime-interface-client``."""
    path = f"{folder}/target/classes:{folder}/target/dependency/*"
    entry = "com.amazonaws.services.lambda.runtime.api.client.AWSLambda"
    command = ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", path, entry]
    traced = [
        *command,
        "io.opentelemetry.instrumentation.awslambdacore.v1_0.TracingRequestStreamWrapper",
    ]
    env = {
        "OTEL_INSTRUMENTATION_AWS_LAMBDA_HANDLER": "Function::handleRequest",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    return Client("java", [*command, "Function"], folder, traced=traced, env=env)


CLIENTS = {"python": python, "bash": bash, "go": go, "node": node, "java": java, "rust": rust}
