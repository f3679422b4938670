"""Every event we know, real or made by hand, becomes the span that a maintainer of the conventions
would have written.

`golden/expected` says what the conventions ask, `golden/spans` holds whole spans; ``python -m
tests.telemetry.golden`` writes the second anew, never the first.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from lrap_otel.telemetry import semconv
from lrap_otel.telemetry.export import encode
from lrap_otel.telemetry.otlp.traces import encode_span
from tests.telemetry import sdk_metrics, sdk_spans
from tests.telemetry.golden.spans import AGE_S, DATA, golden, worked_off
from tests.telemetry.golden.tables import EXPECTED, SPANS, Case, json_text, read_cases
from tests.telemetry.test_telemetry_names import OURS, constants, words_of_the_conventions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.telemetry.otlp_collector import Collector

RESULTS = {
    "alb-lambda-target-response",
    "apigw-custom-auth-response",
    "apigw-response",
    "appsync-lambda-auth-response",
    "iot-custom-auth-response",
    "iot-preprovision-hook-response",
    "kinesis-analytics-output-delivery-response",
    "kinesis-firehose-response",
    "lambda-urls-response",
    "lex-response",
    "s3-batch-job-event-response",
}
# Not on the span, but about what the event or the function says.
ABOUT_THE_CASE = {"result", "error", "header", "links", "made"}

IDENTITY = {
    "kind": "SERVER",
    "faas.invocation_id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
    "faas.coldstart": False,
    "cloud.account.id": "123456789012",
    "cloud.resource_id": "arn:aws:lambda:us-east-1:123456789012:function:orders",
    "aws.lambda.invoked_arn": "arn:aws:lambda:us-east-1:123456789012:function:orders",
}


def with_age(case: Case) -> Case:
    """An event that tells when it was made has an age."""
    age = {"lrap.event.age": json_text(AGE_S)} if "made" in case.entries else {}
    return case._replace(entries=case.entries | age)


CASES = [with_age(case) for path in sorted(EXPECTED.glob("*.txt")) for case in read_cases(path)]
GOLDEN = {case.name: case for path in SPANS.glob("*.txt") for case in read_cases(path)}


def events_below(folder: str) -> set[str]:
    return {f"{folder}/{path.stem}" for path in (DATA / folder).glob("*.json")}


def lines(case: Case) -> list[str]:
    return sorted(f"{key} = {value}" for key, value in case.entries.items())


def differences(expected: Case, span: Case) -> Iterator[str]:
    """What the span lacks or has too much, in words."""
    for key, value in expected.entries.items():
        if key not in ABOUT_THE_CASE and span.entries.get(key) != value:
            yield f"{key} is {span.entries.get(key)}, not {value}"
    links = sum(key.startswith("link ") for key in span.entries)
    if links != int(expected.entries["links"]):
        yield f"{links} links, not {expected.entries['links']}"
    for key, value in span.entries.items():
        if expected.forbids(key):
            yield f"{key} = {value} must not be there"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_span_is_what_the_conventions_ask(case: Case, collector: Collector) -> None:
    assert list(differences(case, golden(case, collector))) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_span_is_the_golden_one(case: Case, collector: Collector) -> None:
    assert lines(golden(case, collector)) == lines(GOLDEN[case.name])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_span_and_its_metrics_are_what_the_sdk_encodes(case: Case, collector: Collector) -> None:
    pipeline = worked_off(case, collector, pytest.fail)
    (waiting,) = pipeline._exporter._spans._spans
    span = waiting.span
    data = pipeline._sandbox.metrics.collect()
    assert data is not None

    request = encode.spans_request(span.resource, [encode_span(span)])
    assert ExportTraceServiceRequest.FromString(request) == sdk_spans.request_of_the_sdk(
        [span], encode.SCOPE
    )
    measured = ExportMetricsServiceRequest.FromString(encode.metrics_request(data))
    assert measured == sdk_metrics.request_of_the_sdk(data, encode.SCOPE)


def test_every_event_has_its_span() -> None:
    events = events_below("events") | events_below("events_made")

    assert {case.event_path.removesuffix(".json") for case in CASES} == events - {
        f"events/{name}" for name in RESULTS
    }
    assert set(GOLDEN) == {case.name for case in CASES}


def test_the_93_real_events_are_there() -> None:
    assert len(events_below("events")) == 93 + len(RESULTS)


def attribute_names(span: Case) -> Iterator[str]:
    """Of the span, its links and events, and of what was measured."""
    for key, value in span.entries.items():
        if key.startswith(("link ", "event ")):
            yield from json.loads(value)
        elif key.startswith("metric "):
            yield from json.loads(key[key.index('{"') :])
        elif "." in key:
            yield key


def test_every_attribute_is_the_conventions_or_stands_in_our_own_list() -> None:
    ours = (
        {name for name in constants(semconv) if name.startswith("lrap.")}
        | {semconv.LRAP_LINK_SOURCE}
        | OURS
    )
    emitted = {name for span in GOLDEN.values() for name in attribute_names(span)}

    assert emitted - words_of_the_conventions() - ours == set()
    assert {"faas.trigger", "messaging.message.id", "exception.type", "source"} < emitted


@pytest.mark.parametrize("span", GOLDEN.values(), ids=lambda span: span.name)
def test_every_span_says_which_invocation_of_which_function_it_is(span: Case) -> None:
    assert {name: json.loads(span.entries[name]) for name in IDENTITY} == IDENTITY


@pytest.mark.parametrize("span", GOLDEN.values(), ids=lambda span: span.name)
def test_the_faas_metrics_count_it_once_under_its_trigger(span: Case) -> None:
    trigger = json_text({"faas.trigger": json.loads(span.entries["faas.trigger"])})
    has_failed = any(key.startswith("event exception") for key in span.entries)
    counter = (
        "faas.errors (sum, {error}, DELTA)"
        if has_failed
        else "faas.invocations (sum, {invocation}, DELTA)"
    )
    measured = {key: value for key, value in span.entries.items() if key.startswith("metric faas.")}

    assert measured == {
        f"metric {counter} {trigger}": "1",
        f"metric faas.invoke_duration (histogram, s, DELTA) {trigger}": '{"count": 1, "sum": 0.025}',
    }


def test_every_made_event_names_its_documentation() -> None:
    documentation = (DATA / "events_made" / "README.md").read_text(encoding="utf-8")
    named = set(
        re.findall(r"^\| `([a-z0-9-]+)` \| .+ \| `.+` \|$", documentation, flags=re.MULTILINE)
    )

    assert {f"events_made/{name}" for name in named} == events_below("events_made")
