"""``lrap-otel emulate``: run a function and its extensions in a local Lambda."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lrap_otel.emulator import http_front
from lrap_otel.emulator.code_watch import CodeWatch
from lrap_otel.emulator.config import INITIALIZATION_TYPES
from lrap_otel.emulator.emulator import Emulator
from lrap_otel.emulator.errors import StartError
from lrap_otel.emulator.http_events import FORMATS
from lrap_otel.emulator.invoke import DEFAULT_PORT
from lrap_otel.emulator.session import Session
from lrap_otel.emulator.start import prepare
from lrap_otel.emulator.terminal import Terminal

if TYPE_CHECKING:
    import argparse

    from lrap_otel.emulator.start import Started

INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``emulate`` understands."""
    _add_what_to_start(parser)
    _add_how_it_is_configured(parser)
    _add_what_to_do(parser)
    parser.add_argument(
        "command",
        nargs="*",
        metavar="HANDLER | -- COMMAND",
        help="a handler of Python or Node (app.handler) in the current folder, or the command of "
        "any runtime",
    )


def _add_what_to_start(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--template",
        type=Path,
        metavar="FILE",
        help="a SAM or CloudFormation template to start from",
    )
    parser.add_argument(
        "--function",
        default="",
        metavar="NAME",
        help="which function of the template, if it has several",
    )
    parser.add_argument(
        "--python",
        default="",
        metavar="PATH",
        help="the function's interpreter (.venv/bin/python, else python3)",
    )
    parser.add_argument(
        "--runtime",
        default="",
        metavar="NAME",
        help="such as python3.13 or nodejs22.x (by the handler's file)",
    )
    parser.add_argument(
        "--cwd",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="the folder of the code (the current one)",
    )
    parser.add_argument(
        "--layer",
        action="append",
        default=[],
        type=Path,
        metavar="ZIP_OR_DIR",
        help="a layer; a later one's files win. Every file in its extensions/ is started",
    )
    parser.add_argument(
        "--opt",
        type=Path,
        metavar="DIR",
        help="a folder as a layer's /opt: every file in DIR/extensions is started",
    )
    parser.add_argument(
        "--extension",
        action="append",
        default=[],
        type=_pair,
        metavar="NAME=PATH",
        help="start PATH as extension NAME",
    )
    parser.add_argument(
        "--wrapper",
        type=Path,
        metavar="PATH",
        help="AWS_LAMBDA_EXEC_WRAPPER: starts the function's command",
    )
    parser.add_argument(
        "--without-lrap",
        action="store_true",
        help="do not add lrap-otel's own extension, which is there by default",
    )


def _add_how_it_is_configured(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="S",
        help="of the function, in seconds (the template's, else 3)",
    )
    parser.add_argument(
        "--init-timeout",
        type=float,
        default=10.0,
        metavar="S",
        help="of extensions and runtime together (10)",
    )
    parser.add_argument(
        "--memory",
        type=int,
        metavar="MB",
        help="of the function, as it is told (the template's, else 128)",
    )
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        type=_pair,
        metavar="K=V",
        help="a variable of the function",
    )
    parser.add_argument(
        "--concurrency",
        type=_positive,
        metavar="N",
        help="run as Lambda Managed Instances do, with up to N events at a time",
    )
    parser.add_argument(
        "--init-type",
        choices=INITIALIZATION_TYPES,
        default="on-demand",
        help="how the sandbox comes to be (on-demand)",
    )
    parser.add_argument(
        "--snapstart", action="store_true", help="the same as --init-type snap-start"
    )
    parser.add_argument(
        "--reserved-concurrency",
        type=int,
        metavar="N",
        help="refuse a caller with 429 while N others wait for their results (the template's, else "
        "no limit)",
    )
    parser.add_argument(
        "--retry-wait",
        type=float,
        default=1.0,
        metavar="S",
        help="before an asynchronous event that failed is tried again; twice as long the second "
        "time (1)",
    )
    parser.add_argument(
        "--dead-letter",
        type=Path,
        metavar="FILE",
        help="gets a line of JSON for each event that failed three times",
    )
    parser.add_argument(
        "--tracing",
        choices=["none", "passive", "active"],
        help="the trace header (the template's, else passive)",
    )


def _add_what_to_do(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--event",
        action="extend",
        nargs="+",
        default=[],
        type=Path,
        metavar="FILE",
        help="send these events, then end",
    )
    parser.add_argument(
        "--require-traces", action="store_true", help="fail unless each invocation has its span"
    )
    parser.add_argument(
        "--no-reload", action="store_true", help="do not start a new sandbox when the code changes"
    )
    parser.add_argument(
        "--port",
        type=int,
        metavar="N",
        help=f"of the invoke endpoint ({DEFAULT_PORT}, where `invoke` looks; any free one if that "
        f"is taken)",
    )
    parser.add_argument(
        "--http-port",
        type=int,
        metavar="N",
        help=f"where requests over plain HTTP become events ({http_front.DEFAULT_PORT}; any free "
        f"one if that is taken)",
    )
    parser.add_argument(
        "--http-format",
        choices=FORMATS,
        help="what they become: API Gateway's v2 or v1, a load balancer's, a Function URL's (the "
        "template's, else v2)",
    )
    parser.add_argument(
        "--route",
        action="append",
        default=[],
        metavar="'GET /pets/{id}'",
        help="a route of API Gateway, several times (the template's, else $default)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command. Returns 0 if every step succeeded, 1 after a line for each that did not, 130
    after Ctrl-C.
    """
    terminal = Terminal(sys.stdout)
    missing = [str(file) for file in args.event if not file.is_file()]
    if missing:
        return _fail([f"there is no file {', '.join(missing)}; name an event as JSON"])
    with tempfile.TemporaryDirectory(prefix="lrap-emulate-") as scratch:
        try:
            started = prepare(args, Path(scratch), terminal.step)
            return asyncio.run(_emulate(args, started, terminal))
        except StartError as error:
            return _fail([str(error)])
        except OSError as error:
            return _fail([f"cannot listen: {error}; choose another --port"])


async def _emulate(args: argparse.Namespace, started: Started, terminal: Terminal) -> int:
    serves = not args.event
    config = dataclasses.replace(
        started.config,
        invoke_port=_port(args.port, DEFAULT_PORT, is_fixed=serves),
        http_port=_port(args.http_port, http_front.DEFAULT_PORT, is_fixed=True) if serves else None,
        is_observed=serves,
    )
    async with Emulator(config, on_line=terminal.line, on_step=terminal.step) as emulator:
        terminal.title(f"lrap-otel emulate: {started.title}")
        terminal.field("Runtime API", emulator.runtime_api)
        terminal.field("OTLP", emulator.otlp.endpoint)
        for variable, url in emulator.otlp_elsewhere().items():
            terminal.field(
                "elsewhere", f"{variable} sends to {url}: look there, not here", max_lines=2
            )
        watch = None if args.no_reload else CodeWatch(started.code)
        session = Session(emulator, terminal, require_traces=args.require_traces, watch=watch)
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


def _port(asked: int | None, default: int, *, is_fixed: bool) -> int:
    """The port that was asked for; else the default, if clients expect it (`is_fixed`) and it is
    free; else 0, any free one.
    """
    if asked is not None:
        return asked
    return default if is_fixed and _is_free(default) else 0


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


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def _fail(problems: list[str]) -> int:
    for problem in dict.fromkeys(problems):
        print(f"failed: {problem}", file=sys.stderr)
    return 1
