"""Two of our proxies in a row: an event passes the outer one first, then the inner one, which the
function talks to.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import HTTP_EVENT, ROOT, emulated, function, invoke
from tests.ports import free_port, free_ports

if TYPE_CHECKING:
    from lrap_otel.emulator.config import Config
    from lrap_otel.emulator.emulator import Emulator
    from lrap_otel.emulator.outcome import Outcome
    from lrap_otel.emulator.signals import Span

NOTHING: dict[str, Any] = {"wrapper": None, "extensions": {}}
STREAMING = [sys.executable, str(Path(__file__).with_name("streaming_runtime.py"))]


def two_in_a_row(folder: Path, **options: Any) -> Config:
    """A function behind the inner proxy, which takes the outer one for Lambda."""
    outer, inner = free_ports(2)
    extensions = {
        "outer": launcher(folder, "outer", LRAP_LISTENER_PORT=str(outer)),
        "inner": launcher(folder, "inner", LRAP_RUNTIME_API_ENDPOINT=f"127.0.0.1:{outer}"),
    }
    return function(
        **{"extensions": extensions, "env": {"LRAP_LISTENER_PORT": str(inner)}, **options}
    )


def launcher(folder: Path, name: str, **variables: str) -> Path:
    """Our extension with a name and variables of its own, where Lambda gives all extensions the
    same ones.
    """
    path = folder / name
    settings = {**variables, "LRAP_EXTENSION_NAME": name, "OTEL_SERVICE_NAME": name}
    assignments = " ".join(f"{variable}={value}" for variable, value in settings.items())
    path.write_text(f"#!/bin/sh\n{assignments} exec '{ROOT}/opt/entrypoint'\n")
    path.chmod(0o755)
    return path


async def spans_of(emulator: Emulator, outcome: Outcome) -> tuple[Span, Span]:
    """The outer proxy's span of an invocation and the inner one's, once both are there; each proxy
    has made one.
    """

    def found() -> list[Span]:
        spans = emulator.otlp.received
        return [
            span
            for span in spans
            if span.attributes.get("faas.invocation_id") == outcome.request_id
        ]

    assert await emulator.otlp.wait(lambda: len(found()) >= 2, 30.0), found()
    inner, outer = sorted(found(), key=lambda span: str(span.resource["service.name"]))
    assert (outer.resource["service.name"], inner.resource["service.name"]) == ("outer", "inner")
    return outer, inner


def fates(config: Config, events: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    """How each invocation ends, as its caller and the platform see it."""
    seen: list[tuple[object, ...]] = []

    async def script(emulator: Emulator) -> None:
        for event in events:
            outcome = await emulator.invoke(
                json.dumps(event).encode(), request_id=f"request-{len(seen)}"
            )
            seen.append((outcome.status, outcome.reason, outcome.result))

    emulated(config, script)
    return seen


def test_two_proxies_make_one_trace_in_which_the_inner_span_is_the_outer_ones_child(
    tmp_path: Path,
) -> None:
    async def script(emulator: Emulator) -> None:
        outcome, result = await invoke(emulator, HTTP_EVENT)
        outer, inner = await spans_of(emulator, outcome)
        assert outer.trace_id_hex == inner.trace_id_hex == "4bf92f3577b34da6a3ce929d0e0e4736"
        assert outer.parent_id_hex == "00f067aa0ba902b7"
        assert inner.parent_id_hex == outer.span_id_hex
        assert outer.start_ns <= inner.start_ns
        assert result["headers"]["traceparent"] == f"00-{inner.trace_id_hex}-{inner.span_id_hex}-01"
        assert f"Parent={inner.span_id_hex};Sampled=1" in result["xray"]
        reports = await emulator.shutdown()
        assert [report.is_clean for report in reports] == [True, True]

    assert emulated(two_in_a_row(tmp_path), script) == []


@pytest.mark.parametrize("tracing", ["none", "passive", "active"])
def test_an_event_without_a_parent_is_one_trace_too_and_the_outer_span_its_root(
    tmp_path: Path, tracing: str
) -> None:
    async def script(emulator: Emulator) -> None:
        outcome, result = await invoke(emulator, {})
        outer, inner = await spans_of(emulator, outcome)
        assert outer.trace_id_hex == inner.trace_id_hex
        assert (outer.parent_id_hex, inner.parent_id_hex) == ("", outer.span_id_hex)
        if tracing == "active":
            # X-Ray traces the function: its header stays as it came, and its segment is linked
            # once.
            assert result["xray"] == outcome.trace_header
            assert (len(outer.links), inner.links) == (1, [])
        else:
            assert f";Parent={inner.span_id_hex};Sampled=1" in result["xray"]
            assert outer.links == inner.links == []

    emulated(two_in_a_row(tmp_path, tracing=tracing), script)


def test_a_caller_gets_behind_two_proxies_what_the_function_alone_gives(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = [
        {"do": "echo", "value": {"text": "Grüße", "number": 1.5, "deep": [[[[]]]]}},
        {"do": "large", "bytes": 5_000_000},
        {"do": "large", "bytes": 6_291_557},
        {"do": "raise"},
        {"do": "exit"},
        {"do": "echo", "value": None, "padding": "x" * 5_000_000},
    ]
    alone = fates(function(**NOTHING, timeout_s=30.0), events)
    assert fates(two_in_a_row(tmp_path, timeout_s=30.0), events) == alone
    assert [status for status, _, _ in alone] == [
        "success",
        "success",
        "crash",
        "error",
        "crash",
        "success",
    ]


def test_a_time_out_behind_two_proxies_is_what_it_is_without_them(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = [{"do": "sleep", "s": 60}, {"do": "echo", "value": "after it"}]
    alone = fates(function(**NOTHING, timeout_s=3.0), events)
    assert fates(two_in_a_row(tmp_path, timeout_s=3.0), events) == alone
    assert [status for status, _, _ in alone] == ["timeout", "success"]


def test_streamed_results_arrive_through_two_proxies_as_they_were_sent(tmp_path: Path) -> None:
    events = [{"do": "stream"}, {"do": "fail"}, {"do": "break off"}, {"do": "stream"}]
    alone = fates(function(**NOTHING, command=STREAMING), events)
    assert fates(two_in_a_row(tmp_path, command=STREAMING), events) == alone
    assert [status for status, _, _ in alone] == ["success", "success", "crash", "success"]


def test_an_error_in_mid_stream_is_both_spans(tmp_path: Path) -> None:
    async def script(emulator: Emulator) -> None:
        outcome = await emulator.invoke(b'{"do":"fail"}')
        assert outcome.payload == b"first half,"
        assert outcome.trailers["lambda-runtime-function-error-type"] == "Function.Broken"
        for span in await spans_of(emulator, outcome):
            assert (span.status, span.attributes["error.type"]) == ("ERROR", "Function.Broken")

    emulated(two_in_a_row(tmp_path, command=STREAMING), script)


@pytest.mark.parametrize(
    ("event", "error_type"),
    [
        ({"do": "raise"}, "ValueError"),
        ({"do": "exit"}, "crash"),
        ({"do": "sleep", "s": 30}, "timeout"),
    ],
    ids=["error", "crash", "timeout"],
)
def test_however_an_invocation_fails_both_spans_say_so_and_nothing_is_held_back(
    tmp_path: Path, event: dict[str, Any], error_type: str
) -> None:
    async def script(emulator: Emulator) -> None:
        first, _ = await invoke(emulator, {})
        await spans_of(emulator, first)
        outcome, _ = await invoke(emulator, event)
        assert outcome.billed_ms < 8_000
        for span in await spans_of(emulator, outcome):
            assert (span.status, span.attributes["error.type"]) == ("ERROR", error_type)
        reports = outcome.reports or await emulator.shutdown()
        assert [report.is_clean for report in reports] == [True, True]

    emulated(two_in_a_row(tmp_path, timeout_s=2.0), script)


def test_two_proxies_export_under_managed_instances(tmp_path: Path) -> None:
    async def script(emulator: Emulator) -> None:
        outcome, _ = await invoke(emulator, HTTP_EVENT)
        outer, inner = await spans_of(emulator, outcome)
        assert inner.parent_id_hex == outer.span_id_hex
        reports = await emulator.shutdown()
        assert [report.is_clean for report in reports] == [True, True]

    env = {"LRAP_LISTENER_PORT": str(free_port()), "OTEL_BSP_SCHEDULE_DELAY": "100"}
    emulated(
        two_in_a_row(tmp_path, initialization_type="lambda-managed-instances", env=env), script
    )


def test_an_extension_that_is_there_twice_traces_once_and_says_so(tmp_path: Path) -> None:
    async def script(emulator: Emulator) -> None:
        for _ in range(2):
            _, result = await invoke(emulator, HTTP_EVENT)
            assert result["statusCode"] == 200
        reports = await emulator.shutdown()
        assert [report.is_clean for report in reports] == [True, True]
        assert len(emulator.otlp.received) == 2
        (warning,) = [text for source, text in emulator.output if source in extensions]
        assert " is taken" in warning

    extensions = {name: launcher(tmp_path, name) for name in ("one", "another")}
    emulated(function(extensions=extensions), script)
