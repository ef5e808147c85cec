"""What a watched training measured while it ran: the suite's score step by step, and every figure in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from evalkit.report.lines import Line, Mark, line_chart

__all__ = ["watched_course", "watched_section"]

_COLUMNS = ("validation_loss", "suite", "general_loss", "kl")
_HEADS = ("step", "validation loss", "suite", "general loss", "KL to the base")


def watched_course(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """The course of a training whose probe asked the suite, from train.json; None where none was asked."""
    points = [
        {"step": entry["step"], **{name: entry.get(name) for name in (*_COLUMNS, "forgetting")}}
        for entry in facts.get("history") or ()
        if "forgetting" in entry
    ]
    return {"points": points, "ended": facts.get("ended"), "kept_step": facts.get("kept_step")} if points else None


def watched_section(courses: Sequence[Mapping[str, Any]]) -> str:
    """The section of the page; empty where no training was watched."""
    if not courses:
        return ""
    lines = [
        Line(
            _name(course, courses),
            number,
            [Mark(point["step"], -point["forgetting"], None, "") for point in course["points"] if point["step"]],
        )
        for number, course in enumerate(courses)
    ]
    chart = line_chart("Score on the part of the suite that was asked", lines, unit="step")
    figure = f"<figure><figcaption>Suite, against the base</figcaption>{chart}</figure>" if chart else ""
    return (
        f'<section aria-labelledby="h-watched"><h2 id="h-watched">While training</h2><div class="charts">{figure}</div>'
        f"{''.join(_table(course, courses) for course in courses)}"
        '<p class="quiet">Differences from the base in points of the score, over a part of the items that a selection '
        "may see; without intervals, because they only say when to look closer.</p></section>\n"
    )


def _name(course: Mapping[str, Any], courses: Sequence[Mapping[str, Any]]) -> str:
    several = sum(other["arm"] == course["arm"] for other in courses) > 1
    return f"{course['arm']} (seed {course['seed']})" if several else str(course["arm"])


def _table(course: Mapping[str, Any], courses: Sequence[Mapping[str, Any]]) -> str:
    told = [f"Ended early: {course['ended']}." if course["ended"] else ""]
    told += [f"The state after step {course['kept_step']:,} is kept." if course["kept_step"] else ""]
    heads = "".join(f'<th scope="col">{head}</th>' for head in _HEADS)
    rows = "".join(
        f'<tr><th scope="row">{point["step"]:,}</th>{"".join(_cell(name, point[name]) for name in _COLUMNS)}</tr>'
        for point in course["points"]
    )
    name = escape(_name(course, courses))
    return (
        f'<details><summary>{name} {escape(" ".join(text for text in told if text))}</summary><div class="scroll" '
        f'tabindex="0" role="region" aria-label="{name} while training"><table class="figures"><thead><tr>{heads}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div></details>"
    )


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "<td></td>"
    return f"<td>{100 * value:.1f}</td>" if name == "suite" else f"<td>{value:.3f}</td>"
