"""The variables a runtime and an extension see: what Lambda sets, and what it withholds."""

from __future__ import annotations

import os
import socket
import uuid
from typing import TYPE_CHECKING

from lrap_otel.emulator.config import REGION

if TYPE_CHECKING:
    from lrap_otel.emulator.config import Config

# AWS Lambda developer guide, "Building Lambda extensions": a runtime sees these, an extension does
# not.
WITHHELD_FROM_EXTENSIONS = frozenset(
    {
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_MAX_CONCURRENCY",
        "AWS_XRAY_CONTEXT_MISSING",
        "AWS_XRAY_DAEMON_ADDRESS",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
        "_AWS_XRAY_DAEMON_ADDRESS",
        "_AWS_XRAY_DAEMON_PORT",
        "_HANDLER",
    }
)


def runtime_environment(
    config: Config, runtime_api: str, otlp_endpoint: str, folder: str
) -> dict[str, str]:
    """Everything the runtime sees; ``runtime_api`` is host:port, ``folder`` this sandbox's own
    part of ``/tmp``. Nothing of the emulator's own environment but PATH and LANG.
    """
    environment = _host() | _function(config) | _logs(config) | _xray()
    environment |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_endpoint,
        "LRAP_LISTENER_PORT": str(_free_port()),
    }
    # Lambda's sandboxes have a /tmp each; ours share the machine's.
    environment["LRAP_SPOOL_DIR"] = folder
    if config.is_managed and config.max_concurrency:
        environment["AWS_LAMBDA_MAX_CONCURRENCY"] = str(config.max_concurrency)
    environment |= config.env
    environment["AWS_LAMBDA_RUNTIME_API"] = runtime_api
    if config.wrapper:
        environment["AWS_LAMBDA_EXEC_WRAPPER"] = str(config.wrapper)
    return environment


def extension_environment(runtime: dict[str, str]) -> dict[str, str]:
    """What is left of the runtime's environment for an external extension."""
    return {name: value for name, value in runtime.items() if name not in WITHHELD_FROM_EXTENSIONS}


def _host() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "en_US.UTF-8", "TZ": ":UTC"}


def _function(config: Config) -> dict[str, str]:
    return {
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{config.runtime}",
        "AWS_LAMBDA_FUNCTION_NAME": config.function_name,
        "AWS_LAMBDA_FUNCTION_VERSION": config.function_version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.memory_mb),
        "AWS_LAMBDA_INITIALIZATION_TYPE": config.initialization_type,
        "AWS_LAMBDA_LOG_FORMAT": "JSON" if config.is_json_logged else "Text",
        "LAMBDA_TASK_ROOT": str(config.cwd),
        "LAMBDA_RUNTIME_DIR": str(config.cwd),
        "_HANDLER": config.handler_name,
    }


def _logs(config: Config) -> dict[str, str]:
    stream = f"2026/01/01/[{config.function_version}]{uuid.uuid4().hex}"
    return {
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{config.function_name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": stream,
    }


def _xray() -> dict[str, str]:
    return {
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
        "_AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1",
        "_AWS_XRAY_DAEMON_PORT": "2000",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
