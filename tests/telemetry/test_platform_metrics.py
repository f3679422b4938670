"""What the platform measured, as metrics, as soon as it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.telemetry.platform_events import event, init, report, restore, runtime_done, start
from tests.telemetry.proxy_records import delivered, finished
from tests.telemetry.telemetry_thread import EVERY_FLUSH, points

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.telemetry.otlp_collector import Collector
    from tests.telemetry.telemetry_thread import Telemetry

    Start = Callable[..., Telemetry]

MIB = 1_048_576
OTHER_ID = "11111111-e9f4-11e8-9739-2dfe598c3fcd"


class Measured:
    """The metrics of a telemetry process that hears the platform; it has ended."""

    def __init__(
        self,
        start: Start,
        collector: Collector,
        *steps: Callable[[Telemetry], object],
        **variables: str,
    ) -> None:
        telemetry = start(collector, **EVERY_FLUSH, **variables)
        for step in steps:
            step(telemetry)
            telemetry.flush()
        telemetry.shutdown()
        self._posts = collector.received("/v1/metrics")

    def __call__(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        return [point for post in self._posts for point in points(post, name)]


def one_invocation(telemetry: Telemetry) -> None:
    telemetry.offer(delivered(b"{}"), finished())


def told(*events: dict[str, Any]) -> Callable[[Telemetry], None]:
    return lambda telemetry: telemetry.tell(*events)


def test_a_report_is_measured_with_the_invocations_trigger(
    start_hearing: Start, collector: Collector
) -> None:
    measured = Measured(
        start_hearing, collector, one_invocation, told(start(), runtime_done(), report())
    )

    trigger = {"faas.trigger": "other"}
    assert measured("faas.mem_usage") == [(trigger, 64 * MIB)]
    assert measured("lrap.billed_duration") == [(trigger, pytest.approx(0.031))]
    assert measured("lrap.platform.invoke_duration") == [(trigger, pytest.approx(0.03025))]
    assert measured("lrap.extension.overhead") == [(trigger, pytest.approx(0.00425))]
    # Ours is another one.
    assert measured("faas.invoke_duration") == [(trigger, pytest.approx(0.025))]


def test_a_report_of_what_did_not_come_through_the_proxy_is_measured_as_well(
    start_hearing: Start, collector: Collector
) -> None:
    measured = Measured(start_hearing, collector, told(start(), runtime_done(), report()))
    assert measured("faas.mem_usage") == [({}, 64 * MIB)]


@pytest.mark.parametrize(
    "kind", ["on-demand", "provisioned-concurrency", "lambda-managed-instances", "native-http"]
)
def test_an_init_is_measured_by_its_type(
    start_hearing: Start, collector: Collector, kind: str
) -> None:
    measured = Measured(start_hearing, collector, told(*init(kind=kind)))
    assert measured("faas.init_duration") == [({"lrap.init.type": kind}, pytest.approx(0.3505))]


def test_types_that_somebody_makes_up_do_not_make_ever_more_series(
    start_hearing: Start, collector: Collector
) -> None:
    inits = [told(*init(-400 - number, kind=f"type-{number}")) for number in range(40)]
    measured = Measured(
        start_hearing,
        collector,
        *inits,
        OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="cumulative",
    )
    kinds = {
        attributes.get("lrap.init.type", "") for attributes, _ in measured("faas.init_duration")
    }
    assert kinds == {"", *(f"type-{number}" for number in range(16))}
    totals = [total for attributes, total in measured("faas.init_duration") if not attributes]
    assert totals[-1] == pytest.approx(24 * 0.3505)


def test_a_restore_is_an_init_of_its_type_and_the_snapshots_own_is_none(
    start_hearing: Start, collector: Collector
) -> None:
    measured = Measured(start_hearing, collector, told(*init(kind="snap-start"), *restore()))
    assert measured("faas.init_duration") == [
        ({"lrap.init.type": "snap-start"}, pytest.approx(0.2))
    ]


def test_a_batch_that_comes_twice_is_measured_once(
    start_hearing: Start, collector: Collector
) -> None:
    batch = told(*init(), start(), runtime_done(), report())
    measured = Measured(start_hearing, collector, one_invocation, batch, batch)
    assert [total for _, total in measured("faas.mem_usage")] == [64 * MIB]
    assert [total for _, total in measured("faas.init_duration")] == [pytest.approx(0.3505)]


@pytest.mark.parametrize(
    ("end", "counted"),
    [
        ({"status": "timeout"}, "faas.timeouts"),
        ({"status": "failure", "errorType": "Runtime.ExitError"}, "faas.errors"),
    ],
)
def test_a_bad_end_after_a_good_result_is_counted(
    start_hearing: Start, collector: Collector, end: dict[str, str], counted: str
) -> None:
    measured = Measured(
        start_hearing, collector, one_invocation, told(runtime_done(**end), report(**end))
    )
    assert measured(counted) == [({"faas.trigger": "other"}, 1)]


def test_an_error_that_the_function_returned_is_counted_once(
    start_hearing: Start, collector: Collector
) -> None:
    end = {"status": "error", "errorType": "Function.Unknown"}
    measured = Measured(
        start_hearing,
        collector,
        lambda telemetry: telemetry.offer(delivered(), finished(b"{}", "error")),
        told(runtime_done(**end), report(**end)),
    )
    assert [count for _, count in measured("faas.errors")] == [1]


def test_what_lambda_itself_has_dropped_is_counted(
    start_hearing: Start, collector: Collector
) -> None:
    dropped = event(
        "logsDropped",
        0,
        droppedRecords=12,
        droppedBytes=3456,
        reason="Consumer seems to have fallen behind",
    )
    measured = Measured(start_hearing, collector, told(dropped))
    assert measured("lrap.records.dropped") == [({"error.type": "telemetry_api"}, 12)]


@pytest.mark.parametrize("number", [10**400, 1e300, -1, "12", True, None], ids=range(6))
def test_what_is_no_measurement_costs_no_other(
    start_hearing: Start, collector: Collector, number: Any
) -> None:
    strange = report(OTHER_ID)
    strange["record"]["metrics"] = dict.fromkeys(strange["record"]["metrics"], number)
    dropped = event("logsDropped", 0, droppedRecords=number)
    measured = Measured(start_hearing, collector, told(dropped, strange, report()))
    assert [value for _, value in measured("lrap.billed_duration")] == [0.031]
    assert measured("lrap.records.dropped") == []


def test_what_cannot_be_read_is_counted(start_hearing: Start, collector: Collector) -> None:
    measured = Measured(
        start_hearing, collector, lambda telemetry: telemetry.tell(body=b'[{"time" oops}]')
    )
    assert measured("lrap.records.dropped") == [({"error.type": "malformed"}, 1)]


def test_measurements_of_a_sampled_invocation_have_its_exemplar(
    start_hearing: Start, collector: Collector
) -> None:
    telemetry = start_hearing(collector)
    telemetry.offer(delivered(), finished())
    telemetry.tell(report())
    telemetry.shutdown()
    (post,) = collector.received("/v1/metrics")
    (metric,) = [
        metric
        for resource in post.metrics().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "faas.mem_usage"
    ]
    (exemplar,) = metric.histogram.data_points[0].exemplars
    assert exemplar.span_id.hex() == "53995c3f42cd8ad8"
