"""Durable functions: the spans of AWS's OpenTelemetry plugin are the same in each invocation of one
execution, and ours are beside them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lrap_otel.propagation import durable
from tests.propagation.live import Live

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.propagation.live import Delivery

MADE = Path(__file__).parents[1] / "data" / "events_made"
RESUMED = json.loads((MADE / "durable-function.json").read_bytes())
ROOT, TRACE_ID = "Root=1-5759e988-bd862e3fe1be46a994272793", "5759e988bd862e3fe1be46a994272793"
PARENT = "53995c3f42cd8ad8"
SAMPLED = f"{ROOT};Parent={PARENT};Sampled=1;Lineage=1:73f724a8:0"
TRACE_HEADER = "lambda-runtime-trace-id"
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def live() -> Iterator[Callable[..., Live]]:
    started: list[Live] = []

    def live(**variables: str) -> Live:
        started.append(Live(**variables))
        return started[-1]

    yield live
    for one in started:
        one.close()


def invocations() -> list[bytes]:
    """Of one execution: the first, and two that go on with it."""
    operations = RESUMED["InitialExecutionState"]["Operations"]
    return [
        json.dumps(
            RESUMED
            | {"CheckpointToken": f"token-{count}", "InitialExecutionState": {"Operations": known}}
        ).encode()
        for count, known in enumerate((operations[:1], operations, operations * 20))
    ]


def workflow_span(delivery: Delivery) -> tuple[str, str, str]:
    """Trace id, span id and parent of the span that the plugin exports in each invocation.

    Source: aws-durable-execution-sdk-python-otel 2.0.0: `xray_context_extractor`,
    `derive_workflow_span_id`.
    """
    parts = dict(part.split("=") for part in delivery.field(TRACE_HEADER).split(";"))
    workflow = f"workflow:{delivery.event['DurableExecutionArn']}"
    span_id_hex = hashlib.blake2b(workflow.encode()).hexdigest()[:16]
    return parts["Root"][2:].replace("-", ""), span_id_hex, parts["Parent"]


@pytest.mark.parametrize("sampled", ["0", "1"])
@pytest.mark.parametrize(
    "propagators", ["tracecontext,baggage", "xray,tracecontext", "xray-lambda", "b3"]
)
def test_the_workflows_span_is_the_same_in_each_invocation_of_an_execution(
    live: Callable[..., Live], propagators: str, sampled: str
) -> None:
    proxy = live(OTEL_PROPAGATORS=propagators)
    sent = SAMPLED.replace("Sampled=1", f"Sampled={sampled}")
    delivered = [proxy.deliver(event, {"Lambda-Runtime-Trace-Id": sent}) for event in invocations()]

    assert {workflow_span(delivery)[0::2] for delivery in delivered} == {(TRACE_ID, PARENT)}
    assert len({workflow_span(delivery) for delivery in delivered}) == 1
    assert {delivery.field(TRACE_HEADER) for delivery in delivered} == {sent}
    assert {delivery.trace_id_hex for delivery in delivered} == {TRACE_ID}
    assert len({delivery.span_id_hex for delivery in delivered}) == len(delivered)
    assert [delivery.payload for delivery in delivered] == invocations()


def test_our_span_is_a_sibling_with_a_link_to_that_parent(live: Callable[..., Live]) -> None:
    (record,) = [
        live().deliver(event, {"Lambda-Runtime-Trace-Id": SAMPLED}).record
        for event in invocations()[:1]
    ]

    assert (record.trace_id_hex, record.parent_span_id_hex) == (TRACE_ID, "")
    assert (record.link_trace_id_hex, record.link_span_id_hex) == (TRACE_ID, PARENT)


@pytest.mark.parametrize(
    ("sent", "linked"),
    [
        (f"{ROOT};Parent={PARENT}", PARENT),
        # Nothing of it is recorded.
        (f"{ROOT};Parent={PARENT};Sampled=0", ""),
        (f"{ROOT};Lineage=1:73f724a8:0", ""),
    ],
)
def test_a_header_stays_as_it_came_whatever_it_lacks(
    live: Callable[..., Live], sent: str, linked: str
) -> None:
    delivery = live().deliver(invocations()[0], {"Lambda-Runtime-Trace-Id": sent})

    assert delivery.field(TRACE_HEADER) == sent
    assert (delivery.trace_id_hex, delivery.record.link_span_id_hex) == (TRACE_ID, linked)
    assert delivery.record.trace_flags & 1


def test_no_header_is_made_where_none_came(live: Callable[..., Live]) -> None:
    """The plugin then has an id that it makes of the ARN, which one of ours would replace, another
    in each invocation.
    """
    assert live().deliver(invocations()[0]).fields(TRACE_HEADER) == []


def test_the_caller_of_an_execution_does_not_take_one_invocation_out_of_its_trace(
    live: Callable[..., Live],
) -> None:
    context = json.dumps({"custom": {"traceparent": CALLER}})
    fields = {"Lambda-Runtime-Trace-Id": SAMPLED, "Lambda-Runtime-Client-Context": context}
    delivery = live().deliver(invocations()[0], fields)

    assert (delivery.trace_id_hex, delivery.parent_span_id_hex) == (TRACE_ID, "")


def test_who_asks_for_our_header_always_gets_it(live: Callable[..., Live]) -> None:
    delivery = live(LRAP_XRAY_HEADER="always").deliver(
        invocations()[0], {"Lambda-Runtime-Trace-Id": SAMPLED}
    )

    assert f"Parent={delivery.span_id_hex}" in delivery.field(TRACE_HEADER)


@pytest.mark.parametrize(
    "event",
    [
        {"DurableExecutionArn": "arn:aws:x"},
        {"event": RESUMED},
        [RESUMED],
        {"text": json.dumps(RESUMED)},
        "DurableExecutionArn",
    ],
)
def test_who_only_mentions_an_execution_gets_our_span_as_any_other(
    live: Callable[..., Live], event: Any
) -> None:
    sent = SAMPLED.replace("Sampled=1", "Sampled=0")
    delivery = live().deliver(json.dumps(event).encode(), {"Lambda-Runtime-Trace-Id": sent})

    assert f"Parent={delivery.span_id_hex}" in delivery.field(TRACE_HEADER)


@pytest.mark.parametrize(
    ("event", "is_one"),
    [
        (b'{"DurableExecutionArn":"a","CheckpointToken":"t"}', True),
        (b' {\n"CheckpointToken" : "t", "DurableExecutionArn" : "a" }', True),
        (b'{"InitialExecutionState":{"Operations":[{}]},"DurableExecutionArn":"a"}', True),
        (b'{"DurableExecutionArn"', False),
        (b'{"DurableExecutionArn":', False),
        (b'"DurableExecutionArn""CheckpointToken"', False),
        (b'{"a":{"DurableExecutionArn":"a","CheckpointToken":"t"}}', False),
        (b'{"a":"DurableExecutionArn","CheckpointToken":"t"}', False),
        (b"[" * 100_000 + b'"DurableExecutionArn":"CheckpointToken"', False),
        (b'{"a":' * 100_000 + b'"DurableExecutionArn":"CheckpointToken"', False),
        (b'{"\xff":1,"DurableExecutionArn":"a","CheckpointToken":"t"}', True),
        (b"", False),
    ],
)
def test_an_invocation_of_an_execution_is_told_by_its_own_members(
    event: bytes, *, is_one: bool
) -> None:
    assert durable.is_invocation(event) is is_one
    assert durable.is_invocation(memoryview(event)) is is_one
