"""Secrets by reference: looked up at AWS (moto), used in headers and endpoints, renewed, waited
for, never shown.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from lrap_otel.ipc import records
from lrap_otel.telemetry.export.aws.referenced import ReferencedEndpoint
from lrap_otel.telemetry.export.aws.references import Reference, references_in, with_values
from lrap_otel.telemetry.export.aws.secrets import Secrets
from lrap_otel.telemetry.export.connection import NotSentError
from lrap_otel.telemetry.export.deadline import Deadline
from lrap_otel.telemetry.export.endpoint import ACCEPTED, REFUSED, REJECTED, Endpoint
from lrap_otel.telemetry.settings import ExportSettings
from tests.telemetry.aws_signatures import signature_by_botocore
from tests.telemetry.aws_stand_in import CREDENTIALS, KEYS, REGION
from tests.telemetry.otlp_collector import HANG, Collector, Post, reply
from tests.telemetry.platform_events import line
from tests.telemetry.proxy_records import invocations
from tests.telemetry.telemetry_thread import spans_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.telemetry.telemetry_thread import Telemetry

    Start = Callable[..., Telemetry]

HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
ARN = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:vendor-AbCdEf"
PATIENCE_S = 30.0


class Aws:
    """Moto's server, and its services."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.secrets = boto3.client("secretsmanager", region_name=REGION, endpoint_url=url)
        self.parameters = boto3.client("ssm", region_name=REGION, endpoint_url=url)

    def secret(self, text: str | bytes) -> str:
        """A new secret's ARN."""
        given = {"SecretBinary": text} if isinstance(text, bytes) else {"SecretString": text}
        return str(self.secrets.create_secret(Name=f"vendor/{time.monotonic_ns()}", **given)["ARN"])

    def parameter(self, text: str) -> str:
        """A new parameter's ARN."""
        name = f"/collector/{time.monotonic_ns()}"
        self.parameters.put_parameter(Name=name, Value=text, Type="SecureString")
        return f"arn:aws:ssm:{REGION}:123456789012:parameter{name}"


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Aws:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return Aws(moto_url)


def keys(aws_url: str) -> dict[str, str]:
    return {name: value for name, value in CREDENTIALS.items() if name.startswith("AWS_")} | {
        "AWS_ENDPOINT_URL": aws_url,
        "OTEL_METRICS_EXPORTER": "none",
    }


def test_a_header_has_what_the_secret_the_key_of_one_and_the_parameter_hold(
    start: Start, collector: Collector, aws: Aws
) -> None:
    whole, of_json, parameter = (
        aws.secret("abc=,%41"),
        aws.secret('{"api-key": "k1", "n": 7}'),
        aws.parameter(" p 1\n"),
    )
    headers = (
        f"a=${{{whole}}},b=Bearer%20${{{of_json}:api-key::}}.${{{of_json}:n}},c=${{{parameter}}}"
    )
    telemetry = start(collector, **keys(aws.url), **{HEADERS: headers})
    telemetry.offer(*invocations(1))
    assert telemetry.flush(), telemetry.warnings

    fields = collector.next("/v1/traces").fields
    assert (fields["a"], fields["b"], fields["c"]) == ("abc=,%41", "Bearer k1.7", "p 1")


def test_logs_have_the_secrets_of_their_own_settings(
    start_hearing: Start, collector: Collector, aws: Aws
) -> None:
    logs = {"OTEL_LOGS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION": "gzip"}
    headers = f"a=${{{aws.secret('of logs')}}}"
    telemetry = start_hearing(
        collector, **keys(aws.url), **logs, OTEL_EXPORTER_OTLP_LOGS_HEADERS=headers
    )
    telemetry.offer(*invocations(1))
    telemetry.tell(line("hello"))
    assert telemetry.flush(), telemetry.warnings

    posts = {post.path: post for post in collector.received()}
    of_logs = posts["/v1/logs"]
    assert (of_logs.fields["a"], of_logs.fields["content-encoding"]) == ("of logs", "gzip")
    assert len(of_logs.logs().resource_logs[0].scope_logs[0].log_records) == 1
    assert "a" not in posts["/v1/traces"].fields


def test_an_older_version_of_a_secret_can_be_named(
    start: Start, collector: Collector, aws: Aws
) -> None:
    arn = aws.secret("old")
    aws.secrets.put_secret_value(SecretId=arn, SecretString="new")
    telemetry = start(
        collector, **keys(aws.url), **{HEADERS: f"a=${{{arn}::AWSPREVIOUS:}},b=${{{arn}}}"}
    )
    telemetry.offer(*invocations(1))
    assert telemetry.flush(), telemetry.warnings

    fields = collector.next().fields
    assert (fields["a"], fields["b"]) == ("old", "new")


def test_the_path_of_a_signal_comes_after_the_address_that_a_parameter_holds(
    start: Start, collector: Collector, aws: Aws
) -> None:
    variables = keys(aws.url) | {"OTEL_METRICS_EXPORTER": "otlp"}
    address = f"${{{aws.parameter(f'{collector.url}/')}}}"
    telemetry = start(None, **variables, OTEL_EXPORTER_OTLP_ENDPOINT=address)
    telemetry.offer(*invocations(1))
    assert telemetry.flush(), telemetry.warnings

    assert {post.path for post in collector.received()} == {"/v1/traces", "/v1/metrics"}


@pytest.mark.parametrize("form", ["${{{}}}", "${{{}}}/v1/traces", "http://${{{}}}/v1/traces"])
def test_an_address_may_be_what_a_parameter_holds(
    start: Start, collector: Collector, aws: Aws, form: str
) -> None:
    host = f"127.0.0.1:{collector.port}"
    held = (
        host
        if form.startswith("http")
        else f"http://{host}"
        if "/v1" in form
        else f"http://{host}/v1/traces"
    )
    address = form.format(aws.parameter(held))
    telemetry = start(None, **keys(aws.url), OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=address)
    telemetry.offer(*invocations(1))
    assert telemetry.flush(), telemetry.warnings

    assert len(spans_of(collector)) == 1


def test_the_services_get_a_right_signature_and_each_signal_uses_the_same_look_up(
    start: Start, collector: Collector
) -> None:
    def answer(number: int, post: Post) -> bytes:
        own = {
            name: value
            for name, value in post.fields.items()
            if name.startswith(("x-amz-", "content-type"))
        }
        expected = signature_by_botocore(
            *(
                "POST",
                post.fields["host"],
                post.path,
                own,
                post.body,
                KEYS,
                REGION,
                "secretsmanager",
            )
        )
        is_right = post.fields["authorization"] == expected
        return reply(200, b'{"SecretString": "k"}') if is_right else reply(403, b"{}")

    with Collector(answer) as service:
        variables = keys("http://127.0.0.1:1") | {"AWS_ENDPOINT_URL_SECRETS_MANAGER": service.url}
        variables["OTEL_METRICS_EXPORTER"] = "otlp"
        telemetry = start(collector, **variables, **{HEADERS: f"a=${{{ARN}}}"})
        telemetry.offer(*invocations(1))
        assert telemetry.flush(), telemetry.warnings

        (asked,) = service.received()
    assert (asked.fields["x-amz-target"], asked.body) == (
        "secretsmanager.GetSecretValue",
        f'{{"SecretId":"{ARN}"}}'.encode(),
    )
    assert {post.fields["a"] for post in collector.received()} == {"k"}


def test_an_export_waits_for_a_secret_and_nothing_else_does(
    start: Start, collector: Collector
) -> None:
    may = threading.Event()

    def answer(number: int, post: Post) -> bytes:
        assert may.wait(PATIENCE_S)
        return reply(200, b'{"SecretString": "k"}')

    with Collector(answer) as service:
        telemetry = start(collector, **keys(service.url), **{HEADERS: f"a=${{{ARN}}}"})
        telemetry.offer(*invocations(1))
        begun_s = time.monotonic()
        assert not telemetry.flush(budget_ms=50)
        waited_s = time.monotonic() - begun_s
        may.set()
        telemetry.flush_until_sent()

    assert waited_s < 5  # the look-up alone may take that
    assert len(spans_of(collector)) == 1
    assert all("not known yet" in warning for warning in telemetry.warnings)


@pytest.mark.parametrize(
    ("held", "key", "said"),
    [
        (b"\x00\x01", "", "holds no text"),
        ('{"a": "b"}', ":api-key::", "is no JSON object with a text called api-key"),
        ('{"a": {"b": "c"}}', ":a::", "is no JSON object with a text called a"),
        ("plain", ":a::", "is no JSON object with a text called a"),
        ("a\nb", "", "has a control character in it"),
        (" ", "", "is empty"),
    ],
)
def test_a_secret_that_cannot_be_used_is_named_and_the_spans_wait(
    start: Start, collector: Collector, aws: Aws, held: str | bytes, key: str, said: str
) -> None:
    arn = aws.secret(held)
    telemetry = start(collector, **keys(aws.url), **{HEADERS: f"a=${{{arn}{key}}}"})
    telemetry.offer(*invocations(1))
    assert not telemetry.flush()
    assert said in telemetry.warnings[0]
    assert arn in telemetry.warnings[0]

    good = '{"api-key": "k", "a": "k"}' if key else "k"
    aws.secrets.put_secret_value(SecretId=arn, SecretString=good)
    telemetry.flush_until_sent()
    assert collector.next().fields["a"] == "k"


def test_what_may_not_be_read_says_which_permission_it_takes(
    start: Start, collector: Collector
) -> None:
    denied = (
        b'{"__type": "com.amazonaws#AccessDeniedException", "Message": "User is not authorized"}'
    )
    with Collector(lambda number, post: reply(400, denied)) as service:
        telemetry = start(collector, **keys(service.url), **{HEADERS: f"a=${{{ARN}:k}}"})
        telemetry.offer(*invocations(1))
        assert not telemetry.flush()

    assert (
        f'{ARN} could not be read: AccessDeniedException: User is not authorized; allow the function\'s role {{"Effect":"Allow",'
        f'"Action":"secretsmanager:GetSecretValue","Resource":"{ARN}"}}, and kms:Decrypt'
    ) in telemetry.warnings[0]


@pytest.mark.parametrize(
    "answer", [reply(500), reply(200, b"[]"), reply(200, b"\xff"), b"nonsense\r\n\r\n", HANG]
)
def test_a_service_that_gives_nonsense_costs_no_spans(
    start: Start, collector: Collector, answer: Any
) -> None:
    with Collector(
        lambda number, post: answer if number == 0 else reply(200, b'{"SecretString": "k"}')
    ) as service:
        telemetry = start(collector, **keys(service.url), **{HEADERS: f"a=${{{ARN}}}"})
        telemetry.offer(*invocations(1))
        assert not telemetry.flush(budget_ms=100)
        telemetry.flush_until_sent()

    assert len(spans_of(collector)) == 1


def test_no_line_shows_a_secret_whatever_the_collector_repeats(start: Start, aws: Aws) -> None:
    arn = aws.secret("s3cr3t-value")
    with Collector(
        lambda number, post: reply(401, f"bad key {post.fields['a']}".encode())
    ) as collector:
        telemetry = start(collector, **keys(aws.url), **{HEADERS: f"a=${{{arn}}}"})
        telemetry.offer(*invocations(1))
        assert not telemetry.flush()
        telemetry.shutdown()

    assert "it answered 401: bad key ..." in telemetry.warnings[0]
    assert "s3cr3t" not in "".join(telemetry.warnings)


def test_a_secret_that_is_longer_than_the_line_that_repeats_it_is_not_shown_in_part(
    start: Start,
) -> None:
    token = "".join(f"{number:04}" for number in range(500))
    with Collector(
        lambda number, post: reply(401, f"bad {post.fields['a']}".encode())
    ) as collector:
        telemetry = start(collector, **{HEADERS: f"a={token}"})
        telemetry.offer(*invocations(1))
        assert not telemetry.flush()

    assert "it answered 401: bad ..." in telemetry.warnings[0]
    assert token[:40] not in "".join(telemetry.warnings)


def test_an_address_that_holds_no_url_is_not_repeated(start: Start, aws: Aws) -> None:
    telemetry = start(
        None,
        **keys(aws.url),
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"${{{aws.parameter('s3cr3t nonsense')}}}",
    )
    telemetry.offer(*invocations(1))
    assert not telemetry.flush()

    (warning,) = telemetry.warnings
    assert warning.endswith(
        "the address that a secret holds: what the secret holds cannot be used: it is no http:// or https:// URL"
    )


def test_a_snapshot_has_no_secret_and_a_restore_looks_them_up(
    start: Start, collector: Collector, aws: Aws
) -> None:
    arn = aws.secret("before")
    variables = keys(aws.url) | {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}
    telemetry = start(collector, **variables, **{HEADERS: f"a=${{{arn}}}"})
    telemetry.offer(
        *invocations(1)
    )  # nobody exports before a snapshot; whoever does has looked them up
    assert telemetry.flush(), telemetry.warnings
    aws.secrets.put_secret_value(SecretId=arn, SecretString="after")
    telemetry.offer((records.restored(1), b""))
    telemetry.offer(*invocations(1))
    assert telemetry.flush(), telemetry.warnings

    assert [post.fields["a"] for post in collector.received("/v1/traces")] == ["before", "after"]


class Service:
    """A secret that changes, in the place of AWS."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.asked = 0

    def call(self, *_: object) -> dict[str, Any]:
        self.asked += 1
        return {"SecretString": self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]}


def within(seconds: float = PATIENCE_S) -> Deadline:
    return Deadline(time.monotonic() + seconds)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.s = 1_000.0

    def __call__(self) -> float:
        return self.s


def test_known_values_are_used_while_old_ones_are_looked_up_again() -> None:
    service, clock = Service("one", "two"), Clock()
    secrets = Secrets([ARN], lambda: service, clock)  # type: ignore[arg-type, return-value]
    assert secrets.values(within()) == {ARN: "one"}
    clock.s += 299
    assert secrets.values(within()) == {ARN: "one"}
    assert service.asked == 1
    clock.s += 2
    assert secrets.values(within()) == {ARN: "one"}
    end_s = time.monotonic() + PATIENCE_S
    while secrets.values(within()) != {ARN: "two"}:
        assert time.monotonic() < end_s
    assert service.asked == 2


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_secret_that_may_be_old_is_looked_up_and_the_request_goes_again(
    status: int,
) -> None:
    service, clock = Service("old", "new"), Clock()

    def answer(number: int, post: Post) -> bytes:
        return reply() if post.fields["a"] == "new" else reply(status)

    with Collector(answer) as collector:
        read = ExportSettings(
            {
                b"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url.encode(),
                HEADERS.encode(): f"a=${{{ARN}}}".encode(),
            }
        )
        secrets = Secrets([ARN], lambda: service, clock)  # type: ignore[arg-type, return-value]
        endpoint = ReferencedEndpoint(
            read.traces, secrets, lambda own: Endpoint(own, read.network, {})
        )
        assert (
            endpoint.post(b"", within()).outcome == REJECTED
        )  # the value is fresh: it is refused for what it is
        clock.s += 61
        assert endpoint.post(b"", within()).outcome == REFUSED
        assert endpoint.post(b"", within()).outcome == ACCEPTED
        assert service.asked == 2
        endpoint.close()


def test_after_a_failure_the_service_is_left_alone_for_a_time() -> None:
    clock = Clock()
    calls: list[int] = []

    class Failing:
        def call(self, *_: object) -> dict[str, Any]:
            calls.append(1)
            raise NotSentError("timeout", "no answer in time")

    secrets = Secrets([ARN], Failing, clock)  # type: ignore[arg-type]
    for _ in range(3):
        with pytest.raises(NotSentError, match=f"{ARN} could not be read: no answer in time"):
            secrets.values(within())
    assert len(calls) == 1
    clock.s += 2
    with pytest.raises(NotSentError):
        secrets.values(within())
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (ARN, ("secretsmanager", REGION, ARN, "", "", "")),
        (f"{ARN}:key::", ("secretsmanager", REGION, ARN, "key", "", "")),
        (f"{ARN}:key", ("secretsmanager", REGION, ARN, "key", "", "")),
        (f"{ARN}::AWSPREVIOUS:", ("secretsmanager", REGION, ARN, "", "AWSPREVIOUS", "")),
        (f"{ARN}:::0123", ("secretsmanager", REGION, ARN, "", "", "0123")),
        (
            "arn:aws-cn:ssm:cn-north-1:1:parameter/a/b",
            ("ssm", "cn-north-1", "arn:aws-cn:ssm:cn-north-1:1:parameter/a/b", "", "", ""),
        ),
        (
            "arn:aws:ssm:eu-west-1:1:parameter/a:3",
            ("ssm", REGION, "arn:aws:ssm:eu-west-1:1:parameter/a:3", "", "", ""),
        ),
    ],
)
def test_a_reference_is_taken_apart_as_ecs_does(text: str, parts: tuple[str, ...]) -> None:
    read = Reference(text)

    assert (
        read.service,
        read.region,
        read.arn,
        read.json_key,
        read.version_stage,
        read.version_id,
    ) == parts
    assert references_in(f"a ${{{text}}} b ${{{text}}}") == [text, text]


@pytest.mark.parametrize(
    "text",
    [
        "${arn:aws:s3:::bucket}",
        "${arn:aws:secretsmanager:eu-west-1:1:secret}",
        "${arn:aws:secretsmanager:eu-west-1:1:secret:n:k:s:i:more}",
        "${arn:aws:ssm:eu-west-1:1:document/x}",
        "${arn:aws:ssm::1:parameter/x}",
        "${arn:aws:ssm:eu-west-1:1:parameter/x",
        "${arn:}",
    ],
)
def test_a_malformed_reference_is_told_at_the_start_and_left_out(text: str) -> None:
    read = ExportSettings(
        {HEADERS.encode(): f"a={text},b=c".encode(), b"OTEL_EXPORTER_OTLP_ENDPOINT": text.encode()}
    )

    assert (read.traces.headers, read.traces.url) == ({"b": "c"}, "http://127.0.0.1:4318/v1/traces")
    assert len(read.warnings) == 2
    assert all("reference" in warning or "ARN" in warning for warning in read.warnings)


@given(st.text("${}arn:-/ab1", max_size=40))
def test_no_text_makes_references_raise_anything_but_their_own_error(text: str) -> None:
    try:
        found = references_in(text)
    except ValueError:
        return
    assert with_values(text, dict.fromkeys(found, "")).count("${arn:") == 0
