"""``lrap-otel emulate``: run a function and its extensions in a local Lambda."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lrap_otel.emulator.config import Config
from lrap_otel.emulator.emulator import Emulator
from lrap_otel.emulator.invoke import DEFAULT_PORT
from lrap_otel.emulator.session import Session
from lrap_otel.emulator.terminal import Terminal

if TYPE_CHECKING:
    import argparse

INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``emulate`` understands."""
    parser.add_argument(
        "--extension", action="append", default=[], type=_pair, metavar="NAME=PATH", help="start PATH as extension NAME"
    )
    parser.add_argument(
        "--opt", type=Path, metavar="DIR", help="a folder as a layer's /opt: every file in DIR/extensions is started"
    )
    parser.add_argument(
        "--wrapper", type=Path, metavar="PATH", help="AWS_LAMBDA_EXEC_WRAPPER: starts the function's command"
    )
    parser.add_argument(
        "--event", action="extend", nargs="+", default=[], type=Path, metavar="FILE", help="send these events, then end"
    )
    parser.add_argument("--timeout", type=float, default=3.0, metavar="S", help="of the function, in seconds (3)")
    parser.add_argument(
        "--init-timeout", type=float, default=10.0, metavar="S", help="of extensions and runtime together (10)"
    )
    parser.add_argument("--memory", type=int, default=128, metavar="MB", help="of the function, as it is told (128)")
    parser.add_argument(
        "--env", action="append", default=[], type=_pair, metavar="K=V", help="a variable of the function"
    )
    parser.add_argument(
        "--tracing", choices=["none", "passive", "active"], default="passive", help="the trace header (passive)"
    )
    parser.add_argument(
        "--port",
        type=int,
        metavar="N",
        help=f"of the invoke endpoint ({DEFAULT_PORT}, where `invoke` looks; any free one if that is taken)",
    )
    parser.add_argument(
        "--cwd", type=Path, default=Path(), metavar="DIR", help="where the function's command is started"
    )
    parser.add_argument("--require-traces", action="store_true", help="fail unless each invocation has its span")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="the function's runtime, after --")


def run(args: argparse.Namespace) -> int:
    """Do it; 0 when every step succeeded, else 1 and a line for each that did not, 130 after Ctrl-C."""
    terminal = Terminal(sys.stdout)
    missing = [str(file) for file in args.event if not file.is_file()]
    if missing:
        return _fail([f"there is no file {', '.join(missing)}; name an event as JSON"])
    try:
        return asyncio.run(_emulate(args, terminal))
    except OSError as error:
        return _fail([f"cannot listen: {error}; choose another --port"])


async def _emulate(args: argparse.Namespace, terminal: Terminal) -> int:
    async with Emulator(_config(args), on_line=terminal.line, on_step=terminal.step) as emulator:
        terminal.title(f"lrap-otel emulate: {' '.join(args.command)}")
        terminal.field("Runtime API", emulator.runtime_api)
        terminal.field("OTLP", emulator.otlp.endpoint)
        for variable, url in emulator.otlp_elsewhere().items():
            terminal.field("elsewhere", f"{variable} sends to {url}: look there, not here", max_lines=2)
        session = Session(emulator, terminal, require_traces=args.require_traces)
        was_stopped = await _work(session, args.event)
        await session.finish()
    if session.problems:
        return _fail(session.problems)
    # Without events, Ctrl-C is how it ends.
    return INTERRUPTED if was_stopped and args.event else 0


async def _work(session: Session, events: list[Path]) -> bool:
    """Whether Ctrl-C or SIGTERM ended it."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    work = asyncio.ensure_future(_start_and_serve(session, events))
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        work.cancel()
    stopped.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work
    return stop.is_set()


async def _start_and_serve(session: Session, events: list[Path]) -> None:
    if not await session.start():
        return
    await (session.send(events) if events else session.serve())


def _config(args: argparse.Namespace) -> Config:
    command = list(args.command)
    if "/" in command[0]:
        command[0] = str(Path(command[0]).absolute())
    return Config(
        command=command,
        cwd=args.cwd.absolute(),
        wrapper=args.wrapper and args.wrapper.absolute(),
        extensions={name: Path(path) for name, path in args.extension},
        opt=args.opt,
        env=dict(args.env),
        timeout_s=args.timeout,
        init_timeout_s=args.init_timeout,
        memory_mb=args.memory,
        tracing=args.tracing,
        invoke_port=_invoke_port(args),
    )


def _invoke_port(args: argparse.Namespace) -> int:
    """What was asked for; else the default where somebody will look for it and it is free; else any."""
    if args.port is not None:
        return int(args.port)
    return 0 if args.event or not _is_free(DEFAULT_PORT) else DEFAULT_PORT


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the server does: connections that are only closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(text)
    return name, value


def _fail(problems: list[str]) -> int:
    for problem in dict.fromkeys(problems):
        print(f"failed: {problem}", file=sys.stderr)
    return 1
