"""What a function becomes, and what it is again: pure functions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lrap_otel.aws.function import Function, FunctionName, LayerVersion
from lrap_otel.aws.obstacles import environment_bytes, limit_exceeded, notes, obstacle
from lrap_otel.aws.plan import Plan, Record, Wish, difference, instrumented, uninstrumented
from lrap_otel.aws.session import AwsError

WRAPPER = "/opt/lrap-otel/wrapper"


def layer(name: str, version: int = 1, account: str = "123456789012") -> str:
    return f"arn:aws:lambda:eu-west-1:{account}:layer:{name}:{version}"


OURS = layer("lrap-otel", 7)
WISH = Wish(OURS, {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.example"})


def function(
    layers: list[str] | None = None, variables: dict[str, str] | None = None, **more: Any
) -> Function:
    configuration = {
        "FunctionName": "f",
        "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:f",
        "Runtime": "python3.13",
        "Layers": [{"Arn": arn, "CodeSize": 1_000} for arn in layers or []],
        "Environment": {"Variables": variables or {}},
        "Role": "arn:aws:iam::123456789012:role/usual",
        **more,
    }
    return Function.from_reply("eu-west-1", {"Configuration": configuration})


def after(plan: Plan) -> Function:
    return replace(plan.function, layers=plan.layers, variables=plan.variables)


def test_the_layer_is_added_before_all_others_so_that_it_replaces_no_file_of_theirs() -> None:
    plan = instrumented(function([layer("a"), layer("b")]), WISH)
    assert plan.layers == (OURS, layer("a"), layer("b"))


@pytest.mark.parametrize(
    "older", [layer("lrap-otel", 6), layer("lrap-otel", 9), layer("lrap-otel", 6, "999999999999")]
)
def test_another_version_of_the_layer_is_replaced_where_it_stands(older: str) -> None:
    plan = instrumented(function([layer("a"), older, layer("b")]), WISH)
    assert plan.layers == (layer("a"), OURS, layer("b"))


def test_a_layer_that_only_begins_with_our_name_is_not_ours() -> None:
    others = [layer("lrap-otel-collector"), layer("my-lrap-otel")]
    assert instrumented(function(others), WISH).layers == (OURS, *others)


def test_a_layer_of_another_name_is_updated_in_place_by_that_name() -> None:
    wish = replace(WISH, layer_arn=layer("our-tracing", 4))
    assert instrumented(function([layer("a"), layer("our-tracing", 3)]), wish).layers == (
        layer("a"),
        wish.layer_arn,
    )


def test_a_full_function_that_has_an_older_version_can_be_updated() -> None:
    full = [layer(name) for name in "abcd"] + [layer("lrap-otel", 1)]
    assert instrumented(function(full), WISH).layers[-1] == OURS
    refused = instrumented(function([layer(name) for name in "abcde"]), WISH)
    assert "5 layers" in refused.refusal
    assert not refused.changes


def test_an_existing_wrapper_comes_after_ours() -> None:
    plan = instrumented(
        function(variables={"AWS_LAMBDA_EXEC_WRAPPER": "/opt/otel-instrument"}), WISH
    )
    assert plan.variables["AWS_LAMBDA_EXEC_WRAPPER"] == WRAPPER
    assert plan.variables["LRAP_NEXT_WRAPPER"] == "/opt/otel-instrument"
    assert any("/opt/otel-instrument" in note for note in plan.notes)


def test_a_second_wrapper_that_had_no_effect_gives_way() -> None:
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/a", "LRAP_NEXT_WRAPPER": "/opt/b"}
    plan = instrumented(function(variables=variables), WISH)
    assert plan.variables["LRAP_NEXT_WRAPPER"] == "/opt/a"
    assert any("without effect" in note for note in plan.notes)


def test_the_short_wrapper_is_ours_only_where_our_layer_is() -> None:
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper"}
    assert (
        "LRAP_NEXT_WRAPPER"
        not in instrumented(function([layer("lrap-otel")], variables), WISH).variables
    )
    assert (
        instrumented(function([], variables), WISH).variables["LRAP_NEXT_WRAPPER"] == "/opt/wrapper"
    )


def test_our_wrapper_never_starts_itself() -> None:
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": WRAPPER, "LRAP_NEXT_WRAPPER": WRAPPER}
    assert "LRAP_NEXT_WRAPPER" not in instrumented(function(variables=variables), WISH).variables


@pytest.mark.parametrize("runtime", ["provided", "provided.al2", "provided.al2023", "custom"])
def test_a_runtime_without_wrappers_gets_the_layer_and_is_told_the_line_it_needs(
    runtime: str,
) -> None:
    plan = instrumented(function(Runtime=runtime), WISH)
    assert plan.layers == (OURS,)
    assert "AWS_LAMBDA_EXEC_WRAPPER" not in plan.variables
    assert any(f"exec {WRAPPER}" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("configuration", "says"),
    [
        ({"PackageType": "Image", "Runtime": None}, "Dockerfile"),
        (
            {
                "FunctionName": "us-east-1.f",
                "MasterArn": "arn:aws:lambda:us-east-1:123456789012:function:f:3",
            },
            "Lambda@Edge",
        ),
        ({"Runtime": "go1.x"}, "current runtime"),
        ({"Runtime": "nodejs8.10"}, "current runtime"),
        ({"Runtime": "python3.7"}, "current runtime"),
        (
            {"Environment": {"Error": {"ErrorCode": "AccessDeniedException", "Message": "kms"}}},
            "kms:Decrypt",
        ),
        ({"State": "Deleting"}, "deleted"),
    ],
)
def test_what_cannot_be_instrumented_is_refused_with_the_reason(
    configuration: dict[str, Any], says: str
) -> None:
    plan = instrumented(function(**configuration), WISH)
    assert says in plan.refusal
    assert not plan.changes


def test_what_publishes_versions_only_is_told_so() -> None:
    assert "SnapStart" in notes(function(SnapStart={"ApplyOn": "PublishedVersions"}))[0]
    assert "Managed Instances" in notes(function(CapacityProviderConfig={"X": {}}))[0]
    assert "not known" in notes(function(Runtime="cobol1985"))[0]
    known = [
        "python3.15",
        "nodejs26.x",
        "java25",
        "java8.al2",
        "java17.al2023",
        "dotnet10",
        "dotnetcore3.1",
        "ruby4.0",
    ]
    assert [notes(function(Runtime=runtime)) for runtime in known] == [[]] * len(known)


def test_the_limits_are_lambda_s() -> None:
    exact = {"A": "x" * (4_096 - len('{"A":""}'))}
    assert environment_bytes(exact) == 4_096
    assert not limit_exceeded(function(), [], exact)
    assert "4097" in limit_exceeded(function(), [], {"A": exact["A"] + "x"})
    assert environment_bytes({"é": '"'}) == len('{"é":"\\""}'.encode())
    large = function(CodeSize=262_144_000 - 5_000)
    assert not limit_exceeded(large, [OURS], {}, layer_bytes=5_000)
    assert "262144000" in limit_exceeded(large, [OURS], {}, layer_bytes=5_001)


def test_a_reply_with_nothing_but_the_name_is_read() -> None:
    reply = {
        "Configuration": {
            "FunctionName": "f",
            "FunctionArn": "arn:aws:lambda:r:1:function:f:$LATEST",
        }
    }
    read = Function.from_reply("r", reply)
    assert (read.arn, read.package_type, read.architectures) == (
        "arn:aws:lambda:r:1:function:f",
        "Zip",
        ("x86_64",),
    )
    assert obstacle(read) == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("arn:aws:lambda:eu-west-1:123456789012:web-function/shop", "Web Function"),
        ("f:7", "published version"),
        ("arn:aws:lambda:eu-west-1:123456789012:function:f:live", "published version"),
        ("arn:aws:s3:::bucket", "neither"),
        ("", "neither"),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(AwsError, match=says):
        FunctionName.parse(text)


def test_a_function_may_be_named_in_every_way_that_lambda_allows() -> None:
    for text in ("f", "f:$LATEST", "123456789012:function:f"):
        assert FunctionName.parse(text) == FunctionName("", "f")
    for partition in ("aws", "aws-cn", "aws-us-gov"):
        arn = f"arn:{partition}:lambda:x-y-1:123456789012:function:f"
        assert FunctionName.parse(arn) == FunctionName("x-y-1", "f")


def test_what_is_no_layer_s_arn_is_refused() -> None:
    for text in ("", "lrap-otel:3", OURS.rpartition(":")[0], OURS + ":1"):
        with pytest.raises(AwsError, match="make deploy"):
            LayerVersion.parse(text)


def test_without_a_record_only_what_is_ours_goes() -> None:
    variables = {
        "A": "1",
        "AWS_LAMBDA_EXEC_WRAPPER": WRAPPER,
        "LRAP_NEXT_WRAPPER": "/opt/theirs",
        "LRAP_LOG_LEVEL": "info",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x",
    }
    plan = uninstrumented(function([layer("a"), OURS], variables), None)
    assert plan.layers == (layer("a"),)
    assert list(plan.variables.items()) == [
        ("A", "1"),
        ("AWS_LAMBDA_EXEC_WRAPPER", "/opt/theirs"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x"),
    ]
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in plan.notes[0]


def test_without_a_record_a_function_that_has_nothing_of_ours_stays() -> None:
    theirs = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}
    assert not uninstrumented(function([layer("a")], theirs), None).changes
    assert not uninstrumented(function(), None).changes


@pytest.mark.parametrize("wrapper", [WRAPPER, "/opt/wrapper"])
def test_without_a_record_our_wrapper_goes_by_either_name(wrapper: str) -> None:
    assert (
        uninstrumented(function([OURS], {"AWS_LAMBDA_EXEC_WRAPPER": wrapper}), None).variables == {}
    )


def test_what_others_changed_since_stays() -> None:
    plan = instrumented(function([layer("a")], {"A": "1"}), WISH)
    record = Record.of(plan)
    edited = replace(
        after(plan),
        layers=(layer("new"), *plan.layers),
        variables={
            **plan.variables,
            "A": "2",
            "B": "3",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://theirs",
        },
    )
    restored = uninstrumented(edited, record)
    assert restored.layers == (layer("new"), layer("a"))
    assert restored.variables == {
        "A": "2",
        "B": "3",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://theirs",
    }
    assert len(restored.notes) == 2


def test_an_older_version_returns_though_the_layers_were_changed_since() -> None:
    older = layer("lrap-otel", 2)
    plan = instrumented(function([layer("a"), older], {"AWS_LAMBDA_EXEC_WRAPPER": WRAPPER}), WISH)
    restored = uninstrumented(
        replace(after(plan), layers=(*plan.layers, layer("new"))), Record.of(plan)
    )
    assert restored.layers == (layer("a"), older, layer("new"))
    assert restored.variables["AWS_LAMBDA_EXEC_WRAPPER"] == WRAPPER


def test_no_function_keeps_a_wrapper_that_no_layer_of_it_holds() -> None:
    broken = function([layer("a")], {"AWS_LAMBDA_EXEC_WRAPPER": WRAPPER})
    plan = instrumented(broken, WISH)
    edited = replace(after(plan), layers=(layer("b"), *plan.layers))
    assert "AWS_LAMBDA_EXEC_WRAPPER" not in uninstrumented(edited, Record.of(plan)).variables


def test_variables_that_cannot_be_read_are_never_written() -> None:
    unreadable = function(
        [OURS], Environment={"Error": {"ErrorCode": "AccessDenied", "Message": ""}}
    )
    assert "kms:Decrypt" in uninstrumented(unreadable, None).refusal


def test_the_difference_shows_what_changes_and_no_secret() -> None:
    variables = {
        "SECRET": "s3cr3t",
        "OTEL_EXPORTER_OTLP_HEADERS": "key=t0k3n",
        "AWS_LAMBDA_EXEC_WRAPPER": "/opt/x",
    }
    wish = Wish(
        OURS,
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://user:p4ss@c.example:4318/t0k3n-path?k=t0k3n",
            "OTEL_EXPORTER_OTLP_HEADERS": "key=n3w",
        },
    )
    plan = instrumented(function([layer("lrap-otel", 6), layer("a")], variables), wish)
    assert list(difference(plan)) == [
        f"- layer {layer('lrap-otel', 6)}",
        f"+ layer {OURS}",
        "~ OTEL_EXPORTER_OTLP_HEADERS=(not shown) -> (not shown)",
        f"~ AWS_LAMBDA_EXEC_WRAPPER=/opt/x -> {WRAPPER}",
        "+ LRAP_NEXT_WRAPPER=/opt/x",
        "+ OTEL_EXPORTER_OTLP_ENDPOINT=https://c.example:4318/…",
    ]
    for text in (repr(plan), repr(plan.function), repr(Record.of(plan)), repr(wish)):
        assert not any(secret in text for secret in ("s3cr3t", "t0k3n", "p4ss", "n3w"))


NAMES = st.sampled_from(
    [
        "A",
        "B",
        "AWS_LAMBDA_EXEC_WRAPPER",
        "LRAP_NEXT_WRAPPER",
        "LRAP_FLUSH",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ]
)
VALUES = st.sampled_from(
    ["", "1", "é", WRAPPER, "/opt/wrapper", "/opt/theirs", "https://collector.example"]
)
LAYERS = st.lists(
    st.sampled_from([layer("a"), layer("b"), OURS, layer("lrap-otel", 6), layer("lrap-otel", 5)]),
    unique=True,
    max_size=5,
)
FUNCTIONS = st.builds(
    function,
    LAYERS,
    st.dictionaries(NAMES, VALUES),
    Runtime=st.sampled_from(["python3.13", "provided.al2023", "x"]),
)
WISHES = st.builds(
    Wish,
    st.sampled_from([OURS, layer("lrap-otel", 8)]),
    st.dictionaries(st.sampled_from(["A", "LRAP_FLUSH", "OTEL_EXPORTER_OTLP_ENDPOINT"]), VALUES),
)


def same(one: Function, other: Function) -> bool:
    """The same to the byte: the order of the variables counts."""
    return one.layers == other.layers and json.dumps(one.variables) == json.dumps(other.variables)


@given(FUNCTIONS, WISHES)
def test_instrumenting_twice_is_instrumenting_once(before: Function, wish: Wish) -> None:
    once = after(instrumented(before, wish))
    assert not instrumented(once, wish).changes


@example(
    function([OURS], {"LRAP_NEXT_WRAPPER": WRAPPER, "A": ""}), [Wish(OURS, {}), Wish(OURS, {})]
)
@given(FUNCTIONS, st.lists(WISHES, min_size=1, max_size=3))
def test_however_often_it_was_instrumented_it_is_restored_to_the_byte(
    before: Function, wishes: list[Wish]
) -> None:
    current, record = before, None
    for wish in wishes:
        plan = instrumented(current, wish)
        record = record.followed_by(Record.of(plan)) if record else Record.of(plan)
        current = after(plan)
    assert same(after(uninstrumented(current, record)), before)


@given(FUNCTIONS, WISHES, WISHES)
def test_a_change_recorded_and_never_made_is_no_hindrance(
    before: Function, wish: Wish, other: Wish
) -> None:
    lost = Record.of(instrumented(before, wish))
    assert same(after(uninstrumented(before, lost)), before)
    plan = instrumented(before, other)
    assert same(after(uninstrumented(after(plan), lost.followed_by(Record.of(plan)))), before)
