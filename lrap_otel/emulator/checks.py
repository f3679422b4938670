"""What can go wrong in a run, each as one sentence that says what failed and what to do next."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrap_otel.emulator.outcome import ExtensionReport, Outcome
    from lrap_otel.emulator.signals import Span

TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


@dataclass(frozen=True)
class Traceparent:
    """What an event's ``traceparent`` header says."""

    text: str
    trace_id_hex: str
    parent_id_hex: str
    is_sampled: bool


def traceparent_in(event: bytes) -> Traceparent | None:
    """The ``traceparent`` among the event's headers, in any case; None when there is no well-formed
    one.
    """
    try:
        headers = json.loads(event)["headers"]
        value = next(str(value) for name, value in headers.items() if name.lower() == "traceparent")
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration):
        return None
    found = TRACEPARENT.fullmatch(value)
    return Traceparent(value, found[1], found[2], bool(int(found[3], 16) & 1)) if found else None


def sandbox_problem(error_type: str, reason: str) -> str:
    """An init or an invocation that did not come to its end."""
    advice = {
        "Extension.Crash": "see what it printed above; an extension lives until SHUTDOWN",
        "Extension.LaunchError": "name an existing file with its executable bit set",
        "Runtime.ExitError": "see what the function printed above, and try it without an "
        "extension: --without-lrap, and no --opt, --extension and --wrapper",
        "Runtime.InvalidEntrypoint": "check the command after --",
        "Sandbox.Timedout": "see the output above, or allow more with --timeout",
    }
    if "did not register" in reason:
        return (
            f"{reason}; it must register under the name of its file, through AWS_LAMBDA_RUNTIME_API"
        )
    if "init did not end" in reason:
        return f"{reason}; see the output above, or allow more with --init-timeout"
    return f"{reason}; {advice.get(error_type, 'see the output above')}"


def outcome_problem(outcome: Outcome) -> str | None:
    """A handler's error is a normal result; a time-out or a crash is not."""
    if outcome.status in {"success", "error"}:
        return None
    said = outcome.error_type if outcome.status == "crash" else "Sandbox.Timedout"
    return sandbox_problem(said or "", outcome.reason)


def extension_problem(report: ExtensionReport) -> str | None:
    """An extension that was killed, was not there for SHUTDOWN, or failed."""
    if report.is_clean:
        return None
    if report.killed:
        return (
            f"extension {report.name} was killed {report.ms:.0f} ms after the shutdown "
            f"began; it must exit within 2 s of it"
        )
    if not report.shutdown_seen:
        return (
            f"extension {report.name} ended with {report.exit_code} before it saw SHUTDOWN; "
            f"see what it printed above"
        )
    return (
        f"extension {report.name} ended with {report.exit_code} after SHUTDOWN; it must exit with 0"
    )


def span_problem(outcome: Outcome, span: Span | None, *, is_required: bool) -> str | None:
    """An invocation without its span, or whose span is not the child of the event's
    ``traceparent``.
    """
    sent = traceparent_in(outcome.event)
    if span is None:
        if not is_required or (sent and not sent.is_sampled):
            return None
        return (
            f"no span with faas.invocation_id={outcome.request_id} came; check that the "
            f"extension exports to OTEL_EXPORTER_OTLP_ENDPOINT"
        )
    if sent and (span.trace_id_hex, span.parent_id_hex) != (sent.trace_id_hex, sent.parent_id_hex):
        got = f"trace {span.trace_id_hex}, parent {span.parent_id_hex or 'none'}"
        return (
            f"the span of {outcome.request_id} has {got}, the event said {sent.text}; check "
            f"OTEL_PROPAGATORS"
        )
    return None
