"""Exporters that others wrote get what a real extension process has, whatever they make of it; OTLP
over gRPC is one.
"""

from __future__ import annotations

import sys
import sysconfig
import time
from typing import TYPE_CHECKING

import grpc
import pytest

from tests.extension.extension_process import ROOT, Extension, invoke_once, reply
from tests.proxy.wire import NEXT
from tests.telemetry import other_exporters
from tests.telemetry.grpc_collector import GrpcCollector
from tests.telemetry.otlp_collector import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PACKAGES = sysconfig.get_path("purelib")
# Of the test of what goes wrong: Lambda's two seconds.
SHUTDOWN_S = 2.0
GENEROUS_S = 30.0


class Place:
    """A folder with the extension in it, as a checkout is, and with `packages`; `kept` is where the
    exporters write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.kept = root / "kept"
        self.kept.mkdir()
        (root / "opt").mkdir()
        (root / "opt/entrypoint").symlink_to(ROOT / "opt/entrypoint")
        (root / "lrap_otel").symlink_to(ROOT / "lrap_otel")
        self.use(PACKAGES)

    def use(self, packages: Path | str) -> None:
        (self.root / ".lrap-paths").write_text(
            f"LRAP_PYTHON={sys.executable}\nLRAP_DEPENDENCIES='{packages}'\n"
        )

    def use_others(self) -> None:
        folder = self.root / "packages"
        folder.mkdir()
        self.use(other_exporters.write(folder))

    def read(self, name: str) -> list[str]:
        path = self.kept / name
        return path.read_text().splitlines() if path.exists() else []

    def live(
        self,
        shutdown_s: float = GENEROUS_S,
        invocations: int = 1,
        until: Callable[[], object] = lambda: True,
        **variables: str,
    ) -> tuple[str, float]:
        """From start to SHUTDOWN, which comes once `until` is so: what is printed, and how long
        SHUTDOWN took.
        """
        variables = {"KEPT_IN": str(self.kept), "OTEL_BSP_SCHEDULE_DELAY": "100", **variables}
        extension = Extension(root=self.root, **variables)
        try:
            api = extension.register()
            runtime = extension.connect()
            runtime.send(NEXT)
            runtime_api = extension.api.accept()
            for _ in range(invocations):
                invoke_once(runtime, runtime_api)
                runtime.send(NEXT)
            end_s = time.monotonic() + GENEROUS_S
            while not until():
                assert time.monotonic() < end_s
                time.sleep(0.005)
            begun_s = time.monotonic()
            deadline_ms = int((time.time() + shutdown_s) * 1_000)
            api.send(
                reply(
                    {
                        "eventType": "SHUTDOWN",
                        "shutdownReason": "spindown",
                        "deadlineMs": deadline_ms,
                    }
                )
            )
            status, errors = extension.end()
            took_s = time.monotonic() - begun_s
        finally:
            extension.close()
        assert status == 0, errors
        return errors.decode(), took_s


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def collector() -> Iterator[GrpcCollector]:
    with GrpcCollector() as collector:
        yield collector


def test_spans_and_metrics_arrive_over_grpc(place: Place, collector: GrpcCollector) -> None:
    printed, _ = place.live(
        OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"127.0.0.1:{collector.port}",
        OTEL_EXPORTER_OTLP_INSECURE="true",
        OTEL_EXPORTER_OTLP_HEADERS="x-team=red",
        OTEL_EXPORTER_OTLP_TIMEOUT="20000",
        OTEL_SERVICE_NAME="orders",
    )

    request = collector.traces.get(timeout=GENEROUS_S)
    (of_resource,) = request.resource_spans
    (of_scope,) = of_resource.scope_spans
    (span,) = of_scope.spans
    assert ("service.name", "orders") in {
        (each.key, each.value.string_value) for each in of_resource.resource.attributes
    }
    assert of_scope.scope.name == "lrap-otel"
    assert "faas.invocation_id" in {each.key for each in span.attributes}
    assert span.start_time_unix_nano < span.end_time_unix_nano
    assert "lrap.proxy.overhead" in {metric.name for metric in collector.next_metrics()}
    assert {each["x-team"] for each in collector.metadata} == {"red"}
    assert printed == ""


def test_one_signal_may_go_by_grpc_and_the_other_by_http(
    place: Place, collector: GrpcCollector
) -> None:
    with Collector() as http:
        printed, _ = place.live(
            OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="grpc",
            OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=collector.url,
            OTEL_EXPORTER_OTLP_ENDPOINT=http.url,
        )

        assert {sent.path for sent in http.received()} == {"/v1/metrics"}
    assert len(collector.next_spans()) == 1
    assert collector.metrics.empty()
    assert printed == ""


def test_what_a_grpc_collector_refuses_comes_again(place: Place) -> None:
    with GrpcCollector(
        lambda number: grpc.StatusCode.INTERNAL if number == 0 else None
    ) as collector:
        printed, _ = place.live(
            until=lambda: collector.metadata,
            OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_METRICS_EXPORTER="none",
        )

        assert len(collector.next_spans()) == 1
    assert "INTERNAL" in printed
    assert "as the test wants it" in printed


def test_an_exporter_of_somebody_gets_everything_and_is_shut_down(place: Place) -> None:
    place.use_others()

    printed, _ = place.live(OTEL_TRACES_EXPORTER="kept", OTEL_METRICS_EXPORTER="kept")

    span, end = place.read("spans")
    assert span.endswith(" other")
    assert end == "shutdown"
    assert "lrap.proxy.overhead" in place.read("metrics")
    assert place.read("metrics")[-1] == "shutdown"
    assert printed == ""


def test_several_exporters_each_get_everything(place: Place) -> None:
    place.use_others()
    with Collector() as http:
        printed, _ = place.live(
            OTEL_TRACES_EXPORTER="otlp,kept",
            OTEL_METRICS_EXPORTER="otlp,kept",
            OTEL_EXPORTER_OTLP_ENDPOINT=http.url,
        )

        posts = http.received()
    (sent,) = [each for each in posts if each.path == "/v1/traces"]
    measured = {
        metric.name
        for each in posts
        if each.path == "/v1/metrics"
        for of in each.metrics().resource_metrics
        for scope in of.scope_metrics
        for metric in scope.metrics
    }
    (span,) = sent.traces().resource_spans[0].scope_spans[0].spans
    assert span.trace_id.hex() in place.read("spans")[0]
    assert {*place.read("metrics")} - {"shutdown"} == measured
    assert printed == ""


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("raises", "the exporter raises: it raised LookupError: no such project; the key was ..."),
        ("exits", "the exporter exits: it raised SystemExit: 3"),
        ("hangs", "the exporter hangs: it "),
    ],
)
def test_one_that_misbehaves_keeps_nothing_from_another(place: Place, name: str, says: str) -> None:
    place.use_others()
    with Collector() as http:
        printed, took_s = place.live(
            SHUTDOWN_S,
            invocations=2,
            # The SDK is loaded by then; on a busy machine that may take these two seconds alone.
            until=http.posts.qsize,
            OTEL_TRACES_EXPORTER=f"{name},otlp",
            OTEL_EXPORTER_OTLP_ENDPOINT=http.url,
            OTEL_EXPORTER_OTLP_HEADERS="x-key=abcdefgh-0123",
        )

        posts = http.received("/v1/traces")
    assert sum(len(sent.traces().resource_spans[0].scope_spans[0].spans) for sent in posts) == 2
    assert says in printed
    assert "abcdefgh" not in printed
    # Lost, and said so.
    assert "2 spans" in printed
    assert took_s < SHUTDOWN_S + 10


def test_what_fails_once_comes_again(place: Place) -> None:
    place.use_others()

    printed, _ = place.live(
        until=lambda: place.read("fails"),
        OTEL_TRACES_EXPORTER="fails",
        OTEL_METRICS_EXPORTER="none",
    )

    assert place.read("fails") == ["failed", "1"]
    assert "the exporter fails: it failed" in printed


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        (
            {"OTEL_TRACES_EXPORTER": "broken"},
            "the exporter broken of traces cannot be used (ValueError: no project is set)",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "gone"},
            "the exporter gone of traces cannot be used (AttributeError",
        ),
        (
            {"OTEL_METRICS_EXPORTER": "reader"},
            "the exporter reader of metrics cannot be used (TypeError",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "banana"},
            "that are there: broken, exits, fails, gone, hangs, kept, otlp_proto_grpc",
        ),
    ],
)
def test_one_that_cannot_be_had_is_told_and_ours_is_used(
    place: Place, variables: dict[str, str], says: str
) -> None:
    place.use_others()
    with Collector() as http:
        printed, _ = place.live(OTEL_EXPORTER_OTLP_ENDPOINT=http.url, **variables)

        assert {sent.path for sent in http.received()} == {"/v1/traces", "/v1/metrics"}
    # A busy machine may have more to say.
    assert any(says in line for line in printed.splitlines())


def test_a_value_that_the_sdk_cannot_read_is_told_and_ours_is_used(place: Place) -> None:
    with Collector() as http:
        printed, _ = place.live(
            OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
            OTEL_EXPORTER_OTLP_ENDPOINT=http.url,
            OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="many",
        )

        assert {sent.path for sent in http.received()} == {"/v1/traces", "/v1/metrics"}
    assert (
        "OTEL_EXPORTER_OTLP_PROTOCOL=grpc: the SDK cannot be used (ValueError: OTEL_SPAN" in printed
    )


def test_the_default_layer_says_what_is_missing_and_sends_by_http(place: Place) -> None:
    place.use(place.root / "nothing")
    with Collector() as http:
        printed, _ = place.live(
            OTEL_EXPORTER_OTLP_PROTOCOL="grpc", OTEL_EXPORTER_OTLP_ENDPOINT=http.url
        )

        assert {sent.path for sent in http.received()} == {"/v1/traces", "/v1/metrics"}
    assert printed == (
        "lrap-otel: warning: OTEL_EXPORTER_OTLP_PROTOCOL=grpc needs opentelemetry-exporter-otlp-proto-grpc, which is "
        "not there (`make layer FLAVOUR=sdk` builds a layer with OpenTelemetry's SDK and exporters); OTLP over "
        "http/protobuf is used instead\n"
    )
