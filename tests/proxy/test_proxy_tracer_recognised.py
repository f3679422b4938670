"""A recognised event is prepared as one that was parsed and scanned, to the byte but for its random
ids.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrap_otel.propagation.carrier.learned import EventTemplates
from lrap_otel.proxy.learned_heads import HeadTemplates
from lrap_otel.proxy.polls import Event
from lrap_otel.proxy.replies import ParsedReply
from lrap_otel.proxy.tracer import Tracer
from lrap_otel.sandbox.invocations import Invocation, Invocations
from lrap_otel.settings import Settings
from lrap_otel.text.learning import PatternCompiler
from tests.known import head_of
from tests.proxy.wire import chunked, event_head

if TYPE_CHECKING:
    from lrap_otel.proxy.head_templates import Reply

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
TEXTS = st.sampled_from(
    ["/orders", "", '"quoted"', "back\\slash", "umlaut é", "line\nend", '{"headers":{']
)
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
            [
                b"tracecontext",
                b"tracecontext,baggage,b3",
                b"b3multi",
                b"xray,tracecontext",
                b"xray-lambda",
                b"none",
            ]
        ),
        b"OTEL_TRACES_SAMPLER": st.sampled_from(
            [b"always_off", b"always_on", b"parentbased_always_off"]
        ),
        b"LRAP_XRAY_HEADER": st.sampled_from([b"always", b"never"]),
        b"LRAP_SCAN_LIMIT_BYTES": st.just(b"10"),
    },
)


def as_lambda_writes(event: dict[str, object]) -> str:
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False)


def http_api(path: str, headers: dict[str, str]) -> str:
    return as_lambda_writes(
        {
            "rawPath": path,
            "headers": {"a": path, **headers},
            "requestContext": {"http": {}},
            "body": path,
        }
    )


def rest_api(path: str, headers: dict[str, str]) -> str:
    several = {name: [value] for name, value in headers.items()}
    return as_lambda_writes(
        {
            "path": path,
            "headers": headers,
            "multiValueHeaders": {"a": [path], **several},
            "requestContext": {},
        }
    )


def batch(path: str, headers: dict[str, str]) -> str:
    return json.dumps({"Records": [{"body": path, "headers": headers}]})


def other(path: str, headers: dict[str, str]) -> str:
    return json.dumps({"n": [path, *headers.values()]})


def call(path: str, headers: dict[str, str]) -> str:
    return as_lambda_writes({"headers": headers, "body": path})


def passthrough(path: str, headers: dict[str, str]) -> str:
    return as_lambda_writes(
        {"body-json": path, "params": {"path": {}, "header": headers}, "stage-variables": {}}
    )


def appsync(path: str, headers: dict[str, str]) -> str:
    return as_lambda_writes(
        {"request": {"headers": headers}, "info": {"channel": {"path": path}}, "events": []}
    )


def authorizer(path: str, headers: dict[str, str]) -> str:
    return as_lambda_writes({"requestContext": {"channel": path}, "requestHeaders": headers})


def durable(path: str, headers: dict[str, str]) -> str:
    state = {"Operations": [{"ExecutionDetails": {"InputPayload": json.dumps([path, headers])}}]}
    return as_lambda_writes(
        {"DurableExecutionArn": path, "CheckpointToken": "t", "InitialExecutionState": state}
    )


FORMS = st.sampled_from(
    [http_api, rest_api, batch, other, call, passthrough, appsync, authorizer, durable]
)


def reply(request_id: bytes, payload: bytes, x_ray: str | None, *, is_chunked: bool) -> bytes:
    trace = b"" if x_ray is None else b"Lambda-Runtime-Trace-Id: %s\r\n" % x_ray.encode()
    head = event_head(request_id, trace)
    if is_chunked:
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(payload)
    return head + b"Content-Length: %d\r\n\r\n" % len(payload) + payload


class Prepared:
    """A tracer with templates, and one without: the oracle."""

    def __init__(self, variables: dict[bytes, bytes] | None = None) -> None:
        compiler = PatternCompiler()
        self.heads, self.events = HeadTemplates(compiler), EventTemplates(compiler)
        self.invocations = Invocations()
        self.tracer = Tracer(Settings(variables or {}), self.invocations, self.events)
        self.oracle = Tracer(Settings(variables or {}), self.invocations)

    def learn(self, payload: bytes, x_ray: str | None, *, is_chunked: bool) -> None:
        """What a sandbox knows after two such events."""
        for _ in range(2):
            event = Event(
                parsed(reply(b"learned", payload, x_ray, is_chunked=is_chunked)),
                (payload,),
                payload,
            )
            delivery = self.tracer.prepare(event, NOW_NS, closes=False)
            assert isinstance(event.head, ParsedReply)
            self.heads.events.learn(event.head)
            if delivery.scanned is not None:
                self.tracer.learn(event, delivery.scanned)

    def recognised(
        self, data: bytes, payload: bytes, *, closes: bool = False
    ) -> tuple[bytes, Invocation]:
        """By templates, as far as they match."""
        head = self.heads.events.recognise(data)
        return prepared(self.tracer, head or parsed(data), payload, closes)  # type: ignore[arg-type]

    def parsed(
        self, data: bytes, payload: bytes, *, closes: bool = False
    ) -> tuple[bytes, Invocation]:
        """Without any."""
        return prepared(self.oracle, parsed(data), payload, closes)

    def is_recognised(self, data: bytes, payload: bytes) -> tuple[bool, bool]:
        """The head, and the event."""
        match = self.events.find(payload) or self.events.find_with_escapes(payload)
        return self.heads.events.recognise(data) is not None, match is not None


def parsed(data: bytes) -> ParsedReply:
    return ParsedReply(head_of(data), b"GET")


def prepared(tracer: Tracer, head: Reply, payload: bytes, closes: bool) -> tuple[bytes, Invocation]:
    delivery = tracer.prepare(Event(head, (payload,), payload), NOW_NS, closes)
    assert delivery.invocation is not None
    return b"".join(delivery.parts), delivery.invocation


def said(delivery: tuple[bytes, Invocation]) -> tuple[object, ...]:
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
        (
            trace_id,
            context.trace_flags,
            context.trace_state,
            invocation.parent_span_id_hex,
            invocation.link,
        ),
    )


@settings(max_examples=600, deadline=None)
@given(
    VARIABLES,
    FORMS,
    st.tuples(X_RAY, X_RAY),
    st.tuples(TEXTS, TEXTS),
    st.tuples(TRACEPARENTS, TRACEPARENTS),
    st.none() | st.tuples(STATES, STATES),
    st.booleans(),
    st.booleans(),
)
def test_a_recognised_event_is_prepared_as_a_parsed_one(
    variables: dict[bytes, bytes],
    form: object,
    x_ray: tuple[str | None, str | None],
    paths: tuple[str, str],
    traceparents: tuple[str, str],
    states: tuple[str, str] | None,
    is_chunked: bool,
    closes: bool,
) -> None:
    both = Prepared(variables)
    payloads = []
    for number in (0, 1):
        headers = {"traceparent": traceparents[number]} | (
            {"tracestate": states[number]} if states else {}
        )
        payloads.append(form(paths[number], headers).encode())  # type: ignore[operator]
    both.learn(payloads[0], x_ray[0], is_chunked=is_chunked)
    data = reply(b"id-1", payloads[1], x_ray[1], is_chunked=is_chunked)
    recognised = both.recognised(data, payloads[1], closes=closes)
    assert said(recognised) == said(both.parsed(data, payloads[1], closes=closes))


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize(
    "x_ray", [None, X_RAY_ROOT, f"{X_RAY_ROOT};Parent=53995c3f42cd8ad8;Sampled=1;Lineage=1:2:0"]
)
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
def test_the_usual_events_are_recognised(
    form: object, headers: dict[str, str], x_ray: str | None, *, is_chunked: bool
) -> None:
    both = Prepared()
    both.learn(form("/a", headers).encode(), x_ray, is_chunked=is_chunked)  # type: ignore[operator]
    for path in ("/b", 'the "quoted" one'):
        payload = form(path, headers).encode()  # type: ignore[operator]
        data = reply(b"id-1", payload, x_ray, is_chunked=is_chunked)
        assert both.is_recognised(data, payload) == (True, form in {http_api, rest_api})
        assert said(both.recognised(data, payload)) == said(both.parsed(data, payload))


@pytest.mark.parametrize("form", [call, passthrough, appsync, authorizer, durable])
def test_no_event_that_has_to_be_looked_at_is_passed_on_unseen(form: object) -> None:
    both = Prepared()
    x_ray = f"{X_RAY_ROOT};Parent=53995c3f42cd8ad8;Sampled=0"
    both.learn(form("/a", {"traceparent": STRICT}).encode(), x_ray, is_chunked=False)  # type: ignore[operator]
    payload = form("/b", {"traceparent": STRICT}).encode()  # type: ignore[operator]
    data = reply(b"id-1", payload, x_ray, is_chunked=False)
    head, invocation = both.recognised(data, payload)
    assert invocation.parent_span_id_hex == ("" if form is durable else SPAN_ID)
    assert (f"\r\nLambda-Runtime-Trace-Id: {x_ray}\r\n".encode() in head) is (form is durable)
    assert said((head, invocation)) == said(both.parsed(data, payload))


def test_an_event_that_is_open_is_delivered_again_with_the_same_context() -> None:
    both = Prepared()
    payload = http_api("/a", {"traceparent": STRICT}).encode()
    both.learn(payload, None, is_chunked=False)
    data = reply(b"id-1", payload, None, is_chunked=False)
    first, invocation = both.recognised(data, payload)
    both.invocations.open(invocation, "a connection", 1)
    assert both.recognised(data, payload) == (first, invocation)


@pytest.mark.parametrize(
    "body", [b"\xff", b'{"headers":{"a":"\xc3"},"requestContext":{}}', b"\x00" * 70]
)
def test_what_is_no_text_goes_on_as_it_came(body: bytes) -> None:
    both = Prepared()
    both.learn(http_api("/a", {"traceparent": STRICT}).encode(), None, is_chunked=False)
    data = reply(b"id-1", body, None, is_chunked=False)
    assert both.recognised(data, body)[0].endswith(b"\r\n\r\n" + body)


@pytest.mark.parametrize("path", [b"/\xff", b"/\xc3", b'/\\"\xff'])
def test_what_is_no_text_beside_known_names_is_left_alone_as_well(path: bytes) -> None:
    both = Prepared()
    both.learn(http_api("/a", {"traceparent": STRICT}).encode(), None, is_chunked=False)
    body = http_api("PATH", {"traceparent": STRICT}).encode().replace(b"PATH", path)
    data = reply(b"id-1", body, None, is_chunked=False)
    assert both.recognised(data, body)[0].endswith(b"\r\n\r\n" + body)


def test_headers_after_what_is_known_of_an_event_are_the_ones_that_count() -> None:
    both = Prepared()
    payload = http_api("/a", {"traceparent": STRICT}).encode()
    both.learn(payload, None, is_chunked=False)
    twice = payload[:-1] + b',"headers":{"traceparent":"00"}}'
    assert both.events.find(twice) is None
    data = reply(b"id-1", twice, None, is_chunked=False)
    assert both.recognised(data, twice)[1].parent_span_id_hex == ""
