"""The console script ``lrap-otel``.

Each subcommand is a module with `add_arguments` and `run`. Only the chosen one is imported, since
they need different extras.
"""

from __future__ import annotations

import argparse
import importlib
import sys

from lrap_otel import __version__
from lrap_otel.extras import remedy

# Name: module, what it does, the extra that holds what it imports.
COMMANDS = {
    "emulate": (
        "lrap_otel.emulator.main",
        "run a function in a local Lambda, with its extensions",
        "emulator",
    ),
    "invoke": (
        "lrap_otel.emulator.client",
        "send an event to a function that `emulate` runs",
        "emulator",
    ),
    "instrument": ("lrap_otel.aws.instrument", "put the layer on functions", "aws"),
    "uninstrument": (
        "lrap_otel.aws.uninstrument",
        "take the layer off functions, as they were before",
        "aws",
    ),
    "doctor": (
        "lrap_otel.aws.doctor.command",
        "find what keeps functions from being traced, or will",
        "aws",
    ),
    "deploy": ("lrap_otel.aws.deploy", "publish the layer in several regions", "aws"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog="lrap-otel",
        description="OpenTelemetry for any AWS Lambda function, without code or an SDK in it.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (module_name, summary, extra) in COMMANDS.items():
        command = commands.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        if name in given[:1]:
            try:
                module = importlib.import_module(module_name)
            except ModuleNotFoundError as error:
                print(f"failed: {name} needs {error.name}: {remedy(extra)}", file=sys.stderr)
                return 2
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    extension = commands.add_parser(
        "extension", help="be the extension, by hand: what opt/entrypoint starts"
    )
    extension.set_defaults(run=_run_extension)
    chosen = parser.parse_args(given)
    return int(chosen.run(chosen))


def _run_extension(_: argparse.Namespace) -> int:
    from lrap_otel.boot import main as boot  # noqa: PLC0415 - the other subcommands do not need it

    return boot(sys.argv[0])
