"""What is kept of a result."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.proxy.capture import Capture
from lrap_otel.records import CAPTURE_FIRST_BYTES, CAPTURE_LAST_BYTES

KB = 1_024


@pytest.mark.parametrize("length", [0, 1, 64 * KB - 1, 64 * KB, 64 * KB + 1, 68 * KB, 70 * KB, 500 * KB])
@pytest.mark.parametrize("piece", [1_000, 65_536, 1_000_000])
def test_the_first_64_kb_and_the_last_4_of_the_rest_are_kept(length: int, piece: int) -> None:
    body = (b"%08d" * (length // 8 + 1) % tuple(range(length // 8 + 1)))[:length]
    capture = Capture()
    for start in range(0, length, piece):
        capture.add(body[start : start + piece])
    assert capture.first == body[: 64 * KB]
    assert capture.last == body[64 * KB :][-4 * KB :]
    assert capture.length == length


@given(st.lists(st.integers(1, 40_000), max_size=12))
def test_how_a_body_is_split_changes_nothing(sizes: list[int]) -> None:
    body = bytes(range(251)) * (sum(sizes) // 251 + 1)
    body = body[: sum(sizes)]
    capture, start = Capture(), 0
    for size in sizes:
        capture.add(body[start : start + size])
        start += size
    assert capture.first + body[len(capture.first) : len(body) - len(capture.last)] + capture.last == body
    assert len(capture.first) <= CAPTURE_FIRST_BYTES
    assert len(capture.last) <= CAPTURE_LAST_BYTES
