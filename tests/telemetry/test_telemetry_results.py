"""What is read from results and errors, whole and cut, and that nothing in them can raise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proxy_records import delivered, finished

from lrap_otel import records
from lrap_otel.telemetry import json_text, results
from lrap_otel.telemetry.bodies import Body, dechunk
from lrap_otel.telemetry.heads import Head
from lrap_otel.telemetry.invocations import Invocation
from lrap_otel.telemetry.triggers.description import Options

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
def test_the_status_of_a_result_is_found_wherever_it_stands(result: Any, expected: int | None) -> None:
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
    ("body", "expected"),
    [(b'{"statusCode":418}' + b"\0" * 8 + b"<html>", 418), (b'{"headers":{}}' + b"\0" * 8, 200), (b"\0" * 8, 200)],
)
def test_a_streamed_result_has_its_status_before_eight_nul_bytes(body: bytes, expected: int) -> None:
    assert status(captured(body), is_streamed=True) == expected


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


@given(st.lists(st.binary(min_size=1, max_size=50)), st.binary(max_size=9))
def test_chunking_is_undone(chunks: list[bytes], rest: bytes) -> None:
    wire = b"".join(b"%X;ext=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n" + rest

    assert dechunk(wire) == (b"".join(chunks), rest)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5), st.data())
def test_members_before_a_cut_are_those_of_the_whole(value: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(value)
    cut = text[: data.draw(st.integers(0, len(text)))]

    found = json_text.leading_members(cut)

    assert found.items() <= value.items() if all(map(_is_hashable, value.values())) else found.keys() <= value.keys()
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
def test_no_bytes_make_an_invocation_raise(head: bytes, event: bytes, result: bytes, endpoint: str, cut: int) -> None:
    message, _ = delivered(head_length=len(head))
    record = records.Delivered(message[1], head + event)
    message, _ = finished(
        endpoint=endpoint,
        head_length=len(head),
        first_length=cut,
        last_length=len(result),
        body_length=len(result) + cut,
    )
    end = records.Finished(message[1], head + result)

    invocation = Invocation(record, "7", Options())
    invocation.finish(end)

    assert invocation.end_ns > 0
