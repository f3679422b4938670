"""W3C Trace Context: the cases of the recommendation's own test suite, and the SDK as an oracle."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from lrap_otel.propagation import w3c
from lrap_otel.propagation.context import SpanContext
from tests.propagation.differences import has_key_of_level_2

TRACE_ID = "12345678901234567890123456789012"
SPAN_ID = "1234567890123456"
VALID = f"00-{TRACE_ID}-{SPAN_ID}-01"


def ids(context: SpanContext | None) -> tuple[str, str, int] | None:
    return context and (context.trace_id_hex, context.span_id_hex, context.trace_flags)


def by_the_sdk(headers: dict[str, str]) -> tuple[str, str, int, str] | None:
    context = trace.get_current_span(
        TraceContextTextMapPropagator().extract(headers)
    ).get_span_context()
    if not context.is_valid:
        return None
    state = context.trace_state.to_header()
    return f"{context.trace_id:032x}", f"{context.span_id:016x}", int(context.trace_flags), state


def by_us(headers: dict[str, str]) -> tuple[str, str, int, str] | None:
    parent = w3c.extract(headers)
    return parent and (
        parent.trace_id_hex,
        parent.span_id_hex,
        parent.trace_flags,
        parent.trace_state,
    )


@pytest.mark.parametrize(
    "value",
    [
        VALID,
        f" {VALID}",
        f"\t{VALID}",
        f"{VALID} ",
        f"{VALID}\t",
        f"\t {VALID} \t",
        f"cc-{TRACE_ID}-{SPAN_ID}-01",
        f"cc-{TRACE_ID}-{SPAN_ID}-01-what-the-future-will-be-like",
        f"01-{TRACE_ID}-{SPAN_ID}-01-",
    ],
)
def test_a_valid_traceparent_is_read(value: str) -> None:
    assert ids(w3c.parse_traceparent(value)) == (TRACE_ID, SPAN_ID, 1)
    assert by_us({"traceparent": value}) == by_the_sdk({"traceparent": value})


@pytest.mark.parametrize(
    "value",
    [
        "",
        f"{VALID}.",
        f"{VALID}-what-the-future-will-be-like",
        f"{VALID}-",
        f"cc-{TRACE_ID}-{SPAN_ID}-01.what-the-future-will-be-like",
        f"cc-{TRACE_ID}-{SPAN_ID}-011",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f".0-{TRACE_ID}-{SPAN_ID}-01",
        f"0.-{TRACE_ID}-{SPAN_ID}-01",
        f"000-{TRACE_ID}-{SPAN_ID}-01",
        f"0000-{TRACE_ID}-{SPAN_ID}-01",
        f"0-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-.{TRACE_ID[1:]}-{SPAN_ID}-01",
        f"00-{TRACE_ID[:-1]}.-{SPAN_ID}-01",
        f"00-{TRACE_ID}3-{SPAN_ID}-01",
        f"00-{TRACE_ID[:-1]}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID}-.{SPAN_ID[1:]}-01",
        f"00-{TRACE_ID}-{SPAN_ID[:-1]}.-01",
        f"00-{TRACE_ID}-{SPAN_ID}7-01",
        f"00-{TRACE_ID}-{SPAN_ID[:-1]}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-.0",
        f"00-{TRACE_ID}-{SPAN_ID}-0.",
        f"00-{TRACE_ID}-{SPAN_ID}-001",
        f"00-{TRACE_ID}-{SPAN_ID}-1",
        f"00-{'ABCDEF' * 5}ab-{SPAN_ID}-01",
        f"00_{TRACE_ID}_{SPAN_ID}_01",
        f"{VALID},{VALID}",
        f"00-{TRACE_ID}-{SPAN_ID[:8]}-{SPAN_ID[:7]}-01",
    ],
)
def test_a_malformed_traceparent_is_no_parent(value: str) -> None:
    assert w3c.parse_traceparent(value) is None
    assert by_the_sdk({"traceparent": value}) is None


def test_where_the_sdk_and_the_recommendation_differ_the_recommendation_wins() -> None:
    a_newline_behind = f"{VALID}\n"
    assert by_the_sdk({"traceparent": a_newline_behind}) is not None
    assert w3c.parse_traceparent(a_newline_behind) is None

    a_long_later_version = f"cc-{TRACE_ID}-{SPAN_ID}-01-{'x' * 1000}"
    assert by_the_sdk({"traceparent": a_long_later_version}) is None
    assert ids(w3c.parse_traceparent(a_long_later_version)) == (TRACE_ID, SPAN_ID, 1)


HEX = st.text("0123456789abcdef", min_size=1, max_size=33)
TRACEPARENTS = st.one_of(
    st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", fullmatch=True),
    st.from_regex(
        r"[0-9a-f]{2}-[0-9a-fA-F]{31,33}-[0-9a-f]{15,17}-[0-9a-f]{2,3}(-.{0,9})?", fullmatch=True
    ),
    st.tuples(HEX, HEX, HEX, HEX).map("-".join),
    st.text("0123456789abcdefABF- \t.", max_size=70),
)


@given(TRACEPARENTS)
@example(VALID)
def test_a_traceparent_means_what_it_means_to_the_sdk(value: str) -> None:
    assert by_us({"traceparent": value}) == by_the_sdk({"traceparent": value})


@pytest.mark.parametrize(
    ("value", "passed_on"),
    [
        ("foo=1,bar=2", "foo=1,bar=2"),
        ("", ""),
        ("foo=1,", "foo=1"),
        (",foo=1", "foo=1"),
        ("foo=1,bar=2,rojo=1,congo=2,baz=3", "foo=1,bar=2,rojo=1,congo=2,baz=3"),
        ("foo=1 \t , \t bar=2, \t baz=3", "foo=1,bar=2,baz=3"),
        ("foo=1\t \t,\t \tbar=2,\t \tbaz=3", "foo=1,bar=2,baz=3"),
        (" foo=1", "foo=1"),
        ("\t foo=1 \t", "foo=1"),
        ("foo= 1", "foo= 1"),
        ("foo=1,foo=1", ""),
        ("foo=1,foo=2", ""),
        ("foo =1", ""),
        ("FOO=1", ""),
        ("foo.bar=1", ""),
        ("foo@=1,bar=2", "foo@=1,bar=2"),
        ("@foo=1,bar=2", ""),
        ("_foo=1,bar=2", ""),
        ("foo@@bar=1,bar=2", "foo@@bar=1,bar=2"),
        ("foo@bar@baz=1,bar=2", "foo@bar@baz=1,bar=2"),
        ("0tenant@system=1", "0tenant@system=1"),
        ("0key=1", "0key=1"),
        ("1abc=x,vendor@=y", "1abc=x,vendor@=y"),
        ("tenant@0system=1", "tenant@0system=1"),
        ("foo=1," + "z" * 256 + "=1", "foo=1," + "z" * 256 + "=1"),
        ("foo=1," + "z" * 257 + "=1", ""),
        ("t" * 241 + "@" + "v" * 14 + "=1", "t" * 241 + "@" + "v" * 14 + "=1"),
        ("t" * 242 + "@v=1", "t" * 242 + "@v=1"),
        ("t@" + "v" * 15 + "=1", "t@" + "v" * 15 + "=1"),
        ("t" * 254 + "@v=1", "t" * 254 + "@v=1"),
        ("t" * 255 + "@v=1", ""),
        ("foo=" + "v" * 256, "foo=" + "v" * 256),
        ("foo=" + "v" * 257, ""),
        ("foo=bar=baz", ""),
        ("foo=,bar=3", ""),
        ("foo", ""),
        ("foo=ä", ""),
        ("foo=\x7f", ""),
        ('foo="quoted\\"', 'foo="quoted\\"'),
        (
            ",".join(f"bar{n:02}={n:02}" for n in range(32)),
            ",".join(f"bar{n:02}={n:02}" for n in range(32)),
        ),
        (",".join(f"bar{n:02}={n:02}" for n in range(33)), ""),
        (
            ",".join(f"bar{n:02}={'v' * 249}" for n in range(32)),
            ",".join(f"bar{n:02}={'v' * 249}" for n in range(32)),
        ),
        (",".join(f"bar{n:02}={'v' * 250}" for n in range(32)), ""),
    ],
)
def test_a_tracestate_is_passed_on_or_dropped_as_a_whole(value: str, passed_on: str) -> None:
    assert w3c.parse_tracestate(value) == passed_on
    headers = {"traceparent": VALID, "tracestate": value}
    assert has_key_of_level_2(value) or by_us(headers) == by_the_sdk(headers)


def test_every_character_that_a_tracestate_may_have_is_kept() -> None:
    key = "abcdefghijklmnopqrstuvwxyz0123456789_-*/@"
    value = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in ",=")
    for state in (f"{key}={value}", f"{key}@a-z0-9_-*/={value}"):
        assert w3c.parse_tracestate(state) == state


@given(st.lists(st.text("ab0@_-*/ =\t~A\x7fé", max_size=8), max_size=6).map(",".join))
def test_a_tracestate_means_what_it_means_to_the_sdk(value: str) -> None:
    headers = {"traceparent": VALID, "tracestate": value}
    assert has_key_of_level_2(value) or by_us(headers) == by_the_sdk(headers)


def test_a_tracestate_without_a_valid_traceparent_means_nothing() -> None:
    assert w3c.extract({"tracestate": "foo=1"}) is None
    assert w3c.extract({"traceparent": f"{VALID}.", "tracestate": "foo=1"}) is None


@pytest.mark.parametrize(
    ("flags", "written"),
    [(0, "00"), (1, "01"), (2, "02"), (3, "03"), (0xFF, "03"), (0xFC, "00"), (0x0A, "02")],
)
def test_sampled_and_random_go_on_and_no_other_flag(flags: int, written: str) -> None:
    assert (
        w3c.format_traceparent(TRACE_ID, SPAN_ID, flags).decode()
        == f"00-{TRACE_ID}-{SPAN_ID}-{written}"
    )


@given(
    st.integers(1, 2**128 - 1).map("{:032x}".format),
    st.integers(1, 2**64 - 1).map("{:016x}".format),
    st.integers(0, 3),
)
def test_what_is_written_is_read_again(trace_id_hex: str, span_id_hex: str, flags: int) -> None:
    written = w3c.format_traceparent(trace_id_hex, span_id_hex, flags).decode()
    assert by_us({"traceparent": written}) == (trace_id_hex, span_id_hex, flags, "")
    assert by_the_sdk({"traceparent": written}) == (trace_id_hex, span_id_hex, flags, "")
