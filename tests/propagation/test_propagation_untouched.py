"""Whatever an event looks like, the function gets it as it was: our fields are in its headers, and
no other byte has changed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.propagation.headers import examples

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.propagation.live import Delivery, Live

EVENTS = Path(__file__).parents[1] / "data" / "events"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

SPACES = st.sampled_from(["", "", "", " ", "\n", "\t ", "\r\n  "])
SCALARS = st.sampled_from(
    [
        "0",
        "-0",
        "12345678901234567890123456789012345678901234567890",
        "-1.10",
        "1E400",
        "6.02e-23",
        "9" * 5_000,
        "true",
        "null",
        '""',
        '"\\u00e9\\n\\"\\\\"',
        '"\\ud83d\\ude00\\/"',
        '"é😀"',
        '"headers"',
        '"\\"headers\\":{\\"traceparent\\":\\"x\\"}"',
        '"requestContext"',
        '"{"',
        '"}],"',
    ]
)
OTHER_NAMES = st.sampled_from(
    ['"a"', '"body"', '"é"', '"Headers"', '"traceparent"', '"n\\"{"', '""', '"\\u0041"']
)
INNER_NAMES = st.one_of(
    OTHER_NAMES, st.sampled_from(['"headers"', '"h\\u0065aders"', '"multiValueHeaders"'])
)


def _object(members: list[tuple[str, str, str]]) -> str:
    return (
        "{"
        + ",".join(f"{space}{name}{space}:{space}{value}{space}" for space, name, value in members)
        + "}"
    )


VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda values: "[" + " ,".join(values) + "]"),
        # Equal names may stand beside each other.
        st.lists(st.tuples(SPACES, INNER_NAMES, inner), max_size=3).map(_object),
    ),
    max_leaves=6,
)
MEMBERS = st.lists(st.tuples(SPACES, OTHER_NAMES, VALUES), max_size=3)

TRACE_NAMES = [
    "traceparent",
    "tracestate",
    "x-amzn-trace-id",
    "TraceParent",
    "X-Amzn-Trace-Id",
    "TRACESTATE",
]
STRINGS = st.sampled_from(
    ['""', '"x"', '"traceparent"', '"\\u00e9\\"}{"', '"é"', f'"{TRACEPARENT}"', '"\\\\"']
)
HEADER_NAMES = st.one_of(
    st.sampled_from(TRACE_NAMES).map(json.dumps),
    st.sampled_from(
        [
            '"accept"',
            '"é"',
            '"a\\"traceparent"',
            '"x-\\u0061"',
            '"baggage"',
            '"traceparents"',
            '"B3"',
            '""',
        ]
    ),
)


def headers(values: st.SearchStrategy[str]) -> st.SearchStrategy[list[tuple[str, str, str]]]:
    return st.lists(st.tuples(SPACES, HEADER_NAMES, values), max_size=5)


HEADERS = headers(STRINGS)
ARRAYS = headers(st.lists(STRINGS, max_size=2).map(lambda values: "[" + ", ".join(values) + "]"))


class Fields(NamedTuple):
    """What has to stand in every headers object."""

    traceparent: str
    x_amzn_trace_id: str
    tracestate: str


def told(delivery: Delivery) -> Fields:
    return Fields(
        delivery.field("traceparent"),
        delivery.field("x-amzn-trace-id"),
        delivery.field("tracestate"),
    )


def plain(text: str, position: int = 0) -> tuple[list[tuple[str, Any]], int]:
    """The members of an object as pairs, numbers as they are written, and where the object ends."""
    decoder = json.JSONDecoder(
        object_pairs_hook=tuple, parse_int=str, parse_float=str, parse_constant=str
    )
    pairs, end = decoder.raw_decode(text, position)
    return list(pairs), end


def has_our_fields(
    text: str, position: int, sent: list[tuple[str, str, str]], ours: Fields, has_arrays: bool
) -> int:
    """The headers object at `position` is the one that was sent, and our fields; where it ends."""
    pairs, end = plain(text, position)
    values = dict(zip(("traceparent", "x-amzn-trace-id", "tracestate"), ours, strict=True))
    for name, value in pairs:
        if name.lower() in values:
            assert value == ([values[name.lower()]] if has_arrays else values[name.lower()])
    names = {name.lower() for name, _ in pairs}
    assert {"traceparent", "x-amzn-trace-id"} <= names
    # Everything else is there, letter for letter and in its order.
    others = [member for member in sent if json.loads(member[1]).lower() not in values]
    assert [name for name, _ in pairs if name.lower() not in values] == [
        json.loads(member[1]) for member in others
    ]
    for space, name, value in others:
        position = text.index(f"{space}{name}{space}:{space}{value}{space}", position, end)
    # Of what is ours, as many as came, and those that did not come.
    came = [json.loads(name).lower() for _, name, _ in sent]
    for name in ("traceparent", "x-amzn-trace-id"):
        assert [pair[0].lower() for pair in pairs].count(name) == max(came.count(name), 1)
    return end


@given(MEMBERS, HEADERS, MEMBERS, st.one_of(st.none(), ARRAYS), MEMBERS, st.booleans())
@examples(200)
def test_an_event_is_what_it_was_but_for_our_fields(
    live: Callable[..., Live],
    before: list[tuple[str, str, str]],
    single: list[tuple[str, str, str]],
    between: list[tuple[str, str, str]],
    multi: list[tuple[str, str, str]] | None,
    behind: list[tuple[str, str, str]],
    context_comes_first: bool,
) -> None:
    context = ("", '"requestContext"', '{"stage":"prod","n":1E2}')
    before = [context, *before] if context_comes_first else before
    behind = behind if context_comes_first else [*behind, context]
    opening = _object([*before, ("", '"headers"', "@")]).partition("@")[0]
    middle = "".join(
        f",{space}{name}{space}:{space}{value}{space}" for space, name, value in between
    )
    middle += ',"multiValueHeaders":' if multi is not None else ""
    ending = (
        "".join(f",{space}{name}{space}:{space}{value}{space}" for space, name, value in behind)
        + "}"
    )
    sent = f"{opening}{_object(single)}{middle}{'' if multi is None else _object(multi)}{ending}"
    delivery = live().deliver(sent.encode())
    text = delivery.payload.decode()
    assert text.startswith(opening)
    end = has_our_fields(text, len(opening), single, told(delivery), has_arrays=False)
    assert text.startswith(middle, end)
    end += len(middle)
    if multi is not None:
        end = has_our_fields(text, end, multi, told(delivery), has_arrays=True)
    assert text[end:] == ending


@given(st.one_of(VALUES, MEMBERS.map(_object)), SPACES)
@examples(100)
def test_any_other_payload_is_not_touched(
    live: Callable[..., Live], value: str, space: str
) -> None:
    assume(not is_call_with_headers(value))
    sent = f"{space}{value}{space}".encode()
    assert live().deliver(sent).payload == sent


def is_call_with_headers(value: str) -> bool:
    """What a caller passes on as headers holds a field of ours, which is replaced."""
    event = json.loads(value, parse_int=len)
    headers = event.get("headers") if isinstance(event, dict) else None
    return isinstance(headers, dict) and "traceparent" in headers


@given(st.binary(max_size=80))
@examples(60)
def test_bytes_that_are_no_json_are_not_touched(live: Callable[..., Live], data: bytes) -> None:
    for sent in (data, b'{"headers":{"a":"' + data + b'\xff"},"requestContext":{}}'):
        assert live().deliver(sent).payload == sent


@given(MEMBERS, st.sampled_from(["Records", "records"]), HEADERS)
@examples(40)
def test_a_batch_is_never_edited_whatever_its_records_hold(
    live: Callable[..., Live],
    members: list[tuple[str, str, str]],
    name: str,
    inner: list[tuple[str, str, str]],
) -> None:
    record = _object([*members, ("", '"headers"', _object(inner)), ("", '"requestContext"', "{}")])
    sent = _object(
        [("", json.dumps(name), f"[{record},{record}]"), ("", '"eventSource"', '"x"')]
    ).encode()
    assert live().deliver(sent).payload == sent


REQUESTS = (
    "alb-lambda-target-request",
    "apigw-custom-auth-request-type-request",
    "apigw-request",
    "apigw-restapi-openapi-request",
    "apigw-v2-",
    "apigw-websocket-request.json",
    "apigw-websocket-request-disconnect",
    "lambda-urls-request",
)


@pytest.mark.parametrize("name", sorted(path.name for path in EVENTS.glob("*.json")))
def test_of_the_real_events_requests_get_our_span_and_no_other_is_touched(
    live: Callable[..., Live], name: str
) -> None:
    sent = (EVENTS / name).read_bytes()
    delivery = live().deliver(sent)
    if not name.startswith(REQUESTS) or "response" in name:
        assert delivery.payload == sent
        return
    event, old = delivery.event, json.loads(sent)
    for place in ("headers", "multiValueHeaders"):
        assert (place in event) == (place in old)
        found = {key.lower(): value for key, value in event.pop(place, {}).items()}
        for field in ("traceparent", "x-amzn-trace-id") if found else ():
            assert found.pop(field) == (
                [delivery.field(field)] if place.startswith("multi") else delivery.field(field)
            )
        old.get(place, {}).pop("X-Amzn-Trace-Id", None)
        assert found == {
            key.lower(): value
            for key, value in old.pop(place, {}).items()
            if key != "x-amzn-trace-id"
        }
    assert event == old


# One line, and no control characters: it is a header.
ONE_LINE = st.sampled_from(["", "", " ", "  "])
CONTEXT_NAMES = st.sampled_from(['"client"', '"env"', '"é"', '"W3C"', '"n"', '"custom "'])
CONTEXT_VALUES = VALUES.filter(str.isprintable)
CUSTOM = st.lists(
    st.tuples(
        ONE_LINE,
        st.sampled_from(
            ['"traceparent"', '"TraceParent"', '"x-amzn-trace-id"', '"tracestate"', '"user"', '"é"']
        ),
        st.one_of(STRINGS, CONTEXT_VALUES),
    ),
    max_size=4,
    unique_by=lambda member: member[1].lower(),
)


@given(
    st.lists(st.tuples(ONE_LINE, CONTEXT_NAMES, CONTEXT_VALUES), max_size=3),
    st.one_of(st.none(), CUSTOM),
    st.booleans(),
)
@examples(100)
def test_a_client_context_is_what_it_was_but_for_our_fields(
    live: Callable[..., Live],
    members: list[tuple[str, str, str]],
    custom: list[tuple[str, str, str]] | None,
    has_w3c: bool,
) -> None:
    own = [] if custom is None else [("", '"custom"', _object(custom))]
    own += (
        [("", '"w3c"', '{"traceparent":"x","tracestate":"y=1","baggage":"user=1"}')]
        if has_w3c
        else []
    )
    sent = _object([*members, *own])
    delivery = live().deliver(
        b"7", {"Lambda-Runtime-Client-Context": sent.encode().decode("latin-1")}
    )
    (line,) = delivery.fields("lambda-runtime-client-context")
    text = line.encode("latin-1").decode()
    pairs = dict(plain(text)[0])
    w3c = dict(pairs["w3c"])
    assert w3c.pop("traceparent") == delivery.field("traceparent")
    assert w3c.pop("tracestate", "") == delivery.field("tracestate")
    assert w3c == ({"baggage": "user=1"} if has_w3c else {})
    position = 0
    for space, name, value in members:
        position = text.index(f"{space}{name}{space}:{space}{value}{space}", position)
    ours = dict(zip(("traceparent", "x-amzn-trace-id", "tracestate"), told(delivery), strict=True))
    if custom is None:
        assert "custom" not in pairs
    else:
        came = {json.loads(name): value for _, name, value in custom}
        assert [name for name, _ in pairs["custom"]] == list(came)
        for name, value in pairs["custom"]:
            assert value == ours.get(name.lower(), plain(f'{{"x":{came[name]}}}')[0][0][1])
