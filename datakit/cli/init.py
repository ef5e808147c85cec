"""``datakit init``: from a data file to a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from datakit.experiment.init import Draft

__all__ = ["command"]

_WIDTH = 80


@click.command("init", short_help="Write a recipe for a data file.")
@click.argument("file")
@click.option("-m", "--model", default="pocket", show_default=True, help="What to train: a folder or a Hub name.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The recipe.  [default: FILE's name, .yaml]")
@click.option("--column", "columns", multiple=True, metavar="OURS=NAME", help="Say what a column is; may be repeated.")
@click.option("--force", is_flag=True, help="Overwrite a recipe that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def command(
    file: str, model: str, output: Path | None, columns: tuple[str, ...], force: bool, as_json: bool, quiet: bool
) -> None:
    """Read a data file, say what is in it, and write a recipe for it.

    csv, tsv, jsonl, json, parquet and text, compressed or not; a glob is judged
    by its first file. OURS is text, label, prompt, answer or messages.

    \b
    Examples:
      $ datakit init tickets.csv -o tickets.yaml
      $ datakit init tickets.csv --column text=text -o plain.yaml --force
    """
    from datakit.cli.console import print_json
    from datakit.experiment.init import draft, write

    if file == "-":
        raise click.UsageError("a recipe names the file that it reads again, and standard input is none")
    drafted = draft(file, output=output, model=model, said=_said(columns))
    written = write(drafted, force=force)
    if as_json:
        print_json(_facts(drafted, written))
    elif not quiet:
        for head, text in _lines(drafted, written):
            _print(head, text)


def _said(columns: Sequence[str]) -> dict[str, str]:
    from datakit.core.registry import suggest
    from datakit.sources.spec import OUR_NAMES

    said = {}
    for pair in columns:
        ours, mark, theirs = pair.partition("=")
        if not mark or not theirs:
            raise click.UsageError(f"--column takes OURS=NAME, such as text=message, not '{pair}'")
        if ours not in OUR_NAMES:
            raise click.UsageError(f"--column: '{ours}' is none of our names. {suggest(ours, list(OUR_NAMES))}")
        said[ours] = theirs
    return said


def _facts(drafted: Draft, written: list[Path]) -> dict[str, object]:
    from dataclasses import asdict

    sight = drafted.sight
    return {
        "format": 1,
        "file": sight.path,
        "file_format": sight.format,
        "rows": len(sight.rows),
        "whole": sight.is_whole,
        "bad_rows": sight.bad,
        "columns": {column.name: {"kind": column.kind, "distinct": column.distinct} for column in sight.columns},
        "taken_as": asdict(drafted.meaning),
        "written": [str(path) for path in written],
    }


def _lines(drafted: Draft, written: list[Path]) -> list[tuple[str, str]]:
    sight, found = drafted.sight, drafted.meaning
    rows = f"{len(sight.rows):,} rows" if sight.is_whole else f"the first {len(sight.rows):,} rows"
    bad = f", {sight.bad} more that cannot be read" if sight.bad else ""
    encoding = f", {sight.options['encoding']}" if "encoding" in sight.options else ""
    header = ", no header line" if "header" in sight.options else ""
    lines = [("read", f"{sight.path}: {sight.format}{encoding}, {rows}{bad}{header}")]
    columns = [
        f"{column.name} ({column.kind}, {column.distinct:,} different)"
        if column.distinct
        else f"{column.name} ({column.kind})"
        for column in sight.columns
    ]
    lines.append(("columns", " · ".join(columns)))
    lines.append(("taken as", _taken(drafted)))
    if found.label:
        counted = [f"{name} {count:,}" for name, count in sight.column(found.label).values]
        shown = ", ".join(counted[:6]) + (f" and {len(counted) - 6} more" if len(counted) > 6 else "")
        lines.append(("labels", f"{found.label}: {shown}"))
    lines.append(
        ("language", {"ko": "Korean, by script", "en": "not Korean, by script: English templates"}[found.language])
    )
    if found.group:
        lines.append(("group", f"{found.group}: rows with one value stay on one side of the split"))
    if found.personal:
        hits = ", ".join(f"{kind} {count:,}" for kind, count in found.personal.items())
        lines.append(("personal", f"rows with {hits}, by a quick look; the recipe replaces them"))
    lines.append(("wrote", " and ".join(map(str, written))))
    lines.append(("next", f"datakit check {drafted.path}"))
    lines.append(("", f"datakit run {drafted.path}"))
    return lines


def _taken(drafted: Draft) -> str:
    found = drafted.meaning
    main = [f"'{name}'" for name in found.main]
    if found.shape == "chat":
        return f"conversations in {main[0]}"
    if found.shape == "preference":
        return f"preference pairs: {main[0]} with a better and a worse answer"
    if found.shape == "labels":
        return f"{main[0]} with a label to predict"
    if found.shape in ("entailment", "pairs"):
        return f"{main[0]} and {main[1]} with a label to predict"
    if found.shape == "instructions":
        return f"{main[0]} with {main[1]}, answered by {main[2]}"
    if found.shape == "answers":
        return f"{main[0]} answered by {main[1]}"
    return f"plain text in {main[0]}"


def _print(head: str, text: str) -> None:
    import textwrap

    lines = textwrap.wrap(text, _WIDTH - 10, break_on_hyphens=False) or [""]
    click.echo(click.style(f"{head:<9} ", bold=True) + lines[0])
    for line in lines[1:]:
        click.echo(" " * 10 + line)
