"""Spans that no export could deliver outlive their process: the next one in the same sandbox sends
them.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lrap_otel.ipc import records
from lrap_otel.telemetry.export.spool import Spool
from lrap_otel.telemetry.export.waiting import _read, _written
from lrap_otel.telemetry.otlp.wire import Resource
from tests.telemetry.otlp_collector import HANG, Collector, reply
from tests.telemetry.proxy_records import delivered, invocations
from tests.telemetry.telemetry_thread import EVERY_FLUSH, Telemetry, plain, points, spans_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.telemetry.otlp_collector import Post

    Start = Callable[..., Telemetry]

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Start]:
    """Starts a telemetry process in the test's sandbox."""
    started: list[Telemetry] = []

    def _begin(collector: Collector | str, **variables: str) -> Telemetry:
        url = collector if isinstance(collector, str) else collector.url
        told = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "LRAP_SPOOL_BYTES": "",
            "LRAP_SPOOL_DIR": str(tmp_path),
        }
        started.append(
            Telemetry({name.encode(): value.encode() for name, value in (told | variables).items()})
        )
        return started[-1]

    yield _begin
    for each in started:
        each.end()


def dropped(posts: list[Post]) -> list[tuple[dict[str, Any], Any]]:
    """What the metrics say about spans that were given up."""
    of_metrics = [post for post in posts if post.path == "/v1/metrics"]
    return [each for post in of_metrics for each in points(post, "lrap.spans.dropped")]


def sent(posts: list[Post]) -> list[int]:
    """The spans' numbers, in order."""
    requests = [post.traces() for post in posts if post.path == "/v1/traces"]
    resources = [resource for request in requests for resource in request.resource_spans]
    return ids(
        [span for resource in resources for scope in resource.scope_spans for span in scope.spans]
    )


def ids(spans: list[Any]) -> list[int]:
    return [int.from_bytes(span.span_id, "big") for span in spans]


def test_what_a_killed_process_could_not_deliver_the_next_one_sends_first(
    begin: Start, tmp_path: Path
) -> None:
    killed = begin(NOWHERE)
    killed.offer(*invocations(1, 2, 3))
    assert not killed.flush()
    # Nothing more is heard of it: it has been killed.
    with Collector() as collector:
        following = begin(collector)
        following.offer(*invocations(4))
        assert following.flush()
        posts = collector.received("/v1/traces")
        resources = [resource for post in posts for resource in post.traces().resource_spans]
        found = [
            ids([span for scope in resource.scope_spans for span in scope.spans])
            for resource in resources
        ]
        assert found == [[1, 2, 3], [4]]
        earlier, later = (plain(resource.resource.attributes) for resource in resources)
        assert earlier.pop("service.instance.id") != later.pop("service.instance.id")
        assert earlier == later
        assert list(tmp_path.iterdir()) == []


def test_the_spans_of_the_spool_are_those_that_would_have_been_sent(begin: Start) -> None:
    with Collector(lambda number, post: reply(503)) as refusing:
        killed = begin(refusing)
        killed.offer(*invocations(1, 2))
        assert not killed.flush()
        refused = spans_of(refusing)
    with Collector() as collector:
        following = begin(collector)
        following.offer(*invocations(3))
        assert following.flush()
        assert spans_of(collector)[:2] == refused


def test_once_an_export_has_failed_spans_are_kept_before_the_next_attempt(
    begin: Start, tmp_path: Path
) -> None:
    """A kill in the midst of an attempt that hangs costs none."""
    with Collector(
        lambda number, post: HANG if number else reply(503, fields="Retry-After: 0\r\n")
    ) as hanging:
        telemetry = begin(hanging, OTEL_METRICS_EXPORTER="none")
        telemetry.offer(*invocations(1))
        assert not telemetry.flush()
        (file,) = tmp_path.iterdir()
        before = file.stat().st_size
        time.sleep(1.3)  # the pause after a failure
        telemetry.offer(*invocations(2))
        telemetry.channel.offer(records.flush(99, 0, 0, 0))
        assert hanging.next("/v1/traces")
        assert hanging.next("/v1/traces")  # the attempt is under way
        assert file.stat().st_size > before
        with Collector() as collector:
            following = begin(collector)
            following.offer(*invocations(3))
            assert following.flush()
            assert ids(spans_of(collector)) == [1, 2, 3]


def test_what_a_process_leaves_that_ends_after_the_next_has_begun_is_sent_as_well(
    begin: Start,
) -> None:
    """Its proxy has been killed, and it makes one last attempt."""
    with Collector() as collector:
        following = begin(collector)
        following.offer(*invocations(1))
        assert following.flush()
        late = begin(NOWHERE)
        late.offer(*invocations(2))
        assert not late.flush()
        following.offer(*invocations(3))
        assert following.flush()
        assert ids(spans_of(collector)) == [1, 2, 3]


def test_an_exporter_beside_the_spool_s_takes_nothing_of_it(begin: Start, tmp_path: Path) -> None:
    killed = begin(NOWHERE)
    killed.offer(*invocations(1))
    assert not killed.flush()
    (file,) = tmp_path.iterdir()
    before = file.read_bytes()
    with Collector() as collector:
        without_traces = begin(collector, OTEL_TRACES_EXPORTER="none")
        without_traces.offer(*invocations(2))
        assert without_traces.flush()
        assert file.read_bytes() == before
        both = begin(collector, OTEL_TRACES_EXPORTER="console,otlp")
        both.offer(*invocations(3))
        assert both.flush()
        assert ids(spans_of(collector)) == [1, 3]
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
def test_a_span_of_a_strangers_bytes_does_not_hold_up_ours(
    begin: Start, tmp_path: Path, protocol: str
) -> None:
    encoding = protocol.removeprefix("http/")
    resource = _written(Resource({}, ""))
    earlier = Spool(str(tmp_path / f".lrap-otel-spool-{os.geteuid()}"), 10_000, encoding)
    span = (resource, b'\xff\x00"}]')
    earlier.keep([span], 0, lambda: [span])
    earlier.close()
    with Collector(lambda number, _: reply(400 if number == 0 else 200)) as collector:
        telemetry = begin(
            collector, OTEL_EXPORTER_OTLP_PROTOCOL=protocol, OTEL_BSP_MAX_EXPORT_BATCH_SIZE="1"
        )
        telemetry.offer(*invocations(1))
        telemetry.flush()
        assert telemetry.flush()
        (strange, ours, *_) = [post for post in collector.received() if post.path == "/v1/traces"]
    assert span[1] in strange.content
    number = b"1".rjust(16, b"0") if encoding == "json" else (1).to_bytes(8, "big")
    assert number in ours.content


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
def test_both_protocols_have_a_spool(begin: Start, protocol: str) -> None:
    killed = begin(NOWHERE, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
    killed.offer(*invocations(1, 2))
    assert not killed.flush()
    with Collector() as collector:
        following = begin(collector, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
        following.offer(*invocations(3))
        assert following.flush()
        bodies = b"".join(post.body for post in collector.received("/v1/traces"))
        for number in (1, 2, 3):
            assert (
                f"{number:016x}".encode() if protocol == "http/json" else number.to_bytes(8, "big")
            ) in bodies


def test_at_shutdown_what_could_not_be_delivered_is_kept_and_one_line_says_so(begin: Start) -> None:
    killed = begin(NOWHERE, OTEL_METRICS_EXPORTER="none")
    killed.offer(*invocations(1), delivered(span_id_hex=f"{2:016x}"))
    assert not killed.shutdown("timeout")
    first, last = killed.warnings
    assert "could not be exported" in first
    assert last.startswith("not delivered since ")
    assert (
        ": 2 spans, which the next start of this sandbox sends; if there is none, they are lost"
        in last
    )
    assert last.endswith("; the last because http://127.0.0.1:1/v1/traces: connection refused")
    with Collector() as collector:
        following = begin(collector)
        assert following.shutdown()  # before any event
        assert ids(spans_of(collector)) == [1, 2]
        assert following.warnings == []


def test_as_long_as_nothing_fails_nothing_is_written(begin: Start, tmp_path: Path) -> None:
    before = tmp_path.stat().st_mtime_ns
    with Collector() as collector:
        telemetry = begin(collector)
        for number in range(3):
            telemetry.offer(*invocations(number))
            assert telemetry.flush()
        assert telemetry.shutdown()
    assert tmp_path.stat().st_mtime_ns == before


def test_nothing_is_written_where_the_spool_is_off(begin: Start, tmp_path: Path) -> None:
    telemetry = begin(NOWHERE, LRAP_SPOOL_BYTES="0")
    telemetry.offer(*invocations(1))
    assert not telemetry.shutdown()
    assert list(tmp_path.iterdir()) == []
    assert telemetry.warnings[-1].startswith("lost since ")


def test_the_file_goes_as_soon_as_the_collector_has_the_spans(begin: Start, tmp_path: Path) -> None:
    with Collector(lambda number, post: reply(200 if number else 503)) as collector:
        telemetry = begin(collector)
        telemetry.offer(*invocations(1, 2))
        assert not telemetry.flush()
        assert len(list(tmp_path.iterdir())) == 1
        telemetry.flush_until_sent()
        assert list(tmp_path.iterdir()) == []
        assert ids(spans_of(collector)) == [1, 2, 1, 2]


def test_what_the_collector_had_of_several_batches_is_not_sent_again(begin: Start) -> None:
    """The first batch arrives, the second is refused; then all are killed."""
    with Collector(lambda number, post: reply(503 if number else 200)) as collector:
        killed = begin(collector, OTEL_BSP_MAX_EXPORT_BATCH_SIZE="2")
        killed.offer(*invocations(1, 2, 3, 4))
        assert not killed.flush()
        assert ids(spans_of(collector)) == [1, 2, 3, 4]
    with Collector() as collector:
        following = begin(collector)
        following.offer(*invocations(5))
        assert following.flush()
        assert ids(spans_of(collector)) == [3, 4, 5]


def test_metrics_are_not_in_the_spool(begin: Start) -> None:
    killed = begin(NOWHERE, **EVERY_FLUSH)
    killed.offer(*invocations(1))
    assert not killed.flush()
    with Collector() as collector:
        following = begin(collector, **EVERY_FLUSH)
        following.offer(*invocations(2))
        assert following.flush()
        (post,) = collector.received("/v1/metrics")
        assert [count for _, count in points(post, "faas.invocations")] == [1]


def test_after_a_restore_nothing_of_the_snapshot_is_sent(begin: Start, tmp_path: Path) -> None:
    with Collector() as collector:
        telemetry = begin(NOWHERE)
        telemetry.offer(*invocations(1))
        assert not telemetry.flush()
        assert len(list(tmp_path.iterdir())) == 1
        telemetry.offer((records.restored(1), b""))
        assert telemetry.flush()
        assert list(tmp_path.iterdir()) == []
        # A file that was part of the snapshot, seen by a process that has not looked yet.
        killed = begin(NOWHERE)
        killed.offer(*invocations(2))
        assert not killed.flush()
        restored = begin(collector)
        restored.offer((records.restored(1), b""), *invocations(3))
        assert restored.flush()
        assert ids(spans_of(collector)) == [3]
        assert list(tmp_path.iterdir()) == []


def test_before_a_snapshot_nothing_is_written(begin: Start, tmp_path: Path) -> None:
    telemetry = begin(NOWHERE, AWS_LAMBDA_INITIALIZATION_TYPE="snap-start")
    telemetry.offer((records.init_error(1, 0), b""))
    assert not telemetry.flush()
    assert list(tmp_path.iterdir()) == []
    # An event is only delivered after it, be there a restore or, after a reset, none.
    telemetry.offer(*invocations(1))
    assert not telemetry.flush()
    assert len(list(tmp_path.iterdir())) == 1


def test_the_oldest_that_find_no_room_are_counted_by_the_next_process(begin: Start) -> None:
    killed = begin(NOWHERE, LRAP_SPOOL_BYTES="5000")
    killed.offer(*invocations(*range(40)))
    assert not killed.flush()
    with Collector() as collector:
        following = begin(collector, LRAP_SPOOL_BYTES="5000", **EVERY_FLUSH)
        following.offer(*invocations(40))
        assert following.flush()
        following.flush()
        posts = collector.received()
        found = sent(posts)
        assert 2 < len(found) < 40
        assert found == list(range(41))[-len(found) :]
        missing = 41 - len(found)
        assert following.warnings == [
            f"{missing} spans of an earlier process are lost: the spool had no room for them"
        ]
        assert dropped(posts) == [({"error.type": "spool_full"}, missing)]


def test_more_than_may_wait_give_way_to_what_is_new(begin: Start) -> None:
    killed = begin(NOWHERE)
    killed.offer(*invocations(*range(10)))
    assert not killed.flush()
    with Collector() as collector:
        following = begin(collector, OTEL_BSP_MAX_QUEUE_SIZE="4", **EVERY_FLUSH)
        following.offer(*invocations(10))
        assert following.flush()
        posts = collector.received()
        assert sent(posts) == [7, 8, 9, 10]
        assert dropped(posts) == [({"error.type": "queue_full"}, 7)]


def test_a_damaged_file_yields_what_is_whole_and_a_line(begin: Start, tmp_path: Path) -> None:
    killed = begin(NOWHERE)
    killed.offer(*invocations(1, 2, 3))
    assert not killed.flush()
    (file,) = tmp_path.iterdir()
    os.truncate(file, file.stat().st_size - 5)
    with Collector() as collector:
        following = begin(collector)
        following.offer(*invocations(4))
        assert following.flush()
        assert ids(spans_of(collector)) == [1, 2, 4]
        (warning,) = following.warnings
        assert f"({file}) is damaged after 2 of them" in warning


def plant_fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize("plant", [plant_fifo, Path.mkdir], ids=["fifo", "folder"])
def test_a_strangers_file_in_its_place_costs_no_time_and_no_spans_while_the_process_lives(
    begin: Start, tmp_path: Path, plant: Callable[[Path], None]
) -> None:
    plant(tmp_path / f".lrap-otel-spool-{os.geteuid()}")
    with Collector(lambda number, post: reply(200 if number else 503)) as collector:
        telemetry = begin(collector, OTEL_METRICS_EXPORTER="none")
        telemetry.offer(*invocations(1))
        assert not telemetry.flush()
        assert ["cannot be used" in warning for warning in telemetry.warnings] == [
            True,
            False,
            True,
        ]
        telemetry.flush_until_sent()
        assert ids(spans_of(collector)) == [1, 1]


def test_where_nothing_can_be_written_spans_wait_in_memory_and_one_line_says_so(
    begin: Start, tmp_path: Path
) -> None:
    with Collector(lambda number, post: reply(200 if number else 503)) as collector:
        telemetry = begin(collector, LRAP_SPOOL_DIR=str(tmp_path / "missing"))
        telemetry.offer(*invocations(1))
        assert not telemetry.flush()
        assert not telemetry.flush()  # a pause
        assert (
            sum("lost if this sandbox is reset" in warning for warning in telemetry.warnings) == 1
        )
        telemetry.flush_until_sent()
        assert ids(spans_of(collector)) == [1, 1]


@pytest.mark.parametrize("folder", ["tmp", "./tmp", "~/tmp"])
def test_a_folder_that_is_no_absolute_path_is_not_used(begin: Start, folder: str) -> None:
    with Collector() as collector:
        telemetry = begin(collector, LRAP_SPOOL_DIR=folder)
        assert telemetry.shutdown()
        assert telemetry.warnings == [
            "LRAP_SPOOL_DIR is not an absolute path; /tmp is used instead"
        ]


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {
            "a": "b",
            "n": 134_217_728,
            "x": 1.5,
            "yes": True,
            "no": False,
            "list": ["a", "b"],
            "none": [],
        },
        {'"\\\n\ud800ü': "\u2028\ud801\x00"},
    ],
)
def test_a_resource_is_read_as_it_was_written(attributes: dict[str, Any]) -> None:
    resource = Resource(attributes, "https://example.com/schema")
    read = _read(_written(resource))
    assert (read.encoded, read.schema_url) == (resource.encoded, resource.schema_url)


DEEP = b'[{"a":' + b"[" * 700 + b"]" * 700 + b'},"s"]'


@pytest.mark.parametrize(
    "written",
    [b"", b"null", b"[]", b"[1,2,3]", b"{}", b'{"a":1}', b'[{"a":{"b":[null]}},"s"]', DEEP],
)
def test_what_is_no_resource_is_read_without_harm(written: bytes) -> None:
    assert isinstance(_read(written).encoded, bytes)
