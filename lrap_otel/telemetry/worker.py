"""The telemetry process from its fork to its end."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` stands on, without its enums
import gc
import posix
from time import monotonic, time

from lrap_otel.ipc import records
from lrap_otel.ipc.channel import TelemetryEnd
from lrap_otel.ipc.records import Flush, Shutdown
from lrap_otel.telemetry.export.deadline import Deadline, attempt
from lrap_otel.telemetry.record_queue import Batch, QueuedRecord, RecordQueue
from lrap_otel.telemetry.setting_names import warnings_of
from lrap_otel.telemetry.settings import ExportSettings

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Mapping

    from lrap_otel.ipc.event_fd import EventFd
    from lrap_otel.telemetry.pipeline import Pipeline

_NICENESS = 19
_OUT_OF_MEMORY_SCORE = b"1000"
# Lambda gives no more to a sandbox that ends.
_SHUTDOWN_S = 2.0
# What SHUTDOWN's deadline must leave for the answer to arrive and both processes to end.
_SHUTDOWN_MARGIN_S = 0.1
# What the last attempt gets all the same, where the imports have taken that time: it may be done
# before the proxy kills us.
_LATE_SHUTDOWN_S = 0.5
# The proxy has gone and nobody waits for us; what is finished deserves one quick attempt.
_ORPHAN_EXPORT_S = 1.0
# How old an attempt may get for which Lambda does not wait any more, if nothing comes for which it
# does.
_UNAWAITED_EXPORT_S = 2.0
_WARNINGS_LIMIT = 100
# How long, of the two seconds that a sandbox has for its end, the platform's last word may take.
_PLATFORM_S = 0.15


def run(
    far: _socket.socket,
    event_fd: EventFd,
    variables: Mapping[bytes, bytes],
    platform: _socket.socket | None = None,
) -> None:
    """Be the telemetry process, in a child forked for it, until the channel ends or a shutdown is
    answered.

    `far`, `event_fd` and `platform` are the channel's. Nothing is raised.
    """
    try:
        _step_back()
        serve(far, variables, event_fd, platform)
    except Exception as error:  # noqa: BLE001 - nothing leaves this process but what goes over the channel
        TelemetryEnd(far).reply(records.warning(f"telemetry ends: {type(error).__name__}: {error}"))


def serve(
    far: _socket.socket,
    variables: Mapping[bytes, bytes],
    event_fd: EventFd | None = None,
    platform: _socket.socket | None = None,
) -> None:
    """Do the work of `run` in the process as it is."""
    end = TelemetryEnd(far, event_fd)
    inbox = RecordQueue(end.receive, end.rest)
    inbox.start()
    warnings = _Warnings(end)
    settings = ExportSettings(variables)
    for text in (*settings.warnings, *warnings_of(variables)):
        warnings.warn(text)
    # Only now, while the inbox already fills: this is what takes long.
    # What is imported stays, and looking for garbage in it is a twentieth of the instructions.
    gc.disable()
    if platform is not None:
        from lrap_otel.telemetry.platform.listener import Listener  # noqa: PLC0415 - where the platform is heard

        Listener(platform, inbox.put).start()
    from lrap_otel.telemetry.pipeline import Pipeline  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    pipeline = Pipeline(
        settings,
        warnings.warn,
        lambda part: end.reply(records.output(part)),
        hears_platform=platform is not None,
    )
    end.reply(records.ready(posix.getpid()))
    try:
        while not _work(inbox, pipeline, end, warnings):
            pass
    finally:
        pipeline.close()


class _Warnings:
    """Each distinct text goes back once."""

    __slots__ = ("_end", "_told")

    def __init__(self, end: TelemetryEnd) -> None:
        self._end = end
        self._told: set[str] = set()

    def warn(self, text: str) -> None:
        if text not in self._told and len(self._told) < _WARNINGS_LIMIT:
            self._told.add(text)
            self._end.reply(records.warning(text))


def _work(inbox: RecordQueue, pipeline: Pipeline, end: TelemetryEnd, warnings: _Warnings) -> bool:
    """One record, or one export that is due. Whether it was the last."""
    try:
        arrival = inbox.take(pipeline.seconds_until_due())
        is_over = arrival is not None and _work_off(arrival, inbox, pipeline, end)
        # A command exports what is due, too, and perhaps somebody waits for it.
        if not is_over and pipeline.seconds_until_due() == 0 and not inbox.has_command:
            pipeline.export_due(inbox.event_fd)
    except Exception as error:  # noqa: BLE001 - the one broad except of this process: the next record counts
        pipeline.count_dropped(0, 0, 1)
        warnings.warn(f"telemetry lost a record: {type(error).__name__}")
        return False
    return is_over


def _work_off(
    arrival: QueuedRecord, inbox: RecordQueue, pipeline: Pipeline, end: TelemetryEnd
) -> bool:
    """Whether this was the last."""
    record = arrival.record
    if record is None:
        pipeline.flush(Deadline(monotonic() + _ORPHAN_EXPORT_S), is_last=True)
        return True
    if not isinstance(record, (Flush, Shutdown)):
        pipeline.accept(record)
        return False
    # Nobody waits for this one any more; what waits there exports the same, and answers for both.
    is_superseded = isinstance(record, Flush) and inbox.has_command
    has_all = False
    try:
        pipeline.count_dropped(record.dropped, *inbox.take_counts())
        pipeline.count_billed(record.billed_ms)
        if is_superseded:
            return False
        if isinstance(record, Shutdown):
            _hear_platform_out(inbox, pipeline)
            pipeline.close_open(record.reason)
        has_all = pipeline.flush(
            _deadline(record, arrival.at_s, inbox.event_fd), is_last=isinstance(record, Shutdown)
        )
    finally:
        if not is_superseded:
            end.reply(records.flushed(record.number, has_all))
    return isinstance(record, Shutdown)


def _hear_platform_out(inbox: RecordQueue, pipeline: Pipeline) -> None:
    """What became of the last invocation, Lambda reports while the sandbox ends, which it does not
    bill.
    """
    inbox.hurry()
    end_s = monotonic() + _PLATFORM_S
    while pipeline.awaits_platform and (left_s := end_s - monotonic()) > 0:
        arrival = inbox.take(left_s)
        if arrival is not None and isinstance(arrival.record, Batch):
            pipeline.accept(arrival.record)
        elif arrival is not None:
            return  # the proxy process has gone; nothing else follows a shutdown


def _deadline(record: Flush | Shutdown, arrived_s: float, event_fd: EventFd) -> Deadline:
    """A flush's budget runs from when it came, not from when we got to it: while it runs, Lambda
    waits. Once it is over nobody waits, and the attempt is made and goes on all the same, beside
    whatever the function does next.
    """
    if isinstance(record, Shutdown):
        # A clock that was set back since must not have us attempt until we are killed.
        left_s = min(record.deadline_ms / 1_000 - time(), _SHUTDOWN_S) - _SHUTDOWN_MARGIN_S
        return Deadline(monotonic() + max(left_s, _LATE_SHUTDOWN_S))
    return attempt(_UNAWAITED_EXPORT_S, event_fd, arrived_s + record.budget_ms / 1_000)


def _step_back() -> None:
    """Out of the function's way: no output of our own, last in line for the CPU, first for the
    out-of-memory killer.
    """
    _signal.signal(_signal.SIGTERM, _signal.SIG_IGN)
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    # The kernel's, to one that is stopped when its process group is orphaned.
    _signal.signal(_signal.SIGHUP, _signal.SIG_IGN)
    nowhere = posix.open("/dev/null", posix.O_RDWR)
    for descriptor in (0, 1, 2):
        posix.dup2(nowhere, descriptor)
    if nowhere > 2:
        posix.close(nowhere)
    try:
        posix.nice(_NICENESS)
        score = posix.open("/proc/self/oom_score_adj", posix.O_WRONLY)
        posix.write(score, _OUT_OF_MEMORY_SCORE)
        posix.close(score)
    except OSError:
        return
