"""The figures of the page as SVG: coverage against accuracy, reliability, confidences, bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

__all__ = ["bars", "coverage_plot", "histogram", "reliability_plot"]

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420, 280, 48, 14, 14, 44

Place = Callable[[float], float]


def _axes(x_name: str, y_name: str, low: float) -> tuple[list[str], Place, Place]:
    """Frame with ticks in per cent; x runs from 0 to 1, y from ``low`` to 1."""

    def x(value: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * value, 1)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (1 - low), 1)

    step = 0.2 if low < 0.5 else 0.1 if low < 0.75 else 0.05 if low < 0.9 else 0.02
    ticks = [round(low + step * k, 4) for k in range(int((1 - low) / step + 1e-9) + 1)]
    parts = [
        *(
            f'<line class="grid" x1="{x(0)}" x2="{x(1)}" y1="{y(tick)}" y2="{y(tick)}"/>'
            f'<text x="{LEFT - 7}" y="{y(tick) + 4}" text-anchor="end">{100 * tick:.4g}</text>'
            for tick in ticks
        ),
        *(
            f'<text x="{x(tick)}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{100 * tick:.0f}</text>'
            for tick in (0, 0.2, 0.4, 0.6, 0.8, 1.0)
        ),
        f'<text class="name" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{escape(x_name)}</text>",
        f'<text class="name" transform="translate(12,{(HEIGHT - BOTTOM + TOP) / 2}) rotate(-90)" '
        f'text-anchor="middle">{escape(y_name)}</text>',
    ]
    return parts, x, y


def _svg(parts: Sequence[str], said: str) -> str:
    return (
        f'<svg class="plot" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" aria-label="{escape(said)}">'
        f"{''.join(parts)}</svg>"
    )


def coverage_plot(points: Sequence[Mapping[str, float]], chosen: Mapping[str, float] | None) -> str:
    """Accuracy of the rows that a threshold keeps, against their share, with the 95 % interval as a band."""
    # A handful of rows has an interval that tells nothing and would flatten all the rest.
    shown = [one for one in points if one["n"] >= 10] or list(points)
    floor = min(one["low"] for one in shown)
    low = max(0.0, min(0.9, int(floor * 10) / 10))
    parts, x, y = _axes("rows kept, %", "accuracy of those, %", low)
    upper = " ".join(f"{x(one['coverage'])},{y(one['high'])}" for one in shown)
    lower = " ".join(f"{x(one['coverage'])},{y(max(low, one['low']))}" for one in reversed(shown))
    line = " ".join(f"{x(one['coverage'])},{y(max(low, one['accuracy']))}" for one in shown)
    parts += [f'<polygon class="band" points="{upper} {lower}"/>', f'<polyline class="line" points="{line}"/>']
    if len(shown) <= 40:
        parts += [f'<circle class="dot" cx="{x(p["coverage"])}" cy="{y(p["accuracy"])}" r="2.6"/>' for p in shown]
    said = f"accuracy {100 * shown[-1]['accuracy']:.1f} % at {100 * shown[-1]['coverage']:.0f} % of the rows"
    if chosen is not None:
        at, up = x(chosen["coverage"]), y(chosen["accuracy"])
        anchor, shift = ("end", -9) if chosen["coverage"] > 0.5 else ("start", 9)
        parts += [
            f'<line class="mark" x1="{at}" x2="{at}" y1="{y(low)}" y2="{up}"/>',
            f'<circle class="chosen" cx="{at}" cy="{up}" r="5"/>',
            f'<text class="label" x="{at + shift}" y="{y(low) - 8}" text-anchor="{anchor}">'
            f"threshold {chosen['threshold']:.2f}</text>",
        ]
        said += f"; threshold {chosen['threshold']:.2f} keeps {100 * chosen['coverage']:.0f} %"
    return _svg(parts, said)


def reliability_plot(series: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Accuracy against confidence, a disc per bin, its size by rows; the diagonal is what it should be."""
    parts, x, y = _axes("confidence, %", "accuracy, %", 0.0)
    parts.append(f'<line class="ideal" x1="{x(0)}" y1="{y(0)}" x2="{x(1)}" y2="{y(1)}"/>')
    said = []
    for name, bins in series.items():
        most = max((one["n"] for one in bins), default=1)
        line = " ".join(f"{x(one['confidence'])},{y(one['accuracy'])}" for one in bins)
        parts.append(f'<polyline class="line {name}" points="{line}"/>')
        for one in bins:
            size = round(2.5 + 5.5 * (one["n"] / most) ** 0.5, 1)
            parts.append(
                f'<circle class="dot {name}" cx="{x(one["confidence"])}" cy="{y(one["accuracy"])}" r="{size}">'
                f"<title>{name}: {one['n']:.0f} rows, confidence {100 * one['confidence']:.1f} %, "
                f"accuracy {100 * one['accuracy']:.1f} %</title></circle>"
            )
        said.append(f"{name}: {len(bins)} bins")
    return _svg(parts, "reliability; " + "; ".join(said))


def histogram(counts: Sequence[int]) -> str:
    """Rows by confidence."""
    most = max(max(counts, default=1), 1)
    left, bottom, height, width = 8, 22, 96, 420
    each = (width - 2 * left) / max(len(counts), 1)
    parts = [
        f'<rect class="bar" x="{left + k * each + 1:.1f}" width="{each - 2:.1f}" '
        f'y="{height - bottom - (height - bottom - 6) * n / most:.1f}" '
        f'height="{(height - bottom - 6) * n / most:.1f}"><title>{n:,} rows</title></rect>'
        for k, n in enumerate(counts)
    ]
    parts += [
        f'<text x="{left + (width - 2 * left) * tick}" y="{height - 6}" text-anchor="{anchor}">{100 * tick:.0f} %'
        "</text>"
        for tick, anchor in ((0, "start"), (0.5, "middle"), (1.0, "end"))
    ]
    said = f"{sum(counts):,} rows by confidence"
    return f'<svg class="plot" role="img" viewBox="0 0 {width} {height}" aria-label="{said}">{"".join(parts)}</svg>'


def bars(counts: Mapping[str, int], *, limit: int = 12) -> str:
    """A table with a bar per name, the commonest first."""
    rows: list[tuple[str, Any]] = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    total, most = sum(counts.values()) or 1, max(counts.values(), default=1) or 1
    shown = [
        f"<tr><th scope='row'>{escape(name)}</th><td class='num'>{n:,}</td><td class='num'>{100 * n / total:.1f} %</td>"
        f"<td class='wide'><svg width='100%' height='12' aria-hidden='true'>"
        f"<rect class='bar' width='{100 * n / most:.1f}%' height='12' rx='2'/></svg></td></tr>"
        for name, n in rows[:limit]
    ]
    if len(rows) > limit:
        rest = sum(n for _, n in rows[limit:])
        shown.append(
            f"<tr><th scope='row'>{len(rows) - limit} more</th><td class='num'>{rest:,}</td><td></td><td></td></tr>"
        )
    return f"<table class='bars'>{''.join(shown)}</table>"
