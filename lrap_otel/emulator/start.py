"""What ``emulate`` starts: from its options, and a template, to the configuration of a sandbox."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrap_otel.emulator import layers, template
from lrap_otel.emulator.config import MANAGED_INSTANCES, SNAP_START, Config
from lrap_otel.emulator.errors import StartError
from lrap_otel.emulator.runtime_command import command_for, is_handler, runtime_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

NEXT_WRAPPER = "LRAP_NEXT_WRAPPER"
WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER"


@dataclass(frozen=True)
class Started:
    """A configuration, a title for it, and the folder whose files are the code."""

    config: Config
    title: str
    code: Path


def prepare(args: argparse.Namespace, scratch: Path, on_step: Callable[[str], None]) -> Started:
    """The configuration that the options describe; StartError if they cannot be followed.

    ``scratch`` is a folder for what has to be unpacked; it must live as long as the sandbox.
    """
    described = (
        template.read(args.template, args.function) if args.template else template.Described("")
    )
    if not args.template and not args.command:
        raise StartError("name a handler such as app.handler, a command after --, or a --template")
    for note in described.notes:
        on_step(note)
    folder = _code_folder(args, described, scratch, on_step)
    opt = layers.merge(
        [*([args.opt] if args.opt else []), *described.layers, *args.layer],
        scratch / "opt",
        on_step,
    )
    env = described.env | dict(args.env)
    python = described.runtime if described.runtime.startswith("python") else "python3"
    env |= layers.variables(opt, env, python)
    command, handler = _command(args, described, folder, env)
    extensions, wrapper = _extension_and_wrapper(args, opt, env, scratch)
    runtime = described.runtime or args.runtime
    config = Config(
        command=command,
        cwd=folder,
        wrapper=wrapper,
        extensions=extensions,
        opt=opt,
        env=env,
        timeout_s=_first(args.timeout, described.timeout_s, 3.0),
        init_timeout_s=args.init_timeout,
        memory_mb=int(_first(args.memory, described.memory_mb, 128)),
        function_name=described.name or "function",
        handler=handler,
        runtime=runtime or runtime_of(command, handler),
        initialization_type=_initialization_type(args),
        max_concurrency=args.concurrency or 0,
        reserved_concurrency=_or(args.reserved_concurrency, described.reserved_concurrency),
        http_format=args.http_format or described.http_format or "v2",
        routes=[*args.route, *described.routes],
        retry_wait_s=args.retry_wait,
        dead_letter=args.dead_letter and args.dead_letter.absolute(),
        tracing=args.tracing or ("active" if described.is_traced else "passive"),
        log_format="JSON" if described.is_json_logged else "Text",
    )
    title = handler or shlex.join(args.command)
    return Started(config, f"{described.name}: {title}" if described.name else title, folder)


def _code_folder(
    args: argparse.Namespace,
    described: template.Described,
    scratch: Path,
    on_step: Callable[[str], None],
) -> Path:
    if described.inline:
        folder = scratch / "code"
        folder.mkdir(parents=True)
        (folder / described.inline_file).write_text(described.inline, "utf-8")
        return folder
    if described.code is None or described.code.is_dir():
        found: Path = described.code or args.cwd
        if not found.is_dir():
            raise StartError(f"there is no folder {found}; name the code's with --cwd")
        return found.resolve()
    on_step(f"unpacking {described.code.name}")
    layers.unpack(described.code, scratch / "code")
    return scratch / "code"


def _command(
    args: argparse.Namespace, described: template.Described, folder: Path, env: dict[str, str]
) -> tuple[list[str], str]:
    """The command line, and the handler if there is one."""
    words = list(args.command)
    if words and not is_handler(words, args.cwd):
        if "/" in words[0]:
            words[0] = str(Path(words[0]).absolute())
        return words, described.handler
    handler = words[0] if words else described.handler
    if not handler and not described.runtime.startswith("provided"):
        raise StartError(f"{args.template} names no handler of {described.name}")
    command = command_for(handler, folder, described.runtime or args.runtime, args.python, env)
    return command, handler or "bootstrap"


def _extension_and_wrapper(
    args: argparse.Namespace, opt: Path | None, env: dict[str, str], scratch: Path
) -> tuple[dict[str, Path], Path | None]:
    """The extensions that were named, and this project's own unless it is among them or
    in a layer.
    """
    extensions = {name: Path(path) for name, path in args.extension}
    asked = env.pop(WRAPPER, "")
    wrapper = args.wrapper.absolute() if args.wrapper else _wrapper_of(asked, opt)
    in_layer = opt / "extensions" / layers.OUR_NAME if opt else None
    if layers.OUR_NAME in extensions or args.without_lrap:
        return extensions, wrapper
    if opt and in_layer and in_layer.is_file():
        ours = opt / "lrap-otel/wrapper"
        if not ours.is_file():
            return extensions, wrapper
    else:
        extensions[layers.OUR_NAME], ours = layers.ours(scratch)
    if wrapper is not None and wrapper != ours and not args.wrapper:
        env.setdefault(NEXT_WRAPPER, str(wrapper))
    return extensions, wrapper if args.wrapper else ours


def _wrapper_of(asked: str, opt: Path | None) -> Path | None:
    """The wrapper that the function's own variables name; this project's own is found elsewhere."""
    if not asked or asked in layers.OUR_WRAPPERS:
        return None
    return layers.in_opt(asked, opt)


def _initialization_type(args: argparse.Namespace) -> str:
    if args.snapstart:
        return SNAP_START
    if args.concurrency:
        return MANAGED_INSTANCES
    return str(args.init_type)


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


def _or(value: int | None, other: int | None) -> int | None:
    return other if value is None else value
