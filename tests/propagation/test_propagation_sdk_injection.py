"""What the proxy decides and writes for any request, judged by the SDK: the same parent in, and our
span out for every reader.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from hypothesis import event as note
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.propagation.context import SpanContext
from tests.propagation import differences
from tests.propagation.carried import fields_of
from tests.propagation.forms import FORMS, headers_of, payload
from tests.propagation.headers import HEADERS, SPAN_IDS, TRACE_IDS, XRAYS, examples
from tests.propagation.oracle import extracted, injected

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.propagation.forms import Lines
    from tests.propagation.live import Delivery, Live
    from tests.propagation.oracle import Found

ALL = ("tracecontext", "b3", "b3multi", "xray")
SPANS = st.tuples(
    st.integers(1, 2**128 - 1).map("{:032x}".format),
    st.integers(1, 2**64 - 1).map("{:016x}".format),
    st.integers(0, 3),
    st.sampled_from(["", "a=1", "foo=1,bar=2", "0tenant@system=x y"]),
)


@given(SPANS, st.lists(st.sampled_from(ALL), min_size=1, max_size=4, unique=True))
@examples(150)
def test_every_field_is_what_the_sdk_writes(span: Found, names: list[str]) -> None:
    ours = dict(fields_of(SpanContext(*span), tuple(names)))
    theirs = injected(names, span)
    assert theirs.items() <= ours.items()
    # W3C's and X-Ray's go along, whatever is asked for.
    assert injected(["tracecontext", "xray"], span).items() <= ours.items()


@given(SPANS, st.sampled_from(ALL))
@examples(150)
def test_the_sdk_reads_our_span(span: Found, name: str) -> None:
    trace_id_hex, span_id_hex, flags, state = span
    fields = dict(fields_of(SpanContext(*span), ("b3", "b3multi")))
    has_w3c = name == "tracecontext"
    expected = (
        trace_id_hex,
        span_id_hex,
        flags if has_w3c else flags & 1,
        state if has_w3c else "",
    )
    assert extracted([name], fields) == expected


LISTS = (
    "tracecontext,baggage",
    "tracecontext",
    "baggage",
    "b3",
    "b3multi",
    "xray",
    "xray-lambda",
    "tracecontext,baggage,xray",
    "baggage,xray,tracecontext",
    "tracecontext,xray-lambda",
    "xray-lambda,tracecontext",
    "b3,tracecontext",
    "tracecontext,b3multi,xray",
    "b3multi,b3,baggage,tracecontext,xray-lambda",
    "none",
)
SPELLINGS = st.sampled_from([str.lower, str.lower, str.title, str.upper, str.swapcase])


def spelled(name: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, str]]:
    return st.tuples(SPELLINGS.map(lambda spell: spell(name)), values)


# What a caller with an SDK sends, in one notation; whatever else; some of either.
CONTEXTS = st.one_of(
    st.tuples(
        spelled(
            "traceparent",
            st.sampled_from(
                [f"00-{TRACE_IDS[0]}-{SPAN_IDS[0]}-01", f"00-{TRACE_IDS[1]}-{SPAN_IDS[1]}-02"]
            ),
        )
    ),
    st.tuples(
        spelled("traceparent", st.just(f"00-{TRACE_IDS[0]}-{SPAN_IDS[1]}-03")),
        spelled("tracestate", st.sampled_from(["foo=1,bar=2", " a=1 ,\tb=2", "a=1,a=2"])),
    ),
    st.tuples(
        spelled(
            "b3",
            st.sampled_from([f"{TRACE_IDS[0]}-{SPAN_IDS[1]}-1", f"{TRACE_IDS[3]}-{SPAN_IDS[0]}-0"]),
        )
    ),
    st.tuples(
        spelled("x-b3-traceid", st.sampled_from([TRACE_IDS[1], TRACE_IDS[3]])),
        spelled("x-b3-spanid", st.just(SPAN_IDS[0])),
        spelled("x-b3-sampled", st.sampled_from("01")),
    ),
    st.tuples(
        spelled(
            "x-amzn-trace-id",
            st.sampled_from(
                [
                    f"Root=1-{TRACE_IDS[1][:8]}-{TRACE_IDS[1][8:]};Parent={SPAN_IDS[1]};Sampled=1",
                    f"Self=1-5;Root=1-{TRACE_IDS[0][:8]}-{TRACE_IDS[0][8:]};Parent={SPAN_IDS[1]};Sampled=0",
                ]
            ),
        )
    ),
)
ODD = st.one_of(
    *[spelled(name, values) for name, values in HEADERS.items()],
    st.tuples(
        st.sampled_from(["accept", "Host", "vary", 'a"b', "é"]),
        st.sampled_from(["*/*", "traceparent", "\\", "é"]),
    ),
)
REQUESTS = st.tuples(st.lists(CONTEXTS, max_size=2), st.lists(ODD, max_size=3)).map(
    lambda parts: [*(line for context in parts[0] for line in context), *parts[1]]
)
# What a header line can hold.
RUNTIME_HEADERS = st.one_of(
    st.just(""), XRAYS.filter(lambda value: value.isascii() and value.isprintable())
).map(str.strip)
WRITINGS: list[Callable[[Any], bytes]] = [
    payload,
    lambda event: json.dumps(event).encode(),
    lambda event: json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode(),
    lambda event: json.dumps(event, ensure_ascii=False, indent=1).encode(),
]


def carried(event: Any) -> dict[str, str]:
    """What an event's headers say, as HTTP has it: names in any case, the lines of a
    name as one.
    """
    lines: dict[str, list[str]] = {}
    for name, values in headers_of(event)[-1].items():
        lines.setdefault(name.lower(), []).extend(values)
    return {name: ",".join(values) for name, values in lines.items()}


def has_the_sdks_parent(
    delivery: Delivery, names: list[str], headers: dict[str, str], runtime_trace_id: str
) -> None:
    told = runtime_trace_id if differences.is_decided(runtime_trace_id) else ""
    parent = extracted(names, headers, told)
    record = delivery.record
    root = re.match("Root=1-([0-9a-f]{8})-([0-9a-f]{24})(;|$)", runtime_trace_id)
    if parent is None:
        note("a root")
        assert record.parent_span_id_hex == record.trace_state == ""
        assert record.trace_flags & 1
        if root and runtime_trace_id.count("Root") == 1 and (root[1] + root[2]).strip("0"):
            assert record.trace_id_hex == root[1] + root[2]
    else:
        note("a child")
        trace_id_hex, span_id_hex, flags, state = parent
        assert (record.trace_id_hex, record.parent_span_id_hex) == (trace_id_hex, span_id_hex)
        # parentbased_always_on, and the random flag as it came.
        assert (record.trace_flags, record.trace_state) == (flags & 3, state)


def tells_of_our_span(names: list[str], headers: dict[str, str], delivery: Delivery) -> None:
    """Each propagator by itself finds our span and no other."""
    record = delivery.record
    runtime_trace_id = delivery.field("lambda-runtime-trace-id")
    for name in {*names, "tracecontext", "xray"} - {"baggage"}:
        found = extracted([name], headers, runtime_trace_id if name == "xray-lambda" else "")
        assert found is not None
        assert found[:2] == (record.trace_id_hex, record.span_id_hex)
        assert found[2] & 1 == record.trace_flags & 1
        assert found[3] == (record.trace_state if name == "tracecontext" else "")


@given(
    st.sampled_from(LISTS),
    REQUESTS,
    RUNTIME_HEADERS,
    st.sampled_from(FORMS),
    st.sampled_from(WRITINGS),
)
@examples(250)
def test_a_request_is_the_sdks_child_and_our_span_is_the_functions_parent(
    live: Callable[..., Live],
    listed: str,
    lines: Lines,
    runtime_trace_id: str,
    form: Callable[[Lines], Any],
    write: Callable[[Any], bytes],
) -> None:
    names = listed.split(",")
    sent = form(lines)
    fields = {"Lambda-Runtime-Trace-Id": runtime_trace_id} if runtime_trace_id else {}
    delivery = live(OTEL_PROPAGATORS=listed).deliver(write(sent), fields)
    if not differences.covered(names, carried(sent), runtime_trace_id):
        has_the_sdks_parent(delivery, names, carried(sent), runtime_trace_id)
    if listed == "none":
        assert delivery.payload == write(sent)
        assert delivery.field("lambda-runtime-trace-id") == runtime_trace_id
        return
    for headers in headers_of(delivery.event):
        for name, values in headers.items():
            # In whatever spelling, there is one answer.
            assert name.lower() not in {"traceparent", "x-amzn-trace-id"} or len(values) == 1
        tells_of_our_span(
            names, {name.lower(): ",".join(values) for name, values in headers.items()}, delivery
        )
    told = {name: delivery.field(name) for name in HEADERS if delivery.fields(name)}
    tells_of_our_span(names, told, delivery)
