"""Which parent, which ids, which decision, and who writes which header."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lrap_otel import log
from lrap_otel.ipc import records
from tests.proxy.wire import deliver, event
from tests.upstream import field

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.proxy.conftest import Proxy
    from tests.upstream import Upstream

    Start = Callable[..., Proxy]

ROOT = "5759e988bd862e3fe1be46a994272793"
XRAY_ROOT = "Root=1-5759e988-bd862e3fe1be46a994272793"
PARENT = "53995c3f42cd8ad8"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03"
HTTP_EVENT = (
    b'{"version":"2.0","rawPath":"/","headers":{"traceparent":"%s"},"requestContext":{"http":{}}}'
    % TRACEPARENT.encode()
)


class Seen:
    """One delivery: what the runtime got, and what was recorded."""

    def __init__(self, proxy: Proxy, upstream: Upstream, fields: str, body: bytes) -> None:
        reply = event(body=body, fields=fields.encode())
        _, _, self.head, self.body = deliver(proxy, upstream, reply)
        record = proxy.record()
        assert isinstance(record, records.Delivered)
        self.record = record

    def header(self, name: str) -> str:
        return (field(self.head, name) or b"").decode()


@pytest.fixture
def see(start: Start, upstream: Upstream) -> Callable[..., Seen]:
    def see(xray: str = "", *, body: bytes = b"{}", fields: str = "", **variables: Any) -> Seen:
        trace = f"Lambda-Runtime-Trace-Id: {xray}\r\n" if xray else ""
        return Seen(start(**variables), upstream, trace + fields, body)

    return see


def test_without_a_parent_the_trace_is_xrays_and_its_noise_is_not_inherited(
    see: Callable[..., Seen],
) -> None:
    seen = see(f"{XRAY_ROOT};Parent={PARENT};Sampled=0;Lineage=a:1")
    record = seen.record
    assert (record.trace_id_hex, record.parent_span_id_hex, record.trace_flags) == (ROOT, "", 1)
    assert (record.link_trace_id_hex, record.link_span_id_hex) == ("", "")
    expected = f"{XRAY_ROOT};Parent={record.span_id_hex};Sampled=1;Lineage=a:1"
    assert seen.header("lambda-runtime-trace-id") == seen.header("x-amzn-trace-id") == expected
    assert seen.header("traceparent") == f"00-{ROOT}-{record.span_id_hex}-01"


def test_where_xray_traces_the_function_its_header_stays_and_its_segment_is_linked(
    see: Callable[..., Seen],
) -> None:
    sent = f"{XRAY_ROOT};Parent={PARENT};Sampled=1"
    seen = see(sent)
    assert seen.header("lambda-runtime-trace-id") == sent
    assert (seen.record.link_trace_id_hex, seen.record.link_span_id_hex) == (ROOT, PARENT)
    assert seen.record.parent_span_id_hex == ""


@pytest.mark.parametrize("propagators", ["tracecontext,baggage,xray", "tracecontext,xray-lambda"])
def test_where_xray_is_the_backend_its_header_names_our_span(
    see: Callable[..., Seen], propagators: str
) -> None:
    seen = see(f"{XRAY_ROOT};Parent={PARENT};Sampled=1", OTEL_PROPAGATORS=propagators)
    assert (
        seen.header("lambda-runtime-trace-id")
        == f"{XRAY_ROOT};Parent={seen.record.span_id_hex};Sampled=1"
    )
    assert seen.record.parent_span_id_hex == (PARENT if "xray-lambda" in propagators else "")


@pytest.mark.parametrize(
    ("setting", "is_ours"), [("always", True), ("never", False), ("auto", False)]
)
def test_who_writes_the_runtimes_header_is_a_setting(
    see: Callable[..., Seen], setting: str, *, is_ours: bool
) -> None:
    sent = f"{XRAY_ROOT};Parent={PARENT};Sampled=1"
    seen = see(sent, LRAP_XRAY_HEADER=setting)
    assert (seen.header("lambda-runtime-trace-id") != sent) is is_ours


def test_the_runtimes_header_is_written_where_none_came_and_ids_are_ours(
    see: Callable[..., Seen],
) -> None:
    seen = see()
    record = seen.record
    assert record.trace_flags == 3  # random: we made the id
    assert (
        f"Root=1-{record.trace_id_hex[:8]}-{record.trace_id_hex[8:]};Parent={record.span_id_hex};Sampled=1"
        == seen.header("lambda-runtime-trace-id")
    )
    assert abs(int(record.trace_id_hex[:8], 16) - record.delivered_ns // 10**9) <= 1


def test_the_events_traceparent_is_the_parent_and_ours_takes_its_place(
    see: Callable[..., Seen],
) -> None:
    seen = see(f"{XRAY_ROOT};Lineage=a:1", body=HTTP_EVENT)
    record = seen.record
    assert (record.trace_id_hex, record.parent_span_id_hex) == (
        TRACEPARENT[3:35],
        TRACEPARENT[36:52],
    )
    headers = json.loads(seen.body)["headers"]
    assert (
        headers["traceparent"]
        == seen.header("traceparent")
        == f"00-{record.trace_id_hex}-{record.span_id_hex}-03"
    )


def test_a_proxy_in_front_of_us_is_the_parent(see: Callable[..., Seen]) -> None:
    span = "00-11111111111111111111111111111111-2222222222222222-01"
    fields = f"traceparent: {span}\r\ntracestate: a=b\r\n"
    seen = see(
        f"Root=1-11111111-{'1' * 24};Parent=2222222222222222;Sampled=1",
        fields=fields,
        body=HTTP_EVENT,
    )
    record = seen.record
    assert (record.trace_id_hex, record.parent_span_id_hex, record.trace_state) == (
        "1" * 32,
        "2" * 16,
        "a=b",
    )
    # Its header is not X-Ray's, so it is ours to write; and there is one of each.
    assert f"Parent={record.span_id_hex}" in seen.header("lambda-runtime-trace-id")
    assert (
        seen.head.lower().count(b"\r\ntraceparent:")
        == seen.head.lower().count(b"\r\ntracestate:")
        == 1
    )


def test_none_extracts_and_injects_nothing_and_is_recorded_all_the_same(
    see: Callable[..., Seen],
) -> None:
    sent = f"{XRAY_ROOT};Lineage=a:1"
    seen = see(sent, body=HTTP_EVENT, OTEL_PROPAGATORS="none")
    assert seen.body == HTTP_EVENT
    assert seen.header("lambda-runtime-trace-id") == sent
    assert b"traceparent" not in seen.head
    assert (seen.record.trace_id_hex, seen.record.parent_span_id_hex) == (ROOT, "")


@pytest.mark.parametrize(
    ("sampler", "flags"),
    [("always_off", "02"), ("parentbased_always_off", "03"), ("always_on", "03")],
)
def test_the_sampler_decides_and_the_function_is_told(
    see: Callable[..., Seen], sampler: str, flags: str
) -> None:
    seen = see(body=HTTP_EVENT, OTEL_TRACES_SAMPLER=sampler)
    assert seen.header("traceparent").endswith(f"-{flags}")
    assert seen.record.trace_flags == int(flags, 16)


def test_an_event_over_the_scan_limit_passes_untouched_and_its_headers_carry_the_context(
    see: Callable[..., Seen],
) -> None:
    seen = see(body=HTTP_EVENT, LRAP_SCAN_LIMIT_BYTES="10")
    assert seen.body == HTTP_EVENT
    assert seen.header("traceparent").endswith(f"-{seen.record.span_id_hex}-03")


def test_b3_is_written_where_it_is_asked_for(see: Callable[..., Seen]) -> None:
    seen = see(body=HTTP_EVENT, OTEL_PROPAGATORS="b3,b3multi")
    record = seen.record
    headers = json.loads(seen.body)["headers"]
    assert headers["b3"] == f"{record.trace_id_hex}-{record.span_id_hex}-1"
    assert headers["x-b3-spanid"] == seen.header("x-b3-spanid") == record.span_id_hex


def test_an_id_that_comes_again_after_its_deadline_is_a_retry_with_a_span_of_its_own(
    proxy: Proxy, upstream: Upstream
) -> None:
    spans = []
    for _ in range(2):
        reply = event().replace(b"Deadline-Ms: 4102444800000", b"Deadline-Ms: 1795331100000")
        deliver(proxy, upstream, reply)
        record = proxy.record()
        assert isinstance(record, records.Delivered)
        spans.append(record.span_id_hex)
        assert not record.is_redelivery
    assert spans[0] != spans[1]


def test_a_caller_in_the_client_context_counts_where_the_events_headers_name_none(
    see: Callable[..., Seen],
) -> None:
    body = (
        b'{"version":"2.0","rawPath":"/","headers":{"accept":"*/*"},"requestContext":{"http":{}}}'
    )
    context = f'Lambda-Runtime-Client-Context: {{"custom":{{"traceparent":"{TRACEPARENT}"}}}}\r\n'
    seen = see(body=body, fields=context)
    assert seen.record.parent_span_id_hex == "00f067aa0ba902b7"
    assert see(
        body=HTTP_EVENT, fields=context.replace("00f067aa0ba902b7", "1" * 16)
    ).record.parent_span_id_hex == ("00f067aa0ba902b7")


def test_of_two_traceparents_on_the_reply_neither_counts_and_tracestates_are_joined(
    see: Callable[..., Seen],
) -> None:
    line = f"traceparent: {TRACEPARENT}\r\n"
    assert see(fields=line + line).record.parent_span_id_hex == ""
    seen = see(fields=f"{line}tracestate: a=1\r\ntracestate: b=2\r\n")
    assert (seen.record.parent_span_id_hex, seen.record.trace_state) == (
        "00f067aa0ba902b7",
        "a=1,b=2",
    )


@pytest.mark.parametrize(
    "sent",
    [
        "Sampled=1",
        f"{XRAY_ROOT};Sampled=1",
        f"Root=1-{'0' * 8}-{'0' * 24};Parent={PARENT};Sampled=1",
    ],
)
def test_a_sampled_header_that_names_no_segment_gives_way_to_ours(
    see: Callable[..., Seen], sent: str
) -> None:
    seen = see(sent)
    assert f";Parent={seen.record.span_id_hex};" in seen.header("lambda-runtime-trace-id")
    assert (seen.record.link_trace_id_hex, seen.record.link_span_id_hex) == ("", "")


def test_the_callers_b3_flags_do_not_contradict_what_is_written(see: Callable[..., Seen]) -> None:
    body = HTTP_EVENT.replace(b'"traceparent"', b'"x-b3-flags":"1","traceparent"')
    seen = see(body=body, OTEL_PROPAGATORS="b3multi", OTEL_TRACES_SAMPLER="always_off")
    headers = json.loads(seen.body)["headers"]
    assert (headers["x-b3-sampled"], headers["x-b3-flags"]) == ("0", "")


def test_an_event_that_comes_again_behind_another_proxy_names_our_span_everywhere(
    proxy: Proxy, upstream: Upstream
) -> None:
    span = TRACEPARENT[36:52]
    fields = f"traceparent: {TRACEPARENT}\r\nLambda-Runtime-Trace-Id: {XRAY_ROOT};Parent={span};Sampled=1\r\n"
    for is_redelivery in (False, True):
        _, _, head, _ = deliver(proxy, upstream, event(b"again", fields=fields.encode()))
        record = proxy.record()
        assert isinstance(record, records.Delivered)
        assert record.is_redelivery is is_redelivery
        named = (field(head, "lambda-runtime-trace-id") or b"").decode()
        assert f";Parent={record.span_id_hex};" in named
        assert (record.link_trace_id_hex, record.link_span_id_hex) == ("", "")


def test_what_was_decided_is_said_at_debug_and_nothing_at_warning(
    start: Start, upstream: Upstream, capfd: pytest.CaptureFixture[str]
) -> None:
    body = b'{"headers":{"traceparent":"%s","cookie":"secret"},"requestContext":{"http":{}},"rawPath":"/"}'
    reply = event(body=body % b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    deliver(start(), upstream, reply)
    assert capfd.readouterr().err == ""
    log.set_level("debug")
    try:
        deliver(start(), upstream, reply)
        deliver(start(OTEL_PROPAGATORS="none"), upstream)
    finally:
        log.set_level("warning")
    first, second = capfd.readouterr().err.splitlines()
    assert (
        "8476a536-e9f4-11e8-9739-2dfe598c3fcd: trace 4bf92f3577b34da6a3ce929d0e0e4736, span "
        in first
    )
    assert "parent 00f067aa0ba902b7 (of the event" in first
    assert "injected traceparent, x-amzn-trace-id into the reply and event" in first
    assert "secret" not in first
    assert "parent none (a new trace)" in second
    assert "injected nothing into the reply" in second
