"""Lines over an axis of powers of ten, as SVG that reads in light and in dark and carries its own
colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 528, 62, 308
CENTRE = (LEFT + RIGHT) // 2
LABEL_STEP = 15
STYLE = """
text { font-family: system-ui, sans-serif; font-size: 12px; fill: #333 }
.title { font-weight: 600; font-size: 14px }
.paper { fill: #fff }
.grid { stroke: #ddd }
.line { fill: none; stroke-width: 2; stroke-linejoin: round }
.c0 { stroke: #0b62c4 } .c1 { stroke: #b4490a } .c2 { stroke: #3d7a1c } .c3 { stroke: #8a3ffc }
.d0 { fill: #0b62c4 } .d1 { fill: #b4490a } .d2 { fill: #3d7a1c } .d3 { fill: #8a3ffc }
@media (prefers-color-scheme: dark) {
text { fill: #ccc }
.paper { fill: #14171c }
.grid { stroke: #363b43 }
.c0 { stroke: #6cb0ff } .c1 { stroke: #ffa05c } .c2 { stroke: #8fd16b } .c3 { stroke: #c9a6ff }
.d0 { fill: #6cb0ff } .d1 { fill: #ffa05c } .d2 { fill: #8fd16b } .d3 { fill: #c9a6ff }
}
"""


@dataclass(frozen=True)
class Line:
    """A name and its points, x and y, in the order of x. Points that a logarithm does not have are
    left out.
    """

    name: str
    points: Sequence[tuple[float, float]]


def svg(
    title: str, x_name: str, y_name: str, lines: Sequence[Line], *, is_linear: bool = False
) -> str:
    """A plot; `is_linear` begins y at zero instead of taking its logarithm. Up to four lines have
    colours of their own.
    """
    lines = [
        Line(line.name, [(x, y) for x, y in line.points if x > 0 and (y > 0 or is_linear)])
        for line in lines
    ]
    x_of, x_marks = _logarithmic([x for line in lines for x, _ in line.points], LEFT, RIGHT)
    scale = _linear if is_linear else _logarithmic
    y_of, y_marks = scale([y for line in lines for _, y in line.points], BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        f'<text class="title" x="16" y="24">{escape(title)}</text>',
        *(_grid_x(x_of(mark), mark) for mark in x_marks),
        *(_grid_y(y_of(mark), mark) for mark in y_marks),
        f'<text text-anchor="middle" x="{CENTRE}" y="{BOTTOM + 38}">{escape(x_name)}</text>',
        f'<text x="16" y="{TOP - 16}">{escape(y_name)}</text>',
        *_drawn(lines, x_of, y_of),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _logarithmic(
    values: Sequence[float], start: int, end: int
) -> tuple[Callable[[float], float], list[float]]:
    """A place for each value, and the powers of ten that frame them."""
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    high = max(high, low + 1)
    return (
        lambda value: start + (end - start) * (log10(value) - low) / (high - low),
        [10.0**power for power in range(low, high + 1)],
    )


def _linear(
    values: Sequence[float], start: int, end: int
) -> tuple[Callable[[float], float], list[float]]:
    """A place for each value from zero on, and about five round marks."""
    step = _round_step(max(*values, 1e-9) / 5)
    count = ceil(max(values) / step) or 1
    return (
        lambda value: start + (end - start) * value / (step * count),
        [step * number for number in range(count + 1)],
    )


def _round_step(least: float) -> float:
    power = 10.0 ** floor(log10(least))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * (1 - 1e-9))


def _grid_x(x: float, mark: float) -> str:
    line = f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{BOTTOM}"/>'
    return (
        f'{line}<text x="{x:.1f}" y="{BOTTOM + 18}" text-anchor="middle">{number_text(mark)}</text>'
    )


def _grid_y(y: float, mark: float) -> str:
    line = f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{RIGHT}" y2="{y:.1f}"/>'
    return (
        f'{line}<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{number_text(mark)}</text>'
    )


def _drawn(
    lines: Sequence[Line], x_of: Callable[[float], float], y_of: Callable[[float], float]
) -> Iterator[str]:
    ends = _label_places([y_of(line.points[-1][1]) for line in lines])
    for number, (line, label_y) in enumerate(zip(lines, ends, strict=True)):
        places = [(x_of(x), y_of(y)) for x, y in line.points]
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline class="line c{number}" points="{corners}"/>'
        yield from (
            f'<circle class="d{number}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places
        )
        yield (
            f'<text class="d{number}" x="{places[-1][0] + 10:.1f}" '
            f'y="{label_y + 4:.1f}">{escape(line.name)}</text>'
        )


def _label_places(ys: Sequence[float]) -> list[float]:
    """Where the names stand: beside the ends of their lines, but not on each other."""
    places = dict.fromkeys(range(len(ys)), 0.0)
    free = -float(HEIGHT)
    for number in sorted(places, key=lambda number: ys[number]):
        free = places[number] = max(ys[number], free + LABEL_STEP)
    return list(places.values())


def number_text(value: float) -> str:
    """1, 20, 500, 1k, 10k, 1M; 0.1, 0.25."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
