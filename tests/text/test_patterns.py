"""Patterns, beside those that `re` makes of the same parts."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.text.learning import LearningBackoff, PatternCompiler
from lrap_otel.text.patterns import Group, Matcher, Value
from tests.interpreters import find

ROOT = Path(__file__).parents[2]
DIGITS = Value(b"0123456789")
LETTERS = b'ab"\\1\x00\xff'

VALUES = st.builds(
    lambda legal, least, more: (legal, least, least + more),
    st.lists(st.sampled_from(LETTERS), min_size=1, max_size=4).map(bytes),
    st.integers(0, 2),
    st.integers(0, 3),
)
PARTS = st.lists(
    st.tuples(
        st.one_of(st.lists(st.sampled_from(LETTERS), max_size=3).map(bytes), VALUES), st.booleans()
    )
)


def ours(part: "bytes | tuple[bytes, int, int]", is_group: bool) -> Any:
    made = part if isinstance(part, bytes) else Value(*part)
    return Group(made) if is_group else made


def res(part: "bytes | tuple[bytes, int, int]", is_group: bool) -> bytes:
    if isinstance(part, bytes):
        text = re.escape(part)
    else:
        legal = b"".join(b"\\x%02x" % byte for byte in part[0])
        text = b"[%s]{%d,%d}" % (legal, part[1], part[2])
    return b"(" + text + b")" if is_group else text


@given(PARTS, st.lists(st.sampled_from(LETTERS), max_size=12).map(bytes))
def test_a_pattern_finds_what_re_finds(parts: list[tuple[Any, bool]], data: bytes) -> None:
    by_us = PatternCompiler().compile([ours(part, is_group) for part, is_group in parts])
    by_re = re.compile(b"".join(res(part, is_group) for part, is_group in parts), re.DOTALL)
    for how in ("match", "fullmatch"):
        found, expected = getattr(by_us, how)(data), getattr(by_re, how)(data)
        assert (found and found.regs) == (expected and expected.regs)


def test_a_value_takes_all_it_can_and_gives_back_what_the_rest_needs() -> None:
    found = Matcher().compile([b"<", Group(Value(b"ab")), Group(b"b"), b">"]).match(b"<aabb>")
    assert found is not None
    assert found.groups() == (b"aab", b"b")


def test_an_empty_group_tells_a_place() -> None:
    found = Matcher().compile([b"ab", Group(), DIGITS]).match(b"ab12")
    assert found is not None
    assert found.regs == ((0, 4), (2, 2))


def test_a_hostile_text_costs_no_more_than_its_length() -> None:
    # Each value ends where the next mark begins, so there is nothing to try again: this returns,
    # and not next year.
    pattern = Matcher().compile(
        [part for _ in range(60) for part in (b'"', Value(b"ab", 0), b'",')]
    )
    assert pattern.match(b'"aaaaaaaaaa",' * 59 + b'"' + b"a" * 1_000_000) is None


def test_learning_backs_off_until_a_template_matches() -> None:
    backoff = LearningBackoff()
    assert not backoff.should_learn()  # a first event may be the last
    assert [backoff.should_learn() for _ in range(13)] == [True] * 5 + [False] * 2 + [True] + [
        False
    ] * 4 + [True]
    backoff.misses = 0
    assert [backoff.should_learn() for _ in range(6)] == [True] * 5 + [False]


def test_in_the_end_one_opportunity_in_257_is_used() -> None:
    backoff = LearningBackoff()
    for _ in range(5_000):
        backoff.should_learn()
    assert sum(backoff.should_learn() for _ in range(257)) == 1


PYTHONS = [sys.executable, *(str(path) for minor in range(10, 15) if (path := find(f"3.{minor}")))]

AGREES = """if True:
    import sys
    sys.path.insert(0, sys.argv[1])
    from lrap_otel.text.patterns import Matcher
    assert "re" not in sys.modules
    import re
    constants = sys.modules.get("re._constants") or sys.modules["sre_constants"]
    matcher = Matcher()
    names = ("CHARSET", "IN", "LITERAL", "MARK", "REPEAT_ONE")
    written = [getattr(matcher, "_" + name.lower()) for name in names]
    assert written == [int(getattr(constants, name)) for name in names], written
    assert (int(constants.FAILURE), int(constants.SUCCESS)) == (0, 1)
    assert int(constants.MAXREPEAT) == 2**32 - 1
"""

REFUSES = """if True:
    import _sre, sys
    def refuse(*_):
        raise RuntimeError("invalid SRE code")
    if sys.argv[2] == "unknown":
        _sre.MAGIC = 1  # as of a version to come
    else:
        _sre.compile = refuse
    sys.path.insert(0, sys.argv[1])
    from lrap_otel.text.learning import PatternCompiler
    from lrap_otel.text.patterns import Group, Value
    compiler = PatternCompiler()
    print(compiler.compile([b"a", Group(Value(b"0123456789"))]), compiler.is_off, "re" in sys.modules)
"""


def run(python: str, code: str, *arguments: str) -> str:
    command = [python, "-I", "-S", "-c", code, str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("python", PYTHONS)
def test_the_matchers_code_is_that_of_each_python_at_hand(python: str) -> None:
    run(python, AGREES)


@pytest.mark.parametrize("how", ["unknown", "refuses"])
def test_a_matcher_that_is_unknown_or_refuses_makes_no_patterns_and_loads_no_re(how: str) -> None:
    assert run(sys.executable, REFUSES, how) == "None True False\n"
