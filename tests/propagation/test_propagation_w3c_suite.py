"""The cases of the W3C's own test suite for trace context, through the proxy, for each form that a
request's headers take.

The names are those of the suite (github.com/w3c/trace-context, test/test.py). Where it asks for a
new trace id, none of the ids sent may come out; where it asks for a tracestate to be discarded,
none may reach the function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.propagation.forms import FORMS, headers_of, http_api, payload

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.propagation.forms import Lines
    from tests.propagation.live import Delivery, Live

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
OTHER_TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4735"
SPAN_ID = "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-01"
UNSAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-00"

KEY = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
VALUE = " !\"#$%&'()*+-./0123456789:;<>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"
TEN_EACH = [
    ",".join(f"bar{number:02}={number:02}" for number in range(start, start + 10))
    for start in (1, 11, 21)
]

VALID = [
    ("traceparent_included_tracestate_missing", [("traceparent", SAMPLED)]),
    ("traceparent_header_name_valid_casing", [("TraceParent", SAMPLED)]),
    ("traceparent_header_name_valid_casing", [("TrAcEpArEnT", SAMPLED)]),
    ("traceparent_header_name_valid_casing", [("TRACEPARENT", SAMPLED)]),
    ("traceparent_version_0xcc", [("traceparent", f"cc-{TRACE_ID}-{SPAN_ID}-01")]),
    (
        "traceparent_version_0xcc",
        [("traceparent", f"cc-{TRACE_ID}-{SPAN_ID}-01-what-the-future-will-be-like")],
    ),
    ("traceparent_version_0xcc", [("traceparent", f"01-{TRACE_ID}-{SPAN_ID}-01-")]),
    ("traceparent_ows_handling", [("traceparent", f" {SAMPLED}")]),
    ("traceparent_ows_handling", [("traceparent", f"\t{SAMPLED}")]),
    ("traceparent_ows_handling", [("traceparent", f"{SAMPLED} ")]),
    ("traceparent_ows_handling", [("traceparent", f"{SAMPLED}\t")]),
    ("traceparent_ows_handling", [("traceparent", f"\t {SAMPLED} \t")]),
]

NEW = [
    ("both_traceparent_and_tracestate_missing", []),
    (
        "traceparent_duplicated",
        [("traceparent", f"00-{OTHER_TRACE_ID}-{SPAN_ID}-01"), ("traceparent", SAMPLED)],
    ),
    ("traceparent_duplicated", [("traceparent", SAMPLED), ("traceparent", SAMPLED)]),
    (
        "traceparent_duplicated",
        [("traceparent", SAMPLED), ("TraceParent", f"00-{OTHER_TRACE_ID}-{SPAN_ID}-01")],
    ),
    ("traceparent_header_name", [("trace-parent", SAMPLED)]),
    ("traceparent_header_name", [("trace.parent", SAMPLED)]),
    ("traceparent_version_0x00", [("traceparent", f"{SAMPLED}.")]),
    ("traceparent_version_0x00", [("traceparent", f"{SAMPLED}-what-the-future-will-be-like")]),
    ("traceparent_version_0x00", [("traceparent", f"{SAMPLED}-")]),
    (
        "traceparent_version_0xcc",
        [("traceparent", f"cc-{TRACE_ID}-{SPAN_ID}-01.what-the-future-will-be-like")],
    ),
    ("traceparent_version_0xff", [("traceparent", f"ff-{TRACE_ID}-{SPAN_ID}-01")]),
    ("traceparent_version_illegal_characters", [("traceparent", f".0-{TRACE_ID}-{SPAN_ID}-01")]),
    ("traceparent_version_illegal_characters", [("traceparent", f"0.-{TRACE_ID}-{SPAN_ID}-01")]),
    ("traceparent_version_too_long", [("traceparent", f"000-{TRACE_ID}-{SPAN_ID}-01")]),
    ("traceparent_version_too_long", [("traceparent", f"0000-{TRACE_ID}-{SPAN_ID}-01")]),
    ("traceparent_version_too_short", [("traceparent", f"0-{TRACE_ID}-{SPAN_ID}-01")]),
    ("traceparent_trace_id_all_zero", [("traceparent", f"00-{'0' * 32}-{SPAN_ID}-01")]),
    (
        "traceparent_trace_id_illegal_characters",
        [("traceparent", f"00-.{TRACE_ID[1:]}-{SPAN_ID}-01")],
    ),
    (
        "traceparent_trace_id_illegal_characters",
        [("traceparent", f"00-{TRACE_ID[:-1]}.-{SPAN_ID}-01")],
    ),
    (
        "traceparent_trace_id_illegal_characters",
        [("traceparent", f"00-{TRACE_ID.upper()}-{SPAN_ID}-01")],
    ),
    ("traceparent_trace_id_too_long", [("traceparent", f"00-{TRACE_ID}3-{SPAN_ID}-01")]),
    ("traceparent_trace_id_too_short", [("traceparent", f"00-{TRACE_ID[:-1]}-{SPAN_ID}-01")]),
    ("traceparent_parent_id_all_zero", [("traceparent", f"00-{TRACE_ID}-{'0' * 16}-01")]),
    (
        "traceparent_parent_id_illegal_characters",
        [("traceparent", f"00-{TRACE_ID}-.{SPAN_ID[1:]}-01")],
    ),
    (
        "traceparent_parent_id_illegal_characters",
        [("traceparent", f"00-{TRACE_ID}-{SPAN_ID[:-1]}.-01")],
    ),
    (
        "traceparent_parent_id_illegal_characters",
        [("traceparent", f"00-{TRACE_ID}-{SPAN_ID.upper()}-01")],
    ),
    ("traceparent_parent_id_too_long", [("traceparent", f"00-{TRACE_ID}-{SPAN_ID}7-01")]),
    ("traceparent_parent_id_too_short", [("traceparent", f"00-{TRACE_ID}-{SPAN_ID[:-1]}-01")]),
    (
        "traceparent_trace_flags_illegal_characters",
        [("traceparent", f"00-{TRACE_ID}-{SPAN_ID}-.0")],
    ),
    (
        "traceparent_trace_flags_illegal_characters",
        [("traceparent", f"00-{TRACE_ID}-{SPAN_ID}-0.")],
    ),
    ("traceparent_trace_flags_too_long", [("traceparent", f"00-{TRACE_ID}-{SPAN_ID}-001")]),
    ("traceparent_trace_flags_too_short", [("traceparent", f"00-{TRACE_ID}-{SPAN_ID}-1")]),
    ("tracestate_included_traceparent_missing", [("tracestate", "foo=1")]),
    ("tracestate_included_traceparent_missing", [("tracestate", "foo=1,bar=2")]),
    (
        "a tracestate beside a traceparent that is none",
        [("traceparent", f"{SAMPLED}."), ("tracestate", "foo=1")],
    ),
    (
        "a tracestate beside two traceparents",
        [("traceparent", SAMPLED), ("traceparent", SAMPLED), ("tracestate", "a=1")],
    ),
]

# Keys of level 2: a letter or a digit first, and "@" anywhere behind it. The suite, whose "strict"
# cases are older, refuses all but the last two (w3c/trace-context, "Strict tracestate key tests
# still enforce obsolete tenant/vendor `@` grammar").
LEVEL_2 = [
    "foo@=1,bar=2",
    "foo@@bar=1,bar=2",
    "foo@bar@baz=1,bar=2",
    f"foo=1,{'t' * 242}@v=1",
    f"foo=1,t@{'v' * 15}=1",
    "1abc=x,vendor@=y",
    "tenant@0system=1",
]

# Lines of tracestate, and what goes on of them.
STATES = [
    ("tracestate_included_traceparent_included", ["foo=1,bar=2"], "foo=1,bar=2"),
    ("tracestate_empty_header", [""], ""),
    ("tracestate_empty_header", ["foo=1", ""], "foo=1"),
    ("tracestate_empty_header", ["", "foo=1"], "foo=1"),
    (
        "tracestate_multiple_headers_different_keys",
        ["foo=1,bar=2", "rojo=1,congo=2", "baz=3"],
        "foo=1,bar=2,rojo=1,congo=2,baz=3",
    ),
    ("tracestate_duplicated_keys", ["foo=1,foo=1"], ""),
    ("tracestate_duplicated_keys", ["foo=1,foo=2"], ""),
    ("tracestate_duplicated_keys", ["foo=1", "foo=1"], ""),
    ("tracestate_duplicated_keys", ["foo=1", "foo=2"], ""),
    ("tracestate_all_allowed_characters", [f"{KEY}={VALUE}"], f"{KEY}={VALUE}"),
    (
        "tracestate_all_allowed_characters",
        [f"{KEY}@a-z0-9_-*/={VALUE}"],
        f"{KEY}@a-z0-9_-*/={VALUE}",
    ),
    ("tracestate_ows_handling", ["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
    ("tracestate_ows_handling", ["foo=1\t \t,\t \tbar=2,\t \tbaz=3"], "foo=1,bar=2,baz=3"),
    ("tracestate_ows_handling", [" foo=1"], "foo=1"),
    ("tracestate_ows_handling", ["\tfoo=1"], "foo=1"),
    ("tracestate_ows_handling", ["foo=1 "], "foo=1"),
    ("tracestate_ows_handling", ["foo=1\t"], "foo=1"),
    ("tracestate_ows_handling", ["\t foo=1 \t"], "foo=1"),
    ("tracestate_key_illegal_characters", ["foo =1"], ""),
    ("tracestate_key_illegal_characters", ["FOO=1"], ""),
    ("tracestate_key_illegal_characters", ["foo.bar=1"], ""),
    ("tracestate_key_illegal_vendor_format", ["@foo=1,bar=2"], ""),
    *[("a vendor's format, which level 2 no longer has", [state], state) for state in LEVEL_2],
    (
        "tracestate_member_count_limit",
        [*TEN_EACH, "bar31=31,bar32=32"],
        ",".join([*TEN_EACH, "bar31=31,bar32=32"]),
    ),
    ("tracestate_member_count_limit", [*TEN_EACH, "bar31=31,bar32=32,bar33=33"], ""),
    ("tracestate_key_length_limit", ["foo=1", f"{'z' * 256}=1"], f"foo=1,{'z' * 256}=1"),
    ("tracestate_key_length_limit", ["foo=1", f"{'z' * 257}=1"], ""),
    (
        "tracestate_key_length_limit",
        ["foo=1", f"{'t' * 241}@{'v' * 14}=1"],
        f"foo=1,{'t' * 241}@{'v' * 14}=1",
    ),
    ("tracestate_value_illegal_characters", ["foo=bar=baz"], ""),
    ("tracestate_value_illegal_characters", ["foo=,bar=3"], ""),
    ("tracestate_value_illegal_characters", ["foo=a\x7f"], ""),
    ("tracestate_value_illegal_characters", ["foo=a\tb"], ""),
    ("the length of a value", [f"foo={'v' * 256}"], f"foo={'v' * 256}"),
    ("the length of a value", [f"foo={'v' * 257}"], ""),
    (
        "a tracestate of 512 characters",
        [f"a={'v' * 253},b={'v' * 254}"],
        f"a={'v' * 253},b={'v' * 254}",
    ),
]


def named(cases: list[Any]) -> list[Any]:
    return [pytest.param(*case[1:], id=f"{case[0]}-{number}") for number, case in enumerate(cases)]


each_form = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)


@pytest.fixture
def deliver(live: Callable[..., Live]) -> Callable[[Callable[[Lines], Any], Lines], Delivery]:
    """A request with these header lines; whatever the case, the function is told of our span and of
    nothing else.
    """

    def deliver(form: Callable[[Lines], Any], lines: Lines) -> Delivery:
        delivery = live().deliver(payload(form(lines)))
        record = delivery.record
        ours = f"00-{record.trace_id_hex}-{record.span_id_hex}-0{record.trace_flags & 3}"
        assert delivery.fields("traceparent") == [ours]
        assert delivery.fields("tracestate") == ([record.trace_state] if record.trace_state else [])
        for headers in headers_of(delivery.event):
            told = {name.lower(): values for name, values in headers.items()}
            assert told["traceparent"] == [ours]
            assert told.get("tracestate", [""]) == [record.trace_state]
        assert record.span_id_hex != SPAN_ID
        return delivery

    return deliver


@each_form
@pytest.mark.parametrize("lines", named(VALID))
def test_the_trace_goes_on(
    deliver: Callable[..., Delivery], form: Callable[[Lines], Any], lines: Lines
) -> None:
    record = deliver(form, lines).record
    assert (record.trace_id_hex, record.parent_span_id_hex, record.trace_flags) == (
        TRACE_ID,
        SPAN_ID,
        1,
    )


@each_form
@pytest.mark.parametrize("lines", named(NEW))
def test_a_new_trace_begins(
    deliver: Callable[..., Delivery], form: Callable[[Lines], Any], lines: Lines
) -> None:
    record = deliver(form, lines).record
    assert record.trace_id_hex.lower() not in str(lines).lower()
    assert (record.parent_span_id_hex, record.trace_state) == ("", "")
    assert record.trace_id_hex.strip("0")


@each_form
@pytest.mark.parametrize(("states", "expected"), named(STATES))
def test_a_tracestate_goes_on_as_it_is_or_not_at_all(
    deliver: Callable[..., Delivery], form: Callable[[Lines], Any], states: list[str], expected: str
) -> None:
    record = deliver(
        form, [("traceparent", UNSAMPLED), *(("tracestate", state) for state in states)]
    ).record
    assert (record.trace_id_hex, record.parent_span_id_hex, record.trace_flags) == (
        TRACE_ID,
        SPAN_ID,
        0,
    )
    assert record.trace_state == expected


@each_form
@pytest.mark.parametrize("name", ["trace-state", "trace.state"])
def test_tracestate_header_name(
    deliver: Callable[..., Delivery], form: Callable[[Lines], Any], name: str
) -> None:
    assert not deliver(form, [("traceparent", UNSAMPLED), (name, "foo=1")]).record.trace_state


@each_form
@pytest.mark.parametrize("name", ["TraceState", "TrAcEsTaTe", "TRACESTATE"])
def test_tracestate_header_name_valid_casing(
    deliver: Callable[..., Delivery], form: Callable[[Lines], Any], name: str
) -> None:
    assert (
        deliver(form, [("traceparent", UNSAMPLED), (name, "foo=1")]).record.trace_state == "foo=1"
    )


@each_form
@pytest.mark.parametrize("lines", named(VALID[:1]))
def test_multiple_requests_with_valid_traceparent(
    deliver: Callable[..., Delivery], form: Callable[[Lines], Any], lines: Lines
) -> None:
    records = [deliver(form, lines).record for _ in range(3)]
    assert {record.trace_id_hex for record in records} == {TRACE_ID}
    assert len({record.span_id_hex for record in records}) == 3


@each_form
@pytest.mark.parametrize(
    "lines", [[], [("traceparent", f"00-{'0' * 32}-{SPAN_ID}-01")]], ids=["without", "illegal"]
)
def test_multiple_requests_without_a_legal_traceparent(
    deliver: Callable[..., Delivery], form: Callable[[Lines], Any], lines: Lines
) -> None:
    records = [deliver(form, lines).record for _ in range(3)]
    assert "0" * 32 not in {record.trace_id_hex for record in records}
    assert (
        len({record.trace_id_hex for record in records})
        == len({record.span_id_hex for record in records})
        == 3
    )


@each_form
@pytest.mark.parametrize(
    ("flags", "passed_on"),
    [("00", 0), ("01", 1), ("02", 2), ("03", 3), ("ff", 3), ("fc", 0), ("0a", 2), ("81", 1)],
)
def test_the_random_flag_goes_on_as_it_came_and_no_unknown_one(
    deliver: Callable[..., Delivery], form: Callable[[Lines], Any], flags: str, passed_on: int
) -> None:
    delivery = deliver(form, [("traceparent", f"00-{TRACE_ID}-{SPAN_ID}-{flags}")])
    assert delivery.field("traceparent")[-2:] == f"0{passed_on}"


@pytest.mark.parametrize(
    "lines", named([case for case in VALID if case[0] != "traceparent_header_name_valid_casing"])
)
def test_what_a_proxy_in_front_says_is_read_the_same_way(
    live: Callable[..., Live], lines: Lines
) -> None:
    record = live().deliver(b"{}", dict(lines)).record
    assert (record.trace_id_hex, record.parent_span_id_hex, record.trace_flags) == (
        TRACE_ID,
        SPAN_ID,
        1,
    )


@pytest.mark.parametrize("lines", named([case for case in NEW if len(case[1]) < 2]))
def test_what_a_proxy_in_front_does_not_say_well_is_no_parent(
    live: Callable[..., Live], lines: Lines
) -> None:
    delivery = live().deliver(b"{}", dict(lines))
    assert delivery.record.parent_span_id_hex == delivery.record.trace_state == ""
    assert delivery.fields("tracestate") == []
    assert len(delivery.fields("traceparent")) == 1


def test_of_two_traceparents_that_a_proxy_in_front_says_none_counts(
    live: Callable[..., Live],
) -> None:
    delivery = live().deliver(
        b"{}", {"traceparent": SAMPLED, "Traceparent": SAMPLED, "tracestate": "a=1"}
    )
    assert delivery.record.parent_span_id_hex == delivery.record.trace_state == ""
    assert len(delivery.fields("traceparent")) == 1


def test_no_request_header_of_b3_contradicts_ours(live: Callable[..., Live]) -> None:
    proxy = live(OTEL_PROPAGATORS="b3multi", OTEL_TRACES_SAMPLER="always_off")
    lines = [("X-B3-TraceId", TRACE_ID), ("X-B3-SpanId", SPAN_ID), ("X-B3-Flags", "1")]
    headers = {
        name.lower(): value
        for name, value in proxy.deliver(payload(http_api(lines))).event["headers"].items()
    }
    assert headers["x-b3-sampled"] == "0"
    assert headers["x-b3-flags"] != "1"
