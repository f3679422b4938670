"""No span is lost in silence: pauses, batches that are too large, encoders that raise, and the last
line.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lrap_otel.ipc.channel import Channel, TelemetryEnd
from lrap_otel.ipc.event_fd import new_event_fd
from lrap_otel.telemetry.export.deadline import Deadline
from lrap_otel.telemetry.export.exporter import Exporter
from lrap_otel.telemetry.export.losses import Losses
from lrap_otel.telemetry.export.retry import LONGEST_ASKED_S
from lrap_otel.telemetry.export.ways import Ways
from lrap_otel.telemetry.pipeline import Pipeline
from lrap_otel.telemetry.settings import ExportSettings
from tests.telemetry.otlp_collector import DROP, HANG, PATIENCE_S, Collector, reply
from tests.telemetry.proxy_records import delivered, finished, invocations
from tests.telemetry.telemetry_thread import points, spans_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.telemetry.otlp_collector import Post
    from tests.telemetry.telemetry_thread import Telemetry

    Start = Callable[..., Telemetry]

TRACES, METRICS = "/v1/traces", "/v1/metrics"
KB = 1_024
ROOT = Path(__file__).parents[2]


class Time:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Counts:
    """Metrics that are nothing but what was counted, in the metrics' place."""

    def __init__(self) -> None:
        self.dropped: list[tuple[int, str]] = []
        self.failed: list[tuple[str, str]] = []

    def drop_spans(self, count: int, reason: str) -> None:
        self.dropped.append((count, reason))

    def fail_export(self, signal: str, reason: str) -> None:
        self.failed.append((signal, reason))

    def collect(self) -> None:
        return None


def finished_spans(count: int, stack: str = "") -> list[Any]:
    """So many spans of a real pipeline, each with this stack."""
    kept: list[Any] = []

    class Keeping(Pipeline):
        def add(self, span: Any, **_: bool) -> None:
            kept.append(span)

    pipeline = Keeping(ExportSettings({}), [].append, print)
    channel = Channel()
    for number in range(count):
        error = (
            f'{{"errorType": "E", "errorMessage": "{number}", "stackTrace": ["{stack}"]}}'.encode()
        )
        request_id = f"r{number}"
        for message, payload in (
            delivered(request_id=request_id),
            finished(error, "error", request_id=request_id),
        ):
            channel.offer(message, payload)
            record = TelemetryEnd(channel.far).receive()
            assert record is not None
            pipeline.accept(record)
    channel.near.close()
    channel.far.close()
    assert len(kept) == count
    return kept


class Sending:
    """An exporter for a collector, with time in the test's hands and chance away."""

    def __init__(self, collector: Collector | None, **variables: str) -> None:
        encoded = {
            name.encode(): value.encode()
            for name, value in ({"LRAP_SPOOL_BYTES": "0"} | variables).items()
        }
        if collector is not None:
            encoded[b"OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url.encode()
        self.time = Time()
        self.warnings: list[str] = []
        self.counts: Any = Counts()
        settings = ExportSettings(encoded)
        made = Ways(settings, self.warnings.append, print)
        ways = {name: next(iter(made.of(name)), None) for name in ("traces", "metrics")}
        for endpoint in (way[0] for way in ways.values() if way is not None):
            endpoint.max_batch_bytes = 64 * KB
        self.exporter = Exporter(
            settings, self.warnings.append, ways, now_s=self.time, chance=lambda: 0.5
        )

    def add(self, spans: list[Any]) -> None:
        for span in spans:
            self.exporter.add(span, self.counts)

    def export(self, *, is_last: bool = False) -> bool:
        deadline = Deadline(time.monotonic() + PATIENCE_S)
        return all(self.exporter.export(self.counts, deadline, is_last=is_last))


@pytest.fixture
def sending() -> Iterator[Callable[..., Sending]]:
    made: list[Sending] = []

    def _sending(collector: Collector | None, **variables: str) -> Sending:
        made.append(Sending(collector, **variables))
        return made[-1]

    yield _sending
    for one in made:
        one.exporter.close()


def names(posts: list[Post]) -> list[list[str]]:
    """The messages of the spans of each post."""
    return [
        [span.status.message for span in post.traces().resource_spans[0].scope_spans[0].spans]
        for post in posts
    ]


@pytest.mark.parametrize(
    "trouble",
    [reply(429), reply(502), reply(503), reply(504), DROP],
    ids=["429", "502", "503", "504", "drops"],
)
def test_a_busy_function_asks_a_collector_in_trouble_twice_in_three_seconds(
    sending: Callable[..., Sending], trouble: Any
) -> None:
    with Collector(lambda number, post: trouble) as collector:
        sender = sending(collector)
        sender.add(finished_spans(1))
        begun_s = sender.time.now
        asked_s = []
        for _ in range(200):
            before = collector.posts.qsize()
            assert not sender.export()
            if collector.posts.qsize() > before:
                asked_s.append(sender.time.now - begun_s)
            sender.time.now += 0.1
        # 1, 2, 4, 8 s apart, to the next of ten invocations in each second.
        assert asked_s == [pytest.approx(at, abs=0.45) for at in (0, 1, 3, 7, 15)]


def test_a_refused_connection_pauses_too_and_a_success_ends_the_pauses(
    sending: Callable[..., Sending], closed_port: int
) -> None:
    sender = sending(None, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{closed_port}")
    sender.add(finished_spans(1))
    for _ in range(5):
        assert not sender.export()
    assert sender.counts.failed == [("traces", "connection_refused")]


def test_a_time_out_is_pause_enough(sending: Callable[..., Sending]) -> None:
    with Collector(lambda number, post: HANG if number == 0 else reply()) as collector:
        sender = sending(collector, OTEL_EXPORTER_OTLP_TIMEOUT="100")
        sender.add(finished_spans(1))
        assert not sender.export()
        assert sender.export()


@pytest.mark.parametrize("asked", ["30", "Tue, 01 Jan 2999 00:00:00 GMT"])
def test_the_patience_that_a_collector_asks_for_is_given_within_reason(
    sending: Callable[..., Sending], asked: str
) -> None:
    patience_s = float(asked) if asked.isdigit() else LONGEST_ASKED_S
    with Collector(
        lambda number, post: (
            reply(503, b"", f"Retry-After: {asked}\r\n") if number == 0 else reply()
        )
    ) as collector:
        sender = sending(collector)
        sender.add(finished_spans(1))
        assert not sender.export()
        sender.time.now += patience_s - 0.1
        assert not sender.export()
        assert len(collector.received()) == 1
        sender.time.now += 0.2
        assert sender.export()


def test_the_last_attempt_is_made_in_a_pause_all_the_same(start: Start) -> None:
    with Collector(
        lambda number, post: reply(503, b"", "Retry-After: 300\r\n") if number == 0 else reply()
    ) as collector:
        telemetry = start(collector)
        telemetry.offer(*invocations(1))
        assert not telemetry.flush()
        assert not telemetry.flush()
        assert len(collector.received(TRACES)) == 1

        assert telemetry.shutdown()
        assert [span.span_id[-1] for span in spans_of(collector)] == [1]


def test_in_a_pause_measurements_add_up_none_is_lost_and_spans_are_worth_a_wait(
    start: Start,
) -> None:
    refuse = reply(503, b"", "Retry-After: 300\r\n")
    with Collector(
        lambda number, post: refuse if number == 0 and post.path == METRICS else reply()
    ) as collector:
        telemetry = start(collector)
        for number in range(1, 51):
            telemetry.offer(*invocations(number))
            assert telemetry.flush() == (number > 1)
        # The first was refused.
        assert len(collector.received(METRICS)) == 1

        assert telemetry.shutdown()
        posts = collector.received(METRICS)
        assert [count for post in posts for _, count in points(post, "faas.invocations")] == [1, 49]


def test_an_export_that_is_due_in_a_pause_is_due_again_after_a_second_and_not_at_once() -> None:
    refuse = reply(503, b"", "Retry-After: 300\r\n")
    with Collector(lambda number, post: refuse) as collector:
        variables = {
            b"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url.encode(),
            b"OTEL_METRIC_EXPORT_INTERVAL": b"400",
            b"OTEL_BSP_SCHEDULE_DELAY": b"400",
            b"LRAP_SPOOL_BYTES": b"0",
        }
        pipeline = Pipeline(ExportSettings(variables), [].append, print)
        channel = Channel()
        for message, payload in invocations(1):
            channel.offer(message, payload)
            record = TelemetryEnd(channel.far).receive()
            assert record is not None
            pipeline.accept(record)
        for _ in range(3):
            pipeline.export_due(new_event_fd())
            assert (pipeline.seconds_until_due() or 0) > 0.1
            time.sleep(1.1)  # after a failure, a second at least
            assert pipeline.seconds_until_due() == 0
        assert len(collector.received()) == 2
        pipeline.close()
        channel.near.close()
        channel.far.close()


def test_a_batch_is_bounded_by_bytes(sending: Callable[..., Sending]) -> None:
    with Collector() as collector:
        sender = sending(collector)
        sender.add(finished_spans(20, "x" * 10 * KB))
        assert sender.export()
        posts = collector.received()
        assert max(len(post.body) for post in posts) <= 64 * KB
        assert [name for one in names(posts) for name in one] == [
            str(number) for number in range(20)
        ]
        assert sender.counts.dropped == []


def test_a_span_larger_than_a_batch_may_be_goes_alone(sending: Callable[..., Sending]) -> None:
    with Collector() as collector:
        sender = sending(collector)
        sender.add([*finished_spans(1), *finished_spans(1, "x" * 60 * KB), *finished_spans(1)])
        assert sender.export()
        assert len(spans_of(collector)) == 3


def refuse_over(limit: int) -> Callable[[int, Post], Any]:
    return lambda number, post: reply(413) if len(post.body) > limit else reply()


def test_what_is_too_large_for_the_collector_is_halved_until_it_is_not(
    sending: Callable[..., Sending],
) -> None:
    with Collector(refuse_over(4 * KB)) as collector:
        sender = sending(collector)
        sender.add(finished_spans(50))
        assert sender.export()
        accepted = [post for post in collector.received() if len(post.body) <= 4 * KB]
        assert [name for one in names(accepted) for name in one] == [
            str(number) for number in range(50)
        ]
        assert (sender.counts.dropped, sender.warnings) == ([], [])


def test_one_span_that_is_too_large_for_the_collector_is_dropped_and_counted_and_the_others_arrive(
    sending: Callable[..., Sending],
) -> None:
    with Collector(refuse_over(16 * KB)) as collector:
        sender = sending(collector)
        sender.add([*finished_spans(3), *finished_spans(1, "x" * 20 * KB), *finished_spans(3)])
        assert not sender.export()
        accepted = [post for post in collector.received() if len(post.body) <= 16 * KB]
        assert len([name for one in names(accepted) for name in one]) == 6
        assert sender.counts.dropped == [(1, "413")]
        assert sender.warnings == [f"traces are lost: {collector.url}{TRACES}: it answered 413"]
        assert not sender.exporter.has_spans


class Broken:
    """A span that no encoder can read."""

    kind = resource = None

    def __getattr__(self, name: str) -> Any:
        raise MemoryError(name)


def test_an_encoder_that_raises_costs_the_one_span_that_made_it(
    sending: Callable[..., Sending],
) -> None:
    with Collector() as collector:
        sender = sending(collector)
        sender.add([*finished_spans(5), Broken(), *finished_spans(6)])
        assert not sender.export()
        assert len(spans_of(collector)) == 11
        assert sender.counts.dropped == [(1, "MemoryError")]
        assert sender.warnings == ["traces are lost: a span could not be encoded: MemoryError"]


def test_metrics_that_cannot_be_encoded_are_counted_and_the_spans_arrive(
    sending: Callable[..., Sending],
) -> None:
    class BrokenCounts(Counts):
        def collect(self) -> None:
            raise MemoryError

    with Collector() as collector:
        sender = sending(collector)
        sender.counts = BrokenCounts()
        sender.add(finished_spans(1))
        sender.export()
        assert len(spans_of(collector)) == 1
        assert sender.counts.failed == [("metrics", "MemoryError")]
        assert sender.warnings == ["metrics are lost: metrics could not be encoded: MemoryError"]


ANSWERS = [
    (reply(401, b"no such key"), "it answered 401: no such key"),
    (reply(400, b"\n first \x1b[31mline\x07\r\nsecond"), "it answered 400: first [31mline"),
    (reply(400, b"\x08\x03\x12\x0bbad request"), "it answered 400: bad request"),
    (reply(400, b"\xff\xfe"), "it answered 400: \ufffd\ufffd"),
    (reply(400, b"x" * 100_000), "it answered 400: " + "x" * 183),
    (reply(404), "it answered 404"),
    (
        reply(302, b"moved", "Location: https://u:pw@new.test/v1?token=t#f\r\n"),
        "it answered 302 with the location https://new.test/v1",
    ),
    (
        reply(307, b"", "Location: /v2/traces?x=1\r\n"),
        "it answered 307 with the location /v2/traces",
    ),
    (
        reply(403, b"key sec-ret-value-1 in q-sec-ret-value is void"),
        "it answered 403: key ... in ... is void",
    ),
]


@pytest.mark.parametrize(("answer", "text"), ANSWERS)
def test_a_refusal_is_told_with_what_a_person_needs_and_without_our_secrets(
    start: Start, answer: bytes, text: str
) -> None:
    with Collector(lambda number, post: answer if TRACES in post.path else reply()) as collector:
        telemetry = start(
            None,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"{collector.url.replace('//', '//me:pass-word@')}/?api=q-sec-ret-value",
            OTEL_EXPORTER_OTLP_HEADERS="api-key=sec-ret-value-1",
        )
        telemetry.offer(*invocations(1))
        assert not telemetry.flush()
        assert telemetry.warnings == [f"traces are lost: {collector.url}{TRACES}: {text}"]


def test_one_kind_of_failure_is_told_once(sending: Callable[..., Sending]) -> None:
    with Collector(lambda number, post: reply(400, b"request %d" % number)) as collector:
        sender = sending(collector)
        for _ in range(3):
            sender.add(finished_spans(1))
            assert not sender.export()
        assert len(sender.warnings) == 1


def test_at_the_end_one_line_says_what_was_lost_since_when_and_why(start: Start) -> None:
    with Collector(
        lambda number, post: reply(503, b"full") if post.path == TRACES else reply()
    ) as collector:
        telemetry = start(collector, OTEL_BSP_MAX_QUEUE_SIZE="3", OTEL_BSP_SCHEDULE_DELAY="900000")
        telemetry.offer(*invocations(1))
        assert not telemetry.flush()
        telemetry.offer(*invocations(2, 3, 4, 5))
        assert not telemetry.shutdown()

        pattern = (
            r"lost since (20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ): 5 spans; "
            rf"the last because {collector.url}{TRACES}: it answered 503: full"
        )
        assert re.fullmatch(pattern, telemetry.warnings[-1])
        dropped = [
            point
            for post in collector.received(METRICS)
            for point in points(post, "lrap.spans.dropped")
        ]
        assert dropped == [({"error.type": "queue_full"}, 2)]


def test_where_nothing_was_lost_nothing_is_told_at_the_end(start: Start) -> None:
    with Collector(lambda number, post: reply(503) if number == 0 else reply()) as collector:
        telemetry = start(collector)
        telemetry.offer(*invocations(1))
        assert not telemetry.flush()
        assert telemetry.shutdown()
        assert not [text for text in telemetry.warnings if text.startswith("lost")]


def test_a_signal_whose_collector_hangs_does_not_take_the_other_s_time_at_the_end(
    start: Start,
) -> None:
    with Collector(lambda number, post: HANG if post.path == TRACES else reply()) as collector:
        telemetry = start(collector)
        telemetry.offer(*invocations(1))
        assert not telemetry.shutdown(seconds=0.6)
        assert [
            count
            for post in collector.received(METRICS)
            for _, count in points(post, "faas.invocations")
        ] == [1]
        assert telemetry.warnings[-1].endswith(
            f"1 span; the last because {collector.url}{TRACES}: no answer in time"
        )


@pytest.mark.parametrize(
    ("spans", "requests", "text"),
    [(1, 0, "1 span"), (0, 1, "1 metric request"), (3, 2, "3 spans and 2 metric requests")],
)
def test_losses_are_summed_up_in_words(spans: int, requests: int, text: str) -> None:
    losses = Losses(lambda: 86_400.0)
    losses.add("of that", spans=spans, metric_requests=requests)
    losses.add("nothing was lost then", spans=0)
    assert losses.lines() == [f"lost since 1970-01-02T00:00:00Z: {text}; the last because of that"]


HANGING = """
import sys, time, _thread
sys.path.insert(0, sys.argv[1])
from lrap_otel.telemetry.export import connection
from lrap_otel.telemetry.export.deadline import Deadline
from lrap_otel.telemetry.url import Url
one = connection.Connection(Url("http://collector.test/"), resolver=lambda host, port: time.sleep(600))
try:
    one.post({}, b"", Deadline(time.monotonic() + 0.05))
except connection.NotSentError as error:
    print(error, flush=True)
"""


def test_the_end_of_the_process_does_not_wait_for_a_name_that_never_resolves() -> None:
    begun_s = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", HANGING, ROOT],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert ended.stdout == "the name collector.test was not resolved in time\n"
    assert time.monotonic() - begun_s < PATIENCE_S
