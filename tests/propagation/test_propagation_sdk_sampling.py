"""OTEL_TRACES_SAMPLER and its argument, as anybody may write them: the SDK that reads the same
variables decides the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.environment_variables import OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator

from lrap_otel.propagation.sampling import Sampler
from lrap_otel.settings import Settings
from tests.propagation.forms import http_api, payload
from tests.propagation.headers import examples

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.propagation.live import Live

SPAN_ID = "00f067aa0ba902b7"
SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
NAMES = st.one_of(
    st.sampled_from(SAMPLERS),
    st.sampled_from(SAMPLERS).map(str.upper),
    st.sampled_from(["", "Always_On", "jaeger_remote", "parentbased", "always-on", "xray", "1"]),
)
ARGUMENTS = st.one_of(
    st.floats(0, 1).map(str),
    st.floats().map(str),
    st.integers(-2, 3).map(str),
    st.sampled_from(
        [
            "",
            "1e-9",
            "+0.5",
            ".5",
            "5.",
            "0_1",
            "1_0",
            "0x1",
            "1,0",
            "50%",
            "half",
            "-0.0",
            "Infinity",
            "\u0660.\u0665",
            "\t0.5",
        ]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
)
# Both sides of every cut that a ratio can make.
TRACE_IDS = st.one_of(
    st.integers(1, 2**128 - 1),
    st.integers(0, 64).map(lambda bits: max(1, (1 << bits) - 1)),
    st.integers(0, 63).map(lambda bits: (7 << 64) + (1 << bits)),
).map("{:032x}".format)
PARENTS = st.sampled_from([None, 0, 1, 2, 3, 0xFE])


class Given(IdGenerator):
    """Ids that were made elsewhere."""

    def __init__(self, trace_id_hex: str) -> None:
        self._trace_id = int(trace_id_hex, 16)

    def generate_trace_id(self) -> int:
        return self._trace_id

    def generate_span_id(self) -> int:
        return 1


def by_the_sdk(name: str, argument: str, flags: int | None, trace_id_hex: str) -> bool:
    """Whether a span is sampled that the SDK's own tracer starts, below a parent of these flags or
    below none.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(OTEL_TRACES_SAMPLER, name)
        patch.setenv(OTEL_TRACES_SAMPLER_ARG, argument)
        provider = TracerProvider(id_generator=Given(trace_id_hex), shutdown_on_exit=False)
    context = None
    if flags is not None:
        parent = trace.SpanContext(
            int(trace_id_hex, 16),
            int(SPAN_ID, 16),
            is_remote=True,
            trace_flags=trace.TraceFlags(flags),
        )
        context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
    return (
        provider.get_tracer("oracle")
        .start_span("span", context)
        .get_span_context()
        .trace_flags.sampled
    )


def by_us(name: str, argument: str, flags: int | None, trace_id_hex: str) -> bool:
    read = Settings(
        {b"OTEL_TRACES_SAMPLER": name.encode(), b"OTEL_TRACES_SAMPLER_ARG": argument.encode()}
    )
    return Sampler(read.sampler, read.sampler_argument).decide(flags, trace_id_hex)


@given(NAMES, ARGUMENTS, PARENTS, TRACE_IDS)
@examples(250)
def test_any_setting_decides_as_the_sdk_does(
    name: str, argument: str, flags: int | None, trace_id_hex: str
) -> None:
    assert by_us(name, argument, flags, trace_id_hex) is by_the_sdk(
        name, argument, flags, trace_id_hex
    )


@given(st.floats(0, 1), st.integers(-3, 3))
@examples(150)
def test_a_ratio_cuts_at_the_sdks_very_id(ratio: float, distance: int) -> None:
    low = min(max(round(ratio * 2**64) + distance, 0), 2**64 - 1)
    trace_id_hex = f"{(5 << 64) + low:032x}"
    assert by_us("traceidratio", str(ratio), None, trace_id_hex) is by_the_sdk(
        "traceidratio", str(ratio), None, trace_id_hex
    )


def test_a_name_with_blanks_around_it_is_still_a_name() -> None:
    # To the SDK it is unknown, and it samples as by default.
    assert by_us(" always_off ", "", None, "1" * 32) is False
    assert by_the_sdk(" always_off ", "", None, "1" * 32) is True


@pytest.mark.parametrize("argument", ["0.25", "half"])
@pytest.mark.parametrize("name", SAMPLERS)
@given(st.sampled_from([None, "00", "01", "02", "03"]), TRACE_IDS)
@examples(20)
def test_the_function_is_told_what_the_sdk_would_have_decided(
    live: Callable[..., Live], name: str, argument: str, flags: str | None, trace_id_hex: str
) -> None:
    proxy = live(OTEL_TRACES_SAMPLER=name, OTEL_TRACES_SAMPLER_ARG=argument)
    if flags is None:
        root = f"Root=1-{trace_id_hex[:8]}-{trace_id_hex[8:]}"
        delivery = proxy.deliver(payload(http_api([])), {"Lambda-Runtime-Trace-Id": root})
    else:
        delivery = proxy.deliver(
            payload(http_api([("traceparent", f"00-{trace_id_hex}-{SPAN_ID}-{flags}")]))
        )
    assert delivery.record.trace_id_hex == trace_id_hex
    sampled = by_the_sdk(name, argument, None if flags is None else int(flags, 16), trace_id_hex)
    told = [delivery.field("traceparent"), delivery.event["headers"]["traceparent"]]
    assert [int(value[-2:], 16) & 1 for value in told] == [sampled, sampled]
    assert f"Sampled={sampled:d}" in delivery.field("lambda-runtime-trace-id")
    assert f"Sampled={sampled:d}" in delivery.event["headers"]["x-amzn-trace-id"]
