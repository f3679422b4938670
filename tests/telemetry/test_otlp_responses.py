"""The answers of collectors, which are strangers' bytes."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from lrap_otel.telemetry.otlp.responses import rejected
from lrap_otel.telemetry.otlp.wire import double, fixed_32, integer, message, text

COUNTS = st.integers(0, 2**63 - 1)
# Fields of versions to come, of every form.
UNKNOWN = st.one_of(
    st.builds(integer, st.integers(3, 1_000), st.integers(0, 2**64 - 1)),
    st.builds(message, st.integers(3, 2**29 - 1), st.binary(max_size=10)),
    st.builds(fixed_32, st.integers(3, 100), st.integers(0, 2**32 - 1)),
    st.builds(double, st.integers(3, 100), st.floats()),
)
PIECES = st.one_of(
    UNKNOWN,
    st.builds(integer, st.just(1), st.integers(0, 2**64 - 1)),
    st.builds(text, st.just(2), st.text(max_size=10)),
)
PARTIAL = st.lists(PIECES, max_size=4).map(b"".join)
RESPONSES = st.lists(
    st.one_of(UNKNOWN, PARTIAL.map(lambda body: message(1, body))), max_size=4
).map(b"".join)


@given(COUNTS, st.text(max_size=50))
def test_what_was_rejected_is_read_whatever_the_signal(count: int, why: str) -> None:
    traces, metrics, logs = (
        ExportTraceServiceResponse(),
        ExportMetricsServiceResponse(),
        ExportLogsServiceResponse(),
    )
    traces.partial_success.rejected_spans = count
    metrics.partial_success.rejected_data_points = count
    logs.partial_success.rejected_log_records = count
    for response in (traces, metrics, logs):
        response.partial_success.error_message = why
        assert rejected(response.SerializeToString()) == count


@given(RESPONSES)
@settings(max_examples=200)
def test_any_message_is_read_as_protobuf_reads_it(response: bytes) -> None:
    theirs = ExportTraceServiceResponse.FromString(response).partial_success.rejected_spans

    assert rejected(response) == max(theirs, 0)


def by_protobuf(response: bytes) -> int:
    try:
        return max(
            ExportTraceServiceResponse.FromString(response).partial_success.rejected_spans, 0
        )
    except DecodeError:
        return 0


@given(st.binary(max_size=60))
@example(b"\x0a\x02\x08\x05\xff")
@example(b"\x0a\x7f\x08\x05")
@example(b"\x80" * 11)
@settings(max_examples=300)
def test_no_bytes_make_it_raise_or_believe_what_protobuf_does_not(response: bytes) -> None:
    assert rejected(response) in {0, by_protobuf(response)}


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_response_that_was_cut_says_nothing(cut: int) -> None:
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = 300
    response.partial_success.error_message = "no"
    whole = response.SerializeToString()

    assert len(whole) == 9
    assert rejected(whole) == 300
    assert rejected(whole[:cut]) == 0


def test_an_answer_of_html_says_nothing() -> None:
    assert rejected(b"<html><body>Not Found</body></html>") == 0
