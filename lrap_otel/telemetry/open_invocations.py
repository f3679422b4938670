"""Invocations from their delivery to their end, whichever way they end."""

from __future__ import annotations

from lrap_otel.telemetry import failures, json_text, results, semconv
from lrap_otel.telemetry.bodies import Body, dechunk
from lrap_otel.telemetry.heads import Head
from lrap_otel.telemetry.triggers import table, times
from lrap_otel.telemetry.triggers.description import unknown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lrap_otel.ipc.records import Delivered, Finished
    from lrap_otel.telemetry.failures import Failure
    from lrap_otel.telemetry.semconv import Attributes
    from lrap_otel.telemetry.triggers.description import Description, Options

_NANOSECONDS_PER_MILLISECOND = 1_000_000
_QUALIFIED_ARN_PARTS = 8
_EARLY_LIMIT = 64


class Invocation:
    """One invocation. What its event and its result say is read when they come; the payloads are
    not kept.

    `event_age_s` is how old its event, or the oldest record of its batch, was at the delivery; None
    where that is not known.

    Set at its end: `end_ns`, `failure` (None of a success), `http_status` (None where there is
    none), `item_failures` (how many records of a batch the result gave back, None where it does not
    tell) and `refused_status` (the Runtime API's, 0 where it took the result).
    """

    __slots__ = (
        "deadline_ms",
        "delivered",
        "description",
        "end_ns",
        "event_age_s",
        "failure",
        "head_attributes",
        "http_status",
        "item_failures",
        "privacy",
        "refused_status",
    )

    def __init__(self, delivered: Delivered, function_version: str, options: Options) -> None:
        payload = delivered.payload or b""
        head = Head(payload[: delivered.head_length])
        self.delivered = delivered
        self.privacy = options.privacy
        self.deadline_ms = head.deadline_ms
        self.head_attributes = _arn_attributes(
            head.get("lambda-runtime-invoked-function-arn"), function_version
        )
        self.description = _describe(head, payload[delivered.head_length :], options)
        self.event_age_s = times.age_s(self.description.made_s, delivered.delivered_ns)
        self.end_ns = 0
        self.failure: Failure | None = None
        self.http_status: int | None = None
        self.item_failures: int | None = None
        self.refused_status = 0
        delivered.payload = None

    @property
    def is_sampled(self) -> bool:
        return bool(self.delivered.trace_flags & 1)

    @property
    def error_type(self) -> str:
        """``error.type`` of the span; empty of a success."""
        if self.failure is not None:
            return self.failure.type
        return (
            str(self.http_status)
            if self.http_status is not None and self.http_status >= 500
            else ""
        )

    @property
    def is_timeout(self) -> bool:
        return (
            self.failure is not None
            and self.failure.type == failures.TIMEOUT
            and not self.failure.is_exception
        )

    def finish(self, finished: Finished) -> None:
        """The result or the error has gone, or broke off."""
        payload = finished.payload or b""
        head = Head(payload[: finished.head_length])
        body = Body(
            head, payload[finished.head_length :], finished.first_length, finished.body_length
        )
        self.end_ns = self.delivered.delivered_ns + max(finished.duration_ns, 0)
        self.refused_status = finished.status if finished.status >= 400 else 0
        if finished.endpoint == "error":
            self.failure = self.privacy.of_failure(failures.from_error(head, body))
            return
        failure = _transport_failure(finished) or failures.from_trailers(body)
        self.failure = self.privacy.of_failure(failure) if failure is not None else None
        if finished.payload is not None:
            self._read_result(head, body)

    def _read_result(self, head: Head, body: Body) -> None:
        if self.description.result_is_http:
            self.http_status = results.http_status(
                body,
                is_streamed=results.is_streamed(head),
                has_default=self.description.result_has_default_status,
            )
        if self.description.result_names_failures and self.failure is None:
            self.item_failures = results.item_failures(body)

    def close(self, reason: str, now_ns: int) -> None:
        """The sandbox ends and no result came. A time-out ended at its deadline, even if we hear of
        it later.
        """
        self.failure = failures.at_shutdown(reason)
        deadline_ns = (self.deadline_ms or 0) * _NANOSECONDS_PER_MILLISECOND
        if reason == failures.TIMEOUT and 0 < deadline_ns < now_ns:
            now_ns = deadline_ns
        self.end_ns = max(now_ns, self.delivered.delivered_ns)


class Invocations:
    """The open ones, by request id and invocation id (empty where Lambda sends none)."""

    __slots__ = ("_early", "_limit", "_open")

    def __init__(self, limit: int) -> None:
        self._open: dict[tuple[str, str], Invocation] = {}
        self._early: dict[tuple[str, str], Finished] = {}
        self._limit = limit

    def keep_early(self, record: Finished) -> Finished | None:
        """Keep a result whose event is not known yet: a runtime may answer on another connection,
        and that thread's record may overtake. Beyond the limit the oldest is given back: its event
        never came.
        """
        self._early[record.request_id, record.invocation_id] = record
        return self._early.pop(next(iter(self._early))) if len(self._early) > _EARLY_LIMIT else None

    def take_early(self, record: Delivered) -> Finished | None:
        """The result that came before its event."""
        exact = self._early.pop((record.request_id, record.invocation_id), None)
        return exact or self._early.pop((record.request_id, ""), None)

    def find(self, record: Delivered) -> Invocation | None:
        """The open invocation that `record` delivers once more; None if it is a new one."""
        return self._open.get((record.request_id, record.invocation_id))

    def open(self, invocation: Invocation) -> Invocation | None:
        """Keep it until it ends. Beyond the limit the oldest is given back: it never
        had a result.
        """
        record = invocation.delivered
        self._open[record.request_id, record.invocation_id] = invocation
        return self._open.pop(next(iter(self._open))) if len(self._open) > self._limit else None

    def take(self, record: Finished) -> Invocation | None:
        """The invocation that `record` ends; None if it is not open.

        Not every runtime echoes the invocation id: then the request id decides, if one invocation
        alone has it.
        """
        exact = self._open.pop((record.request_id, record.invocation_id), None)
        if exact is not None or record.invocation_id:
            return exact
        same = [key for key in self._open if key[0] == record.request_id]
        return self._open.pop(same[0]) if len(same) == 1 else None

    def take_all(self) -> list[Invocation]:
        """All that are open, oldest first."""
        taken = list(self._open.values())
        self._open.clear()
        return taken


def _describe(head: Head, event: bytes, options: Options) -> Description:
    value = json_text.parse(event) if event else None
    if value is None and head.is_chunked:
        value = json_text.parse(dechunk(event)[0])
    return table.describe(value, options) if value is not None else unknown()


def _transport_failure(finished: Finished) -> Failure | None:
    if finished.status >= 400:
        return failures.from_refusal(finished.status)
    return None if finished.is_complete else failures.TRUNCATED


def _arn_attributes(arn: str, function_version: str) -> Attributes:
    """``cloud.resource_id`` is the function's, with the version in place of an alias; the invoked
    one stays as it is.
    """
    parts = arn.split(":")
    if len(parts) < _QUALIFIED_ARN_PARTS - 1:
        return {}
    if len(parts) == _QUALIFIED_ARN_PARTS and function_version:
        parts[-1] = function_version
    return {
        semconv.CLOUD_RESOURCE_ID: ":".join(parts),
        semconv.CLOUD_ACCOUNT_ID: parts[4],
        semconv.AWS_LAMBDA_INVOKED_ARN: arn,
    }
