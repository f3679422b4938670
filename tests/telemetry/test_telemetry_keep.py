"""LRAP_KEEP: what is worth sending is sent, says why, and how many like it were not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.ipc import records
from lrap_otel.propagation.context import SpanContext
from lrap_otel.telemetry.keep import Keeper
from lrap_otel.telemetry.otlp.traces import ERROR, SERVER, UNSET, Span
from lrap_otel.telemetry.otlp.wire import Resource
from lrap_otel.telemetry.setting_keep import parse
from lrap_otel.telemetry.settings import ExportSettings
from tests.telemetry.proxy_records import delivered, finished
from tests.telemetry.telemetry_thread import plain, points, spans_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.telemetry.otlp_collector import Collector
    from tests.telemetry.telemetry_thread import Telemetry

    Start = Callable[..., Telemetry]

KEPT_BY = "lrap.sampling.kept_by"
# Its last 56 bits are the least and the most random.
LOW, HIGH = "0123456789abcdef01" + "0" * 13 + "1", "0123456789abcdef01" + "f" * 14


def span(
    trace_id_hex: str = LOW,
    trace_state: str = "",
    *,
    seconds: float = 0.01,
    is_error: bool = False,
    flags: int = 1,
) -> Span:
    made = Span(
        "s",
        SERVER,
        SpanContext(trace_id_hex, "1" * 16, flags, trace_state),
        "",
        0,
        int(seconds * 1e9),
        Resource({}),
    )
    made.status = ERROR if is_error else UNSET
    return made


def kept(
    rules: str,
    of: Span,
    *,
    sampler: str = "parentbased_always_on",
    is_sampled: bool = True,
    is_cold: bool = False,
) -> tuple[str, str] | None:
    """By which rule, and with which tracestate."""
    keeper = Keeper(parse(rules), sampler, 128)
    if not keeper.keeps(of, is_sampled=is_sampled, is_cold=is_cold):
        return None
    return str(of.attributes[KEPT_BY]), of.context.trace_state


def threshold_of(trace_state: str) -> int:
    return int(trace_state.removeprefix("ot=th:").ljust(14, "0"), 16)


@pytest.mark.parametrize(
    ("rules", "of", "is_cold", "expected"),
    [
        ("errors", span(is_error=True), False, ("errors", "ot=th:0")),
        ("errors", span(), False, None),
        ("slow:1s", span(seconds=1.0), False, ("slow", "ot=th:0")),
        ("slow:1s", span(seconds=0.999), False, None),
        ("slow:250ms", span(seconds=0.25), False, ("slow", "ot=th:0")),
        ("slow:2m", span(seconds=119.9), False, None),
        ("cold", span(), True, ("cold", "ot=th:0")),
        ("cold", span(), False, None),
        ("ratio:1", span(), False, ("ratio", "ot=th:0")),
        ("ratio:0", span(HIGH), False, None),
        ("ratio:0.5", span(LOW), False, None),
        ("ratio:0.5", span(HIGH), False, ("ratio", "ot=th:8")),
        ("ratio:0.05", span(HIGH), False, ("ratio", "ot=th:f333333333333")),
        # The first rule in this order says why, whatever the order of the setting.
        ("ratio:1,cold,slow:0s,errors", span(is_error=True), True, ("errors", "ot=th:0")),
        ("ratio:1,cold,slow:1s", span(seconds=2), True, ("slow", "ot=th:0")),
        ("ratio:1,cold", span(), True, ("cold", "ot=th:0")),
    ],
)
def test_a_span_is_kept_by_the_first_rule_that_holds(
    rules: str, of: Span, is_cold: bool, expected: tuple[str, str] | None
) -> None:
    assert kept(rules, of, is_cold=is_cold) == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        # What samplers before went by holds if it is stricter.
        ("ot=th:c", "ot=th:c"),
        ("ot=th:4", "ot=th:8"),
        ("ot=th:0", "ot=th:8"),
        ("", "ot=th:8"),
        # Other members and keys stay; ours comes first, since it has been changed.
        ("vendor=1,ot=p:8;th:c;k:v,other=2", "ot=th:c;p:8;k:v,vendor=1,other=2"),
        ("vendor=1", "ot=th:8,vendor=1"),
        # One that was not gone by, or that is none, says nothing about the chance: nor do we.
        ("ot=th:fffffffffffffg", ""),
        ("ot=th:", ""),
        ("ot=th:123456789012345;k:v", "ot=k:v"),
        ("ot=rv:80000000000000;th:9", "ot=rv:80000000000000"),
        # An explicit random value is what all samplers of the trace go by.
        ("ot=rv:80000000000000", "ot=th:8;rv:80000000000000"),
        ("ot=rv:7fffffffffffff", None),
        # One that is none is not.
        ("ot=rv:7fffffffffffff0", "ot=th:8;rv:7fffffffffffff0"),
        ("ot=rv:7FFFFFFFFFFFFF", "ot=th:8;rv:7FFFFFFFFFFFFF"),
    ],
)
def test_the_share_combines_with_what_samplers_before_have_done(
    state: str, expected: str | None
) -> None:
    of = span(HIGH, state)
    found = kept("ratio:0.5", of)
    assert found == (None if expected is None else ("ratio", expected))


def test_a_sampler_of_our_own_does_not_go_by_the_threshold_of_the_parent() -> None:
    assert kept("ratio:0.5", span(HIGH, "ot=th:c"), sampler="always_on") == ("ratio", "ot=th:8")


def test_what_is_kept_for_certain_counts_once_whatever_came_before() -> None:
    assert kept("errors", span(LOW, "ot=th:c", is_error=True)) == ("errors", "ot=th:0")


def test_an_error_is_kept_even_if_the_headers_said_that_nothing_is_sampled_and_a_share_is_not() -> (
    None
):
    assert kept("errors,ratio:1", span(is_error=True, flags=0), is_sampled=False) == (
        "errors",
        "ot=th:0",
    )
    assert kept("errors,ratio:1", span(flags=0), is_sampled=False) is None


def test_a_tracestate_keeps_within_its_limits() -> None:
    members = [f"k{number}=v" for number in range(32)]
    _, state = kept("errors", span(LOW, ",".join(members), is_error=True)) or ("", "")
    assert state.split(",") == ["ot=th:0", *members[:31]]
    long = "ot=k:" + "v" * 250
    assert kept("ratio:0.05", span(HIGH, long)) == ("ratio", long)


def test_an_attribute_beyond_the_users_limit_is_counted() -> None:
    keeper, of = Keeper({"errors": 0.0}, "always_on", 0), span(is_error=True)
    assert keeper.keeps(of, is_sampled=True, is_cold=False)
    assert (of.attributes, of.dropped_attributes) == ({}, 1)


@given(st.integers(0, (1 << 56) - 1), st.integers(1, 10**6))
def test_a_span_is_kept_exactly_if_its_random_value_reaches_the_threshold_it_names(
    number: int, millionths: int
) -> None:
    ratio = millionths / 10**6
    found = kept(f"ratio:{ratio:.6f}", span(f"{1:018x}{number:014x}"))
    if found is None:
        assert number < (1 - ratio) * (1 << 56) + 1_000
    else:
        assert number >= threshold_of(found[1])
        assert (1 << 56) / ((1 << 56) - threshold_of(found[1])) == pytest.approx(
            1 / ratio, rel=1e-6
        )


def test_a_share_of_uniform_ids_counts_as_many_as_there_were() -> None:
    step = (1 << 56) // 1_000
    states = [kept("ratio:0.05", span(f"{1:018x}{number * step:014x}")) for number in range(1_000)]
    thresholds = [threshold_of(state[1]) for state in states if state is not None]
    # What a backend makes of them: each stands for 2**56 / (2**56 - threshold).
    assert sum((1 << 56) / ((1 << 56) - threshold) for threshold in thresholds) == pytest.approx(
        1_000, rel=0.03
    )


@given(st.text(max_size=80), st.booleans())
def test_no_tracestate_does_harm(state: str, is_error: bool) -> None:
    found = kept("errors,ratio:0.5", span(HIGH, state, is_error=is_error))
    assert found is None or len(found[1].split(",")) <= 32


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("errors", {"errors": 0.0}),
        (" Errors , SLOW:1.5S ", {"errors": 0.0, "slow": 1.5}),
        ("slow:250ms,cold,ratio:.5,", {"slow": 0.25, "cold": 0.0, "ratio": 0.5}),
        ("slow:2m", {"slow": 120.0}),
        ("ratio:0", {"ratio": 0.0}),
        ("", {}),
        (",", {}),
    ],
)
def test_the_grammar_of_the_setting(text: str, rules: dict[str, float]) -> None:
    assert parse(text) == pytest.approx(rules)


BAD = [
    *(
        "all",
        "error",
        "slow",
        "slow:",
        "slow:1",
        "slow:1h",
        "slow:-1s",
        "slow:1e3s",
        "slow:s",
        "slow:1ss",
        "slow:1 s",
    ),
    *(
        "ratio",
        "ratio:",
        "ratio:5%",
        "ratio:1.01",
        "ratio:-0.1",
        "ratio:nan",
        "ratio:0.5.5",
        "ratio:.",
        "ratio:٣",
    ),
    *(
        "errors:1",
        "cold:yes",
        "errors,errors",
        "ratio:0.1,ratio:0.2",
        "errors;cold",
        "errors cold",
        "ratio:" + "9" * 400,
    ),
]


@pytest.mark.parametrize("text", BAD)
def test_a_value_that_cannot_be_used_gives_one_warning_and_everything_is_sent(text: str) -> None:
    settings = ExportSettings({b"LRAP_KEEP": text.encode()})
    assert settings.keep == {}
    (warning,) = settings.warnings
    assert warning.startswith("LRAP_KEEP=")
    assert warning.endswith(" cannot be used; every span that is sampled is sent instead")
    assert len(warning) < 200


def events(telemetry: Telemetry, *, trace_flags: int = 1) -> None:
    """A cold start, an error, a slow one and three that are nothing of it."""
    sent = [
        (
            delivered(request_id="cold", cold_start=True, trace_flags=trace_flags),
            finished(request_id="cold"),
        ),
        (
            delivered(request_id="error", trace_flags=trace_flags),
            finished(b"{}", "error", request_id="error"),
        ),
        (
            delivered(request_id="slow", trace_flags=trace_flags),
            finished(request_id="slow", duration_ns=2 * 10**9),
        ),
    ]
    for number, trace_id in enumerate((LOW, HIGH, "0" * 31 + "1")):
        request_id = f"{number}"
        changed: dict[str, Any] = {
            "request_id": request_id,
            "trace_id_hex": trace_id,
            "trace_flags": trace_flags,
        }
        sent.append((delivered(**changed), finished(request_id=request_id)))
    for pair in sent:
        telemetry.offer(*pair)


def found(collector: Collector) -> dict[str, str]:
    """By request id: the rule."""
    attributes = [plain(each.attributes) for each in spans_of(collector)]
    return {each["faas.invocation_id"]: each.get(KEPT_BY, "") for each in attributes}


def test_everything_is_sent_where_nothing_is_set(start: Start, collector: Collector) -> None:
    telemetry = start(collector)
    events(telemetry)
    assert telemetry.flush()
    assert found(collector) == dict.fromkeys(("cold", "error", "slow", "0", "1", "2"), "")


def test_what_is_worth_it_is_sent_and_says_why(start: Start, collector: Collector) -> None:
    telemetry = start(collector, LRAP_KEEP="errors,slow:1s,cold,ratio:0.05")
    events(telemetry)
    assert telemetry.flush()
    assert found(collector) == {"cold": "cold", "error": "errors", "slow": "slow", "1": "ratio"}


def test_without_a_share_the_rest_is_not_sent(start: Start, collector: Collector) -> None:
    telemetry = start(collector, LRAP_KEEP="errors")
    events(telemetry)
    assert telemetry.flush()
    assert found(collector) == {"error": "errors"}


def test_what_the_sampler_left_out_is_sent_if_it_is_worth_it_and_its_flags_say_what_the_headers_said(
    start: Start, collector: Collector
) -> None:
    telemetry = start(
        collector, LRAP_KEEP="errors,slow:1s,cold,ratio:1", OTEL_TRACES_SAMPLER="always_off"
    )
    events(telemetry, trace_flags=0)
    assert telemetry.flush()
    spans = spans_of(collector)
    assert {plain(each.attributes)["faas.invocation_id"] for each in spans} == {
        "cold",
        "error",
        "slow",
    }
    assert [each.flags & 1 for each in spans] == [0, 0, 0]
    assert [each.trace_state for each in spans] == ["ot=th:0"] * 3


def test_metrics_count_every_invocation(start: Start, collector: Collector) -> None:
    telemetry = start(collector, LRAP_KEEP="errors")
    events(telemetry)
    assert telemetry.flush()
    post = collector.next("/v1/metrics")
    assert [count for _, count in points(post, "faas.invocations")] == [5]


@pytest.mark.parametrize(("sampler", "flag"), [("always_on", 1), ("always_off", 0)])
def test_an_init_that_failed_is_an_error(
    start: Start, collector: Collector, sampler: str, flag: int
) -> None:
    telemetry = start(collector, LRAP_KEEP="errors", OTEL_TRACES_SAMPLER=sampler)
    telemetry.offer((records.init_error(1, 0), b""))
    assert telemetry.flush()
    (of_init,) = spans_of(collector)
    assert (plain(of_init.attributes)[KEPT_BY], of_init.flags & 1) == ("errors", flag)
