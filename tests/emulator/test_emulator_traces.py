"""Which invocation a received span is shown below."""

from __future__ import annotations

from lrap_otel.emulator.signals import Scope, Span
from lrap_otel.emulator.traces import Traces

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def span(span_id: str, parent_id: str = "", request_id: str = "", trace_id: str = TRACE) -> Span:
    attributes = {"faas.invocation_id": request_id} if request_id else {}
    scope = Scope("", "", "")
    return Span(
        span_id,
        "SERVER",
        trace_id,
        span_id,
        parent_id,
        1,
        2,
        "UNSET",
        "",
        attributes,
        [],
        [],
        "",
        0,
        {},
        scope,
    )


def names(spans: list[Span]) -> list[str]:
    return [one.name for one in spans]


def test_a_functions_own_spans_wait_for_the_invocations() -> None:
    traces = Traces()
    traces.add([span("c", "b"), span("b", "a")])
    assert traces.owners() == []
    traces.add([span("a", "", "one")])
    assert traces.owners() == ["one"]
    assert names(traces.take("one")) == ["c", "b", "a"]
    assert traces.take_all() == []


def test_two_invocations_of_one_trace_are_apart() -> None:
    traces = Traces()
    traces.add([span("a", "remote", "one"), span("b", "remote", "two"), span("c", "b")])
    assert names(traces.take("two")) == ["b", "c"]
    assert names(traces.take("one")) == ["a"]


def test_what_is_late_is_shown_with_what_it_belongs_to() -> None:
    traces = Traces()
    traces.add([span("a", "remote", "one")])
    assert names(traces.take("one")) == ["a"]
    traces.add([span("init", "a")])
    assert names(traces.take("one")) == ["init"]
    assert names(traces.whole("one")) == ["a", "init"]


def test_the_nearest_ancestor_with_an_id_owns_a_span() -> None:
    traces = Traces()
    traces.add([span("a", "", "one"), span("b", "a", "two"), span("c", "b")])
    assert names(traces.take("two")) == ["b", "c"]


def test_the_same_span_id_in_another_trace_is_no_ancestor() -> None:
    traces = Traces()
    traces.add([span("a", "", "one"), span("c", "a", trace_id="0" * 31 + "1")])
    assert names(traces.take("one")) == ["a"]
    assert names(traces.take_all()) == ["c"]


def test_what_belongs_to_nobody_has_two_looks_to_find_an_owner() -> None:
    traces = Traces()
    traces.add([span("x")])
    assert traces.take_strangers() == []
    traces.add([span("y")])
    assert names(traces.take_strangers()) == ["x"]
    assert names(traces.take_strangers()) == ["y"]


def test_spans_that_are_each_others_parents_end_the_search() -> None:
    traces = Traces()
    traces.add([span("a", "b"), span("b", "a"), span("c", "c")])
    assert traces.owners() == []
    assert names(traces.take_all()) == ["a", "b", "c"]
