"""``datakit why``: the story of one example, from its file to its split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from datakit.ledger import Story, StoryLine

__all__ = ["command"]


@click.command("why")
@click.argument("run", type=click.Path(path_type=Path, file_okay=False))
@click.argument("example")
@click.option("--raw", is_flag=True, help="Also show the row as it was read, from private/.")
@click.option("--json", "as_json", is_flag=True, help="Print the story as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def command(run: Path, example: str, raw: bool, as_json: bool, quiet: bool) -> None:
    """Tell the whole story of one EXAMPLE of RUN.

    Where it came from, what each step did to it, and which split it stands in.
    EXAMPLE is an id, the beginning of one, or file:line of a source row.

    \b
    Examples:
      $ datakit why runs/support tickets.csv:2
      $ datakit why runs/support tickets.csv:2 --json
    """
    from dataclasses import asdict

    from datakit.cli.console import console, print_json
    from datakit.ledger import story

    found = story(run, example, raw=raw)
    if as_json:
        print_json({**asdict(found), "split": found.split})
        return
    out = console(quiet=quiet)
    for line in _told(found):
        out.print(line, markup=False, soft_wrap=True)


def _told(found: Story) -> list[str]:
    lines = [f"{'example':<10}{found.id}", f"{'source':<10}{found.source or '?'} · {found.origin or 'place not known'}"]
    if found.raw is not None:
        lines.append(f"{'raw':<10}{json.dumps(found.raw, ensure_ascii=False)}")
    lines += [_line(found, line) for line in found.lines]
    if not found.lines:
        lines.append(f"{'steps':<10}nothing dropped or changed it")
    for row in found.rows:
        facts = [f"in {row.split}", *([f"label {row.label}"] if row.label else [])]
        facts += [f"template {row.template}"] if row.template else []
        lines.append(f"{'dataset':<10}{' · '.join(facts)}{'' if row.id == found.id else f' · row {row.id[:12]}'}")
    if not found.rows:
        lines.append(f"{'dataset':<10}it is not in the dataset")
    return lines


def _line(found: Story, line: StoryLine) -> str:
    evidence = ", ".join(f"{key} {_short(value)}" for key, value in line.evidence.items())
    row = "" if line.example_id == found.id else f" (row {line.example_id[:12]})"
    return f"{line.step[:24]:<9} {line.action}: {line.reason}{row}" + (f" · {evidence}" if evidence else "")


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
