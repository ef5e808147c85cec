"""``datakit stats``: what a file or a data set holds, in numbers and as a page with plots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datakit.cli.plain import reading_options

if TYPE_CHECKING:
    from datakit.plain.stats import FileStats

__all__ = ["command"]

_MOST = 8


@click.command("stats")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Also write a page with plots.")
@reading_options
def command(**given: Any) -> None:
    """Look at FILES, or at the data set of a run.

    Rows, columns, lengths, labels, languages (guessed), exact duplicates, empty
    and unreadable rows; of several files, each and all together.

    \b
    Examples:
      $ datakit stats tickets.csv
      $ datakit stats runs/support --html stats.html
    """
    from datakit.cli.console import console, print_json
    from datakit.cli.convert import data_files
    from datakit.cli.plain import files_of
    from datakit.core.storage import write_text
    from datakit.plain.columns import said_columns
    from datakit.plain.engine import header_notes
    from datakit.plain.page import page
    from datakit.plain.stats import merged, stats

    paths = [place for path in given["files"] for place in data_files(path)]
    files = files_of(given, paths)
    parts = stats(files, columns=said_columns(given["column"]))
    if given["html"] is not None:
        write_text(given["html"], page(parts, ", ".join(Path(name).name for name in given["files"])))
    if given["as_json"]:
        print_json({"all": _as_json(merged(parts)), "files": {part.name: _as_json(part) for part in parts}})
        return
    out = console(quiet=given["quiet"])
    for line in _lines(parts, merged(parts)):
        out.print(line, markup=False, soft_wrap=True)
    for note in header_notes(files):
        out.print(f"{'note':<12}{note}", markup=False, soft_wrap=True)
    if given["html"] is not None:
        out.print(f"{'page':<12}{given['html']}", markup=False, soft_wrap=True)


def _lines(parts: list[FileStats], whole: FileStats) -> list[str]:
    from datakit.plain.page import quantiles

    facts = [f"{whole.duplicates:,} exact duplicates", f"{whole.empty:,} without text"]
    facts += [f"{whole.bad:,} unreadable"] if whole.bad else []
    lines = [f"{'rows':<12}{whole.rows:,} · {' · '.join(facts)}"]
    if len(parts) > 1:
        lines += [f"{'file':<12}{part.rows:>9,}  {part.name}" for part in parts]
    ours = {theirs: name for name, theirs in whole.meaning.items()}
    for name, column in whole.columns.items():
        kinds = ", ".join(kind for kind, _ in column.types.most_common()) or "nothing"
        taken = f" · taken as {ours[name]}" if name in ours else ""
        more = "+" if column.many else ""
        lines.append(
            f"{'column':<12}{name}: {kinds}, {column.filled:,} filled, {len(column.distinct):,}{more} distinct{taken}"
        )
    for name, lengths in whole.lengths.items():
        for unit, values in (("characters", lengths.characters), ("words", lengths.words)):
            said = " · ".join(f"{key} {value:,}" for key, value in quantiles(values).items())
            lines.append(f"{name:<12}{unit}: {said}")
    for title, counts in (("labels", whole.labels), ("languages", whole.languages)):
        if counts:
            shown = " · ".join(f"{name} {rows:,}" for name, rows in counts.most_common(_MOST))
            lines.append(f"{title:<12}{shown}" + (f" · {len(counts) - _MOST} more" if len(counts) > _MOST else ""))
    return lines


def _as_json(part: FileStats) -> dict[str, Any]:
    from datakit.plain.page import quantiles

    return {
        "rows": part.rows,
        "unreadable": part.bad,
        "without_text": part.empty,
        "exact_duplicates": part.duplicates,
        "columns": {
            name: {
                "filled": facts.filled,
                "types": dict(facts.types),
                "distinct": len(facts.distinct),
                "distinct_is_lower_bound": facts.many,
            }
            for name, facts in part.columns.items()
        },
        "taken_as": part.meaning,
        "lengths": {
            name: {"characters": quantiles(lengths.characters), "words": quantiles(lengths.words)}
            for name, lengths in part.lengths.items()
        },
        "labels": dict(part.labels.most_common()),
        "turns": {str(turns): rows for turns, rows in sorted(part.turns.items())},
        "languages": dict(part.languages.most_common()),
    }
