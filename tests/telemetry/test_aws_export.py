"""AWS without a collector: an endpoint of AWS's is signed, and what AWS refuses is explained."""

from __future__ import annotations

import json
import ssl
from typing import TYPE_CHECKING

import pytest

from lrap_otel.ipc import records
from lrap_otel.telemetry.settings import ExportSettings
from tests.telemetry.aws_stand_in import (
    CREDENTIALS,
    KEYS,
    REGION,
    AwsStandIn,
    CredentialsServer,
    credentials_json,
)
from tests.telemetry.otlp_collector import reply
from tests.telemetry.platform_events import line
from tests.telemetry.proxy_records import delivered, finished, invocations
from tests.telemetry.telemetry_thread import EVERY_FLUSH, plain, spans_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.telemetry.telemetry_thread import Telemetry

    Start = Callable[..., Telemetry]

XRAY = f"https://xray.{REGION}.amazonaws.com/v1/traces"
MONITORING = f"https://monitoring.{REGION}.amazonaws.com/v1/metrics"
TO_XRAY = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": XRAY, "OTEL_METRICS_EXPORTER": "none"}
FAR = "2999-01-01T00:00:00Z"
OTHERS = ("AKIDOTHER", "other/secret/key", "another-session-token")


@pytest.fixture
def aws(certified: Callable[[str], Path]) -> AwsStandIn:
    path = certified(f"DNS:*.{REGION}.amazonaws.com")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    stand_in = AwsStandIn(context)
    CREDENTIALS["OTEL_EXPORTER_OTLP_CERTIFICATE"] = str(path)
    return stand_in


@pytest.fixture
def leading(aws: AwsStandIn) -> Iterator[dict[str, str]]:
    with aws.serving() as variables:
        yield variables


@pytest.fixture
def server() -> CredentialsServer:
    return CredentialsServer()


@pytest.mark.parametrize(
    "more",
    [{}, {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}],
)
def test_xray_takes_what_an_endpoint_of_awss_alone_asks_for(
    start: Start, aws: AwsStandIn, leading: dict[str, str], more: dict[str, str]
) -> None:
    telemetry = start(**leading, **TO_XRAY, **more)
    telemetry.offer(*invocations(2))

    assert telemetry.flush(), telemetry.warnings
    post = aws.collector.next("/v1/traces")
    assert post.fields["host"] == f"xray.{REGION}.amazonaws.com"
    assert post.fields["authorization"].startswith(f"AWS4-HMAC-SHA256 Credential={KEYS[0]}/")
    assert telemetry.warnings == []


def test_export_aws_sends_traces_to_xray_and_metrics_only_if_they_are_asked_for(
    start: Start, aws: AwsStandIn, leading: dict[str, str]
) -> None:
    telemetry = start(
        **leading, LRAP_EXPORT="aws", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1"
    )
    telemetry.offer(*invocations(1))
    assert telemetry.flush(), telemetry.warnings
    assert telemetry.shutdown()

    assert [post.fields["host"] for post in aws.collector.received()] == [
        f"xray.{REGION}.amazonaws.com"
    ]


def test_metrics_go_to_aws_once_a_minute_at_most_and_none_is_lost(
    start: Start, aws: AwsStandIn, leading: dict[str, str]
) -> None:
    telemetry = start(**leading, **EVERY_FLUSH, LRAP_EXPORT="aws", OTEL_METRICS_EXPORTER="otlp")
    for number in range(1, 5):
        telemetry.offer(*invocations(number))
        assert telemetry.flush(), telemetry.warnings
    assert aws.collector.received("/v1/metrics") == []
    assert telemetry.shutdown()

    (post,) = aws.collector.received("/v1/metrics")
    assert post.fields["host"] == f"monitoring.{REGION}.amazonaws.com"
    counted = [
        point.as_int
        for each in post.metrics().resource_metrics
        for scope in each.scope_metrics
        for metric in scope.metrics
        if metric.name == "faas.invocations"
        for point in metric.sum.data_points
    ]
    assert sum(counted) == 4


def test_logs_go_to_aws_where_they_are_on(
    start_hearing: Start, aws: AwsStandIn, leading: dict[str, str]
) -> None:
    headers = {
        "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "x-aws-log-group=/orders,x-aws-log-stream=default"
    }
    telemetry = start_hearing(**leading, **headers, LRAP_EXPORT="aws", OTEL_LOGS_EXPORTER="otlp")
    telemetry.tell(line("hello"))
    telemetry.offer(*invocations(1))
    assert telemetry.shutdown(), telemetry.warnings

    (post,) = aws.collector.received("/v1/logs")
    assert post.fields["host"] == f"logs.{REGION}.amazonaws.com"
    assert post.logs().resource_logs[0].scope_logs[0].log_records[0].body.string_value == "hello"
    assert telemetry.warnings == []


def test_without_a_group_and_a_stream_logs_are_not_sent_and_it_is_said_why(
    start_hearing: Start, aws: AwsStandIn, leading: dict[str, str]
) -> None:
    telemetry = start_hearing(**leading, LRAP_EXPORT="aws", OTEL_LOGS_EXPORTER="otlp")
    telemetry.tell(line("hello"))
    telemetry.offer(*invocations(1))
    assert telemetry.shutdown()

    assert [post.path for post in aws.collector.received()] == ["/v1/traces"]
    assert (
        "logs cannot be exported with these settings: AWS takes logs with" in telemetry.warnings[0]
    )


@pytest.mark.parametrize(
    ("status", "body", "said", "is_kept"),
    [
        (
            403,
            b'{"message":"User: arn:aws:sts::1:assumed-role/r is not authorized to perform: xray:PutSpans"}',
            '{"Effect":"Allow","Action":["xray:PutTraceSegments","xray:PutSpans","xray:PutSpansForIndexing"],"Resource":"*"}',
            False,
        ),
        (
            400,
            b'{"message":"The OTLP API is supported with CloudWatch Logs as a Trace Segment Destination."}',
            "aws xray update-trace-segment-destination --destination CloudWatchLogs",
            False,
        ),
        (400, b"Transaction Search is not enabled", "update-trace-segment-destination", False),
        (413, b"", "a request may have 5 MB and 10,000 spans, a span 200 KB", False),
        (429, b"Rate exceeded", "OTEL_TRACES_SAMPLER", True),
        (
            403,
            b'{"message":"Signature expired: 20261130T100000Z is now earlier than"}',
            "signed anew",
            True,
        ),
        (
            403,
            b"The security token included in the request is expired",
            "the credentials have expired",
            False,
        ),
        (403, b"SignatureDoesNotMatch", "a proxy changes requests", False),
    ],
)
def test_an_answer_that_people_get_wrong_says_what_to_do(
    start: Start,
    aws: AwsStandIn,
    leading: dict[str, str],
    status: int,
    body: bytes,
    said: str,
    is_kept: bool,
) -> None:
    aws.answers = [reply(status, body)]
    telemetry = start(**leading, **TO_XRAY)
    telemetry.offer(*invocations(1))
    assert not telemetry.flush()

    (warning,) = telemetry.warnings
    assert said in warning
    assert f"{XRAY}: it answered {status}" in warning
    assert "\n" not in warning
    aws.answers = []
    telemetry.flush_until_sent()
    assert len(spans_of(aws.collector)) == 1 + is_kept  # the refused request's, and once more


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": XRAY}, f"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT={XRAY}"),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": XRAY.removesuffix("/v1/traces")},
            f"xray takes traces alone, and at /v1/traces; set OTEL_EXPORTER_OTLP_TRACES_ENDPOINT={XRAY}",
        ),
    ],
)
def test_a_wrong_path_is_corrected(
    start: Start, aws: AwsStandIn, leading: dict[str, str], variables: dict[str, str], said: str
) -> None:
    aws.answers = [reply(404)]
    telemetry = start(**leading, **variables, OTEL_METRICS_EXPORTER="none")
    telemetry.offer(*invocations(1))
    assert not telemetry.flush()

    assert said in telemetry.warnings[0]


def test_what_aws_repeats_of_the_request_shows_no_key(
    start: Start, aws: AwsStandIn, leading: dict[str, str]
) -> None:
    aws.answers = [
        reply(403, f"x-amz-security-token:{KEYS[2]} Credential={KEYS[0]}/20261130".encode())
    ]
    telemetry = start(**leading, **TO_XRAY)
    telemetry.offer(*invocations(1))
    assert not telemetry.flush()

    assert len(telemetry.warnings) == 1
    assert not any(key in telemetry.warnings[0] for key in KEYS)


def test_a_bearer_token_of_the_users_is_sent_instead_of_a_signature(
    start: Start, aws: AwsStandIn, leading: dict[str, str]
) -> None:
    headers = {"OTEL_EXPORTER_OTLP_TRACES_HEADERS": "Authorization=Bearer%20abc"}
    telemetry = start(**leading, **TO_XRAY, **headers)
    telemetry.offer(*invocations(1))
    assert telemetry.flush()

    fields = aws.collector.next().fields
    assert fields["authorization"] == "Bearer abc"
    assert "x-amz-date" not in fields


def test_xray_is_told_what_is_to_be_searchable(
    start: Start, aws: AwsStandIn, leading: dict[str, str]
) -> None:
    event = b'{"version":"2.0","routeKey":"GET /a","requestContext":{"http":{"method":"GET","path":"/a"}}}'
    telemetry = start(**leading, **TO_XRAY)
    telemetry.offer(delivered(event), finished(b'{"statusCode":200}'))
    assert telemetry.flush()

    attributes = plain(spans_of(aws.collector)[0].attributes)
    named = attributes["aws.xray.annotations"]
    assert {"faas.trigger", "faas.invocation_id", "http.route", "http.response.status_code"} <= set(
        named
    )
    assert set(named) <= attributes.keys()


def test_a_span_that_is_too_large_for_aws_loses_the_ends_of_its_texts(
    start: Start, aws: AwsStandIn, leading: dict[str, str]
) -> None:
    error = json.dumps({"errorType": "E", "errorMessage": "m" * 60_000, "stackTrace": []}).encode()
    agent = (
        b'{"version":"2.0","rawQueryString":"%s","requestContext":{"http":{"method":"GET","userAgent":"%s"}}}'
        % (
            b"q" * 150_000,
            b"a" * 150_000,
        )
    )
    telemetry = start(**leading, **TO_XRAY)
    telemetry.offer(delivered(agent), finished(error, "error"))
    assert telemetry.flush(), telemetry.warnings

    (span,) = spans_of(aws.collector)
    assert 1_000 < span.ByteSize() <= 200_000
    assert plain(span.attributes)["user_agent.original"].startswith("aaaa")


def test_credentials_of_the_container_endpoint_come_before_the_environments(
    start: Start,
    aws: AwsStandIn,
    leading: dict[str, str],
    server: CredentialsServer,
    tmp_path: Path,
) -> None:
    (tmp_path / "token").write_text("of-the-file\n")
    aws.keys = {OTHERS[0]: OTHERS}
    server.given = [credentials_json(OTHERS, FAR)]
    with server.serving() as uri:
        telemetry = start(
            **leading,
            **TO_XRAY,
            AWS_CONTAINER_CREDENTIALS_FULL_URI=uri,
            AWS_CONTAINER_AUTHORIZATION_TOKEN="not-this",
            AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(tmp_path / "token"),
        )
        for number in (1, 2):
            telemetry.offer(*invocations(number))
            assert telemetry.flush(), telemetry.warnings

    assert [fields["authorization"] for fields in server.asked] == ["of-the-file"]


def test_credentials_are_fetched_anew_before_they_expire_and_after_a_restore(
    start: Start, aws: AwsStandIn, leading: dict[str, str], server: CredentialsServer
) -> None:
    aws.keys |= {OTHERS[0]: OTHERS}
    server.given = [
        credentials_json(KEYS, "2020-01-01T00:00:00Z"),
        credentials_json(OTHERS, FAR),
        credentials_json(KEYS, FAR),
    ]
    with server.serving() as uri:
        telemetry = start(
            **leading,
            **TO_XRAY,
            AWS_CONTAINER_CREDENTIALS_FULL_URI=uri,
            AWS_CONTAINER_AUTHORIZATION_TOKEN="abc",
        )
        for number in (1, 2, 3):
            telemetry.offer(*invocations(number))
            assert telemetry.flush(), telemetry.warnings
        telemetry.offer((records.restored(1), b""))
        telemetry.offer(*invocations(4))
        assert telemetry.flush(), telemetry.warnings

    signed_by = [
        post.fields["authorization"].split("=")[1].split("/")[0]
        for post in aws.collector.received()
    ]
    assert signed_by == [KEYS[0], OTHERS[0], OTHERS[0], KEYS[0]]
    assert [fields["authorization"] for fields in server.asked] == ["abc"] * 3


def test_credentials_that_aws_calls_expired_are_replaced_and_the_spans_arrive(
    start: Start, aws: AwsStandIn, leading: dict[str, str], server: CredentialsServer
) -> None:
    aws.keys = {OTHERS[0]: OTHERS, KEYS[0]: KEYS}
    aws.answers = [
        reply(403, b'{"message":"The security token included in the request is expired"}')
    ]
    server.given = [credentials_json(KEYS, FAR), credentials_json(OTHERS, FAR)]
    with server.serving() as uri:
        telemetry = start(**leading, **TO_XRAY, AWS_CONTAINER_CREDENTIALS_FULL_URI=uri)
        telemetry.offer(*invocations(1))
        assert not telemetry.flush()
        telemetry.flush_until_sent()

    refused, accepted = spans_of(aws.collector)
    assert refused.span_id == accepted.span_id


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"AWS_ACCESS_KEY_ID": ""}, "no AWS credentials are there"),
        (
            {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.com/x"},
            "neither this machine's nor ECS's or EKS's",
        ),
        (
            {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "nonsense"},
            "AWS_CONTAINER_CREDENTIALS_FULL_URI cannot be used",
        ),
        (
            {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/nowhere",
            },
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read: No such file or directory",
        ),
    ],
)
def test_without_credentials_the_spans_wait_and_it_is_said_why(
    start: Start, aws: AwsStandIn, leading: dict[str, str], variables: dict[str, str], said: str
) -> None:
    telemetry = start(**(leading | TO_XRAY | variables))
    telemetry.offer(*invocations(1))
    assert not telemetry.flush()

    assert said in telemetry.warnings[0]
    assert aws.collector.received() == []


@pytest.mark.parametrize(
    "answer", [(500, b"x"), (200, b"[]"), (200, b"\xff"), (200, b'{"AccessKeyId": 1}')]
)
def test_a_credentials_endpoint_that_gives_none_costs_no_spans(
    start: Start,
    aws: AwsStandIn,
    leading: dict[str, str],
    server: CredentialsServer,
    answer: tuple[int, bytes],
) -> None:
    server.given = [answer, credentials_json(KEYS, FAR)]
    with server.serving() as uri:
        telemetry = start(**leading, **TO_XRAY, AWS_CONTAINER_CREDENTIALS_FULL_URI=uri)
        telemetry.offer(*invocations(1))
        assert not telemetry.flush()
        telemetry.flush_until_sent()

    assert len(spans_of(aws.collector)) == 1
    assert "AWS credentials could not be fetched" in telemetry.warnings[0]


@pytest.mark.parametrize(
    ("variables", "traces", "metrics"),
    [
        ({"AWS_REGION": "eu-west-1"}, XRAY, ""),
        (
            {"AWS_DEFAULT_REGION": "cn-north-1"},
            "https://xray.cn-north-1.amazonaws.com.cn/v1/traces",
            "",
        ),
        (
            {"AWS_REGION": "us-east-1", "AWS_USE_FIPS_ENDPOINT": "true"},
            "https://xray-fips.us-east-1.amazonaws.com/v1/traces",
            "",
        ),
        ({"AWS_REGION": "eu-west-1", "OTEL_METRICS_EXPORTER": "otlp"}, XRAY, MONITORING),
        (
            {
                "AWS_REGION": "eu-west-1",
                "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c/v1/metrics",
            },
            XRAY,
            "http://c/v1/metrics",
        ),
        (
            {"AWS_REGION": "eu-west-1", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/x"},
            "http://c/x",
            "",
        ),
        ({"AWS_REGION": "eu-west-1", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, XRAY, ""),
    ],
)
def test_export_aws_stands_for_awss_addresses_where_no_other_is_given(
    variables: dict[str, str], traces: str, metrics: str
) -> None:
    read = ExportSettings(
        {
            b"LRAP_EXPORT": b"aws",
            **{name.encode(): text.encode() for name, text in variables.items()},
        }
    )

    assert (read.traces.url, read.metrics.url if read.metrics.enabled else "") == (traces, metrics)
    assert read.warnings == []


def test_export_aws_without_a_region_is_told() -> None:
    read = ExportSettings({b"LRAP_EXPORT": b"AWS"})

    assert read.traces.url == "http://127.0.0.1:4318/v1/traces"
    assert read.metrics.enabled
    assert len(read.warnings) == 1
    assert "AWS_REGION" in read.warnings[0]
