"""report.tex: the tables as LaTeX with booktabs, to be read by a paper's ``input``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.report.model import main_gain
from evalkit.report.words import interval, score, signed

if TYPE_CHECKING:
    from evalkit.comparison import Row, SuiteMean
    from evalkit.report.model import ArmResult, Report

__all__ = ["escape", "latex"]

_SPECIAL = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    '"': "\\textquotedbl{}",
}
_HEAD = """\
% Needs: \\usepackage{booktabs,textcomp}. With Hangul in a name compile with XeLaTeX or LuaLaTeX and
% \\usepackage{kotex}. Differences are in points, after - before on the same items; brackets are 95 % intervals.
"""


def escape(text: str) -> str:
    """Text as LaTeX prints it: no command can come from it; control characters are left out."""
    plain = "".join(char for char in " ".join(text.split()) if char.isprintable())
    return "".join(_SPECIAL.get(char, char) for char in plain.encode("utf-8", "replace").decode())


def latex(report: Report) -> str:
    """One table of the arms, and one of the tasks for each arm."""
    ranked = report.ranked()
    tables = [_arms(report, ranked)]
    tables += [_tasks(report, arm) for arm in ranked if arm.comparison.general]
    return _HEAD + "\n".join(tables)


def _table(caption: str, columns: str, head: list[str], lines: list[list[str]], foot: list[str] | None = None) -> str:
    body = [f"  {' & '.join(cells)} \\\\" for cells in lines]
    if foot:
        body += ["  \\midrule", f"  {' & '.join(foot)} \\\\"]
    return "\n".join(
        [
            "\\begin{table}[t]",
            "  \\centering",
            f"  \\caption{{{caption}}}",
            f"  \\begin{{tabular}}{{{columns}}}",
            "  \\toprule",
            f"  {' & '.join(head)} \\\\",
            "  \\midrule",
            *body,
            "  \\bottomrule",
            "  \\end{tabular}",
            "\\end{table}",
            "",
        ]
    )


def _points(row: Row | SuiteMean) -> str:
    return f"${signed(row.difference)}$ {{\\small ${interval(row.interval)}$}}"


def _arms(report: Report, ranked: list[ArmResult]) -> str:
    lines = []
    for arm in ranked:
        gain, mean = main_gain(arm.comparison), arm.comparison.suite_mean
        lines.append(
            [
                escape(report.label(arm)),
                "" if gain is None else score(gain.after),
                "" if gain is None else _points(gain),
                "" if mean is None else _points(mean),
                escape(arm.gate.status),
            ]
        )
    caption = (
        f"{escape(report.title)}: gain on the task and mean change on the general tasks against {escape(report.base)}."
    )
    return _table(caption, "lrrrl", ["arm", "task", "gain", "general, mean", "gate"], lines)


def _tasks(report: Report, arm: ArmResult) -> str:
    lines = [
        [escape(row.task), f"{row.n:,}", score(row.before), score(row.after), _points(row), _verdict(row.verdict)]
        for row in arm.comparison.general
    ]
    mean = arm.comparison.suite_mean
    foot = None
    if mean is not None:
        foot = [f"mean of all {mean.tasks}", "", "", "", _points(mean), _verdict(mean.verdict)]
    caption = f"{escape(report.label(arm))} against {escape(report.base)}, task by task."
    return _table(caption, "lrrrrl", ["task", "items", "before", "after", "difference", "verdict"], lines, foot)


def _verdict(verdict: str) -> str:
    return "\\textbf{regressed}" if verdict == "regressed" else verdict
