"""Values, ids and texts that OTLP may be asked to carry, for hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from lrap_otel.propagation.context import SpanContext

NUMBERS_64 = st.one_of(
    st.sampled_from([0, 1, -1, 127, 128, -128, 2**31, 2**32, 2**53 + 1, 2**63 - 1, -(2**63)]),
    st.integers(-(2**63), 2**63 - 1),
)
TIMES_NS = st.one_of(st.sampled_from([0, 1, 2**63, 2**64 - 1]), st.integers(0, 2**64 - 1))
COUNTS = st.one_of(st.sampled_from([0, 1, 127, 128, 2**32 - 1]), st.integers(0, 2**32 - 1))
DOUBLES = st.one_of(
    st.sampled_from(
        [0.0, -0.0, 1.0, float("inf"), float("-inf"), float("nan"), 5e-324, 1.7976931348623157e308]
    ),
    st.floats(width=64),
)
TEXTS = st.one_of(
    st.just(""), st.text(max_size=20), st.sampled_from(["é\x00\U0001f600", "x" * 127, "x" * 128])
)
# With what JSON may hold and UTF-8 cannot.
ANY_TEXTS = st.one_of(
    TEXTS, st.text(st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF), max_size=3)
)
SCALARS: st.SearchStrategy[Any] = st.one_of(
    ANY_TEXTS, st.booleans(), NUMBERS_64, DOUBLES, st.binary(max_size=20)
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(SCALARS, st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=8,
)
# Two names that differ in surrogates alone would be one name.
ATTRIBUTES = st.dictionaries(TEXTS, VALUES, max_size=5)
TRACE_IDS = st.integers(1, 2**128 - 1)
SPAN_IDS = st.integers(1, 2**64 - 1)
TRACE_STATES = st.sampled_from(["", "a=1", "a=1,b=2", "x@y=" + "v" * 200])
CONTEXTS = st.builds(
    lambda trace_id, span_id, flags, state: SpanContext(
        f"{trace_id:032x}", f"{span_id:016x}", flags, state
    ),
    TRACE_IDS,
    SPAN_IDS,
    st.integers(0, 255),
    TRACE_STATES,
)


def encodable(value: Any) -> Any:
    """`value` with a question mark for each lone surrogate, as the SDK has to get it."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [encodable(each) for each in value]
    if isinstance(value, dict):
        return {encodable(key): encodable(each) for key, each in value.items()}
    return value
