"""What is read from results and errors, whole and cut, and that nothing in them can raise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.ipc import records
from lrap_otel.telemetry import json_text, results
from lrap_otel.telemetry.bodies import Body, dechunk
from lrap_otel.telemetry.heads import Head
from lrap_otel.telemetry.open_invocations import Invocation
from lrap_otel.telemetry.triggers.description import Options
from tests.telemetry.proxy_records import delivered, finished

CHUNKED = Head(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
PLAIN = Head(b"POST / HTTP/1.1\r\n\r\n")
LARGE = "x" * 100_000


def captured(body: bytes, head: Head = PLAIN) -> Body:
    """As the proxy captures it."""
    first = body[: records.CAPTURE_FIRST_BYTES]
    last = body[records.CAPTURE_FIRST_BYTES :][-records.CAPTURE_LAST_BYTES :]
    return Body(head, first + last, len(first), len(body))


def status(body: Body, *, is_streamed: bool = False, has_default: bool = False) -> int | None:
    return results.http_status(body, is_streamed=is_streamed, has_default=has_default)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"statusCode": 201, "body": "x"}, 201),
        ({"body": "x", "statusCode": "404"}, 404),
        ({"statusCode": 200, "body": LARGE}, 200),
        ({"body": LARGE, "statusCode": 502}, 502),
        ({"body": LARGE, "statusCode": 502, "headers": {"a": "}"}, "isBase64Encoded": False}, 502),
        ({"body": LARGE + '","statusCode":500,"x":"', "headers": {"statusCode": 500}}, None),
        ({"headers": {"statusCode": 500}, "body": LARGE}, None),
        ({"body": '{"statusCode":500}'}, None),
        ({"statusCode": 42}, None),
        ({"statusCode": True}, None),
        ({"statusCode": "200x"}, None),
        ({"statusCode": 200.5}, None),
        ([], None),
        ("text", None),
    ],
)
def test_the_status_of_a_result_is_found_wherever_it_stands(
    result: Any, expected: int | None
) -> None:
    assert status(captured(json.dumps(result).encode())) == expected


def test_the_status_is_found_in_the_tail_of_a_chunked_result() -> None:
    text = json.dumps({"body": LARGE, "statusCode": 503, "headers": {}}).encode()
    cut = len(text) - 30
    wire = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (cut, text[:cut], 30, text[cut:])

    assert status(captured(wire, CHUNKED)) == 503


@pytest.mark.parametrize("body", [b'"text"', b"{}", b"not JSON", b""])
def test_a_result_without_a_status_is_200_where_the_trigger_says_so(body: bytes) -> None:
    assert status(captured(body), has_default=True) == 200


def test_a_long_result_whose_status_may_lie_between_its_ends_has_none() -> None:
    body = json.dumps({"body": LARGE, "cookies": [LARGE]}).encode()

    assert status(captured(body), has_default=True) is None


@pytest.mark.parametrize(
    "page",
    [json.dumps("<html>" + LARGE).encode(), b"<html>" + LARGE.encode(), b" [" + b"1," * 60_000],
)
def test_a_long_result_that_is_no_object_is_200_where_the_trigger_says_so(page: bytes) -> None:
    assert status(captured(page), has_default=True) == 200
    assert status(captured(page)) is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"statusCode":418}' + b"\0" * 8 + b"<html>", 418),
        (b'{"headers":{},"statusCode":503}' + b"\0" * 8 + LARGE.encode(), 503),
        (b'{"headers":{}}' + b"\0" * 8, 200),
        (b"\0" * 8, 200),
        # A prelude that does not end in what we have: its status if it came first.
        (b'{"statusCode":201,"headers":{"a":"' + LARGE.encode() + b'"}}' + b"\0" * 8, 201),
        (b'{"headers":{"a":"' + LARGE.encode() + b'"},"statusCode":201}' + b"\0" * 8, None),
        (b"", None),
    ],
)
def test_a_streamed_result_has_its_status_before_eight_nul_bytes(
    body: bytes, expected: int | None
) -> None:
    assert status(captured(body), is_streamed=True) == expected


def of_ids(count: int) -> list[dict[str, str]]:
    return [{"itemIdentifier": f"{number:036}"} for number in range(count)]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"batchItemFailures": of_ids(2)}, 2),
        ({"batchItemFailures": []}, 0),
        ({"batchItemFailures": of_ids(1_000)}, 1_000),
        ({"note": LARGE, "batchItemFailures": of_ids(3)}, 3),
        ({"batchItemFailures": of_ids(3), "note": LARGE}, 3),
        # Beyond what the record carries of the result, and no list at all.
        ({"batchItemFailures": of_ids(10_000)}, None),
        ({"note": LARGE, "batchItemFailures": of_ids(1_000)}, None),
        ({"inner": {"batchItemFailures": of_ids(1)}}, None),
        ({"batchItemFailures": None}, None),
        ({"batchItemFailures": "all"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_the_records_that_a_result_gives_back_are_counted(
    result: Any, expected: int | None
) -> None:
    assert results.item_failures(captured(json.dumps(result).encode())) == expected


def described(
    event: dict[str, Any], body: bytes, endpoint: str = "response", fields: str = "", **changed: Any
) -> Invocation:
    message, payload = delivered(json.dumps(event).encode())
    invocation = Invocation(records.read(*message, payload), "7", Options())
    message, payload = finished(body, endpoint, fields, **changed)
    invocation.finish(records.read(*message, payload))
    return invocation


REST = {"httpMethod": "GET", "resource": "/", "requestContext": {"stage": "prod"}}
LOAD_BALANCER = {"httpMethod": "GET", "path": "/", "requestContext": {"elb": {}}}
HTTP_API = {"version": "2.0", "requestContext": {"http": {"method": "GET"}}}
FUNCTION_URL = {
    "version": "2.0",
    "requestContext": {"http": {}, "domainName": "a.lambda-url.eu-west-1.on.aws"},
}
STREAMED = (
    b"POST / HTTP/1.1\r\nLambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Type: application/vnd.awslambda.http-integration-response\r\n\r\n"
)
STREAMING = b"Lambda-Runtime-Function-Response-Mode: Streaming\r\n"


@pytest.mark.parametrize(
    ("event", "without"),
    [(REST, None), (LOAD_BALANCER, None), (HTTP_API, 200), (FUNCTION_URL, 200)],
)
def test_the_status_of_each_kind_of_http_result(event: dict[str, Any], without: int | None) -> None:
    assert described(event, b'{"body":"x","statusCode":404}').http_status == 404
    assert described(event, b'{"body":"x"}').http_status == without
    assert described(event, b'{"body":"x"}').error_type == ""
    assert described(event, b'{"statusCode":404}').error_type == ""
    assert described(event, b'{"statusCode":500}').error_type == "500"


def streamed(prelude: bytes, trailers: str = "") -> Invocation:
    body = prelude + b"\0" * 8 + b"<html>"
    wire = b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, trailers.encode())
    message, payload = delivered(json.dumps(FUNCTION_URL).encode())
    invocation = Invocation(records.read(*message, payload), "7", Options())
    message, _ = finished(wire, head_length=len(STREAMED))
    invocation.finish(records.read(*message, STREAMED + wire))
    return invocation


def test_a_streamed_result_has_the_status_of_its_prelude() -> None:
    assert streamed(b'{"statusCode":503}').error_type == "503"
    assert streamed(b'{"statusCode":404}').http_status == 404
    assert streamed(b"{}").http_status == 200


def streamed_as(
    fields: bytes, body: bytes, event: dict[str, Any], *, sizes: tuple[int, ...] = ()
) -> Invocation:
    """A result with these fields, in chunks that end at `sizes`."""
    ends = [*sizes, len(body)]
    chunks = [body[start:end] for start, end in zip([0, *sizes], ends, strict=True) if end > start]
    wire = b"".join([b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]) + b"0\r\n\r\n"
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + fields + b"\r\n"
    message, payload = delivered(json.dumps(event).encode())
    invocation = Invocation(records.read(*message, payload), "7", Options())
    first, last = wire[: records.CAPTURE_FIRST_BYTES], wire[records.CAPTURE_FIRST_BYTES :][-4_096:]
    lengths = {"first_length": len(first), "last_length": len(last), "body_length": len(wire)}
    message, _ = finished(head_length=len(head), **lengths)
    invocation.finish(records.read(*message, head + first + last))
    return invocation


@pytest.mark.parametrize(
    "fields",
    [
        STREAMING,
        STREAMING + b"Content-Type: application/octet-stream\r\n",
        STREAMING
        + b"Content-Type: application/vnd.awslambda.http-integration-response; charset=utf-8\r\n",
        b"Content-Type: Application/Vnd.AwsLambda.Http-Integration-Response;a=b\r\n",
    ],
)
@pytest.mark.parametrize("event", [REST, LOAD_BALANCER, HTTP_API, FUNCTION_URL])
@pytest.mark.parametrize("rest", [b"", b"<html>", b'{"statusCode":200}', bytes(range(256)) * 600])
def test_a_prelude_is_known_by_its_form(fields: bytes, event: dict[str, Any], rest: bytes) -> None:
    invocation = streamed_as(fields, b'{"statusCode":503}' + b"\0" * 8 + rest, event)

    assert (invocation.http_status, invocation.error_type) == (503, "503")
    assert streamed_as(fields, b'{"cookies":[]}' + b"\0" * 8 + rest, event).http_status == 200


@pytest.mark.parametrize("cut", range(1, 28))
def test_a_prelude_may_be_cut_anywhere_by_chunks(cut: int) -> None:
    body = b'{"statusCode":503}' + b"\0" * 8 + b"<html>"

    assert streamed_as(STREAMING, body, FUNCTION_URL, sizes=(cut,)).http_status == 503
    assert streamed_as(STREAMING, body, FUNCTION_URL, sizes=(cut, cut + 1)).http_status == 503


@pytest.mark.parametrize(
    ("body", "without", "with_default"),
    [
        # What stands before the eight NUL bytes is no object, or there are none: it is no prelude.
        (b"<html>" + b"\0" * 8 + b'{"statusCode":503}', None, 200),
        (b'["statusCode",503]' + b"\0" * 8, None, 200),
        (b'{"statusCode":503}' + b"\0" * 7 + b"<html>", None, 200),
        (b"<html>" + LARGE.encode() + b'","statusCode":503}', None, 200),
        (b'{"a":"' + LARGE.encode() + b'","statusCode":503}', None, None),
    ],
)
def test_what_has_not_the_form_of_a_prelude_is_none(
    body: bytes, without: int | None, with_default: int | None
) -> None:
    assert streamed_as(STREAMING, body, REST).http_status == without
    assert streamed_as(STREAMING, body, FUNCTION_URL).http_status == with_default


def test_a_stream_that_fails_in_its_middle_is_an_error_whatever_its_status() -> None:
    body = "eyJlcnJvclR5cGUiOiJPb3BzIiwiZXJyb3JNZXNzYWdlIjoibm8ifQ=="
    trailers = f"Lambda-Runtime-Function-Error-Type: Runtime.StreamError\r\nLambda-Runtime-Function-Error-Body: {body}\r\n"

    invocation = streamed(b'{"statusCode":200}', trailers)

    assert (invocation.http_status, invocation.error_type) == (200, "Oops")
    assert invocation.failure is not None
    assert invocation.failure.message == "no"


BACK = b'{"batchItemFailures":[{"itemIdentifier":"1"}]}'


@pytest.mark.parametrize(
    "event",
    [
        {"Records": [{"eventSource": "aws:sqs"}]},
        {"Records": [{"eventSource": "aws:kinesis"}]},
        {"Records": [{"eventSource": "aws:dynamodb"}]},
        {"eventSource": "aws:kafka", "records": {}},
    ],
)
def test_batches_may_give_records_back_and_have_not_failed(event: dict[str, Any]) -> None:
    invocation = described(event, BACK)

    assert (invocation.item_failures, invocation.error_type) == (1, "")


def test_what_only_looks_as_if_it_gave_records_back_is_not_counted() -> None:
    sqs = {"Records": [{"eventSource": "aws:sqs"}]}

    assert described({"a": 1}, BACK).item_failures is None
    assert described({"Records": [{"EventSource": "aws:sns"}]}, BACK).item_failures is None
    assert described(sqs, BACK, "error").item_failures is None
    assert described(sqs, BACK, status=413).item_failures is None


@pytest.mark.parametrize("length", [65_535, 65_536, 65_537, 69_632, 69_633])
def test_what_was_captured_is_put_together_where_it_is_the_whole(length: int) -> None:
    body = bytes(number % 251 for number in range(length))

    found = captured(body)

    assert found.is_whole == (length <= 69_632)
    if found.is_whole:
        assert found.first == body
    else:
        assert found.last == body[-4_096:]


def test_captured_ends_that_overlap_are_joined_once() -> None:
    assert Body(PLAIN, b"abcd" + b"cdef", 4, 6).first == b"abcdef"


def test_trailers_of_a_long_chunked_body_are_read() -> None:
    wire = b"20000\r\n" + b"x" * 0x20000 + b"\r\n0\r\nLambda-Runtime-Function-Error-Type: A\r\n\r\n"

    assert captured(wire, CHUNKED).trailers == {"lambda-runtime-function-error-type": "A"}


ERROR = b"Lambda-Runtime-Function-Error-Type: A\r\n"
# What looks like the end of a chunked body, as data may.
LIKE_AN_END = st.sampled_from(
    [b"\r\n0\r\n", b"0\r\n\r\n", b"\r\n0\r\n" + ERROR + b"\r\n", ERROR, b"\r\n", b"\r\n1f\r\n"]
)


@given(st.lists(LIKE_AN_END | st.binary(max_size=20), max_size=60).map(b"".join), st.booleans())
def test_no_data_passes_for_the_end_of_a_long_chunked_body(data: bytes, has_failed: bool) -> None:
    large = LARGE.encode()
    wire = b"%x\r\n%b\r\n" % (len(large), large) + (
        b"%x\r\n%b\r\n" % (len(data), data) if data else b""
    )
    wire += b"0\r\n" + (b"X-Other: 0\r\n" + ERROR if has_failed else b"") + b"\r\n"

    found = captured(wire, CHUNKED)

    assert not found.is_whole
    expected = {"x-other": "0", "lambda-runtime-function-error-type": "A"} if has_failed else {}
    assert found.trailers == expected


@pytest.mark.parametrize(
    "end", [b"", b"\r\n0\r\n", b"\r\n0\r\n" + ERROR, b"\r\n0\r\n" + ERROR + b"\r\nmore\r\n"]
)
def test_a_chunked_body_that_broke_off_has_no_trailers(end: bytes) -> None:
    assert captured(b"20000\r\n" + LARGE.encode() + end, CHUNKED).trailers == {}


@given(st.dictionaries(st.text("abc"), st.integers() | st.text(), max_size=40), st.data())
def test_the_lines_between_chunks_are_taken_out_of_the_end(
    members: dict[str, Any], data: st.DataObject
) -> None:
    text = json.dumps(
        {"": LARGE} | {f"k{name}": value for name, value in members.items()} | {"statusCode": 503}
    ).encode()
    cuts = sorted(data.draw(st.sets(st.integers(100_020, len(text) - 1), max_size=6)))
    chunks = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    wire = b"".join([b"%X;e=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]) + b"0\r\n\r\n"

    found = captured(wire, CHUNKED)

    # Where it begins, a line may have been cut.
    assert text.endswith(found.last[1_000:])
    assert status(found) == 503


@given(st.lists(st.binary(min_size=1, max_size=50)), st.binary(max_size=9))
def test_chunking_is_undone(chunks: list[bytes], rest: bytes) -> None:
    wire = (
        b"".join(b"%X;ext=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n" + rest
    )

    assert dechunk(wire) == (b"".join(chunks), rest)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5), st.data())
def test_members_before_a_cut_are_those_of_the_whole(
    value: dict[str, Any], data: st.DataObject
) -> None:
    text = json.dumps(value)
    cut = text[: data.draw(st.integers(0, len(text)))]

    found = json_text.leading_members(cut)

    assert (
        found.items() <= value.items()
        if all(map(_is_hashable, value.values()))
        else found.keys() <= value.keys()
    )
    assert json_text.leading_members(text) == value


def _is_hashable(value: Any) -> bool:
    return not isinstance(value, (list, dict))


ODD_JSON = st.sampled_from(
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"statusCode":' + b"9" * 5_000 + b"}",
        b'{"errorType":1,"errorMessage":{},"stackTrace":[1,null,[2],{"label":3}]}',
        b'{"errorType":"\\ud800","stackTrace":"text"}',
        b'{"Records":[{"eventSource":"aws:sqs"}]}',
        b'{"Records":[{"eventSource":"aws:s3","eventName":5}]}',
        b'{"requestContext":{"http":5},"version":"2.0"}',
        b"\xff\xfe",
    ]
)
HEADS = st.binary(max_size=60) | st.sampled_from(
    [
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Type: application/vnd.awslambda.http-integration-response\r\n\r\n",
        b"POST / HTTP/1.1\r\nLambda-Runtime-Function-XRay-Error-Cause: [1]\r\n\r\n",
        b'POST / HTTP/1.1\r\nLambda-Runtime-Function-XRay-Error-Cause: {"exceptions":[5]}\r\n\r\n',
        b"POST / HTTP/1.1\r\nLambda-Runtime-Deadline-Ms: x\r\nLambda-Runtime-Invoked-Function-Arn: ::::::::\r\n\r\n",
    ]
)
BODIES = st.binary(max_size=200) | ODD_JSON


@given(HEADS, BODIES, BODIES, st.sampled_from(["response", "error"]), st.integers(0, 90))
def test_no_bytes_make_an_invocation_raise(
    head: bytes, event: bytes, result: bytes, endpoint: str, cut: int
) -> None:
    message, _ = delivered(head_length=len(head))
    record = records.read(*message, head + event)
    message, _ = finished(
        endpoint=endpoint,
        head_length=len(head),
        first_length=cut,
        last_length=len(result),
        body_length=len(result) + cut,
    )
    end = records.read(*message, head + result)

    invocation = Invocation(record, "7", Options())
    invocation.finish(end)

    assert invocation.end_ns > 0
