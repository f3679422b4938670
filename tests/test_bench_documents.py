"""What the benchmarks write: tables in the documentation, plots beside it, and the events they
deliver.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from bench.docs import with_results
from bench.events import BODIES, batch_event, http_event, rest_event
from bench.plot import Line, number_text, svg
from bench.table import Table

if TYPE_CHECKING:
    from pathlib import Path

SVG = "{http://www.w3.org/2000/svg}"


def test_a_table_is_the_same_in_a_terminal_and_in_a_document() -> None:
    table = Table("paced", ["", "µs"], [["relay", "75.0"], ["ours|here", "438.0"]])
    assert table.text() == "paced\n              µs\nrelay       75.0\nours|here  438.0"
    assert (
        table.markdown()
        == "paced\n\n|  | µs |\n| --- | ---: |\n| relay | 75.0 |\n| ours\\|here | 438.0 |"
    )


def test_a_new_table_takes_the_place_of_the_old_one_and_leaves_the_text_around(
    tmp_path: Path,
) -> None:
    (tmp_path / "hot.md").write_text("new\n", encoding="utf-8")
    document = "# Title\n\n<!-- bench:hot -->\nold\n<!-- /bench -->\nText.\n<!-- bench:off -->\nkept\n<!-- /bench -->\n"
    assert with_results(document, tmp_path) == document.replace("old", "new")


def corners(plot: str) -> list[list[tuple[float, float]]]:
    lines = ET.fromstring(plot).iter(f"{SVG}polyline")
    pairs = [[pair.split(",") for pair in line.get("points", "").split()] for line in lines]
    return [[(float(x), float(y)) for x, y in line] for line in pairs]


def texts(plot: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(plot).iter(f"{SVG}text")]


def test_ten_times_as_much_is_as_far_on_every_part_of_a_logarithmic_axis() -> None:
    ((first, second, third),) = corners(
        svg("t", "x", "y", [Line("a", [(1, 10), (10, 100), (100, 1_000)])])
    )
    assert second[0] - first[0] == pytest.approx(third[0] - second[0], abs=0.1)
    assert first[1] - second[1] == pytest.approx(second[1] - third[1], abs=0.1)


def test_a_linear_axis_begins_at_zero() -> None:
    plot = svg("t", "x", "y", [Line("a", [(1, 5), (10, 10)])], is_linear=True)
    assert {"0", "2", "4", "10"} <= set(texts(plot))
    ((half, whole),) = corners(plot)
    assert 308 - half[1] == pytest.approx((308 - whole[1]) / 2)


def test_names_at_the_ends_of_lines_do_not_stand_on_each_other() -> None:
    plot = svg(
        "t",
        "x",
        "y",
        [Line(name, [(1, 10), (10, value)]) for name, value in (("a", 50), ("b", 51), ("c", 49))],
    )
    places = [
        float(element.get("y", ""))
        for element in ET.fromstring(plot).iter(f"{SVG}text")
        if element.text in "abc"
    ]
    assert min(abs(one - other) for one in places for other in places if one is not other) >= 14


def test_a_point_that_has_no_logarithm_is_left_out() -> None:
    assert len(corners(svg("t", "x", "y", [Line("a", [(1, -3.5), (10, 10), (100, 20)])]))[0]) == 2


def test_a_plot_has_colours_for_light_and_for_dark_and_shows_text_as_text() -> None:
    plot = svg("a < b & c", "x", "y", [Line("ours", [(1, 10), (10, 10)])])
    assert "prefers-color-scheme: dark" in plot
    assert texts(plot)[0] == "a < b & c"
    assert "ours" in texts(plot)


@pytest.mark.parametrize(
    ("value", "text"), [(0.1, "0.1"), (20.0, "20"), (1_000, "1k"), (2_500, "2.5k"), (6e6, "6M")]
)
def test_a_number_is_short(value: float, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("body_first", [False, True])
def test_an_event_is_exactly_as_large_as_asked_for_and_can_be_read(
    body: str, body_first: bool
) -> None:
    event = http_event(100_000, body=body, body_first=body_first)
    assert len(event) == 100_000
    names = list(json.loads(event))
    assert (names.index("body") < names.index("headers")) is body_first
    assert (event.count(b"\\") > 10_000) is (body == "escapes")


def test_an_event_has_as_many_headers_and_records_as_asked_for() -> None:
    assert len(json.loads(http_event(0, headers=200))["headers"]) == 200
    assert len(json.loads(batch_event(1_000))["Records"]) == 1_000
    assert len(batch_event(10_000)) < 6 * 1024 * 1024


def test_a_rest_event_names_its_headers_twice() -> None:
    event = json.loads(rest_event(3_000))
    assert event["multiValueHeaders"] == {name: [value] for name, value in event["headers"].items()}
