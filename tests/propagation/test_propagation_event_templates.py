"""Events that match a template are read and written as those that are scanned."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.propagation.carrier import find, scan
from lrap_otel.propagation.carrier.learned import TEMPLATES_LIMIT, EventTemplates
from lrap_otel.text.learning import PatternCompiler
from tests.propagation.carried import learn, told, written_into
from tests.propagation.carried import learned as templates_of

LIMIT_BYTES = 10_000_000
NAMES_WRITTEN = ("traceparent", "x-amzn-trace-id")
VALUES_WRITTEN = (
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "Root=1-0af76519-16cd43dd8448eb211c80319c",
)

# Strings as they stand in JSON: of them, all but the last two kinds fit into a pattern.
STRINGS = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12).map(json.dumps),
    st.text(max_size=6).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.text(max_size=6).map(json.dumps),
    st.sampled_from(
        [
            '"',
            '"\\"',
            '"\\\\"',
            '"\\\\\\""',
            '"\\"},\\"headers\\":{\\""',
            '"},"headers":{"a":"b"}',
            '"\x01"',
        ]
    ),
)


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


def learned(event: str) -> EventTemplates:
    """The template of this event, from the second one of it."""
    templates = templates_of(event.encode())
    assert len(templates.known) == 1
    return templates


def found(templates: EventTemplates, event: bytes) -> Any:
    return templates.find(event) or templates.find_with_escapes(event)


def assert_as_scanned(templates: EventTemplates, event: bytes) -> None:
    match = found(templates, event)
    if match is None:
        return
    carrier = scan.find(event.decode("latin-1"))
    assert carrier is not None
    assert told(match) == told(carrier)
    ours, theirs = match.parent(), carrier.parent()
    assert (ours and vars_of(ours)) == (theirs and vars_of(theirs))
    assert written_into(event, match, NAMES_WRITTEN, VALUES_WRITTEN) == written_into(
        event, carrier, NAMES_WRITTEN, VALUES_WRITTEN
    )


def vars_of(context: Any) -> list[object]:
    return [getattr(context, name) for name in context.__slots__]


@pytest.mark.parametrize("form", FORMS)
def test_the_second_event_of_a_form_is_learned_from_and_the_third_matches(form: Any) -> None:
    events = [form(f'"/orders/{number}"', f'"0{number}"', '"curl"').encode() for number in range(4)]
    templates = EventTemplates(PatternCompiler())
    for event in events[:2]:
        assert templates.find(event) is None
        learn(templates, event)
    for event in events[2:]:
        assert templates.find(event) is not None
        assert_as_scanned(templates, event)


@pytest.mark.parametrize("form", FORMS)
@given(st.tuples(STRINGS, STRINGS, STRINGS))
def test_no_values_make_a_known_template_mean_another_thing(
    form: Any, strings: tuple[str, str, str]
) -> None:
    templates = learned(form('"/"', '"00-1"', '"curl"'))
    event = form(*strings).encode("utf-8", "surrogatepass")
    try:
        event.decode()
        json.loads(event)
    except ValueError:
        match = found(templates, event)
        # What is read of it is JSON all the same.
        assert match is None or scan.find(event.decode("latin-1")) is not None
        return
    assert_as_scanned(templates, event)


@pytest.mark.parametrize("form", FORMS)
@given(st.data())
def test_no_change_of_a_known_event_is_misread(form: Any, data: Any) -> None:
    event = form('"/"', '"00-1"', '"curl"').encode()
    templates = learned(event.decode())
    start = data.draw(st.integers(0, len(event)))
    end = data.draw(st.integers(start, min(len(event), start + 4)))
    new = data.draw(
        st.sampled_from(
            [b"", b'"', b"\\", b",", b"}", b"{", b" ", b'"headers":{}', b"\\u0022", b"\x00", b"7"]
        )
    )
    changed = event[:start] + new + event[end:]
    try:
        assert_as_scanned(templates, changed)
    except ValueError:  # the scan sees that it is no JSON, after what matters
        json_until = changed[: templates.known[0].pattern.match(changed).end()]  # type: ignore[union-attr]
        assert json_until == event[: len(json_until)]


def test_escaped_quotes_and_backslashes_are_part_of_a_value() -> None:
    templates = learned(http_api('"/"', '"00-1"', '"curl"'))
    event = http_api('"/a\\\\"', '"00-2"', '"\\"Chromium\\";v=\\"116\\""')
    match = found(templates, event.encode())
    assert match is not None
    assert match.get("traceparent") == "00-2"
    assert (
        written_into(event.encode(), match, NAMES_WRITTEN, VALUES_WRITTEN)
        == http_api('"/a\\\\"', f'"{VALUES_WRITTEN[0]}"', '"\\"Chromium\\";v=\\"116\\""')
        .replace("Root=1", VALUES_WRITTEN[1])
        .encode()
    )


def test_a_value_with_escapes_is_read_without_them() -> None:
    templates = learned(http_api('"/"', '"00-1"', '"curl"'))
    match = found(templates, http_api('"/"', '"a\\"b\\\\"', '"curl"').encode())
    assert match is not None
    assert match.get("traceparent") == 'a"b\\'


@pytest.mark.parametrize("escape", ["\\u0041", "\\n", "\\/"])
def test_other_escapes_are_scanned(escape: str) -> None:
    templates = learned(http_api('"/"', '"00-1"', '"curl"'))
    assert found(templates, http_api(f'"{escape}"', '"00-2"', '"curl"').encode()) is None


def test_further_headers_behind_the_pattern_are_scanned() -> None:
    event = http_api('"/"', '"00-1"', '"curl"')
    templates = learned(event)
    twice = event[:-1] + ',"headers":{"traceparent":"3"}}'
    assert templates.find(twice.encode()) is None
    carrier = find.find(twice.encode(), LIMIT_BYTES, templates)
    assert carrier is not None
    assert told(carrier) == {"traceparent": "3"}


@pytest.mark.parametrize("kilobytes", [10, 20, 40, 100])
def test_further_headers_at_the_end_of_a_large_event_are_scanned(kilobytes: int) -> None:
    large = http_api('"/"', '"00-1"', '"curl"')[:-1] + f',"body":"{"b" * kilobytes * 1_000}"'
    templates = learned(large + "}")
    assert templates.find((large + "}").encode()) is not None
    assert templates.find((large + ',"headers":{"traceparent":"3"}}').encode()) is None
    assert (
        templates.find(
            (large + ',"multiValueHeaders":{"traceparent":["3"]},"isBase64Encoded":false}').encode()
        )
        is None
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
    assert templates_of(event.encode(), event.encode()).known == []


def test_a_caller_with_a_malformed_traceparent_slows_no_other_caller() -> None:
    strict = f'"00-{"1" * 32}-{"2" * 16}-01"'
    templates = templates_of(
        *[http_api('"/"', each, '"curl"').encode() for each in (strict, '"nonsense"')]
    )
    assert len(templates.known) == 2
    match = templates.find(http_api('"/"', strict, '"curl"').encode())
    assert match is not None
    assert match.template.parent_at >= 0
    assert found(templates, http_api('"/"', '"other"', '"curl"').encode()) is not None


def test_a_limited_number_of_templates_is_remembered_and_all_others_are_right_as_well() -> None:
    templates = EventTemplates(PatternCompiler())
    for number in range(200):
        event = f'{{"headers":{{"x-{number}":"1","traceparent":"{number}"}},"requestContext":{{}}}}'
        carrier = find.find(event.encode(), LIMIT_BYTES, templates)
        assert carrier is not None
        assert told(carrier) == {"traceparent": str(number)}
        learn(templates, event.encode())
        assert len(templates.known) <= TEMPLATES_LIMIT


def test_fields_of_each_kind_are_written_as_in_a_scanned_event() -> None:
    names = (
        "traceparent",
        "x-amzn-trace-id",
        "tracestate",
        "b3",
        "x-b3-traceid",
        "x-b3-spanid",
        "x-b3-sampled",
    )
    values = ("1", 'Root=1;Lineage="a\\b', 'k="v"', "b", "t", "s", "1")
    for form in FORMS:
        event = form('"/"', '"00-1"', '"curl"').encode()
        templates = learned(event.decode())
        match, carrier = templates.find(event), scan.find(event.decode())
        assert match is not None
        assert carrier is not None
        for count in range(1, len(names) + 1):
            written = names[:count], values[:count]
            assert written_into(event, match, *written) == written_into(event, carrier, *written)


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
def test_what_makes_an_event_an_http_event_is_part_of_its_template(event: str, other: str) -> None:
    templates = templates_of(event.encode(), event.encode())
    assert find.find(event.encode(), LIMIT_BYTES, templates) is not None
    assert find.find(other.encode(), LIMIT_BYTES, templates) is None


def test_events_that_cannot_be_learned_do_not_pay_for_the_attempt_each_time() -> None:
    templates = templates_of(*[b'{"n":1,"headers":{"a":"b"},"requestContext":{}}'] * 50)
    assert templates.backoff.misses < 12
