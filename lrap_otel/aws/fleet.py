"""The steps of `instrument` and `uninstrument`: choose, read, plan, show, ask, change,
summarize.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Protocol

from lrap_otel.aws import selection
from lrap_otel.aws.change import Outcome, Publication, carry_out
from lrap_otel.aws.plan import difference
from lrap_otel.aws.session import Account, AwsError
from lrap_otel.aws.terminal import Terminal, fail

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence
    from concurrent.futures import Future

    from lrap_otel.aws.function import Function
    from lrap_otel.aws.plan import Plan
    from lrap_otel.aws.selection import Reading, Target

DONE, FAILED, NOT_BEGUN, REFUSED, INTERRUPTED = 0, 1, 2, 3, 130


class Command(Protocol):
    """The steps in which the two commands differ."""

    verb: str

    def targets(self, account: Account) -> list[Target]:
        """The functions to read."""

    def prepare(self, account: Account, functions: Sequence[Function]) -> None:
        """Look up what planning needs. Changes nothing."""

    def plan(self, function: Function, *, is_named: bool) -> Plan:
        """The plan for this function."""

    def may_publish(self, plan: Plan) -> bool:
        """Whether a version may be published of a function that is not changed."""

    def commit(self, account: Account) -> None:
        """Called once when the user has confirmed, before the first change. Plans made afterwards
        are carried out.
        """

    def remember(self, plans: Sequence[Plan]) -> None:
        """Called with plans before any of them is carried out."""

    def finish(self, outcomes: Sequence[Outcome]) -> None:
        """Called with all outcomes, also after an interruption."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that both commands have."""
    selection.add_arguments(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="print the difference, change nothing"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--json",
        action="store_true",
        help="one JSON document on standard output, lines on the other",
    )
    parser.add_argument(
        "--publish", action="store_true", help="publish a version of each function afterwards"
    )
    parser.add_argument(
        "--alias", metavar="NAME", default="", help="publish, and let this alias name the version"
    )


def run(args: argparse.Namespace, command: Command) -> int:
    """Run the command. Returns its exit status."""
    terminal = Terminal(as_json=args.json)
    try:
        return _Run(args, command, terminal).run()
    except AwsError as error:
        fail(str(error))
        return NOT_BEGUN
    except KeyboardInterrupt:
        fail("interrupted; run the same command again, which does what is left")
        return INTERRUPTED


class _Run:
    def __init__(self, args: argparse.Namespace, command: Command, terminal: Terminal) -> None:
        self._args = args
        self._command = command
        self._terminal = terminal
        self._account = Account(args.jobs)
        self._publication = Publication(args.publish or bool(args.alias), args.alias)
        self._named: dict[str, bool] = {}
        self._outcomes: list[Outcome] = []

    def run(self) -> int:
        readings = self._read()
        functions = [reading.function for reading in readings if reading.function]
        self._named = {
            reading.function.arn: reading.target.is_named
            for reading in readings
            if reading.function
        }
        self._command.prepare(self._account, functions)
        plans = [self._plan(function) for function in functions]
        self._show(readings, plans)
        work = [plan for plan in plans if self._is_work(plan)]
        self._outcomes += [_outcome_of(plan) for plan in plans if not self._is_work(plan)]
        if self._args.dry_run:
            self._outcomes += [_outcome_of(plan) for plan in work]
            return self._sum_up("nothing was changed (--dry-run)")
        if not work:
            self._command.finish(self._outcomes)
            return self._sum_up("nothing to do")
        if not self._is_confirmed(len(work)):
            return FAILED
        self._command.commit(self._account)
        return self._change([plan.function for plan in work])

    def _read(self) -> list[Reading]:
        targets = self._command.targets(self._account)
        readings = selection.read_all(self._account, targets, self._args, self._terminal.passing)
        for reading in readings:
            if reading.function is None:
                # A function that is deleted while all are being listed is not an error.
                is_harmless = reading.is_gone and not reading.target.is_named
                status = "gone" if is_harmless else "failed"
                self._outcomes.append(
                    Outcome(
                        status, reading.target.region, reading.target.name, reason=reading.error
                    )
                )
        if not readings:
            raise AwsError(
                "no function was chosen: is there one of that prefix or tag, in these regions?"
            )
        return readings

    def _plan(self, function: Function) -> Plan:
        return self._command.plan(function, is_named=self._named.get(function.arn, True))

    def _show(self, readings: Iterable[Reading], plans: Iterable[Plan]) -> None:
        for reading in readings:
            if reading.function is None:
                self._terminal.line(
                    f"{reading.target.region}  {reading.target.name}: {reading.error}"
                )
        for plan in plans:
            title = f"{plan.function.region}  {plan.function.name}  ({_kind(plan.function)})"
            if plan.refusal:
                self._terminal.line(f"{title}  cannot be done: {plan.refusal}")
            elif self._is_work(plan):
                self._terminal.line(title)
                for line in difference(plan):
                    self._terminal.line(f"    {line}")
                if self._publication.wanted:
                    alias = self._publication.alias
                    self._terminal.line(
                        f"    a version is published{f', and {alias} names it' if alias else ''}"
                    )
                for note in plan.notes:
                    self._terminal.line(f"    note: {note}")

    def _is_work(self, plan: Plan) -> bool:
        is_to_publish = (
            self._publication.wanted and not plan.refusal and self._command.may_publish(plan)
        )
        return plan.changes or is_to_publish

    def _is_confirmed(self, count: int) -> bool:
        if self._args.yes:
            return True
        answer = self._terminal.confirms(
            f"{self._command.verb} {count} function{'s' * (count != 1)}?"
        )
        if answer is None:
            raise AwsError("nobody is here to confirm this; add --yes")
        if not answer:
            self._terminal.line("nothing was changed")
        return answer

    def _change(self, functions: Sequence[Function]) -> int:
        self._command.remember([plan for plan in map(self._plan, functions) if plan.changes])
        pool = ThreadPoolExecutor(self._args.jobs)
        futures = [pool.submit(self._carry_out, function) for function in functions]
        try:
            self._collect(futures)
            is_interrupted = False
        except KeyboardInterrupt:
            is_interrupted = True
            self._terminal.line(
                "interrupted: finishing what has begun; run the same command again for the rest"
            )
        finally:
            pool.shutdown(cancel_futures=True)
        reported = {id(outcome) for outcome in self._outcomes}
        done = [future.result() for future in futures if not future.cancelled()]
        self._outcomes += [outcome for outcome in done if id(outcome) not in reported]
        self._command.finish(self._outcomes)
        status = self._sum_up()
        return INTERRUPTED if is_interrupted else status

    def _collect(self, futures: Sequence[Future[Outcome]]) -> None:
        width = len(str(len(futures)))
        for count, future in enumerate(as_completed(futures), 1):
            outcome = future.result()
            self._outcomes.append(outcome)
            said = f": {outcome.reason}" if outcome.reason else ""
            version = f", version {outcome.version}" if outcome.version else ""
            self._terminal.line(
                f"[{count:{width}}/{len(futures)}] {outcome.region}  {outcome.name}  "
                f"{outcome.status}{version}{said}"
            )

    def _carry_out(self, function: Function) -> Outcome:
        self._terminal.passing(f"changing {function.region} {function.name}")
        client = self._account.client(function.region)
        return carry_out(
            client,
            function,
            self._plan,
            lambda plan: self._command.remember([plan]),
            self._publication,
        )

    def _sum_up(self, remark: str = "") -> int:
        counts = Counter(outcome.status for outcome in self._outcomes)
        total = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        self._terminal.line(f"{total or 'no functions'}{f'; {remark}' if remark else ''}")
        self._terminal.document(
            {
                "command": self._command.verb,
                "dry_run": self._args.dry_run,
                "functions": [_as_json(outcome) for outcome in self._outcomes],
            }
        )
        if counts["failed"]:
            return FAILED
        is_refused = any(
            outcome.status == "refused"
            and outcome.plan
            and self._named.get(outcome.plan.function.arn)
            for outcome in self._outcomes
        )
        return REFUSED if is_refused else DONE


def _outcome_of(plan: Plan) -> Outcome:
    status = "refused" if plan.refusal else "to change" if plan.changes else "unchanged"
    return Outcome(status, plan.function.region, plan.function.name, plan, plan.refusal)


def _kind(function: Function) -> str:
    return ", ".join((function.runtime or function.package_type.lower(), *function.architectures))


def _as_json(outcome: Outcome) -> dict[str, object]:
    plan = outcome.plan
    return {
        "region": outcome.region,
        "function": outcome.name,
        "status": outcome.status,
        "reason": outcome.reason,
        "version": outcome.version,
        "difference": list(difference(plan)) if plan else [],
        "notes": list(plan.notes) if plan else [],
    }
