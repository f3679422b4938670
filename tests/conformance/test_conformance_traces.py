"""What a function sees of the trace, in every place where its client puts one, and the span that it
names.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.conformance.clients import CONCURRENT, NAMES, each
from tests.conformance.places import EVENT, PARENT, XRAY_PLACES, told
from tests.conformance.sandbox import (
    TRACE_HEADER,
    Seen,
    direct,
    request_id,
    through,
    through_at_once,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.clients import Client

TRACED_BY_XRAY = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


@each(*NAMES)
def test_lambdas_own_notation_names_our_span_wherever_the_client_puts_it(
    client: Client, tmp_path: Path
) -> None:
    without = told(direct(client, tmp_path, EVENT))
    seen = through(client, tmp_path, EVENT)
    (span,) = seen.spans
    ours = f"Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent={span.span_id_hex};Sampled=1;Lineage=1:a87bd80c:0"
    assert {name for name, value in without.items() if value == TRACE_HEADER} == XRAY_PLACES[
        client.name
    ]
    assert {name for name, value in told(seen).items() if value == ours} == XRAY_PLACES[client.name]


@each(*NAMES)
def test_a_header_in_which_x_ray_traces_the_function_is_left_to_it_unless_we_are_told_otherwise(
    client: Client, tmp_path: Path
) -> None:
    event = replace(EVENT, trace_header=TRACED_BY_XRAY)
    left = told(through(client, tmp_path, event))
    seen = through(client, tmp_path, event, LRAP_XRAY_HEADER="always")
    (span,) = seen.spans
    ours = f"Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent={span.span_id_hex};Sampled=1"
    assert {name for name, value in left.items() if value == TRACED_BY_XRAY} == XRAY_PLACES[
        client.name
    ]
    assert {name for name, value in told(seen).items() if value == ours} == XRAY_PLACES[client.name]


@each(*NAMES)
def test_the_events_headers_name_our_span_and_the_rest_of_it_is_what_it_was(
    client: Client, tmp_path: Path
) -> None:
    without = told(direct(client, tmp_path, EVENT))["event"]
    seen = through(client, tmp_path, EVENT)
    (span,) = seen.spans
    found = told(seen)["event"]
    assert found.pop("headers") == {
        "traceparent": f"00-4bf92f3577b34da6a3ce929d0e0e4736-{span.span_id_hex}-01",
        "x-amzn-trace-id": f"Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent={span.span_id_hex};Sampled=1;Lineage=1:a87bd80c:0",
    }
    assert without.pop("headers") == {"traceparent": PARENT}
    assert found == without


@each(*NAMES)
def test_nothing_in_the_client_context_changes_but_the_id_of_the_parent(
    client: Client, tmp_path: Path
) -> None:
    without = told(direct(client, tmp_path, EVENT))
    seen = through(client, tmp_path, EVENT)
    (span,) = seen.spans
    found = told(seen)
    for place in ("custom", "w3c", "client context"):
        as_it_came = json.dumps(found.get(place)).replace(span.span_id_hex, "00f067aa0ba902b7")
        assert json.loads(as_it_came) == without.get(place)


@each(*NAMES)
def test_the_span_is_the_callers_child_and_names_the_invocation(
    client: Client, tmp_path: Path
) -> None:
    seen = through(client, tmp_path, EVENT)
    (span,) = seen.spans
    assert (span.trace_id_hex, span.parent_id_hex) == (
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "00f067aa0ba902b7",
    )
    assert span.has_remote_parent
    assert (span.name, span.kind, span.status) == ("/pets/{id}", "SERVER", "UNSET")
    assert span.attributes["faas.invocation_id"] == request_id(0)
    assert span.attributes["http.response.status_code"] == 200


@each(*CONCURRENT)
def test_events_that_are_served_at_once_have_each_their_own_span(
    client: Client, tmp_path: Path
) -> None:
    seen = through_at_once(client, tmp_path, *[EVENT] * 9)
    spans = {span.attributes["faas.invocation_id"]: span for span in seen.spans}
    assert len(seen.spans) == len(spans) == 9
    for outcome in seen.outcomes:
        found = json.loads(outcome.payload)
        ours = spans[outcome.request_id].span_id_hex
        assert (
            found["event"]["headers"]["traceparent"]
            == f"00-4bf92f3577b34da6a3ce929d0e0e4736-{ours}-01"
        )
        place = "environment" if client.name == "python" else "context"
        assert found[place].startswith(
            f"Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent={ours};Sampled=1"
        )
    assert most_polls(seen) > 1
    assert all(report.is_clean for report in seen.reports), seen.reports


def most_polls(seen: Seen) -> int:
    """How many of the runtime's workers have waited for an event at the same time."""
    waiting = [1 if call.method == "GET" else -1 for call in seen.invocation_calls()]
    return max(sum(waiting[: number + 1]) for number in range(len(waiting)))
