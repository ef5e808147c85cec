"""Tables of the page: arms at a glance, and one forest table per arm."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from evalkit.report.figures import Scale, axis, forest_scale, forest_svg, mark
from evalkit.report.model import main_gain, summaries
from evalkit.report.words import explanation, format_loss, interval, score, signed

if TYPE_CHECKING:
    from evalkit.comparison import Row, SuiteMean
    from evalkit.drift import Rise
    from evalkit.report.model import ArmResult, Estimate, Report

__all__ = [
    "arms_table",
    "clean_table",
    "drift_table",
    "forest_table",
    "kl_figure",
    "minus",
    "seeds_table",
    "verdict_word",
]


def minus(text: str) -> str:
    """Escaped text with true minus signs before digits."""
    return escape(text).replace("-", "−")


def verdict_word(verdict: str) -> str:
    """Shape and word."""
    return f'<span class="verdict {verdict}">{mark(verdict)}<span class="word">{verdict}</span></span>'


def _header(columns: Sequence[tuple[str, str]], *, sortable: bool = True) -> str:
    """Column heads as buttons; the second of a pair is the cell's class."""
    cells = "".join(
        f'<th scope="col" class="{kind}">'
        + (f'<button type="button" class="sort">{escape(name)}</button>' if sortable and name else escape(name))
        + "</th>"
        for name, kind in columns
    )
    return f"<thead><tr>{cells}</tr></thead>"


def _cell(text: str, kind: str = "", sort: float | str | None = None) -> str:
    key = "" if sort is None else f' data-sort="{escape(str(sort))}"'
    return f'<td class="{kind}"{key}>{text}</td>'


def _points(value: float, ends: tuple[float, float] | None) -> str:
    span = f' <span class="ends">{minus(interval(ends))}</span>' if ends else ""
    return f"<strong>{minus(signed(value))}</strong>{span}"


def arms_table(report: Report) -> str:
    """One line per arm: score on the task, gain, mean of the general tasks, worst task, gate."""
    trained = any(arm.comparison.gains for arm in report.arms)
    columns = [("arm", ""), *([("task", "number items"), ("gain", "number")] if trained else [])]
    columns += [("general, mean", "number"), ("worst task", "wide"), ("gate", "")]
    lines = [_arm_row(report, arm, trained=trained) for arm in report.ranked()]
    base = next((row for arm in report.arms if (row := main_gain(arm.comparison)) is not None), None)
    foot = ""
    if base is not None:
        name = escape("base" if report.base == "base" else f"{report.base} (base)")
        foot = f'<tfoot><tr><th scope="row">{name}</th>{_cell(score(base.before), "number items")}'
        foot += '<td colspan="4"></td></tr>'
        for other in report.beside:
            foot += f'<tr><th scope="row">{escape(other.name)}</th>{_cell(score(other.score), "number items")}'
            foot += '<td colspan="4"></td></tr>'
        foot += "</tfoot>"
    return (
        f'<div class="scroll"><table class="sortable arms"><caption class="hidden">Arms</caption>{_header(columns)}'
        f"<tbody>{''.join(lines)}</tbody>{foot}</table></div>"
    )


def _arm_row(report: Report, arm: ArmResult, *, trained: bool) -> str:
    row, mean = main_gain(arm.comparison), arm.comparison.suite_mean
    worst = min(arm.comparison.general, key=lambda own: own.difference, default=None)
    cells = []
    if row is not None:
        cells += [_cell(score(row.after), "number items", row.after)]
        cells += [_cell(_points(row.difference, row.interval), "number", row.difference)]
    elif trained:
        cells += [_cell("", "items"), _cell("")]
    cells += [
        _cell("") if mean is None else _cell(_points(mean.difference, mean.interval), "number", mean.difference),
        _cell("", "wide") if worst is None else _cell(_worst(worst), "wide", worst.difference),
        _cell(verdict_word(arm.gate.status), "", arm.gate.status),
    ]
    return f'<tr><th scope="row">{escape(report.label(arm))}</th>{"".join(cells)}</tr>'


def _worst(row: Row) -> str:
    return f'{escape(row.task)} <span class="ends">{minus(signed(row.difference))}</span>'


def forest_table(report: Report, arm: ArmResult) -> str:
    """Every task of an arm with its interval drawn, the user's own task apart, the suite's mean below."""
    general, mean = arm.comparison.general, arm.comparison.suite_mean
    columns = [("task", ""), ("items", "number items"), ("before", "number wide"), ("after", "number wide")]
    columns += [("", "plot"), ("points, 95 %", "number"), ("p, Holm", "number wide"), ("verdict", "")]
    scale = forest_scale([(row.difference, row.interval, row.margin) for row in general])
    body = "".join(_forest_row(row, scale) for row in general)
    foot = _mean_row(mean, scale) if mean is not None and len(general) > 1 else ""
    foot += f'<tr class="ticks"><td></td><td class="items"></td>{"<td class=wide></td>" * 2}'
    foot += f'<td class="plot">{axis(scale)}</td><td></td><td class="wide"></td><td></td></tr>'
    caption = f"General tasks, {report.label(arm)} against {report.base}"
    return (
        f'<div class="scroll"><table class="sortable forest-table"><caption class="hidden">{escape(caption)}</caption>'
        f"{_header(columns)}<tbody>{body}</tbody><tfoot>{foot}</tfoot></table></div>{_key()}"
        '<p class="quiet explain" role="status" aria-live="polite"></p>'
    )


def _forest_row(row: Row, scale: Scale) -> str:
    loss = format_loss(row)
    hint = explanation(row) + (f" {loss[0].upper()}{loss[1:]}." if loss else "") + (f" {row.note}." if row.note else "")
    hint = f"{row.description.rstrip('.')}. {hint}" if row.description else hint
    name = f'<span class="task-name" title="{minus(hint)}">{escape(row.task)}</span>'
    p = "" if row.adjusted_p is None else _p(row.adjusted_p)
    plot = forest_svg(row.task, row.difference, row.interval, row.margin, row.verdict, scale, mean=False)
    return (
        f'<tr><th scope="row">{name}</th>'
        + _cell(f"{row.n:,}", "number items", row.n)
        + _cell(score(row.before), "number wide", row.before)
        + _cell(score(row.after), "number wide", row.after)
        + _cell(plot, "plot", row.difference)
        + _cell(_points(row.difference, row.interval), "number", row.difference)
        + _cell(p, "number wide", 1.0 if row.adjusted_p is None else row.adjusted_p)
        + _cell(verdict_word(row.verdict), "", row.verdict)
        + "</tr>"
    )


def _p(value: float) -> str:
    return "&lt; .001" if value < 0.001 else f"{value:.3f}".replace("0.", ".", 1)


def _mean_row(mean: SuiteMean, scale: Scale) -> str:
    plot = forest_svg("mean", mean.difference, mean.interval, mean.margin, mean.verdict, scale, mean=True)
    return (
        f'<tr class="mean"><th scope="row">mean of all {mean.tasks}</th><td class="items"></td>'
        f'<td class="wide"></td><td class="wide"></td><td class="plot">{plot}</td>'
        f'<td class="number">{_points(mean.difference, mean.interval)}</td><td class="wide"></td>'
        f"<td>{verdict_word(mean.verdict)}</td></tr>"
    )


def _key() -> str:
    words = {
        "gained": "certainly better",
        "held": "a loss beyond the tolerable one is ruled out",
        "unsure": "not enough items to say",
        "regressed": "certainly worse, and perhaps beyond the tolerable loss",
    }
    entries = "".join(f"<li>{verdict_word(name)} {text}</li>" for name, text in words.items())
    return f'<ul class="key">{entries}<li><span class="swatch"></span>beyond the tolerable loss</li></ul>'


def seeds_table(report: Report) -> str:
    """Arms over their seeds; empty where every arm has one."""
    entries = [entry for entry in summaries(report) if len(entry.seeds) > 1]
    if not entries:
        return ""

    def cell(estimate: Estimate | None) -> str:
        return _cell("" if estimate is None else _points(estimate.value, estimate.interval), "number")

    def share(estimate: Estimate | None) -> str:
        known = estimate is not None and estimate.seed_share is not None
        return _cell(f"{100 * (estimate.seed_share or 0):.0f} %" if known and estimate else "", "number")

    lines = [
        f'<tr><th scope="row">{escape(entry.name)}</th>{_cell(str(len(entry.seeds)), "number")}{cell(entry.gain)}'
        f"{cell(entry.general)}{share(entry.general)}</tr>"
        for entry in entries
    ]
    columns = [("arm", ""), ("seeds", "number"), ("gain", "number"), ("general tasks, mean", "number")]
    columns += [("share of its variance from seeds", "number")]
    said = " ".join(dict.fromkeys(entry.sentence for entry in entries))
    return (
        f'<h3>Over seeds</h3><p class="quiet">{escape(said)}</p>'
        '<div class="scroll"><table class="seeds"><caption class="hidden">Arms over seeds</caption>'
        f"{_header(columns, sortable=False)}<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _rise(rise: Rise) -> str:
    ends = "" if rise.interval is None else f" [{rise.interval[0]:+.3f}, {rise.interval[1]:+.3f}]"
    figures = f"<strong>{minus(f'{rise.difference:+.3f}')}</strong>{minus(ends)}"
    return f'{figures} <span class="ends">{rise.before:.3f} → {rise.after:.3f}</span>'


def clean_table(report: Report) -> str:
    """Tasks with items seen in training, with and without them; empty where there are none."""
    lines = []
    for arm in report.ranked():
        for clean in arm.comparison.clean:
            row, rest = arm.comparison.row(clean.task), clean.row
            cells = [_cell(escape(report.label(arm))), _cell(escape(clean.task)), _cell(f"{clean.items:,}", "number")]
            for one in (row, rest):
                figures = "" if one is None else _points(one.difference, one.interval)
                cells.append(_cell(figures or "no other item", "number"))
                cells.append(_cell("" if one is None else verdict_word(one.verdict)))
            lines.append(f"<tr>{''.join(cells)}</tr>")
    if not lines:
        return ""
    columns = [("arm", ""), ("task", ""), ("items seen", "number"), ("with them", "number"), ("", "")]
    columns += [("without", "number"), ("", "")]
    return (
        '<div class="scroll"><table class="clean"><caption class="hidden">With and without seen items</caption>'
        f"{_header(columns, sortable=False)}<tbody>{''.join(lines)}</tbody></table></div>"
    )


def kl_figure(kl: float, ends: tuple[float, float] | None) -> str:
    """A mean KL per token with its interval."""
    return f"{kl:.4f}" if ends is None else f"{kl:.4f} [{ends[0]:.4f}, {ends[1]:.4f}]"


def drift_table(report: Report) -> str:
    """Rise of cross-entropy on text; empty where nothing was measured."""
    lines = []
    for arm in report.ranked():
        for drift in arm.comparison.drift:
            cells = [escape(report.label(arm)), escape(drift.task), f"{drift.documents:,}", f"{drift.tokens:,}"]
            cells += ["" if rise is None else _rise(rise) for rise in (drift.per_token, drift.bits_per_byte)]
            cells.append("" if drift.kl is None else kl_figure(drift.kl, drift.kl_interval))
            lines.append(
                "<tr>" + "".join(_cell(text, "number" if at > 1 else "") for at, text in enumerate(cells)) + "</tr>"
            )
    if not lines:
        return ""
    columns = [("arm", ""), ("text", ""), ("documents", "number"), ("tokens", "number")]
    columns += [("nats per token", "number"), ("bits per byte", "number"), ("KL per token", "number")]
    return (
        '<div class="scroll"><table class="drift"><caption class="hidden">Drift</caption>'
        f"{_header(columns, sortable=False)}<tbody>{''.join(lines)}</tbody></table></div>"
    )
