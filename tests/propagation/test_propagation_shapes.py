"""Events of a shape that was met before are read and written as by a closer look."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.propagation.carrier import find, scan, templates
from tests.propagation.carried import told, written_into

LIMIT_BYTES = 10_000_000
NAMES_WRITTEN = ("traceparent", "x-amzn-trace-id")
VALUES_WRITTEN = ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Root=1-0af76519-16cd43dd8448eb211c80319c")

# Strings as they stand in JSON: of them, all but the last two kinds fit into a pattern.
STRINGS = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12).map(json.dumps),
    st.text(max_size=6).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.text(max_size=6).map(json.dumps),
    st.sampled_from(
        ['"', '"\\"', '"\\\\"', '"\\\\\\""', '"\\"},\\"headers\\":{\\""', '"},"headers":{"a":"b"}', '"\x01"']
    ),
)


@pytest.fixture(autouse=True)
def _no_shapes() -> Iterator[None]:
    """Each test begins with what a new process knows."""
    templates.known.clear()
    templates._looks = templates.brake.in_vain = 0
    yield
    templates.known.clear()


def http_api(*strings: str) -> str:
    path, traceparent, agent = strings
    return (
        f'{{"version":"2.0","rawPath":{path},"headers":{{"accept":"*/*","traceparent":{traceparent},'
        f'"X-Amzn-Trace-Id":"Root=1","user-agent":{agent}}},"requestContext":{{"accountId":"1","timeEpoch":17}},"body":"x"}}'
    )


def rest_api(*strings: str) -> str:
    path, traceparent, agent = strings
    return (
        f'{{"path":{path},"headers":{{"Traceparent":{traceparent},"tracestate":"a=1","Agent":{agent}}},'
        f'"multiValueHeaders":{{"Traceparent":[{traceparent}],"Agent":[{agent},"b"]}},"queryStringParameters":null,'
        f'"requestContext":{{"stage":"prod"}},"body":{path}}}'
    )


def load_balancer(*strings: str) -> str:
    path, traceparent, agent = strings
    return (
        f'{{"requestContext":{{"elb":{{"targetGroupArn":{path}}}}},"path":{path},'
        f'"headers":{{"user-agent":{agent},"traceparent":{traceparent}}},"body":{agent},"isBase64Encoded":false}}'
    )


FORMS = [http_api, rest_api, load_balancer]


def learned(event: str) -> None:
    """The shape of this event, from the second one of it."""
    find.find(event.encode(), LIMIT_BYTES)
    find.find(event.encode(), LIMIT_BYTES)
    assert len(templates.known) == 1


def found(event: bytes) -> Any:
    return templates.find(event) or templates.find_with_escapes(event)


def assert_as_by_a_closer_look(event: bytes) -> None:
    fitted = found(event)
    if fitted is None:
        return
    carrier = scan.find(event.decode("latin-1"))
    assert carrier is not None
    assert told(fitted) == told(carrier)
    assert written_into(event, fitted, NAMES_WRITTEN, VALUES_WRITTEN) == written_into(
        event, carrier, NAMES_WRITTEN, VALUES_WRITTEN
    )


@pytest.mark.parametrize("form", FORMS)
def test_the_second_event_of_a_shape_is_learned_from_and_the_third_is_known(form: Any) -> None:
    events = [form(f'"/orders/{number}"', f'"0{number}"', '"curl"').encode() for number in range(4)]
    for event in events[:2]:
        assert templates.find(event) is None
        find.find(event, LIMIT_BYTES)
    for event in events[2:]:
        assert templates.find(event) is not None
        assert_as_by_a_closer_look(event)


@pytest.mark.parametrize("form", FORMS)
@given(st.tuples(STRINGS, STRINGS, STRINGS))
def test_no_values_make_a_known_shape_mean_another_thing(form: Any, strings: tuple[str, str, str]) -> None:
    templates.known.clear()
    templates._looks = templates.brake.in_vain = 0
    learned(form('"/"', '"00-1"', '"curl"'))
    event = form(*strings).encode("utf-8", "surrogatepass")
    try:
        event.decode()
        json.loads(event)
    except ValueError:
        fitted = found(event)
        # What is read of it is JSON all the same.
        assert fitted is None or scan.find(event.decode("latin-1")) is not None
        return
    assert_as_by_a_closer_look(event)


@pytest.mark.parametrize("form", FORMS)
@given(st.data())
def test_no_change_of_a_known_event_is_misread(form: Any, data: Any) -> None:
    templates.known.clear()
    templates._looks = templates.brake.in_vain = 0
    event = form('"/"', '"00-1"', '"curl"').encode()
    learned(event.decode())
    start = data.draw(st.integers(0, len(event)))
    end = data.draw(st.integers(start, min(len(event), start + 4)))
    new = data.draw(
        st.sampled_from([b"", b'"', b"\\", b",", b"}", b"{", b" ", b'"headers":{}', b"\\u0022", b"\x00", b"7"])
    )
    changed = event[:start] + new + event[end:]
    try:
        assert_as_by_a_closer_look(changed)
    except ValueError:  # a closer look sees that it is no JSON, behind what matters
        json_until = changed[: templates.known[0].pattern.match(changed).end()]  # type: ignore[union-attr]
        assert json_until == event[: len(json_until)]


def test_escaped_quotes_and_backslashes_are_part_of_a_value() -> None:
    learned(http_api('"/"', '"00-1"', '"curl"'))
    event = http_api('"/a\\\\"', '"00-2"', '"\\"Chromium\\";v=\\"116\\""')
    fitted = found(event.encode())
    assert fitted is not None
    assert fitted.get("traceparent") == "00-2"
    assert (
        written_into(event.encode(), fitted, NAMES_WRITTEN, VALUES_WRITTEN)
        == http_api('"/a\\\\"', f'"{VALUES_WRITTEN[0]}"', '"\\"Chromium\\";v=\\"116\\""')
        .replace("Root=1", VALUES_WRITTEN[1])
        .encode()
    )


def test_a_value_with_escapes_is_read_without_them() -> None:
    learned(http_api('"/"', '"00-1"', '"curl"'))
    fitted = found(http_api('"/"', '"a\\"b\\\\"', '"curl"').encode())
    assert fitted is not None
    assert fitted.get("traceparent") == 'a"b\\'


@pytest.mark.parametrize("escape", ["\\u0041", "\\n", "\\/"])
def test_other_escapes_take_a_closer_look(escape: str) -> None:
    learned(http_api('"/"', '"00-1"', '"curl"'))
    assert found(http_api(f'"{escape}"', '"00-2"', '"curl"').encode()) is None


def test_further_headers_behind_the_pattern_take_a_closer_look() -> None:
    event = http_api('"/"', '"00-1"', '"curl"')
    learned(event)
    twice = event[:-1] + ',"headers":{"traceparent":"3"}}'
    assert templates.find(twice.encode()) is None
    carrier = find.find(twice.encode(), LIMIT_BYTES)
    assert carrier is not None
    assert told(carrier) == {"traceparent": "3"}


@pytest.mark.parametrize("kilobytes", [10, 20, 40, 100])
def test_further_headers_at_the_end_of_a_large_event_take_a_closer_look(kilobytes: int) -> None:
    large = http_api('"/"', '"00-1"', '"curl"')[:-1] + f',"body":"{"b" * kilobytes * 1_000}"'
    learned(large + "}")
    assert templates.find((large + "}").encode()) is not None
    assert templates.find((large + ',"headers":{"traceparent":"3"}}').encode()) is None
    assert (
        templates.find((large + ',"multiValueHeaders":{"traceparent":["3"]},"isBase64Encoded":false}').encode()) is None
    )


@pytest.mark.parametrize(
    "event",
    [
        '{"n":1,"headers":{"a":"b"},"requestContext":{}}',
        '{"headers":{},"requestContext":{}}',
        '{"headers":{"traceparent":"1","Traceparent":"2"},"requestContext":{}}',
        '{"headers":{"a":"\\n"},"requestContext":{}}',
        '{"headers":null,"requestContext":{},"rawPath":"/"}',
        '{"headers":{"' + "a" * 9_000 + '":"b"},"requestContext":{}}',
    ],
)
def test_what_would_hardly_come_again_is_not_learned(event: str) -> None:
    for _ in range(3):
        find.find(event.encode(), LIMIT_BYTES)
    assert templates.known == []


def test_a_caller_with_a_malformed_traceparent_slows_no_other_caller() -> None:
    strict = f'"00-{"1" * 32}-{"2" * 16}-01"'
    for traceparent in (strict, strict, '"nonsense"', '"nonsense"'):
        find.find(http_api('"/"', traceparent, '"curl"').encode(), LIMIT_BYTES)
    assert len(templates.known) == 2
    fitted = templates.find(http_api('"/"', strict, '"curl"').encode())
    assert fitted is not None
    assert fitted.shape.parent_at >= 0
    assert found(http_api('"/"', '"other"', '"curl"').encode()) is not None


def test_a_limited_number_of_shapes_is_remembered_and_all_others_are_right_as_well() -> None:
    for number in range(200):
        event = f'{{"headers":{{"x-{number}":"1","traceparent":"{number}"}},"requestContext":{{}}}}'
        carrier = find.find(event.encode(), LIMIT_BYTES)
        assert carrier is not None
        assert told(carrier) == {"traceparent": str(number)}
        assert len(templates.known) <= templates._SHAPES_LIMIT


def test_fields_of_each_kind_are_written_as_by_a_closer_look() -> None:
    names = ("traceparent", "x-amzn-trace-id", "tracestate", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled")
    values = ("1", 'Root=1;Lineage="a\\b', 'k="v"', "b", "t", "s", "1")
    for form in FORMS:
        templates.known.clear()
        templates._looks = templates.brake.in_vain = 0
        event = form('"/"', '"00-1"', '"curl"').encode()
        learned(event.decode())
        fitted, carrier = templates.find(event), scan.find(event.decode())
        assert fitted is not None
        assert carrier is not None
        for count in range(1, len(names) + 1):
            written = names[:count], values[:count]
            assert written_into(event, fitted, *written) == written_into(event, carrier, *written)


@pytest.mark.parametrize(
    ("event", "other"),
    [
        (
            '{"a":{"requestContext":{}},"headers":{"x":"1"},"requestContext":{"x":"1"}}',
            '{"a":{"requestContext":{}},"headers":{"x":"1"},"other":"o"}',
        ),
        (
            '{"arguments":{"requestContext":{"a":"b"}},"request":{"headers":{"x":"1"}},"info":{}}',
            '{"arguments":{"requestContext":{"a":"b"}},"request":{"headers":{"x":"1"}},"other":{}}',
        ),
    ],
)
def test_what_makes_an_event_an_http_event_is_part_of_its_shape(event: str, other: str) -> None:
    for _ in range(3):
        assert find.find(event.encode(), LIMIT_BYTES) is not None
    assert find.find(other.encode(), LIMIT_BYTES) is None


def test_events_that_cannot_be_learned_do_not_pay_for_the_attempt_each_time() -> None:
    event = b'{"n":1,"headers":{"a":"b"},"requestContext":{}}'
    for _ in range(100):
        find.find(event, LIMIT_BYTES)
    assert templates.brake.in_vain < 12
