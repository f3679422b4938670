"""The tracing cases of the project's list, G1 to G12, through a running proxy.

G8 (one span for each invocation) is in tests/telemetry/test_telemetry_oracle_once.py, which has a
telemetry process beside the proxy; G12 (a tracer that fails) in test_proxy_own_faults.py and, for
the export, in tests/e2e.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from awslambdaric.bootstrap import create_lambda_context
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.ipc import records
from tests.propagation.headers import examples
from tests.propagation.live import Live
from tests.propagation.oracle import extracted
from tests.proxy.wire import ACCEPTED, NEXT, deliver, event, post, result_target
from tests.upstream import connect, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.propagation.live import Delivery
    from tests.proxy.conftest import Proxy
    from tests.upstream import Upstream

    Start = Callable[..., Proxy]
    Deliver = Callable[..., Delivery]

TRACE_ID = "5759e988bd862e3fe1be46a994272793"
SEGMENT = "53995c3f42cd8ad8"
ROOT = "Root=1-5759e988-bd862e3fe1be46a994272793"
LINEAGE = "Lineage=a87bd80c:1|68fd508a:5"
SAMPLED = f"{ROOT};Parent={SEGMENT};Sampled=1;{LINEAGE}"
CALLER_TRACE, CALLER_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{CALLER_TRACE}-{CALLER_SPAN}-01"
TRACE_HEADER = "lambda-runtime-trace-id"

# What every reader takes: OpenTelemetry's for JavaScript wants Root, Parent and Sampled=0 or 1,
# X-Ray's SDKs no empty part.
READABLE = re.compile(
    r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=[01](;Lineage=[^;= ]+)?"
)


@pytest.fixture(scope="module")
def proxies() -> Iterator[Callable[..., Live]]:
    started: dict[str, Live] = {}

    def proxies(**variables: str) -> Live:
        key = repr(sorted(variables.items()))
        if key not in started:
            started[key] = Live(**variables)
        return started[key]

    yield proxies
    for proxy in started.values():
        proxy.close()


@pytest.fixture(scope="module")
def traced(proxies: Callable[..., Live]) -> Deliver:
    """An event with this trace header of Lambda's (None: without), through a proxy with these
    variables.
    """

    def traced(
        value: str | None,
        payload: bytes = b"{}",
        fields: dict[str, str] | None = None,
        **variables: str,
    ) -> Delivery:
        own = {} if value is None else {"Lambda-Runtime-Trace-Id": value}
        return proxies(**variables).deliver(payload, own | (fields or {}))

    return traced


def ours(delivery: Delivery, lineage: str = "") -> str:
    """The trace header that names our span."""
    record = delivery.record
    root = f"Root=1-{record.trace_id_hex[:8]}-{record.trace_id_hex[8:]}"
    return f"{root};Parent={record.span_id_hex};Sampled={record.trace_flags & 1}{lineage and ';'}{lineage}"


# G1


def test_g1_where_lambda_traces_the_function_and_xray_lambda_is_asked_for_its_segment_is_the_parent(
    traced: Deliver,
) -> None:
    delivery = traced(SAMPLED, OTEL_PROPAGATORS="tracecontext,xray-lambda")
    record = delivery.record
    assert (record.trace_id_hex, record.parent_span_id_hex, record.trace_flags) == (
        TRACE_ID,
        SEGMENT,
        1,
    )
    assert record.link_span_id_hex == ""
    assert delivery.fields(TRACE_HEADER) == [ours(delivery, LINEAGE)]


def test_g1_where_xray_is_the_backend_the_header_names_our_span_in_the_same_trace(
    traced: Deliver,
) -> None:
    # The propagator `xray` does not read Lambda's own header, as the SDK's does not: `xray-lambda`
    # is there for that.
    delivery = traced(SAMPLED, OTEL_PROPAGATORS="tracecontext,xray")
    record = delivery.record
    assert (record.trace_id_hex, record.parent_span_id_hex, record.link_span_id_hex) == (
        TRACE_ID,
        "",
        SEGMENT,
    )
    assert delivery.fields(TRACE_HEADER) == [ours(delivery, LINEAGE)]


def test_g1_otherwise_it_is_the_same_trace_and_a_link_and_the_header_is_as_it_came(
    traced: Deliver,
) -> None:
    delivery = traced(SAMPLED)
    record = delivery.record
    assert (record.trace_id_hex, record.parent_span_id_hex) == (TRACE_ID, "")
    assert (record.link_trace_id_hex, record.link_span_id_hex) == (TRACE_ID, SEGMENT)
    assert delivery.fields(TRACE_HEADER) == [SAMPLED]
    assert delivery.fields("x-amzn-trace-id") == [ours(delivery, LINEAGE)]


@pytest.mark.parametrize("propagators", ["tracecontext,baggage", "xray", "xray-lambda", "b3"])
@pytest.mark.parametrize(
    "value", [SAMPLED, SAMPLED.replace("Sampled=1", "Sampled=0"), f"{ROOT};{LINEAGE}", None]
)
@pytest.mark.parametrize("setting", ["auto", "always", "never"])
def test_g1_the_setting_and_the_backend_decide_whose_header_it_is(
    traced: Deliver, propagators: str, value: str | None, setting: str
) -> None:
    delivery = traced(value, OTEL_PROPAGATORS=propagators, LRAP_XRAY_HEADER=setting)
    stays = setting == "never" or (
        setting == "auto" and value == SAMPLED and "xray" not in propagators
    )
    came = [] if value is None else [value]
    assert delivery.fields(TRACE_HEADER) == (
        came if stays else [ours(delivery, LINEAGE if value else "")]
    )


# G2


@pytest.mark.parametrize(
    "propagators",
    ["tracecontext,baggage", "xray", "xray-lambda", "tracecontext,baggage,xray-lambda"],
)
def test_g2_a_header_of_passive_tracing_names_no_parent_and_leaves_naming_our_span(
    traced: Deliver, propagators: str
) -> None:
    delivery = traced(f"{ROOT};{LINEAGE}", OTEL_PROPAGATORS=propagators)
    record = delivery.record
    assert (record.trace_id_hex, record.parent_span_id_hex, record.link_span_id_hex) == (
        TRACE_ID,
        "",
        "",
    )
    (written,) = delivery.fields(TRACE_HEADER)
    assert READABLE.fullmatch(written)
    assert written == ours(delivery, LINEAGE)


# G3

ODD = [
    f"{ROOT};Parent={SEGMENT};Sampled=0",
    f"{ROOT};Parent={SEGMENT};Sampled=?",
    f"{ROOT};Parent={SEGMENT};Sampled=",
    f"{ROOT};Parent={SEGMENT}",
    f"Self=1-67891234-12456789abcdef012345678;{ROOT};Parent={SEGMENT};Sampled=1",
    f"Self=1-67891234-12456789abcdef012345678;{ROOT}",
    f" {ROOT} ; Parent = {SEGMENT} ; Sampled = 1 ",
    f"{ROOT};Parent={SEGMENT};Sampled=1;Foo=bar",
    f"{ROOT};Parent={SEGMENT};Sampled=1;Foo=a=b",
    f"{ROOT};Parent={SEGMENT};Sampled=1;",
    f"{ROOT};Parent={SEGMENT};Sampled=1;;",
    f"{ROOT};{ROOT};Parent={SEGMENT};Sampled=0;Sampled=1",
    f"{ROOT};Parent=0000000000000000;Sampled=1",
    f"{ROOT};Parent={SEGMENT[1:]};Sampled=1",
    f"Root=1-00000000-000000000000000000000000;Parent={SEGMENT};Sampled=1",
    f"Root=2-5759e988-bd862e3fe1be46a994272793;Parent={SEGMENT};Sampled=1",
    f"{ROOT.upper()};Parent={SEGMENT};Sampled=1",
    f"Root={TRACE_ID};Parent={SEGMENT};Sampled=1",
    f"Parent={SEGMENT};Sampled=1",
    "Sampled=1",
    "garbage",
    "=;=",
    ";;;",
    "",
    "x" * 90_000,
]


def is_readable_or_as_it_came(delivery: Delivery, sent: list[str]) -> None:
    """The trace header names our span to OpenTelemetry's propagators for Python and JavaScript; or
    it is what came.
    """
    record = delivery.record
    written = delivery.fields(TRACE_HEADER)
    if written == sent:
        return
    assert len(written) == 1
    assert READABLE.fullmatch(written[0])
    span = (record.trace_id_hex, record.span_id_hex, record.trace_flags & 1, "")
    assert extracted(["xray"], {"X-Amzn-Trace-Id": written[0]}) == span


@pytest.mark.parametrize("propagators", ["tracecontext,baggage", "xray", "xray-lambda", "none"])
@pytest.mark.parametrize("value", ODD, ids=range(len(ODD)))
def test_g3_an_odd_trace_header_stops_nothing_and_leaves_readable_or_as_it_came(
    traced: Deliver, propagators: str, value: str
) -> None:
    delivery = traced(value, OTEL_PROPAGATORS=propagators)
    assert delivery.payload == b"{}"
    is_readable_or_as_it_came(delivery, [value.strip()])


@pytest.mark.parametrize("value", ["Sampled=1", f"Parent={SEGMENT};Sampled=1", f"{ROOT};Sampled=1"])
def test_g3_a_header_that_names_no_segment_is_not_kept_for_it(traced: Deliver, value: str) -> None:
    delivery = traced(value)
    assert delivery.fields(TRACE_HEADER) == [ours(delivery)]


@pytest.mark.parametrize("propagators", ["tracecontext,baggage", "xray-lambda"])
def test_g3_two_trace_headers_become_one_or_stay_two(traced: Deliver, propagators: str) -> None:
    for sent in (
        [SAMPLED, f"{ROOT};{LINEAGE}"],
        [f"{ROOT};{LINEAGE}", SAMPLED],
        ["", SAMPLED],
        ["garbage", "garbage"],
    ):
        delivery = traced(
            sent[0], fields={"lambda-runtime-trace-id": sent[1]}, OTEL_PROPAGATORS=propagators
        )
        is_readable_or_as_it_came(delivery, sent)


@given(
    st.sampled_from(["tracecontext,baggage", "xray-lambda"]),
    st.lists(
        st.one_of(
            st.sampled_from(
                [
                    ROOT,
                    f"Parent={SEGMENT}",
                    "Sampled=1",
                    "Sampled=0",
                    LINEAGE,
                    "Self=1",
                    "Lineage=\u00e9",
                    "=",
                    "",
                ]
            ),
            st.text(
                st.characters(min_codepoint=32, max_codepoint=255, exclude_categories=["Cc"]),
                max_size=20,
            ),
        ),
        max_size=5,
    ).map(";".join),
)
@examples(100)
def test_g3_no_trace_header_stops_an_event(traced: Deliver, propagators: str, value: str) -> None:
    is_readable_or_as_it_came(traced(value, OTEL_PROPAGATORS=propagators), [value.strip(" ")])


# G4


@given(
    st.integers(1, 2**128 - 1).map("{:032x}".format),
    st.sampled_from(["", f";Parent={SEGMENT};Sampled=0", f";Parent={SEGMENT};Sampled=1"]),
    st.sampled_from(["", f";{LINEAGE}"]),
    st.sampled_from(["always_on", "always_off"]),
)
@examples(60)
def test_g4_what_the_runtime_reads_is_our_span(
    traced: Deliver, trace_id: str, rest: str, lineage: str, sampler: str
) -> None:
    sent = f"Root=1-{trace_id[:8]}-{trace_id[8:]}{rest}{lineage}"
    delivery = traced(sent, OTEL_TRACES_SAMPLER=sampler, LRAP_XRAY_HEADER="always")
    span = (trace_id, delivery.record.span_id_hex, int(sampler == "always_on"), "")
    for name in ("lambda-runtime-trace-id", "x-amzn-trace-id"):
        (written,) = delivery.fields(name)
        assert READABLE.fullmatch(written)
        assert written.endswith(lineage)
        assert extracted(["xray"], {"X-Amzn-Trace-Id": written}) == span
        # The Lambda propagator of an SDK in the function reads the environment, which the runtime
        # sets from this header.
        assert extracted(["xray-lambda"], {}, written) == span


# G5


@pytest.mark.parametrize(
    ("sent", "before", "behind"),
    [
        ("{}", '{"w3c":{', "}}"),
        (
            '{"custom":{"n":12345678901234567890,"n":1.0e2}}',
            '{"w3c":{',
            '},"custom":{"n":12345678901234567890,"n":1.0e2}}',
        ),
        (
            ' { "client" : {"a":"\\u00e9"} } ',
            ' {"w3c":{',
            '}, "client" : {"a":"\\u00e9"} } '.rstrip(),
        ),
        (
            '{"env":{"a":1},"w3c":{"traceparent":"x"},"z":[ ]}',
            '{"env":{"a":1},"w3c":{',
            '},"z":[ ]}',
        ),
    ],
)
def test_g5_w3c_is_added_or_replaced_and_every_other_byte_of_the_client_context_stays(
    traced: Deliver, sent: str, before: str, behind: str
) -> None:
    delivery = traced(None, fields={"Lambda-Runtime-Client-Context": sent})
    (written,) = delivery.fields("lambda-runtime-client-context")
    assert written == f'{before}"traceparent":"{delivery.field("traceparent")}"{behind}'.strip()
    json.loads(written)


@pytest.mark.parametrize(
    "sent", ["not JSON", "[1]", '"w3c"', "7", "null", '{"w3c":', '{"a":1}}', '{"a":1,}', "{'a':1}"]
)
def test_g5_what_is_no_object_of_json_stays_as_it_is(traced: Deliver, sent: str) -> None:
    assert traced(None, fields={"Lambda-Runtime-Client-Context": sent}).fields(
        "lambda-runtime-client-context"
    ) == [sent]


@pytest.mark.parametrize(("length", "is_edited"), [(90_000, True), (99_000, True), (99_990, False)])
def test_g5_a_line_that_would_get_too_long_for_a_runtime_stays_as_it_is(
    traced: Deliver, length: int, *, is_edited: bool
) -> None:
    sent = json.dumps({"custom": {"a": "x" * (length - 21)}})
    assert len(sent) == length
    (written,) = traced(None, fields={"Lambda-Runtime-Client-Context": sent}).fields(
        "lambda-runtime-client-context"
    )
    assert (written != sent) is is_edited
    assert len(written) < 100_000


def test_g5_bytes_that_are_no_text_stay_as_they_are(traced: Deliver) -> None:
    sent = '{"custom":{"a":"\xff\xfe"}}'
    assert traced(None, fields={"Lambda-Runtime-Client-Context": sent}).fields(
        "lambda-runtime-client-context"
    ) == [sent]


def test_g5_an_absent_client_context_stays_absent_and_an_empty_one_empty(traced: Deliver) -> None:
    assert traced(None).fields("lambda-runtime-client-context") == []
    assert traced(None, fields={"Lambda-Runtime-Client-Context": ""}).fields(
        "lambda-runtime-client-context"
    ) == [""]


@pytest.mark.parametrize("payload", [b"7", b'{"headers":{"a":"b"},"requestContext":{}}'])
@pytest.mark.parametrize("w3c", [None, {"baggage": "user=1"}])
def test_g5_the_callers_span_is_found_wherever_the_client_context_has_it(
    traced: Deliver, payload: bytes, w3c: dict[str, str] | None
) -> None:
    sent = json.dumps({"custom": {"traceparent": TRACEPARENT}} | ({"w3c": w3c} if w3c else {}))
    record = traced(None, payload, {"Lambda-Runtime-Client-Context": sent}).record
    assert (record.trace_id_hex, record.parent_span_id_hex) == (CALLER_TRACE, CALLER_SPAN)


# G6


@pytest.mark.parametrize(
    "w3c", [None, {"traceparent": TRACEPARENT, "tracestate": "a=1", "baggage": "user=1"}]
)
def test_g6_a_python_function_finds_our_span_in_its_context(
    traced: Deliver, w3c: dict[str, str] | None
) -> None:
    custom = {"user": "7", "n": 1}
    sent = json.dumps(
        {"client": {"app_title": "t"}, "custom": custom, "env": {"a": "b"}}
        | ({"w3c": w3c} if w3c else {})
    )
    delivery = traced(None, fields={"Lambda-Runtime-Client-Context": sent})
    # What awslambdaric makes of the header: this is the client that runs in Lambda.
    written = delivery.field("lambda-runtime-client-context")
    context = create_lambda_context(written, None, 0, "r", "arn", None)
    assert context.w3c() == {
        "traceparent": delivery.field("traceparent"),
        **({"tracestate": "a=1", "baggage": "user=1"} if w3c else {}),
    }
    assert delivery.record.parent_span_id_hex == (CALLER_SPAN if w3c else "")
    assert context.client_context.custom == custom
    assert context.client_context.env == {"a": "b"}
    assert context.client_context.client.app_title == "t"


# G7


@pytest.mark.parametrize("propagators", ["tracecontext,baggage", "xray", "xray-lambda", "b3"])
def test_g7_every_event_has_a_trace_header_also_where_lambda_sends_none(
    traced: Deliver, propagators: str
) -> None:
    # Ruby's client keeps the one of the event before where it finds none.
    values = []
    for sent in (SAMPLED, None, f"{ROOT};{LINEAGE}", None):
        (value,) = traced(sent, OTEL_PROPAGATORS=propagators).fields(TRACE_HEADER)
        values.append(value)
    assert len(set(values)) == 4


# G9


def test_g9_64_events_at_once_have_each_its_own_span(start: Start, upstream: Upstream) -> None:
    proxy = start(AWS_LAMBDA_INITIALIZATION_TYPE="lambda-managed-instances")
    runtimes = [proxy.connect().send(NEXT) for _ in range(64)]
    polls = [upstream.accept() for _ in range(64)]
    for api in polls:
        api.read_head()
    numbers = list(range(64))
    random.Random(9).shuffle(numbers)
    for number, api in zip(numbers, polls, strict=True):
        headers = {"traceparent": f"00-{number + 1:032x}-{number + 1:016x}-0{number % 4}"}
        body = json.dumps({"headers": headers, "requestContext": {}}).encode()
        api.send(event(b"id-%d" % number, body))
    told = {}
    for runtime in runtimes:
        head, body = runtime.read_message()
        traceparent = (field(head, "traceparent") or b"").decode()
        assert json.loads(body)["headers"]["traceparent"] == traceparent
        told[(field(head, "lambda-runtime-aws-request-id") or b"").decode()] = traceparent
    for _ in runtimes:
        record = proxy.record()
        assert isinstance(record, records.Delivered)
        number = int(record.request_id[3:])
        assert (record.trace_id_hex, record.parent_span_id_hex) == (
            f"{number + 1:032x}",
            f"{number + 1:016x}",
        )
        assert (
            told.pop(record.request_id)
            == f"00-{record.trace_id_hex}-{record.span_id_hex}-0{number % 4}"
        )
    assert told == {}


def test_g9_two_attempts_of_one_request_at_once_are_two_spans(
    proxy: Proxy, upstream: Upstream
) -> None:
    runtimes = []
    for attempt in (b"a1", b"a2"):
        runtime = proxy.connect().send(NEXT)
        api = upstream.accept()
        api.read_head()
        api.send(event(b"r", fields=b"Lambda-Runtime-Invocation-Id: %s\r\n" % attempt))
        head, _ = runtime.read_message()
        traceparent = field(head, "traceparent")
        runtimes.append((runtime, api, traceparent))
        record = proxy.record()
        assert isinstance(record, records.Delivered)
        assert record.invocation_id.encode() == attempt
        assert (
            traceparent
            == f"00-{record.trace_id_hex}-{record.span_id_hex}-0{record.trace_flags}".encode()
        )
    assert len({traceparent for _, _, traceparent in runtimes}) == 2
    for (runtime, api, _), attempt in zip(runtimes, ("a1", "a2"), strict=True):
        result = post(
            result_target(b"r"), b"{}", f"Lambda-Runtime-Invocation-Id: {attempt}\r\n".encode()
        )
        runtime.send(result)
        api.read(len(result))
        api.send(ACCEPTED)
        runtime.read(len(ACCEPTED))
        finished = proxy.record()
        assert isinstance(finished, records.Finished)
        assert finished.invocation_id == attempt


# G10


def test_g10_copies_of_one_snapshot_have_ids_of_their_own(upstream: Upstream) -> None:
    script = Path(__file__).parents[1] / "propagation" / "clones.py"
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", str(script), str(upstream.port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(script.parents[2])},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ports = [int(process.stdout.readline()) for _ in range(2)]
        ids = [
            ids_through(port, upstream, request_id)
            for request_id in (b"r1", b"r2")
            for port in ports
        ]
        process.stdin.close()
        assert process.wait() == 0
    assert len({trace_id for trace_id, _ in ids}) == len({span_id for _, span_id in ids}) == 4


def ids_through(port: int, upstream: Upstream, request_id: bytes) -> tuple[bytes, bytes]:
    """Trace and span id of one event through the proxy at this port, on connections of its own."""
    runtime = connect(port).send(NEXT)
    api = upstream.accept()
    api.read_head()
    api.send(event(request_id))
    head, _ = runtime.read_message()
    api.close()
    runtime.close()
    _, trace_id, span_id, _ = (field(head, "traceparent") or b"").split(b"-")
    return trace_id, span_id


# G11


def test_g11_the_first_event_of_a_sandbox_and_no_other_is_a_cold_start(
    proxy: Proxy, upstream: Upstream
) -> None:
    seen = []
    # The second is the first one again: the same invocation.
    for request_id in (b"first", b"first", b"second", b"third"):
        deliver(proxy, upstream, event(request_id))
        record = proxy.record()
        assert isinstance(record, records.Delivered)
        seen.append((record.request_id, record.cold_start))
    assert seen == [("first", True), ("first", True), ("second", False), ("third", False)]


# Baggage


@pytest.mark.parametrize("propagators", ["tracecontext,baggage", "baggage", "xray", "none"])
@pytest.mark.parametrize("baggage", ["user=1,region=eu;ttl=5", "", "==", "a=" + "x" * 9_000])
def test_baggage_passes_untouched_wherever_it_is(
    traced: Deliver, propagators: str, baggage: str
) -> None:
    sent = {
        "headers": {"Baggage": baggage},
        "multiValueHeaders": {"Baggage": [baggage, "b=2"]},
        "requestContext": {},
    }
    client_context = json.dumps({"custom": {"baggage": baggage}, "w3c": {"baggage": baggage}})
    delivery = traced(
        None,
        json.dumps(sent).encode(),
        {"Baggage": baggage, "Lambda-Runtime-Client-Context": client_context},
        OTEL_PROPAGATORS=propagators,
    )
    assert delivery.event["headers"]["Baggage"] == baggage
    assert delivery.event["multiValueHeaders"]["Baggage"] == [baggage, "b=2"]
    assert delivery.fields("baggage") == [baggage]
    context = json.loads(delivery.field("lambda-runtime-client-context"))
    assert context["custom"]["baggage"] == context["w3c"]["baggage"] == baggage
