"""What variables alone say about whether telemetry will arrive; the extension says it at the level
info.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.telemetry.url import is_loopback
from lrap_otel.telemetry.variable_checks import (
    ERROR,
    NOTE,
    WARNING,
    check_settings,
    check_variables,
    check_wrapper,
    is_public,
)
from tests.ports import free_port
from tests.test_boot import REGISTERED, wait_for
from tests.upstream import Upstream

ROOT = Path(__file__).parents[1]
OURS = "/opt/lrap-otel/wrapper"
COMMON, TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
METRICS = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"


def encoded(variables: dict[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in variables.items()}


def severities(variables: dict[str, str], check: str) -> set[str]:
    """Of the findings of this check, when the wrapper is ours unless the variables say
    otherwise.
    """
    found = check_variables(encoded({"AWS_LAMBDA_EXEC_WRAPPER": OURS, **variables}))
    return {finding.severity for finding in found if finding.check == check}


XRAY = "https://xray.eu-west-1.amazonaws.com"
SECRET = "${arn:aws:secretsmanager:eu-west-1:123456789012:secret:name-AbCdEf:key::}"
HEADERS, PROTOCOL = "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_PROTOCOL"
WEB_ADAPTER = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap"}
PROXY = "AWS_LWA_LAMBDA_RUNTIME_API_PROXY"

# The check, its severity, variables that it finds, and the nearest ones that it does not.
CASES = [
    ("no-wrapper", ERROR, {"AWS_LAMBDA_EXEC_WRAPPER": ""}, {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper"}),
    ("other-wrapper", ERROR, {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/datadog_wrapper"}, {"LRAP_NEXT_WRAPPER": "/opt/datadog_wrapper"}),
    ("other-wrapper", WARNING, {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/start.sh"}, {"AWS_LAMBDA_EXEC_WRAPPER": OURS}),
    ("other-wrapper", WARNING, {"AWS_LAMBDA_EXEC_WRAPPER": "/src/wrapper"}, {"AWS_LAMBDA_EXEC_WRAPPER": "/src/opt/wrapper"}),
    ("other-wrapper", WARNING, {"AWS_LAMBDA_EXEC_WRAPPER": "/src/wrapper"}, {"AWS_LAMBDA_EXEC_WRAPPER": "/x/lrap-otel/wrapper"}),
    ("next-wrapper", WARNING, {"LRAP_NEXT_WRAPPER": OURS}, {"LRAP_NEXT_WRAPPER": "/opt/otel-handler"}),
    ("web-adapter", ERROR, WEB_ADAPTER, {**WEB_ADAPTER, PROXY: "127.0.0.1:9009"}),
    ("web-adapter", ERROR, {**WEB_ADAPTER, PROXY: "127.0.0.1:9002"}, {**WEB_ADAPTER, PROXY: "127.0.0.1:9002", "LRAP_LISTENER_PORT": "9002"}),
    ("port-of-another", WARNING, {"LRAP_LISTENER_PORT": "2773"}, {"LRAP_LISTENER_PORT": "2774"}),
    ("port-of-another", WARNING, {"LRAP_LISTENER_PORT": "8000", "PORT": "8000"}, {"LRAP_LISTENER_PORT": "8000", "PORT": "8001"}),
    ("switched-off", WARNING, {"LRAP_ENABLED": "no"}, {"LRAP_ENABLED": "yes"}),
    ("switched-off", WARNING, {"OTEL_SDK_DISABLED": "true"}, {"OTEL_SDK_DISABLED": "false"}),
    ("no-traces", NOTE, {"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_METRICS_EXPORTER": "none"}),
    ("no-traces", WARNING, {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}, {}),
    ("no-traces", WARNING, {"OTEL_TRACES_SAMPLER": "always_off"}, {"OTEL_TRACES_SAMPLER": "always_on"}),
    ("grpc-port", WARNING, {COMMON: "http://127.0.0.1:4317"}, {COMMON: "http://127.0.0.1:4318"}),
    ("http-for-https", ERROR, {COMMON: "http://collector.example:443"}, {COMMON: "https://collector.example:443"}),
    ("http-for-https", ERROR, {COMMON: "http://api.honeycomb.io"}, {COMMON: "https://api.honeycomb.io"}),
    ("http-for-https", ERROR, {COMMON: "http://otlp.nr-data.net:4318"}, {COMMON: "http://nr-data.net.internal:4318"}),
    ("https-for-http", ERROR, {COMMON: "https://collector.example:80"}, {COMMON: "http://collector.internal:80"}),
    ("https-for-http", WARNING, {COMMON: "https://localhost:4318"}, {COMMON: "http://localhost:4318"}),
    ("https-for-http", NOTE, {COMMON: "https://collector.example:4318"}, {COMMON: "https://collector.example"}),
    ("plain-http", WARNING, {COMMON: "http://collector.example:4318"}, {COMMON: "http://10.1.2.3:4318"}),
    ("plain-http", WARNING, {COMMON: "http://203.0.113.9:4318"}, {COMMON: "http://[fd00::1]:4318"}),
    ("no-port", NOTE, {COMMON: "http://collector.internal"}, {COMMON: "http://collector.internal:4318"}),
    ("path", ERROR, {COMMON: "http://c.internal:4318/v1/traces"}, {COMMON: "http://c.internal:4318/otlp/"}),
    ("path", ERROR, {TRACES: "http://c.internal:4318/v1/metrics"}, {TRACES: "http://c.internal:4318/v1/traces"}),
    ("path", WARNING, {METRICS: "http://c.internal:4318"}, {METRICS: "http://c.internal:4318/v1/metrics"}),
    ("aws-endpoint", ERROR, {COMMON: XRAY}, {TRACES: f"{XRAY}/v1/traces"}),
    ("aws-endpoint", ERROR, {COMMON: XRAY}, {COMMON: XRAY, "LRAP_EXPORT": "aws", "AWS_REGION": "eu-west-1"}),
    ("aws-endpoint", ERROR, {METRICS: f"{XRAY}/v1/metrics"}, {METRICS: "https://monitoring.eu-west-1.amazonaws.com/v1/metrics"}),
    ("aws-endpoint", ERROR, {TRACES: "https://vpce-0a-b.logs-fips.us-east-1.vpce.amazonaws.com/v1/traces"}, {TRACES: "https://xray-fips.us-east-1.amazonaws.com/v1/traces"}),
    ("aws-endpoint", ERROR, {TRACES: f"{XRAY}/v1/traces", PROTOCOL: "grpc"}, {TRACES: f"{XRAY}/v1/traces", PROTOCOL: "http/json"}),
    ("grpc-secrets", ERROR, {HEADERS: f"k={SECRET}", PROTOCOL: "grpc"}, {HEADERS: f"k={SECRET}"}),
    ("grpc-secrets", ERROR, {TRACES: SECRET, PROTOCOL: "grpc"}, {TRACES: SECRET}),
    ("aws-endpoint", ERROR, {COMMON: "https://monitoring.cn-north-1.amazonaws.com.cn"}, {COMMON: "https://s3.amazonaws.com"}),
]  # fmt: skip


@pytest.mark.parametrize(("check", "severity", "variables", "_sound"), CASES)
def test_what_keeps_telemetry_from_arriving_is_found(
    check: str, severity: str, variables: dict[str, str], _sound: object
) -> None:
    assert severities(variables, check) == {severity}


@pytest.mark.parametrize(("check", "_severity", "_found", "variables"), CASES)
def test_what_is_right_is_not_found(
    check: str, _severity: str, _found: object, variables: dict[str, str]
) -> None:
    assert severities(variables, check) == set()


def test_a_function_that_is_well_set_up_gives_no_findings() -> None:
    variables = {
        "AWS_LAMBDA_EXEC_WRAPPER": OURS,
        "LRAP_NEXT_WRAPPER": "/opt/datadog_wrapper",
        COMMON: "https://api.honeycomb.io",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-honeycomb-team=secret",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.1",
    }
    assert check_variables(encoded(variables)) == []


def test_another_layers_wrapper_is_named_with_its_owner_and_the_two_variables_to_set() -> None:
    (finding,) = check_wrapper({b"AWS_LAMBDA_EXEC_WRAPPER": b"/opt/otel-instrument"})
    assert "/opt/otel-instrument of the AWS Distro for OpenTelemetry" in finding.what
    assert (
        f"Set AWS_LAMBDA_EXEC_WRAPPER={OURS} and LRAP_NEXT_WRAPPER=/opt/otel-instrument"
        in finding.remedy
    )


def test_an_endpoint_is_shown_without_credentials_and_query_and_once_for_both_signals() -> None:
    (finding,) = check_settings(
        {COMMON.encode(): b"http://me:s3cret@collector.example:4318/p4th?key=s3cret"}
    )
    assert finding.what.startswith(f"{COMMON}: http://collector.example:4318 is a public host")
    assert "s3cret" not in str(finding)


def test_what_is_not_known_yet_is_not_found() -> None:
    variables = encoded({COMMON: "http://collector.example:4318"})
    assert check_settings(variables, {TRACES, METRICS}) == []
    assert [finding.check for finding in check_settings(variables, {TRACES})] == ["plain-http"]
    assert check_settings(variables, {COMMON}) == []


def test_an_endpoint_that_is_none_is_left_to_the_settings_warning() -> None:
    assert check_settings(encoded({COMMON: "collector.example:443"})) == []


@pytest.mark.parametrize(
    ("host", "loopback", "public"),
    [
        ("127.0.0.1", True, False),
        ("127.9.9.9", True, False),
        ("::1", True, False),
        ("localhost", True, False),
        ("collector", False, False),
        ("otel.svc.cluster.local", False, False),
        ("172.16.0.1", False, False),
        ("172.32.0.1", False, True),
        ("100.64.0.1", False, False),
        ("169.254.1.1", False, False),
        ("fe80::1", False, False),
        ("2001:db8::1", False, True),
        ("collector.example", False, True),
        ("notinternal", False, False),
        ("a.notinternal", False, True),
    ],
)
def test_where_a_host_lies_by_its_name(host: str, loopback: bool, public: bool) -> None:
    assert (is_loopback(host), is_public(host)) == (loopback, public)


VALUES = st.one_of(
    st.binary(max_size=60).map(lambda value: value.replace(b"\0", b"")),
    st.sampled_from([b"http://", b"http://[::1", b"https://@:443/", b"http://a:b@h:1?x", b"/opt/" + b"w" * 500, b"none"]),
    st.sampled_from([SECRET.encode(), f"k={SECRET}".encode(), f"{SECRET}/x".encode(), b"${arn:", XRAY.encode(), b"grpc", b"aws", b"eu-west-1", b"console"]),
)  # fmt: skip
NAMES = [
    "AWS_LAMBDA_EXEC_WRAPPER",
    "LRAP_NEXT_WRAPPER",
    "LRAP_LISTENER_PORT",
    "LRAP_ENABLED",
    "OTEL_TRACES_EXPORTER",
    "OTEL_TRACES_SAMPLER",
    PROXY,
    "PORT",
    COMMON,
    TRACES,
    METRICS,
    HEADERS,
    PROTOCOL,
    "LRAP_EXPORT",
    "AWS_REGION",
]


@given(st.dictionaries(st.sampled_from([name.encode() for name in NAMES]), VALUES))
def test_no_variables_make_the_checks_raise_or_write_what_is_no_line(
    variables: dict[bytes, bytes],
) -> None:
    for finding in check_variables(variables):
        assert finding.what.isprintable()
        assert finding.remedy.isprintable()
        assert len(str(finding)) < 700


# Registers, then ends when Lambda refuses its next call.
EXTENSION = """
import sys
sys.path.insert(0, sys.argv[1])
from lrap_otel.boot import main
main("/opt/extensions/lrap-otel", "")
"""


def run_extension(level: str, **variables: str) -> str:
    """Its lines, and those of ``-X importtime``, from start to SHUTDOWN."""
    api = Upstream()
    environment = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.port}",
        "LRAP_LISTENER_PORT": str(free_port()),
        "LRAP_LOG_LEVEL": level,
        **variables,
    }
    command = [sys.executable, "-I", "-S", "-X", "importtime", "-c", EXTENSION, str(ROOT)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        lambda_side = api.accept()
        lambda_side.read_message()
        lambda_side.send(REGISTERED)
        lambda_side.read_head()
        event = b'{"eventType":"SHUTDOWN","shutdownReason":"spindown","deadlineMs":1}'
        lambda_side.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(event), event))
        _, errors = process.communicate(timeout=30)
    api.close()
    wait_for(lambda: process.returncode is not None or process.poll() is not None)
    return errors.decode()


def test_the_extension_says_it_at_the_level_info() -> None:
    lines = run_extension("info", **{COMMON: "http://me:s3cret@203.0.113.9:4318"})
    assert "lrap-otel: info: AWS_LAMBDA_EXEC_WRAPPER is not set" in lines
    assert f"lrap-otel: info: {COMMON}: http://203.0.113.9:4318 is a public host" in lines
    assert "s3cret" not in lines


def test_the_extension_says_nothing_of_it_at_the_level_warning_and_does_not_load_it() -> None:
    lines = run_extension("warning", **{COMMON: "http://203.0.113.9:4318"})
    assert "lrap_otel.proxy_process" in lines
    assert "variable_checks" not in lines
    assert "is a public host" not in lines


def test_a_function_that_is_well_set_up_has_no_such_line() -> None:
    lines = run_extension("info", AWS_LAMBDA_EXEC_WRAPPER=OURS)
    assert "lrap_otel.telemetry.variable_checks" in lines
    assert [
        line
        for line in lines.splitlines()
        if "info" in line and ("Set " in line or "Write " in line)
    ] == []
