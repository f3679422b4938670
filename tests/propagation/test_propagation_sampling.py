"""Sampling: the SDK decides what is right."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import sampling as sdk

from lrap_otel.propagation.context import SpanContext
from lrap_otel.propagation.sampling import Sampler

SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
SPAN_ID = "00f067aa0ba902b7"
ARGUMENTS = st.one_of(
    st.floats(0, 1).map(str),
    st.sampled_from(["", "0", "1", "1.0", "1e-9", "0.5", " 0.25 ", "-0.1", "1.5", "nan", "inf"]),
)


def by_the_sdk(name: str, argument: str, parent: SpanContext | None, trace_id_hex: str) -> bool:
    sampler = sdk._KNOWN_SAMPLERS[name]
    if name.endswith("ratio"):
        try:
            sampler = sampler(float(argument))
        except ValueError:
            sampler = sampler(1.0)
    context = None
    if parent is not None:
        remote = trace.SpanContext(
            int(parent.trace_id_hex, 16),
            int(parent.span_id_hex, 16),
            True,
            trace.TraceFlags(parent.trace_flags),
        )
        context = trace.set_span_in_context(trace.NonRecordingSpan(remote))
    return (
        sampler.should_sample(context, int(trace_id_hex, 16), "span").decision
        is sdk.Decision.RECORD_AND_SAMPLE
    )


@given(
    st.sampled_from(SAMPLERS),
    ARGUMENTS,
    st.sampled_from([None, 0, 1, 2, 3, 0xFE]),
    st.integers(1, 2**128 - 1).map("{:032x}".format),
)
def test_every_sampler_decides_as_the_sdk_does(
    name: str, argument: str, flags: int | None, trace_id_hex: str
) -> None:
    parent = None if flags is None else SpanContext(trace_id_hex, SPAN_ID, flags)
    assert Sampler(name, argument).decide(flags, trace_id_hex) is by_the_sdk(
        name, argument, parent, trace_id_hex
    )


@pytest.mark.parametrize("low", [0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
@pytest.mark.parametrize(
    "ratio", ["0.0", "0.5", "0.4999999999999999", "0.9999999999999999", "1.0", "5.4e-20", "2e-20"]
)
def test_a_ratio_cuts_where_the_sdk_cuts(low: int, ratio: str) -> None:
    trace_id_hex = f"{(0xABCD << 64) + low:032x}"
    assert Sampler("traceidratio", ratio).decide(None, trace_id_hex) is by_the_sdk(
        "traceidratio", ratio, None, trace_id_hex
    )


@pytest.mark.parametrize("argument", ["half", "-0.1", "1.1", "nan", "inf", "50%"])
@pytest.mark.parametrize("name", ["traceidratio", "parentbased_traceidratio"])
def test_a_ratio_that_cannot_be_used_gives_one_warning_and_samples_all(
    name: str, argument: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sampler = Sampler(name, argument)
    assert sampler.warning.startswith(f"OTEL_TRACES_SAMPLER_ARG={argument!r}")
    assert sampler.decide(None, "f" * 32)

    monkeypatch.setenv("OTEL_TRACES_SAMPLER", name)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    with caplog.at_level(logging.WARNING):
        assert "1.0" in sdk._get_from_env_or_default().get_description()
    assert "TRACES_SAMPLER_ARG" in caplog.text


@pytest.mark.parametrize("name", ["traceidratio", "parentbased_traceidratio"])
def test_a_ratio_without_an_argument_is_one_and_needs_no_warning(name: str) -> None:
    sampler = Sampler(name, "")

    assert (sampler.warning, sampler.decide(None, "f" * 32)) == ("", True)


@pytest.mark.parametrize(
    "name", ["always_on", "always_off", "parentbased_always_on", "parentbased_always_off"]
)
def test_an_argument_that_nobody_needs_is_not_warned_of(name: str) -> None:
    assert Sampler(name, "half").warning == ""
