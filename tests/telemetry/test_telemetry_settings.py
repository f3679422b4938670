"""The variables of the export, their defaults and what happens to a bad one."""

from __future__ import annotations

import pytest

from lrap_otel.settings import ExportSettings


def settings(**variables: str) -> ExportSettings:
    return ExportSettings({name.encode(): value.encode() for name, value in variables.items()})


def test_defaults() -> None:
    read = settings()

    assert (read.traces.url, read.metrics.url) == (
        "http://127.0.0.1:4318/v1/traces",
        "http://127.0.0.1:4318/v1/metrics",
    )
    assert (read.traces.timeout_ms, read.traces.compression, read.traces.enabled) == (10_000, "none", True)
    assert (read.max_queue_spans, read.max_batch_spans, read.schedule_delay_ms) == (2_048, 512, 5_000)
    assert (read.metric_interval_ms, read.metric_temporality) == (60_000, "delta")
    assert (read.max_attributes, read.max_links, read.max_attribute_length) == (128, 128, 0)
    assert read.warnings == []


def test_a_signals_own_variable_comes_before_the_common_one() -> None:
    read = settings(OTEL_EXPORTER_OTLP_TIMEOUT="5000", OTEL_EXPORTER_OTLP_METRICS_TIMEOUT="7")

    assert (read.traces.timeout_ms, read.metrics.timeout_ms) == (5_000, 7)


def test_a_batch_is_never_larger_than_the_queue() -> None:
    assert settings(OTEL_BSP_MAX_QUEUE_SIZE="10").max_batch_spans == 10


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://collector"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http:///v1"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "gamma"),
    ],
)
def test_a_bad_value_is_told_and_the_default_is_used(variable: str, value: str) -> None:
    read = settings(**{variable: value})

    assert read.warnings
    assert all(variable in warning for warning in read.warnings)
    assert (read.traces.url, read.traces.compression, read.traces.timeout_ms) == (
        "http://127.0.0.1:4318/v1/traces",
        "none",
        10_000,
    )


def test_a_password_in_a_bad_address_is_not_repeated() -> None:
    assert "secret" not in "".join(settings(OTEL_EXPORTER_OTLP_ENDPOINT="me:secret@collector").warnings)
