"""A caller, and Lambda itself, cannot tell whether the extension is there: with every
real client.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.conformance.clients import CONCURRENT, NAMES, STREAMING, each
from tests.conformance.sandbox import (
    Event,
    Seen,
    direct,
    direct_at_once,
    request_id,
    through,
    through_at_once,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.clients import Client

MAX_BYTES = 6 * 1024 * 1024
TRACE_ID_HEX = "5759e988bd862e3fe1be46a994272793"


def event(**fields: object) -> Event:
    return Event(json.dumps(fields, ensure_ascii=False).encode())


def same(client: Client, scratch: Path, *events: Event, streams: bool = False) -> Seen:
    """What was seen through the proxy, once it is known to be what was seen without it."""
    without = direct(client, scratch, *events, streams=streams)
    behind = through(client, scratch, *events, streams=streams)
    assert behind.results() == without.results()
    assert behind.invocation_calls() == without.invocation_calls()
    assert behind.other_calls() == without.other_calls()
    assert without.spans == []
    return behind


def span_statuses(seen: Seen) -> list[str]:
    """How the spans say that the invocations ended, in the order of the events.

    One span each, with the trace id that Lambda gave, and an extension that ended in peace.
    """
    assert all(report.is_clean for report in seen.reports), seen.reports
    assert {span.trace_id_hex for span in seen.spans} == {TRACE_ID_HEX}
    by_request = {span.attributes["faas.invocation_id"]: span.status for span in seen.spans}
    assert len(by_request) == len(seen.spans)
    return [by_request.pop(request_id(number)) for number in range(len(seen.outcomes))]


@each(*NAMES)
def test_an_ordinary_event_and_its_result_are_what_they_were(
    client: Client, tmp_path: Path
) -> None:
    seen = same(client, tmp_path, event(text="Grüße", numbers=[1, 2.5]), event(text="again"))
    assert [json.loads(outcome.payload) for outcome in seen.outcomes] == [
        {"text": "Grüße", "numbers": [1, 2.5]},
        {"text": "again"},
    ]
    assert span_statuses(seen) == ["UNSET", "UNSET"]


@each(*NAMES)
def test_six_megabytes_pass_in_both_directions(client: Client, tmp_path: Path) -> None:
    large = {"text": "x" * (MAX_BYTES - len('{"text": ""}'))}
    seen = same(client, tmp_path, event(**large), event(text="after it"))
    assert json.loads(seen.outcomes[0].payload) == large
    assert span_statuses(seen) == ["UNSET", "UNSET"]


@each(*NAMES)
def test_a_result_over_the_limit_is_refused_and_the_client_does_what_it_always_does(
    client: Client, tmp_path: Path
) -> None:
    events = [event(do="large", bytes=MAX_BYTES + 101), event(text="after it")]
    without = direct(client, tmp_path, *events)
    behind = through(client, tmp_path, *events)
    assert behind.results() == without.results()
    assert heads(behind) == heads(without)
    assert behind.outcomes[0].error_type == "Function.ResponseSizeTooLarge"
    assert behind.outcomes[1].status == "success"
    assert span_statuses(behind) == ["ERROR", "UNSET"]


def heads(seen: Seen) -> list[object]:
    """The requests about events without their bodies: Lambda refuses Java's second try at its head,
    and how much of the body still leaves a process that dies of the refusal is chance.
    """
    return [(call.method, call.target, call.headers) for call in seen.invocation_calls()]


@each(*NAMES)
def test_an_error_arrives_with_all_of_its_stack(client: Client, tmp_path: Path) -> None:
    seen = same(
        client,
        tmp_path,
        event(do="fail", depth=0),
        event(do="fail", depth=500),
        event(text="after it"),
    )
    for outcome in seen.outcomes[:2]:
        assert "it broke" in json.loads(outcome.payload)["errorMessage"]
    assert seen.outcomes[2].status == "success"
    assert span_statuses(seen) == ["ERROR", "ERROR", "UNSET"]


@each(*NAMES)
def test_after_a_crash_the_next_event_is_served(client: Client, tmp_path: Path) -> None:
    seen = same(
        client, tmp_path, event(text="before it"), event(do="crash"), event(text="after it")
    )
    assert [outcome.status for outcome in seen.outcomes] == ["success", "crash", "success"]
    assert seen.outcomes[1].reason == "Runtime exited with error: exit status 3"


@each(*NAMES)
def test_a_crash_leaves_its_span_and_those_before_it(client: Client, tmp_path: Path) -> None:
    seen = through(
        client, tmp_path, event(text="before it"), event(do="crash"), event(text="after it")
    )
    assert span_statuses(seen) == ["UNSET", "ERROR", "UNSET"]


@each("bash")
def test_curl_may_ask_before_it_sends_a_large_body(client: Client, tmp_path: Path) -> None:
    seen = same(client, tmp_path, event(text="x" * 1_100_000))
    (result,) = seen.calls_with_results()
    assert (b"Expect", b"100-continue") in result.headers
    assert seen.outcomes[0].payload == seen.outcomes[0].event


@each("go")
def test_the_extension_that_a_client_registers_for_itself_goes_through(
    client: Client, tmp_path: Path
) -> None:
    seen = same(client, tmp_path, event(text="an event"))
    assert [call.target for call in seen.other_calls()] == [
        "/2020-01-01/extension/event/next",
        "/2020-01-01/extension/register",
    ]
    assert seen.output == ["function: told to end"]
    assert span_statuses(seen) == ["UNSET"]


@each(*STREAMING)
def test_a_streamed_result_arrives_as_it_was_sent(client: Client, tmp_path: Path) -> None:
    seen = same(client, tmp_path, event(do="stream"), event(do="stream"), streams=True)
    assert [outcome.payload.endswith(b"first half,second half") for outcome in seen.outcomes] == [
        True,
        True,
    ]
    assert [outcome.result.response_mode for outcome in seen.outcomes] == ["streaming", "streaming"]
    assert span_statuses(seen) == ["UNSET", "UNSET"]


@each(*STREAMING)
def test_a_stream_that_breaks_is_broken_for_lambda_too(client: Client, tmp_path: Path) -> None:
    seen = same(client, tmp_path, event(do="break stream"), event(do="stream"), streams=True)
    assert b"first half," in seen.calls_with_results()[0].body
    assert seen.outcomes[1].payload.endswith(b"first half,second half")
    # Rust's client writes the error into the stream and ends it in good order, so that nobody can
    # tell.
    assert span_statuses(seen) == ["UNSET" if client.name == "rust" else "ERROR", "UNSET"]


@each(*CONCURRENT)
def test_events_that_are_served_at_once_get_each_the_result_they_got(
    client: Client, tmp_path: Path
) -> None:
    few = [event(text="small"), event(do="fail", depth=0), event(text="x" * 1_000_000)]
    events = [
        Event(one.payload.replace(b"{", b'{"number": %d, ' % number, 1))
        for number, one in enumerate(few * 4)
    ]
    assert_same_at_once(client, tmp_path, *events)


@each(*[name for name in STREAMING if name in CONCURRENT])
def test_streams_that_are_sent_at_once_end_each_as_they_ended(
    client: Client, tmp_path: Path
) -> None:
    assert_same_at_once(
        client, tmp_path, *[event(do="stream"), event(do="break stream")] * 3, streams=True
    )


def assert_same_at_once(
    client: Client, scratch: Path, *events: Event, streams: bool = False
) -> None:
    """Which worker takes which event is chance, and so is what Node finds on its stack; how each
    event ends is not.
    """
    without = direct_at_once(client, scratch, *events, streams=streams)
    behind = through_at_once(client, scratch, *events, streams=streams)
    assert ends(behind) == ends(without)
    assert ends_for_lambda(behind) == ends_for_lambda(without)
    assert all(report.is_clean for report in behind.reports), behind.reports
    assert len(behind.spans) == len(events)


def ends(seen: Seen) -> list[object]:
    """What each caller got, without stacks."""
    return [
        (
            outcome.status,
            outcome.result.response_mode,
            without_stack(outcome.payload),
            sorted(outcome.trailers),
        )
        for outcome in seen.outcomes
    ]


def without_stack(payload: bytes) -> object:
    """The type and message of an error; anything else as it is."""
    if not payload.startswith(b'{"error'):
        return payload
    said = json.loads(payload)
    return (said["errorType"], said["errorMessage"])


def ends_for_lambda(seen: Seen) -> list[object]:
    """The requests that brought the results, in the order of the events."""
    calls = sorted(seen.calls_with_results(), key=lambda call: call.target)
    return [
        (
            call.target,
            [name for name, _ in call.headers],
            [name for name, _ in call.trailers],
            call.is_whole,
        )
        for call in calls
    ]
