"""What an event, a result or the environment holds never leaves, but for what is listed here (and
in docs/settings.md).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.telemetry.planted import MARKER, SECRET_PARAMETERS, Planter, with_secret_parameters
from tests.telemetry.proxy_records import delivered, finished

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.telemetry.otlp_collector import Collector
    from tests.telemetry.telemetry_thread import Telemetry

    Start = Callable[..., Telemetry]

EVENTS = sorted((Path(__file__).parents[1] / "data").glob("events*/*.json"))

# What of an event is sent, as docs/telemetry.md says: members by their names and that of what holds
# them, places in lists left out.
EXPORTED = {
    # of an HTTP request
    *(f"headers.{name}" for name in ("host", "user-agent", "x-forwarded-for")),
    *(f"multivalueheaders.{name}" for name in ("host", "user-agent", "x-forwarded-for")),
    *("httpmethod", "method", "http.method", "path", "rawpath", "raw_path", "requestcontext.path"),
    *("requestcontext.domainname", "requestcontext.stage", "http.sourceip", "http.useragent"),
    *("identity.sourceip", "identity.useragent", "requestcontext.operationname"),
    # what names a message, and where it was sent
    *(
        "messageid",
        "sns.messageid",
        "basicproperties.messageid",
        "messages.messageid",
        "records.messageid",
    ),
    *(
        "id",
        "records.eventid",
        "records.recordid",
        "topic",
        "awskafkatopic-0.topic",
        "mytopic-0.topic",
    ),
    *(
        "destination.physicalname",
        "eventsourcearn.resource",
        "topicarn.resource",
        "deliverystreamarn.resource",
    ),
    # what was changed, and when
    *("bucket.name", "object.key", "ns.coll", "ns.db", "records.eventtime", "time"),
    *("tasks.s3bucket", "tasks.s3key", "s3bucketarn.resource"),
    # of other services
    *("agent.id", "agent.name", "sessionid", "references.commit", "secretid.resource"),
    *("id.resource", "durableexecutionarn.resource"),
}


def name_of(path: tuple[str, ...]) -> set[str]:
    """The names by which `EXPORTED` may list a member."""
    members = [part.lower() for part in path if part not in {"*", "JSON"}]
    return {".".join(members[-length:]) for length in (1, 2)}


def read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        return {}


def secrets_of_result(planter: Planter) -> bytes:
    """An HTTP result with a marker wherever it may hold something of somebody's."""
    marker = planter.marker
    return json.dumps(
        {
            "statusCode": 200,
            "headers": {
                "set-cookie": marker("result", "cookie"),
                "location": f"/?token={marker('result', 'location')}",
            },
            "multiValueHeaders": {"x": [marker("result", "field")]},
            "cookies": [marker("result", "cookies")],
            "body": marker("result", "body"),
        }
    ).encode()


@pytest.fixture(scope="module")
def planter() -> Planter:
    return Planter()


def test_nothing_of_an_event_or_a_result_is_sent_but_what_is_listed(
    start: Start, collector: Collector, planter: Planter
) -> None:
    credentials = {
        name: planter.marker(name)
        for name in (
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        )
    }
    telemetry = start(
        collector,
        **credentials,
        OTEL_EXPORTER_OTLP_HEADERS=f"api-key={planter.marker('OTEL_EXPORTER_OTLP_HEADERS')},{planter.marker('malformed')}",
    )
    for number, path in enumerate(EVENTS):
        event = with_secret_parameters(planter.planted(read(path)), planter)
        ids = {"request_id": f"request-{number}", "span_id_hex": f"{number + 1:016x}"}
        telemetry.offer(delivered(json.dumps(event).encode(), **ids))
        telemetry.offer(finished(secrets_of_result(planter), request_id=ids["request_id"]))
        if number % 20 == 19:
            assert telemetry.flush()
    assert telemetry.flush()

    sent = b"".join(post.content for post in collector.received())
    found = {planter.paths[int(number)] for number in MARKER.findall(sent)}
    assert [path for path in sorted(found) if not name_of(path) & EXPORTED] == []
    # The list has nothing that is not sent, and the events have had something to hide.
    assert EXPORTED - {name for path in found for name in name_of(path)} == set()
    hidden = {path[-1].lower() for path in planter.paths if path and path not in found}
    assert hidden >= {"cookie", "body", "authorizationtoken", *map(str.lower, SECRET_PARAMETERS)}
    assert MARKER.findall("\n".join(telemetry.warnings).encode()) == []


def test_secrets_in_the_urls_of_an_exception_are_not_sent(
    start: Start, collector: Collector, planter: Planter
) -> None:
    telemetry = start(collector)
    url = f"https://me:{planter.marker('password')}@api/x?page=2&token={planter.marker('token')}"
    error = {
        "errorType": "HttpError",
        "errorMessage": f"GET {url} failed",
        "stackTrace": [f"at get('{url}')"],
    }
    cause = json.dumps({"exceptions": [{"message": url, "type": "T", "stack": [{"label": url}]}]})
    for number, body in enumerate((json.dumps(error), "{}")):
        request_id = f"request-{number}"
        telemetry.offer(delivered(request_id=request_id, span_id_hex=f"{number + 1:016x}"))
        fields = f"Lambda-Runtime-Function-XRay-Error-Cause: {cause}\r\n"
        telemetry.offer(
            finished(body.encode(), endpoint="error", fields=fields, request_id=request_id)
        )
    assert telemetry.flush()

    sent = b"".join(post.content for post in collector.received())
    assert sent.count(b"https://REDACTED:REDACTED@api/x?page=2&token=REDACTED") >= 4
    assert MARKER.findall(sent) == []
