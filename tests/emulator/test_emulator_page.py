"""What the page is told: invocations as JSON, telemetry as OTLP JSON lines; over HTTP, with a real
extension.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import sys
from asyncio import to_thread
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from lrap_otel.emulator import Config, Emulator, history
from lrap_otel.emulator.layers import ours
from lrap_otel.emulator.otlp_json import parse, to_line
from lrap_otel.emulator.parentage import explain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

OURS = ours(Path())
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
HTTP_EVENT = {
    "version": "2.0",
    "headers": {"traceparent": PARENT},
    "requestContext": {
        "domainName": "api.example.com",
        "http": {"method": "GET", "path": "/pets/42"},
    },
    "routeKey": "GET /pets/{id}",
}
PRINTS = """
while True:
    event = client.next()
    print("got it", flush=True)
    client.respond(event["Lambda-Runtime-Aws-Request-Id"], event.body)
"""


class Asker:
    """Asks one emulator's page for things, in a thread."""

    def __init__(self, emulator: Emulator) -> None:
        self.netloc = urlsplit(emulator.invoke_url).netloc

    async def ask(self, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        def call() -> tuple[int, bytes]:
            connection = http.client.HTTPConnection(self.netloc)
            connection.request("GET" if body is None else "POST", path, body)
            answer = connection.getresponse()
            data = answer.read()
            connection.close()
            return answer.status, data

        return await to_thread(call)

    async def json(self, path: str, body: bytes | None = None) -> Any:
        status, data = await self.ask(path, body)
        assert status == 200, data
        return json.loads(data)


@asynccontextmanager
async def observed(config: Config) -> AsyncIterator[tuple[Emulator, Asker]]:
    async with Emulator(config) as emulator:
        yield emulator, Asker(emulator)


def traced(config: Callable[..., Config], source: str = PRINTS) -> Config:
    made = config(source, is_observed=True)
    return Config(
        command=made.command,
        cwd=made.cwd,
        extensions={"lrap-otel": OURS[0]},
        wrapper=OURS[1],
        is_observed=True,
    )


def test_an_invocation_is_told_with_what_our_proxy_changed_and_why_its_parent_is_its_parent(
    config: Callable[..., Config],
) -> None:
    async def main() -> dict[str, Any]:
        async with observed(traced(config)) as (emulator, asker):
            outcome = await emulator.invoke(json.dumps(HTTP_EVENT).encode())
            await emulator.otlp.spans(1)
            told: dict[str, Any] = await asker.json(f"/api/invocations/{outcome.request_id}")
            return told

    told = asyncio.run(main())
    span = next(span for span in told["spans"] if span["kind"] == "SERVER")
    assert (told["status"], told["trigger"], told["local"]) == ("success", "api_gateway_http", True)
    assert json.loads(told["event"]) == HTTP_EVENT
    # The function saw our span as the traceparent of both the event and the reply's head.
    seen = f"00-{span['trace_id_hex']}-{span['span_id_hex']}-01"
    assert json.loads(told["received_event"])["headers"]["traceparent"] == seen
    assert dict(map(tuple, told["received_headers"]))["traceparent"] == seen
    assert "traceparent" not in dict(map(tuple, told["headers"]))
    assert [(context["where"], context["verdict"]) for context in told["contexts"]] == [
        ("event.headers.traceparent", "the parent"),
        (
            "Lambda-Runtime-Trace-Id",
            "not used: another context goes first, or OTEL_PROPAGATORS leaves it out",
        ),
    ]
    assert [line["text"] for line in told["lines"]] == ["got it"]
    times = told["times"]
    order = [
        times[name]
        for name in ("sent", "began", "delivered", "answered", "first_byte", "result", "end")
    ]
    assert order == sorted(order)
    assert told["init"] > 0
    assert told["usage"]["function"]["memory_bytes"] > 1_000_000
    assert told["usage"]["lrap-otel"]["cpu_ms"] > 0


def test_what_goes_through_the_tap_is_what_would_have_gone_without_it(
    config: Callable[..., Config],
) -> None:
    """A large event, a chunked result with trailers, a runtime that reconnects, and one that closes
    its half.
    """
    source = """
event = client.next()
request_id = event["Lambda-Runtime-Aws-Request-Id"]
head = f"POST /2018-06-01/runtime/invocation/{request_id}/response HTTP/1.1\\r\\nHost: x\\r\\n"
client.send(head.encode() + b"Lambda-Runtime-Function-Response-Mode: streaming\\r\\nTransfer-Encoding: chunked\\r\\n")
client.send(b"Trailer: X-End\\r\\n\\r\\n" + b"%x\\r\\n" % len(event.body) + event.body + b"\\r\\n0\\r\\nX-End: yes\\r\\n\\r\\n")
client.receive()
client.close()
client = Client()
event = client.next()
body = b'{"errorType":"E"}'
head = f"POST /2018-06-01/runtime/invocation/{event['Lambda-Runtime-Aws-Request-Id']}/error HTTP/1.1\\r\\nHost: x\\r\\n"
client.send(head.encode() + b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body)
client.socket.shutdown(1)
assert client.receive().status == 202
Client().next()
"""

    async def main() -> None:
        async with observed(config(source, is_observed=True)) as (emulator, asker):
            large = json.dumps("x" * 5_000_000).encode()
            streamed = await emulator.invoke(large)
            assert (streamed.payload == large, streamed.trailers) == (True, {"x-end": "yes"})
            failed = await emulator.invoke(b"{}")
            assert (failed.status, failed.payload) == ("error", b'{"errorType":"E"}')
            told = await asker.json(f"/api/invocations/{streamed.request_id}")
            assert told["received_event"] == large[: 256 * 1024].decode()
            assert told["times"]["delivered"] <= told["times"]["answered"] <= told["times"]["end"]

    asyncio.run(main())


def test_a_runtime_that_ends_is_seen_through_the_tap(config: Callable[..., Config]) -> None:
    async def main() -> str:
        async with observed(config("client.next()\nsys.exit(3)", is_observed=True)) as (
            emulator,
            _,
        ):
            return (await emulator.invoke(b"{}")).reason

    assert asyncio.run(main()) == "Runtime exited with error: exit status 3"


@pytest.mark.parametrize("path", ["/api/invocations?follow=1", "/api/telemetry?follow=1"])
def test_a_reader_who_leaves_is_no_error(
    config: Callable[..., Config], caplog: pytest.LogCaptureFixture, path: str
) -> None:
    async def main() -> None:
        async with observed(traced(config)) as (emulator, asker):
            host, _, port = asker.netloc.partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {asker.netloc}\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            writer.transport.abort()
            for _ in range(2):
                await emulator.invoke(b"1")
            await emulator.otlp.spans(2)
            await emulator.shutdown("spindown")

    asyncio.run(main())
    assert [record.getMessage() for record in caplog.records] == []


def test_the_list_is_told_and_then_followed(config: Callable[..., Config]) -> None:
    async def main() -> list[dict[str, Any]]:
        async with observed(config(PRINTS, is_observed=True)) as (emulator, asker):
            first = await emulator.invoke(b"1")

            def follow() -> list[dict[str, Any]]:
                connection = http.client.HTTPConnection(asker.netloc)
                connection.request("GET", "/api/invocations?follow=1")
                answer = connection.getresponse()
                loop.call_soon_threadsafe(is_followed.set)
                rows = []
                while sum(row["status"] == "success" for row in rows) < 2:
                    if line := answer.readline().strip():
                        rows.append(json.loads(line))
                connection.close()
                return rows

            loop, is_followed = asyncio.get_running_loop(), asyncio.Event()
            following = asyncio.ensure_future(to_thread(follow))
            await is_followed.wait()
            second = await emulator.invoke(b"2")
            rows = await following
            assert [rows[0]["id"], rows[-1]["id"]] == [first.request_id, second.request_id]
            return rows

    rows = asyncio.run(main())
    assert [row["number"] for row in rows][:: len(rows) - 1] == [1, 2]


def test_telemetry_is_exported_as_otlp_json_lines_followed_and_imported_again(
    config: Callable[..., Config],
) -> None:
    async def main() -> None:
        async with (
            observed(traced(config)) as (emulator, asker),
            observed(Config(is_observed=True)) as (other, its),
        ):
            outcome = await emulator.invoke(json.dumps(HTTP_EVENT).encode())
            await emulator.otlp.spans(1)

            def follow() -> bytes:
                connection = http.client.HTTPConnection(asker.netloc)
                connection.request("GET", "/api/telemetry?follow=1")
                answer = connection.getresponse()
                read = b""
                while b"resourceSpans" not in read:
                    read += answer.readline()
                connection.close()
                return read

            followed = await to_thread(follow)
            _, lines = await asker.ask("/api/telemetry")
            assert lines.startswith(followed)
            spans = json.loads(followed.splitlines()[-1])["resourceSpans"][0]["scopeSpans"][0][
                "spans"
            ]
            assert ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7") in [
                (span["traceId"], span["parentSpanId"]) for span in spans
            ]
            # The collector writes a blank line now and then.
            assert await its.json("/api/telemetry", lines + b"\n\n") == {
                "lines": len(lines.splitlines())
            }
            assert other.otlp.received == emulator.otlp.received
            row = next(row for row in await its.json("/api/invocations") if row["name"] != "init")
            assert (row["id"], row["local"], row["name"]) == (
                outcome.request_id,
                False,
                "/pets/{id}",
            )

    asyncio.run(main())


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (b"nonsense", b"line 1: not JSON"),
        (b"\n[]", b"line 2: no OTLP"),
        (b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"zz"}]}]}]}', b"line 1: "),
        (b'{"resourceSpans":7}', b"line 1: not OTLP"),
    ],
)
def test_what_is_no_otlp_is_not_imported(lines: bytes, said: bytes) -> None:
    async def main() -> tuple[int, bytes]:
        async with observed(Config(is_observed=True)) as (_, asker):
            return await asker.ask("/api/telemetry", lines)

    status, text = asyncio.run(main())
    assert (status, said in text) == (400, True), text


def test_every_kind_of_export_is_the_same_after_json() -> None:
    trace = ExportTraceServiceRequest()
    span = (
        trace.resource_spans.add()
        .scope_spans.add()
        .spans.add(trace_id=b"\1" * 16, span_id=b"\2" * 8, kind=2)
    )
    span.start_time_unix_nano = 2**63
    span.attributes.add(key="traceId").value.bytes_value = b"\xff\0"
    span.links.add(trace_id=b"\3" * 16, span_id=b"\4" * 8)
    metrics = ExportMetricsServiceRequest()
    metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="m").histogram
    metric.data_points.add(count=3, bucket_counts=[1, 2], explicit_bounds=[0.5]).exemplars.add(
        span_id=b"\5" * 8
    )
    logs = ExportLogsServiceRequest()
    logs.resource_logs.add().scope_logs.add().log_records.add(
        trace_id=b"\6" * 16
    ).body.string_value = "line\nbreak"
    for message in (trace, metrics, logs):
        line = to_line(message)
        again = type(message)()
        parse(line, again)
        assert again == message
        assert "\n" not in line
    assert (
        json.loads(to_line(trace))["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"]
        == "01" * 16
    )


def test_otlp_as_json_is_received_as_protobuf_is() -> None:
    async def main() -> None:
        async with Emulator(Config()) as emulator:
            span = {
                "traceId": "01" * 16,
                "spanId": "02" * 8,
                "name": "theirs",
                "kind": 2,
                "startTimeUnixNano": "5",
            }
            body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()

            def post() -> tuple[int, bytes]:
                connection = http.client.HTTPConnection(urlsplit(emulator.otlp.endpoint).netloc)
                connection.request("POST", "/v1/traces", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                return answer.status, answer.read()

            assert await to_thread(post) == (200, b"{}")
            (received,) = emulator.otlp.received
            assert (received.name, received.trace_id_hex, received.start_ns) == (
                "theirs",
                "01" * 16,
                5,
            )

    asyncio.run(main())


def test_events_results_and_lines_are_searched(config: Callable[..., Config]) -> None:
    async def main() -> None:
        async with observed(config(PRINTS, is_observed=True)) as (emulator, asker):
            first = await emulator.invoke(b'"Needle & haystack"')
            second = await emulator.invoke(b"2")
            assert await asker.json(f"/api/search?q={quote('needle &')}") == [first.request_id]
            assert await asker.json("/api/search?q=GOT") == [first.request_id, second.request_id]
            assert await asker.json("/api/search?q=nowhere") == []

    asyncio.run(main())


def test_an_event_is_sent_and_a_bad_one_refused(config: Callable[..., Config]) -> None:
    async def main() -> None:
        async with observed(config(PRINTS, is_observed=True)) as (emulator, asker):
            sent = await asker.json("/api/invocations", b'{"event": "[1]"}')
            assert (await emulator.outcome(0)).request_id == sent["id"]
            for body in (b'{"event": "["}', b'{"event": 7}', b"[]", b"{"):
                assert (await asker.ask("/api/invocations", body))[0] == 400
            assert (await asker.ask("/api/invocations/nobody"))[0] == 404
            assert (await asker.json("/api/samples/sns"))["Records"][0]["EventSource"] == "aws:sns"
            assert (await asker.ask("/api/samples/nothing"))[0] == 404

    asyncio.run(main())


def test_the_page_may_load_and_run_nothing_but_itself() -> None:
    async def main() -> tuple[dict[str, str], str]:
        async with observed(Config(is_observed=True)) as (_, asker):

            def call() -> tuple[dict[str, str], str]:
                connection = http.client.HTTPConnection(asker.netloc)
                connection.request("GET", "/")
                answer = connection.getresponse()
                return dict(answer.headers), answer.read().decode()

            return await to_thread(call)

    headers, text = asyncio.run(main())
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; connect-src 'self'; ")
    assert headers["Content-Security-Policy"].count("'sha256-") == 2
    assert "innerHTML" not in text
    assert "https://" not in text


def test_the_history_is_bounded_in_entries_bodies_spans_and_exports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (
        ("KEPT_ENTRIES", 20), ("KEPT_BODY_BYTES", 1000), ("KEPT_SPANS", 30), ("KEPT_EXPORT_BYTES", 2000),
    ):  # fmt: skip
        monkeypatch.setattr(history, name, value)

    async def main() -> None:
        async with Emulator(
            Config(command=[sys.executable, "-c", "0"], is_observed=True)
        ) as emulator:
            kept = emulator.history
            assert kept
            for number in range(50):
                message = ExportTraceServiceRequest()
                spans = message.resource_spans.add().scope_spans.add().spans
                spans.add(trace_id=number.to_bytes(16, "big"), span_id=b"\1" * 8, name="x" * 50)
                emulator.otlp.take(message)
            _, rows = kept.changed_since(0)
            assert [row["number"] for row in rows] == list(range(31, 51))
            position, messages = kept.exports(0)
            assert position == 50
            assert 0 < len(messages) < 50
            assert kept.exports(49) == (50, messages[-1:])

    asyncio.run(main())


def test_old_bodies_go_first(
    config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "KEPT_BODY_BYTES", 1000)

    async def main() -> None:
        async with observed(config(PRINTS, is_observed=True)) as (emulator, asker):
            ids = [
                (await emulator.invoke(json.dumps("x" * 200).encode())).request_id for _ in range(4)
            ]
            told = [await asker.json(f"/api/invocations/{one}") for one in ids]
            assert [one["stripped"] for one in told] == [True, True, True, False]
            assert [len(one["event"]) for one in told] == [0, 0, 0, 202]

    asyncio.run(main())


def test_deltas_of_a_histogram_are_added_up() -> None:
    async def main() -> None:
        async with Emulator(Config(is_observed=True)) as emulator:
            message = ExportMetricsServiceRequest()
            metric = (
                message.resource_metrics.add()
                .scope_metrics.add()
                .metrics.add(name="lrap.proxy.overhead", unit="s")
            )
            metric.histogram.aggregation_temporality = 1
            point = metric.histogram.data_points.add(
                count=2, sum=0.5, explicit_bounds=[0.1], bucket_counts=[1, 1]
            )
            point.attributes.add(key="lrap.endpoint").value.string_value = "next"
            emulator.otlp.take(message)
            emulator.otlp.take(message)
            (series,) = await Asker(emulator).json("/api/metrics")
            assert (series["buckets"], series["count"], series["sum"]) == ([2, 2], 4, 1.0)
            assert series["attributes"] == {"lrap.endpoint": "next"}

    asyncio.run(main())


@pytest.mark.parametrize(
    ("event", "client_context", "where"),
    [
        (
            {"multiValueHeaders": {"Traceparent": [PARENT]}},
            "",
            "event.multiValueHeaders.Traceparent",
        ),
        ({"request": {"headers": {"b3": PARENT[3:52] + "-1"}}}, "", "event.request.headers.b3"),
        ({}, json.dumps({"w3c": {"traceparent": PARENT}}), "client context.w3c.traceparent"),
        (
            {
                "Records": [
                    {
                        "attributes": {
                            "AWSTraceHeader": "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent="
                            + "0" * 16
                        }
                    }
                ]
            },
            "",
            "event.Records.0.attributes.AWSTraceHeader",
        ),
        (
            {"Records": [{"messageAttributes": {"traceparent": {"stringValue": PARENT}}}]},
            "",
            "event.Records.0.messageAttributes.traceparent",
        ),
    ],
)
def test_every_place_of_a_context_is_found(
    event: dict[str, Any], client_context: str, where: str
) -> None:
    (context,) = explain(json.dumps(event).encode(), client_context, "", None)
    assert (context.where, context.trace_id_hex) == (where, "4bf92f3577b34da6a3ce929d0e0e4736")


@pytest.mark.parametrize(
    "event",
    [
        b"",
        b"[",
        b"7",
        b"null",
        b'{"headers":7}',
        b'{"Records":[1,{"attributes":3,"messageAttributes":{"b3":4}}]}',
    ],
)
def test_an_event_of_any_shape_has_contexts_or_none(event: bytes) -> None:
    assert explain(event, "[", "", None) == []
    assert explain(event, "", "nonsense", None)[0].verdict == "ignored: not well-formed"


def test_a_trace_of_many_invocations_is_shown_in_part() -> None:
    """Each of 5,000 invocations in one trace has its own spans, its ancestors and some of the
    others.
    """

    async def main() -> None:
        async with Emulator(Config(is_observed=True)) as emulator:
            kept = emulator.history
            assert kept
            message = ExportTraceServiceRequest()
            spans = message.resource_spans.add().scope_spans.add().spans
            spans.add(trace_id=b"\1" * 16, span_id=b"\1" * 8, name="root")
            for number in range(2, 5000):
                span = spans.add(
                    trace_id=b"\1" * 16, span_id=number.to_bytes(8, "big"), parent_span_id=b"\1" * 8
                )
                span.name, span.start_time_unix_nano = f"span {number}", number
                span.attributes.add(key="faas.invocation_id").value.string_value = str(number)
            emulator.otlp.take(message)
            told = kept.detail("4000")
            assert told
            names = {span["name"] for span in told["spans"]}
            assert {"root", "span 4000"} <= names
            assert len(names) == 102

    asyncio.run(main())
