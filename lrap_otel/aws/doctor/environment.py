"""Checks of the environment in which `doctor` runs: a sandbox, a container, or a workstation."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from lrap_otel.aws.doctor.checks import check_memory, check_values, graded
from lrap_otel.aws.doctor.reach import check_reach_as_the_extension
from lrap_otel.aws.doctor.subject import encoded
from lrap_otel.aws.function import LAYER_NAME
from lrap_otel.aws.obstacles import BOOTSTRAP_LINE
from lrap_otel.settings import Settings
from lrap_otel.telemetry.variable_checks import (
    ERROR,
    NEXT_WRAPPER_VARIABLE,
    NOTE,
    WARNING,
    WRAPPER,
    WRAPPER_VARIABLE,
    Finding,
    check_wrapper,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OPT = Path("/opt")
ARCHITECTURES = ("x86_64", "aarch64")
# Lambda or AWS's base images set at least one of these.
_OF_A_SANDBOX = ("AWS_LAMBDA_FUNCTION_NAME", "LAMBDA_TASK_ROOT")


def check_environment(
    opt: Path, variables: Mapping[str, str], *, is_offline: bool
) -> list[Finding]:
    """All findings, the most severe first. `opt` is the folder of the layer."""
    settings = Settings(encoded(variables))
    found = [
        *_check_files(opt, variables),
        *_check_start(settings, opt, variables),
        *_check_port(settings),
    ]
    found += check_values(variables)
    memory = variables.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    found += check_memory(int(memory) if memory.isdecimal() else None)
    if not is_offline and settings.export_enabled:
        found += check_reach_as_the_extension(
            variables, ERROR if _is_sandbox(opt, variables) else WARNING
        )
    return graded(found)


def _is_sandbox(opt: Path, variables: Mapping[str, str]) -> bool:
    return any(variables.get(name) for name in _OF_A_SANDBOX) or (opt / "extensions").is_dir()


def _check_files(opt: Path, variables: Mapping[str, str]) -> Iterator[Finding]:
    if not _is_sandbox(opt, variables):
        yield Finding(
            "no-sandbox",
            NOTE,
            f"This is neither a sandbox nor a container of Lambda's: {_OF_A_SANDBOX[0]} is not "
            f"set, and {opt} holds no extensions.",
            "Name functions or templates to examine them; here only variables, port and endpoint "
            "are looked at.",
        )
        return
    extension, wrapper = opt / "extensions" / LAYER_NAME, opt / LAYER_NAME / "wrapper"
    for name, file in (("extension", extension), ("wrapper", wrapper)):
        if not file.is_file():
            yield Finding(
                f"no-{name}-file",
                ERROR,
                f"The {name} {file} is not there.",
                "Add the layer; in an image `COPY --from=LRAP_OTEL_IMAGE /opt /opt`.",
            )
        elif not os.access(file, os.X_OK):
            yield Finding(
                f"no-{name}-file",
                ERROR,
                f"{file} is not executable.",
                f"Copy it with its mode, or `chmod +x {file}`.",
            )
    if extension.is_file():
        yield from _check_interpreter(opt)


def _check_interpreter(opt: Path) -> Iterator[Finding]:
    machine = platform.machine()
    made_for = [name for name in ARCHITECTURES if (opt / LAYER_NAME / name).is_dir()]
    if made_for and machine not in made_for:
        yield Finding(
            "architecture",
            ERROR,
            f"The layer is made for {', '.join(made_for)}, and this is {machine}.",
            "Use a layer built for both architectures: `make layer` without ARCH.",
        )
    elif made_for and not all(
        os.access(opt / LAYER_NAME / machine / name, os.R_OK) for name in ("python", "ld.so")
    ):
        yield Finding(
            "no-interpreter",
            ERROR,
            f"The layer's interpreter in {opt / LAYER_NAME / machine} is not there or cannot "
            f"be read.",
            "Copy the whole of the layer's /opt, readable for everybody.",
        )
    elif not made_for and not _other_interpreter(opt):
        yield Finding(
            "no-interpreter",
            ERROR,
            f"There is no interpreter in {opt / LAYER_NAME}, and no python3 on the PATH.",
            "Copy the whole of the layer's /opt.",
        )


def _other_interpreter(opt: Path) -> bool:
    return (
        (opt / ".lrap-paths").is_file()
        or Path("/var/lang/bin/python3").is_file()
        or bool(shutil.which("python3"))
    )


def _check_start(settings: Settings, opt: Path, variables: Mapping[str, str]) -> Iterator[Finding]:
    if _is_behind_us(settings):
        return  # The wrapper has run: this is a child of the runtime.
    wrapper, following = (
        variables.get(name, "") for name in (WRAPPER_VARIABLE, NEXT_WRAPPER_VARIABLE)
    )
    if not wrapper:
        if _is_sandbox(opt, variables):
            yield Finding(
                "no-wrapper",
                NOTE,
                f"{WRAPPER_VARIABLE} is not set here, so the runtime starts through our wrapper "
                f"only if its bootstrap or "
                "the image's entry point does that.",
                f"Set it to {WRAPPER}, or end the bootstrap with: {BOOTSTRAP_LINE}; in an image "
                f'ENTRYPOINT ["{WRAPPER}", …].',
            )
        return
    if wrapper == WRAPPER and variables.get("AWS_EXECUTION_ENV") and settings.extensions_api:
        # Lambda sets it for runtimes only, so this is a child of one.
        yield Finding(
            "past-us",
            WARNING,
            f"The runtime here calls {_written(settings.extensions_api)}, not our port "
            f"{settings.listener_port}.",
            "Look for lines of lrap-otel in the function's log: the wrapper found no extension. "
            "Nothing needs to be done "
            "if another proxy comes between.",
        )
    yield from check_wrapper(encoded(variables))
    for name, path, severity in (
        (WRAPPER_VARIABLE, wrapper, ERROR),
        (NEXT_WRAPPER_VARIABLE, following, WARNING),
    ):
        if path and path != WRAPPER and not _is_executable(opt, path):
            yield Finding(
                "wrapper-missing",
                severity,
                f"{name} names {shown(path)}, which is not there or not executable"
                + (
                    ": every invocation fails."
                    if severity == ERROR
                    else "; the runtime starts without it."
                ),
                "Add the layer that holds it, or correct the path.",
            )


def _is_behind_us(settings: Settings) -> bool:
    return settings.extensions_api == ("127.0.0.1", settings.listener_port)


def _written(address: tuple[str, int]) -> str:
    return "{}:{}".format(*address)


def _is_executable(opt: Path, path: str) -> bool:
    below = Path(path).relative_to(OPT) if path.startswith(f"{OPT}/") else None
    file = opt / below if below else Path(path)
    return (file.is_file() and os.access(file, os.X_OK)) or (
        "/" not in path and bool(shutil.which(path))
    )


def _check_port(settings: Settings) -> Iterator[Finding]:
    port = settings.listener_port
    if _is_behind_us(settings):
        return  # It is ours, even if its owner cannot be seen.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        # Bound as the extension binds it, so that a closing connection does not count. Without
        # `listen`, the extension could bind it at the same moment.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            owner = _owner(port) if taken else ""
            if not _is_ours(owner):
                yield Finding(
                    "port-taken",
                    ERROR,
                    f"Port {port} cannot be used: {_reason(owner, error)}.",
                    "Set LRAP_LISTENER_PORT to a free port.",
                )


def _reason(owner: str, error: OSError) -> str:
    if not owner:
        return str(error.strerror or error).lower()
    return f"the process {shown(owner.partition(' ')[0].rpartition('/')[2])} listens there"


def _is_ours(command: str) -> bool:
    return (
        f"extensions/{LAYER_NAME}" in command
        or "lrap_otel" in command
        or "opt/entrypoint" in command
    )


def _owner(port: int) -> str:
    """The command line of the process that listens on a port of this machine; empty if it cannot be
    seen.
    """
    inodes = {f"socket:[{inode}]" for name in ("tcp", "tcp6") for inode in _listening(name, port)}
    holders = (process for process in Path("/proc").glob("[0-9]*") if _holds(process, inodes))
    return next(filter(None, map(_command, holders)), "")


def _holds(process: Path, inodes: set[str]) -> bool:
    try:
        return any(os.readlink(entry) in inodes for entry in (process / "fd").iterdir())  # noqa: PTH115 - no path
    except OSError:
        return False  # another user's, or gone


def _command(process: Path) -> str:
    try:
        return (
            (process / "cmdline")
            .read_bytes()
            .replace(b"\0", b" ")
            .decode("utf-8", "replace")
            .strip()
        )
    except OSError:
        return ""


def _listening(table: str, port: int) -> Iterator[str]:
    """The inodes of listening sockets. Source: proc_pid_net(5)."""
    try:
        lines = Path(f"/proc/net/{table}").read_text("ascii").splitlines()[1:]
    except OSError:
        return
    for line in lines:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
            yield fields[9]
