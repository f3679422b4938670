"""Which parent is taken: the composite propagator's answers, in the order of OTEL_PROPAGATORS."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from lrap_otel.propagation import xray
from lrap_otel.propagation.extract import parent_of

ROOT = Path(__file__).parents[2]
W3C_TRACE = "0af7651916cd43dd8448eb211c80319c"
W3C_SPAN = "b7ad6b7169203331"
XRAY_TRACE = "5759e988bd862e3fe1be46a994272793"
XRAY_SPAN = "53995c3f42cd8ad8"
B3_TRACE = "80f198ee56343ba864fe8b2a57d3eff7"
B3_SPAN = "e457b5a2e4d86bd1"
ENV_TRACE = "66ca4895aaaabbbbccccddddeeeeffff"
ENV_SPAN = "27c4bbf84acc163c"

W3C = {"traceparent": f"00-{W3C_TRACE}-{W3C_SPAN}-01", "tracestate": "vendor=1"}
XRAY = {
    "x-amzn-trace-id": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
}
UNSAMPLED_XRAY = {
    "x-amzn-trace-id": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8"
}
ROOT_ONLY = {"x-amzn-trace-id": "Root=1-5759e988-bd862e3fe1be46a994272793"}
B3 = {"b3": f"{B3_TRACE}-{B3_SPAN}-1"}
RUNTIME = (
    "Root=1-66ca4895-aaaabbbbccccddddeeeeffff;Parent=27c4bbf84acc163c;Sampled=1;Lineage=d4d48d4d:0"
)
NOISE = RUNTIME.replace("Sampled=1", "Sampled=0")

BY_W3C = (W3C_TRACE, W3C_SPAN, 1, "vendor=1")
BY_XRAY = (XRAY_TRACE, XRAY_SPAN, 1, "")
BY_B3 = (B3_TRACE, B3_SPAN, 1, "")
BY_RUNTIME = (ENV_TRACE, ENV_SPAN, 1, "")


def parent(
    names: str, headers: dict[str, str], runtime_trace_id: str = ""
) -> tuple[str, str, int, str] | None:
    context = parent_of(tuple(names.split(",")), headers, xray.parse(runtime_trace_id))
    return context and (
        context.trace_id_hex,
        context.span_id_hex,
        context.trace_flags,
        context.trace_state,
    )


@pytest.mark.parametrize(
    ("names", "headers", "expected"),
    [
        ("tracecontext,baggage", W3C | XRAY | B3, BY_W3C),
        ("tracecontext,baggage", XRAY | B3, None),
        ("baggage", W3C, None),
        ("none", W3C | XRAY | B3, None),
        ("tracecontext,none", W3C, None),
        ("b3", W3C | B3, BY_B3),
        ("b3multi", W3C | B3, BY_B3),
        ("tracecontext,b3", W3C | B3, BY_B3),
        ("b3,tracecontext", W3C | B3, BY_W3C),
        ("tracecontext,b3", W3C | {"b3": "0"}, BY_W3C),
        ("tracecontext,baggage,xray", W3C | XRAY, BY_XRAY),
        ("baggage,xray,tracecontext", W3C | XRAY, BY_W3C),
        ("tracecontext,xray", W3C | ROOT_ONLY, BY_W3C),
        ("tracecontext,xray", W3C | UNSAMPLED_XRAY, (XRAY_TRACE, XRAY_SPAN, 0, "")),
        ("tracecontext,xray", W3C | {"x-amzn-trace-id": "garbage"}, BY_W3C),
        ("xray", ROOT_ONLY, None),
        ("xray", {}, None),
    ],
)
def test_the_last_propagator_that_finds_a_parent_wins(
    names: str, headers: dict[str, str], expected: tuple[str, str, int, str] | None
) -> None:
    assert parent(names, headers, RUNTIME) == expected


@pytest.mark.parametrize(
    ("names", "headers", "runtime", "expected"),
    [
        ("tracecontext,xray-lambda", W3C | XRAY, RUNTIME, BY_XRAY),
        ("tracecontext,xray-lambda", W3C, RUNTIME, BY_W3C),
        ("xray-lambda,tracecontext", W3C, RUNTIME, BY_W3C),
        ("xray-lambda", XRAY, RUNTIME, BY_RUNTIME),
        ("xray-lambda", {}, RUNTIME, BY_RUNTIME),
        ("xray-lambda", XRAY, "", BY_XRAY),
        ("xray-lambda", XRAY, "garbage", BY_XRAY),
        ("xray-lambda", {}, "", None),
    ],
)
def test_xray_lambda_takes_the_runtimes_header_unless_another_came_before(
    names: str, headers: dict[str, str], runtime: str, expected: tuple[str, str, int, str] | None
) -> None:
    assert parent(names, headers, runtime) == expected


def test_what_lambda_did_not_sample_is_nobodys_decision() -> None:
    # The SDK would make it an unsampled parent, and nothing would ever be recorded where X-Ray is
    # off.
    assert parent("xray-lambda", {}, NOISE) is None
    assert parent("xray-lambda", XRAY, NOISE) == BY_XRAY


def test_a_tracestate_stays_with_its_own_trace() -> None:
    # The SDK's X-Ray propagator drops it; W3C ties it to its trace, whichever header names the
    # parent in that.
    same_trace = {
        "x-amzn-trace-id": "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=53995c3f42cd8ad8;Sampled=1"
    }
    assert parent("tracecontext,xray", W3C | same_trace) == (W3C_TRACE, XRAY_SPAN, 1, "vendor=1")
    assert parent("tracecontext,xray", W3C | XRAY) == BY_XRAY


@given(
    st.sampled_from(
        [("tracecontext", "baggage"), ("baggage", "tracecontext"), ("tracecontext",), ("baggage",)]
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "traceparent": st.sampled_from(
                [W3C["traceparent"], "", "00-x", W3C["traceparent"] + "-"]
            ),
            "tracestate": st.sampled_from(["", "a=1", "a=1,a=2", "b=2 , a=1"]),
            "baggage": st.sampled_from(["", "user=1", "=="]),
        },
    ),
)
def test_the_composite_of_the_sdk_finds_the_same(
    names: tuple[str, ...], headers: dict[str, str]
) -> None:
    known = {"tracecontext": TraceContextTextMapPropagator(), "baggage": W3CBaggagePropagator()}
    found = CompositePropagator([known[name] for name in names]).extract(headers)
    context = trace.get_current_span(found).get_span_context()
    expected = (
        f"{context.trace_id:032x}",
        f"{context.span_id:016x}",
        int(context.trace_flags),
        context.trace_state.to_header(),
    )
    assert parent(",".join(names), headers) == (expected if context.is_valid else None)


def test_a_parent_is_read_without_the_matcher_whose_code_may_change() -> None:
    names = "w3c", "b3", "xray", "extract", "sampling"
    lines = ["import sys", f"sys.path.insert(0, {str(ROOT)!r})"]
    lines += [f"import lrap_otel.propagation.{name}" for name in names]
    lines.append("print(sorted({'re', '_sre', 'lrap_otel.text.patterns'} & set(sys.modules)))")
    # Without `site`, which may import anything.
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout == "[]\n"
