"""What one emulated function looks like: its configuration, as Lambda would hold it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MANAGED_INSTANCES = "lambda-managed-instances"
SNAP_START = "snap-start"
INITIALIZATION_TYPES = ("on-demand", "provisioned-concurrency", SNAP_START, MANAGED_INSTANCES)
ACCOUNT_ID = "123456789012"
REGION = "us-east-1"

Tracing = Literal["none", "passive", "active"]
LogFormat = Literal["Text", "JSON"]
HttpFormat = Literal["v2", "v1", "alb", "url"]


def _this_python() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class TelemetryFaults:
    """What goes wrong with the Telemetry API.

    ``status``: every subscription gets this answer (202: as AWS's own emulator does).
    ``is_silent``: no subscription is answered.
    ``is_doubled``: each batch is delivered twice. ``is_shuffled``: the events of a batch come in
    any order.
    """

    status: int = 0
    is_silent: bool = False
    is_doubled: bool = False
    is_shuffled: bool = False


# As AWS's own emulator answers.
NO_TELEMETRY_API = TelemetryFaults(status=202)


@dataclass(frozen=True)
class Config:
    """One function and its sandbox.

    ``command``: the runtime's command line; empty when the runtime is started by somebody else.
    ``extensions``: name to executable; ``opt``: a folder whose ``extensions/*`` are started as
    well, as Lambda does with /opt.
    ``wrapper``: AWS_LAMBDA_EXEC_WRAPPER. ``env``: the function's own variables, seen by extensions
    too; they win.
    ``tracing``: what Lambda-Runtime-Trace-Id looks like. ``log_format``: of the function's logs;
    ``telemetry``: faults of its Telemetry API.
    ``max_concurrency``: of Managed Instances, events at a time; 0 is as many as the runtime asks
    for.
    ``reserved_concurrency``: events at a time that callers may wait for, None is any number.
    ``retry_wait_s``: before an asynchronous event that failed is tried again, twice as long before
    the last time;
    ``dead_letter``: a file that gets one line of JSON for each that failed three times.
    ``invocation_id``: send the per-attempt Lambda-Runtime-Invocation-Id.
    ``is_observed``: keep a history for the page, and note what the function gets.
    ``http_format`` and ``routes``: what requests over plain HTTP become.
    Ports: 0 is any free one; without an ``http_port`` (None), plain HTTP is not served.
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
    max_concurrency: int = 0
    reserved_concurrency: int | None = None
    retry_wait_s: float = 1.0
    dead_letter: Path | None = None
    tracing: Tracing = "passive"
    log_format: LogFormat = "Text"
    telemetry: TelemetryFaults = field(default_factory=TelemetryFaults)
    invocation_id: bool = True
    is_observed: bool = False
    http_format: HttpFormat = "v2"
    routes: Sequence[str] = ()
    runtime_api_port: int = 0
    invoke_port: int = 0
    otlp_port: int = 0
    http_port: int | None = None

    @property
    def is_managed(self) -> bool:
        """Whether it runs as on Lambda Managed Instances, where extensions get no INVOKE."""
        return self.initialization_type == MANAGED_INSTANCES

    @property
    def has_snapshot(self) -> bool:
        """Whether it continues after init from a snapshot, as functions with SnapStart do."""
        return self.initialization_type == SNAP_START

    @property
    def is_json_logged(self) -> bool:
        """Whether the Telemetry API reports a line that is a JSON object as an object. On Managed
        Instances it always does.
        """
        return self.log_format == "JSON" or self.is_managed

    @property
    def function_arn(self) -> str:
        """What an event says was invoked."""
        return f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{self.function_name}"

    @property
    def handler_name(self) -> str:
        """The handler as configured, else the last word of the command, which is where runtimes
        expect it.
        """
        return self.handler or (self.command[-1] if self.command else "")

    def extension_files(self) -> dict[str, Path]:
        """Every extension to start, by the name it must register with: the base name of
        its file.
        """
        folder = self.opt / "extensions" if self.opt else None
        found = sorted(folder.iterdir()) if folder and folder.is_dir() else []
        return {path.name: path for path in found if not path.is_dir()} | dict(self.extensions)
