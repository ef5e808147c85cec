"""``datakit diff``: what differs between two runs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from datakit.diff import Difference, Rows

__all__ = ["command"]

_WIDTH = 80


@click.command("diff")
@click.argument("run_a", type=click.Path(path_type=Path, file_okay=False))
@click.argument("run_b", type=click.Path(path_type=Path, file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print the difference as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def command(run_a: Path, run_b: Path, as_json: bool, quiet: bool) -> None:
    """Say what differs between RUN_A and RUN_B.

    Recipe, sources, steps, rows with the reason the other run has for not having
    them, splits, and the results where both runs have a report.

    \b
    Examples:
      $ datakit diff runs/before runs/support
      $ datakit diff runs/before runs/support --json
    """
    from dataclasses import asdict

    from datakit.cli.console import console, print_json
    from datakit.diff import difference

    found = difference(run_a, run_b)
    if as_json:
        print_json({**asdict(found), "same": found.same})
        return
    out = console(quiet=quiet)
    for line in _told(found, run_a, run_b):
        out.print(line, markup=False, soft_wrap=True)


def _told(found: Difference, run_a: Path, run_b: Path) -> list[str]:
    if found.same:
        return ["same      recipe, sources, steps, rows and results do not differ"]
    lines = [f"{'runs':<10}{run_a} → {run_b}"]
    lines += _part(
        "recipe", [f"{change.place}  {_short(change.before)} → {_short(change.after)}" for change in found.recipe]
    )
    lines += _part("sources", [_source(change.place, change.before, change.after) for change in found.sources])
    lines += _part("steps", [f"{step.step}  {_counts(step.before)} → {_counts(step.after)}" for step in found.steps])
    lines += _part(
        "splits", [f"{change.place}  {_short(change.before)} → {_short(change.after)}" for change in found.splits]
    )
    lines += _part("rows", _row_lines(found.rows, run_a, run_b))
    lines += _part(
        "results", [f"{change.place}  {_short(change.before)} → {_short(change.after)}" for change in found.results]
    )
    return lines


def _part(name: str, texts: list[str]) -> list[str]:
    lines: list[str] = []
    for text in texts:
        head = f"{'' if lines else name:<10}"
        lines += textwrap.wrap(
            text,
            _WIDTH,
            initial_indent=head,
            subsequent_indent=" " * 12,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


def _source(name: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    if before is None or after is None:
        return f"{name}  only in {'B' if before is None else 'A'}"
    files = "other files" if before["files"] != after["files"] else "same files"
    return f"{name}  {before['rows']:,} → {after['rows']:,} rows, {files}"


def _counts(step: Mapping[str, Any] | None) -> str:
    if step is None:
        return "none"
    dropped, changed = sum(step["dropped"].values()), sum(step["changed"].values())
    parts = [f"{step['rows_out']:,} of {step['rows_in']:,} rows"]
    parts += [f"{count:,} {word}" for count, word in ((dropped, "dropped"), (changed, "changed")) if count]
    return ", ".join(parts)


def _row_lines(rows: Rows, run_a: Path, run_b: Path) -> list[str]:
    if rows.same:
        return [f"{rows.both:,} source rows, the same in both"]
    lines = [f"{rows.before:,} → {rows.after:,} source rows kept, {rows.both:,} in both"]
    for word, reasons, other in (("A", rows.only_before, "B"), ("B", rows.only_after, "A")):
        if reasons:
            told = " · ".join(f"{reason} {count:,}" for reason, count in reasons.items())
            lines.append(f"{sum(reasons.values()):,} only in {word}; {other} says: {told}")
    changed = ((rows.moved, "on another side of the split"), (rows.relabelled, "with another label"))
    told = " · ".join(f"{count:,} {word}" for count, word in (*changed, (rows.changed, "with other text")) if count)
    if told:
        lines.append(f"in both: {told}")
    for kind, ids in rows.examples.items():
        run = run_a if kind == "only_after" else run_b
        lines.append(f"e.g. {kind.replace('_', ' ')}: datakit why {run} {ids[0][:12]}")
    return lines


def _short(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
