"""Histograms and bars as SVG of our own: no library, no network, colours from the page."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["Bin", "bars", "bins", "histogram"]

Bin = tuple[int, int, int]
"""First length, last length, rows."""

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 640, 210, 66, 44, 14


def bins(values: Sequence[int], *, count: int = 24) -> list[Bin]:
    """Whole numbers in at most ``count`` bins: equally wide, or growing by a factor where the range is large.

    The bins cover every value; their rows sum to ``len(values)``.
    """
    if not values:
        return []
    low, high = min(values), max(values)
    if high - low < count:
        edges = list(range(low, high + 2))
    elif high > 20 * max(sorted(values)[len(values) // 2], 1):
        steps = [math.exp(math.log1p(low) + k / count * (math.log1p(high) - math.log1p(low))) - 1 for k in range(count)]
        edges = [*dict.fromkeys([low, *(math.ceil(step) for step in steps[1:])]), high + 1]
    else:
        width = math.ceil((high - low + 1) / count)
        edges = [*range(low, high + 1, width), high + 1]
    counts = [0] * (len(edges) - 1)
    for value in values:
        counts[bisect.bisect_right(edges, value) - 1] += 1
    return [(first, last - 1, rows) for first, last, rows in zip(edges[:-1], edges[1:], counts, strict=True)]


def histogram(values: Sequence[int], *, unit: str) -> str:
    """Rows over length; hovering a bar tells its numbers."""
    found = bins(values)
    if not found:
        return ""
    most = max(rows for _, _, rows in found)
    top = _round_up(most)
    plot_width, plot_height = _WIDTH - _LEFT - 8, _HEIGHT - _BOTTOM - _TOP
    step = plot_width / len(found)
    base = _TOP + plot_height
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="rows over {escape(unit)}">',
        *(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - 8}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{_LEFT - 6}" y="{y + 5:.1f}" text-anchor="end">{value:,}</text>'
            for value in _ticks(top)
            for y in [base - value / top * plot_height]
        ),
    ]
    for index, (first, last, rows) in enumerate(found):
        height = rows / top * plot_height
        x = _LEFT + index * step
        span = f"{first:,}" if first == last else f"{first:,} to {last:,}"
        parts.append(
            f"<g><title>{span} {escape(unit)}: {rows:,} rows</title>"
            f'<rect class="hit" x="{x:.1f}" y="{_TOP}" width="{step:.1f}" height="{plot_height}"/>'
            f'<rect class="bar" x="{x + 0.75:.2f}" y="{base - height:.2f}" width="{max(step - 1.5, 0.5):.2f}"'
            f' height="{height:.2f}"/></g>'
        )
    for index in sorted({0, len(found) // 4, len(found) // 2, 3 * len(found) // 4, len(found) - 1}):
        x = _LEFT + (index + 0.5) * step
        parts.append(f'<text class="tick" x="{x:.1f}" y="{base + 18}" text-anchor="middle">{found[index][0]:,}</text>')
    parts.append(f'<text class="unit" x="{_WIDTH - 8}" y="{_HEIGHT - 4}" text-anchor="end">{escape(unit)}</text></svg>')
    return "".join(parts)


def _round_up(value: int) -> int:
    power: int = 10 ** max(len(str(value)) - 1, 0)
    return next(
        factor * power // 10 for factor in (10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100) if factor * power >= value * 10
    )


def _ticks(top: int) -> list[int]:
    return [0, top // 2, top] if top % 2 == 0 else [0, top]


def bars(counts: Mapping[str, int], *, limit: int = 30) -> str:
    """Horizontal bars, the largest first; the rest beyond the limit is one line."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if not ordered:
        return ""
    shown, rest = ordered[:limit], ordered[limit:]
    total, most = sum(counts.values()), ordered[0][1]
    rows = [
        f'<div class="row"><span class="name" title="{escape(name, quote=True)}">{escape(name)}</span>'
        f'<span class="track"><i style="width:{100 * count / most:.2f}%"></i></span>'
        f'<span class="count">{count:,} <small>{100 * count / total:.1f} %</small></span></div>'
        for name, count in shown
    ]
    if rest:
        rows.append(f'<p class="rest">{len(rest):,} more with {sum(count for _, count in rest):,} rows</p>')
    return f'<div class="bars">{"".join(rows)}</div>'
