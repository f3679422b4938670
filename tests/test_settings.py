"""A setting that cannot be used gives one warning and its default; the function never
fails for it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.settings import Settings
from lrap_otel.telemetry.settings import in_force

ROOT = Path(__file__).parents[1]


def settings(**variables: str) -> Settings:
    return Settings({name.encode(): value.encode() for name, value in variables.items()})


def test_the_defaults_are_those_that_the_readme_states() -> None:
    defaults = settings(AWS_LAMBDA_RUNTIME_API="169.254.100.1:9001")
    assert defaults.listener_port == 9009
    assert defaults.runtime_api == defaults.extensions_api == ("169.254.100.1", 9001)
    assert defaults.extension_name == "lrap-otel"
    assert defaults.flush_budget_ms == 500
    assert defaults.xray_header == "auto"
    assert defaults.propagators == ("tracecontext", "baggage")
    assert defaults.sampler == "parentbased_always_on"
    assert defaults.scan_limit_bytes == 2_097_152
    assert defaults.export_enabled
    assert not defaults.is_managed_instances
    assert defaults.warnings == []


@pytest.mark.parametrize(
    ("name", "value", "attribute", "default"),
    [
        ("LRAP_LISTENER_PORT", "0", "listener_port", 9009),
        ("LRAP_LISTENER_PORT", "65536", "listener_port", 9009),
        ("LRAP_LISTENER_PORT", "nine", "listener_port", 9009),
        ("LRAP_FLUSH_BUDGET_MS", "-1", "flush_budget_ms", 500),
        ("LRAP_ENABLED", "maybe", "export_enabled", True),
        ("OTEL_SDK_DISABLED", "yes", "export_enabled", True),
        ("LRAP_XRAY_HEADER", "sometimes", "xray_header", "auto"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "sampler", "parentbased_always_on"),
        ("LRAP_RUNTIME_API_ENDPOINT", "9001", "runtime_api", None),
        ("LRAP_RUNTIME_API_ENDPOINT", "host:port", "runtime_api", None),
        ("LRAP_LOG_LEVEL", "loud", "log_level", "warning"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_in_one_warning(
    name: str, value: str, attribute: str, default: object
) -> None:
    read = settings(**{name: value})
    assert getattr(read, attribute) == default
    (warning,) = read.warnings
    assert name in warning
    assert value in warning


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (word, word in ["true", "1", "yes", "on"])
        for word in ["true", "1", "yes", "on", "false", "0", "no", "off"]
    ],
)
def test_it_is_switched_on_and_off_in_the_words_that_people_write(
    value: str, *, expected: bool
) -> None:
    for spelling in (value, value.upper(), f" {value} "):
        read = settings(LRAP_ENABLED=spelling)
        assert (read.export_enabled, read.warnings) == (expected, [])


def test_an_unknown_propagator_is_left_out_and_the_others_stay() -> None:
    read = settings(OTEL_PROPAGATORS=" B3, jaeger,tracecontext ")
    assert read.propagators == ("b3", "tracecontext")
    (warning,) = read.warnings
    assert "'jaeger'" in warning


def test_an_empty_variable_counts_as_unset() -> None:
    read = settings(LRAP_LISTENER_PORT="", OTEL_PROPAGATORS="  ", LRAP_ENABLED="")
    assert (read.listener_port, read.propagators, read.export_enabled, read.warnings) == (
        9009,
        ("tracecontext", "baggage"),
        True,
        [],
    )


@pytest.mark.parametrize("value", ["true", "TRUE", " True "])
def test_the_sdk_can_be_switched_off_in_any_case(value: str) -> None:
    assert not settings(OTEL_SDK_DISABLED=value).export_enabled


def test_an_address_may_have_a_host_name() -> None:
    assert settings(AWS_LAMBDA_RUNTIME_API="sandbox.localdomain:9001").extensions_api == (
        "sandbox.localdomain",
        9001,
    )


@pytest.mark.parametrize(
    "value",
    ["http://127.0.0.1:9002", "user@127.0.0.1:9002", "::1:9002", "127.0.0.1 :9002", "a/b:9002"],
)
def test_an_address_nobody_could_connect_to_is_refused(value: str) -> None:
    read = settings(AWS_LAMBDA_RUNTIME_API="127.0.0.1:9001", LRAP_RUNTIME_API_ENDPOINT=value)
    assert read.runtime_api == ("127.0.0.1", 9001)
    assert len(read.warnings) == 1


def test_propagators_of_which_none_is_known_are_the_default() -> None:
    read = settings(OTEL_PROPAGATORS="jaeger")
    assert read.propagators == ("tracecontext", "baggage")
    assert len(read.warnings) == 1


@given(
    st.dictionaries(
        st.sampled_from(["LRAP_LISTENER_PORT", "OTEL_PROPAGATORS", "AWS_LAMBDA_RUNTIME_API"]),
        st.binary(max_size=30),
    )
)
def test_no_bytes_in_a_variable_raise(variables: dict[str, bytes]) -> None:
    Settings({name.encode(): value for name, value in variables.items()})


def test_every_variable_of_ours_stands_in_the_documentation() -> None:
    documentation = (ROOT / "docs/settings.md").read_text()
    sources = [*ROOT.glob("lrap_otel/*.py"), ROOT / "opt/entrypoint", ROOT / "opt/wrapper"]
    ours = {
        name for source in sources for name in re.findall(r"\bLRAP_[A-Z_]+\b", source.read_text())
    }
    assert {name for name in ours if f"`{name}`" not in documentation} <= {
        "LRAP_DEPENDENCIES",
        "LRAP_PYTHON",
    }


def test_what_is_in_force_is_one_line_without_credentials_and_query() -> None:
    line = in_force(
        settings(
            OTEL_EXPORTER_OTLP_ENDPOINT="https://me:hunter2@collector:4318/otlp?key=hunter2",
            OTEL_EXPORTER_OTLP_HEADERS="api-key=hunter2",
            OTEL_METRICS_EXPORTER="none",
            OTEL_TRACES_SAMPLER="parentbased_traceidratio",
            OTEL_TRACES_SAMPLER_ARG="0.25",
            OTEL_PROPAGATORS="b3,tracecontext,b3",
        )
    )

    assert line == (
        "traces go to https://collector:4318/otlp/v1/traces, metrics to nowhere; "
        "sampler parentbased_traceidratio (0.25), propagators b3,tracecontext"
    )


def test_what_is_in_force_names_where_logs_go_if_they_are_sent() -> None:
    endpoint = "http://collector:4318"
    line = in_force(settings(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_LOGS_EXPORTER="otlp"))
    assert f"metrics to {endpoint}/v1/metrics, logs to {endpoint}/v1/logs; sampler" in line


def test_debug_is_a_level_of_the_log() -> None:
    read = settings(LRAP_LOG_LEVEL="DEBUG")

    assert (read.log_level, read.warnings) == ("debug", [])


def test_a_very_long_value_is_cut_in_its_warning() -> None:
    (warning,) = settings(LRAP_FLUSH_BUDGET_MS="9" * 100_000).warnings

    assert len(warning) < 150


@pytest.mark.parametrize("value", ["+5", "5_0", "\u0665", "0x5", "5.0"])
def test_a_number_is_plain_digits(value: str) -> None:
    assert settings(LRAP_FLUSH_BUDGET_MS=value).flush_budget_ms == 500
