"""``lrap-otel doctor``: find what prevents functions from being traced, or will, and what to do."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrap_otel.aws import selection
from lrap_otel.aws.doctor.account import Doctor
from lrap_otel.aws.doctor.checks import check, graded
from lrap_otel.aws.doctor.environment import OPT, check_environment
from lrap_otel.aws.doctor.reach import FromHere
from lrap_otel.aws.doctor.template import SUFFIXES, read_template
from lrap_otel.aws.function import LAYER_NAME
from lrap_otel.aws.session import Account, AwsError
from lrap_otel.aws.terminal import Terminal, fail
from lrap_otel.telemetry.variable_checks import ERROR, NOTE, WARNING, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lrap_otel.aws.doctor.subject import Subject
    from lrap_otel.aws.selection import Reading

SOUND, WARNED, UNSEEN, BROKEN, INTERRUPTED = 0, 1, 2, 3, 130
_EXPLANATION = """\
Exit status, that of the gravest finding:
  0  nothing, or notes only
  1  a warning: it works, and something will hurt
  2  something could not be looked at
  3  an error: it keeps the function from being traced, or from working

An endpoint is asked with an empty export, without credentials unless it is this environment's own.
No value of a variable is printed, but wrappers, of an endpoint scheme, host and port, and what the
extension's own log repeats: the value of a setting that cannot be used.
"""


@dataclass(frozen=True)
class Report:
    """The findings for one subject; `failure` is the reason if it could not be checked."""

    subject: str
    findings: Sequence[Finding] = ()
    failure: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``doctor``."""
    parser.epilog = _EXPLANATION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    selection.add_arguments(
        parser,
        "a function's name or ARN, or a template of SAM or CloudFormation "
        f"({', '.join(SUFFIXES)}); without any, the environment that this runs in",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument(
        "--offline", action="store_true", help="do not ask endpoints whether they can be reached"
    )
    parser.add_argument(
        "--layer-name", default=LAYER_NAME, metavar="NAME", help=f"of the layer ({LAYER_NAME})"
    )
    parser.add_argument(
        "--opt", type=Path, default=OPT, metavar="FOLDER", help=f"where the layer lies here ({OPT})"
    )


def run(args: argparse.Namespace) -> int:
    """Check all subjects. Returns the exit status."""
    terminal = Terminal(as_json=args.json)
    reports: list[Report] = []
    is_cut_short = False
    try:
        for report in _examine(args, terminal):
            reports.append(report)
            _print(terminal, report)
    except AwsError as error:
        fail(str(error))
        is_cut_short = True
    except KeyboardInterrupt:
        fail("interrupted")
        return INTERRUPTED
    if not reports:
        return UNSEEN
    counts = Counter(finding.severity for report in reports for finding in report.findings)
    terminal.line(", ".join(_counted(counts[name], name) for name in (ERROR, WARNING, NOTE)))
    terminal.document({"command": "doctor", "subjects": [_as_json(report) for report in reports]})
    if counts[ERROR]:
        return BROKEN
    if is_cut_short or any(report.failure for report in reports):
        return UNSEEN
    return WARNED if counts[WARNING] else SOUND


def _examine(args: argparse.Namespace, terminal: Terminal) -> Iterator[Report]:
    if selection.is_empty(args):
        findings = check_environment(args.opt, dict(os.environ), is_offline=args.offline)
        yield Report("this environment", findings)
        return
    reach = FromHere()
    templates = [text for text in args.functions if text.endswith(SUFFIXES)]
    args.functions = [text for text in args.functions if text not in templates]
    for path in templates:
        yield from _of_template(Path(path), args, reach)
    if not selection.is_empty(args):
        yield from _of_account(args, terminal, reach)


def _of_template(path: Path, args: argparse.Namespace, reach: FromHere) -> Iterator[Report]:
    try:
        subjects, loops = read_template(path, args.layer_name)
    except AwsError as error:
        yield Report(str(path), failure=str(error))
        return
    for subject in subjects:
        found = check(subject)
        if not args.offline and not _is_left_alone(subject, found):
            found += reach.check(subject.variables, subject.unknown)
        yield Report(subject.name, graded(found))
    left_out = [
        Finding(
            "not-looked-at",
            NOTE,
            f"{name} makes its resources at deployment, so they are not looked at.",
            "Examine the functions once they are deployed.",
        )
        for name in loops
    ]
    if left_out or not subjects:
        yield Report(str(path), left_out, "" if left_out else "there is no function in it")


def _of_account(args: argparse.Namespace, terminal: Terminal, reach: FromHere) -> Iterator[Report]:
    account = Account(args.jobs)
    targets = selection.find_targets(account, args)
    readings = selection.read_all(account, targets, args, terminal.passing)
    if not readings:
        raise AwsError(
            "no function was chosen: is there one of that prefix or tag, in these regions?"
        )
    doctor = Doctor(account, args.layer_name)
    for reading in readings:
        if reading.function is None:
            if reading.target.is_named or not reading.is_gone:
                yield Report(
                    f"{reading.target.region}  {reading.target.name}", failure=reading.error
                )
        else:
            terminal.passing(f"examining {reading.target.region} {reading.target.name}")
            yield _of_function(doctor, reading, args, reach)


def _of_function(
    doctor: Doctor, reading: Reading, args: argparse.Namespace, reach: FromHere
) -> Report:
    if reading.function is None:  # a reading without one has been reported
        return Report(reading.target.name, failure=reading.error)
    subject, found = doctor.examine(reading.function, is_named=reading.target.is_named)
    if not args.offline and not _is_left_alone(subject, found):
        found += reach.check(subject.variables, subject.unknown)
    return Report(subject.name, graded(found))


def _is_left_alone(subject: Subject, found: Sequence[Finding]) -> bool:
    """Whether nothing of ours is on the function. Then its endpoint is not checked."""
    return subject.is_none_of_ours or any(
        finding.check in {"edge", "old-runtime", "switched-off"} and finding.severity != NOTE
        for finding in found
    )


def _print(terminal: Terminal, report: Report) -> None:
    if report.failure:
        terminal.line(f"{report.subject}: cannot be looked at: {report.failure}")
        return
    terminal.line(report.subject if report.findings else f"{report.subject}: nothing found")
    for finding in report.findings:
        terminal.line(f"  {finding.severity:8} {finding.what}")
        terminal.line(f"           {finding.remedy}")


def _counted(count: int, name: str) -> str:
    return f"{count} {name}{'s' * (count != 1)}"


def _as_json(report: Report) -> dict[str, object]:
    return {
        "subject": report.subject,
        "failure": report.failure,
        "findings": [
            {
                "check": finding.check,
                "severity": finding.severity,
                "what": finding.what,
                "remedy": finding.remedy,
            }
            for finding in report.findings
        ],
    }
