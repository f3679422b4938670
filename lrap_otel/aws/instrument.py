"""``lrap-otel instrument``: add the layer and its variables to functions."""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lrap_otel.aws import fleet, layers, selection
from lrap_otel.aws.function import LAYER_NAME, LayerVersion
from lrap_otel.aws.obstacles import looks_like_edge
from lrap_otel.aws.plan import Plan, Record, Wish, instrumented
from lrap_otel.aws.session import AwsError
from lrap_otel.aws.terminal import fail
from lrap_otel.aws.undo import UndoFile
from lrap_otel.telemetry.variable_checks import (
    ENDPOINT_VARIABLE,
    NEXT_WRAPPER_VARIABLE,
    WRAPPER_VARIABLE,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lrap_otel.aws.change import Outcome
    from lrap_otel.aws.function import Function
    from lrap_otel.aws.layers import LayerZip, Published
    from lrap_otel.aws.selection import Target
    from lrap_otel.aws.session import Account

UNDO_FILE = Path("lrap-otel-undo.json")

_VARIABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]+")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``instrument``."""
    fleet.add_arguments(parser)
    parser.add_argument(
        "--layer",
        action="append",
        default=[],
        metavar="ARN",
        help="the layer's version, one for each region or with {region} in its place (newest of "
        "this account)",
    )
    parser.add_argument(
        "--zip", type=Path, metavar="FILE", help="publish this layer first, once for each region"
    )
    parser.add_argument(
        "--layer-name", default=LAYER_NAME, metavar="NAME", help=f"of the layer ({LAYER_NAME})"
    )
    parser.add_argument(
        "--endpoint", type=_endpoint, metavar="URL", help=f"where traces go: {ENDPOINT_VARIABLE}"
    )
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        type=_variable,
        metavar="K=V",
        help="another variable of the functions; K alone takes the value that it has here",
    )
    parser.add_argument(
        "--undo-file",
        type=Path,
        default=UNDO_FILE,
        metavar="FILE",
        help=f"what was there before ({UNDO_FILE})",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command. Returns `fleet`'s exit status."""
    if args.layer and args.zip:
        return _not_begun("--layer and --zip are two ways to the same; choose one")
    if selection.is_empty(args):
        return _not_begun("name the functions, or choose them by --prefix, --tag or --all")
    return fleet.run(args, Instrument(args))


def _not_begun(message: str) -> int:
    fail(message)
    return fleet.NOT_BEGUN


def _endpoint(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        # The text may contain a password, so it is not repeated.
        raise argparse.ArgumentTypeError(
            "not an http:// or https:// address, as https://collector.example:4318"
        )
    return text


def _variable(text: str) -> tuple[str, str]:
    # A name alone takes the value from our own environment, so that no secret is on a command line.
    name, value = (text, os.environ.get(text, "")) if "=" not in text else selection.pair(text)
    if not _VARIABLE.fullmatch(name):
        raise argparse.ArgumentTypeError(
            f"{name!r} is no name of a variable: two or more letters, digits and _, a letter first"
        )
    if name in {WRAPPER_VARIABLE, NEXT_WRAPPER_VARIABLE}:
        raise argparse.ArgumentTypeError(f"{name} is what this command sets by itself")
    if "=" not in text and name not in os.environ:
        raise argparse.ArgumentTypeError(f"{name} is not set here; write {name}=VALUE or set it")
    return name, value


class Instrument:
    """The command's part in `fleet`."""

    verb = "instrument"

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._undo = UndoFile(args.undo_file)
        self._remembered: dict[str, Record] = {}
        self._zip: LayerZip | None = None
        self._newest: dict[str, Published | None] = {}
        self._wishes: dict[str, Wish] = {}
        endpoint = {ENDPOINT_VARIABLE: args.endpoint} if args.endpoint else {}
        self._variables: Mapping[str, str] = {**endpoint, **dict(args.env)}

    def targets(self, account: Account) -> list[Target]:
        # Errors in the options are reported before an account is asked for all its functions.
        self._zip = layers.LayerZip.read(self._args.zip) if self._args.zip else None
        self._undo.records()
        return selection.find_targets(account, self._args)

    def prepare(self, account: Account, functions: Sequence[Function]) -> None:
        """Find the layer of each region. A layer that has yet to be published gets the ARN it will
        most likely have.
        """
        given = _by_region(self._args.layer, {function.region for function in functions})
        for region, example in {function.region: function.arn for function in functions}.items():
            client = account.client(region)
            if self._args.layer:
                layers.require(client, given[region])
                self._wish(region, given[region])
                continue
            found = self._newest[region] = layers.newest(client, self._args.layer_name)
            if self._zip and (found is None or found.sha256 != self._zip.sha256):
                number = found.version + 1 if found else 1
                self._wish(region, _layer_arn(example, self._args.layer_name, number))
            elif found:
                self._wish(region, found.arn)
            else:
                raise AwsError(
                    f"this account has no layer {self._args.layer_name} in {region}: "
                    "name one by --layer, or publish one by --zip build/lrap-otel.zip"
                )

    def plan(self, function: Function, *, is_named: bool) -> Plan:
        if looks_like_edge(function) and not is_named:
            refusal = (
                "its role is one of Lambda@Edge, which takes neither layers nor "
                "variables; name it if it is not"
            )
            return Plan(function, function.layers, function.variables, refusal=refusal)
        plan = instrumented(function, self._wishes[function.region])
        if plan.changes and not any(
            name.startswith("OTEL_EXPORTER_OTLP_") for name in plan.variables
        ):
            said = (
                "no --endpoint: traces go to 127.0.0.1:4318, where another layer's "
                "collector must listen"
            )
            return replace(plan, notes=(*plan.notes, said))
        return plan

    def may_publish(self, plan: Plan) -> bool:  # noqa: ARG002 - how it was chosen does not matter
        return True

    def commit(self, account: Account) -> None:
        """Publish the layer in each region that does not have it."""
        if self._zip is None:
            return
        for region in self._wishes:
            published = layers.ensure(account.client(region), self._args.layer_name, self._zip)
            self._wish(region, published.arn)

    def remember(self, plans: Sequence[Plan]) -> None:
        new = [plan for plan in plans if self._remembered.get(plan.function.arn) != Record.of(plan)]
        if new:
            self._undo.remember(new)
            self._remembered.update((plan.function.arn, Record.of(plan)) for plan in new)

    def finish(self, outcomes: Sequence[Outcome]) -> None:
        """Does nothing: the records are kept for `uninstrument`."""

    def _wish(self, region: str, arn: str) -> None:
        size = self._zip.unzipped_bytes if self._zip else 0
        self._wishes[region] = Wish(arn, self._variables, size)


def _by_region(arns: Sequence[str], regions: set[str]) -> dict[str, str]:
    """The layer of each region. Raises `AwsError` if a region has none."""
    if not arns:
        return {}
    found: dict[str, str] = {}
    for arn in arns:
        for region in regions if "{region}" in arn else {""}:
            layer = LayerVersion.parse(arn.replace("{region}", region))
            found[layer.region] = layer.arn
    missing = sorted(regions - found.keys())
    if missing:
        raise AwsError(
            f"no --layer for {', '.join(missing)}: a layer serves its own region alone; "
            "repeat --layer, or write {region} in the ARN where the version is the same in all"
        )
    return found


def _layer_arn(function_arn: str, name: str, version: int) -> str:
    partition, _, region, account = function_arn.split(":")[1:5]
    return f"arn:{partition}:lambda:{region}:{account}:layer:{name}:{version}"
