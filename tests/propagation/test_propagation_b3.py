"""B3 in both notations, case by case; test_propagation_sdk_extraction.py asks OpenTelemetry's own
propagators.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.propagation import b3
from lrap_otel.propagation.context import SpanContext

TRACE_ID = "80f198ee56343ba864fe8b2a57d3eff7"
SPAN_ID = "e457b5a2e4d86bd1"
MULTI = {"x-b3-traceid": TRACE_ID, "x-b3-spanid": SPAN_ID}


def extracted(headers: dict[str, str]) -> tuple[str, str, int] | None:
    context = b3.extract(headers)
    return context and (context.trace_id_hex, context.span_id_hex, context.trace_flags)


@pytest.mark.parametrize(
    ("headers", "flags"),
    [
        ({"b3": f"{TRACE_ID}-{SPAN_ID}-1"}, 1),
        ({"b3": f"{TRACE_ID}-{SPAN_ID}-d"}, 1),
        ({"b3": f"{TRACE_ID}-{SPAN_ID}-0"}, 0),
        ({"b3": f"{TRACE_ID}-{SPAN_ID}"}, 1),
        ({"b3": f"{TRACE_ID}-{SPAN_ID}-1-05e3ac9a4f6e3b90"}, 1),
        ({"b3": f"{TRACE_ID.upper()}-{SPAN_ID.upper()}-1"}, 1),
        ({**MULTI, "x-b3-sampled": "1"}, 1),
        ({**MULTI, "x-b3-sampled": "true"}, 1),
        ({**MULTI, "x-b3-sampled": "0"}, 0),
        (MULTI, 0),
        ({**MULTI, "x-b3-flags": "1"}, 1),
        ({**MULTI, "x-b3-flags": "0", "x-b3-sampled": "0"}, 0),
        ({**MULTI, "b3": f"{TRACE_ID}-{SPAN_ID}-1", "x-b3-sampled": "0"}, 1),
        ({**MULTI, "b3": "", "x-b3-sampled": "1"}, 1),
    ],
)
def test_both_notations_name_a_parent(headers: dict[str, str], flags: int) -> None:
    assert extracted(headers) == (TRACE_ID, SPAN_ID, flags)


def test_a_short_trace_id_is_padded() -> None:
    assert extracted({"b3": f"64fe8b2a57d3eff7-{SPAN_ID}-1"}) == (
        "0" * 16 + "64fe8b2a57d3eff7",
        SPAN_ID,
        1,
    )


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"b3": "0"},
        {"b3": "1"},
        {"b3": "d", **MULTI},
        {"b3": f"{TRACE_ID}-{SPAN_ID}-1-{SPAN_ID}-1"},
        {"b3": f"{TRACE_ID[1:]}-{SPAN_ID}-1"},
        {"b3": f"{TRACE_ID}-{SPAN_ID[1:]}-1"},
        {"b3": f"{TRACE_ID[1:]}g-{SPAN_ID}-1"},
        {"b3": f"{'0' * 32}-{SPAN_ID}-1"},
        {"b3": f"{TRACE_ID}-{'0' * 16}-1"},
        {"x-b3-traceid": TRACE_ID},
        {"x-b3-spanid": SPAN_ID},
        {**MULTI, "x-b3-spanid": "٣" * 16},
    ],
)
def test_anything_else_names_none(headers: dict[str, str]) -> None:
    assert extracted(headers) is None


@given(st.text("0123456789abcdef-", max_size=70))
def test_no_value_raises(value: str) -> None:
    b3.extract({"b3": value})
    b3.extract({"x-b3-traceid": value, "x-b3-spanid": value})


@pytest.mark.parametrize("flags", [0, 1, 2, 3])
def test_what_is_written_is_read_again(flags: int) -> None:
    context = SpanContext(TRACE_ID, SPAN_ID, flags)
    assert extracted(dict(b3.single_field(context))) == (TRACE_ID, SPAN_ID, flags & 1)
    assert extracted(dict(b3.multi_fields(context))) == (TRACE_ID, SPAN_ID, flags & 1)
    assert dict(b3.single_field(context)) == {"b3": f"{TRACE_ID}-{SPAN_ID}-{flags & 1}"}
