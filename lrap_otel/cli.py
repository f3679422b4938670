"""The console script ``lrap-otel``."""

from __future__ import annotations

import argparse
import sys

from lrap_otel.emulator import client
from lrap_otel.emulator import main as emulate


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; the exit status."""
    parser = argparse.ArgumentParser(
        prog="lrap-otel",
        description="OpenTelemetry for any AWS Lambda function, without code or an SDK in it.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    emulation = commands.add_parser("emulate", help="run a function in a local Lambda, with its extensions")
    emulate.add_arguments(emulation)
    emulation.set_defaults(run=emulate.run)
    invocation = commands.add_parser("invoke", help="send an event to a function that `emulate` runs")
    client.add_arguments(invocation)
    invocation.set_defaults(run=client.run)
    extension = commands.add_parser("extension", help="be the extension, by hand: what opt/entrypoint starts")
    extension.set_defaults(run=_run_extension)
    chosen = parser.parse_args(arguments)
    return int(chosen.run(chosen))


def _run_extension(_: argparse.Namespace) -> int:
    import sysconfig  # noqa: PLC0415 - the other subcommands do not need it

    from lrap_otel.boot import main as boot  # noqa: PLC0415 - see above

    return boot(sys.argv[0], sysconfig.get_path("purelib"))
