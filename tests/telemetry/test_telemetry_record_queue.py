"""Records wait for the worker in bounded memory, and one that is broken harms no other."""

from __future__ import annotations

from queue import Queue
from typing import TYPE_CHECKING

import pytest

from lrap_otel.ipc import records
from lrap_otel.telemetry import record_queue
from lrap_otel.telemetry.record_queue import Batch, RecordQueue
from tests.telemetry.otlp_collector import PATIENCE_S
from tests.telemetry.proxy_records import delivered, finished
from tests.telemetry.telemetry_thread import spans_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.telemetry.otlp_collector import Collector
    from tests.telemetry.telemetry_thread import Telemetry

    Start = Callable[..., Telemetry]


def restored(payload_bytes: int = 0) -> records.Record:
    return records.read(*records.restored(1), b"x" * payload_bytes)


def read_all(*received: records.Record | Exception | None) -> RecordQueue:
    """An inbox that has read these from its channel, and then its end."""
    queue = [*received, None]

    def receive() -> records.Record | None:
        one = queue.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    box = RecordQueue(receive)
    box._read()
    return box


def taken(box: RecordQueue) -> list[records.Record]:
    found = []
    while (arrival := box.take(PATIENCE_S)) is not None and arrival.record is not None:
        found.append(arrival.record)
    return found


@pytest.mark.parametrize(
    ("payload_bytes", "number", "kept"),
    [
        (0, record_queue.LIMIT_RECORDS + 2, record_queue.LIMIT_RECORDS),
        (record_queue.LIMIT_BYTES // 2, 4, 2),
    ],
)
def test_what_does_not_fit_is_dropped_and_counted(
    payload_bytes: int, number: int, kept: int
) -> None:
    box = read_all(*(restored(payload_bytes) for _ in range(number)))

    assert len(taken(box)) == kept
    assert box.take_counts() == (number - kept, 0)
    assert box.take_counts() == (0, 0)


AWAITED = [
    records.Flush(1, 500, 0, 0),
    records.Shutdown(2, "spindown", 0, 0, 0),
    None,
]


@pytest.mark.parametrize("command", AWAITED, ids=["flush", "shutdown", "end"])
def test_it_rings_as_long_as_something_waits_in_it_that_somebody_waits_for(
    command: records.Record | None,
) -> None:
    box = RecordQueue(lambda: None)
    for record in (restored(), records.Flush(1, 0, 0, 0)):
        box.put(record)
    assert not box.event_fd.is_set()
    for record in (AWAITED[0], restored(), command):
        box.put(record)
    rings = []
    for _ in range(5):
        box.take(PATIENCE_S)
        rings.append(box.event_fd.is_set())
    assert rings == [True, True, True, True, False]


def test_a_flush_and_a_shutdown_always_fit() -> None:
    commands = [
        records.Flush(1, 500, 0, 0),
        records.Shutdown(2, "spindown", 0, 0, 0),
    ]

    box = read_all(restored(record_queue.LIMIT_BYTES), restored(), *commands)

    assert taken(box)[1:] == commands


def test_batches_leave_room_for_records_and_the_oldest_give_way() -> None:
    event = b'{"time":"x","type":"function","record":"' + b"x" * 1_000_000 + b'"},'
    box = RecordQueue(lambda: None)
    for number in range(5):
        box.put(Batch(number, event * 3))
    for _ in range(record_queue.LIMIT_RECORDS):
        box.put(Batch(5, b"x"))
    box.put(restored())
    box.put(None)

    found = taken(box)
    batches = [record for record in found if isinstance(record, Batch)]
    assert (
        sum(max(len(batch.payload or b""), 4_096) for batch in batches)
        <= record_queue.LIMIT_BATCHES_BYTES
    )
    assert {batch.received_ns for batch in batches} == {5}
    assert isinstance(found[-1], records.Restored)
    small = record_queue.LIMIT_RECORDS - len(batches)
    assert box.take_counts() == (5 * 3 + small, 0)


def test_what_cannot_be_read_is_counted_and_the_next_record_comes() -> None:
    box = read_all(ValueError(), KeyError(), restored())

    assert len(taken(box)) == 1
    assert box.take_counts() == (0, 2)


def test_a_broken_channel_is_its_end() -> None:
    box = read_all(restored(), ConnectionResetError())

    assert len(taken(box)) == 1


def test_nothing_comes_within_the_time() -> None:
    assert RecordQueue(lambda: None).take(0) is None


def test_a_record_that_cannot_be_worked_off_is_told_and_the_next_one_is(
    start: Start, collector: Collector
) -> None:
    telemetry = start(collector)
    telemetry.offer(delivered(delivered_ns="no number"), finished(), delivered(), finished())

    assert telemetry.flush()
    assert len(spans_of(collector)) == 1
    assert telemetry.warnings == ["telemetry lost a record: TypeError"]


def test_what_comes_over_the_channel_and_is_no_record_is_survived(
    start: Start, collector: Collector
) -> None:
    telemetry = start(collector)
    telemetry.channel.near.send(b"garbage")
    telemetry.channel.near.send(records.encode((55, ()), None))
    telemetry.offer(delivered(), finished())

    assert telemetry.flush()
    assert len(spans_of(collector)) == 1


def test_records_wait_for_each_other_until_a_flush_wants_them() -> None:
    first, flush = restored(), records.Flush(1, 0, 0, 0)
    queue: Queue[records.Record | None] = Queue()
    box = RecordQueue(queue.get)
    box.start()
    queue.put(first)
    assert box.take(record_queue.TOGETHER_S / 100) is None
    queue.put(flush)
    assert [
        arrival.record for arrival in (box.take(PATIENCE_S), box.take(PATIENCE_S)) if arrival
    ] == [first, flush]
    queue.put(None)


def test_records_nobody_asks_for_are_worked_off_after_a_while_or_when_they_are_many() -> None:
    queue: Queue[records.Record | None] = Queue()
    box = RecordQueue(queue.get)
    box.start()
    queue.put(restored())
    assert box.take(PATIENCE_S) is not None
    for _ in range(record_queue.TOGETHER_RECORDS):
        queue.put(restored())
    assert all(box.take(PATIENCE_S) for _ in range(record_queue.TOGETHER_RECORDS))
    queue.put(None)
