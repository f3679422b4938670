"""Example events: each is of the trigger that it is named after, by the extension's own table."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from lrap_otel.emulator.sample_events import SAMPLES, change, sample
from lrap_otel.telemetry.triggers import table
from lrap_otel.telemetry.triggers.description import Options


def test_there_is_an_event_of_every_trigger_that_the_extension_knows() -> None:
    known = {row.name for family, _ in table.FAMILIES for row in table.rows_of(family)}
    assert SAMPLES.keys() == known | {"direct"}


@pytest.mark.parametrize("trigger", SAMPLES)
def test_an_event_is_of_its_trigger(trigger: str) -> None:
    assert table.describe(sample(trigger), Options()).name == (
        "" if trigger == "direct" else trigger
    )


def test_all_events_together_are_small() -> None:
    assert len(json.dumps(SAMPLES)) < 20_000


@pytest.mark.parametrize(
    ("assignment", "path", "value"),
    [
        ("Records.0.body=hello", ["Records", 0, "body"], "hello"),
        ('Records.0.body={"a": 1}', ["Records", 0, "body"], {"a": 1}),
        (
            "Records.0.attributes.ApproximateReceiveCount=3",
            ["Records", 0, "attributes", "ApproximateReceiveCount"],
            3,
        ),
        ("Records.1.body=second=2", ["Records", 1, "body"], "second=2"),
        ("new.list.0.name=x", ["new", "list", 0, "name"], "x"),
        ("empty=", ["empty"], ""),
    ],
)
def test_a_member_is_set_where_it_is_or_made(assignment: str, path: list[Any], value: Any) -> None:
    event = sample("sqs")
    change(event, assignment)
    for step in path:
        event = event[step]
    assert event == value


@pytest.mark.parametrize(
    "assignment",
    ["Records", "=1", "a..b=1", "Records.5.body=1", "Records.x=1", "Records.0.body.x=1"],
)
def test_a_member_that_cannot_be_set_is_an_error_that_names_it(assignment: str) -> None:
    with pytest.raises(ValueError, match=re.escape(assignment)):
        change(sample("sqs"), assignment)


def test_a_change_does_not_reach_the_next_event() -> None:
    change(sample("sqs"), "Records.0.body=changed")
    assert sample("sqs")["Records"][0]["body"] != "changed"
