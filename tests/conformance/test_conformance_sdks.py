"""OpenTelemetry's own instrumentation in the function: its span is the child of ours, whatever
brought the event.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.conformance.clients import WITH_SDK, each
from tests.conformance.sandbox import (
    ROOT,
    Event,
    Seen,
    direct,
    request_id,
    through,
    through_at_once,
)

if TYPE_CHECKING:
    from pathlib import Path

    from lrap_otel.emulator.signals import Span
    from tests.conformance.clients import Client

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CALLER_TRACE_HEX, CALLER_SPAN_HEX = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
# What X-Ray writes where it traces the function, and what Lambda writes where nobody does and
# nobody decided anything.
TRACED_BY_XRAY = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
TRACED_BY_NOBODY = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0;Lineage=1:a87bd80c:0"
ROOT_HEX, SEGMENT_HEX = "5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8"
# The default, that of OpenTelemetry's Lambda layers, and the one that makes an SDK read what
# runtimes put into `_X_AMZN_TRACE_ID`.
PROPAGATORS = (
    "tracecontext,baggage",
    "tracecontext,baggage,xray",
    "tracecontext,baggage,xray-lambda",
)
EVERY_EVENT = "tracecontext,baggage,xray-lambda"


def real(name: str, **fields: str) -> bytes:
    """A real event; the fields are added to its headers in the letters that its sender uses."""
    event = json.loads((ROOT / "tests/data/events" / f"{name}.json").read_text())
    for field, value in fields.items():
        event["headers"][field] = value
        if "multiValueHeaders" in event:
            event["multiValueHeaders"][field] = [value]
    return json.dumps(event).encode()


HTTP_EVENTS = (
    Event(real("apigw-request", Traceparent=CALLER, Tracestate="congo=t61rcWkgMzE")),
    Event(
        real("apigw-v2-request-no-authorizer", traceparent=CALLER, tracestate="congo=t61rcWkgMzE")
    ),
    Event(real("lambda-urls-request", traceparent=CALLER, tracestate="congo=t61rcWkgMzE")),
    Event(
        real(
            "alb-lambda-target-request-headers-only",
            traceparent=CALLER,
            tracestate="congo=t61rcWkgMzE",
        )
    ),
)
OTHER_PAYLOADS = (
    real("sqs-event"),
    real("kinesis-event"),
    real("s3-event"),
    b'{"text": "from another function"}',
)


def pairs(seen: Seen) -> list[tuple[Span, Span]]:
    """For each event our span and the SDK's, in the order of the events."""
    ours, theirs = by_event(seen, from_us=True), by_event(seen, from_us=False)
    assert len(ours) == len(theirs) == len(seen.outcomes), seen.output
    return list(zip(ours, theirs, strict=True))


def by_event(seen: Seen, *, from_us: bool) -> list[Span]:
    """The invocations' spans of one of the two, in the order of the events."""
    spans = [
        span
        for span in seen.spans
        if span.kind == "SERVER" and (span.scope.name == "lrap-otel") is from_us
    ]
    numbers = {request_id(number): number for number in range(len(seen.outcomes))}
    return sorted(spans, key=lambda span: numbers[span.attributes["faas.invocation_id"]])


def place(span: Span) -> tuple[str, str]:
    """Where it hangs: its trace, and its parent or nothing."""
    return (span.trace_id_hex, span.parent_id_hex)


def typed(client: Client, wrapper: str, method: str) -> Client:
    """Java's function that takes events as objects, in the library's wrapper for that class."""
    command = [
        *client.command[:-1],
        f"io.opentelemetry.instrumentation.awslambdaevents.v2_2.{wrapper}",
    ]
    env = client.env | {"OTEL_INSTRUMENTATION_AWS_LAMBDA_HANDLER": f"Typed::{method}"}
    return replace(client, command=command, env=env)


@pytest.mark.parametrize("propagators", PROPAGATORS)
@each(*WITH_SDK)
def test_an_http_events_caller_our_span_and_the_sdks_are_three_generations(
    client: Client, propagators: str, tmp_path: Path
) -> None:
    seen = through(client.with_sdk(), tmp_path, *HTTP_EVENTS, OTEL_PROPAGATORS=propagators)
    for ours, theirs in pairs(seen):
        assert place(ours) == (CALLER_TRACE_HEX, CALLER_SPAN_HEX)
        assert place(theirs) == (CALLER_TRACE_HEX, ours.span_id_hex)


@each(*WITH_SDK)
def test_without_us_the_sdks_span_is_the_callers_child_and_results_are_the_same(
    client: Client, tmp_path: Path
) -> None:
    traced = client.with_sdk()
    without = direct(traced, tmp_path, *HTTP_EVENTS[1:])
    behind = through(traced, tmp_path, *HTTP_EVENTS[1:])
    assert [place(span) for span in by_event(without, from_us=False)] == [
        (CALLER_TRACE_HEX, CALLER_SPAN_HEX)
    ] * 3
    assert results(behind) == results(without)


def results(seen: Seen) -> list[object]:
    """How the invocations ended; the function returns what it was given."""
    return [(outcome.status, rest_of(outcome.payload)) for outcome in seen.outcomes]


def rest_of(payload: bytes) -> object:
    """An event without what names the parent."""
    event = json.loads(payload)
    for name in ("traceparent", "x-amzn-trace-id"):
        event["headers"].pop(name, None)
    return event


@each(*WITH_SDK)
def test_the_callers_trace_state_reaches_the_sdk(client: Client, tmp_path: Path) -> None:
    seen = through(client.with_sdk(), tmp_path, HTTP_EVENTS[1])
    assert [span.trace_state for span in seen.spans] == ["congo=t61rcWkgMzE"] * 2


@each(*WITH_SDK)
def test_where_the_sdk_reads_lambdas_own_notation_it_is_our_child_for_every_event(
    client: Client, tmp_path: Path
) -> None:
    events = [Event(payload) for payload in OTHER_PAYLOADS]
    seen = through(client.with_sdk(), tmp_path, *events, OTEL_PROPAGATORS=EVERY_EVENT)
    for ours, theirs in pairs(seen):
        assert place(ours) == (ROOT_HEX, "")
        assert place(theirs) == (ROOT_HEX, ours.span_id_hex)


@each(*WITH_SDK)
def test_with_x_ray_as_the_backend_its_segment_our_span_and_the_sdks_are_three_generations(
    client: Client, tmp_path: Path
) -> None:
    events = [Event(payload, trace_header=TRACED_BY_XRAY) for payload in OTHER_PAYLOADS]
    seen = through(client.with_sdk(), tmp_path, *events, OTEL_PROPAGATORS=EVERY_EVENT)
    for ours, theirs in pairs(seen):
        assert place(ours) == (ROOT_HEX, SEGMENT_HEX)
        assert place(theirs) == (ROOT_HEX, ours.span_id_hex)


@each(*WITH_SDK)
def test_an_http_events_sdk_is_our_child_beside_an_x_ray_that_keeps_its_header(
    client: Client, tmp_path: Path
) -> None:
    event = Event(HTTP_EVENTS[1].payload, trace_header=TRACED_BY_XRAY)
    ((ours, theirs),) = pairs(through(client.with_sdk(), tmp_path, event))
    assert place(theirs) == (CALLER_TRACE_HEX, ours.span_id_hex)


@each(*WITH_SDK)
def test_what_nobody_decided_no_longer_silences_the_sdk(client: Client, tmp_path: Path) -> None:
    traced = client.with_sdk()
    event = Event(OTHER_PAYLOADS[0], trace_header=TRACED_BY_NOBODY)
    without = direct(traced, tmp_path, event, OTEL_PROPAGATORS=EVERY_EVENT)
    behind = through(traced, tmp_path, event, OTEL_PROPAGATORS=EVERY_EVENT)
    assert by_event(without, from_us=False) == []
    ((ours, theirs),) = pairs(behind)
    assert place(theirs) == (ROOT_HEX, ours.span_id_hex)


@each(*WITH_SDK)
def test_an_error_is_an_error_in_both_spans_and_the_callers_error_is_the_same(
    client: Client, tmp_path: Path
) -> None:
    failing = Event(b'{"do": "fail", "depth": 0}')
    without = direct(client.with_sdk(), tmp_path, failing, OTEL_PROPAGATORS=EVERY_EVENT)
    behind = through(client.with_sdk(), tmp_path, failing, OTEL_PROPAGATORS=EVERY_EVENT)
    assert behind.results() == without.results()
    assert [outcome.status for outcome in behind.outcomes] == ["error"]
    ((ours, theirs),) = pairs(behind)
    assert place(theirs) == (ROOT_HEX, ours.span_id_hex)
    assert ours.status == "ERROR"
    # Go's instrumentation says nothing about errors.
    assert theirs.status == ("UNSET" if client.name == "go" else "ERROR")


@each("node")
def test_a_streamed_results_sdk_is_our_child_too(client: Client, tmp_path: Path) -> None:
    streaming = replace(client, command=[*client.traced[:-1], "traced.stream"])
    events = [
        HTTP_EVENTS[1],
        Event(
            real("lambda-urls-request", traceparent=CALLER).replace(
                b"{", b'{"do": "break stream", ', 1
            )
        ),
    ]
    seen = through(streaming, tmp_path, *events)
    assert [outcome.payload.partition(b",")[0] for outcome in seen.outcomes] == [
        b"first half",
        b"first half",
    ]
    for ours, theirs in pairs(seen):
        assert place(theirs) == (CALLER_TRACE_HEX, ours.span_id_hex)
    assert [(ours.status, theirs.status) for ours, theirs in pairs(seen)] == [
        ("UNSET", "UNSET"),
        ("ERROR", "ERROR"),
    ]


@each(*WITH_SDK)
def test_a_caller_that_does_not_sample_silences_us_and_the_sdk(
    client: Client, tmp_path: Path
) -> None:
    event = Event(real("lambda-urls-request", traceparent=CALLER.removesuffix("01") + "00"))
    seen = through(client.with_sdk(), tmp_path, event)
    assert [outcome.status for outcome in seen.outcomes] == ["success"]
    assert seen.spans == []


@each("java")
def test_javas_wrappers_for_event_classes_make_a_child_of_our_span(
    client: Client, tmp_path: Path
) -> None:
    http = through(
        typed(client, "TracingRequestApiGatewayWrapper", "http"), tmp_path, HTTP_EVENTS[0]
    )
    sqs = through(
        typed(client, "TracingSqsEventWrapper", "sqs"),
        tmp_path,
        Event(OTHER_PAYLOADS[0]),
        OTEL_PROPAGATORS=EVERY_EVENT,
    )
    for seen in (http, sqs):
        ((ours, theirs),) = pairs(seen)
        assert place(theirs) == (ours.trace_id_hex, ours.span_id_hex)


@each("java")
def test_the_client_context_makes_javas_sdk_our_child_for_any_event(
    client: Client, tmp_path: Path
) -> None:
    context = json.dumps({"custom": {"traceparent": CALLER}, "env": {}})
    seen = through(
        client.with_sdk(), tmp_path, *[Event(payload, context) for payload in OTHER_PAYLOADS]
    )
    for ours, theirs in pairs(seen):
        assert place(ours) == (CALLER_TRACE_HEX, CALLER_SPAN_HEX)
        assert place(theirs) == (CALLER_TRACE_HEX, ours.span_id_hex)


# Its workers are processes, each with variables of its own. The other runtimes set none there, so
# that their SDKs find nothing.
@each("python")
def test_pythons_sdk_is_our_child_for_every_event_that_is_served_at_once(
    client: Client, tmp_path: Path
) -> None:
    events = [Event(payload) for payload in OTHER_PAYLOADS] * 2
    for ours, theirs in pairs(
        through_at_once(client.with_sdk(), tmp_path, *events, OTEL_PROPAGATORS=EVERY_EVENT)
    ):
        assert place(theirs) == (ROOT_HEX, ours.span_id_hex)


@each(*WITH_SDK)
def test_events_that_are_served_at_once_have_each_their_own_child(
    client: Client, tmp_path: Path
) -> None:
    seen = through_at_once(client.with_sdk(), tmp_path, *HTTP_EVENTS[1:] * 3)
    for ours, theirs in pairs(seen):
        assert place(theirs) == (CALLER_TRACE_HEX, ours.span_id_hex)
