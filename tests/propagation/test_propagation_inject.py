"""Trace context in what the function receives: the members it is told of, and not one
other byte.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.propagation.carrier import find, scan
from lrap_otel.propagation.context import SpanContext
from tests.propagation.carried import fields_of, learned, told, written_into

LIMIT_BYTES = 10_000_000
EVENTS = Path(__file__).parents[1] / "data" / "events"
SPAN = SpanContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 1)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
XRAY = "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1"
FIELDS = (("traceparent", TRACEPARENT), ("x-amzn-trace-id", XRAY))
ADDED = f'"traceparent":"{TRACEPARENT}","x-amzn-trace-id":"{XRAY}"'
ADDED_ARRAYS = f'"traceparent":["{TRACEPARENT}"],"x-amzn-trace-id":["{XRAY}"]'


def columns(fields: tuple[tuple[str, str], ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Their names and their values."""
    return tuple(name for name, _ in fields), tuple(value for _, value in fields)


def injected(event: str | bytes, fields: tuple[tuple[str, str], ...] = FIELDS) -> str | None:
    data = event if isinstance(event, bytes) else event.encode()
    carrier = find.find(data, LIMIT_BYTES)
    edited = written_into(data, carrier, *columns(fields)) if carrier else None
    return None if edited is None else edited.decode()


def edited_headers(headers: dict[str, Any], has_arrays: bool = False) -> dict[str, Any]:
    """What parsing the edited headers should give."""
    fields = dict(FIELDS)
    result = {}
    for name, old in headers.items():
        lowered = name.lower()
        if lowered in {"traceparent", "x-amzn-trace-id"}:
            new = fields.pop(lowered, dict(FIELDS)[lowered])
            result[lowered if lowered == "traceparent" else name] = [new] if has_arrays else new
        elif lowered == "tracestate":
            result[lowered] = [""] if has_arrays else ""
        else:
            result[name] = old
    return result | {name: [value] if has_arrays else value for name, value in fields.items()}


HTTP_EVENTS = {
    "alb-lambda-target-request-headers-only.json",
    "alb-lambda-target-request-multivalue-headers.json",
    "apigw-custom-auth-request-type-request.json",
    "apigw-request.json",
    "apigw-restapi-openapi-request.json",
    "apigw-v2-custom-authorizer-v1-request.json",
    "apigw-v2-custom-authorizer-v2-request.json",
    "apigw-v2-request-iam.json",
    "apigw-v2-request-jwt-authorizer.json",
    "apigw-v2-request-lambda-authorizer.json",
    "apigw-v2-request-no-authorizer.json",
    "apigw-websocket-request-disconnect.json",
    "apigw-websocket-request.json",
    "lambda-urls-request.json",
}
REAL_EVENTS = sorted(path.name for path in EVENTS.glob("*.json"))


def test_the_real_events_are_there() -> None:
    assert set(REAL_EVENTS) >= HTTP_EVENTS
    assert len(REAL_EVENTS) > 90


@pytest.mark.parametrize("name", REAL_EVENTS)
def test_every_real_event_is_as_it_was_but_for_its_headers(name: str) -> None:
    event = (EVENTS / name).read_bytes()
    if name not in HTTP_EVENTS:
        assert injected(event) is None
        return
    expected = json.loads(event)
    for key, has_arrays in (("headers", False), ("multiValueHeaders", True)):
        if key in expected:
            expected[key] = edited_headers(expected[key], has_arrays)
    edited = injected(event)
    assert edited is not None
    assert json.loads(edited) == expected
    assert list(json.loads(edited)) == list(expected)


@pytest.mark.parametrize("name", sorted(HTTP_EVENTS))
def test_real_events_in_the_form_lambda_sends_need_no_scan(name: str) -> None:
    event = json.loads((EVENTS / name).read_bytes())
    text = json.dumps(event, separators=(",", ":"))
    assert learned(text.encode()).find(text.encode()) is not None
    assert_found_alike(text)


def assert_found_alike(text: str) -> None:
    """What a template matches is read and written as what the scan finds."""
    templates = learned(text.encode())
    match = templates.find(text.encode()) or templates.find_with_escapes(text.encode())
    carrier = scan.find(text)
    if match is not None:
        assert carrier is not None
        assert told(match) == carrier.headers
        assert written_into(text.encode(), match, *columns(FIELDS)) == written_into(
            text.encode(), carrier, *columns(FIELDS)
        )


CONTEXT = '"requestContext":{"accountId":"1"}'

WRITTEN = [
    # Function URL, HTTP API.
    (f'{{"headers":{{}},{CONTEXT}}}', f'{{"headers":{{{ADDED}}},{CONTEXT}}}'),
    (f'{{"headers":{{"a":"b"}},{CONTEXT}}}', f'{{"headers":{{{ADDED},"a":"b"}},{CONTEXT}}}'),
    (
        f'{{"headers":{{"a":"b","traceparent":"old","c":"d"}},{CONTEXT}}}',
        f'{{"headers":{{"x-amzn-trace-id":"{XRAY}","a":"b","traceparent":"{TRACEPARENT}","c":"d"}},{CONTEXT}}}',
    ),
    # Another spelling.
    (
        f'{{"headers":{{"TraceParent":"old","X-Amzn-Trace-Id":"Root=1"}},{CONTEXT}}}',
        f'{{"headers":{{"traceparent":"{TRACEPARENT}","X-Amzn-Trace-Id":"{XRAY}"}},{CONTEXT}}}',
    ),
    # Several spellings, and one of them twice.
    (
        f'{{"headers":{{"traceparent":"1","Traceparent":"2","traceparent":"3","x-amzn-trace-id":""}},{CONTEXT}}}',
        (
            f'{{"headers":{{"traceparent":"{TRACEPARENT}","traceparent":"{TRACEPARENT}",'
            f'"traceparent":"{TRACEPARENT}","x-amzn-trace-id":"{XRAY}"}},{CONTEXT}}}'
        ),
    ),
    (
        f'{{"headers":{{"traceparent":"1","traceparent":"1","x-amzn-trace-id":""}},{CONTEXT}}}',
        f'{{"headers":{{"traceparent":"{TRACEPARENT}","traceparent":"{TRACEPARENT}","x-amzn-trace-id":"{XRAY}"}},{CONTEXT}}}',
    ),
    # A tracestate of another traceparent.
    (
        f'{{"headers":{{"tracestate":"old=1"}},{CONTEXT}}}',
        f'{{"headers":{{{ADDED},"tracestate":""}},{CONTEXT}}}',
    ),
    # ALB, with the one form of headers and with the other.
    (
        f'{{{CONTEXT},"headers":{{"a":"b"}},"body":""}}',
        f'{{{CONTEXT},"headers":{{{ADDED},"a":"b"}},"body":""}}',
    ),
    (
        f'{{{CONTEXT},"multiValueHeaders":{{"a":["b","c"]}},"body":""}}',
        f'{{{CONTEXT},"multiValueHeaders":{{{ADDED_ARRAYS},"a":["b","c"]}},"body":""}}',
    ),
    # REST API: both.
    (
        f'{{"headers":{{"a":"b"}},"multiValueHeaders":{{"a":["b"]}},{CONTEXT}}}',
        f'{{"headers":{{{ADDED},"a":"b"}},"multiValueHeaders":{{{ADDED_ARRAYS},"a":["b"]}},{CONTEXT}}}',
    ),
    (
        f'{{"multiValueHeaders":{{"traceparent":["1","2"]}},{CONTEXT},"headers":{{}}}}',
        (
            f'{{"multiValueHeaders":{{"x-amzn-trace-id":["{XRAY}"],"traceparent":["{TRACEPARENT}"]}},{CONTEXT},'
            f'"headers":{{{ADDED}}}}}'
        ),
    ),
    # No headers at all, as consoles write it.
    (
        f'{{"httpMethod":"GET","headers":null,"multiValueHeaders":null,{CONTEXT}}}',
        f'{{"httpMethod":"GET","headers":{{{ADDED}}},"multiValueHeaders":{{{ADDED_ARRAYS}}},{CONTEXT}}}',
    ),
    (
        f'{{"rawPath":"/","headers" : null , {CONTEXT}}}',
        f'{{"rawPath":"/","headers" : {{{ADDED}}} , {CONTEXT}}}',
    ),
    # VPC Lattice v1 and v2.
    (
        '{"raw_path":"/","method":"GET","headers":{"accept":"*/*"},"body":"","is_base64_encoded":false}',
        f'{{"raw_path":"/","method":"GET","headers":{{{ADDED},"accept":"*/*"}},"body":"","is_base64_encoded":false}}',
    ),
    (
        '{"version":"2.0","path":"/","method":"GET","headers":{"accept":["*/*"]},"requestContext":{"region":"r"}}',
        (
            f'{{"version":"2.0","path":"/","method":"GET","headers":{{{ADDED_ARRAYS},"accept":["*/*"]}},'
            '"requestContext":{"region":"r"}}'
        ),
    ),
    # AppSync.
    (
        '{"arguments":{},"source":null,"request":{"headers":{"host":"h"},"domainName":null},"info":{"fieldName":"f"}}',
        (
            f'{{"arguments":{{}},"source":null,"request":{{"headers":{{{ADDED},"host":"h"}},"domainName":null}},'
            '"info":{"fieldName":"f"}}'
        ),
    ),
    # Whitespace, big and odd numbers, escapes, equal names, characters beyond ASCII.
    (
        (
            '\n{ "n" : 123456789012345678901234567890.10e400, "headers" : { "Traceparent" : "old" , "é" : "\\u00e9\\"" } ,\r\n'
            '\t"n":NaN, "n":-0, "requestContext" : { } , "body" : "{\\"headers\\":{}}" } '
        ),
        (
            f'\n{{ "n" : 123456789012345678901234567890.10e400, "headers" : {{"x-amzn-trace-id":"{XRAY}", '
            f'"traceparent" : "{TRACEPARENT}" , "é" : "\\u00e9\\"" }} ,\r\n'
            '\t"n":NaN, "n":-0, "requestContext" : { } , "body" : "{\\"headers\\":{}}" } '
        ),
    ),
    # What looks like the name but is a value, or is in a string.
    (
        f'{{"headers":{{"vary":"traceparent","x":"\\"traceparent\\":\\"1\\"","y\\"traceparent":"z"}},{CONTEXT}}}',
        f'{{"headers":{{{ADDED},"vary":"traceparent","x":"\\"traceparent\\":\\"1\\"","y\\"traceparent":"z"}},{CONTEXT}}}',
    ),
    (
        f'{{"headers":{{"vary":"traceparent","traceparent":"\\"old\\\\"}},{CONTEXT}}}',
        f'{{"headers":{{"x-amzn-trace-id":"{XRAY}","vary":"traceparent","traceparent":"{TRACEPARENT}"}},{CONTEXT}}}',
    ),
    # What looks like headers but stands elsewhere.
    (
        f'{{"a":"headers","b":{{"headers":{{"traceparent":"1"}}}},"headers":{{}},{CONTEXT},"c":[{{"headers":{{}}}}]}}',
        f'{{"a":"headers","b":{{"headers":{{"traceparent":"1"}}}},"headers":{{{ADDED}}},{CONTEXT},"c":[{{"headers":{{}}}}]}}',
    ),
    (
        '{"headers":{},"query":{"traceparent":"q","requestContext":{"headers":{}}},"requestContext":{}}',
        f'{{"headers":{{{ADDED}}},"query":{{"traceparent":"q","requestContext":{{"headers":{{}}}}}},"requestContext":{{}}}}',
    ),
    # A caller's own form: what stands there is replaced, and nothing is added.
    (
        '{"headers":{"traceparent":"1","x-tenant":"a"}}',
        f'{{"headers":{{"traceparent":"{TRACEPARENT}","x-tenant":"a"}}}}',
    ),
    (
        '{ "n" : 1, "headers" : { "TraceParent" : "1" } }',
        f'{{ "n" : 1, "headers" : {{ "traceparent" : "{TRACEPARENT}" }} }}',
    ),
    (
        '{"headers":{"X-Amzn-Trace-Id":"Root=1"},"x":[]}',
        f'{{"headers":{{"X-Amzn-Trace-Id":"{XRAY}"}},"x":[]}}',
    ),
    (
        '{"headers":{"tracestate":"a=1","traceparent":"1"},"requestContext":null}',
        f'{{"headers":{{"tracestate":"","traceparent":"{TRACEPARENT}"}},"requestContext":null}}',
    ),
    # AppSync: what a resolver without arguments, Amplify's and one of the Event API are known by,
    # and an authorizer.
    (
        '{"info":{"fieldName":"items"},"request":{"headers":{}}}',
        f'{{"info":{{"fieldName":"items"}},"request":{{"headers":{{{ADDED}}}}}}}',
    ),
    (
        '{"request":{"headers":{"a":"b"}},"info":{"channel":{"path":"/a"}}}',
        f'{{"request":{{"headers":{{{ADDED},"a":"b"}}}},"info":{{"channel":{{"path":"/a"}}}}}}',
    ),
    (
        '{"request":{"headers":{"a":"b"}},"typeName":"Query","fieldName":"items"}',
        f'{{"request":{{"headers":{{{ADDED},"a":"b"}}}},"typeName":"Query","fieldName":"items"}}',
    ),
    (
        f'{{"requestHeaders":{{"a":"b"}},{CONTEXT},"authorizationToken":"t"}}',
        f'{{"requestHeaders":{{{ADDED},"a":"b"}},{CONTEXT},"authorizationToken":"t"}}',
    ),
    # Of equal names every parser takes the last.
    (
        f'{{"headers":{{"a":"1"}},{CONTEXT},"headers":{{"a":"2"}}}}',
        f'{{"headers":{{"a":"1"}},{CONTEXT},"headers":{{{ADDED},"a":"2"}}}}',
    ),
]


@pytest.mark.parametrize(("event", "expected"), WRITTEN)
def test_the_fields_are_written_and_every_other_byte_stays(event: str, expected: str) -> None:
    assert injected(event) == expected


@pytest.mark.parametrize("event", [event for event, _ in WRITTEN])
def test_what_was_written_once_can_be_written_again(event: str) -> None:
    once = injected(event)
    assert once is not None
    assert injected(once) == once


@pytest.mark.parametrize(
    "event",
    [
        "",
        "null",
        "true",
        "0",
        '"headers"',
        '"{\\"headers\\":{},\\"requestContext\\":{}}"',
        "[]",
        f'[{{"headers":{{}},{CONTEXT}}}]',
        "{}",
        '{"headers":{}}',
        '{"headers":{"a":"traceparent"},"body":"requestContext"}',
        '{"headers":{"a":"b"},"traceparent":"1"}',
        '{"headers":{"a":"b"},"other":{"traceparent":"1"}}',
        # Read, not written: what the caller made of headers is in doubt.
        '{"headers":{"traceparent":["1"]}}',
        '{"headers":{"traceparent":"1","n":1}}',
        '{"headers":{"\\u0074raceparent":"1"}}',
        '{"headers":[{"traceparent":"1"}]}',
        '{"headers":"traceparent"}',
        '[{"headers":{"traceparent":"1"}}]',
        '{"event":{"headers":{"traceparent":"1"}}}',
        '{"multiValueHeaders":{"traceparent":["1"]}}',
        '{"requestHeaders":{"traceparent":"1"}}',
        '{"body-json":{},"params":{"path":{},"querystring":{},"header":{"traceparent":"1"}}}',
        # Whose tracestate it is nobody knows.
        '{"headers":{"tracestate":"a=1"}}',
        '{"requestContext":{}}',
        '{"requestContext":null,"headers":{}}',
        '{"requestContext":"x","headers":{}}',
        '{"headers":{},"requestContext":[]}',
        '{"event":{"headers":{},"requestContext":{}}}',
        '{"headers":{},"event":{"requestContext":{}}}',
        '{"requestContext":{"headers":{}}}',
        f'{{"Records":[{{"headers":{{}},{CONTEXT}}}]}}',
        f' {{ "Records" : [{{"headers":{{}},{CONTEXT}}}]}}',
        f'{{"headers":null,{CONTEXT}}}',
        f'{{"headers":[],{CONTEXT}}}',
        f'{{"headers":"x",{CONTEXT}}}',
        f'{{"headers":{{"a":1}},{CONTEXT}}}',
        f'{{"headers":{{"a":null}},{CONTEXT}}}',
        f'{{"headers":{{"a":{{"traceparent":"1"}}}},{CONTEXT}}}',
        f'{{"headers":{{"a":["b",1]}},{CONTEXT}}}',
        f'{{"headers":{{"a":"b","c":["d"]}},{CONTEXT}}}',
        f'{{"headers":{{"a":["b"],"c":"d"}},{CONTEXT}}}',
        f'{{"headers":{{}},"multiValueHeaders":{{"a":"b"}},{CONTEXT}}}',
        f'{{"headers":{{}},"multiValueHeaders":"x",{CONTEXT}}}',
        f'{{"headers":{{}},"multiValueHeaders":{{"a":[1]}},{CONTEXT}}}',
        f'{{"headers":{{"\\u0074raceparent":"1"}},{CONTEXT}}}',
        f'{{"headers":{{"\\u0074raceparent":"1","traceparent":"2"}},{CONTEXT}}}',
        f'{{"headers":{{"a":"b",}},{CONTEXT}}}',
        f'{{"headers":{{"a":"b"}},,{CONTEXT}}}',
        '{"headers":{"a":"b"}',
        '{"headers":{"a":"b"},"requestContext"',
        '{"headers"',
        '{"headers":',
        '{"headers":}',
        '{"requestContext":{},"headers":{',
        '{"requestContext":{},"headers":{"a":"\x01"}}',
        '{"raw_path":"/","headers":{}}',
        '{"request":{"headers":{}},"info":{}}',
        '{"request":{"headers":{}},"info":{"operation":"PUBLISH"}}',
        '{"request":{"headers":{}},"fieldName":"items"}',
        '{"request":{"headers":{}},"event":{"typeName":"Query","fieldName":"items"}}',
        '{"arguments":{},"request":{"headers":{}},"info":null}',
        '{"arguments":{},"request":[{"headers":{}}],"info":{}}',
        '{"arguments":{},"request":{"headers":null},"info":{}}',
        f'\ufeff{{"headers":{{}},{CONTEXT}}}',
        b'{"headers":{"a":"\xff"},"requestContext":{}}',
        b'{"headers":{},"requestContext":{}}\xff',
        '{"headers":{},"requestContext":{}}'.encode("utf-16"),
        b'\x00{"headers":{},"requestContext":{}}',
        b'\x1f\x8b\x08"headers""requestContext"',
    ],
)
def test_what_is_not_certainly_a_request_is_left_alone(event: str | bytes) -> None:
    assert injected(event) is None


@pytest.mark.parametrize(
    "event",
    [
        '{"headers":{"a":' + "[" * 100_000,
        '{"headers":{},"requestContext":' + "[" * 100_000,
        '{"headers":{},"x":' + '{"a":' * 100_000 + "1" + "}" * 100_000 + ',"requestContext":{}}',
        "[" * 100_000 + '"headers""requestContext"',
        '{"headers":{},"requestContext":{},"body":"' + "\\u00e9{" * 800_000 + '"}',
        '{"body":"' + "a" * 6_000_000 + '","headers":{},"requestContext":{}}',
        " " * 1_000_000 + '{"headers":{},"requestContext":{}}',
        '{"n":' + "9" * 1_000_000 + ',"headers":{},"requestContext":{}}',
        '{"headers":{' + '"traceparent":"x",' * 3_000 + '"a":"b"},"requestContext":{}}',
        '{"headers":{"a":"\\ud800","\\ud800":"\\udfff"},"requestContext":{}}',
        '"headers":{' * 10_000 + '"requestContext":{' * 10_000,
        '{"headers":{' * 10_000 + '"requestContext":{' * 10_000,
        '{"a":"}","x":{"headers":{"traceparent":"1"},"requestContext":{}}}',
    ],
)
def test_no_hostile_event_raises_or_loses_its_meaning(event: str) -> None:
    edited = injected(event)
    if edited is not None:
        assert json.loads(edited, parse_int=len)["requestContext"] == {}
        assert json.loads(edited, parse_int=len)["headers"]["traceparent"] == TRACEPARENT


def test_an_event_above_the_limit_is_not_scanned() -> None:
    event = f'{{"headers":{{}},{CONTEXT}}}'.encode()
    assert find.find(event, len(event)) is not None
    assert find.find(event, len(event) - 1) is None


HEADER_NAMES = st.one_of(
    st.sampled_from(
        [
            "traceparent",
            "Traceparent",
            "TRACESTATE",
            "tracestate",
            "x-amzn-trace-id",
            "X-Amzn-Trace-Id",
            "b3",
        ]
    ),
    st.text(max_size=8),
)
HEADERS = st.dictionaries(
    HEADER_NAMES, st.one_of(st.text(max_size=12), st.just("traceparent")), max_size=5
)
ARRAYS = st.dictionaries(HEADER_NAMES, st.lists(st.text(max_size=5), max_size=3), max_size=4)
ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=6),
        st.just("headers"),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["headers", "requestContext", "traceparent", "a"]), inner, max_size=3
        ),
    ),
    max_leaves=8,
)
OTHER_NAMES = st.one_of(
    st.sampled_from(["body", "path", "Headers", "xheaders", "query{"]), st.text(max_size=4)
)
EVENT_MEMBERS = st.lists(
    st.one_of(
        st.tuples(st.just("headers"), HEADERS),
        st.tuples(st.just("multiValueHeaders"), ARRAYS),
        st.tuples(
            st.just("requestContext"), st.dictionaries(st.text(max_size=3), ANYTHING, max_size=2)
        ),
        st.tuples(OTHER_NAMES, ANYTHING),
    ),
    max_size=7,
    unique_by=lambda member: member[0],
)


def is_plain(headers: dict[str, Any]) -> bool:
    """Spelled without escapes, and no name in two spellings (which becomes one)."""
    lowered = [name.lower() for name in headers]
    return len(set(lowered)) == len(lowered) and all(name.isascii() for name in headers)


@given(EVENT_MEMBERS, st.booleans(), st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")]))
def test_an_edited_event_is_the_event_and_the_fields(
    members: list[tuple[str, Any]], is_ascii: bool, separators: tuple[str, str]
) -> None:
    event = dict(members)
    text = json.dumps(event, ensure_ascii=is_ascii, separators=separators).encode(
        "utf-8", "surrogatepass"
    )
    carrier = find.find(text, LIMIT_BYTES)
    edited = written_into(text, carrier, *columns(FIELDS)) if carrier else None
    shaped = "requestContext" in event and ("headers" in event or "multiValueHeaders" in event)
    written = {"traceparent", "x-amzn-trace-id"} & {
        name.lower() for name in event.get("headers", {})
    }
    plain = is_plain(event.get("headers", {})) and is_plain(event.get("multiValueHeaders", {}))
    if not shaped and not written:
        assert edited is None
    elif not shaped and plain and text.isascii():
        headers = edited_headers(event["headers"])
        if "traceparent" not in written:
            headers |= {
                name: value
                for name, value in event["headers"].items()
                if name.lower() == "tracestate"
            }
        headers = {
            name: value
            for name, value in headers.items()
            if name.lower() in written or name not in dict(FIELDS)
        }
        assert edited is not None
        assert json.loads(edited)["headers"] == headers
        assert repr(json.loads(edited) | {"headers": 0}) == repr(event | {"headers": 0})
    elif plain and text.isascii():
        expected = dict(event)
        for key, has_arrays in (("headers", False), ("multiValueHeaders", True)):
            if key in expected:
                expected[key] = edited_headers(expected[key], has_arrays)
        assert edited is not None
        # repr: NaN is not equal to itself.
        assert repr(json.loads(edited)) == repr(in_order(json.loads(edited), expected))


def in_order(edited: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """`expected` with its headers in the order of the edited event: added fields stand in front."""
    ordered = dict(expected)
    for key in ("headers", "multiValueHeaders"):
        if key in ordered:
            assert set(ordered[key]) == set(edited[key])
            ordered[key] = {name: ordered[key][name] for name in edited[key]}
    return ordered


@given(EVENT_MEMBERS)
def test_a_template_and_the_scan_find_the_same(members: list[tuple[str, Any]]) -> None:
    assert_found_alike(json.dumps(dict(members), separators=(",", ":")))


MARKS = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    '"',
    "\\",
    "\\u0074",
    " ",
    "1",
    "null",
    '"headers"',
    '"requestContext"',
    '"traceparent"',
]


@given(
    st.lists(
        st.sampled_from([*MARKS, '"multiValueHeaders"', '"a"', '"raw_path"', '"method"', '"info"'])
    ).map("".join)
)
def test_no_text_raises(text: str) -> None:
    injected(text)
    injected(f'{{"headers":{{{text}}},"requestContext":{{}}}}')
    injected(f'{{"headers":{{"a":"b"}},{text},"requestContext":{{}}}}')


@given(st.binary(max_size=60))
def test_no_bytes_raise(data: bytes) -> None:
    find.find(data, LIMIT_BYTES)
    find.find(b'{"headers":{"a":"' + data + b'"},"requestContext":{}}', LIMIT_BYTES)


@pytest.mark.parametrize(
    ("event", "headers"),
    [
        (
            f'{{"headers":{{"Traceparent":"1","TRACESTATE":"a=1","other":"x"}},{CONTEXT}}}',
            {"traceparent": "1", "tracestate": "a=1"},
        ),
        (
            f'{{"headers":{{"traceparent":"1","Traceparent":"2"}},{CONTEXT}}}',
            {"traceparent": "1,2"},
        ),
        (
            f'{{"headers":{{"traceparent":"2"}},"multiValueHeaders":{{"traceparent":["1","2"]}},{CONTEXT}}}',
            {"traceparent": "1,2"},
        ),
        (
            f'{{"headers":{{"tracestate":"b=2"}},"multiValueHeaders":{{"tracestate":["a=1","b=2"]}},{CONTEXT}}}',
            {"tracestate": "a=1,b=2"},
        ),
        (
            f'{{"headers":{{"X-B3-TraceId":"1","b3":"2"}},{CONTEXT}}}',
            {"x-b3-traceid": "1", "b3": "2"},
        ),
        (f'{{"headers":{{"traceparent":"1","age":7}},{CONTEXT}}}', {"traceparent": "1"}),
        (f'{{"headers":{{"\\u0074raceparent":"1"}},{CONTEXT}}}', {"traceparent": "1"}),
        (f'{{"headers":{{"traceparent":"\\u0031"}},{CONTEXT}}}', {"traceparent": "1"}),
        (
            '{"headers":{"TraceParent":"1","tracestate":"a=1"},"path":{"id":"7"}}',
            {"traceparent": "1", "tracestate": "a=1"},
        ),
        ('{"headers":{"traceparent":"1","n":7}}', {"traceparent": "1"}),
        ('{"headers":{"b3":"1"},"requestContext":"none"}', {"b3": "1"}),
        (
            '{\n"body-json" : {"headers":{"traceparent":"2"}},\n"params" : {\n"path" : {},"header" : {"TraceParent":"1"}}}',
            {"traceparent": "1"},
        ),
        ('{"params":{"header":{"traceparent":"1"}},"body-json":{}}', {"traceparent": "1"}),
        (f'{{{CONTEXT},"requestHeaders":{{"traceparent":"1"}}}}', {"traceparent": "1"}),
    ],
)
def test_a_carrier_tells_what_the_headers_say(event: str, headers: dict[str, str]) -> None:
    carrier = find.find(event.encode(), LIMIT_BYTES)
    assert carrier is not None
    assert told(carrier) == headers


@pytest.mark.parametrize(
    ("propagators", "state", "lineage", "expected"),
    [
        (("tracecontext", "baggage"), "", "", FIELDS),
        (("xray",), "", "", FIELDS),
        (("tracecontext",), "a=1", "", (*FIELDS, ("tracestate", "a=1"))),
        (("tracecontext",), "", "a:1", (FIELDS[0], ("x-amzn-trace-id", f"{XRAY};Lineage=a:1"))),
        (("b3",), "", "", (*FIELDS, ("b3", f"{SPAN.trace_id_hex}-{SPAN.span_id_hex}-1"))),
        (
            ("b3multi",),
            "",
            "",
            (
                *FIELDS,
                ("x-b3-traceid", SPAN.trace_id_hex),
                ("x-b3-spanid", SPAN.span_id_hex),
                ("x-b3-sampled", "1"),
            ),
        ),
        (("none",), "a=1", "a:1", ()),
        ((), "", "", ()),
    ],
)
def test_the_fields_are_w3cs_and_x_rays_and_b3s_where_it_is_named(
    propagators: tuple[str, ...], state: str, lineage: str, expected: tuple[tuple[str, str], ...]
) -> None:
    context = SpanContext(SPAN.trace_id_hex, SPAN.span_id_hex, 1, state)
    assert fields_of(context, propagators, lineage) == expected


def test_without_fields_nothing_is_written() -> None:
    assert injected(f'{{"headers":{{"tracestate":"a=1"}},{CONTEXT}}}', ()) is None


def test_what_comes_from_outside_is_escaped() -> None:
    edited = injected(f'{{"headers":{{}},{CONTEXT}}}', (*FIELDS, ("tracestate", 'a="\\\x00\r\né')))
    assert edited is not None
    assert '"tracestate":"a=\\"\\\\\\u0000\\r\\n\\u00e9"' in edited


def test_what_would_outweigh_the_several_b3_headers_that_are_written_is_emptied() -> None:
    context = SpanContext(SPAN.trace_id_hex, SPAN.span_id_hex, 1)
    edited = injected(
        f'{{"headers":{{"b3":"1-2-1","X-B3-TraceId":"1","X-B3-Flags":"1"}},{CONTEXT}}}',
        fields_of(context, ("b3multi",)),
    )
    assert edited is not None
    headers = json.loads(edited)["headers"]
    assert (headers["b3"], headers["x-b3-flags"]) == ("", "")
    assert headers["x-b3-traceid"] == SPAN.trace_id_hex
    assert headers["x-b3-spanid"] == SPAN.span_id_hex
