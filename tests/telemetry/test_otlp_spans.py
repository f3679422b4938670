"""Spans on the wire: our bytes, read by protobuf, are what the SDK's encoder makes of the same
spans.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from lrap_otel.propagation.context import SpanContext
from lrap_otel.telemetry.otlp.traces import (
    ERROR,
    INTERNAL,
    SERVER,
    UNSET,
    Event,
    Link,
    Span,
    encode_span,
)
from lrap_otel.telemetry.otlp.wire import Resource, Scope, request
from tests.telemetry.otlp_values import (
    ANY_TEXTS,
    ATTRIBUTES,
    CONTEXTS,
    COUNTS,
    SPAN_IDS,
    TIMES_NS,
    encodable,
)
from tests.telemetry.sdk_spans import request_of_the_sdk

SCOPE = Scope("lrap-otel", "0.1.0", "https://opentelemetry.io/schemas/1.44.0")
CONTEXT = SpanContext("5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8", 1)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    parent = draw(st.one_of(st.just(""), SPAN_IDS.map(lambda number: f"{number:016x}")))
    span = Span(
        draw(ANY_TEXTS),
        draw(st.sampled_from([INTERNAL, SERVER])),
        draw(CONTEXTS),
        parent,
        draw(TIMES_NS),
        draw(TIMES_NS),
        draw(st.builds(Resource, ATTRIBUTES, ANY_TEXTS.map(encodable))),
    )
    span.attributes = draw(ATTRIBUTES)
    span.dropped_attributes, span.dropped_events, span.dropped_links = draw(
        st.tuples(COUNTS, COUNTS, COUNTS)
    )
    span.events = draw(
        st.lists(st.builds(Event, ANY_TEXTS, TIMES_NS, ATTRIBUTES, COUNTS), max_size=3)
    )
    span.links = draw(st.lists(st.builds(Link, CONTEXTS, ATTRIBUTES, COUNTS), max_size=3))
    span.status = draw(st.sampled_from([UNSET, ERROR]))
    span.status_message = (
        draw(ANY_TEXTS) if span.status == ERROR else ""
    )  # elsewhere the SDK takes none
    return span


def encoded(*several: Span) -> bytes:
    return request(several[0].resource, SCOPE, [encode_span(span) for span in several])


def decoded(*several: Span) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest.FromString(encoded(*several))


def assert_same(ours: ExportTraceServiceRequest, theirs: ExportTraceServiceRequest) -> None:
    """Field by field; as bytes, since NaN differs from itself."""
    assert ours.SerializeToString(deterministic=True) == theirs.SerializeToString(
        deterministic=True
    )


@given(spans())
@settings(max_examples=150, deadline=None)
def test_a_span_is_what_the_sdk_encodes(span: Span) -> None:
    assert_same(decoded(span), request_of_the_sdk([span], SCOPE))


@given(spans())
@settings(max_examples=60, deadline=None)
def test_the_bytes_themselves_are_protobufs_own(span: Span) -> None:
    """Protobuf writes fields by number, as we do, so a reader that has an opinion on their order
    has the same one.
    """
    ours = encoded(span)

    assert ours == ExportTraceServiceRequest.FromString(ours).SerializeToString(deterministic=True)


@given(st.lists(spans(), min_size=2, max_size=5))
@settings(max_examples=50, deadline=None)
def test_a_request_has_its_spans_in_order(several: list[Span]) -> None:
    for span in several:
        span.resource = several[0].resource

    assert_same(decoded(*several), request_of_the_sdk(several, SCOPE))


def test_a_number_beyond_64_bits_becomes_its_digits() -> None:
    span = Span("n", SERVER, CONTEXT, "", 1, 2, Resource({}))
    span.attributes = {"most": 2**63 - 1, "more": 2**63, "least": -(2**63), "less": -(2**63) - 1}

    encoded = decoded(span).resource_spans[0].scope_spans[0].spans[0].attributes
    assert [getattr(each.value, each.value.WhichOneof("value")) for each in encoded] == [
        2**63 - 1,
        "9223372036854775808",
        -(2**63),
        "-9223372036854775809",
    ]


def test_a_huge_attribute_arrives_whole() -> None:
    span = Span("n", SERVER, CONTEXT, "", 1, 2, Resource({}))
    span.attributes = {"stack": "é" * 3_000_000, "many": ["x"] * 100_000}

    assert_same(decoded(span), request_of_the_sdk([span], SCOPE))


def test_a_lone_surrogate_becomes_a_question_mark_wherever_it_stands() -> None:
    span = Span("\ud800", SERVER, CONTEXT, "", 1, 2, Resource({"\ud801": "\ud802"}))
    span.attributes = {"a\udfff": ["\ud800b"]}
    span.status, span.status_message = ERROR, "c\ud800"

    assert_same(decoded(span), request_of_the_sdk([span], SCOPE))
    assert "?" in decoded(span).resource_spans[0].scope_spans[0].spans[0].name
