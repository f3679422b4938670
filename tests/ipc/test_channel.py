"""The seam: an offer never blocks and never raises, whatever the other end does."""

from __future__ import annotations

import _thread
import contextlib
import gc
import marshal
import os
import resource
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from random import Random
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from lrap_otel.ipc import records
from lrap_otel.ipc.backlog import LIMIT_BYTES, Backlog
from lrap_otel.ipc.channel import IN_FLIGHT_LIMIT_BYTES, INLINE_LIMIT_BYTES, Channel, TelemetryEnd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIB = 1_048_576


@pytest.fixture
def channel() -> Iterator[Channel]:
    channel = Channel()
    # Not `settimeout`, with which a send that must not block would wait too.
    channel.near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 5, 0))
    channel.far.settimeout(5.0)
    yield channel
    if channel.near.fileno() >= 0 and channel.far.fileno() >= 0:
        channel.far.settimeout(None)
        channel.abandon()
    assert ends(lambda: channel._backlog._is_sending)
    channel.near.close()
    channel.far.close()


@pytest.fixture
def telemetry(channel: Channel) -> TelemetryEnd:
    return TelemetryEnd(channel.far)


def restored(number: int) -> records.Message:
    return records.restored(number)


def test_records_arrive_in_the_order_they_were_offered(
    channel: Channel, telemetry: TelemetryEnd
) -> None:
    for number in range(20):
        channel.offer(restored(number), b"head", b"body")
    received = [telemetry.receive() for _ in range(20)]
    assert [(record.at_ns, record.payload) for record in received if record] == [
        (n, b"headbody") for n in range(20)
    ]


@pytest.mark.parametrize("length", [0, 1, INLINE_LIMIT_BYTES, INLINE_LIMIT_BYTES + 1, 6 * MIB])
def test_a_payload_of_any_size_arrives_whole(
    channel: Channel, telemetry: TelemetryEnd, length: int
) -> None:
    body = bytes(range(256)) * (length // 256) + b"x" * (length % 256)
    channel.offer(restored(1), body[: length // 2], body[length // 2 :])
    record = telemetry.receive()
    assert record is not None
    assert record.payload == body


def test_a_large_payload_leaves_no_descriptor_behind(
    channel: Channel, telemetry: TelemetryEnd
) -> None:
    before = descriptors()
    for _ in range(50):
        channel.offer(restored(1), b"x" * 10_000)
        telemetry.receive()
    assert descriptors() == before


def make_small(channel: Channel) -> None:
    """As small as Linux makes it where net.core.wmem_max is left alone."""
    channel.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 212_992 // 2)
    assert channel.near.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 212_992


def descriptors() -> int:
    gc.collect()  # or those of another test's channel go in between
    return len(list(Path("/proc/self/fd").iterdir()))


def ends(condition: Callable[[], bool]) -> bool:
    """Whether it is false within five seconds."""
    end = time.monotonic() + 5.0
    while condition() and time.monotonic() < end:
        time.sleep(0.001)
    return not condition()


def test_a_burst_arrives_in_its_order_once_somebody_reads(
    channel: Channel, telemetry: TelemetryEnd
) -> None:
    make_small(channel)
    payloads = [
        bytes([number % 256]) * (9_000 if number % 20 == 0 else 2_000) for number in range(1_000)
    ]
    for number, payload in enumerate(payloads):
        assert channel.offer(restored(number), payload)
    assert channel.dropped == 0
    received = [telemetry.receive() for _ in payloads]
    assert [(record.at_ns, record.payload) for record in received if record] == list(
        enumerate(payloads)
    )


def test_a_burst_of_large_payloads_holds_no_descriptors(
    channel: Channel, telemetry: TelemetryEnd
) -> None:
    make_small(channel)
    for number in range(300):
        channel.offer(restored(number), b"x" * 4_000)
    before = descriptors()
    for _ in range(50):
        assert channel.offer(restored(0), b"x" * 10_000)
    assert descriptors() == before
    for _ in range(350):
        assert telemetry.receive() is not None


def test_a_record_that_is_offered_while_others_wait_comes_behind_them(
    channel: Channel, telemetry: TelemetryEnd
) -> None:
    make_small(channel)
    for number in range(300):
        channel.offer(restored(number), b"x" * 4_000)
    for _ in range(200):  # there is room again, and some still wait
        telemetry.receive()
    channel.offer(records.flush(1, 0, 0, 0))
    received = [telemetry.receive() for _ in range(101)]
    assert [type(record) for record in received] == [records.Restored] * 100 + [records.Flush]


def test_each_of_many_threads_finds_its_records_in_order_and_none_lost(
    channel: Channel, telemetry: TelemetryEnd
) -> None:
    make_small(channel)

    def offer_all(thread: int) -> None:
        for number in range(200):
            channel.offer(restored(thread * 1_000 + number), b"x" * 1_000)

    threads = [Thread(target=offer_all, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    received = [telemetry.receive() for _ in range(8 * 200)]
    for thread in threads:
        thread.join()
    numbers = [record.at_ns for record in received if isinstance(record, records.Restored)]
    assert channel.dropped == 0
    for thread_number in range(8):
        own = [number for number in numbers if number // 1_000 == thread_number]
        assert own == [thread_number * 1_000 + number for number in range(200)]


def test_no_thread_is_left_of_a_burst(channel: Channel, telemetry: TelemetryEnd) -> None:
    make_small(channel)
    before = _thread._count()
    for round_ in range(3):
        for number in range(300):
            channel.offer(restored(number), b"x" * 4_000)
        assert ends(lambda: _thread._count() == before), round_
        for _ in range(300):
            telemetry.receive()
        assert ends(lambda: _thread._count() > before), round_


def test_a_full_channel_and_backlog_drop_and_count_and_go_on_when_there_is_room(
    channel: Channel, telemetry: TelemetryEnd
) -> None:
    offered = 0
    while channel.offer(restored(offered), b"x" * 8_000 if offered < 500 else b""):
        offered += 1
    assert not channel.offer(restored(-1), b"x" * 100_000)
    assert channel.dropped == 2
    kept = [telemetry.receive() for _ in range(offered)]
    assert [record.at_ns for record in kept if record] == list(range(offered))
    assert channel.offer(restored(-2))
    record = telemetry.receive()
    assert record is not None
    assert record.at_ns == -2


def test_a_backlog_takes_8_mb_and_gives_the_memory_back(
    channel: Channel, telemetry: TelemetryEnd
) -> None:
    make_small(channel)
    kept = 0
    while channel.offer(restored(1), b"x" * 4_000):
        kept += 1
    assert LIMIT_BYTES * 0.98 < channel._backlog.waiting * 4_000 < LIMIT_BYTES
    assert channel._backlog._ring is not None
    for _ in range(kept):
        telemetry.receive()
    assert ends(lambda: channel._backlog._ring is not None)


@pytest.mark.parametrize("seed", range(5))
def test_what_waits_in_the_ring_comes_out_as_it_went_in(seed: int) -> None:
    # Without its thread: as many as it takes for the ring to go round some times, and to be full at
    # times.
    random, sent, kept = Random(seed), list[bytes](), list[bytes]()
    backlog = Backlog(-1, sent.append)
    backlog._is_sending = True
    for number in range(5_000):
        datagram = b"%d;" % number + bytes([number % 256]) * random.choice((0, 100, 3_000, 60_000))
        if backlog.add(datagram):
            kept.append(datagram)
        while backlog.waiting and random.random() < (0.2 if number % 1_000 < 700 else 0.7):
            send_oldest(backlog)
    assert 1_000 < len(kept) < 5_000
    while backlog.waiting:
        send_oldest(backlog)
    assert sent == kept
    backlog.close()


def send_oldest(backlog: Backlog) -> None:
    oldest = backlog._oldest()
    assert oldest is not None
    assert backlog._is_sent(oldest)
    backlog._has_gone(len(oldest))


@pytest.mark.parametrize("size", [4_000, 180_000])
def test_a_shutdown_waits_behind_all_others_however_many_there_are(
    channel: Channel, telemetry: TelemetryEnd, size: int
) -> None:
    make_small(channel)
    kept = 0
    while channel.offer(restored(1), b"x" * size):
        kept += 1

    def read_all() -> None:
        for _ in range(kept):
            record = telemetry.receive()
            if record is not None and record.payload and len(record.payload) > INLINE_LIMIT_BYTES:
                channel.release(channel.receive_reply()[1][0])

    reader = Thread(target=read_all)
    reader.start()
    assert channel.send_within(records.shutdown(1, "spindown", 0, 0, 0), 1_000) is True
    reader.join()
    assert isinstance(telemetry.receive(), records.Shutdown)


def test_a_record_that_cannot_be_sent_later_is_counted_and_the_next_one_goes(
    channel: Channel, telemetry: TelemetryEnd
) -> None:
    make_small(channel)
    offered = 0
    while not channel._backlog.waiting:
        channel.offer(restored(1), b"x" * 4_000)
        offered += 1
    channel.offer(records.warning("x" * 500_000))  # larger than the channel
    channel.offer(restored(2))
    received = [telemetry.receive() for _ in range(offered + 1)]
    assert getattr(received[-1], "at_ns", None) == 2
    assert channel.dropped == 1


def test_where_the_ring_cannot_be_had_records_are_dropped_and_a_shutdown_waits(
    channel: Channel, telemetry: TelemetryEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mmap", None)  # as where no descriptor is free to load it from
    make_small(channel)
    kept = 0
    while channel.offer(restored(1), b"x" * 4_000):
        kept += 1
    assert (kept < 1_000, channel.dropped) == (True, 1)
    assert channel._backlog.add(
        records.encode(records.shutdown(1, "spindown", 0, 0, 0), b""), is_last=True
    )
    for _ in range(kept):
        assert isinstance(telemetry.receive(), records.Restored)
    assert isinstance(telemetry.receive(), records.Shutdown)


def test_an_abandoned_channel_lets_go_of_its_backlog_too() -> None:
    channel = Channel()
    make_small(channel)
    before = _thread._count(), descriptors()
    for number in range(400):
        channel.offer(restored(number), b"x" * 10_000)
    channel.abandon()
    assert ends(lambda: (_thread._count(), descriptors()) != before)
    assert not channel._backlog.waiting
    assert not channel.offer(restored(1))
    assert not channel.offer(restored(1), b"x" * 10_000)
    assert not channel._backlog.add(b"1", is_last=True)


def test_where_no_thread_is_to_be_had_a_full_channel_drops(
    channel: Channel, telemetry: TelemetryEnd
) -> None:
    make_small(channel)
    size = _thread.stack_size(2**40)  # more than there is
    try:
        offered = 0
        while not channel.dropped:
            channel.offer(restored(offered), b"x" * 4_000)
            offered += 1
    finally:
        _thread.stack_size(size)
    assert offered < 1_000
    for _ in range(offered - 1):
        assert telemetry.receive() is not None
    assert channel.offer(restored(1))


def test_26_records_of_4_kb_fit_at_the_default_wmem_while_nobody_reads(channel: Channel) -> None:
    make_small(channel)  # of which the kernel's own bookkeeping takes a part
    for _ in range(26):
        channel.offer(restored(1), b"x" * 4_000)
    assert not channel._backlog.waiting


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


def test_a_payload_that_was_left_behind_does_not_count_as_in_flight(
    channel: Channel, telemetry: TelemetryEnd
) -> None:
    make_small(channel)
    offered = 0
    while not channel.dropped:
        channel.offer(restored(1), b"x" * 8_000)
        offered += 1
    for _ in range(10):
        channel.offer(restored(1), b"x" * (4 * MIB))
    for _ in range(offered + 10 - channel.dropped):
        assert telemetry.receive() is not None
    assert ends(lambda: bool(channel._backlog.waiting))
    body = b"x" * (15 * MIB)
    assert channel.offer(restored(2), body)
    record = telemetry.receive()
    assert record is not None
    assert record.payload == body


def test_a_payload_that_is_too_large_to_wait_is_left_behind_and_its_record_waits(
    channel: Channel, telemetry: TelemetryEnd
) -> None:
    make_small(channel)
    for number in range(300):
        channel.offer(restored(number), b"x" * 4_000)
    assert channel.offer(restored(300), b"x" * (9 * MIB))
    received = [telemetry.receive() for _ in range(301)]
    assert [len(record.payload or b"") for record in received if record] == [4_000] * 300 + [0]
    assert received[-1] is not None
    assert received[-1].payload is None


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


class Rest:
    """What a telemetry process does between two records, on a thread: for a minute, if nothing ends
    it.
    """

    def __init__(self, channel: Channel) -> None:
        self._end = TelemetryEnd(channel.far, channel.event_fd)
        self._thread = Thread(target=self._end.rest, args=(60_000,), daemon=True)
        self._thread.start()

    def ends_within(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()


def test_between_two_records_the_telemetry_process_rests_for_a_while(channel: Channel) -> None:
    TelemetryEnd(channel.far, channel.event_fd).rest()
    TelemetryEnd(channel.far).rest(60_000)  # without an event descriptor it never does


def test_who_rings_ends_the_rest(channel: Channel) -> None:
    rest = Rest(channel)
    assert not rest.ends_within(0.02)
    channel.event_fd.set()
    assert rest.ends_within(5)


def test_who_rang_before_ends_one_rest(channel: Channel) -> None:
    channel.event_fd.set()
    assert Rest(channel).ends_within(5)
    again = Rest(channel)
    assert not again.ends_within(0.02)
    channel.event_fd.set()
    assert again.ends_within(5)


def test_where_more_has_come_there_is_no_rest(channel: Channel) -> None:
    channel.offer(restored(1))
    assert Rest(channel).ends_within(5)


def test_a_full_channel_ends_the_rest(channel: Channel) -> None:
    rest = Rest(channel)
    assert not rest.ends_within(0.02)
    make_small(channel)
    while not channel._backlog.waiting:
        channel.offer(restored(1), b"x" * 4_000)
    assert rest.ends_within(5)


def test_a_bell_that_rings_already_may_be_rung(channel: Channel) -> None:
    os.eventfd_write(channel.event_fd.fileno(), 2**64 - 2)
    channel.event_fd.set()
    assert channel.event_fd.clear()
    assert not channel.event_fd.clear()


def test_the_telemetry_process_learns_that_the_proxy_has_gone(
    channel: Channel, telemetry: TelemetryEnd
) -> None:
    channel.offer(restored(1))
    channel.near.close()
    assert telemetry.receive() is not None
    assert telemetry.receive() is None
    telemetry.reply(records.ready(1))


def test_replies_come_back(channel: Channel, telemetry: TelemetryEnd) -> None:
    telemetry.reply(records.ready(1))
    telemetry.reply(records.flushed(3, ok=False))
    telemetry.reply(records.warning("the collector refuses"))
    assert channel.receive_reply()[0] == records.READY
    assert channel.receive_reply() == (records.FLUSHED, (3, False))
    assert channel.receive_reply() == (records.WARNING, ("the collector refuses",))


def test_a_record_that_must_go_waits_for_room_within_its_time(
    channel: Channel, telemetry: TelemetryEnd
) -> None:
    assert channel.send_within(records.shutdown(1, "spindown", 0, 0, 0), 1_000) is True
    assert getattr(telemetry.receive(), "reason", None) == "spindown"
    with contextlib.suppress(BlockingIOError):
        while True:
            channel.near.send(records.encode(restored(1), b"x" * 4_096), socket.MSG_DONTWAIT)
    assert channel.send_within(records.shutdown(1, "spindown", 0, 0, 0), 10) is False


def test_a_record_too_large_for_a_datagram_is_dropped_and_counted(channel: Channel) -> None:
    channel.offer(records.warning("x" * (32 * MIB)))
    assert channel.dropped == 1


def test_an_abandoned_channel_takes_nothing_and_lets_go_of_what_waits() -> None:
    channel = Channel()
    assert channel.offer(records.flush(1, 2, 3, 0), b"x" * 100_000)
    before = descriptors()
    channel.abandon()
    assert descriptors() == before
    assert not channel.offer(records.flush(1, 2, 3, 0))
    assert channel.dropped == 1
    with pytest.raises(BlockingIOError):
        channel.far.recv(1, socket.MSG_DONTWAIT)


def test_a_payload_that_cannot_be_written_stays_behind_and_its_record_goes(
    channel: Channel, telemetry: TelemetryEnd
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, before[1]))  # which holds for memfds as well
    try:
        assert channel.offer(restored(7), b"x" * MIB)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    record = telemetry.receive()
    assert isinstance(record, records.Restored)
    assert (record.at_ns, record.payload) == (7, None)
    assert channel.dropped == 0


def written_bytes() -> int:
    """By this process so far, into whatever."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar:"))


def test_nothing_is_written_for_a_channel_that_is_full(channel: Channel) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            channel.near.send(b"x" * 4_096, socket.MSG_DONTWAIT)
    with pytest.raises(BlockingIOError):
        channel.near.send(b"x", socket.MSG_DONTWAIT)
    assert channel.fullness() >= 1.0
    before = written_bytes()
    for _ in range(5):
        assert channel.offer(restored(1), b"x" * (6 * MIB))
    assert written_bytes() - before < 6 * MIB
    channel.abandon()


def test_a_malformed_reply_is_told_from_the_end(channel: Channel, telemetry: TelemetryEnd) -> None:
    for nonsense in (b"nonsense", marshal.dumps(7), marshal.dumps((1, 2))):
        channel.far.send(nonsense)
        with pytest.raises(ValueError, match="bytes"):
            channel.receive_reply()
    telemetry.reply(records.flushed(3, ok=False))
    assert channel.receive_reply() == (records.FLUSHED, (3, False))
    channel.far.close()
    with pytest.raises(EOFError):
        channel.receive_reply()
