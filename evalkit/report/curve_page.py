"""The page of ``datakit curve``: one file that needs nothing else, charts as SVG, every figure in a table too."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from evalkit.report.curve_lines import curve_name, gain_lines, mean_lines, task_lines
from evalkit.report.curve_words import best_sentence, first_sentence, speaks_of
from evalkit.report.lines import Line, line_chart
from evalkit.report.model import main_gain
from evalkit.report.words import interval, signed

if TYPE_CHECKING:
    from evalkit.comparison import Row, SuiteMean
    from evalkit.curve import Curve

__all__ = ["curve_page"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_ALONG = {
    "step": "along the training",
    "examples": "and the number of examples",
    "percent": "between the base and the tuned model",
}


def curve_page(curves: Sequence[Curve], *, title: str, reproduce: str) -> str:
    """The whole page; equal curves give equal bytes.

    Args:
        curves: Of one run, all with one unit and one suite.
        title: Name of the run.
        reproduce: The command that makes it again.
    """
    assets = files("evalkit.report").joinpath("assets")
    style = "".join(assets.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "curve.css"))
    heading = f"Gain and forgetting {_ALONG[curves[0].unit]}"
    body = _head(curves, title, heading) + _main(curves) + _tasks(curves) + _tables(curves) + _foot(curves, reproduce)
    return (
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f"<title>{escape(title)} · {heading}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
            f"{body}</body>\n</html>\n"
        )
        .encode("utf-8", "replace")
        .decode()
    )


def _head(curves: Sequence[Curve], title: str, heading: str) -> str:
    told = "".join(
        f"<li><strong>{escape(curve_name(curve, curves))}</strong> {escape(_minus(' '.join(sentences)))}</li>"
        for curve in curves
        if (sentences := [text for text in (first_sentence(curve), best_sentence(curve), *curve.notes) if text])
    )
    return (
        f'<header><p class="crumb">{escape(title)}</p><h1>{heading}</h1><ul class="told">{told}</ul></header><main>\n'
    )


def _minus(text: str) -> str:
    return text.replace(" -", " −").replace("[-", "[−")


def _main(curves: Sequence[Curve]) -> str:
    margin = next((mean.margin for c in curves for p in c.points if (mean := p.comparison.suite_mean)), None)
    figures = [
        ("Gain on the task", line_chart("Gain on the task", gain_lines(curves), unit=curves[0].unit)),
        (
            "Mean of the general tasks",
            line_chart("Mean of the general tasks", mean_lines(curves), unit=curves[0].unit, margin=margin),
        ),
    ]
    shown = "".join(f"<figure><figcaption>{name}</figcaption>{svg}</figure>" for name, svg in figures if svg)
    return (
        f'<section aria-label="Gain and forgetting"><div class="charts">{shown}</div>{_legend(curves)}'
        '<p class="quiet">Differences from the base in points of the score, bands are 95 % intervals; '
        "below the dashed line a loss is beyond the tolerable one.</p></section>\n"
    )


def _legend(curves: Sequence[Curve]) -> str:
    lines = mean_lines(curves) or gain_lines(curves)
    keys = "".join(
        f'<li class="series s{line.number % 6}"><svg width="26" height="10" aria-hidden="true">'
        f'<line class="path" x1="1" x2="25" y1="5" y2="5"/></svg>{escape(line.name)}</li>'
        for line in lines
    )
    flag = (
        '<li><svg width="14" height="14" viewBox="-7 -7 14 14" aria-hidden="true"><path class="flag" '
        'd="M0,5.5 L5.5,-4.5 L-5.5,-4.5 Z"/></svg>first regressed</li>'
    )
    return f'<ul class="legend">{keys if len(lines) > 1 else ""}{flag}</ul>'


def _tasks(curves: Sequence[Curve]) -> str:
    if not curves[0].tasks:
        return ""
    rows = {row.task: row for row in curves[0].points[0].comparison.general}
    charts = "".join(
        f"<figure><figcaption>{escape(task)}{_when(lines)}</figcaption>"
        f"{line_chart(task, lines, unit=curves[0].unit, margin=rows[task].margin, small=True)}</figure>"
        for task in curves[0].tasks
        if (lines := task_lines(curves, task))
    )
    return (
        f'<section aria-labelledby="h-tasks"><h2 id="h-tasks">Task by task</h2><div class="charts small">{charts}</div>'
        "</section>\n"
    )


def _when(lines: Sequence[Line]) -> str:
    found = [f"{line.name} at {line.flag:,}" if len(lines) > 1 else f"at {line.flag:,}" for line in lines if line.flag]
    return f' <span class="when">regressed {escape(", ".join(found))}</span>' if found else ""


def _tables(curves: Sequence[Curve]) -> str:
    return (
        '<section aria-labelledby="h-figures"><h2 id="h-figures">Every figure</h2>'
        f"{''.join(_table(curve, curves) for curve in curves)}</section>\n"
    )


def _table(curve: Curve, curves: Sequence[Curve]) -> str:
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in (curve.unit, "your task", "mean", *curve.tasks))
    rows = []
    for point in curve.points:
        values: list[Row | SuiteMean | None] = [main_gain(point.comparison), point.comparison.suite_mean]
        cells = "".join(_cell(value) for value in [*values, *point.comparison.general])
        rows.append(f'<tr><th scope="row">{point.at:,}</th>{cells}</tr>')
    name = escape(curve_name(curve, curves))
    return (
        f'<details{" open" if len(curves) == 1 else ""}><summary>{name}</summary><div class="scroll" tabindex="0" '
        f'role="region" aria-label="{name}"><table class="figures"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def _cell(value: Row | SuiteMean | None) -> str:
    if value is None:
        return "<td></td>"
    text = f"{signed(value.difference)} <span class='ends'>{interval(value.interval)}</span>".replace("-", "−")
    lost = ' class="regressed verdict-cell"' if value.verdict == "regressed" else ""
    return f"<td{lost}>{text}</td>"


def _foot(curves: Sequence[Curve], reproduce: str) -> str:
    return (
        f'<details open><summary>Make this again</summary><pre tabindex="0">{escape(reproduce)}</pre></details>'
        f"</main><footer><p>{escape(speaks_of(curves))} A task counts as regressed only if that also holds after "
        "Holm's adjustment for the number of tasks at that point; looking at many points is not adjusted for. "
        "Every figure is in the .json beside this page.</p></footer>\n"
    )
