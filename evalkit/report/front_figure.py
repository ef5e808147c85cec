"""The price of forgetting with its uncertainty: gain against mean loss, and how often an arm is on the front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from evalkit.errors import EvalError
from evalkit.report.figures import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    SHAPES,
    TOP,
    WIDTH,
    Scale,
    frame,
    labels,
    place,
    trade_off,
)
from evalkit.report.figures import plane_scale as scale
from evalkit.report.model import main_gain
from evalkit.report.words import interval, several, signed

if TYPE_CHECKING:
    from evalkit.front import Front, FrontPoint
    from evalkit.report.model import Report

__all__ = ["front_figure", "front_of_report", "front_sentence", "price_figure"]

_MARKS = {"pass": SHAPES["held"], "unsure": SHAPES["unsure"], "regressed": SHAPES["regressed"]}


def front_of_report(report: Report) -> Front | None:
    """All arms of a report on one plane; None for fewer than two, or where gain or suite is missing or differs."""
    from evalkit.front import front_of

    names = list(dict.fromkeys(arm.name for arm in report.arms))
    own = {name: [arm.comparison for arm in report.seeds(name)] for name in names}
    compared = [one for found in own.values() for one in found]
    if len(own) < 2 or any(main_gain(one) is None or not one.general for one in compared):
        return None
    try:
        return front_of(own, alpha=compared[0].alpha)
    except EvalError:  # arms that were asked different items share no plane
        return None


def price_figure(report: Report, front: Front | None, *, caption: bool = False) -> str:
    """The front of a report; one arm, or arms that share no plane, as points with their intervals; empty without both.

    Args:
        report: The report.
        front: From :func:`front_of_report`.
        caption: Say in the figure what its percentages are, for a figure that stands alone.
    """
    if front is None:
        return trade_off(report)
    margin = next(mean.margin for arm in report.arms if (mean := arm.comparison.suite_mean) is not None)
    statuses = {arm.name: report.status(arm.name) for arm in report.arms}
    said = f"%: share of {front.resamples:,} joint draws in which the arm is on the front" if caption else ""
    return front_figure(front, margin=margin, statuses=statuses, caption=said)


def front_figure(front: Front, *, margin: float, statuses: Mapping[str, str], caption: str = "") -> str:
    """Up is better on the task, right is better on everything else; the broken line joins the arms on the front.

    Args:
        front: From :func:`front_of_report`.
        margin: Tolerable mean loss; the side beyond it is shaded.
        statuses: Arm to its gate: ``pass``, ``unsure`` or ``regressed``; told by shape and by colour.
        caption: A line below the figure.
    """
    points = front.points
    x = scale([0.0, -margin, *(-end for point in points for end in (point.loss, *point.loss_interval))])
    y = scale([0.0, *(end for point in points for end in (point.gain, *point.gain_interval))], count=5)
    spots = {point.name: place(x, y, -point.loss, point.gain) for point in points}
    stairs = " ".join(f"{across},{up}" for across, up in (spots[point.name] for point in front.on()))
    names = [f"{point.name} {_percent(point.share)}" for point in points]
    body = [
        *frame(x, y, margin),
        f'<polyline class="front-line" points="{stairs}"/>' if len(front.on()) > 1 else "",
        *(_cross(point, statuses[point.name], x, y) for point in points),
        *labels(names, list(spots.values())),
    ]
    said = "; ".join(_said(point) for point in points)
    below = f'<text x="{LEFT}" y="{HEIGHT + 14}">{escape(caption)}</text>' if caption else ""
    height = HEIGHT + 24 if caption else HEIGHT
    return (
        f'<svg class="trade" role="img" viewBox="0 0 {WIDTH} {height}" aria-label="{escape(said)}">{"".join(body)}'
        f'<text class="name" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
        "mean change on general tasks, points</text>"
        f'<text class="name" transform="translate(13,{(HEIGHT - BOTTOM + TOP) / 2}) rotate(-90)" '
        f'text-anchor="middle">gain on the task, points</text>{below}</svg>'
    )


def front_sentence(front: Front) -> str:
    """Who is on the front, how sure that is, and what the figures speak about."""
    shares = ", ".join(f"{point.name} {_percent(point.share)}" for point in sorted(front.points, key=_order))
    speaks = "the methods" if front.level == "seeds and items" else "these checkpoints"
    return (
        f"On the front, where no arm and not the untouched base gains as much for as little loss: {shares} of "
        f"{front.resamples:,} joint draws. {_count(front.on())} on it by the estimates. The figures speak about "
        f"{speaks}."
    )


def _order(point: FrontPoint) -> tuple[float, str]:
    return -point.share, point.name


def _count(on: Sequence[FrontPoint]) -> str:
    return f"{several(len(on)).capitalize()} {'is' if len(on) == 1 else 'are'}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _said(point: FrontPoint) -> str:
    low, high = point.loss_interval
    return (
        f"{point.name}: {signed(point.gain)} on the task {interval(point.gain_interval)}, {signed(-point.loss)} on the "
        f"suite {interval((-high, -low))}, on the front in {_percent(point.share)} of the draws"
    )


def _cross(point: FrontPoint, status: str, x: Scale, y: Scale) -> str:
    low, high = point.loss_interval
    left, level = place(x, y, -high, point.gain)
    right = place(x, y, -low, point.gain)[0]
    center, under = place(x, y, -point.loss, point.gain_interval[0])
    over = place(x, y, -point.loss, point.gain_interval[1])[1]
    return (
        f'<g class="{status}"><title>{escape(_said(point))}</title>'
        f'<line class="interval" x1="{left}" x2="{right}" y1="{level}" y2="{level}"/>'
        f'<line class="interval" x1="{center}" x2="{center}" y1="{under}" y2="{over}"/>'
        f'<g transform="translate({center},{level})"><path class="shape" d="{_MARKS[status]}"/></g></g>'
    )
