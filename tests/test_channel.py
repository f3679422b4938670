"""The seam: an offer never blocks and never raises, whatever the other end does."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lrap_otel import records
from lrap_otel.channel import IN_FLIGHT_LIMIT_BYTES, INLINE_LIMIT_BYTES, Channel, TelemetryEnd

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1_048_576


@pytest.fixture
def channel() -> Iterator[Channel]:
    channel = Channel()
    # Not `settimeout`, with which a send that must not block would wait too.
    channel.near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 5, 0))
    channel.far.settimeout(5.0)
    yield channel
    channel.near.close()
    channel.far.close()


@pytest.fixture
def telemetry(channel: Channel) -> TelemetryEnd:
    return TelemetryEnd(channel.far)


def restored(number: int) -> records.Message:
    return records.restored(number)


def test_records_arrive_in_the_order_they_were_offered(channel: Channel, telemetry: TelemetryEnd) -> None:
    for number in range(20):
        channel.offer(restored(number), b"head", b"body")
    received = [telemetry.receive() for _ in range(20)]
    assert [(record.at_ns, record.payload) for record in received if record] == [(n, b"headbody") for n in range(20)]


@pytest.mark.parametrize("length", [0, 1, INLINE_LIMIT_BYTES, INLINE_LIMIT_BYTES + 1, 6 * MIB])
def test_a_payload_of_any_size_arrives_whole(channel: Channel, telemetry: TelemetryEnd, length: int) -> None:
    body = bytes(range(256)) * (length // 256) + b"x" * (length % 256)
    channel.offer(restored(1), body[: length // 2], body[length // 2 :])
    record = telemetry.receive()
    assert record is not None
    assert record.payload == body


def test_a_large_payload_leaves_no_descriptor_behind(channel: Channel, telemetry: TelemetryEnd) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        channel.offer(restored(1), b"x" * 10_000)
        telemetry.receive()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_full_channel_drops_and_counts_and_goes_on_when_there_is_room(
    channel: Channel, telemetry: TelemetryEnd
) -> None:
    offered = 0
    while not channel.dropped:
        channel.offer(restored(offered), b"x" * 4_096)
        offered += 1
    channel.offer(restored(-1))
    channel.offer(restored(-1), b"x" * 100_000)
    assert channel.dropped >= 2
    kept = [telemetry.receive() for _ in range(offered - 1)]
    assert [record.at_ns for record in kept if record] == list(range(offered - 1))
    channel.offer(restored(-2))
    record = telemetry.receive()
    assert record is not None
    assert record.at_ns == -2


def test_26_records_of_4_kb_fit_at_the_default_wmem_while_nobody_reads(channel: Channel) -> None:
    # Linux gives 212,992 where net.core.wmem_max is left alone, and counts its own bookkeeping as well.
    channel.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 212_992 // 2)
    assert channel.near.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 212_992
    for _ in range(100):
        channel.offer(restored(1), b"x" * 4_000)
    assert 100 - channel.dropped >= 26


def test_the_channel_takes_as_much_as_the_kernel_gives(channel: Channel) -> None:
    most = int(Path("/proc/sys/net/core/wmem_max").read_text(encoding="ascii"))
    given = channel.near.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    assert given == 2 * min(most, 8 * MIB)


def test_beyond_16_mb_in_flight_a_record_goes_without_its_payload_until_some_is_released(
    channel: Channel, telemetry: TelemetryEnd
) -> None:
    body = b"x" * (6 * MIB)
    for _ in range(3):
        channel.offer(restored(1), body)
    received = [telemetry.receive() for _ in range(3)]
    assert [record.payload is None for record in received if record] == [False, False, True]
    assert 3 * len(body) > IN_FLIGHT_LIMIT_BYTES
    for _ in range(2):
        kind, fields = channel.receive_reply()
        assert (kind, fields) == (records.RELEASED, (len(body),))
        channel.release(len(body))
    channel.offer(restored(1), body)
    record = telemetry.receive()
    assert record is not None
    assert record.payload == body


def test_a_payload_that_was_dropped_does_not_count_as_in_flight(channel: Channel, telemetry: TelemetryEnd) -> None:
    while not channel.dropped:
        channel.offer(restored(1), b"x" * 4_096)
    for _ in range(10):
        channel.offer(restored(1), b"x" * (4 * MIB))
    assert telemetry.receive() is not None
    while channel.dropped:
        channel.dropped = 0
        telemetry.receive()
        channel.offer(restored(2), b"x" * (15 * MIB))
    record = telemetry.receive()
    while record is not None and record.at_ns != 2:
        record = telemetry.receive()
    assert record is not None
    assert record.payload == b"x" * (15 * MIB)


def test_a_telemetry_process_that_died_costs_records_and_nothing_else(channel: Channel) -> None:
    channel.far.close()
    channel.offer(restored(1))
    channel.offer(restored(1), b"x" * 100_000)
    assert channel.dropped == 2
    assert channel.send_within(restored(1), 10) is False


def test_what_a_telemetry_process_has_not_read_reaches_its_successor(channel: Channel) -> None:
    channel.offer(restored(1))
    channel.offer(restored(2), b"x" * 100_000)
    childs = socket.socket(fileno=os.dup(channel.far.fileno()))  # the proxy keeps its own
    assert getattr(TelemetryEnd(childs).receive(), "at_ns", None) == 1
    childs.close()
    successor = TelemetryEnd(channel.far)
    record = successor.receive()
    assert record is not None
    assert (record.at_ns, record.payload) == (2, b"x" * 100_000)


def test_the_telemetry_process_learns_that_the_proxy_has_gone(channel: Channel, telemetry: TelemetryEnd) -> None:
    channel.offer(restored(1))
    channel.near.close()
    assert telemetry.receive() is not None
    assert telemetry.receive() is None
    telemetry.reply(records.ready())


def test_replies_come_back(channel: Channel, telemetry: TelemetryEnd) -> None:
    telemetry.reply(records.ready())
    telemetry.reply(records.flushed(3, ok=False))
    telemetry.reply(records.warning("the collector refuses"))
    assert channel.receive_reply() == (records.READY, ())
    assert channel.receive_reply() == (records.FLUSHED, (3, False))
    assert channel.receive_reply() == (records.WARNING, ("the collector refuses",))


def test_a_record_that_must_go_waits_for_room_within_its_time(channel: Channel, telemetry: TelemetryEnd) -> None:
    assert channel.send_within(records.shutdown(1, "spindown", 0, 0), 1_000) is True
    assert getattr(telemetry.receive(), "reason", None) == "spindown"
    while not channel.dropped:
        channel.offer(restored(1), b"x" * 4_096)
    assert channel.send_within(records.shutdown(1, "spindown", 0, 0), 10) is False


def test_a_record_too_large_for_a_datagram_is_dropped_and_counted(channel: Channel) -> None:
    channel.offer(records.warning("x" * (32 * MIB)))
    assert channel.dropped == 1


def test_an_abandoned_channel_takes_nothing_and_lets_go_of_what_waits() -> None:
    channel = Channel()
    assert channel.offer(records.flush(1, 2, 3), b"x" * 100_000)
    before = len(list(Path("/proc/self/fd").iterdir()))
    channel.abandon()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert not channel.offer(records.flush(1, 2, 3))
    assert channel.dropped == 1
    with pytest.raises(BlockingIOError):
        channel.far.recv(1, socket.MSG_DONTWAIT)
