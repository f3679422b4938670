"""What one emulated function looks like: its configuration, as Lambda would hold it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MANAGED_INSTANCES = "lambda-managed-instances"
ACCOUNT_ID = "123456789012"
REGION = "us-east-1"

Tracing = Literal["none", "passive", "active"]


def _this_python() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Config:
    """One function and its sandbox.

    ``command``: the runtime's command line; empty when the runtime is started by somebody else.
    ``extensions``: name to executable; ``opt``: a folder whose ``extensions/*`` are started as well, as Lambda does with /opt.
    ``wrapper``: AWS_LAMBDA_EXEC_WRAPPER. ``env``: the function's own variables, seen by extensions too; they win.
    ``tracing``: what Lambda-Runtime-Trace-Id looks like. ``invocation_id``: send the per-attempt Lambda-Runtime-Invocation-Id.
    Ports: 0 is any free one.
    """

    command: Sequence[str] = ()
    cwd: Path = field(default_factory=Path.cwd)
    wrapper: Path | None = None
    extensions: Mapping[str, Path] = field(default_factory=dict)
    opt: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 3.0
    init_timeout_s: float = 10.0
    memory_mb: int = 128
    function_name: str = "function"
    function_version: str = "$LATEST"
    handler: str = ""
    runtime: str = field(default_factory=_this_python)
    initialization_type: str = "on-demand"
    tracing: Tracing = "passive"
    invocation_id: bool = True
    runtime_api_port: int = 0
    invoke_port: int = 0
    otlp_port: int = 0

    @property
    def is_managed(self) -> bool:
        """Runs as Lambda Managed Instances do: extensions may have SHUTDOWN only."""
        return self.initialization_type == MANAGED_INSTANCES

    @property
    def function_arn(self) -> str:
        """What an event says was invoked."""
        return f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{self.function_name}"

    @property
    def handler_name(self) -> str:
        """The handler as configured, else the last word of the command, which is where runtimes expect it."""
        return self.handler or (self.command[-1] if self.command else "")

    def extension_files(self) -> dict[str, Path]:
        """Every extension to start, by the name it must register with: the base name of its file."""
        folder = self.opt / "extensions" if self.opt else None
        found = sorted(folder.iterdir()) if folder and folder.is_dir() else []
        return {path.name: path for path in found if not path.is_dir()} | dict(self.extensions)
