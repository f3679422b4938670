"""``python -m lrap_otel.emulator emulate|invoke``: the emulator without the rest."""

from __future__ import annotations

import argparse
import sys

from lrap_otel.emulator import client, main


def run(argv: list[str]) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="lrap-otel", description="A local Lambda.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, module, about in (
        ("emulate", main, "run a function"),
        ("invoke", client, "post an event"),
    ):
        command = commands.add_parser(name, help=about, description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    args = parser.parse_args(argv)
    status: int = args.run(args)
    return status


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
