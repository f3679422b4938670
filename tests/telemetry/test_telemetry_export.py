"""What becomes of spans and metrics when the collector is not well."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from lrap_otel.ipc import records
from tests.telemetry.otlp_collector import DROP, HANG, Collector, reply
from tests.telemetry.proxy_records import DELIVERED_NS, invocations
from tests.telemetry.telemetry_thread import EVERY_FLUSH, plain, points, spans_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.telemetry.telemetry_thread import Telemetry

    Start = Callable[..., Telemetry]

RETRYABLE = [429, 502, 503, 504]
SOON_MS = 1_000


def span_ids(collector: Collector) -> list[str]:
    return [span.span_id.hex()[-2:] for span in spans_of(collector)]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_each_signal_keeps_its_connection(start: Start, collector: Collector) -> None:
    telemetry = start(collector, **EVERY_FLUSH)
    for number in (1, 2, 3):
        telemetry.offer(*invocations(number))
        assert telemetry.flush()

    posts = collector.received()
    assert len(posts) == 6
    assert len({(post.path, post.connection) for post in posts}) == 2


def test_nothing_is_sent_when_nothing_happened(start: Start, collector: Collector) -> None:
    telemetry = start(collector)

    assert telemetry.flush()
    assert telemetry.shutdown()
    assert not collector.received()


@pytest.mark.parametrize("status", RETRYABLE)
def test_spans_the_collector_could_not_take_now_are_sent_later(start: Start, status: int) -> None:
    with Collector(lambda number, post: reply(status) if number < 1 else reply()) as collector:
        telemetry = start(collector)
        telemetry.offer(*invocations(1))
        assert not telemetry.flush()
        collector.received()
        telemetry.offer(*invocations(2))

        telemetry.flush_until_sent()
        assert span_ids(collector) == ["01", "02"]


@pytest.mark.parametrize("status", [302, 400, 401, 404, 408, 413, 500, 501])
def test_spans_the_collector_will_never_take_are_given_up_with_one_warning(
    start: Start, status: int
) -> None:
    with Collector(
        lambda number, post: reply(status) if "traces" in post.path else reply()
    ) as collector:
        telemetry = start(collector, **EVERY_FLUSH)
        for number in (1, 2):
            telemetry.offer(*invocations(number))
            assert not telemetry.flush()

        assert telemetry.warnings == [
            f"traces are lost: {collector.url}/v1/traces: it answered {status}"
        ]
        assert span_ids(collector) == ["01", "02"]
        telemetry.offer(*invocations(3))
        telemetry.flush()
        dropped = [
            point
            for post in collector.received("/v1/metrics")
            for point in points(post, "lrap.spans.dropped")
        ]
        assert dropped == [({"error.type": str(status)}, 1)]


def test_metrics_the_collector_certainly_does_not_have_are_sent_again(start: Start) -> None:
    with Collector(lambda number, post: reply(503) if number < 1 else reply()) as collector:
        telemetry = start(collector)
        telemetry.offer(*invocations(1))
        assert not telemetry.flush()
        collector.received()

        assert telemetry.shutdown()
        again = [
            point
            for post in collector.received("/v1/metrics")
            for point in points(post, "faas.invocations")
        ]
        assert again == [({"faas.trigger": "other"}, 1)]


def test_a_collector_that_hangs_costs_no_spans(start: Start) -> None:
    with Collector(lambda number, post: HANG if number < 1 else reply()) as collector:
        telemetry = start(collector)
        telemetry.offer(*invocations(1))
        assert not telemetry.flush(SOON_MS)
        collector.received()

        assert telemetry.flush()
        assert span_ids(collector) == ["01"]


def test_metrics_that_may_have_arrived_are_not_sent_again(start: Start) -> None:
    with Collector(
        lambda number, post: HANG if number < 1 and "metrics" in post.path else reply()
    ) as collector:
        telemetry = start(collector)
        telemetry.offer(*invocations(1))
        assert not telemetry.flush(SOON_MS)
        collector.received()

        assert telemetry.flush()
        assert [
            point for post in collector.received() for point in points(post, "faas.invocations")
        ] == []


def test_a_collector_that_dribbles_its_answer_is_given_up(start: Start) -> None:
    with Collector(lambda number, post: b"HTTP/1.1 200 OK\r\nContent-Le") as collector:
        telemetry = start(collector)
        telemetry.offer(*invocations(1))

        assert not telemetry.flush(SOON_MS)


def test_a_refused_connection_is_no_reason_to_lose_spans(start: Start) -> None:
    endpoint = f"http://127.0.0.1:{closed_port()}"
    telemetry = start(None, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    telemetry.offer(*invocations(1))

    assert not telemetry.flush()
    assert (
        f"traces could not be exported: {endpoint}/v1/traces: connection refused"
        in telemetry.warnings
    )


def test_a_name_is_tried_at_each_of_its_addresses(start: Start, collector: Collector) -> None:
    telemetry = start(None, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://localhost:{collector.port}")
    telemetry.offer(*invocations(1))

    assert telemetry.flush()
    assert span_ids(collector) == ["01"]


def test_a_name_that_cannot_be_looked_up_is_no_reason_to_lose_spans(start: Start) -> None:
    telemetry = start(None, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{'x' * 64}.invalid:4318")
    telemetry.offer(*invocations(1))

    assert not telemetry.flush()
    (warning,) = (
        text for text in telemetry.warnings if text.startswith("traces could not be exported")
    )
    assert f"the name {'x' * 64}.invalid was not resolved" in warning


def test_a_kept_connection_that_dies_unanswered_is_replaced_once(start: Start) -> None:
    with Collector(lambda number, post: DROP if number == 1 else reply()) as collector:
        telemetry = start(collector)
        telemetry.offer(*invocations(1))
        assert telemetry.flush()
        telemetry.offer(*invocations(2))

        assert telemetry.flush()
        assert span_ids(collector) == ["01", "02", "02"]
        assert telemetry.warnings == []


def test_a_collector_that_dies_half_way_through_its_answer_gets_the_spans_again(
    start: Start,
) -> None:
    broken = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
    with Collector(lambda number, post: broken if number == 0 else reply()) as collector:
        telemetry = start(collector)
        telemetry.offer(*invocations(1))
        assert not telemetry.flush()

        telemetry.flush_until_sent()
        assert span_ids(collector) == ["01", "01"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + reply(), id="after a 100"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", id="without a body"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="chunked"
        ),
        pytest.param(
            b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n", id="until the end of the connection"
        ),
    ],
)
def test_every_way_to_say_yes_is_understood(start: Start, answer: bytes) -> None:
    with Collector(lambda number, post: answer) as collector:
        telemetry = start(collector)
        for number in (1, 2):
            telemetry.offer(*invocations(number))
            assert telemetry.flush()

        assert span_ids(collector) == ["01", "02"]


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-x\r\n\r\n" + b"Connection: close", b"HTTP/1.1 2000 OK\r\n\r\nconnection: close"],
)
def test_an_answer_that_is_no_http_is_no_yes(start: Start, answer: bytes) -> None:
    with Collector(lambda number, post: answer) as collector:
        telemetry = start(collector)
        telemetry.offer(*invocations(1))

        assert not telemetry.flush()


def test_a_partial_success_is_told(start: Start) -> None:
    traces = ExportTraceServiceResponse()
    traces.partial_success.rejected_spans = 1
    traces.partial_success.error_message = "secret"
    metrics = ExportMetricsServiceResponse()
    metrics.partial_success.rejected_data_points = 2
    bodies = {"/v1/traces": traces.SerializeToString(), "/v1/metrics": metrics.SerializeToString()}
    with Collector(lambda number, post: reply(200, bodies[post.path])) as collector:
        telemetry = start(collector)
        telemetry.offer(*invocations(1))

        assert telemetry.flush()
        assert sorted(telemetry.warnings) == [
            f"{collector.url}/v1/metrics took only a part of the metrics it was sent",
            f"{collector.url}/v1/traces took only a part of the spans it was sent",
        ]


def test_a_reply_that_is_no_protobuf_is_a_yes_like_any_other(start: Start) -> None:
    with Collector(lambda number, post: reply(200, b"\xff<html>")) as collector:
        telemetry = start(collector)
        telemetry.offer(*invocations(1))

        assert telemetry.flush()
        assert telemetry.warnings == []


def test_the_oldest_spans_give_way_when_the_queue_is_full(start: Start) -> None:
    with Collector(lambda number, post: reply(503) if number < 1 else reply()) as collector:
        telemetry = start(collector, OTEL_BSP_MAX_QUEUE_SIZE="2")
        telemetry.offer(*invocations(1))
        assert not telemetry.flush()
        collector.received()
        telemetry.offer(*invocations(2))
        telemetry.offer(*invocations(3))

        telemetry.flush_until_sent()
        assert span_ids(collector)[-2:] == ["02", "03"]


def test_a_flush_sends_batches_no_larger_than_allowed(start: Start, collector: Collector) -> None:
    telemetry = start(
        collector, OTEL_BSP_MAX_EXPORT_BATCH_SIZE="2", OTEL_BSP_SCHEDULE_DELAY="900000"
    )
    telemetry.offer(*invocations(1, 2, 3, 4, 5))

    assert telemetry.flush()
    sizes = [
        len(post.traces().resource_spans[0].scope_spans[0].spans)
        for post in collector.received("/v1/traces")
    ]
    assert sum(sizes) == 5
    assert max(sizes) == 2


def test_without_any_flush_spans_leave_after_the_schedule_delay(
    start: Start, collector: Collector
) -> None:
    telemetry = start(collector, OTEL_BSP_SCHEDULE_DELAY="20", OTEL_METRIC_EXPORT_INTERVAL="20")
    telemetry.offer(*invocations(1))

    assert collector.next("/v1/traces")
    assert collector.next("/v1/metrics")


def test_without_any_flush_a_full_batch_leaves_at_once(start: Start, collector: Collector) -> None:
    telemetry = start(
        collector, OTEL_BSP_SCHEDULE_DELAY="900000", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="3"
    )
    telemetry.offer(*invocations(1, 2, 3))

    assert len(collector.next("/v1/traces").traces().resource_spans[0].scope_spans[0].spans) == 3


def test_a_flush_for_which_nobody_waits_any_more_is_made_all_the_same(
    start: Start, collector: Collector
) -> None:
    telemetry = start(collector)
    telemetry.offer(*invocations(1))

    assert telemetry.flush(0)
    assert span_ids(collector) == ["01"]


def test_a_flush_for_which_nobody_waits_does_not_wait_for_ever_itself(start: Start) -> None:
    with Collector(lambda number, post: HANG) as collector:
        telemetry = start(collector)
        telemetry.offer(*invocations(1))

        assert not telemetry.flush(0)


def test_shutdown_leaves_before_its_deadline_when_the_collector_hangs(start: Start) -> None:
    with Collector(lambda number, post: HANG) as collector:
        telemetry = start(collector)
        telemetry.offer(*invocations(1))

        assert not telemetry.shutdown(seconds=0.5)


def test_what_is_finished_is_sent_even_where_a_shutdown_s_time_has_gone_by(
    start: Start, collector: Collector
) -> None:
    telemetry = start(collector)
    telemetry.offer(*invocations(1))

    assert telemetry.shutdown(seconds=0)
    assert span_ids(collector) == ["01"]


def test_headers_and_compression_are_the_users(start: Start, collector: Collector) -> None:
    telemetry = start(
        collector,
        OTEL_EXPORTER_OTLP_HEADERS="api-key=a%20b,user-agent=mine,,broken,evil=a%0D%0Ab",
        OTEL_EXPORTER_OTLP_TRACES_HEADERS="only=traces",
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
    )
    telemetry.offer(*invocations(1))
    assert telemetry.flush()

    posts = {post.path: post for post in collector.received()}
    assert posts["/v1/traces"].fields["only"] == "traces"
    metrics = posts["/v1/metrics"]
    assert (metrics.fields["api-key"], metrics.fields["user-agent"]) == ("a b", "mine")
    assert (metrics.fields["content-encoding"], metrics.fields["content-type"]) == (
        "gzip",
        "application/x-protobuf",
    )
    assert "evil" not in metrics.fields
    assert points(metrics, "faas.invocations") == [({"faas.trigger": "other"}, 1)]


def test_each_signal_goes_where_its_own_variable_says(start: Start, collector: Collector) -> None:
    telemetry = start(
        None,
        OTEL_EXPORTER_OTLP_ENDPOINT=f"{collector.url}/base/",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{collector.url}/own?x=1",
        http_proxy="http://127.0.0.1:1",
        HTTP_PROXY="http://127.0.0.1:1",
    )
    telemetry.offer(*invocations(1))

    assert telemetry.flush()
    assert {post.path for post in collector.received()} == {"/own?x=1", "/base/v1/metrics"}


def test_a_user_and_password_in_the_address_are_sent_as_credentials(
    start: Start, collector: Collector
) -> None:
    telemetry = start(
        None, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://me:se%40cret@127.0.0.1:{collector.port}"
    )
    telemetry.offer(*invocations(1))

    assert telemetry.flush()
    fields = collector.next("/v1/traces").fields
    assert fields["authorization"] == "Basic bWU6c2VAY3JldA=="
    assert fields["host"] == f"127.0.0.1:{collector.port}"


@pytest.mark.parametrize(
    ("variable", "left"), [("TRACES", "/v1/metrics"), ("METRICS", "/v1/traces")]
)
def test_a_signal_can_be_switched_off(
    start: Start, collector: Collector, variable: str, left: str
) -> None:
    telemetry = start(collector, **{f"OTEL_{variable}_EXPORTER": "none"})
    telemetry.offer(*invocations(1))

    assert telemetry.flush()
    assert [post.path for post in collector.received()] == [left]


def test_an_endpoint_that_cannot_be_used_is_told_and_the_rest_goes_on(
    start: Start, collector: Collector
) -> None:
    telemetry = start(
        collector,
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="https://127.0.0.1/",
        OTEL_EXPORTER_OTLP_CERTIFICATE="/nowhere",
    )
    telemetry.offer(*invocations(1))

    assert telemetry.flush()
    assert [post.path for post in collector.received()] == ["/v1/metrics"]
    (warning,) = telemetry.warnings
    assert (
        warning
        == "traces cannot be exported with these settings: /nowhere: No such file or directory"
    )


def test_tls_trusts_the_users_certificate_and_keeps_its_connection(
    start: Start, tls: ssl.SSLContext, certificate: Path
) -> None:
    tls.load_verify_locations(certificate)
    tls.verify_mode = ssl.CERT_REQUIRED
    with Collector(tls=tls) as collector:
        telemetry = start(
            collector,
            **EVERY_FLUSH,
            OTEL_EXPORTER_OTLP_CERTIFICATE=str(certificate),
            OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=str(certificate),
            OTEL_EXPORTER_OTLP_CLIENT_KEY=str(certificate),
        )
        for number in (1, 2):
            telemetry.offer(*invocations(number))
            assert telemetry.flush()

        posts = collector.received()
        assert len(posts) == 4
        assert len({(post.path, post.connection) for post in posts}) == 2


def test_tls_refuses_a_certificate_nobody_vouches_for(start: Start, tls: ssl.SSLContext) -> None:
    with Collector(tls=tls) as collector:
        telemetry = start(collector)
        telemetry.offer(*invocations(1))

        assert not telemetry.flush()
        (warning,) = (text for text in telemetry.warnings if text.startswith("traces"))
        assert warning == (
            f"traces could not be exported: {collector.url}/v1/traces: "
            "the server's certificate is not accepted: self-signed certificate"
        )
        assert not collector.received()


def test_after_a_restore_nothing_of_the_snapshot_is_sent_and_the_instance_is_new(
    start: Start, collector: Collector
) -> None:
    telemetry = start(collector)
    telemetry.offer(*invocations(1))
    assert telemetry.flush()
    telemetry.offer(*invocations(2), (records.restored(DELIVERED_NS), b""), *invocations(3))
    assert telemetry.flush()

    posts = collector.received("/v1/traces")
    instances = {
        plain(post.traces().resource_spans[0].resource.attributes)["service.instance.id"]
        for post in posts
    }
    ids = [post.traces().resource_spans[0].scope_spans[0].spans[0].span_id[-1] for post in posts]
    assert ids == [1, 3]
    assert len(instances) == 2
    assert len({post.connection for post in posts}) == 2
