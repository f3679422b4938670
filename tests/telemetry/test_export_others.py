"""Exporters of others: who is called with what, what an answer means, and what happens to who does
not answer.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from lrap_otel.propagation.context import SpanContext
from lrap_otel.telemetry.export.compose import exporter_of
from lrap_otel.telemetry.export.deadline import Deadline
from lrap_otel.telemetry.export.endpoint import ACCEPTED, REFUSED, REJECTED, UNKNOWN
from lrap_otel.telemetry.export.exporter import Exporter
from lrap_otel.telemetry.export.packages import package_folders
from lrap_otel.telemetry.export.sdk import codec
from lrap_otel.telemetry.export.sdk.endpoint import SdkEndpoint
from lrap_otel.telemetry.export.several import Exporters
from lrap_otel.telemetry.export.ways import METRICS, TRACES
from lrap_otel.telemetry.metrics import Metrics
from lrap_otel.telemetry.otlp.traces import SERVER, Span
from lrap_otel.telemetry.otlp.wire import Resource
from lrap_otel.telemetry.settings import ExportSettings
from tests.telemetry.grpc_collector import GrpcCollector

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

PATIENCE_S = 30.0
SHORT_S = 0.05


class Spans(SpanExporter):
    """Answers with what it is told to, once it may."""

    def __init__(self, *answers: Any, flushes: bool = True) -> None:
        self.names: list[str] = []
        self.may = threading.Event()
        self.may.set()
        self.is_shut_down = False
        self._answers = list(answers)
        self._flushes = flushes

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        assert self.may.wait(PATIENCE_S)
        answer = self._answers.pop(0) if self._answers else SpanExportResult.SUCCESS
        if isinstance(answer, Exception):
            raise answer
        if answer is SpanExportResult.SUCCESS:
            self.names += [span.name for span in spans]
        return answer

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._flushes and timeout_millis > 0

    def shutdown(self) -> None:
        self.is_shut_down = True


class Points(MetricExporter):
    """Keeps how much each interval counted, by the metric's name."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[dict[str, list[Any]]] = []
        self.may = threading.Event()
        self.may.set()

    def export(
        self, metrics_data: Any, timeout_millis: float = 10_000, **_: Any
    ) -> MetricExportResult:
        assert timeout_millis
        assert self.may.wait(PATIENCE_S)
        metrics = metrics_data.resource_metrics[0].scope_metrics[0].metrics
        self.requests.append(
            {metric.name: [point.value for point in metric.data.data_points] for metric in metrics}
        )
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return timeout_millis > 0

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None: ...


def settings(**variables: str) -> ExportSettings:
    return ExportSettings(
        {
            name.encode(): value.encode()
            for name, value in ({"LRAP_SPOOL_BYTES": "0"} | variables).items()
        }
    )


def within(seconds: float = PATIENCE_S) -> Deadline:
    return Deadline(time.monotonic() + seconds)


def span(name: str) -> Span:
    return Span(name, SERVER, SpanContext("1" * 32, "2" * 16, 1), "", 1, 2, Resource({}))


def endpoint(exporter: Any, **variables: str) -> SdkEndpoint:
    return SdkEndpoint("mine", lambda: exporter, exporter, settings(**variables).traces)


def several(*ways: tuple[Any, Any]) -> tuple[Exporters, Metrics, list[str]]:
    """Exporters for these pairs of spans' and metrics' exporters, and the instruments
    beside them.
    """
    read, told = settings(), []
    ends: list[SdkEndpoint] = []

    def way(exporter: Any) -> Any:
        if exporter is None:
            return None
        ends.append(endpoint(exporter))
        return ends[-1], codec

    def now_s() -> float:
        return time.monotonic() + 1_000 * len(told)  # no pause is still going after a warning

    made = [
        Exporter(read, told.append, {TRACES: way(spans), METRICS: way(metrics)}, now_s=now_s)
        for spans, metrics in ways
    ]
    return Exporters(made, ends, threading.Lock(), told.append), Metrics(read, Resource({})), told


def test_a_call_that_is_not_back_is_waited_for_before_the_next() -> None:
    exporter = Spans()
    exporter.may.clear()
    mine = endpoint(exporter)
    batch = [codec.span(span("a"))]

    assert mine.post(batch, within(SHORT_S), may_repeat=True).outcome == UNKNOWN
    busy = mine.post(batch, within(SHORT_S), may_repeat=True)
    assert (busy.outcome, busy.error_type) == (REFUSED, "busy")
    exporter.may.set()
    assert mine.post(batch, within(), may_repeat=True).outcome == ACCEPTED
    assert exporter.names == ["a", "a"]


def test_the_signals_own_time_out_ends_an_attempt() -> None:
    exporter = Spans()
    exporter.may.clear()

    assert (
        endpoint(exporter, OTEL_EXPORTER_OTLP_TIMEOUT="50")
        .post([], within(), may_repeat=True)
        .error_type
        == "timeout"
    )
    exporter.may.set()


def test_what_fails_eight_times_in_a_row_is_given_up() -> None:
    failure, error = SpanExportResult.FAILURE, LookupError("gone")
    mine = endpoint(
        Spans(failure, SpanExportResult.SUCCESS, *(failure, error) * 4, SpanExportResult.SUCCESS)
    )

    outcomes = [mine.post([], within(), may_repeat=True).outcome for _ in range(11)]

    assert outcomes == [UNKNOWN, ACCEPTED, *[UNKNOWN] * 7, REJECTED, ACCEPTED]


def test_no_answer_is_success_and_no_flush_is_failure() -> None:
    assert endpoint(Spans(None)).post([], within(), may_repeat=True).outcome == ACCEPTED
    answer = endpoint(Spans(flushes=False)).post([], within(), may_repeat=True)
    assert (answer.outcome, answer.error_type, answer.text) == (
        UNKNOWN,
        "failure",
        "it could not flush",
    )


def test_a_restored_snapshot_gets_a_new_exporter() -> None:
    old, new = Spans(), Spans()
    mine = SdkEndpoint("mine", lambda: new, old, settings().traces)
    mine.forget()

    assert mine.post([codec.span(span("a"))], within(), may_repeat=True).outcome == ACCEPTED
    assert (old.names, new.names) == ([], ["a"])


def test_a_key_is_not_repeated() -> None:
    mine = endpoint(
        Spans(LookupError("no key secret-0123 at http://me:pass@collector:1")),
        OTEL_EXPORTER_OTLP_HEADERS="x=secret-0123",
    )

    assert (
        mine.post([], within(), may_repeat=True).text
        == "it raised LookupError: no key ... at collector:1"
    )


def test_one_that_hangs_keeps_neither_spans_nor_metrics_from_another() -> None:
    slow, fast, slow_points, fast_points = Spans(), Spans(), Points(), Points()
    slow.may.clear()
    slow_points.may.clear()
    exporters, metrics, _ = several((slow, slow_points), (fast, fast_points))
    for number in (1, 2):
        exporters.add(span(f"{number}"), metrics)
        metrics.drop_records(number, "malformed")
        assert exporters.export(metrics, within(0.3)) == (False, False)
    assert fast.names == ["1", "2"]
    assert [request["lrap.records.dropped"] for request in fast_points.requests] == [[1], [2]]
    assert exporters.has_spans

    slow.may.set()
    slow_points.may.set()
    metrics.drop_records(4, "malformed")
    exporters.export(metrics, within(), is_last=True)

    assert slow.names[-2:] == ["1", "2"]
    # The first was in the call that was not back; what came meanwhile is there once.
    counted = [request.get("lrap.records.dropped", []) for request in slow_points.requests]
    assert [point for points in counted for point in points] == [1, 2, 4]
    assert [
        request["lrap.records.dropped"]
        for request in fast_points.requests
        if "lrap.records.dropped" in request
    ] == [
        [1],
        [2],
        [4],
    ]
    assert slow.is_shut_down
    assert fast.is_shut_down


def test_what_one_of_several_never_takes_is_bounded_and_told() -> None:
    slow, fast = Points(), Points()
    slow.may.clear()
    exporters, metrics, told = several((None, slow), (None, fast))
    exporters.add(span("a"), metrics)
    for _ in range(35):
        metrics.drop_records(1, "malformed")
        exporters.collect(1)

    assert told.count("metrics are lost: one of several exporters has not taken any for long") >= 1
    data = exporters.collect(0)
    assert data is not None
    assert len(data.metrics[0].points) == 30
    slow.may.set()


def test_spans_of_several_are_forgotten_with_a_snapshot() -> None:
    first, second = Spans(), Spans()
    exporters, metrics, _ = several((first, None), (second, None))
    exporters.add(span("a"), metrics)
    exporters.forget()

    assert not exporters.has_spans
    assert exporters.may_send_metrics
    exporters.close()


def test_losses_of_each_are_reported() -> None:
    exporters, metrics, told = several((Spans(SpanExportResult.FAILURE), None), (Spans(), None))
    exporters.add(span("a"), metrics)
    assert exporters.export(metrics, within(), is_last=True) == (False, True)
    exporters.report_losses()

    assert told[0] == "traces could not be exported: the exporter mine: it failed"
    assert "1 span" in told[1]
    assert len(told) == 2


def test_the_stock_exporter_is_found_and_configured_by_its_own_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with GrpcCollector() as collector:
        variables = {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        told: list[str] = []
        read = settings(**variables)
        exporters = exporter_of(read, told.append, print)
        metrics = Metrics(read, Resource({"service.name": "\ud800"}))
        metrics.drop_records(1, "malformed")
        exporters.add(span("a\ud800"), metrics)

        assert exporters.export(metrics, within(), is_last=True) == (True, True)
        assert [each.name for each in collector.next_spans()] == ["a?"]
        assert [each.name for each in collector.next_metrics()] == ["lrap.records.dropped"]
    assert told == []


@pytest.mark.parametrize(
    ("text", "enabled", "others", "warnings"),
    [
        ("", True, [], 0),
        ("otlp", True, [], 0),
        ("OTLP , otlp,", True, [], 0),
        ("none", False, [], 0),
        ("None", False, [], 0),
        ("zipkin", False, ["zipkin"], 0),
        ("zipkin,otlp,My-Own.x_1", True, ["zipkin", "My-Own.x_1"], 0),
        ("none,otlp", True, [], 1),
        ("none,zipkin", False, ["zipkin"], 1),
        ("console", False, [], 0),
        ("console,zipkin", False, ["zipkin"], 0),
        ("otlp,Console", True, [], 0),
        ("a b", True, [], 1),
        ("x" * 65, True, [], 1),
        ("\u00fc,;", True, [], 2),
    ],
)
def test_a_list_of_exporters(text: str, enabled: bool, others: list[str], warnings: int) -> None:
    read = settings(OTEL_TRACES_EXPORTER=text)

    assert (read.traces.enabled, [*read.traces.others], len(read.warnings)) == (
        enabled,
        others,
        warnings,
    )
    assert read.traces.is_sent == (text.lower() != "none")
    assert all(warning.startswith("OTEL_TRACES_EXPORTER") for warning in read.warnings)
    assert (read.metrics.enabled, read.metrics.others) == (True, {})


def test_grpc_is_the_protocol_of_otlp_alone() -> None:
    read = settings(
        OTEL_EXPORTER_OTLP_PROTOCOL="GRPC",
        OTEL_EXPORTER_OTLP_METRICS_PROTOCOL="http/protobuf",
        OTEL_TRACES_EXPORTER="zipkin,otlp",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="collector:4317",
    )

    assert read.traces.others == {
        "otlp_proto_grpc": "OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
        "zipkin": "OTEL_TRACES_EXPORTER",
    }
    assert (read.traces.enabled, read.traces.url) == (False, "http://127.0.0.1:4318/v1/traces")
    assert (read.metrics.enabled, read.metrics.others) == (True, {})
    assert read.warnings == []
    assert (
        settings(OTEL_EXPORTER_OTLP_PROTOCOL="grpc", OTEL_TRACES_EXPORTER="none").traces.others
        == {}
    )


@pytest.mark.parametrize(
    "text",
    [
        "LRAP_DEPENDENCIES=/a b",
        "LRAP_PYTHON=/p\r\nLRAP_DEPENDENCIES='/a b'\r\n",
        'x\nLRAP_DEPENDENCIES="/a b"',
    ],
)
def test_the_folder_of_packages_is_named_beside_the_package(tmp_path: Path, text: str) -> None:
    (tmp_path / ".lrap-paths").write_text(text, newline="")

    named, of_the_layer = package_folders(str(tmp_path))

    assert named == "/a b"
    assert of_the_layer in {
        f"{tmp_path}/lrap-otel/{name}/packages" for name in ("x86_64", "aarch64")
    }


@pytest.mark.parametrize("text", ["", "LRAP_DEPENDENCIES=\n", "LRAP_DEPENDENCIES=''", "\udcff\x00"])
def test_a_file_that_names_no_folder_is_no_harm(tmp_path: Path, text: str) -> None:
    (tmp_path / ".lrap-paths").write_bytes(text.encode("utf-8", "surrogateescape"))

    assert len(package_folders(str(tmp_path))) == 1
