"""A line chart with bands as SVG of our own: differences from the base along the steps or the number of examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from evalkit.report.figures import REACH, SHAPES
from evalkit.report.words import interval, signed

__all__ = ["Line", "Mark", "line_chart"]

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 440, 46, 12, 12, 40
_LETTER = 6.6  # mean width of a letter of a label


@dataclass(frozen=True, slots=True)
class Mark:
    """One point of a line: an estimate and its interval, in points of the score (0.01 = 1 point)."""

    at: int
    value: float
    ends: tuple[float, float] | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Line:
    """One model along the axis.

    Attributes:
        name: Written at its end.
        number: Which colour and dash; the same in every chart of a page.
        marks: Rising.
        flag: The point where the task first regressed.
    """

    name: str
    number: int
    marks: Sequence[Mark] = field(default_factory=tuple)
    flag: int | None = None


@dataclass(frozen=True, slots=True)
class _Plane:
    low: float
    high: float
    first: int
    last: int
    height: int
    logarithmic: bool

    def across(self, at: float) -> float:
        if self.logarithmic:
            share = math.log(at / self.first) / math.log(self.last / self.first) if self.last > self.first else 0.5
        else:
            share = (at - self.first) / max(self.last - self.first, 1)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def up(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.height - BOTTOM - share * (self.height - TOP - BOTTOM), 1)


def line_chart(
    title: str, lines: Sequence[Line], *, unit: str, margin: float | None = None, small: bool = False, note: str = ""
) -> str:
    """One chart: zero is the base, the dashed line the tolerable loss, a band the 95 % interval.

    Args:
        title: What is measured; stands above the chart's caption and in its label for screen readers.
        lines: One per arm.
        unit: ``step`` or ``percent`` (linear, from 0), or ``examples`` (logarithmic).
        margin: Tolerable loss; None draws none.
        small: For a grid of many charts.
        note: Added to the label.
    """
    marks = [mark for line in lines for mark in line.marks]
    if not marks:
        return ""
    plane = _plane(marks, margin, unit, 190 if small else 280)
    body = [*_grid(plane, sorted({mark.at for mark in marks}), margin, unit)]
    taken: list[float] = []
    body += [_drawn(line, plane, starts_at_base=unit != "examples") for line in lines]
    if len(lines) > 1 and not small:
        body += [_named(line, plane, taken) for line in lines if line.marks]
    label = f"{title}: " + "; ".join(_said(line, unit) for line in lines if line.marks) + note
    return (
        f'<svg class="lines" role="img" viewBox="0 0 {WIDTH} {plane.height}" aria-label="{escape(label)}">'
        f"{''.join(body)}</svg>"
    )


def _plane(marks: Sequence[Mark], margin: float | None, unit: str, height: int) -> _Plane:
    reach = [0.0, 0.01, -0.01, *([] if margin is None else [-1.2 * margin])]
    for mark in marks:
        reach.append(mark.value)
        if mark.ends is not None:  # a wide interval does not flatten the rest
            reach += [max(mark.ends[0], mark.value - REACH), min(mark.ends[1], mark.value + REACH)]
    low, high = min(reach), max(reach)
    pad = 0.06 * (high - low)
    ats = [mark.at for mark in marks]
    logarithmic = unit == "examples"
    return _Plane(low - pad, high + pad, min(ats) if logarithmic else 0, max(ats), height, logarithmic)


def _steps(low: float, high: float, count: int) -> list[float]:
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _grid(plane: _Plane, ats: Sequence[int], margin: float | None, unit: str) -> list[str]:
    floor, right = plane.height - BOTTOM, WIDTH - RIGHT
    parts = []
    if margin is not None:
        tolerable = plane.up(-margin)
        parts += [
            f'<rect class="beyond" x="{LEFT}" y="{tolerable}" width="{right - LEFT}" '
            f'height="{round(floor - tolerable, 1)}"/>',
            f'<line class="margin" x1="{LEFT}" x2="{right}" y1="{tolerable}" y2="{tolerable}"/>',
        ]
    for tick in _steps(plane.low, plane.high, 5 if plane.height > 200 else 4):
        text = (f"{100 * tick:+.6g}" if abs(tick) > 1e-9 else "0").replace("-", "−")
        up = plane.up(tick)
        parts.append(f'<line class="tick" x1="{LEFT - 4}" x2="{LEFT}" y1="{up}" y2="{up}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{up + 4}" text-anchor="end">{text}</text>')
    parts.append(f'<line class="zero" x1="{LEFT}" x2="{right}" y1="{plane.up(0)}" y2="{plane.up(0)}"/>')
    last = -math.inf
    for at in ats if plane.logarithmic else [0, *ats]:
        across, text = plane.across(at), f"{at:,}"
        parts.append(f'<line class="tick" x1="{across}" x2="{across}" y1="{floor}" y2="{floor + 4}"/>')
        half = _LETTER * len(text) / 2
        if across - half > last + 6:
            anchor = "end" if across + half > right else "middle"
            parts.append(f'<text x="{min(across, right)}" y="{floor + 17}" text-anchor="{anchor}">{text}</text>')
            last = across + half
    parts.append(
        f'<text class="name" x="{(LEFT + right) / 2}" y="{plane.height - 6}" text-anchor="middle">{unit}</text>'
    )
    return parts


def _drawn(line: Line, plane: _Plane, *, starts_at_base: bool) -> str:
    places = [(plane.across(mark.at), mark) for mark in line.marks]
    start = [f"{plane.across(0)},{plane.up(0)}"] if starts_at_base else []
    path = " ".join([*start, *(f"{across},{plane.up(mark.value)}" for across, mark in places)])
    banded = [(across, mark.ends) for across, mark in places if mark.ends is not None]
    over = [f"{across},{plane.up(ends[1])}" for across, ends in banded]
    under = [f"{across},{plane.up(ends[0])}" for across, ends in reversed(banded)]
    band = f'<polygon class="band" points="{" ".join([*start, *over, *under])}"/>' if banded else ""
    shapes = "".join(_point(line, mark, across, plane.up(mark.value)) for across, mark in places)
    return f'<g class="series s{line.number % 6}">{band}<polyline class="path" points="{path}"/>{shapes}</g>'


def _point(line: Line, mark: Mark, across: float, up: float) -> str:
    ends = "" if mark.ends is None else f" {interval(mark.ends)}"
    told = f"<title>{escape(line.name)}, {mark.at:,}: {signed(mark.value)}{ends} {mark.verdict}</title>"
    if line.flag == mark.at:
        flag = f'<path class="flag" d="{SHAPES["regressed"]}"/>'
        return f'<g transform="translate({across},{up})">{told}{flag}</g>'
    return f'<circle class="dot" cx="{across}" cy="{up}" r="2.8">{told}</circle>'


def _named(line: Line, plane: _Plane, taken: list[float]) -> str:
    """The name at the line's end, on the side the line does not come from; moved until it covers no other name."""
    last = line.marks[-1].value
    falls = len(line.marks) > 1 and line.marks[-2].value > last
    up, away = (plane.up(last) + 17, 13) if falls else (plane.up(last) - 8, -13)
    while any(abs(up - other) < 13 for other in taken):
        up += away
    up = min(max(up, TOP + 4), plane.height - BOTTOM - 3)
    taken.append(up)
    place = f'x="{WIDTH - RIGHT}" y="{round(up, 1)}" text-anchor="end"'
    return f'<text class="label s{line.number % 6}" {place}>{escape(line.name)}</text>'


def _said(line: Line, unit: str) -> str:
    parts = [
        f"{unit} {mark.at:,} {signed(mark.value)}{'' if mark.ends is None else ' ' + interval(mark.ends)}"
        for mark in line.marks
    ]
    flag = "" if line.flag is None else f", first regressed at {line.flag:,}"
    return f"{line.name}: {', '.join(parts)}{flag}"
