"""An attempt goes on when the wait for it is over, and ends for what somebody waits for."""

from __future__ import annotations

import time
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from lrap_otel.ipc import records
from tests.telemetry.otlp_collector import HANG, PATIENCE_S, Collector, reply
from tests.telemetry.proxy_records import invocations
from tests.telemetry.telemetry_thread import EVERY_FLUSH, points, spans_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.telemetry.otlp_collector import Post
    from tests.telemetry.telemetry_thread import Telemetry

    Start = Callable[..., Telemetry]

BUDGET_S = 0.2
# Time-outs that never come.
ENDLESS = {"OTEL_EXPORTER_OTLP_TIMEOUT": "900000", "OTEL_BSP_EXPORT_TIMEOUT": "900000"}
AT_ONCE = {"OTEL_BSP_SCHEDULE_DELAY": "1", "OTEL_METRIC_EXPORT_INTERVAL": "900000"}


def hang_once(number: int, post: Post) -> Any:
    return HANG if number == 0 and post.path == "/v1/traces" else reply()


def span_ids(collector: Collector) -> list[int]:
    return [span.span_id[-1] for span in spans_of(collector)]


def test_an_answer_that_comes_when_nobody_waits_any_more_still_counts(start: Start) -> None:
    is_over = Event()

    def answer(number: int, post: Post) -> Any:
        is_over.wait(PATIENCE_S)
        return reply()

    with Collector(answer) as collector:
        telemetry = start(collector, **EVERY_FLUSH)
        telemetry.offer(*invocations(1))
        telemetry.channel.offer(records.flush(1, int(BUDGET_S * 1_000), 0, 0))
        time.sleep(BUDGET_S + 0.1)
        is_over.set()
        assert telemetry.reply() == (records.FLUSHED, (1, True))

        telemetry.offer(*invocations(2))
        assert telemetry.flush()
        posts = collector.received("/v1/metrics")
        assert [point for post in posts for point in points(post, "lrap.exports.failed")] == []
        assert sum(count for post in posts for _, count in points(post, "faas.invocations")) == 2
        assert telemetry.warnings == []


@pytest.mark.parametrize("is_last", [False, True], ids=["flush", "shutdown"])
def test_an_export_nobody_asked_for_does_not_keep_one_back_that_somebody_waits_for(
    start: Start, *, is_last: bool
) -> None:
    with Collector(hang_once) as collector:
        telemetry = start(collector, **ENDLESS, **AT_ONCE)
        telemetry.offer(*invocations(1))
        assert collector.next("/v1/traces")

        assert telemetry.shutdown() if is_last else telemetry.flush()
        assert span_ids(collector) == [1]


def test_a_shutdown_does_not_wait_for_the_end_of_a_flush_that_nobody_waits_for(
    start: Start,
) -> None:
    with Collector(hang_once) as collector:
        telemetry = start(collector, **ENDLESS)
        telemetry.offer(*invocations(1))
        # The proxy has waited, and would again.
        telemetry.channel.offer(records.flush(1, 10 * PATIENCE_S * 1_000, 0, 0))
        assert collector.next("/v1/traces")
        telemetry.channel.offer(
            records.shutdown(2, "spindown", int((time.time() + PATIENCE_S) * 1_000), 0, 0)
        )

        assert [telemetry.reply()[1] for _ in range(2)] == [(1, False), (2, True)]
        assert span_ids(collector) == [1]


def test_the_end_of_the_proxy_ends_an_export_nobody_asked_for(start: Start) -> None:
    with Collector(hang_once) as collector:
        telemetry = start(collector, **ENDLESS, **AT_ONCE)
        telemetry.offer(*invocations(1))
        assert collector.next("/v1/traces")

        telemetry.end()
        assert span_ids(collector) == [1]


@pytest.mark.parametrize("last_ms", [0, PATIENCE_S * 1_000], ids=["nobody waits", "somebody waits"])
def test_flushes_are_passed_over_for_the_last_one_which_answers_for_them(
    start: Start, last_ms: int
) -> None:
    with Collector(hang_once) as collector:
        telemetry = start(collector, **ENDLESS)
        telemetry.offer(*invocations(1))
        telemetry.channel.offer(records.flush(1, 0, 0, 0))
        assert collector.next("/v1/traces")
        for number in (2, 3, 4):
            telemetry.channel.offer(records.flush(number, last_ms if number == 4 else 0, 0, 0))

        assert [telemetry.reply()[1] for _ in range(2)] == [(1, False), (4, True)]
        assert span_ids(collector) == [1]


@pytest.mark.parametrize("is_last", [False, True], ids=["flush", "shutdown"])
def test_a_flush_that_is_passed_over_has_told_what_the_ones_before_billed(
    start: Start, *, is_last: bool
) -> None:
    with Collector(hang_once) as collector:
        telemetry = start(collector, **ENDLESS)
        telemetry.offer(*invocations(1))
        telemetry.channel.offer(records.flush(1, 0, 0, 0))
        assert collector.next("/v1/traces")
        telemetry.channel.offer(records.flush(2, 0, 0, 500))
        deadline_ms = int((time.time() + PATIENCE_S) * 1_000)
        telemetry.channel.offer(
            records.shutdown(3, "spindown", deadline_ms, 0, 20)
            if is_last
            else records.flush(3, PATIENCE_S * 1_000, 0, 20)
        )

        assert [telemetry.reply()[1] for _ in range(2)] == [(1, False), (3, True)]
        telemetry.channel.offer(records.shutdown(4, "spindown", deadline_ms, 0, 0))
        if not is_last:
            assert telemetry.reply()[1] == (4, True)
        billed = [
            point
            for post in collector.received("/v1/metrics")
            for point in points(post, "lrap.flush.billed")
        ]
        assert sum(value for _, value in billed) == 520


def test_in_the_pause_after_a_failure_nothing_is_tried_and_nothing_spins(start: Start) -> None:
    with Collector(lambda number, post: reply(503, b"", "Retry-After: 60\r\n")) as collector:
        telemetry = start(collector, **EVERY_FLUSH, OTEL_BSP_SCHEDULE_DELAY="0")
        telemetry.offer(*invocations(1))
        for path in ("/v1/traces", "/v1/metrics"):
            assert collector.next(path)
        time.sleep(0.3)  # it has read the answers
        begun_s = time.process_time()
        time.sleep(1.0)
        # It runs in this process. As often as the intervals say would be a tenth at least.
        assert time.process_time() - begun_s < 0.05
