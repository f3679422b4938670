"""Trace context in the client context, the JSON of Lambda-Runtime-Client-Context."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.propagation.carrier.find import in_client_context
from lrap_otel.propagation.inject import with_client_context

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
XRAY = "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1"
FIELDS = (("traceparent", TRACEPARENT), ("x-amzn-trace-id", XRAY))
WITH_STATE = (*FIELDS, ("tracestate", 'a="1"'))
W3C = f'{{"traceparent":"{TRACEPARENT}"}}'


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{}", f'{{"w3c":{W3C}}}'),
        (' { "custom" : {} } ', f' {{"w3c":{W3C}, "custom" : {{}} }} '),
        ('{"w3c":{"traceparent":"old","tracestate":"b=2"}}', f'{{"w3c":{W3C}}}'),
        (
            '{"env":{},"w3c":null,"n":12345678901234567890}',
            f'{{"env":{{}},"w3c":{W3C},"n":12345678901234567890}}',
        ),
        (
            '{"w3c":{"baggage" : "user=\\u00e9" , "traceparent":"old"}}',
            f'{{"w3c":{{"traceparent":"{TRACEPARENT}","baggage":"user=\\u00e9"}}}}',
        ),
        ('{"w3c":{"baggage":"é"}}', f'{{"w3c":{{"traceparent":"{TRACEPARENT}","baggage":"é"}}}}'),
        # In custom, only what is there.
        (
            '{"custom":{"traceparent":"old","TraceState":"b=2","X-Amzn-Trace-Id":"old","a":{"traceparent":"kept"}}}',
            (
                f'{{"w3c":{W3C},"custom":{{"traceparent":"{TRACEPARENT}","TraceState":"","X-Amzn-Trace-Id":"{XRAY}",'
                '"a":{"traceparent":"kept"}}}'
            ),
        ),
        (
            '{"custom":["traceparent"],"traceparent":"kept"}',
            f'{{"w3c":{W3C},"custom":["traceparent"],"traceparent":"kept"}}',
        ),
    ],
)
def test_w3c_is_written_and_custom_changes_only_where_it_has_the_name(
    value: str, expected: str
) -> None:
    edited = with_client_context(value.encode(), FIELDS)
    assert edited is not None
    assert edited.decode() == expected
    assert with_client_context(edited, FIELDS) == edited


def test_the_tracestate_goes_with_it_escaped() -> None:
    edited = with_client_context(b'{"custom":{"tracestate":"b=2"}}', WITH_STATE)
    assert edited is not None
    assert json.loads(edited) == {
        "w3c": {"traceparent": TRACEPARENT, "tracestate": 'a="1"'},
        "custom": {"tracestate": 'a="1"'},
    }


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"null",
        b"[]",
        b'"w3c"',
        b"not JSON",
        b"{",
        b'{"custom":{}',
        b'{"custom":{}} x',
        b'{"custom":{},}',
        b'{"custom":"\xff"}',
        b'{\n"custom":{}}',
        b'{"custom":{}}\r\n',
        b'{"custom":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"custom":"' + b"x" * 99_950 + b'"}',
    ],
)
def test_what_cannot_be_edited_is_left_alone(value: bytes) -> None:
    assert with_client_context(value, FIELDS) is None


def test_a_context_that_still_fits_is_edited() -> None:
    edited = with_client_context(b'{"custom":"' + b"x" * 99_800 + b'"}', FIELDS)
    assert edited is not None
    assert len(edited) < 100_000


def test_without_fields_nothing_is_written() -> None:
    assert with_client_context(b"{}", ()) is None


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (
            b'{"w3c":{"traceparent":"1","tracestate":"a=1"},"custom":{"traceparent":"2"}}',
            {"traceparent": "1", "tracestate": "a=1"},
        ),
        (
            b'{"custom":{"TraceParent":"2","n":1,"X-Amzn-Trace-Id":"Root=1"}}',
            {"traceparent": "2", "x-amzn-trace-id": "Root=1"},
        ),
        (b'{"w3c":{},"custom":{"traceparent":"2"}}', {"traceparent": "2"}),
        (b'{"w3c":{"baggage":"a=1"},"custom":{"traceparent":"2"}}', {"traceparent": "2"}),
        (b'{"w3c":{"baggage":"a=1"}}', {}),
        (b'{"w3c":"x","custom":["traceparent"]}', {}),
        (b"[]", {}),
        (b"", {}),
        (b"\xff", {}),
        (b"{" * 100_000, {}),
    ],
)
def test_a_parent_is_looked_for_in_w3c_and_then_in_custom(
    value: bytes, headers: dict[str, str]
) -> None:
    assert in_client_context(value) == headers


VALUES = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=5)),
    lambda inner: st.dictionaries(
        st.sampled_from(["w3c", "custom", "traceparent", "baggage", "é"]), inner, max_size=4
    ),
)


def expected_context(context: dict[str, Any]) -> dict[str, Any]:
    expected = dict(context)
    w3c = {"traceparent": TRACEPARENT}
    if isinstance(context.get("w3c"), dict) and "baggage" in context["w3c"]:
        w3c["baggage"] = context["w3c"]["baggage"]
    if isinstance(context.get("custom"), dict) and "traceparent" in context["custom"]:
        expected["custom"] = context["custom"] | {"traceparent": TRACEPARENT}
    return expected | {"w3c": w3c}


@given(
    st.dictionaries(st.sampled_from(["w3c", "custom", "env", "é"]), VALUES, max_size=4),
    st.booleans(),
)
def test_an_edited_context_is_the_context_and_the_fields(
    context: dict[str, Any], is_ascii: bool
) -> None:
    text = json.dumps(context, ensure_ascii=is_ascii)
    try:
        value = text.encode()
    except UnicodeEncodeError:
        value = json.dumps(context).encode()
    edited = with_client_context(value, FIELDS)
    assert edited is not None
    assert json.loads(edited) == expected_context(context)
    assert in_client_context(edited)["traceparent"] == TRACEPARENT


@given(st.binary(max_size=60))
def test_no_bytes_raise(value: bytes) -> None:
    with_client_context(value, FIELDS)
    in_client_context(value)
