"""``lrap-otel uninstrument``: take the layer off functions again."""

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
    """What ``uninstrument`` understands."""
    fleet.add_arguments(parser)
    parser.add_argument("--layer-name", default=LAYER_NAME, metavar="NAME", help=f"of the layer ({LAYER_NAME})")
    parser.add_argument(
        "--undo-file",
        type=Path,
        default=UNDO_FILE,
        metavar="FILE",
        help=f"which `instrument` has left ({UNDO_FILE}); without functions, all that it names",
    )


def run(args: argparse.Namespace) -> int:
    """Do it; the exit status is `fleet`'s."""
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
                f"{self._args.undo_file} {'names no functions' if self._args.undo_file.exists() else 'does not exist'}: "
                "name them, or choose them by --prefix, --tag or --all"
            )
        targets = (selection.Target(arn.split(":")[3], arn.split(":")[6], is_named=False) for arn in self._records)
        return [target for target in targets if not self._args.regions or target.region in self._args.regions]

    def prepare(self, account: Account, functions: Sequence[Function]) -> None:
        """Nothing: the records are read."""

    def plan(self, function: Function, *, is_named: bool) -> Plan:  # noqa: ARG002 - what is ours is taken off, however it was chosen
        return uninstrumented(function, self._records.get(function.arn), self._args.layer_name)

    def may_publish(self, plan: Plan) -> bool:
        """A run cut short may have left this to do; a function that never was ours is not published."""
        return plan.function.arn in self._records

    def commit(self, account: Account) -> None:
        """Nothing comes before the first change."""

    def remember(self, plans: Sequence[Plan]) -> None:
        """Nothing: a change that is cut short is begun again from the same record."""

    def finish(self, outcomes: Sequence[Outcome]) -> None:
        """Forget the functions that are as they were, or no longer are."""
        done = {
            (outcome.region, outcome.name) for outcome in outcomes if outcome.status in {"changed", "unchanged", "gone"}
        }
        arns = [arn for arn in self._records if (arn.split(":")[3], arn.split(":")[6]) in done]
        if arns:
            self._undo.forget(arns)
