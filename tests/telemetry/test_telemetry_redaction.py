"""Which values are withheld: those of parameters with secret names, and what the user
switches off.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.ipc import records
from lrap_otel.telemetry.failures import Failure
from lrap_otel.telemetry.redaction import SECRET_NAMES, SECRET_PARTS, Privacy
from tests.telemetry.proxy_records import delivered, finished
from tests.telemetry.telemetry_thread import plain, spans_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from tests.telemetry.otlp_collector import Collector
    from tests.telemetry.telemetry_thread import Telemetry

    Trace = Callable[..., Span]

PRIVACY = Privacy()


@pytest.mark.parametrize(
    "name",
    [
        *("token", "password", "api_key", "code", "sig", "secret", "jwt", "sid", "pin"),
        *(
            "access_token",
            "X-API-Key",
            "apiKey",
            "client_secret",
            "oauth_verifier",
            "user[password]",
        ),
        # as the HTTP conventions ask
        *("AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature"),
        *("X-Amz-Signature", "x-amz-signature", "X-Amz-Security-Token", "X-Amz-Credential"),
        # as a server decodes them
        *(
            "%74oken",
            "to%6ben",
            "TOKEN",
            "%2574oken",
            "api+key",
            "%20token",
            "api%5Fkey",
            "api%255Fkey",
        ),
    ],
)
def test_the_value_of_a_parameter_with_a_secret_name_is_replaced(name: str) -> None:
    assert PRIVACY.of_query(f"page=2&{name}=hunter2&q=shoes") == f"page=2&{name}=REDACTED&q=shoes"


@pytest.mark.parametrize(
    "query",
    [
        "page=2&q=shoes",
        "key=hello",
        "zipcode=10115&barcode=4&encode=utf-8&keyword=a&shipping=1&author=b&passage=c&inside=d",
        "token",
        "token=",
        "",
        "&&=&=a",
        "a=%ff%zz&b=100%25",
        "X-Amz-Date=20261130T000000Z&X-Amz-Expires=900",
    ],
)
def test_every_other_query_stays_as_it_is(query: str) -> None:
    assert PRIVACY.of_query(query) == query


@pytest.mark.parametrize(
    "query",
    [
        "next=/callback?code=hunter2",
        "next=%2Fcallback%3Fcode%3Dhunter2",
        "next=%252Fcallback%253Fcode%253Dhunter2",
        "next=%25252Fcallback%25253Fcode%25253Dhunter2",
        "a=1;token=hunter2",
        "a=token=hunter2",
        "a%3D1%26token%3Dhunter2",
        "next=https://x/%23access_token=hunter2",
        "token=a?b=hunter2;c=hunter2",
        "token=\"hunter2\" 'hunter2'",
    ],
)
def test_a_secret_within_a_parameter_is_withheld_too(query: str) -> None:
    assert "hunter2" not in PRIVACY.of_query(query)


@given(st.sampled_from([*SECRET_PARTS, *sorted(SECRET_NAMES)]), st.data())
def test_no_spelling_of_a_secret_name_lets_its_value_through(
    name: str, data: st.DataObject
) -> None:
    spelled = "".join(
        data.draw(
            st.sampled_from(
                [letter, letter.upper(), f"%{ord(letter):02x}", f"%25{ord(letter):02X}"]
            )
        )
        + data.draw(st.sampled_from(["", "-", "_", "%5F", "%2D", "."]))
        for letter in name
    )
    value = quote(data.draw(st.text(min_size=1)), safe="")

    assert PRIVACY.of_query(f"a=b&{spelled}={value}") == f"a=b&{spelled}=REDACTED"


@given(st.text())
def test_no_text_makes_the_redaction_raise_or_grow_what_has_no_parameter(text: str) -> None:
    PRIVACY.of_query(text)
    assert "=" in text or "@" in text or PRIVACY.of_text(text) == text


def test_a_url_in_a_text_loses_its_secrets_and_its_credentials() -> None:
    text = "GET https://me:hunter2@api.example.com/a;jsessionid=hunter2?page=2&token=hunter2#code=hunter2 failed"

    assert PRIVACY.of_text(text) == (
        "GET https://REDACTED:REDACTED@api.example.com/a;jsessionid=REDACTED?page=2&token=REDACTED#code=REDACTED failed"
    )


def test_a_text_that_is_no_url_stays_as_it_is() -> None:
    text = "exited with code=3: token=abc, {'password': 1}; code = 4"

    assert PRIVACY.of_text(text) == text


def test_of_a_text_that_no_url_could_be_the_beginning_is_looked_through_and_sent() -> None:
    padding = "x" * 65_530

    assert PRIVACY.of_query(f"{padding}&token=hunter2") == f"{padding}&token"
    assert PRIVACY.of_text(f"https://me:hunter2@{padding}?token=hunter2").count("hunter2") == 0
    assert PRIVACY.of_text(padding * 2) == padding * 2


def test_names_of_the_user_are_added() -> None:
    privacy = Privacy.of_names(
        ("Customer-No", "q"), has_query=True, has_client_address=True, exception="stack"
    )

    assert (
        privacy.of_query("customer_no=1&q=2&token=3&p=4")
        == "customer_no=REDACTED&q=REDACTED&token=REDACTED&p=4"
    )


def test_an_attribute_with_a_parameter_in_it_is_covered_whatever_its_name() -> None:
    attributes = {
        "aws.s3.key": "in/a?token=hunter2",
        "url.path": "/a;jsessionid=hunter2/b",
        "x": 1,
        "y": ["=?"],
    }

    assert PRIVACY.of_attributes(attributes) == {
        "aws.s3.key": "in/a?token=REDACTED",
        "url.path": "/a;jsessionid=REDACTED",
        "x": 1,
        "y": ["=?"],
    }


def test_how_much_of_an_exception_is_sent() -> None:
    failure = Failure("ValueError", "no", "at line 1")

    sent = [Privacy(exception=part).of_failure(failure) for part in ("type", "message", "stack")]
    assert [(each.type, each.message, each.stack) for each in sent] == [
        ("ValueError", "", ""),
        ("ValueError", "no", ""),
        ("ValueError", "no", "at line 1"),
    ]


REQUEST = (
    b'{"version":"2.0","rawPath":"/a","rawQueryString":"page=2&token=hunter2","headers":{},'
    b'"requestContext":{"http":{"method":"GET","path":"/a","sourceIp":"192.0.2.1"}}}'
)


def test_a_span_has_no_secret_of_its_query(trace: Trace) -> None:
    span = trace(delivered(REQUEST), finished())

    assert plain(span.attributes)["url.query"] == "page=2&token=REDACTED"


def test_the_user_switches_query_and_client_address_off(trace: Trace) -> None:
    span = trace(
        delivered(REQUEST),
        finished(),
        LRAP_CAPTURE_QUERY="false",
        LRAP_CAPTURE_CLIENT_ADDRESS="off",
    )

    assert not plain(span.attributes).keys() & {
        "url.query",
        "client.address",
        "network.peer.address",
    }


def test_the_user_names_a_parameter(trace: Trace) -> None:
    assert (
        plain(trace(delivered(REQUEST), finished(), LRAP_REDACT="Page ,,").attributes)["url.query"]
        == "page=REDACTED&token=REDACTED"
    )


ERROR = b'{"errorType":"E","errorMessage":"hunter2","stackTrace":["at hunter2"]}'


@pytest.mark.parametrize(("part", "kept"), [("type", 0), ("message", 1), ("stack", 2)])
def test_an_exception_is_sent_as_far_as_the_user_wants(trace: Trace, part: str, kept: int) -> None:
    span = trace(delivered(), finished(ERROR, endpoint="error"), LRAP_CAPTURE_EXCEPTION=part)

    (event,) = span.events
    names = ("exception.type", "exception.message", "exception.stacktrace")
    assert plain(event.attributes).keys() == set(names[: kept + 1])
    assert span.status.message == ("hunter2" if kept else "")


def test_a_failed_init_is_sent_as_far_as_the_user_wants(
    start: Callable[..., Telemetry], collector: Collector
) -> None:
    telemetry = start(collector, LRAP_CAPTURE_EXCEPTION="type")
    head = b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\n\r\n"
    telemetry.offer((records.init_error(1, len(head)), head + ERROR))
    assert telemetry.flush()

    (span,) = spans_of(collector)
    assert plain(span.attributes)["error.type"] == "E"
    assert "hunter2" not in str(span)


def test_a_load_balancers_value_with_an_ampersand_is_withheld_whole(trace: Trace) -> None:
    event = b'{"raw_path":"/a","method":"GET","headers":{},"query_string_parameters":{"token":"1&hunter2","b":"c"}}'

    assert (
        plain(trace(delivered(event), finished()).attributes)["url.query"] == "token=REDACTED&b=c"
    )


def test_every_secret_name_stands_in_the_documentation() -> None:
    documentation = (Path(__file__).parents[2] / "docs/settings.md").read_text()

    assert [
        name for name in (*SECRET_PARTS, *SECRET_NAMES) if f"`{name}`" not in documentation
    ] == []
