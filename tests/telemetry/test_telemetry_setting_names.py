"""Variables that nobody reads are named once, with the name that was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.telemetry.setting_names import NOT_HONOURED, OURS, warnings_of
from tests.telemetry.proxy_records import invocations

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.telemetry.otlp_collector import Collector
    from tests.telemetry.telemetry_thread import Telemetry


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LRAP_LISTNER_PORT", "LRAP_LISTENER_PORT"),
        ("LRAP_PORT", "LRAP_LISTENER_PORT"),
        ("LRAP_ENABLE", "LRAP_ENABLED"),
        ("lrap_enabled", "LRAP_ENABLED"),
        ("LRAP_LOGLEVEL", "LRAP_LOG_LEVEL"),
        ("LRAP_FLUSH_BUDGET", "LRAP_FLUSH_BUDGET_MS"),
        ("LRAP_RUNTIME_ENDPOINT", "LRAP_RUNTIME_API_ENDPOINT"),
    ],
)
def test_an_unknown_name_of_ours_is_told_with_the_nearest(name: str, meant: str) -> None:
    assert warnings_of({name.encode(): b"secret"}) == [
        f"{name} is no setting; do you mean {meant}?"
    ]


@pytest.mark.parametrize(
    "name", ["LRAP_", "LRAP_FOO", "LRAP_" + "X" * 500, "LRAP_\n\x1b[31m", "LRAP_\udcff"]
)
def test_a_name_that_is_like_none_of_ours_is_told_in_one_printable_line(name: str) -> None:
    (warning,) = warnings_of({name.encode("utf-8", "surrogateescape"): b""})

    assert warning.isprintable()
    assert warning.endswith("is no setting; docs/settings.md has them all")
    assert len(warning) < 150


def test_names_of_ours_and_of_others_are_not_told() -> None:
    assert (
        warnings_of(
            {name.encode(): b"x" for name in (*OURS, "PATH", "OTEL_SERVICE_NAME", "MY_LRAP_PORT")}
        )
        == []
    )


def test_of_very_many_unknown_names_ten_are_told() -> None:
    assert len(warnings_of({f"LRAP_X{number}".encode(): b"" for number in range(1_000)})) == 10


def test_what_is_not_honoured_is_told_in_one_line_without_its_value() -> None:
    variables = {name.encode(): b"value-of-it" for name in NOT_HONOURED}

    (warning,) = warnings_of(variables)
    assert [name for name in NOT_HONOURED if name not in warning] == []
    assert "value-of-it" not in warning


def test_what_asks_for_nothing_else_than_we_do_is_not_told() -> None:
    assert (
        warnings_of(
            {
                b"OTEL_EXPERIMENTAL_CONFIG_FILE": b"None",
                b"OTEL_EXPORTER_OTLP_INSECURE": b" false ",
                b"OTEL_CONFIG_FILE": b"",
            }
        )
        == []
    )


@given(st.dictionaries(st.binary().map(lambda name: b"LRAP_" + name), st.binary(), max_size=3))
def test_no_name_makes_it_raise(variables: dict[bytes, bytes]) -> None:
    assert len(warnings_of(variables)) <= 3


def test_the_telemetry_process_tells_them(
    start: Callable[..., Telemetry], collector: Collector
) -> None:
    telemetry = start(collector, LRAP_PORT="9010", OTEL_LOG_LEVEL="debug")
    telemetry.offer(*invocations(1))

    assert telemetry.flush()
    assert telemetry.warnings == [
        "LRAP_PORT is no setting; do you mean LRAP_LISTENER_PORT?",
        "set for others, and not used by lrap-otel: OTEL_LOG_LEVEL (ours is LRAP_LOG_LEVEL)",
    ]
