"""An event that goes the short way is what it would have been on the long way, to the byte but for its random ids."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrap_otel.http1.messages import parse_reply
from lrap_otel.propagation.carrier import find, templates
from lrap_otel.proxy import head_templates
from lrap_otel.proxy.polls import Event
from lrap_otel.proxy.tracer import Tracer
from lrap_otel.sandbox.invocations import Invocation, Invocations
from lrap_otel.settings import Settings
from tests.known import head_of
from tests.proxy.wire import chunked, event_head

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW_NS = 1_795_300_000_000_000_000
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
STRICT = f"00-{TRACE_ID}-{SPAN_ID}-01"
TRACEPARENTS = st.sampled_from(
    [
        STRICT,
        f"00-{TRACE_ID}-{SPAN_ID}-00",
        f"00-{TRACE_ID}-{SPAN_ID}-03",
        f"00-{TRACE_ID}-{SPAN_ID}-ff",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"01-{TRACE_ID}-{SPAN_ID}-01",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        STRICT.upper(),
        f" {STRICT}",
        f"{STRICT}-more",
        "",
        "nonsense",
    ]
)
STATES = st.sampled_from(["a=1", "a=1, b=2", "", "=", 'k="v\\w"', "a=1,a=2"])
TEXTS = st.sampled_from(["/orders", "", '"quoted"', "back\\slash", "umlaut é", "line\nend", '{"headers":{'])
X_RAY_ROOT = "Root=1-5759e988-bd862e3fe1be46a994272793"
X_RAY = st.sampled_from(
    [
        None,
        X_RAY_ROOT,
        f"{X_RAY_ROOT};Lineage=1:73f724a8:0",
        f"{X_RAY_ROOT};Parent=53995c3f42cd8ad8;Sampled=0;Lineage=1:73f724a8:0",
        f"{X_RAY_ROOT};Parent=53995c3f42cd8ad8;Sampled=1",
        f"{X_RAY_ROOT};Parent=0000000000000000;Sampled=1",
        "Root=1-00000000-000000000000000000000000;Parent=53995c3f42cd8ad8;Sampled=1",
    ]
)
VARIABLES = st.fixed_dictionaries(
    {},
    optional={
        b"OTEL_PROPAGATORS": st.sampled_from(
            [b"tracecontext", b"tracecontext,baggage,b3", b"b3multi", b"xray,tracecontext", b"xray-lambda", b"none"]
        ),
        b"OTEL_TRACES_SAMPLER": st.sampled_from([b"always_off", b"always_on", b"parentbased_always_off"]),
        b"LRAP_XRAY_HEADER": st.sampled_from([b"always", b"never"]),
        b"LRAP_SCAN_LIMIT_BYTES": st.just(b"10"),
    },
)


def as_lambda_writes(event: dict[str, object]) -> str:
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False)


def http_api(path: str, headers: dict[str, str]) -> str:
    return as_lambda_writes(
        {"rawPath": path, "headers": {"a": path, **headers}, "requestContext": {"http": {}}, "body": path}
    )


def rest_api(path: str, headers: dict[str, str]) -> str:
    several = {name: [value] for name, value in headers.items()}
    return as_lambda_writes(
        {"path": path, "headers": headers, "multiValueHeaders": {"a": [path], **several}, "requestContext": {}}
    )


def batch(path: str, headers: dict[str, str]) -> str:
    return json.dumps({"Records": [{"body": path, "headers": headers}]})


def other(path: str, headers: dict[str, str]) -> str:
    return json.dumps({"n": [path, *headers.values()]})


def call(path: str, headers: dict[str, str]) -> str:
    return as_lambda_writes({"headers": headers, "body": path})


def passthrough(path: str, headers: dict[str, str]) -> str:
    return as_lambda_writes({"body-json": path, "params": {"path": {}, "header": headers}, "stage-variables": {}})


def appsync(path: str, headers: dict[str, str]) -> str:
    return as_lambda_writes({"request": {"headers": headers}, "info": {"channel": {"path": path}}, "events": []})


def authorizer(path: str, headers: dict[str, str]) -> str:
    return as_lambda_writes({"requestContext": {"channel": path}, "requestHeaders": headers})


def durable(path: str, headers: dict[str, str]) -> str:
    state = {"Operations": [{"ExecutionDetails": {"InputPayload": json.dumps([path, headers])}}]}
    return as_lambda_writes({"DurableExecutionArn": path, "CheckpointToken": "t", "InitialExecutionState": state})


FORMS = st.sampled_from([http_api, rest_api, batch, other, call, passthrough, appsync, authorizer, durable])


@pytest.fixture(autouse=True)
def _nothing_is_known() -> Iterator[None]:
    forget()
    yield
    forget()


def forget() -> None:
    head_templates._replies.clear()
    templates.known.clear()
    head_templates._replies_brake.in_vain = templates.brake.in_vain = templates._looks = 0


def reply(request_id: bytes, payload: bytes, x_ray: str | None, *, is_chunked: bool) -> bytes:
    trace = b"" if x_ray is None else b"Lambda-Runtime-Trace-Id: %s\r\n" % x_ray.encode()
    head = event_head(request_id, trace)
    if is_chunked:
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(payload)
    return head + b"Content-Length: %d\r\n\r\n" % len(payload) + payload


def by_the_long_way(tracer: Tracer, data: bytes, payload: bytes) -> tuple[bytes, Invocation]:
    delivery = tracer.prepare(Event(parse_reply(head_of(data), b"GET"), (payload,), payload), NOW_NS, closes=False)
    assert delivery.invocation is not None
    return b"".join(delivery.parts), delivery.invocation


def by_the_short_way(tracer: Tracer, data: bytes) -> tuple[bytes, Invocation] | None:
    known = head_templates.known_reply(data)
    return tracer.prepare_known(data, known, NOW_NS) if known is not None else None


def told(delivery: tuple[bytes, Invocation]) -> tuple[object, ...]:
    """All that a delivery says, less what chance has made."""
    data, invocation = delivery
    context = invocation.context
    is_by_chance = context.trace_flags & 2 and not invocation.parent_span_id_hex
    trace_id = "" if is_by_chance else context.trace_id_hex
    for value in (context.trace_id_hex[:8] + "-" + context.trace_id_hex[8:], context.trace_id_hex):
        data = data.replace(value.encode(), b"a trace") if is_by_chance else data
    return (
        data.replace(context.span_id_hex.encode(), b"our span"),
        (invocation.request_id, invocation.invocation_id, invocation.deadline_ms),
        (trace_id, context.trace_flags, context.trace_state, invocation.parent_span_id_hex, invocation.link),
    )


def learn(tracer: Tracer, payload: bytes, x_ray: str | None, *, is_chunked: bool) -> None:
    """What a sandbox knows after two such events."""
    for _ in range(2):
        data = reply(b"learned", payload, x_ray, is_chunked=is_chunked)
        by_the_long_way(tracer, data, payload)
        head_templates.learn_reply(parse_reply(head_of(data), b"GET"))


@settings(max_examples=600, deadline=None)
@given(
    VARIABLES,
    FORMS,
    st.tuples(X_RAY, X_RAY),
    st.tuples(TEXTS, TEXTS),
    st.tuples(TRACEPARENTS, TRACEPARENTS),
    st.none() | st.tuples(STATES, STATES),
    st.booleans(),
)
def test_the_short_way_delivers_what_the_long_way_delivers(
    variables: dict[bytes, bytes],
    form: object,
    x_ray: tuple[str | None, str | None],
    paths: tuple[str, str],
    traceparents: tuple[str, str],
    states: tuple[str, str] | None,
    is_chunked: bool,
) -> None:
    forget()
    tracer = Tracer(Settings(variables), Invocations())
    payloads = []
    for number in (0, 1):
        headers = {"traceparent": traceparents[number]} | ({"tracestate": states[number]} if states else {})
        payloads.append(form(paths[number], headers).encode())  # type: ignore[operator]
    learn(tracer, payloads[0], x_ray[0], is_chunked=is_chunked)
    data = reply(b"id-1", payloads[1], x_ray[1], is_chunked=is_chunked)
    short = by_the_short_way(tracer, data)
    assert short is None or told(short) == told(by_the_long_way(tracer, data, payloads[1]))
    templates.known.clear()  # and what a closer look would have written
    assert short is None or told(short) == told(by_the_long_way(tracer, data, payloads[1]))


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("x_ray", [None, X_RAY_ROOT, f"{X_RAY_ROOT};Parent=53995c3f42cd8ad8;Sampled=1;Lineage=1:2:0"])
@pytest.mark.parametrize(
    ("form", "headers"),
    [
        (http_api, {"traceparent": STRICT}),
        (http_api, {"host": "a"}),
        (http_api, {"traceparent": STRICT, "tracestate": "a=1"}),
        (http_api, {"traceparent": "nonsense"}),
        (rest_api, {"traceparent": STRICT, "x-amzn-trace-id": X_RAY_ROOT}),
        (batch, {}),
        (other, {}),
    ],
)
def test_the_usual_events_go_the_short_way(
    form: object, headers: dict[str, str], x_ray: str | None, *, is_chunked: bool
) -> None:
    tracer = Tracer(Settings({}), Invocations())
    learn(tracer, form("/a", headers).encode(), x_ray, is_chunked=is_chunked)  # type: ignore[operator]
    for path in ("/b", 'the "quoted" one'):
        payload = form(path, headers).encode()  # type: ignore[operator]
        data = reply(b"id-1", payload, x_ray, is_chunked=is_chunked)
        short = by_the_short_way(tracer, data)
        assert short is not None
        assert told(short) == told(by_the_long_way(tracer, data, payload))


@pytest.mark.parametrize("form", [call, passthrough, appsync, authorizer, durable])
def test_no_event_that_has_to_be_looked_at_is_passed_on_unseen(form: object) -> None:
    tracer = Tracer(Settings({}), Invocations())
    x_ray = f"{X_RAY_ROOT};Parent=53995c3f42cd8ad8;Sampled=0"
    learn(tracer, form("/a", {"traceparent": STRICT}).encode(), x_ray, is_chunked=False)  # type: ignore[operator]
    payload = form("/b", {"traceparent": STRICT}).encode()  # type: ignore[operator]
    data = reply(b"id-1", payload, x_ray, is_chunked=False)
    short, long = by_the_short_way(tracer, data), by_the_long_way(tracer, data, payload)
    assert long[1].parent_span_id_hex == ("" if form is durable else SPAN_ID)
    assert (f"\r\nLambda-Runtime-Trace-Id: {x_ray}\r\n".encode() in long[0]) is (form is durable)
    assert short is None or told(short) == told(long)


def test_an_event_that_is_open_goes_the_long_way() -> None:
    invocations = Invocations()
    tracer = Tracer(Settings({}), invocations)
    payload = http_api("/a", {"traceparent": STRICT}).encode()
    learn(tracer, payload, None, is_chunked=False)
    data = reply(b"id-1", payload, None, is_chunked=False)
    short = by_the_short_way(tracer, data)
    assert short is not None
    invocations.open(short[1], "a connection", 1)
    assert by_the_short_way(tracer, data) is None


@pytest.mark.parametrize("body", [b"\xff", b'{"headers":{"a":"\xc3"},"requestContext":{}}', b"\x00" * 70])
def test_what_is_no_text_goes_either_way_as_it_came(body: bytes) -> None:
    tracer = Tracer(Settings({}), Invocations())
    learn(tracer, http_api("/a", {"traceparent": STRICT}).encode(), None, is_chunked=False)
    data = reply(b"id-1", body, None, is_chunked=False)
    short, (long, _) = by_the_short_way(tracer, data), by_the_long_way(tracer, data, body)
    assert long.endswith(b"\r\n\r\n" + body)
    assert short is None or short[0].endswith(b"\r\n\r\n" + body)


@pytest.mark.parametrize("path", [b"/\xff", b"/\xc3", b'/\\"\xff'])
def test_what_is_no_text_behind_known_names_is_left_alone_as_well(path: bytes) -> None:
    tracer = Tracer(Settings({}), Invocations())
    learn(tracer, http_api("/a", {"traceparent": STRICT}).encode(), None, is_chunked=False)
    body = http_api("PATH", {"traceparent": STRICT}).encode().replace(b"PATH", path)
    data = reply(b"id-1", body, None, is_chunked=False)
    assert by_the_short_way(tracer, data) is None
    assert by_the_long_way(tracer, data, body)[0].endswith(b"\r\n\r\n" + body)


def test_headers_behind_what_is_known_of_an_event_take_a_closer_look() -> None:
    tracer = Tracer(Settings({}), Invocations())
    payload = http_api("/a", {"traceparent": STRICT}).encode()
    learn(tracer, payload, None, is_chunked=False)
    twice = payload[:-1] + b',"headers":{"traceparent":"00"}}'
    assert find.find_known(twice, 0, len(twice)) is None
    assert by_the_short_way(tracer, reply(b"id-1", twice, None, is_chunked=False)) is None


@pytest.mark.parametrize("event", [b'{"Records":[{"headers":{}}]}', b'{"key":"value"}', b"1", b"not JSON"])
def test_where_there_are_no_headers_nothing_takes_a_closer_look(event: bytes) -> None:
    assert find.find_known(b"head" + event, 4, 4 + len(event)) == (None, (), 4)
