"""``lrap-otel uninstrument``: remove the layer and its variables from functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lrap_otel.aws import fleet, selection
from lrap_otel.aws.function import LAYER_NAME
from lrap_otel.aws.instrument import UNDO_FILE
from lrap_otel.aws.plan import uninstrumented
from lrap_otel.aws.session import AwsError
from lrap_otel.aws.undo import UndoFile

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from lrap_otel.aws.change import Outcome
    from lrap_otel.aws.function import Function
    from lrap_otel.aws.plan import Plan, Record
    from lrap_otel.aws.selection import Target
    from lrap_otel.aws.session import Account


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``uninstrument``."""
    fleet.add_arguments(parser)
    parser.add_argument(
        "--layer-name", default=LAYER_NAME, metavar="NAME", help=f"of the layer ({LAYER_NAME})"
    )
    parser.add_argument(
        "--undo-file",
        type=Path,
        default=UNDO_FILE,
        metavar="FILE",
        help=f"which `instrument` has left ({UNDO_FILE}); without functions, all that it names",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command. Returns `fleet`'s exit status."""
    return fleet.run(args, Uninstrument(args))


class Uninstrument:
    """The command's part in `fleet`."""

    verb = "uninstrument"

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._undo = UndoFile(args.undo_file)
        self._records: dict[str, Record] = {}

    def targets(self, account: Account) -> list[Target]:
        self._records = self._undo.records()
        if not selection.is_empty(self._args):
            return selection.find_targets(account, self._args)
        if not self._records:
            raise AwsError(
                f"{self._args.undo_file} "
                f"{'names no functions' if self._args.undo_file.exists() else 'does not exist'}: "
                "name them, or choose them by --prefix, --tag or --all"
            )
        targets = (
            selection.Target(arn.split(":")[3], arn.split(":")[6], is_named=False)
            for arn in self._records
        )
        return [
            target
            for target in targets
            if not self._args.regions or target.region in self._args.regions
        ]

    def prepare(self, account: Account, functions: Sequence[Function]) -> None:
        """Does nothing: the records have been read."""

    def plan(self, function: Function, *, is_named: bool) -> Plan:  # noqa: ARG002 - everything that is ours is removed, however it was chosen
        return uninstrumented(function, self._records.get(function.arn), self._args.layer_name)

    def may_publish(self, plan: Plan) -> bool:
        """True for functions with a record: an interrupted run may have left the publishing. Others
        are not published.
        """
        return plan.function.arn in self._records

    def commit(self, account: Account) -> None:
        """Does nothing: no step precedes the first change."""

    def remember(self, plans: Sequence[Plan]) -> None:
        """Does nothing: an interrupted change is repeated from the same record."""

    def finish(self, outcomes: Sequence[Outcome]) -> None:
        """Remove the records of functions that are restored or deleted."""
        done = {
            (outcome.region, outcome.name)
            for outcome in outcomes
            if outcome.status in {"changed", "unchanged", "gone"}
        }
        arns = [arn for arn in self._records if (arn.split(":")[3], arn.split(":")[6]) in done]
        if arns:
            self._undo.forget(arns)
