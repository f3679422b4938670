"""The variables of the export, their defaults and what happens to a bad one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.ipc import records
from lrap_otel.propagation.sampling import Sampler
from lrap_otel.telemetry.settings import ExportSettings
from tests.telemetry.telemetry_thread import spans_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.telemetry.otlp_collector import Collector
    from tests.telemetry.telemetry_thread import Telemetry


class _Recorder(dict[bytes, bytes]):
    """No variable is set, and every name that is asked for is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def get(self, name: bytes, default: bytes | None = None) -> Any:
        self.asked.add(name.decode())
        return default


_recorder = _Recorder()
ExportSettings(_recorder)
READ = sorted(_recorder.asked)


def settings(**variables: str) -> ExportSettings:
    return ExportSettings({name.encode(): value.encode() for name, value in variables.items()})


def test_defaults() -> None:
    read = settings()

    assert (read.traces.url, read.metrics.url) == (
        "http://127.0.0.1:4318/v1/traces",
        "http://127.0.0.1:4318/v1/metrics",
    )
    assert (read.traces.timeout_ms, read.traces.compression, read.traces.enabled) == (
        10_000,
        "none",
        True,
    )
    assert (read.max_queue_spans, read.max_batch_spans, read.schedule_delay_ms) == (
        2_048,
        512,
        5_000,
    )
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
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:99999"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:0"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:port"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[colon]:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1]4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a[b@collector"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a b:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector/a\x01b"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector/\u00fc"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/thrift"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "json"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "-1"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1_000"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "\u0661"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "banana"),
        ("OTEL_TRACES_EXPORTER", "a b"),
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
    assert "secret" not in "".join(
        settings(OTEL_EXPORTER_OTLP_ENDPOINT="me:secret@collector").warnings
    )


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        ("http://collector:4318/otlp/", "http://collector:4318/otlp/v1/traces"),
        ("http://collector?x=1", "http://collector/v1/traces?x=1"),
        ("http://collector/?x=1&y=/2", "http://collector/v1/traces?x=1&y=/2"),
        ("https://me:p@collector/otlp?x=1", "https://me:p@collector/otlp/v1/traces?x=1"),
        ("HTTP://[::1]:4318/otlp", "HTTP://[::1]:4318/otlp/v1/traces"),
        ("http://[::1]", "http://[::1]/v1/traces"),
        ("http://collector:", "http://collector:/v1/traces"),
    ],
)
def test_the_signals_path_comes_after_the_endpoints_and_before_its_query(
    endpoint: str, url: str
) -> None:
    read = settings(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)

    assert (read.traces.url, read.warnings) == (url, [])
    assert settings(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=endpoint).traces.url == endpoint


def test_a_fragment_is_left_out_and_told() -> None:
    read = settings(OTEL_EXPORTER_OTLP_ENDPOINT="http://collector/otlp?x=1#me:secret")

    assert read.traces.url == "http://collector/otlp/v1/traces?x=1"
    (warning,) = read.warnings
    assert "fragment" in warning
    assert "secret" not in warning


@pytest.mark.parametrize(
    ("name", "common", "own", "value"),
    [
        ("ENDPOINT", "http://collector", "collector", "http://collector/v1/traces"),
        ("TIMEOUT", "7000", "soon", 7_000),
        ("COMPRESSION", "gzip", "zstd", "gzip"),
    ],
)
def test_a_signals_own_value_that_cannot_be_used_leaves_the_common_one(
    name: str, common: str, own: str, value: object
) -> None:
    read = settings(
        **{f"OTEL_EXPORTER_OTLP_{name}": common, f"OTEL_EXPORTER_OTLP_TRACES_{name}": own}
    )

    attribute = {"ENDPOINT": "url", "TIMEOUT": "timeout_ms", "COMPRESSION": "compression"}[name]
    assert getattr(read.traces, attribute) == value
    (warning,) = read.warnings
    assert warning.startswith(f"OTEL_EXPORTER_OTLP_TRACES_{name}")


def test_a_time_out_of_zero_is_none_that_an_invocation_could_reach() -> None:
    read = settings(
        OTEL_EXPORTER_OTLP_TIMEOUT="0", OTEL_BSP_EXPORT_TIMEOUT="0", OTEL_METRIC_EXPORT_TIMEOUT="0"
    )

    assert (read.traces.timeout_ms, read.metrics.timeout_ms, read.export_timeout_ms) == (
        5_400_000,
    ) * 3
    assert read.warnings == []


def test_an_attempt_for_metrics_has_the_shorter_of_its_two_limits() -> None:
    read = settings(OTEL_METRIC_EXPORT_TIMEOUT="250")

    assert (read.traces.timeout_ms, read.metrics.timeout_ms) == (10_000, 250)


def test_limits_of_events_and_links_are_read() -> None:
    read = settings(
        OTEL_ATTRIBUTE_COUNT_LIMIT="9",
        OTEL_SPAN_EVENT_COUNT_LIMIT="1",
        OTEL_SPAN_LINK_COUNT_LIMIT="2",
        OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT="3",
        OTEL_LINK_ATTRIBUTE_COUNT_LIMIT="4",
    )

    assert (read.max_attributes, read.max_events, read.max_links) == (9, 1, 2)
    assert (read.max_event_attributes, read.max_link_attributes) == (3, 4)
    assert settings(OTEL_ATTRIBUTE_COUNT_LIMIT="9").max_link_attributes == 9


@pytest.mark.parametrize("value", ["-1", "many", "0", "1e3"])
def test_a_length_limit_that_cannot_be_used_is_said_to_be_none(value: str) -> None:
    read = settings(OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT=value)

    assert read.max_attribute_length == 0
    assert read.warnings == [
        f"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT={value!r} cannot be used; no limit is used instead"
    ]
    both = settings(
        OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT="30", OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT=value
    )
    assert both.max_attribute_length == 30
    assert both.warnings == [
        f"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT={value!r} cannot be used; 30 is used instead"
    ]


def test_header_fields_that_would_break_the_request_are_left_out_and_told_without_their_values() -> (
    None
):
    read = settings(
        OTEL_EXPORTER_OTLP_HEADERS=(
            "api-key=a%20b,,hunter1,=hunter2,a b=hunter3,x:y=hunter4,evil=a%0D%0Ahunter5,nul=%00hunter6,"
            "Host=hunter7,content-length=8,Transfer-Encoding=hunter9,connection=hunter10,%C3%BC=hunter11,bad=%FFhunter12,"
            "tab=a%09b,obs=%C3%BC,API-Key=mine"
        )
    )

    assert (
        read.traces.headers
        == read.metrics.headers
        == {"tab": "a\tb", "obs": "\u00fc", "API-Key": "mine"}
    )
    assert [warning.partition(" ")[2].partition(";")[0] for warning in read.warnings] == [
        "entry 2 has no = (a comma in a value is written %2C)",
        "entry 3 has no name",
        "entry 4 has a name that is no header field's",
        "entry 5 has a name that is no header field's",
        "entry 6 (evil) has a control character in its value",
        "entry 7 (nul) has a control character in its value",
        "entry 8 (Host) is written by the client itself",
        "entry 9 (content-length) is written by the client itself",
        "entry 10 (Transfer-Encoding) is written by the client itself",
        "entry 11 (connection) is written by the client itself",
        "entry 12 has a name that is no header field's",
        "entry 13 is not UTF-8 once it is decoded",
    ]
    assert "hunter" not in "".join(read.warnings)


def test_percent_signs_that_encode_nothing_stand_for_themselves() -> None:
    read = settings(OTEL_RESOURCE_ATTRIBUTES="a=100%,b=%zz,c=%2,d=%41%e2%82%ac,%65=f,g=%2C%3D")

    assert read.resource_attributes == {
        "a": "100%",
        "b": "%zz",
        "c": "%2",
        "d": "A\u20ac",
        "e": "f",
        "g": ",=",
    }
    assert read.warnings == []


@given(st.dictionaries(st.sampled_from(READ), st.binary(max_size=40)))
def test_no_bytes_in_a_variable_raise(variables: dict[str, bytes]) -> None:
    read = ExportSettings({name.encode(): value for name, value in variables.items()})

    assert read.traces.timeout_ms > 0
    assert read.metrics.url.lower().startswith(("http://", "https://"))


@pytest.mark.parametrize(
    ("argument", "count"), [("-1", 1), ("nan", 1), ("abc", 1), ("", 1), ("1", 1), ("0", 0)]
)
def test_a_failed_init_is_sampled_as_an_invocation_is(
    start: Callable[..., Telemetry], collector: Collector, argument: str, count: int
) -> None:
    telemetry = start(
        collector, OTEL_TRACES_SAMPLER="traceidratio", OTEL_TRACES_SAMPLER_ARG=argument
    )
    telemetry.offer((records.init_error(1, 4), b"\r\n\r\n{}"))

    assert telemetry.flush()
    assert (
        len(spans_of(collector))
        == count
        == Sampler("traceidratio", argument).decide(None, "7" * 32)
    )


@given(
    st.lists(
        st.sampled_from([*"[]:@/?%\\.-_~!1a", "::1", "4318", "host", "v1", "65536"]), max_size=8
    ).map("".join)
)
def test_whatever_is_taken_as_an_address_is_one_to_pythons_own_parser(rest: str) -> None:
    read = settings(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"http://{rest}")

    parts = urlsplit(read.traces.url)
    assert parts.hostname
    assert parts.port is None or 0 < parts.port < 65_536
    assert read.warnings or read.traces.url == f"http://{rest}"


@pytest.mark.parametrize(("asked", "is_told"), [("", False), ("none", False), ("otlp", True)])
def test_what_only_concerns_logs_is_told_if_they_are_sent(asked: str, is_told: bool) -> None:
    read = ExportSettings(
        {b"OTEL_LOGS_EXPORTER": asked.encode(), b"OTEL_EXPORTER_OTLP_LOGS_TIMEOUT": b"soon"}
    )
    assert [warning.partition("=")[0] for warning in read.warnings] == [
        "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT"
    ] * is_told
    assert read.logs.enabled == is_told
