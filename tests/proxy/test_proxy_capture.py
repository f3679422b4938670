"""What is kept of a result, and of a large event."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.ipc.records import CAPTURE_FIRST_BYTES, CAPTURE_LAST_BYTES
from lrap_otel.proxy.capture import Capture, of_event

KB = 1_024


@pytest.mark.parametrize(
    "length", [0, 1, 64 * KB - 1, 64 * KB, 64 * KB + 1, 68 * KB, 70 * KB, 500 * KB]
)
@pytest.mark.parametrize("piece", [1_000, 65_536, 1_000_000])
def test_the_first_64_kb_and_the_last_4_of_the_rest_are_kept(length: int, piece: int) -> None:
    body = (b"%08d" * (length // 8 + 1) % tuple(range(length // 8 + 1)))[:length]
    capture = Capture()
    for start in range(0, length, piece):
        capture.add(body[start : start + piece])
    assert capture.first == body[: 64 * KB]
    assert capture.last == body[64 * KB :][-4 * KB :]
    assert capture.length == length


@given(st.lists(st.integers(1, 40_000), max_size=12))
def test_how_a_body_is_split_changes_nothing(sizes: list[int]) -> None:
    body = bytes(range(251)) * (sum(sizes) // 251 + 1)
    body = body[: sum(sizes)]
    capture, start = Capture(), 0
    for size in sizes:
        capture.add(body[start : start + size])
        start += size
    assert (
        capture.first + body[len(capture.first) : len(body) - len(capture.last)] + capture.last
        == body
    )
    assert len(capture.first) <= CAPTURE_FIRST_BYTES
    assert len(capture.last) <= CAPTURE_LAST_BYTES


CONTEXT = '"requestContext":{"http":{"method":"POST"}}'
LONG = "b" * 9_000
END = '"isBase64Encoded":false'
WITHOUT_BODY = [
    f'{{"rawPath":"/","headers":{{"a":"b"}},{CONTEXT}',
    f'{{{CONTEXT},"headers":{{"quoted":"\\"","slash":"\\\\","list":"[{{"}}',
    f'{{"multiValueHeaders":{{"a":["b","c"]}},{CONTEXT},"pathParameters":null',
]
AS_THEY_ARE = {
    "small": f'{{{CONTEXT},"body":"{LONG[:8_000]}",{END}}}',
    "no context": f'{{"headers":{{}},"body":"{LONG}",{END}}}',
    "the context behind the body": f'{{"headers":{{}},"body":"{LONG}",{CONTEXT}}}',
    "a body of something else": f'{{"a":{{{CONTEXT},"body":"{LONG}",{END}}}',
    "in a list": f'[{{{CONTEXT},"body":"{LONG}",{END}}}',
    "in a string": '{"text":"\\"requestContext\\":{ ,\\"body\\":\\"' + LONG + '",' + END + "}",
    "a batch": '{"Records":[{"messageId":"1","body":"' + LONG + '"}]}',
    "no object": f'"{LONG}"',
    "written otherwise": f'{{{CONTEXT}, "body": "{LONG}",{END}}}',
    "something behind the body": f'{{{CONTEXT},"body":"{LONG}","httpMethod":"GET"}}',
    "an unknown end": f'{{{CONTEXT},"body":"{LONG}"}}',
    "a context further in": f'{{"detail":{{{CONTEXT}}},"body":"{LONG}","isBase64Encoded":false}}',
    "far behind": f'{{{CONTEXT},"stage":"{"s" * 40_000}","body":"{LONG}",{END}}}',
}


@pytest.mark.parametrize("start", WITHOUT_BODY)
@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_the_body_of_a_large_http_event_stays_behind(start: str, kind: type) -> None:
    event = f'{start},"body":"{LONG}","isBase64Encoded":false}}'.encode()
    assert json.loads(bytes(of_event(kind(event)))) == {
        name: value
        for name, value in json.loads(event).items()
        if name not in {"body", "isBase64Encoded"}
    }


@pytest.mark.parametrize("event", AS_THEY_ARE.values(), ids=AS_THEY_ARE.keys())
def test_any_other_event_is_kept_whole(event: str) -> None:
    assert of_event(event.encode()) == event.encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=8),
    lambda value: (
        st.lists(value, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "body", "requestContext"]), value)
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(["a", "headers", "requestContext", "body", "z"]), JSON),
    st.text(max_size=20),
)
def test_what_is_kept_of_any_event_is_a_beginning_of_its_members(
    event: dict[str, object], text: str
) -> None:
    members = event | {"body": text + LONG, "isBase64Encoded": True}
    whole = json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()
    kept = list(json.loads(bytes(of_event(whole))).items())
    assert kept == list(json.loads(whole).items())[: len(kept)]
