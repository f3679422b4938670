"""Log records on the wire: our bytes, read by protobuf, are what the SDK's encoder makes of the
same records.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord as SdkRecord
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import TraceFlags

from lrap_otel.telemetry.export.sdk.spans import sdk_resource
from lrap_otel.telemetry.otlp.logs import LogRecord, logs_request
from lrap_otel.telemetry.otlp.wire import Resource, Scope
from tests.telemetry.otlp_values import (
    ANY_TEXTS,
    ATTRIBUTES,
    SPAN_IDS,
    TIMES_NS,
    TRACE_IDS,
    VALUES,
    encodable,
)

SCOPE = Scope("lrap-otel", "0.1.0", "https://opentelemetry.io/schemas/1.44.0")


@st.composite
def logs(draw: st.DrawFn) -> LogRecord:
    log = LogRecord(draw(VALUES), draw(TIMES_NS), draw(TIMES_NS), draw(ATTRIBUTES))
    log.severity = draw(st.integers(0, 24))
    log.severity_text = draw(ANY_TEXTS)
    if draw(st.booleans()):
        log.trace_id_hex = f"{draw(TRACE_IDS):032x}"
        log.span_id_hex = f"{draw(SPAN_IDS):016x}"
        log.trace_flags = draw(st.integers(0, 255))
    log.event_name = draw(ANY_TEXTS)
    return log


def by_the_sdk(log: LogRecord, resource: Resource) -> ReadableLogRecord:
    record = SdkRecord(
        timestamp=log.time_ns,
        observed_timestamp=log.observed_ns,
        severity_text=encodable(log.severity_text),
        severity_number=SeverityNumber(log.severity),
        body=encodable(log.body),
        attributes=encodable(dict(log.attributes)),
        event_name=encodable(log.event_name),
    )
    record.trace_id = int(log.trace_id_hex or "0", 16)
    record.span_id = int(log.span_id_hex or "0", 16)
    record.trace_flags = TraceFlags(log.trace_flags)
    record.observed_timestamp = log.observed_ns  # its own clock takes the place of zero
    scope = InstrumentationScope(SCOPE.name, SCOPE.version, SCOPE.schema_url)
    return ReadableLogRecord(record, sdk_resource(resource), scope)


@given(st.builds(Resource, ATTRIBUTES), st.lists(logs(), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_log_records_are_what_the_sdk_encodes(resource: Resource, several: list[LogRecord]) -> None:
    ours = ExportLogsServiceRequest.FromString(logs_request(resource, SCOPE, several))
    theirs = encode_logs([by_the_sdk(log, resource) for log in several])
    for record in theirs.resource_logs[0].scope_logs[0].log_records:
        # The SDK says "no body" by an empty one.
        record.body.SetInParent()

    assert ours.SerializeToString(deterministic=True) == theirs.SerializeToString(
        deterministic=True
    )
    assert logs_request(resource, SCOPE, several) == ours.SerializeToString(deterministic=True)


def test_what_was_dropped_of_a_record_is_said() -> None:
    log = LogRecord("body", 1, 2, {})
    log.dropped_attributes = 3

    (resource,) = ExportLogsServiceRequest.FromString(
        logs_request(Resource({}), SCOPE, [log])
    ).resource_logs
    assert resource.scope_logs[0].log_records[0].dropped_attributes_count == 3
