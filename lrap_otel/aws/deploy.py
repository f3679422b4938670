"""``lrap-otel deploy``: publish the layer in several regions (`make deploy`)."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrap_otel.aws import layers, selection
from lrap_otel.aws.function import LAYER_NAME
from lrap_otel.aws.session import NO_REGION, Account, AwsError, errors_of_aws, explain
from lrap_otel.aws.terminal import Terminal, fail

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from lrap_otel.aws.layers import LayerZip, Published

# At most this many versions are published to reach the other regions' number.
MAX_ALIGNMENT = 50
_ORGANIZATION = re.compile(r"o-[a-z0-9]{10,32}")


@dataclass(frozen=True)
class Row:
    """The result in one region; `error` is the reason if it failed."""

    region: str
    published: Published | None = None
    error: str = ""

    @property
    def version(self) -> int:
        return self.published.version if self.published else 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``deploy``."""
    parser.add_argument(
        "--zip",
        type=Path,
        default=Path("build/lrap-otel.zip"),
        metavar="FILE",
        help="the layer (build/lrap-otel.zip)",
    )
    selection.add_regions(parser)
    parser.add_argument(
        "--layer-name", default=LAYER_NAME, metavar="NAME", help=f"of the layer ({LAYER_NAME})"
    )
    parser.add_argument(
        "--align",
        action="store_true",
        help="publish in a region that lags until all have the same version number",
    )
    sharing = parser.add_mutually_exclusive_group()
    sharing.add_argument("--public", action="store_true", help="let every AWS account use it")
    sharing.add_argument(
        "--organization", default="", metavar="o-ID", help="let this organization use it"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")


def run(args: argparse.Namespace) -> int:
    """Publish, share, check, print. Returns 0 if each region has the layer, 1 if one has not, 2 if
    nothing was started.
    """
    terminal = Terminal(as_json=args.json)
    try:
        if args.organization and not _ORGANIZATION.fullmatch(args.organization):
            raise AwsError(
                f"{args.organization!r} is no organization's id, which looks like o-a1b2c3d4e5"
            )
        layer = layers.LayerZip.read(args.zip)
        account = Account(connections=10)
        regions = account.regions(args.regions)
        if not regions:
            raise AwsError(f'{NO_REGION}; with make:  make deploy REGIONS="eu-west-1 us-east-1"')
        return _deploy(args, terminal, account, layer, regions)
    except AwsError as error:
        fail(str(error))
        return 2


def _deploy(
    args: argparse.Namespace,
    terminal: Terminal,
    account: Account,
    layer: LayerZip,
    regions: Sequence[str],
) -> int:
    name: str = args.layer_name

    def everywhere(act: Callable[[str], Published]) -> list[Row]:
        with ThreadPoolExecutor(10) as pool:
            return list(pool.map(lambda region: _attempt(region, act), regions))

    rows = everywhere(lambda region: layers.ensure(account.client(region), name, layer))
    if args.align:
        highest = max(row.version for row in rows)
        reached = {row.region: row for row in rows}
        rows = everywhere(lambda region: _align(account, name, layer, reached[region], highest))
    expected = {row.region: row for row in rows}
    rows = everywhere(lambda region: _check(account, args, layer, expected[region]))
    _print(terminal, rows)
    terminal.document(
        [
            {
                "region": row.region,
                "version": row.version,
                "arn": row.published.arn if row.published else "",
                "error": row.error,
            }
            for row in rows
        ]
    )
    return 1 if any(row.error for row in rows) else 0


def _attempt(region: str, act: Callable[[str], Published]) -> Row:
    try:
        return Row(region, act(region))
    except AwsError as error:
        return Row(region, error=str(error))


def _align(account: Account, name: str, layer: LayerZip, row: Row, highest: int) -> Published:
    """Publish until the region's version number is the highest, and delete the versions
    in between.
    """
    published = _present(row)
    if highest - published.version > MAX_ALIGNMENT:
        raise AwsError(
            f"it has version {published.version} and others {highest}, too far to align: choose a "
            f"new --layer-name"
        )
    client = account.client(row.region)
    while published.version < highest:
        earlier, published = published, layers.publish(client, name, layer)
        # Lambda never gives a number twice. The first version may be in use; the others were made
        # by this loop.
        if earlier != row.published:
            layers.remove_version(client, name, earlier.version)
    return published


def _check(account: Account, args: argparse.Namespace, layer: LayerZip, row: Row) -> Published:
    """Share the version, then ask Lambda whether it exists and is this zip."""
    published = _present(row)
    client = account.client(row.region)
    if args.public or args.organization:
        layers.permit(client, args.layer_name, published.version, args.organization)
    try:
        found = layers.read_version(client, args.layer_name, published.version)
    except errors_of_aws() as error:
        raise AwsError(
            f"published as {published.arn}, yet it cannot be read back: {explain(error)}"
        ) from None
    if found.sha256 != layer.sha256:
        raise AwsError(f"{found.arn} is not this zip (its SHA-256 differs); publish it again")
    return found


def _present(row: Row) -> Published:
    if row.published is None:
        raise AwsError(row.error)
    return row.published


def _print(terminal: Terminal, rows: Sequence[Row]) -> None:
    width = max(len(row.region) for row in rows)
    for row in rows:
        state = row.published.arn if row.published else f"failed: {row.error}"
        terminal.line(f"{row.region:{width}}  {row.version or '-':>4}  {state}")
    numbers = {row.version for row in rows if row.published}
    if len(numbers) == 1:
        terminal.line(f"version {numbers.pop()} wherever it was published")
    elif numbers:
        highest = max(numbers)
        behind = [row.region for row in rows if row.published and row.version < highest]
        terminal.line(
            f"the version number is not the same everywhere: {', '.join(behind)} lag behind "
            f"{highest} (--align)"
        )
