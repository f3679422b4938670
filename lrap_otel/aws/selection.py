"""The functions that a command works on: by name, ARN, prefix, tag, or all of a region."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrap_otel.aws.function import FunctionName, NotFoundError, list_names, read_function
from lrap_otel.aws.session import NO_REGION, AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lrap_otel.aws.function import Function
    from lrap_otel.aws.session import Account


@dataclass(frozen=True)
class Target:
    """A function to read. `is_named`: the user named this one, rather than a group of functions."""

    region: str
    name: str
    is_named: bool


@dataclass(frozen=True)
class Reading:
    """A target and its function; `function` is None and `error` the reason if it could
    not be read.
    """

    target: Target
    function: Function | None = None
    error: str = ""
    is_gone: bool = False


def pair(text: str) -> tuple[str, str]:
    """Parse ``K=V``, the value of an option."""
    name, equals, value = text.partition("=")
    if not (equals and name):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def add_arguments(parser: argparse.ArgumentParser, named: str = "a function's name or ARN") -> None:
    """Add the options that choose functions. `named` describes what may be named."""
    group = parser.add_argument_group("which functions")
    group.add_argument("functions", nargs="*", metavar="FUNCTION", help=named)
    group.add_argument("--prefix", metavar="TEXT", help="all whose name begins so")
    group.add_argument(
        "--tag",
        action="append",
        default=[],
        type=pair,
        metavar="K=V",
        help="all with this tag (repeated: with each)",
    )
    group.add_argument("--all", action="store_true", help="all functions of the regions")
    add_regions(group)
    parser.add_argument(
        "--jobs", type=_jobs, default=8, metavar="N", help="how many functions at once (8)"
    )


def add_regions(parser: argparse._ActionsContainer) -> None:
    """Add the option that names regions: `regions`, a list."""
    # Not nargs="+": `--region eu-west-1 checkout` would take the function's name for a region.
    parser.add_argument(
        "--region",
        action="extend",
        type=_regions,
        default=[],
        metavar="REGION",
        dest="regions",
        help="repeated, or several with commas (AWS_REGION, else the profile's)",
    )


def _regions(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _jobs(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 64:
        return int(text)
    raise argparse.ArgumentTypeError("a number from 1 to 64")


def is_empty(args: argparse.Namespace) -> bool:
    """Whether the options choose no function."""
    return not (args.functions or args.prefix or args.tag or args.all)


def find_targets(account: Account, args: argparse.Namespace) -> list[Target]:
    """All targets that the options choose, each once, named ones first. Raises `AwsError` with what
    to do.
    """
    regions = account.regions(args.regions)
    targets: dict[tuple[str, str], Target] = {}
    for text in args.functions:
        named = FunctionName.parse(text)
        among = [named.region] if named.region else regions
        if not among:
            raise AwsError(NO_REGION)
        for region in among:
            targets[region, named.name] = Target(region, named.name, is_named=True)
    if args.prefix or args.tag or args.all:
        if not regions:
            raise AwsError(NO_REGION)
        for region in regions:
            for name in list_names(account.client(region), args.prefix or ""):
                targets.setdefault((region, name), Target(region, name, is_named=False))
    return list(targets.values())


def read_all(
    account: Account,
    targets: Iterable[Target],
    args: argparse.Namespace,
    progress: Callable[[str], None],
) -> list[Reading]:
    """Read the targets, several at once; returned in their order, without those that lack the
    wanted tags.
    """

    def read(target: Target) -> Reading:
        progress(f"reading {target.region} {target.name}")
        try:
            return Reading(
                target, read_function(account.client(target.region), target.region, target.name)
            )
        except AwsError as error:
            return Reading(target, error=str(error), is_gone=isinstance(error, NotFoundError))

    with ThreadPoolExecutor(args.jobs) as pool:
        readings = list(pool.map(read, targets))
    return [reading for reading in readings if _is_wanted(reading, dict(args.tag))]


def _is_wanted(reading: Reading, tags: dict[str, str]) -> bool:
    if reading.target.is_named or reading.function is None or not tags:
        return True
    if reading.function.tags_error:
        raise AwsError(
            f"cannot read tags: {reading.function.tags_error}; --tag needs lambda:ListTags"
        )
    return tags.items() <= reading.function.tags.items()
