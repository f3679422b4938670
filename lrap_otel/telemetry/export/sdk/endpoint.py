"""An exporter of other people's in the place of an endpoint: it gets the SDK's spans or metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lrap_otel.telemetry.export.connection import TIMEOUT
from lrap_otel.telemetry.export.endpoint import (
    ACCEPTED,
    REFUSED,
    REJECTED,
    UNKNOWN,
    Answer,
    secrets_of,
    shown,
)
from lrap_otel.telemetry.export.sdk.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from lrap_otel.telemetry.export.deadline import Deadline
    from lrap_otel.telemetry.settings import SignalSettings

BUSY = "busy"
FAILURE = "failure"
# What fails so often, over two minutes and more, is given up for what waits after it: an exporter
# does not say whether it will ever take it.
_ATTEMPTS = 8


class SdkEndpoint:
    """One exporter, called in threads of its own, one call at a time.

    It returns SUCCESS or FAILURE. After FAILURE or an exception the spans may have arrived or not:
    they are kept and sent again after a pause; metrics are not sent twice. After eight failures in
    a row what it was given is dropped. A call that is not back at the deadline goes on; until it is
    back, there is no other.
    """

    apart_s = 0.0
    max_batch_bytes = 4 * 1024 * 1024

    def __init__(
        self, name: str, make: Callable[[], Any], first: Any, settings: SignalSettings
    ) -> None:
        """`make` makes the exporter anew, `first` is the one to begin with."""
        self.url = f"the exporter {name}"
        self._make = make
        self._exporter = first
        self._timeout_ms = settings.timeout_ms
        self._secrets = secrets_of(settings.headers.values())
        self._job: Job | None = None
        self._failures = 0

    def post(self, request: Any, deadline: Deadline, *, may_repeat: bool) -> Answer:  # noqa: ARG002 - it never does
        """One attempt, over at `deadline` or after the signal's time-out, whichever is sooner."""
        deadline = deadline.within(self._timeout_ms / 1_000)
        if self._job is not None and not self._job.wait(deadline):
            return Answer(REFUSED, BUSY, "it is not back from an export before")
        try:
            self._job = job = Job(lambda: self._export(request))
        except (RuntimeError, OSError) as error:
            self._job = None
            return Answer(REFUSED, type(error).__name__, f"it cannot be called: {error}")
        if not job.wait(deadline):
            return Answer(UNKNOWN, TIMEOUT, "it was not back in time")
        self._job = None
        return self._meaning(job)

    def finish(self) -> Job:
        """Have it shut down."""
        exporter = self._exporter
        return Job(lambda: None if exporter is None else exporter.shutdown())

    def close(self) -> None:
        """Nothing: the end of the process closes what an exporter has open."""

    def forget(self) -> None:
        """Use a new exporter from now on: the connections of this one belong to another sandbox."""
        self._exporter = self._job = None
        self._failures = 0

    def _export(self, request: Any) -> tuple[Any, bool]:
        """In the job's thread: what it returned, and whether it has let go of what it was given."""
        exporter = self._exporter
        if exporter is None:
            exporter = self._exporter = self._make()
        result = exporter.export(request)
        # Lambda may freeze us at any moment after this, and what is buffered with us.
        flush = getattr(exporter, "force_flush", None)
        return result, flush is None or flush(self._timeout_ms) is not False

    def _meaning(self, job: Job) -> Answer:
        if job.error is None:
            result, is_flushed = job.result
            # None is what one returns that forgot to say; the SDK looks at no result at all.
            is_success = result is None or getattr(result, "name", "") == "SUCCESS"
            if is_success and is_flushed:
                self._failures = 0
                return Answer(ACCEPTED)
            error_type, text = FAILURE, "it failed" if is_flushed else "it could not flush"
        else:
            error_type = type(job.error).__name__
            text = f"it raised {error_type}: {job.error}"
        if job.line and job.line not in text:
            text += f": {job.line}"
        self._failures += 1
        if self._failures < _ATTEMPTS:
            return Answer(UNKNOWN, error_type, shown(_without_credentials(text), self._secrets))
        self._failures = 0
        return Answer(
            REJECTED,
            error_type,
            shown(_without_credentials(f"{_ATTEMPTS} times in a row {text}"), self._secrets),
        )


def _without_credentials(text: str) -> str:
    """`text` without what a URL has before an @: exporters log their endpoint as it was given."""
    return " ".join(word.rpartition("@")[2] for word in text.split())
