"""Sends log records, keeps for a while what could not be sent, and counts what was given up."""

from time import monotonic

from lrap_otel.telemetry.export.encode import SCOPE
from lrap_otel.telemetry.export.endpoint import ACCEPTED, REFUSED, TOO_LARGE, UNKNOWN
from lrap_otel.telemetry.export.retry import BackOff
from lrap_otel.telemetry.export.ways import LOGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lrap_otel.telemetry.export.deadline import Deadline
    from lrap_otel.telemetry.export.endpoint import Answer
    from lrap_otel.telemetry.export.roles import Way
    from lrap_otel.telemetry.metrics import Metrics
    from lrap_otel.telemetry.otlp.logs import LogRecord
    from lrap_otel.telemetry.otlp.wire import Resource

# Of all that waits; beyond, the oldest gives way.
LIMIT_BYTES = 8 * 1024 * 1024
# Of one request, and of what need not wait for more.
BATCH_BYTES = 1024 * 1024
# Of what a record takes beside its encoding.
_RECORD_BYTES = 64
_DELAY_S = 1.0


class LogExporter:
    """The queue of encoded records, and the way out for them. They leave in the order in which they
    came.

    A record is sent until the collector has it or will never take it: one whose answer did not come
    may arrive twice.
    """

    __slots__ = (
        "_back_off",
        "_bytes",
        "_dropped",
        "_encode",
        "_endpoint",
        "_failures",
        "_oldest_s",
        "_reason",
        "_rejected",
        "_request",
        "_waiting",
        "_warn",
        "_warned",
    )

    def __init__(self, way: "Way", *, is_json: bool, warn: "Callable[[str], None]") -> None:
        """`warn` takes a line for people."""
        self._endpoint, self._rejected = way[0], way[1].rejected
        if is_json:
            from lrap_otel.telemetry.otlp.json_format import log_json, logs_request  # noqa: PLC0415 - few ask for it

            self._encode: Callable[[LogRecord], Any] = log_json
            self._request: Callable[[Resource, list[Any]], bytes] = lambda resource, logs: (
                logs_request(resource, SCOPE, logs)
            )
        else:
            from lrap_otel.telemetry.otlp import logs, wire  # noqa: PLC0415 - see above

            self._encode = logs.encode_log
            self._request = lambda resource, logs: wire.request(resource, SCOPE, logs)
        self._warn = warn
        self._warned: set[str] = set()
        self._back_off = BackOff()
        self._waiting: list[Any] = []
        self._bytes = 0
        self._oldest_s = 0.0
        self._dropped: dict[str, int] = {}
        self._failures: list[str] = []
        self._reason = ""

    @property
    def is_waiting(self) -> bool:
        """Whether records wait for an export."""
        return bool(self._waiting)

    def seconds_until_due(self) -> float | None:
        """How long until they are due if nobody asks; None if there are none."""
        if not self._waiting:
            return None
        if self._bytes >= BATCH_BYTES and self._back_off.is_over:
            return 0.0
        return max(self._oldest_s + _DELAY_S - monotonic(), 0.0)

    def add(self, log: "LogRecord") -> None:
        """Keep a record until the next export."""
        try:
            encoded = self._encode(log)
        except Exception as error:  # noqa: BLE001 - the other records count
            self.count_dropped(1, type(error).__name__)
            return
        if not self._waiting:
            self._oldest_s = monotonic()
        self._waiting.append(encoded)
        self._bytes += len(encoded) + _RECORD_BYTES
        if self._bytes > LIMIT_BYTES:
            # Half a batch at a time: to take the first of a list costs as much as the list is long.
            self.count_dropped(self._drop(self._count(BATCH_BYTES // 2)), "queue_full")

    def count_dropped(self, count: int, reason: str) -> None:
        """Records were given up for `reason`."""
        self._dropped[reason] = self._dropped.get(reason, 0) + count

    def send(self, resource: "Resource", deadline: "Deadline", *, is_last: bool) -> bool:
        """Send all, in batches, until one fails. Whether the collector has them all.

        It uses nothing that the exporter of spans and metrics uses, which may be running at the
        same time: see `note`.
        """
        has_all = True
        limit_bytes = BATCH_BYTES
        while self._waiting:
            if deadline.has_come() or not (is_last or self._back_off.is_over):
                return self._keep()
            count = self._count(limit_bytes)
            answer = self._endpoint.post(
                self._request(resource, self._waiting[:count]), deadline, may_repeat=False
            )
            if answer.outcome == TOO_LARGE and count > 1:
                limit_bytes //= 2
                continue
            self._note(answer)
            if answer.outcome in {REFUSED, UNKNOWN}:
                return self._keep()
            self._drop(count)
            if answer.outcome == ACCEPTED:
                if rejected := self._rejected(answer.body):
                    self.count_dropped(rejected, "partial_success")
            else:
                has_all = False
                self.count_dropped(count, answer.error_type)
        return has_all

    @property
    def has_notes(self) -> bool:
        """Whether there is something for `note`."""
        return bool(self._failures or self._dropped)

    def note(self, metrics: "Metrics") -> None:
        """Measure what was given up, and which exports failed."""
        for error_type in self._failures:
            metrics.fail_export(LOGS, error_type)
        for reason, count in self._dropped.items():
            metrics.drop_logs(count, reason)
        self._failures.clear()
        self._dropped.clear()

    def report_losses(self) -> None:
        """Nothing is sent any more: warn of all that was lost."""
        if self._waiting:
            self._warn(
                f"{len(self._waiting)} log records are lost: "
                f"{self._reason or 'no time was left to send them'}"
            )

    def forget(self) -> None:
        """What waits belongs to another sandbox, and its connection is dead."""
        self._drop(len(self._waiting))
        self._endpoint.forget()
        self._back_off.succeed()

    def close(self) -> None:
        """Close the connection."""
        self._endpoint.close()

    def _keep(self) -> bool:
        """What waits is due again after a while."""
        self._oldest_s = monotonic()
        return False

    def _count(self, limit_bytes: int) -> int:
        """How many of the first records go together."""
        size = count = 0
        for encoded in self._waiting:
            size += len(encoded) + _RECORD_BYTES
            if count and size > limit_bytes:
                break
            count += 1
        return count

    def _drop(self, count: int) -> int:
        self._bytes -= sum(map(len, self._waiting[:count])) + count * _RECORD_BYTES
        del self._waiting[:count]
        return count

    def _note(self, answer: "Answer") -> None:
        if answer.outcome in {REFUSED, UNKNOWN}:
            self._back_off.fail(answer.retry_after_s)
        else:
            self._back_off.succeed()
        if answer.outcome == ACCEPTED:
            return
        self._reason = f"{self._endpoint.url}: {answer.text}"
        self._failures.append(answer.error_type)
        if answer.error_type in self._warned:
            return
        self._warned.add(answer.error_type)
        if answer.outcome in {REFUSED, UNKNOWN}:
            self._warn(f"logs could not be exported: {self._reason}")
        else:
            self._warn(f"logs are lost: {self._reason}")
