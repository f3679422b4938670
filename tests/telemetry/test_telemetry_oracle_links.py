"""Links to the producers of a batch: for every message the span that the SDK's propagators find in
what it carries.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import assume, given
from hypothesis import strategies as st

from tests.propagation import differences
from tests.propagation.headers import HEADERS, XRAYS, examples
from tests.propagation.oracle import extracted
from tests.telemetry.proxy_records import delivered, finished
from tests.telemetry.telemetry_thread import plain, spans_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from tests.propagation.oracle import Found
    from tests.telemetry.otlp_collector import Collector
    from tests.telemetry.telemetry_thread import Telemetry

    Start = Callable[..., Telemetry]

NAMES = ["tracecontext", "b3", "xray"]
ATTRIBUTES = st.fixed_dictionaries(
    {}, optional={name: HEADERS[name] for name in HEADERS if name != "x-amzn-trace-id"}
)
MESSAGES = st.lists(st.tuples(ATTRIBUTES, st.one_of(st.just(""), XRAYS)), min_size=1, max_size=10)


def by_the_sdk(attributes: dict[str, str], segment: str) -> list[Found]:
    """The producer in W3C's notation or else in B3's, and X-Ray's where it is sampled
    and another.
    """
    own = extracted(["tracecontext"], attributes) or extracted(["b3"], attributes)
    xray = extracted(["xray"], {"X-Amzn-Trace-Id": segment})
    found = [own] if own else []
    if xray and xray[2] & 1 and (own is None or xray[:2] != own[:2]):
        found.append(xray)
    return found


def record(number: int, attributes: dict[str, str], segment: str) -> Any:
    return {
        "messageId": f"m{number}",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:q",
        "attributes": {"AWSTraceHeader": segment} if segment else {},
        "messageAttributes": {
            name: {"stringValue": value, "dataType": "String"} for name, value in attributes.items()
        },
        "body": "{}",
    }


def test_every_message_of_a_batch_is_linked_to_the_producer_that_the_sdk_finds(
    start: Start, collector: Collector
) -> None:
    telemetry = start(collector)

    @given(MESSAGES)
    @examples(40)
    def is_linked(messages: list[tuple[dict[str, str], str]]) -> None:
        for attributes, segment in messages:
            assume(not differences.covered(NAMES, attributes | {"x-amzn-trace-id": segment}, ""))
        event = {"Records": [record(number, *message) for number, message in enumerate(messages)]}
        telemetry.offer(delivered(json.dumps(event).encode()), finished())
        assert telemetry.flush()
        (span,) = spans_of(collector)
        assert [link_of(link) for link in span.links] == [
            (found[0], found[1], f"m{number}")
            for number, message in enumerate(messages)
            for found in by_the_sdk(*message)
        ]
        # Never the one producer's child.
        assert span.parent_span_id == b""

    is_linked()


def link_of(link: Span.Link) -> tuple[str, str, str]:
    return link.trace_id.hex(), link.span_id.hex(), plain(link.attributes)["messaging.message.id"]
