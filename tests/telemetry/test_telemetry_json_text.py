"""Reading JSON, judged by `json`."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrap_otel.telemetry import json_text

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
)
TOKENS = st.sampled_from(
    [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        '"',
        '"a"',
        "1",
        "1.5e3",
        "-",
        "true",
        "nul",
        " ",
        "\n",
        "\\",
        "\x00",
    ]
)


def by_json(data: bytes | str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


@given(VALUES, st.sampled_from([None, 2]))
def test_every_value_is_read(value: Any, indent: int | None) -> None:
    text = f" {json.dumps(value, indent=indent)}\r\n\t"

    assert json_text.parse(text) == json_text.parse(text.encode()) == value


@given(st.one_of(st.lists(TOKENS, max_size=12).map("".join), st.text(max_size=12)))
@settings(max_examples=300)
def test_any_text_is_read_as_json_reads_it(text: str) -> None:
    assert json_text.parse(text) == by_json(text)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b" ", b"{", b'{"a":1} x', b"\xff", b'"\xed\xa0\x80"', b"[" * 100_000, b"1" * 5_000),
        *(b'{"a":1,"a":2}', b'"\\ud800"', b'"\x01"', b"\xef\xbb\xbf{}"),
    ],
)
def test_what_is_odd_is_none_or_what_json_says(data: bytes) -> None:
    assert json_text.parse(data) in (None, by_json(data))


def test_what_is_no_number_is_read_as_json_reads_it() -> None:
    infinite, nan = json_text.parse("[-Infinity, NaN]")
    assert (infinite, math.isnan(nan)) == (-math.inf, True)
