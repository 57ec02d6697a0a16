"""A line chart as SVG: plain text that a browser and a code review both read."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 800, 410
LEFT, TOP, RIGHT, BOTTOM = 60, 50, 290, 50
"""Margins around the drawing, pixels; names stand to the right of it."""

COLOURS = (
    "#d62728", "#2ca02c", "#1f77b4", "#ff7f0e", "#9467bd", "#8c564b",
    "#e377c2", "#7f7f7f", "#bcbd22", "#17becf", "#000000", "#aec7e8",
)  # fmt: skip
"""Colours that can be told apart, also by most who do not see all of them."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: what it shows, from where to where, and where it has marks."""

    name: str
    marks: Sequence[float]
    is_log: bool = False

    def share(self, value: float) -> float:
        """Say where a value lies between the first mark, 0, and the last, 1."""
        first, last = self.marks[0], self.marks[-1]
        if self.is_log:
            return math.log(value / first) / math.log(last / first)
        return (value - first) / (last - first)


def line_chart(title: str, x: Axis, y: Axis, lines: Mapping[str, Points]) -> str:
    """Draw lines over one pair of axes; returns the SVG document."""
    space = "http://www.w3.org/2000/svg"
    font = 'font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="{space}" viewBox="0 0 {WIDTH} {HEIGHT}" {font}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>',
        *_axes(x, y),
    ]
    for number, (name, points) in enumerate(lines.items()):
        parts += _line(name, [_place(x, y, each) for each in points], number)
    return "\n".join([*parts, "</svg>", ""])


def _place(x: Axis, y: Axis, point: tuple[float, float]) -> tuple[float, float]:
    across = LEFT + x.share(point[0]) * (WIDTH - LEFT - RIGHT)
    down = HEIGHT - BOTTOM - y.share(point[1]) * (HEIGHT - TOP - BOTTOM)
    return round(across, 1), round(down, 1)


def _axes(x: Axis, y: Axis) -> Iterator[str]:
    right, floor = WIDTH - RIGHT, HEIGHT - BOTTOM
    for mark in x.marks:
        across, _ = _place(x, y, (mark, y.marks[0]))
        yield f'<path d="M{across} {TOP}V{floor}" stroke="#ddd"/>'
        at = f'x="{across}" y="{floor + 16}"'
        yield f'<text {at} text-anchor="middle">{mark:g}</text>'
    for mark in y.marks:
        _, down = _place(x, y, (x.marks[0], mark))
        yield f'<path d="M{LEFT} {down}H{right}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 6}" y="{down + 4}" text-anchor="end">{mark:g}</text>'
    middle = (LEFT + right) // 2
    yield f'<text x="{middle}" y="{HEIGHT - 12}" text-anchor="middle">{x.name}</text>'
    yield f'<text x="14" y="{TOP - 12}">{y.name}</text>'


def _line(name: str, places: Points, number: int) -> Iterator[str]:
    colour = COLOURS[number % len(COLOURS)]
    dashes = ' stroke-dasharray="5 3"' if number >= 2 else ""
    path = " ".join(f"{across},{down}" for across, down in places)
    yield (
        f'<polyline points="{path}" fill="none" stroke="{colour}" '
        f'stroke-width="2"{dashes}/>'
    )
    for across, down in places:
        yield f'<circle cx="{across}" cy="{down}" r="2.5" fill="{colour}"/>'
    down = TOP + 8 + 18 * number
    left = WIDTH - RIGHT + 12
    yield f'<path d="M{left} {down}h18" stroke="{colour}" stroke-width="2"{dashes}/>'
    yield f'<text x="{left + 24}" y="{down + 4}">{escape(name)}</text>'
