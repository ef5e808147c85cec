"""The figures of the page as SVG of our own: a forest plot in table rows, and gain against forgetting."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from evalkit.report.model import main_gain
from evalkit.report.words import interval, signed

if TYPE_CHECKING:
    from evalkit.comparison import Row, SuiteMean
    from evalkit.report.model import Report

__all__ = [
    "SHAPES",
    "Scale",
    "axis",
    "forest_scale",
    "forest_svg",
    "frame",
    "labels",
    "mark",
    "place",
    "plane_scale",
    "trade_off",
]

REACH = 0.35  # an interval is drawn no further than this from its estimate; an arrow says that it goes on

SHAPES = {
    "gained": "M0,-5.5 L5.5,4.5 L-5.5,4.5 Z",
    "held": "M-5,0 a5,5 0 1,0 10,0 a5,5 0 1,0 -10,0 Z",
    "unsure": "M-4.5,0 a4.5,4.5 0 1,0 9,0 a4.5,4.5 0 1,0 -9,0 Z",
    "regressed": "M0,5.5 L5.5,-4.5 L-5.5,-4.5 Z",
    "pass": "M-4.5,0.5 L-1.5,4 L5,-4",
}
"""A verdict is told by shape as well as by colour: triangle up, disc, ring, triangle down, tick."""

_POINTS = {"pass": SHAPES["held"], "unsure": SHAPES["unsure"], "regressed": SHAPES["regressed"]}


@dataclass(frozen=True, slots=True)
class Scale:
    """A range of differences and its round ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def percent(self, value: float) -> float:
        """Position from 0 to 100, clipped."""
        return round(100 * min(1.0, max(0.0, (value - self.low) / (self.high - self.low))), 2)


def _ticks(low: float, high: float, count: int) -> tuple[float, ...]:
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    first = math.ceil(low / step - 1e-9)
    return tuple(round(k * step, 10) for k in range(first, math.floor(high / step + 1e-9) + 1))


def plane_scale(values: Iterable[float], *, count: int = 6) -> Scale:
    """A scale that holds the values, with about so many ticks."""
    known = list(values)
    low, high = min(known), max(known)
    pad = 0.06 * max(high - low, 0.01)
    low, high = low - pad, high + pad
    return Scale(low, high, _ticks(low, high, count))


def _ends(estimate: float, ends: tuple[float, float]) -> tuple[float, float]:
    return max(ends[0], estimate - REACH), min(ends[1], estimate + REACH)


def forest_scale(rows: Sequence[tuple[float, tuple[float, float], float]]) -> Scale:
    """Scale that holds zero, every margin and every interval; rows are (estimate, interval, margin)."""
    values = [0.0, 0.01]
    for estimate, ends, margin in rows:
        values += [*_ends(estimate, ends), -margin]
    return plane_scale(values)


def mark(verdict: str) -> str:
    """The verdict's shape alone, for words and legends."""
    return (
        f'<svg class="mark {verdict}" width="12" height="12" viewBox="-7 -7 14 14" aria-hidden="true">'
        f'<path d="{SHAPES[verdict]}"/></svg>'
    )


def forest_svg(
    name: str, estimate: float, ends: tuple[float, float], margin: float, verdict: str, scale: Scale, *, mean: bool
) -> str:
    """One row of the forest plot: interval, estimate, the lines of zero and of the tolerable loss."""
    at, zero, tolerable = (scale.percent(value) for value in (estimate, 0.0, -margin))
    shown = _ends(estimate, ends)
    low, high = (scale.percent(value) for value in shown)
    arrows = "".join(
        f'<svg x="{position}%" y="50%" overflow="visible"><path class="arrow" d="{path}"/></svg>'
        for cut, position, path in (
            (shown[0] > ends[0] + 1e-12, low, "M-1,0 L6,-4 L6,4 Z"),
            (shown[1] < ends[1] - 1e-12, high, "M1,0 L-6,-4 L-6,4 Z"),
        )
        if cut
    )
    shape = "M0,-7 L9,0 L0,7 L-9,0 Z" if mean else SHAPES[verdict]
    label = f"{name}: {signed(estimate)} points, 95 % interval {interval(ends)}, {verdict}"
    return (
        f'<svg class="forest {verdict}" role="img" aria-label="{escape(label)}" width="100%" height="34">'
        f'<rect class="beyond" x="0" y="0" width="{tolerable}%" height="100%"/>'
        f'<line class="zero" x1="{zero}%" x2="{zero}%" y1="0" y2="100%"/>'
        f'<line class="margin" x1="{tolerable}%" x2="{tolerable}%" y1="0" y2="100%"/>'
        f'<line class="interval" x1="{low}%" x2="{high}%" y1="50%" y2="50%"/>{arrows}'
        f'<svg x="{at}%" y="50%" overflow="visible"><path class="shape" d="{shape}"/></svg></svg>'
    )


def axis(scale: Scale) -> str:
    """Ticks in points, under the forest plot."""
    ticks = "".join(
        f'<line x1="{scale.percent(tick)}%" x2="{scale.percent(tick)}%" y1="0" y2="5"/>'
        f'<text x="{scale.percent(tick)}%" y="18" text-anchor="middle">{_tick(tick)}</text>'
        for tick in scale.ticks
    )
    return f'<svg class="axis" width="100%" height="24" aria-hidden="true">{ticks}</svg>'


def _tick(value: float) -> str:
    text = f"{100 * value:+.10g}" if value else "0"
    return text.replace("-", "−")


WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420, 300, 54, 14, 12, 46


def trade_off(report: Report) -> str:
    """Gain on the task against the mean change on the suite, each arm with both intervals; empty without both."""
    points = [
        _Point(arm.name if report.label(arm) == arm.name else f"{arm.name} {arm.seed}", arm.gate.status, row, mean)
        for arm in report.ranked()
        if (row := main_gain(arm.comparison)) is not None and (mean := arm.comparison.suite_mean) is not None
    ]
    if not points:
        return ""
    x = plane_scale([0.0, *(end for point in points for end in (*point.across(), -point.mean.margin))])
    y = plane_scale([0.0, *(end for point in points for end in point.up())], count=5)
    centers = [place(x, y, point.mean.difference, point.row.difference) for point in points]
    body = [
        *frame(x, y, points[0].mean.margin),
        *(point.drawn(x, y) for point in points),
        *labels([point.name for point in points], centers),
    ]
    said = "; ".join(point.said() for point in points)
    return (
        f'<svg class="trade" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" aria-label="{escape(said)}">{"".join(body)}'
        f'<text class="name" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
        "mean change on general tasks, points</text>"
        f'<text class="name" transform="translate(13,{(HEIGHT - BOTTOM + TOP) / 2}) rotate(-90)" '
        'text-anchor="middle">gain on the task, points</text></svg>'
    )


@dataclass(frozen=True, slots=True)
class _Point:
    """One arm in the plane of forgetting and gain."""

    name: str
    status: str
    row: Row
    mean: SuiteMean

    def across(self) -> tuple[float, float]:
        return _ends(self.mean.difference, self.mean.interval)

    def up(self) -> tuple[float, float]:
        return _ends(self.row.difference, self.row.interval)

    def said(self) -> str:
        return (
            f"{self.name}: {signed(self.row.difference)} on the task {interval(self.row.interval)}, "
            f"{signed(self.mean.difference)} on the suite {interval(self.mean.interval)}"
        )

    def drawn(self, x: Scale, y: Scale) -> str:
        left, level = place(x, y, self.across()[0], self.row.difference)
        right = place(x, y, self.across()[1], self.row.difference)[0]
        center, low = place(x, y, self.mean.difference, self.up()[0])
        high = place(x, y, self.mean.difference, self.up()[1])[1]
        return (
            f'<g class="{self.status}"><line class="interval" x1="{left}" x2="{right}" y1="{level}" y2="{level}"/>'
            f'<line class="interval" x1="{center}" x2="{center}" y1="{low}" y2="{high}"/>'
            f'<g transform="translate({center},{level})"><path class="shape" d="{_POINTS[self.status]}"/></g></g>'
        )


def place(x: Scale, y: Scale, across: float, up: float) -> tuple[float, float]:
    """Where a point of the plane stands in the figure."""
    return (
        round(LEFT + (WIDTH - LEFT - RIGHT) * x.percent(across) / 100, 1),
        round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y.percent(up) / 100, 1),
    )


def frame(x: Scale, y: Scale, margin: float) -> list[str]:
    """Ticks, the lines of zero, and the side beyond the tolerable loss."""
    tolerable, floor = place(x, y, -margin, 0)[0], HEIGHT - BOTTOM
    zero = place(x, y, 0, 0)
    return [
        f'<rect class="beyond" x="{LEFT}" y="{TOP}" width="{round(tolerable - LEFT, 1)}" height="{floor - TOP}"/>',
        f'<line class="margin" x1="{tolerable}" x2="{tolerable}" y1="{TOP}" y2="{floor}"/>',
        f'<line class="zero" x1="{zero[0]}" x2="{zero[0]}" y1="{TOP}" y2="{floor}"/>',
        f'<line class="zero" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{zero[1]}" y2="{zero[1]}"/>',
        *(
            f'<text x="{place(x, y, tick, 0)[0]}" y="{floor + 17}" text-anchor="middle">{_tick(tick)}</text>'
            for tick in x.ticks
        ),
        *(
            f'<text x="{LEFT - 8}" y="{place(x, y, 0, tick)[1] + 4}" text-anchor="end">{_tick(tick)}</text>'
            for tick in y.ticks
        ),
    ]


def labels(names: Sequence[str], centers: Sequence[tuple[float, float]]) -> list[str]:
    """Names beside their points: the first of a few places that covers neither a point nor another name."""
    taken = [(across - 9, up - 8, across + 9, up + 8) for across, up in centers]
    result = []
    for name, (across, up) in zip(names, centers, strict=True):
        length = 7.4 * len(name)
        places = [
            (start, up + down)
            for down in (-10, 20, -26, 36, -42, 52, -58, 68)
            for start in (across + 8, across - length - 8, across - length / 2)
        ]
        for start, line in places:
            box = (start, line - 12, start + length, line + 3)
            inside = box[0] > LEFT and box[2] < WIDTH - 4 and box[1] > TOP - 4 and box[3] < HEIGHT - BOTTOM
            if inside and not any(_overlap(box, other) for other in taken):
                break
        else:
            start, line = places[0]
            box = (start, line - 12, start + length, line + 3)
        taken.append(box)
        if abs(line - 4 - up) > 20:  # too far to be read as belonging together
            end = (round(min(max(across, box[0]), box[2]), 1), round(box[1] if line > up else box[3], 1))
            result.append(f'<line class="leader" x1="{across}" y1="{up}" x2="{end[0]}" y2="{end[1]}"/>')
        result.append(f'<text class="label" x="{round(start, 1)}" y="{round(line, 1)}">{escape(name)}</text>')
    return result


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
