"""What the platform reports, in the trace of the invocation that it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lrap_otel.ipc import records
from tests.telemetry.platform_events import event, init, report, restore, runtime_done, start
from tests.telemetry.proxy_records import (
    DELIVERED_NS,
    PARENT_SPAN_ID_HEX,
    SPAN_ID_HEX,
    TRACE_ID_HEX,
    delivered,
    finished,
)
from tests.telemetry.telemetry_thread import plain, spans_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from tests.telemetry.otlp_collector import Collector
    from tests.telemetry.telemetry_thread import Telemetry

    Start = Callable[..., Telemetry]

MS = 1_000_000
SECOND_ID = "11111111-e9f4-11e8-9739-2dfe598c3fcd"
INTERNAL, SERVER, ERROR = 1, 2, 2


class Exported:
    """The spans that have come, in order."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._spans: list[Span] = []

    def names(self) -> list[str]:
        return [span.name for span in self.all()]

    def all(self) -> list[Span]:
        self._spans += spans_of(self._collector)
        return self._spans

    def named(self, name: str) -> list[Span]:
        return [span for span in self.all() if span.name == name]

    def only(self, name: str) -> Span:
        (span,) = self.named(name)
        return span


@pytest.fixture
def exported(collector: Collector) -> Exported:
    return Exported(collector)


def test_init_is_a_child_of_the_first_invocation(
    start_hearing: Start, collector: Collector, exported: Exported
) -> None:
    telemetry = start_hearing(collector)
    telemetry.tell(*init())
    telemetry.offer(delivered(parent_span_id_hex=PARENT_SPAN_ID_HEX, trace_state="a=b"), finished())
    assert telemetry.flush()

    span = exported.only("init")
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.trace_state) == (
        TRACE_ID_HEX,
        SPAN_ID_HEX,
        "a=b",
    )
    assert span.kind == INTERNAL
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (
        DELIVERED_NS - 400 * MS,
        DELIVERED_NS - 49_500_000,
    )
    assert plain(span.attributes) == {
        "faas.coldstart": True,
        "lrap.init.type": "on-demand",
        "lrap.init.phase": "init",
        "lrap.runtime_version": "python:3.14.v7",
    }
    assert [(each.name, each.time_unix_nano) for each in span.events] == [
        ("platform.initRuntimeDone", DELIVERED_NS - 100 * MS)
    ]
    assert span.status.code == 0


def test_a_report_that_comes_after_the_first_event_still_makes_its_child(
    start_hearing: Start, collector: Collector, exported: Exported
) -> None:
    telemetry = start_hearing(collector)
    began, done, end = init()
    telemetry.tell(began, done)
    telemetry.offer(delivered(), finished())
    assert telemetry.flush()
    assert exported.named("init") == []
    telemetry.tell(end)
    assert telemetry.flush()
    assert exported.only("init").parent_span_id.hex() == SPAN_ID_HEX


def test_the_first_invocation_alone_has_the_init(
    start_hearing: Start, collector: Collector, exported: Exported
) -> None:
    telemetry = start_hearing(collector)
    telemetry.tell(*init())
    telemetry.offer(delivered(), finished(), delivered(request_id=SECOND_ID, span_id_hex="b" * 16))
    telemetry.offer(finished(request_id=SECOND_ID))
    assert telemetry.flush()
    assert exported.only("init").parent_span_id.hex() == SPAN_ID_HEX


def test_inits_that_somebody_makes_up_are_not_kept_for_the_first_invocation(
    start_hearing: Start, collector: Collector, exported: Exported
) -> None:
    telemetry = start_hearing(collector)
    for number in range(100):
        telemetry.tell(*init(-1_000 - number))
    telemetry.offer(delivered(), finished())
    assert telemetry.flush()

    inits = exported.named("init")
    invocation = exported.only("orders")
    assert len(inits) == 100
    assert sum(span.parent_span_id.hex() == SPAN_ID_HEX for span in inits) == 16
    assert len(invocation.links) == 16


def test_an_init_told_by_its_report_alone_has_its_duration(
    start_hearing: Start, collector: Collector, exported: Exported
) -> None:
    telemetry = start_hearing(collector)
    telemetry.tell(init()[-1])
    telemetry.offer(delivered(), finished())
    assert telemetry.flush()
    span = exported.only("init")
    assert span.end_time_unix_nano - span.start_time_unix_nano == 350_500_000


def test_an_invocation_that_is_not_sampled_has_no_init_either(
    start_hearing: Start, collector: Collector, exported: Exported
) -> None:
    telemetry = start_hearing(collector)
    telemetry.tell(*init())
    telemetry.offer(delivered(trace_flags=0), finished())
    assert telemetry.flush()
    assert exported.all() == []


@pytest.mark.parametrize("kind", ["provisioned-concurrency", "lambda-managed-instances"])
def test_an_init_ahead_of_events_is_a_trace_of_its_own_and_linked(
    start_hearing: Start, collector: Collector, exported: Exported, kind: str
) -> None:
    telemetry = start_hearing(collector)
    telemetry.tell(*init(ms=-100_000, kind=kind))
    telemetry.offer(delivered(), finished(), delivered(request_id=SECOND_ID, span_id_hex="b" * 16))
    telemetry.offer(finished(request_id=SECOND_ID))
    assert telemetry.flush()

    span = exported.only("init")
    assert span.trace_id.hex() != TRACE_ID_HEX
    assert span.parent_span_id == b""
    first, second = exported.named("orders")
    assert [(link.trace_id, link.span_id, plain(link.attributes)) for link in first.links] == [
        (span.trace_id, span.span_id, {"source": "init"})
    ]
    assert list(second.links) == []


def test_an_init_ahead_that_is_told_after_the_first_event_has_the_link_itself(
    start_hearing: Start, collector: Collector, exported: Exported
) -> None:
    telemetry = start_hearing(collector)
    telemetry.offer(delivered(), finished())
    assert telemetry.flush()
    telemetry.tell(*init(kind="lambda-managed-instances"))
    assert telemetry.flush()
    (link,) = exported.only("init").links
    assert (link.trace_id.hex(), link.span_id.hex()) == (TRACE_ID_HEX, SPAN_ID_HEX)


def test_an_init_that_nobody_waited_for_is_alone_whatever_its_type(
    start_hearing: Start, collector: Collector, exported: Exported
) -> None:
    """Lambda makes sandboxes ahead of events without being asked to, as well."""
    telemetry = start_hearing(collector)
    telemetry.tell(*init(ms=-60_000))
    telemetry.offer(delivered(), finished())
    assert telemetry.flush()
    span = exported.only("init")
    assert exported.only("orders").links[0].span_id == span.span_id
    assert span.trace_id.hex() != TRACE_ID_HEX


def test_an_init_without_an_invocation_leaves_at_shutdown(
    start_hearing: Start, collector: Collector, exported: Exported
) -> None:
    telemetry = start_hearing(collector)
    telemetry.tell(*init())
    assert telemetry.shutdown()
    assert exported.only("init").parent_span_id == b""


def test_the_sampler_decides_about_an_init_of_its_own(
    start_hearing: Start, collector: Collector, exported: Exported
) -> None:
    telemetry = start_hearing(collector, OTEL_TRACES_SAMPLER="always_off")
    telemetry.tell(*init())
    assert telemetry.shutdown()
    assert exported.all() == []


def test_an_init_that_failed_says_why(
    start_hearing: Start, collector: Collector, exported: Exported
) -> None:
    telemetry = start_hearing(collector)
    telemetry.tell(*init(status="error", errorType="Runtime.ExitError"))
    assert telemetry.shutdown("failure")
    span = exported.only("init")
    assert (span.status.code, plain(span.attributes)["error.type"]) == (ERROR, "Runtime.ExitError")


def test_an_init_that_the_runtime_itself_reported_is_one_span(
    start_hearing: Start, collector: Collector, exported: Exported
) -> None:
    telemetry = start_hearing(collector)
    telemetry.tell(init()[0])
    head = b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\n\r\n"
    telemetry.offer(
        (
            records.init_error(DELIVERED_NS, len(head)),
            head + b'{"errorType":"ImportError","errorMessage":"no"}',
        )
    )
    telemetry.tell(*init(status="error", errorType="Runtime.Unknown")[1:])
    assert telemetry.shutdown("failure")
    span = exported.only("init")
    assert plain(span.attributes)["error.type"] == "ImportError"
    assert span.start_time_unix_nano == DELIVERED_NS - 400 * MS


def test_an_init_that_ran_out_of_time_and_the_second_within_the_invocation(
    start_hearing: Start, collector: Collector, exported: Exported
) -> None:
    telemetry = start_hearing(collector)
    telemetry.tell(
        *init(ms=-12_000, duration_ms=10_000, status="timeout"),
        *init(ms=-1_900, duration_ms=1_800, phase="invoke"),
    )
    telemetry.offer(delivered(), finished())
    assert telemetry.flush()
    first, second = exported.named("init")
    assert [plain(each.attributes)["lrap.init.phase"] for each in (first, second)] == [
        "init",
        "invoke",
    ]
    assert {each.parent_span_id.hex() for each in (first, second)} == {SPAN_ID_HEX}
    assert (first.status.code, second.status.code) == (ERROR, 0)


def test_an_init_that_never_ended_ends_with_the_sandbox(
    start_hearing: Start, collector: Collector, exported: Exported
) -> None:
    telemetry = start_hearing(collector)
    telemetry.tell(init()[0])
    assert telemetry.shutdown("timeout")
    span = exported.only("init")
    assert (span.status.code, plain(span.attributes)["error.type"]) == (ERROR, "timeout")
    assert span.end_time_unix_nano > span.start_time_unix_nano


def test_a_restore_is_a_child_and_the_snapshots_init_is_not_ours(
    start_hearing: Start, collector: Collector, exported: Exported
) -> None:
    telemetry = start_hearing(collector)
    telemetry.offer((records.restored(DELIVERED_NS - 100 * MS), b""))
    telemetry.tell(*init(ms=-86_400_000, kind="snap-start"), *restore())
    telemetry.offer(delivered(), finished())
    assert telemetry.flush()

    assert exported.named("init") == []
    span = exported.only("restore")
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE_ID_HEX, SPAN_ID_HEX)
    assert span.end_time_unix_nano - span.start_time_unix_nano == 200 * MS
    assert plain(span.attributes)["lrap.init.type"] == "snap-start"
    assert [each.name for each in span.events] == ["platform.restoreRuntimeDone"]


def test_after_a_restore_an_old_init_of_any_type_is_not_ours(
    start_hearing: Start, collector: Collector, exported: Exported
) -> None:
    telemetry = start_hearing(collector)
    telemetry.tell(*restore(), *init())
    telemetry.offer(delivered(), finished())
    assert telemetry.flush()
    assert exported.names() == ["restore", "orders"]


def test_what_is_reported_before_the_span_leaves_is_on_it(
    start_hearing: Start, collector: Collector, exported: Exported
) -> None:
    telemetry = start_hearing(collector)
    telemetry.offer(delivered(), finished())
    telemetry.tell(start(), runtime_done(), report())
    assert telemetry.flush()
    told = plain(exported.only("orders").attributes)
    assert {
        name: value for name, value in told.items() if name.startswith(("aws.r", "aws.e", "lrap."))
    } == {
        "aws.responseLatency": 23.02,
        "aws.responseDuration": 2.1,
        "aws.runtimeOverhead": 0.9,
        "aws.extensionOverhead": 4.25,
        "lrap.billed_duration": 0.031,
        "lrap.memory.used": 64 * 1_048_576,
    }


def test_what_is_reported_before_our_own_records_is_on_it_as_well(
    start_hearing: Start, collector: Collector, exported: Exported
) -> None:
    telemetry = start_hearing(collector)
    telemetry.tell(start(), runtime_done())
    telemetry.offer(delivered(), finished())
    assert telemetry.flush()
    assert plain(exported.only("orders").attributes)["aws.runtimeOverhead"] == 0.9


def test_what_is_reported_late_makes_no_second_span(
    start_hearing: Start, collector: Collector, exported: Exported
) -> None:
    telemetry = start_hearing(collector)
    telemetry.offer(delivered(), finished())
    assert telemetry.flush()
    telemetry.tell(start(), runtime_done(), report())
    assert telemetry.flush()
    assert telemetry.shutdown()
    assert len(exported.all()) == 1


def test_a_batch_that_comes_twice_makes_nothing_twice(
    start_hearing: Start, collector: Collector, exported: Exported
) -> None:
    telemetry = start_hearing(collector)
    telemetry.tell(*init())
    telemetry.offer(delivered(), finished())
    telemetry.tell(*init())
    assert telemetry.flush()
    assert telemetry.shutdown()
    assert exported.names().count("init") == 1


def test_the_limit_of_attributes_holds_for_what_is_added(
    start_hearing: Start, collector: Collector, exported: Exported
) -> None:
    telemetry = start_hearing(collector, OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="3")
    telemetry.offer(delivered(), finished())
    telemetry.tell(start(), runtime_done())
    assert telemetry.flush()
    span = exported.only("orders")
    assert len(span.attributes) == 3
    assert span.dropped_attributes_count >= 3


@pytest.mark.parametrize(
    ("reason", "told", "error_type"),
    [
        ("timeout", [runtime_done(status="timeout")], "timeout"),
        (
            "failure",
            [runtime_done(status="failure", errorType="Runtime.ExitError")],
            "Runtime.ExitError",
        ),
        ("failure", [runtime_done(status="failure")], "failure"),
        (
            "failure",
            [report(used_mb=128, status="error", errorType="Runtime.ExitError")],
            "out_of_memory",
        ),
        (
            "failure",
            [report(used_mb=127, status="error", errorType="Runtime.ExitError")],
            "Runtime.ExitError",
        ),
        ("timeout", [report(used_mb=128, status="timeout")], "timeout"),
        ("failure", [], "crash"),
        ("timeout", [], "timeout"),
    ],
)
def test_the_platform_says_why_an_invocation_ended_without_a_result(
    start_hearing: Start,
    collector: Collector,
    exported: Exported,
    reason: str,
    told: list[dict[str, Any]],
    error_type: str,
) -> None:
    telemetry = start_hearing(collector)
    telemetry.offer(delivered())
    if told:
        telemetry.tell(start(), *told)
    assert telemetry.shutdown(reason)
    span = exported.only("orders")
    assert (span.status.code, plain(span.attributes)["error.type"]) == (ERROR, error_type)


def test_the_same_id_again_gets_its_own_report(
    start_hearing: Start, collector: Collector, exported: Exported
) -> None:
    """A retry may be delivered before the first attempt's report has come."""
    telemetry = start_hearing(collector)
    telemetry.offer(delivered(), finished(), delivered(span_id_hex="b" * 16))
    assert telemetry.flush()
    telemetry.tell(start(), runtime_done(), report(used_mb=50))
    telemetry.tell(start(ms=100), runtime_done(ms=126), report(ms=140, used_mb=60))
    telemetry.offer(finished())
    assert telemetry.flush()
    first, second = exported.named("orders")
    assert "lrap.memory.used" not in plain(first.attributes)
    assert plain(second.attributes)["lrap.memory.used"] == 60 * 1_048_576


@pytest.mark.parametrize(
    "told",
    [
        event("report", 0),
        event("report", 0, requestId=7, metrics=[], spans={}),
        event(
            "report",
            0,
            requestId="r",
            metrics={"durationMs": "x", "maxMemoryUsedMB": -1},
            spans=[1, {"name": 2}],
        ),
        event("runtimeDone", 0, requestId=None, status=5, spans=None),
        event("initReport", 0, metrics={"durationMs": float("1e400")}),
        event("initStart", 0, initializationType=[], phase={}),
        event("logsDropped", 0, droppedRecords="many"),
        {"time": None, "type": "platform.report", "record": "text"},
        {"time": None, "type": "platform.restoreReport"},
        event("newThing", 0, anything=1),
    ],
)
def test_nothing_that_the_platform_may_say_disturbs(
    start_hearing: Start, collector: Collector, exported: Exported, told: dict[str, Any]
) -> None:
    telemetry = start_hearing(collector)
    telemetry.tell(told)
    telemetry.offer(delivered(), finished())
    assert telemetry.flush()
    assert "orders" in exported.names()
    assert telemetry.shutdown()
    assert telemetry.warnings == []


def test_off_is_off(
    request: pytest.FixtureRequest, collector: Collector, exported: Exported
) -> None:
    telemetry = request.getfixturevalue("start")(
        collector, hears_platform=True, LRAP_TELEMETRY_API="off"
    )
    telemetry.tell(*init())
    telemetry.offer(delivered(), finished())
    assert telemetry.flush()
    assert exported.names() == ["orders"]
