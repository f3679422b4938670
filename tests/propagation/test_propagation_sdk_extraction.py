"""The SDK's composite propagator, for every list of propagators, finds the parent that we find."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from lrap_otel.propagation import xray
from lrap_otel.propagation.extract import parent_of
from tests.propagation import differences
from tests.propagation.differences import W3C_SPAN, W3C_TRACE
from tests.propagation.headers import (
    B3_SINGLES,
    GOOD_HEADERS,
    HEADERS,
    PROPAGATOR_LISTS,
    TRACEPARENTS,
    TRACESTATES,
    XRAYS,
    examples,
)
from tests.propagation.oracle import extracted

if TYPE_CHECKING:
    from tests.propagation.oracle import Found


def ours(names: list[str], headers: dict[str, str], runtime_trace_id: str = "") -> Found | None:
    parent = parent_of(tuple(names), headers, xray.parse(runtime_trace_id))
    if parent is None:
        return None
    return parent.trace_id_hex, parent.span_id_hex, parent.trace_flags, parent.trace_state


def is_the_sdks(names: list[str], headers: dict[str, str], runtime_trace_id: str = "") -> None:
    # What the environment cannot hold, a header cannot either.
    assume("\0" not in runtime_trace_id)
    answer = ours(names, headers, runtime_trace_id)
    told = runtime_trace_id if differences.is_decided(runtime_trace_id) else ""
    if answer != extracted(names, headers, told):
        assert differences.covered(names, headers, told)
        event("a known difference")
    else:
        event("a parent" if answer else "none")


@given(TRACEPARENTS, TRACESTATES)
@examples(200)
def test_tracecontext(traceparent: str, tracestate: str) -> None:
    is_the_sdks(["tracecontext"], {"traceparent": traceparent, "tracestate": tracestate})


@given(st.sampled_from(["b3", "b3multi"]), B3_SINGLES)
@examples(150)
def test_b3_in_one_header(name: str, value: str) -> None:
    is_the_sdks([name], {"b3": value})


@given(
    st.sampled_from(["b3", "b3multi"]),
    st.fixed_dictionaries({}, optional={name: HEADERS[name] for name in HEADERS if "b3" in name}),
)
@examples(150)
def test_b3_in_several_headers(name: str, headers: dict[str, str]) -> None:
    is_the_sdks([name], headers)


@given(XRAYS)
@examples(200)
def test_xray(value: str) -> None:
    is_the_sdks(["xray"], {"x-amzn-trace-id": value})


@given(XRAYS, XRAYS)
@examples(150)
def test_xray_lambda(value: str, runtime_trace_id: str) -> None:
    is_the_sdks(["xray-lambda"], {"x-amzn-trace-id": value}, runtime_trace_id)


@given(PROPAGATOR_LISTS, st.fixed_dictionaries({}, optional=HEADERS), st.one_of(st.just(""), XRAYS))
@examples(300)
def test_every_list_of_propagators(
    names: list[str], headers: dict[str, str], runtime_trace_id: str
) -> None:
    is_the_sdks(names, headers, runtime_trace_id)


@given(
    st.one_of(PROPAGATOR_LISTS, st.permutations(["tracecontext", "b3", "xray"])),
    st.one_of(
        st.fixed_dictionaries({}, optional=GOOD_HEADERS), st.fixed_dictionaries(GOOD_HEADERS)
    ),
    st.sampled_from(["", differences.XRAY]),
)
@examples(200)
def test_of_several_good_headers_the_same_is_taken(
    names: list[str], headers: dict[str, str], runtime_trace_id: str
) -> None:
    is_the_sdks(names, headers, runtime_trace_id)


@given(PROPAGATOR_LISTS, st.dictionaries(st.sampled_from(sorted(HEADERS)), st.text(max_size=70)))
@examples(100)
def test_garbage_is_no_parent_to_either(names: list[str], headers: dict[str, str]) -> None:
    is_the_sdks(names, headers)


@pytest.mark.parametrize("difference", differences.ALL, ids=lambda difference: difference.name)
def test_where_we_differ_it_is_for_a_reason(difference: differences.Difference) -> None:
    names = difference.propagators.split(",")
    assert (
        extracted(names, difference.headers, difference.runtime_trace_id) == difference.by_the_sdk
    )
    assert ours(names, difference.headers, difference.runtime_trace_id) == difference.by_us
    assert difference.by_us != difference.by_the_sdk
    assert difference.covers(names, difference.headers, difference.runtime_trace_id)
    assert difference.reason


@pytest.mark.parametrize(
    ("names", "lines", "by_the_sdk", "by_us"),
    [
        # W3C: of two traceparents none counts; the SDK takes the first.
        ("tracecontext", {"traceparent": [differences.TRACEPARENT] * 2}, differences.BY_W3C, None),
        # B3 knows no lists; the SDK takes the first.
        ("b3", {"b3": [f"{W3C_TRACE}-{W3C_SPAN}-1"] * 2}, differences.BY_W3C, None),
        ("xray", {"x-amzn-trace-id": [differences.XRAY] * 2}, None, None),
        (
            "tracecontext",
            {"traceparent": [differences.TRACEPARENT], "tracestate": ["a=1", "", "b=2"]},
            (W3C_TRACE, W3C_SPAN, 1, "a=1,b=2"),
            (W3C_TRACE, W3C_SPAN, 1, "a=1,b=2"),
        ),
    ],
)
def test_several_lines_of_one_name_are_one_value_with_commas(
    names: str, lines: dict[str, list[str]], by_the_sdk: Found | None, by_us: Found | None
) -> None:
    assert extracted([names], lines) == by_the_sdk
    joined = {name: ",".join(values) for name, values in lines.items()}
    assert ours([names], joined) == extracted([names], joined) == by_us
