"""No value of any of OpenTelemetry's variables ends the telemetry, or the function: a span arrives
all the same.
"""

from __future__ import annotations

import time

import opentelemetry.environment_variables
import opentelemetry.sdk.environment_variables
import pytest

from tests.extension.extension_process import Extension, invoke_once, reply
from tests.proxy.wire import NEXT
from tests.telemetry.otlp_collector import Collector

# The specification's ("Environment Variable Specification", "OTLP Exporter", "Declarative
# configuration"), whether we read them or not.
GENERAL = (
    *(
        "OTEL_SDK_DISABLED",
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_SERVICE_NAME",
        "OTEL_LOG_LEVEL",
        "OTEL_PROPAGATORS",
    ),
    *(
        "OTEL_TRACES_SAMPLER",
        "OTEL_TRACES_SAMPLER_ARG",
        "OTEL_CONFIG_FILE",
        "OTEL_EXPERIMENTAL_CONFIG_FILE",
    ),
    *(f"OTEL_{signal}_EXPORTER" for signal in ("TRACES", "METRICS", "LOGS")),
    *("OTEL_METRICS_EXEMPLAR_FILTER", "OTEL_METRIC_EXPORT_INTERVAL", "OTEL_METRIC_EXPORT_TIMEOUT"),
    *("OTEL_ENTITIES", "OTEL_SEMCONV_STABILITY_OPT_IN", "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN"),
    "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS",
)
BATCHING = tuple(
    f"OTEL_{processor}_{name}"
    for processor in ("BSP", "BLRP")
    for name in ("SCHEDULE_DELAY", "EXPORT_TIMEOUT", "MAX_QUEUE_SIZE", "MAX_EXPORT_BATCH_SIZE")
)
LIMITS = (
    *(
        f"OTEL_{what}_{name}"
        for what in ("ATTRIBUTE", "SPAN_ATTRIBUTE", "LOGRECORD_ATTRIBUTE")
        for name in ("VALUE_LENGTH_LIMIT", "COUNT_LIMIT")
    ),
    *("OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT"),
    *("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT"),
)
OTLP = (
    *(
        f"OTEL_EXPORTER_OTLP_{signal}{name}"
        for signal in ("", "TRACES_", "METRICS_", "LOGS_")
        for name in (
            *(
                "ENDPOINT",
                "INSECURE",
                "SPAN_INSECURE",
                "METRIC_INSECURE",
                "CERTIFICATE",
                "CLIENT_KEY",
            ),
            *("CLIENT_CERTIFICATE", "HEADERS", "COMPRESSION", "TIMEOUT", "PROTOCOL"),
        )
    ),
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
)
OTHER_EXPORTERS = (
    *(
        "OTEL_EXPORTER_ZIPKIN_ENDPOINT",
        "OTEL_EXPORTER_ZIPKIN_TIMEOUT",
        "OTEL_EXPORTER_ZIPKIN_PROTOCOL",
    ),
    *("OTEL_EXPORTER_PROMETHEUS_HOST", "OTEL_EXPORTER_PROMETHEUS_PORT"),
)
SDK = tuple(
    value
    for module in (opentelemetry.environment_variables, opentelemetry.sdk.environment_variables)
    for value in vars(module).values()
    if isinstance(value, str) and value.startswith("OTEL_")
)
NAMES = tuple(dict.fromkeys((*GENERAL, *BATCHING, *LIMITS, *OTLP, *OTHER_EXPORTERS, *SDK)))
COMMON_ENDPOINT = ("OTEL_EXPORTER_OTLP_ENDPOINT",)
EVERYTHING = {"spans", "metrics"}
OWN_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")

# A word, no number that counts anything, more than any number, other alphabets, bytes that are no
# text, and a list of everything that is malformed.
VALUES = (
    "banana",
    "-1",
    "0",
    "9" * 400,
    "nan",
    "\u0661\u0662",
    "\x01\udcff\t",
    ",=,a=%zz,b;=\x7f,%ff=%ff,[::1",
    "${HOME}",
)


def signals_that_arrive(
    variables: dict[str, str], endpoints: tuple[str, ...]
) -> tuple[set[str], str]:
    """Which signals come after one invocation and SHUTDOWN, with these variables but for
    `endpoints`; what is printed.
    """
    with Collector() as collector:
        paths = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "/v1/traces",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "/v1/metrics",
        }
        ours = {name: collector.url + paths.get(name, "") for name in endpoints}
        extension = Extension(**(variables | ours))
        try:
            api = extension.register()
            runtime = extension.connect().send(NEXT)
            invoke_once(runtime, extension.api.accept())
            deadline_ms = int(time.time() * 1_000) + 30_000
            api.send(
                reply(
                    {
                        "eventType": "SHUTDOWN",
                        "shutdownReason": "spindown",
                        "deadlineMs": deadline_ms,
                    }
                )
            )
            status, errors = extension.end()
        finally:
            extension.close()
        assert status == 0, errors
        posts = collector.received()
    spans = [
        span
        for sent in posts
        if sent.path.endswith("/v1/traces")
        for resource in sent.traces().resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert len(spans) <= 1
    metrics = {
        sent.path
        for sent in posts
        if sent.path.endswith("/v1/metrics") and sent.metrics().resource_metrics
    }
    return ({"spans"} if spans else set()) | ({"metrics"} if metrics else set()), errors.decode(
        "utf-8", "replace"
    )


def guilty(value: str, endpoints: tuple[str, ...]) -> str:
    """One of the variables that let less than everything arrive."""
    suspects = NAMES
    while len(suspects) > 1:
        half = suspects[: len(suspects) // 2]
        innocent = signals_that_arrive(dict.fromkeys(half, value), endpoints)[0] == EVERYTHING
        suspects = suspects[len(half) :] if innocent else half
    return suspects[0]


@pytest.mark.parametrize("endpoints", [COMMON_ENDPOINT, OWN_ENDPOINTS], ids=["common", "own"])
@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_a_span_arrives_whatever_is_in_the_variables(
    value: str, endpoints: tuple[str, ...]
) -> None:
    arrived, errors = signals_that_arrive(dict.fromkeys(NAMES, value), endpoints)

    if arrived != EVERYTHING:
        pytest.fail(
            f"{guilty(value, endpoints)}={value!r}: only {sorted(arrived)} arrive; printed was {errors}"
        )


# What is read, and cannot be a banana.
TOLD_OF_A_BANANA = {
    *("OTEL_SDK_DISABLED", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_PROPAGATORS", "OTEL_TRACES_SAMPLER"),
    *("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_METRICS_EXEMPLAR_FILTER"),
    *(
        "OTEL_METRIC_EXPORT_INTERVAL",
        "OTEL_METRIC_EXPORT_TIMEOUT",
        *BATCHING[:4],
        *LIMITS[:4],
        *LIMITS[6:],
    ),
    *(
        f"OTEL_EXPORTER_OTLP_{signal}{name}"
        # Those of logs are read only if logs are sent: tests/telemetry/test_telemetry_settings.py
        for signal in ("", "TRACES_", "METRICS_")
        for name in ("ENDPOINT", "COMPRESSION", "TIMEOUT", "PROTOCOL")
    ),
    # of a signal's own headers, the common ones are not read
    *(f"OTEL_EXPORTER_OTLP_{signal}_HEADERS" for signal in ("TRACES", "METRICS")),
    *(
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
    ),
}


def test_each_variable_that_is_read_and_cannot_be_used_is_told_once() -> None:
    _, errors = signals_that_arrive(dict.fromkeys(NAMES, "banana"), OWN_ENDPOINTS)

    lines = [line.removeprefix("lrap-otel: warning: ") for line in errors.splitlines()]
    told = [line.replace(":", " ").replace("=", " ").split(" ")[0] for line in lines]
    assert {
        name: told.count(name) for name in TOLD_OF_A_BANANA - set(OWN_ENDPOINTS)
    } == dict.fromkeys(TOLD_OF_A_BANANA - set(OWN_ENDPOINTS), 1)
    assert set(told) - TOLD_OF_A_BANANA == {"set"}  # for others, and not used: one line


def test_the_sampler_has_one_warning_for_both_processes() -> None:
    arrived, errors = signals_that_arrive(
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "-1"}, COMMON_ENDPOINT
    )

    assert "spans" in arrived
    assert errors.count("OTEL_TRACES_SAMPLER_ARG") == 1


def test_a_ratio_without_an_argument_is_nothing_to_warn_of() -> None:
    assert signals_that_arrive({"OTEL_TRACES_SAMPLER": "traceidratio"}, COMMON_ENDPOINT) == (
        EVERYTHING,
        "",
    )
