"""Percent-encoding, judged by `urllib.parse`."""

from __future__ import annotations

from urllib.parse import unquote, unquote_plus, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lrap_otel.telemetry.percent import query_string, unquoted, unquoted_plus

PIECES = st.sampled_from(
    [
        "%",
        "%4",
        "%41",
        "%c3%A9",
        "%C3",
        "%zz",
        "% 1",
        "%+1",
        "+",
        "%2B",
        "é",
        "a",
        "\U0001f600",
        "%00",
    ]
)


@given(st.one_of(st.text(), st.lists(PIECES, max_size=8).map("".join)))
@example("%")
@example("%%41")
@example("\ud800%41")
def test_a_text_is_decoded_as_by_the_standard_library(text: str) -> None:
    assert unquoted(text) == unquote(text)
    assert unquoted_plus(text) == unquote_plus(text)


@pytest.mark.parametrize("text", ["%C3", "a%FFb", "%C3é"])
def test_bytes_that_are_no_utf_8_are_an_error_if_they_should_be(text: str) -> None:
    with pytest.raises(UnicodeDecodeError):
        unquoted(text, "strict")
    assert "\ufffd" in unquoted(text)


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=4))
def test_pairs_are_encoded_as_by_the_standard_library(pairs: list[tuple[str, str]]) -> None:
    assert query_string(pairs) == urlencode(pairs)
