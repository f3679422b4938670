"""JSON without `json`: `json` is the oracle."""

import json
import subprocess
import sys
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.text import json_scan

VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
)
SEPARATORS = st.sampled_from([(",", ":"), (" , ", " : "), (",\n\t", ":\r\n")])


@given(VALUES, SEPARATORS, st.sampled_from(["", " ", "\n" * 200]))
def test_a_document_means_what_it_means_to_json(
    value: object, separators: tuple[str, str], around: str
) -> None:
    assert json_scan.loads(around + json.dumps(value, separators=separators) + around) == value


@given(st.text('[]{}",:0123456789.eE+-tfn \\ualsr', max_size=12))
def test_a_text_is_refused_where_json_refuses_it(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):
            json_scan.loads(text)
    else:
        assert repr(json_scan.loads(text)) == repr(expected)


@pytest.mark.parametrize(
    "text",
    ["", " ", "[", '{"a"', "[1] 2", "nul", "\ufeff{}", '"\n"', "[" * 100_000, '{"a":' * 100_000],
)
def test_what_is_malformed_or_too_deep_is_a_value_error(text: str) -> None:
    for read in (
        json_scan.loads,
        lambda text: json_scan.scan(text, 0),
        lambda text: json_scan.outline(text, 0),
    ):
        if text != "[1] 2" or read is json_scan.loads:
            with pytest.raises(ValueError):
                read(text)
    with pytest.raises(ValueError):
        json_scan.members(text)


def test_depth_is_refused_in_a_thread_too() -> None:
    results: list[str] = []

    def scan() -> None:
        try:
            json_scan.loads("[" * 1_000_000)
        except ValueError as error:
            results.append(str(error))

    thread = threading.Thread(target=scan)
    thread.start()
    thread.join()
    assert len(results) == 1


def test_a_whole_number_of_any_length_is_read() -> None:
    assert json_scan.loads("[" + "9" * 300 + "]") == [int("9" * 300)]
    assert json_scan.loads("9" * 5_000) == float("inf")
    assert json_scan.loads("-" + "9" * 5_000) == float("-inf")
    assert json_scan.outline("[" + "9" * 5_000 + "]", 0)[1] == 5_002


def test_a_scan_tells_where_a_value_ends() -> None:
    assert json_scan.scan('x [1, {"a": 2}] y', 2) == ([1, {"a": 2}], 15)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=5), SEPARATORS)
def test_members_stand_where_they_are_said_to_stand(
    value: dict[str, Any], separators: tuple[str, str]
) -> None:
    text = "  " + json.dumps(value, separators=separators) + "x"
    members = json_scan.members(text, 2)
    assert {name: json.loads(text[start:end]) for name, (start, end, _) in members.items()} == value


def test_members_are_read_no_further_than_they_are_needed() -> None:
    text = '{"a":{"b":[1,null]},"stop":{"c":1},!'
    assert json_scan.members(text, 0, "stop", -1) == {
        "a": (5, 19, (("b", [1, None]),)),
        "stop": (27, -1, None),
    }
    assert json_scan.members('{"stop":"x","a":1,"b":!', 0, "stop", 12) == {
        "stop": (8, 11, "x"),
        "a": (16, 17, 1),
        "b": (22, -1, None),
    }


@pytest.mark.parametrize(
    "text", ['{"a":1,}', '{"a" 1}', "{,}", "{1:2}", '{"a":1 "b":2}', "[]", '{"a":}', '{"a":1']
)
def test_members_of_what_is_no_object_are_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        json_scan.members(text)


def test_the_hot_path_imports_nothing_that_takes_time() -> None:
    # What `re`, `json` and `typing` take is longer than what a bare interpreter takes to start.
    code = """if True:
        import sys
        sys.path.insert(0, sys.argv[1])
        before = set(sys.modules)
        from lrap_otel.propagation.carrier import find
        from lrap_otel.propagation import extract, inject, sampling, xray
        event = b'{"headers":{"a":"b"},"requestContext":{}}'
        for text in (event, b'{"x":{"headers":{},"requestContext":{}}}', b'[1]', b'{"headers" : {"a":"b"}, "requestContext" : {}}'):
            carrier = find.find(text, 100)
        span = extract.parent_of(("tracecontext", "b3", "xray"), {})
        print(*sorted(name for name in set(sys.modules) - before if not name.startswith("lrap_otel")))
    """
    here = str(json_scan.__file__).removesuffix("/lrap_otel/text/json_scan.py")
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, here], check=True, capture_output=True, text=True
    )
    assert run.stdout.split() == ["_json", "_operator"]


@pytest.mark.parametrize(
    "call",
    [
        "find.in_client_context(b'{\"custom\" 1}')",
        'inject.with_client_context(b\'{"custom" 1}\', (("traceparent", "1"),))',
        'find.find(b\'{"headers":{"a":"b"},"multiValueHeaders":{"a":["b""]},"requestContext":{}}\', 1_000)',
        'json_scan.loads("[1 2]")',
    ],
)
def test_what_is_no_json_is_a_value_error_also_where_nobody_has_imported_json(call: str) -> None:
    # CPython 3.10 and 3.11: "returned NULL without setting an exception".
    code = f"""if True:
        import sys
        sys.path.insert(0, sys.argv[1])
        from lrap_otel.text import json_scan
        from lrap_otel.propagation.carrier import find
        from lrap_otel.propagation import inject
        assert "json" not in sys.modules
        try:
            print({call})
        except ValueError:
            print("ValueError")
    """
    here = str(json_scan.__file__).removesuffix("/lrap_otel/text/json_scan.py")
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, here], check=True, capture_output=True, text=True
    )
    assert run.stdout.strip() in {"{}", "None", "ValueError"}
