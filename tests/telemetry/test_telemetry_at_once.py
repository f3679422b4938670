"""A flush takes one round trip: spans and metrics are under way at once, and the trouble of one is
not the other's.
"""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.telemetry.otlp_collector import DROP, HANG, Collector, reply
from tests.telemetry.proxy_records import invocations
from tests.telemetry.telemetry_thread import EVERY_FLUSH, points, spans_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.telemetry.otlp_collector import Post
    from tests.telemetry.telemetry_thread import Telemetry

    Start = Callable[..., Telemetry]

TRACES, METRICS = "/v1/traces", "/v1/metrics"
# Less than the signals' own time-out, so that it is the collector that gives up.
MEETING_S = 8
SOON_MS = 1_500
TRIGGER = {"faas.trigger": "other"}
DRIBBLE = b"HTTP/1.1 200 OK\r\nContent-Le"
HALF = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


class Meeting:
    """Whoever comes waits for the other. One that waits in vain lets go."""

    def __init__(self) -> None:
        self._barrier = threading.Barrier(2, timeout=MEETING_S)

    def is_met(self) -> bool:
        try:
            self._barrier.wait()
        except threading.BrokenBarrierError:
            return False
        return True

    def answer(self, number: int, post: Post) -> Any:
        """A collector's script: traces are answered once the metrics are here, and the other way
        round.
        """
        return reply() if self.is_met() else DROP


class LateHandshakes:
    """A server's TLS that greets nobody before two have connected."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._meeting = Meeting()

    def wrap_socket(self, connection: socket.socket, *, server_side: bool) -> ssl.SSLSocket:
        if not self._meeting.is_met():
            raise ConnectionAbortedError
        return self._tls.wrap_socket(connection, server_side=server_side)


def trouble_with(path: str, *troubles: Any) -> Callable[[int, Post], Any]:
    """A collector's script: these are what the first POSTs to `path` get, the others
    are answered.
    """
    return lambda number, post: (
        troubles[number] if post.path == path and number < len(troubles) else reply()
    )


def counted(posts: list[Post], name: str) -> list[tuple[dict[str, Any], Any]]:
    return [point for post in posts if post.path == METRICS for point in points(post, name)]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """One that takes connections, up to a few, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_the_metrics_arrive_before_the_spans_are_answered(start: Start, compression: str) -> None:
    with Collector(Meeting().answer) as collector:
        telemetry = start(collector, **EVERY_FLUSH, OTEL_EXPORTER_OTLP_COMPRESSION=compression)
        for number in (1, 2, 3):
            telemetry.offer(*invocations(number))
            assert telemetry.flush()

        assert counted(collector.received(), "faas.invocations") == 3 * [(TRIGGER, 1)]


def test_the_metrics_arrive_before_the_spans_are_answered_where_each_has_a_collector(
    start: Start,
) -> None:
    meeting = Meeting()
    with Collector(meeting.answer) as one, Collector(meeting.answer) as other:
        telemetry = start(
            one, **EVERY_FLUSH, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{other.url}{METRICS}"
        )
        for number in (1, 2):
            telemetry.offer(*invocations(number))
            assert telemetry.flush()

        assert [post.path for post in one.received()] == 2 * [TRACES]
        assert [post.path for post in other.received()] == 2 * [METRICS]


def test_the_metrics_arrive_before_the_spans_are_answered_over_tls(
    start: Start, tls: ssl.SSLContext, certificate: Path
) -> None:
    with Collector(Meeting().answer, tls) as collector:
        telemetry = start(collector, **EVERY_FLUSH, OTEL_EXPORTER_OTLP_CERTIFICATE=str(certificate))
        for number in (1, 2):
            telemetry.offer(*invocations(number))
            assert telemetry.flush()


def test_both_connections_are_opened_at_once(
    start: Start, tls: ssl.SSLContext, certificate: Path
) -> None:
    with Collector(tls=LateHandshakes(tls)) as collector:
        telemetry = start(collector, OTEL_EXPORTER_OTLP_CERTIFICATE=str(certificate))
        telemetry.offer(*invocations(1))

        assert telemetry.flush()


def test_of_two_requests_that_were_taken_and_not_answered_only_the_spans_go_again(
    start: Start,
) -> None:
    # A delta that comes twice counts twice.
    with Collector(lambda number, post: DROP if number == 1 else reply()) as collector:
        telemetry = start(collector, **EVERY_FLUSH)
        telemetry.offer(*invocations(1))
        assert telemetry.flush()
        collector.received()
        telemetry.offer(*invocations(2))

        assert not telemetry.flush()
        assert sorted(post.path for post in collector.received()) == [METRICS, TRACES, TRACES]
        (warning,) = telemetry.warnings
        assert warning.startswith("metrics could not be exported: ")


@pytest.mark.parametrize(
    "trouble",
    [HANG, DRIBBLE, DROP, HALF, reply(503)],
    ids=["hangs", "dribbles", "drops", "halves", "503"],
)
def test_no_trouble_with_the_spans_keeps_the_metrics_back(start: Start, trouble: Any) -> None:
    with Collector(trouble_with(TRACES, trouble)) as collector:
        telemetry = start(collector)
        telemetry.offer(*invocations(1))
        assert not telemetry.flush(SOON_MS)
        assert counted(collector.received(), "faas.invocations") == [(TRIGGER, 1)]

        telemetry.flush_until_sent()
        assert [span.span_id[-1] for span in spans_of(collector)] == [1]


@pytest.mark.parametrize(
    "trouble",
    [HANG, DRIBBLE, DROP, HALF, reply(503)],
    ids=["hangs", "dribbles", "drops", "halves", "503"],
)
def test_no_trouble_with_the_metrics_makes_spans_go_twice(start: Start, trouble: Any) -> None:
    with Collector(trouble_with(METRICS, trouble)) as collector:
        telemetry = start(collector)
        telemetry.offer(*invocations(1))
        assert not telemetry.flush(SOON_MS)

        telemetry.flush_until_sent()
        assert [span.span_id[-1] for span in spans_of(collector)] == [1]


@pytest.mark.parametrize("trouble", [HANG, DRIBBLE], ids=["hangs", "dribbles"])
def test_what_came_of_the_metrics_is_known_when_the_deadline_ends_the_spans(
    start: Start, trouble: Any
) -> None:
    troubles = {TRACES: trouble, METRICS: reply(503)}
    with Collector(lambda number, post: reply() if number else troubles[post.path]) as collector:
        telemetry = start(collector)
        telemetry.offer(*invocations(1))
        assert not telemetry.flush(SOON_MS)
        collector.received()

        assert telemetry.flush()
        posts = collector.received()
        assert counted(posts, "faas.invocations") == [(TRIGGER, 1)]
        failed = counted(posts, "lrap.exports.failed")
        assert {(point["lrap.signal"], point["error.type"]): count for point, count in failed} == {
            ("traces", "timeout"): 1,
            ("metrics", "503"): 1,
        }


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://127.0.0.1:{silent_port}/x", "no TLS handshake in time"),
        ("http://127.0.0.1:{full_port}/x", "no connection in time"),
    ],
)
def test_an_address_that_never_answers_keeps_only_its_own_signal_back(
    start: Start, collector: Collector, url: str, reason: str, silent_port: int, full_port: int
) -> None:
    nowhere = url.format(silent_port=silent_port, full_port=full_port)
    telemetry = start(collector, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=nowhere)
    telemetry.offer(*invocations(1))

    assert not telemetry.flush(SOON_MS)
    assert counted(collector.received(), "faas.invocations") == [(TRIGGER, 1)]
    assert telemetry.warnings == [f"traces could not be exported: {nowhere}: {reason}"]


def test_what_became_of_the_spans_is_told_by_the_next_metrics(start: Start) -> None:
    with Collector(trouble_with(TRACES, reply(400))) as collector:
        telemetry = start(collector)
        telemetry.offer(*invocations(1))
        assert not telemetry.flush()
        assert counted(collector.received(), "lrap.exports.failed") == []

        assert telemetry.shutdown()
        posts = collector.received()
        assert counted(posts, "lrap.spans.dropped") == [({"error.type": "400"}, 1)]
        assert counted(posts, "lrap.exports.failed") == [
            ({"lrap.signal": "traces", "error.type": "400"}, 1)
        ]


def test_the_last_metrics_wait_for_the_spans_and_tell_what_became_of_them(start: Start) -> None:
    with Collector(trouble_with(TRACES, reply(503))) as collector:
        telemetry = start(collector)
        telemetry.offer(*invocations(1))
        assert not telemetry.shutdown()

        posts = collector.received()
        assert counted(posts, "faas.invocations") == [(TRIGGER, 1)]
        assert counted(posts, "lrap.exports.failed") == [
            ({"lrap.signal": "traces", "error.type": "503"}, 1)
        ]


def test_several_batches_and_all_measurements_kept_back_go_at_the_end(start: Start) -> None:
    with Collector(trouble_with(METRICS, reply(503))) as collector:
        telemetry = start(
            collector,
            **EVERY_FLUSH,
            OTEL_BSP_MAX_EXPORT_BATCH_SIZE="2",
            OTEL_BSP_SCHEDULE_DELAY="900000",
        )
        for number in (1, 2):
            telemetry.offer(*invocations(number))
            assert telemetry.flush() == (number > 1)
        collector.received()
        telemetry.offer(*invocations(3, 4, 5))

        assert telemetry.shutdown()
        posts = collector.received()
        # The request that was refused once, and all that was measured since.
        assert counted(posts, "faas.invocations")[-2:] == [(TRIGGER, 1), (TRIGGER, 4)]
        assert sum(post.path == TRACES for post in posts) >= 2
