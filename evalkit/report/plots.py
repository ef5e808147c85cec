"""Figures that stand alone: a forest plot per arm, and gain against forgetting, as SVG files for slides and papers."""

from __future__ import annotations

import re
import unicodedata
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from evalkit.report.figures import SHAPES, Scale, forest_scale
from evalkit.report.front_figure import front_of_report, price_figure
from evalkit.report.words import interval, signed

if TYPE_CHECKING:
    from evalkit.comparison import Row, SuiteMean
    from evalkit.report.model import ArmResult, Report

__all__ = ["forest_plot", "plots"]

LINE, TOP, BOTTOM, NAMES, FIGURES, WIDTH = 26, 34, 44, 190, 190, 760
PLOT = WIDTH - NAMES - FIGURES

_FONT = (
    '"Helvetica Neue", Helvetica, Arial, "Noto Sans", "Noto Sans CJK KR", "Noto Sans KR", "Malgun Gothic", sans-serif'
)


def plots(report: Report) -> dict[str, str]:
    """File name to SVG: ``gain-forgetting.svg`` where both are known, ``forest-ARM.svg`` for every arm."""
    found: dict[str, str] = {}
    if figure := price_figure(report, front_of_report(report), caption=True):
        found["gain-forgetting.svg"] = _alone(figure)
    for arm in report.ranked():
        if arm.comparison.general:
            name = re.sub(r"[^\w.-]+", "-", report.label(arm)).strip("-.") or "arm"
            found[f"forest-{name}.svg"] = forest_plot(report, arm)
    return found


def forest_plot(report: Report, arm: ArmResult) -> str:
    """One arm's general tasks as a figure: name, interval, points; the suite's mean as a diamond at the bottom."""
    rows: list[tuple[str, Row | SuiteMean]] = [(row.task, row) for row in arm.comparison.general]
    if arm.comparison.suite_mean is not None:
        rows.append((f"mean of all {arm.comparison.suite_mean.tasks}", arm.comparison.suite_mean))
    scale = forest_scale([(row.difference, row.interval, row.margin) for _, row in rows])
    height = TOP + LINE * len(rows) + BOTTOM
    body = [_frame(scale, len(rows))]
    body += [
        _row(at, name, row, scale, is_mean=row is arm.comparison.suite_mean) for at, (name, row) in enumerate(rows)
    ]
    title = f"{report.label(arm)} against {report.base}: points, 95 % intervals"
    said = "; ".join(f"{name} {signed(row.difference)} {interval(row.interval)} {row.verdict}" for name, row in rows)
    svg = (
        f'<svg class="plot" role="img" viewBox="0 0 {WIDTH} {height}" aria-label="{escape(_clean(said))}">'
        f'<text class="title" x="0" y="16">{escape(_clean(title))}</text>{"".join(body)}</svg>'
    )
    return _alone(svg)


def _clean(text: str) -> str:
    """Text that XML can hold, on one line."""
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return "".join(char for char in line if unicodedata.category(char) != "Cc")


def _x(scale: Scale, value: float) -> float:
    return round(NAMES + PLOT * scale.percent(value) / 100, 1)


def _frame(scale: Scale, rows: int) -> str:
    floor = TOP + LINE * rows
    zero = _x(scale, 0.0)
    ticks = "".join(
        f'<line class="zero" x1="{_x(scale, tick)}" x2="{_x(scale, tick)}" y1="{floor}" y2="{floor + 5}"/>'
        f'<text x="{_x(scale, tick)}" y="{floor + 18}" text-anchor="middle">{signed(tick).replace("-", "−")}</text>'
        for tick in scale.ticks
    )
    return (
        f'<line class="zero" x1="{zero}" x2="{zero}" y1="{TOP - 8}" y2="{floor}"/>{ticks}'
        f'<text x="{NAMES + PLOT / 2}" y="{floor + 36}" text-anchor="middle">'
        "difference in points (after − before)</text>"
    )


def _row(at: int, name: str, row: Row | SuiteMean, scale: Scale, *, is_mean: bool) -> str:
    y = TOP + LINE * at + LINE / 2 - 4
    low, high, middle = (_x(scale, value) for value in (*row.interval, row.difference))
    shape = "M0,-7 L9,0 L0,7 L-9,0 Z" if is_mean else SHAPES[row.verdict]
    tolerable = _x(scale, -row.margin)
    label = _clean(name) if len(name) <= 26 else f"{_clean(name)[:25]}…"
    figures = f"{signed(row.difference)} {interval(row.interval)}".replace("-", "−")
    return (
        f'<g class="{row.verdict}">'
        f'<text class="{"label" if is_mean else "name"}" x="0" y="{y + 4}">{escape(label)}</text>'
        f'<line class="margin" x1="{tolerable}" x2="{tolerable}" y1="{y - LINE / 2 + 4}" y2="{y + LINE / 2}"/>'
        f'<line class="interval" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>'
        f'<g transform="translate({middle},{y})"><path class="shape" d="{shape}"/></g>'
        f'<text x="{WIDTH}" y="{y + 4}" text-anchor="end">{escape(figures)}</text></g>'
    )


def _alone(svg: str) -> str:
    """An SVG of the page as a file of its own: name space, and the page's rules for what is in it."""
    rules = files("evalkit.report").joinpath("assets", "figure.css").read_text(encoding="utf-8")
    view = re.search(r'viewBox="0 0 (\S+) (\S+)"', svg)
    size = f' width="{view[1]}" height="{view[2]}"' if view else ""
    head, _, rest = svg.partition(">")
    opened = head.replace("<svg", f'<svg xmlns="http://www.w3.org/2000/svg"{size}', 1)
    font = f"svg {{ font-family: {_FONT}; }}\n"
    rest = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", rest)  # XML cannot hold them
    opened = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", opened)
    return f"{opened}><style>\n{font}{rules}</style>{rest}\n"
