"""What a function prints, as log records with the ids of the invocation that printed it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from lrap_otel.emulator.signals import plain as plain_value
from lrap_otel.telemetry.logs import gathering
from tests.telemetry.otlp_collector import HANG, Collector, reply
from tests.telemetry.platform_events import event, line, report, runtime_done, start
from tests.telemetry.proxy_records import (
    DELIVERED_NS,
    REQUEST_ID,
    SPAN_ID_HEX,
    TRACE_ID_HEX,
    delivered,
    finished,
)
from tests.telemetry.telemetry_thread import EVERY_FLUSH, plain, points, spans_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

    from tests.telemetry.telemetry_thread import Telemetry

    Start = Callable[..., Telemetry]

OTHER_ID, OTHER_SPAN_HEX = "11111111-e9f4-11e8-9739-2dfe598c3fcd", "b" * 16
LOGS = {"OTEL_LOGS_EXPORTER": "otlp"}
MANAGED = {"AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances"}


class Sent:
    """The log records that have come, in order."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self.records: list[LogRecord] = []
        self.resources: list[dict[str, Any]] = []

    def look(self) -> list[LogRecord]:
        for post in self._collector.received("/v1/logs"):
            for resource in post.logs().resource_logs:
                self.resources.append(plain(resource.resource.attributes))
                self.records += [
                    record for scope in resource.scope_logs for record in scope.log_records
                ]
        return self.records

    def bodies(self) -> list[Any]:
        return [plain_value(record.body) for record in self.look()]

    def ids(self) -> list[tuple[str, str, str]]:
        """Trace id, span id and invocation id of each."""
        return [
            (
                record.trace_id.hex(),
                record.span_id.hex(),
                plain(record.attributes).get("faas.invocation_id", ""),
            )
            for record in self.look()
        ]


@pytest.fixture
def sent(collector: Collector) -> Sent:
    return Sent(collector)


OURS = (TRACE_ID_HEX, SPAN_ID_HEX, REQUEST_ID)
OTHERS = (TRACE_ID_HEX, OTHER_SPAN_HEX, OTHER_ID)
NOBODYS = ("", "", "")


def test_a_line_has_the_ids_of_the_invocation_that_runs(
    start_hearing: Start, collector: Collector, sent: Sent
) -> None:
    telemetry = start_hearing(collector, **LOGS)
    telemetry.tell(line("before it", -50), start(), line("hello"))
    telemetry.offer(delivered(), finished())
    telemetry.tell(line("hello again", 20), runtime_done(), line("after it", 30))
    assert telemetry.shutdown()

    assert sent.bodies() == ["before it", "hello", "hello again", "after it"]
    assert sent.ids() == [NOBODYS, OURS, OURS, OURS]
    first = sent.records[1]
    assert (first.time_unix_nano, first.flags) == (DELIVERED_NS + 10_000_000, 1)
    assert first.observed_time_unix_nano > first.time_unix_nano
    assert sent.resources[0]["faas.name"] == "orders"


def test_a_request_id_in_the_record_comes_first(
    start_hearing: Start, collector: Collector, sent: Sent
) -> None:
    telemetry = start_hearing(collector, **LOGS)
    telemetry.offer(
        delivered(), finished(), delivered(request_id=OTHER_ID, span_id_hex=OTHER_SPAN_HEX)
    )
    telemetry.tell(
        start(),
        start(OTHER_ID),
        line(f"[INFO]\t2023-11-14T22:13:20.500Z\t{REQUEST_ID}\tlate\n"),
        line({"level": "INFO", "message": "late as well", "requestId": REQUEST_ID}),
        line("in time"),
        line("order 22222222-e9f4-11e8-9739-2dfe598c3fcd, which is nobody's request"),
    )
    assert telemetry.shutdown()
    assert sent.ids() == [OURS, OURS, OTHERS, OTHERS]


def test_a_request_id_of_another_service_stays_an_attribute(
    start_hearing: Start, collector: Collector, sent: Sent
) -> None:
    telemetry = start_hearing(collector, **LOGS)
    telemetry.tell(line({"message": "early", "requestId": "of another"}), start())
    telemetry.offer(delivered(), finished())
    telemetry.tell(
        line({"message": "hi", "requestId": "of another"}),
        line({"message": "hi", "requestId": REQUEST_ID}),
    )
    assert telemetry.shutdown()
    ours = {"faas.invocation_id": REQUEST_ID}
    assert [plain(record.attributes) for record in sent.look()] == [
        {"requestId": "of another"},
        {**ours, "requestId": "of another"},
        ours,
    ]


@pytest.mark.parametrize("variables", [{}, MANAGED])
@pytest.mark.parametrize("comes_late", [False, True])
def test_of_several_request_ids_the_one_that_lambda_knows_counts(
    start_hearing: Start,
    collector: Collector,
    sent: Sent,
    variables: dict[str, str],
    *,
    comes_late: bool,
) -> None:
    gateways = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
    printed = line({"message": "hi", "requestId": gateways, "AWSRequestId": REQUEST_ID})
    telemetry = start_hearing(collector, **LOGS, **variables)
    if comes_late:
        telemetry.tell(printed)
        telemetry.offer(delivered(), finished())
    else:
        telemetry.offer(delivered(), finished())
        telemetry.tell(printed)
    assert telemetry.shutdown()
    is_unknown = comes_late and not variables
    assert sent.ids() == [NOBODYS if is_unknown else OURS]
    (record,) = sent.records
    ours = {} if is_unknown else {"faas.invocation_id": REQUEST_ID}
    theirs = {"AWSRequestId": REQUEST_ID} if is_unknown else {}
    assert plain(record.attributes) == {"requestId": gateways, **ours, **theirs}


def test_on_managed_instances_only_a_request_id_tells(
    start_hearing: Start, collector: Collector, sent: Sent
) -> None:
    telemetry = start_hearing(collector, **LOGS, **MANAGED)
    telemetry.offer(delivered(), delivered(request_id=OTHER_ID, span_id_hex=OTHER_SPAN_HEX))
    telemetry.tell(
        line({"level": "INFO", "message": "before its start", "requestId": OTHER_ID}),
        start(OTHER_ID),
        start(),
        line({"level": "INFO", "message": "hi", "requestId": OTHER_ID}),
        line({"level": "INFO", "message": "hi", "requestId": REQUEST_ID}),
        line("nobody's"),
    )
    assert telemetry.shutdown()
    assert sent.ids() == [OTHERS, OTHERS, OURS, NOBODYS] or sorted(sent.ids()) == sorted(
        [OTHERS, OTHERS, OURS, NOBODYS]
    )


def test_a_record_that_names_its_own_span_keeps_it(
    start_hearing: Start, collector: Collector, sent: Sent
) -> None:
    telemetry = start_hearing(collector, **LOGS)
    telemetry.offer(delivered(), finished())
    named = {"message": "hi", "trace_id": TRACE_ID_HEX, "span_id": "c" * 16}
    strange = {"message": "hi", "trace_id": "d" * 32}
    ours = {"message": "hi", "trace_id": TRACE_ID_HEX}
    telemetry.tell(start(), line(named), line(strange), line(ours))
    assert telemetry.shutdown()
    assert sent.ids() == [(TRACE_ID_HEX, "c" * 16, REQUEST_ID), ("d" * 32, "", REQUEST_ID), OURS]


def test_a_line_of_an_invocation_that_did_not_come_through_the_proxy_has_its_id_alone(
    start_hearing: Start, collector: Collector, sent: Sent
) -> None:
    telemetry = start_hearing(collector, **LOGS)
    telemetry.tell(start(), line("hello"))
    assert telemetry.shutdown()
    assert sent.ids() == [("", "", REQUEST_ID)]


def test_lines_leave_by_themselves_as_well(start_hearing: Start, collector: Collector) -> None:
    telemetry = start_hearing(collector, **LOGS)
    telemetry.tell(start(), line("hello"), line("not through the proxy"))
    post = collector.next("/v1/logs")
    (record, _) = post.logs().resource_logs[0].scope_logs[0].log_records
    assert record.body.string_value == "hello"
    assert telemetry.shutdown()


def test_a_batch_that_comes_twice_is_sent_once(
    start_hearing: Start, collector: Collector, sent: Sent
) -> None:
    telemetry = start_hearing(collector, **LOGS)
    for _ in range(2):
        telemetry.tell(start(), line("hello"), line("hello"))
    assert telemetry.shutdown()
    assert sent.bodies() == ["hello", "hello"]


@pytest.mark.parametrize(
    ("variables", "bodies"),
    [
        ({}, []),
        ({"OTEL_LOGS_EXPORTER": "none"}, []),
        ({"OTEL_LOGS_EXPORTER": "otlp", "LRAP_TELEMETRY_API": "platform"}, []),
        ({"OTEL_LOGS_EXPORTER": "otlp"}, ["of the function", "of an extension"]),
        ({"LRAP_TELEMETRY_API": "all"}, ["of the function", "of an extension"]),
        ({"LRAP_TELEMETRY_API": "all", "OTEL_LOGS_EXPORTER": "none"}, []),
    ],
)
def test_logs_are_sent_if_they_are_asked_for(
    start_hearing: Start,
    collector: Collector,
    sent: Sent,
    variables: dict[str, str],
    bodies: list[str],
) -> None:
    telemetry = start_hearing(collector, **variables)
    telemetry.tell(line("of the function"), line("of an extension", kind="extension"))
    assert telemetry.shutdown()
    assert sent.bodies() == bodies
    if bodies:
        assert plain(sent.records[1].attributes)["lrap.log.source"] == "extension"


def test_our_own_lines_are_never_sent(
    start_hearing: Start, collector: Collector, sent: Sent
) -> None:
    telemetry = start_hearing(collector, LRAP_TELEMETRY_API="all")
    telemetry.tell(
        line("lrap-otel: warning: logs could not be exported", kind="extension"),
        line(
            '{"resourceSpans":[{"scopeSpans":[]}]}\n', kind="extension"
        ),  # OTEL_TRACES_EXPORTER=console
        line('{"resourceMetrics":[{"scopeMetrics":[]}]}\n', kind="extension"),
        line("another's", kind="extension"),
    )
    assert telemetry.shutdown()
    assert sent.bodies() == ["another's"]


@pytest.mark.parametrize(
    ("level", "bodies"),
    [("warn", ["W", "E", "?"]), ("ERROR", ["E", "?"]), ("debug", ["I", "W", "E", "?"])],
)
def test_a_floor_leaves_out_what_is_less(
    start_hearing: Start, collector: Collector, sent: Sent, level: str, bodies: list[str]
) -> None:
    telemetry = start_hearing(collector, **LOGS, LRAP_LOGS_LEVEL=level)
    telemetry.tell(
        *(line({"level": word, "message": word[0]}) for word in ("info", "warning", "error"))
    )
    telemetry.tell(line("?"))
    assert telemetry.shutdown()
    assert [body.upper() for body in sent.bodies()] == bodies


def test_a_rate_limit_says_what_it_cut(start_hearing: Start, collector: Collector) -> None:
    telemetry = start_hearing(collector, **LOGS, **EVERY_FLUSH, LRAP_LOGS_RATE="3")
    telemetry.tell(*(line(f"line {number}") for number in range(10)))
    assert telemetry.shutdown()
    posts = collector.received()
    measured = [post for post in posts if post.path == "/v1/metrics"]
    assert [point for post in measured for point in points(post, "lrap.logs.dropped")] == [
        ({"error.type": "rate_limit"}, 7)
    ]
    (post,) = (post for post in posts if post.path == "/v1/logs")
    records = post.logs().resource_logs[0].scope_logs[0].log_records
    assert [record.body.string_value for record in records] == [
        *("line 0", "line 1", "line 2"),
        "7 log records were left out (LRAP_LOGS_RATE=3)",
    ]
    assert (records[-1].severity_text, records[-1].severity_number) == ("WARN", 13)


def test_what_the_floor_leaves_out_does_not_count_for_the_rate(
    start_hearing: Start, collector: Collector, sent: Sent
) -> None:
    telemetry = start_hearing(collector, **LOGS, LRAP_LOGS_LEVEL="error", LRAP_LOGS_RATE="3")
    telemetry.tell(*(line({"level": "debug", "message": number}) for number in range(10)))
    telemetry.tell(line({"level": "error", "message": "no"}))
    assert telemetry.shutdown()
    assert sent.bodies() == ["no"]


def test_what_waits_for_its_invocation_is_bounded_in_bytes(
    start_hearing: Start, collector: Collector, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "_PARKED_NS", 3_600_000_000_000)
    telemetry = start_hearing(collector, **LOGS)
    for number in range(6):
        telemetry.tell(*([start()] if not number else []), line(f"{number}" + "x" * 500_000))
    telemetry.flush()
    assert [body[:1] for body in sent.bodies()] == ["0", "1"]
    telemetry.shutdown()


def test_a_part_that_the_collector_did_not_take_is_counted(start_hearing: Start) -> None:
    response = ExportLogsServiceResponse()
    response.partial_success.rejected_log_records = 2
    said = response.SerializeToString()
    with Collector(
        lambda _, post: reply(200, said if post.path == "/v1/logs" else b"")
    ) as collector:
        telemetry = start_hearing(collector, **LOGS, **EVERY_FLUSH)
        telemetry.tell(line("one"), line("two"), line("three"))
        telemetry.flush()
        telemetry.shutdown()
        posts = collector.received("/v1/metrics")
        counted = [point for post in posts for point in points(post, "lrap.logs.dropped")]
        assert counted == [({"error.type": "partial_success"}, 2)]


def test_what_the_collector_refuses_is_counted_and_said(start_hearing: Start) -> None:
    with Collector(lambda _, post: reply(401 if post.path == "/v1/logs" else 200)) as collector:
        telemetry = start_hearing(collector, **LOGS, **EVERY_FLUSH)
        telemetry.tell(line("hello"))
        assert not telemetry.flush()
        assert telemetry.shutdown()
        assert [warning for warning in telemetry.warnings if warning.startswith("logs are lost: ")]
        posts = collector.received("/v1/metrics")
        assert [point for post in posts for point in points(post, "lrap.logs.dropped")] == [
            ({"error.type": "401"}, 1)
        ]
        failed = [point for post in posts for point in points(post, "lrap.exports.failed")]
        assert failed == [({"lrap.signal": "logs", "error.type": "401"}, 1)]


def test_what_the_collector_cannot_take_now_is_sent_again(start_hearing: Start) -> None:
    with Collector(
        lambda number, post: reply(503 if post.path == "/v1/logs" and not number else 200)
    ) as collector:
        telemetry = start_hearing(collector, **LOGS)
        telemetry.tell(line("hello"))
        telemetry.flush_until_sent()
        assert telemetry.shutdown()
        assert Sent(collector).bodies() == ["hello", "hello"]


def test_logs_do_not_wait_for_spans_nor_spans_for_logs(start_hearing: Start) -> None:
    with Collector(lambda _, post: HANG if post.path == "/v1/logs" else reply()) as collector:
        telemetry = start_hearing(collector, **LOGS, OTEL_EXPORTER_OTLP_TIMEOUT="500")
        telemetry.offer(delivered(), finished())
        telemetry.tell(start(), line("hello"))
        assert not telemetry.flush()
        assert len(spans_of(collector)) == 1
        assert not telemetry.shutdown()
        assert any("log record" in warning for warning in telemetry.warnings)


def test_too_large_a_request_is_sent_in_parts(start_hearing: Start) -> None:
    def script(_: int, post: Any) -> bytes:
        return reply(413 if post.path == "/v1/logs" and len(post.body) > 20_000 else 200)

    with Collector(script) as collector:
        telemetry = start_hearing(collector, **LOGS)
        telemetry.tell(*(line(f"{number:04}" + "x" * 1_000) for number in range(100)))
        assert telemetry.shutdown()
        taken = [post for post in collector.received("/v1/logs") if len(post.body) <= 20_000]
        records = [
            record
            for post in taken
            for record in post.logs().resource_logs[0].scope_logs[0].log_records
        ]
        assert [record.body.string_value[:4] for record in records] == [
            f"{number:04}" for number in range(100)
        ]


def test_more_than_is_kept_drops_the_oldest_and_counts_it(start_hearing: Start) -> None:
    with Collector(lambda _, post: reply(503 if post.path == "/v1/logs" else 200)) as collector:
        telemetry = start_hearing(collector, **LOGS, **EVERY_FLUSH)
        # Each of another text: what comes twice is sent once.
        for batch in range(12):
            telemetry.tell(*(line(f"{batch} {number} " + "x" * 10_000) for number in range(100)))
            telemetry.flush()
        telemetry.shutdown()
        posts = collector.received("/v1/metrics")
        counted = [point for post in posts for point in points(post, "lrap.logs.dropped")]
        assert sum(count for _, count in counted) > 300
        assert {attributes["error.type"] for attributes, _ in counted} == {"queue_full"}


def test_json_is_sent_where_it_is_asked_for(start_hearing: Start, collector: Collector) -> None:
    telemetry = start_hearing(collector, **LOGS, OTEL_EXPORTER_OTLP_LOGS_PROTOCOL="http/json")
    telemetry.tell(start(), line({"level": "INFO", "message": {"a": 1}}))
    telemetry.offer(delivered(), finished())
    assert telemetry.shutdown()
    (post,) = collector.received("/v1/logs")
    (record,) = json.loads(post.content)["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    assert (record["severityNumber"], record["spanId"]) == (9, SPAN_ID_HEX)


def test_grpc_is_not_offered_for_logs_and_that_is_said(
    start_hearing: Start, collector: Collector, sent: Sent
) -> None:
    telemetry = start_hearing(
        collector,
        **LOGS,
        OTEL_EXPORTER_OTLP_LOGS_PROTOCOL="grpc",
        OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=f"{collector.url}/v1/logs",
    )
    telemetry.tell(line("hello"))
    assert telemetry.shutdown()
    assert sent.bodies() == ["hello"]
    assert any("is not offered for logs" in warning for warning in telemetry.warnings)


@pytest.mark.parametrize(
    "printed",
    [
        "fatal error: runtime: out of memory",
        "Exception in thread main java.lang.OutOfMemoryError: Java heap space",
        "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
        "[ERROR] MemoryError",
        "app.rb:2:in `*': failed to allocate memory (NoMemoryError)",
        "Unhandled exception. System.OutOfMemoryException",
        {"errorType": "java.lang.OutOfMemoryError", "message": "no"},
    ],
)
def test_what_the_runtime_printed_may_say_that_memory_was_the_cause(
    start_hearing: Start, collector: Collector, printed: Any
) -> None:
    telemetry = start_hearing(collector, **LOGS)
    telemetry.offer(delivered())
    end = {"status": "failure", "errorType": "Runtime.ExitError"}
    telemetry.tell(start(), line(printed), runtime_done(**end), report(**end))
    assert telemetry.shutdown("failure")
    (span,) = spans_of(collector)
    assert plain(span.attributes)["error.type"] == "out_of_memory"


def test_what_lambda_itself_dropped_is_counted_beside(
    start_hearing: Start, collector: Collector
) -> None:
    telemetry = start_hearing(collector, **LOGS)
    telemetry.tell(
        line("hello"), event("logsDropped", 0, droppedRecords=5, droppedBytes=1, reason="x")
    )
    assert telemetry.shutdown()
    posts = collector.received("/v1/metrics")
    assert [point for post in posts for point in points(post, "lrap.records.dropped")] == [
        ({"error.type": "telemetry_api"}, 5)
    ]
