"""``datakit convert``: plain files in another format, and data sets in the formats of other trainers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datakit.cli.plain import reading_options

if TYPE_CHECKING:
    from datakit.export import ExportResult

__all__ = ["command", "data_files"]

_FILES = ("jsonl", "json", "csv", "tsv", "parquet")


@click.command("convert")
@click.option("--to", metavar="NAME", help="Format; see above. By default a file format, by OUT's ending.")
@click.option("-o", "--output", metavar="OUT", help="File or URL; for a trainer a folder, or one file.")
@click.option("--lossy", is_flag=True, help="Leave out and count what the format cannot hold.")
@click.option("--skip-bad-rows", is_flag=True, help="Count unreadable rows instead of ending.")
@reading_options
def command(**given: Any) -> None:
    """Write FILES, or the data set of a run, in another format.

    File formats: jsonl, json, csv, tsv, parquet. Formats of trainers: openai,
    alpaca, sharegpt, llamafactory, axolotl, trl, trl-messages, huggingface, and
    those of plugins. What such a format cannot hold is an error, or counted with
    --lossy. FILES called train, validation and test are the splits.

    \b
    Examples:
      $ datakit convert tickets.csv --to parquet -o tickets.parquet
      $ datakit convert runs/support --to trl -o exported
    """
    from datakit.cli.console import console
    from datakit.core.registry import suggest
    from datakit.export import exporter_names

    known = [*_FILES, *exporter_names()]
    if given["to"] is None:
        given["to"] = _by_ending(given["output"])
    if given["to"] not in known:
        raise click.UsageError(f"no format named '{given['to']}'. {suggest(given['to'], known)}")
    if given["to"] in _FILES:
        _file(given)
        return
    result, bad = _export(given)
    if given["as_json"]:
        click.echo(json.dumps(_as_json(result, bad), ensure_ascii=False, indent=1))
        return
    out = console(quiet=given["quiet"])
    for split, file in result.files.items():
        out.print(f"{split:<12}{result.rows[split]:>9,}  {file}", markup=False, soft_wrap=True)
    for path in result.beside:
        out.print(f"{'beside':<23}{path}", markup=False, soft_wrap=True)
    for title, counted in (("left out", result.left_out), ("lost", result.losses), ("note", result.notes)):
        for what, count in counted.items():
            out.print(f"{title:<12}{count:>9,}  {what.replace('_', ' ')}", markup=False, soft_wrap=True)
    if bad:
        out.print(f"{'unreadable':<12}{bad:>9,}", markup=False)


def _by_ending(output: str | None) -> str:
    from datakit.plain.targets import suffixes

    ending = suffixes(output or "")[0].lstrip(".")
    if ending not in _FILES:
        raise click.UsageError("into which format? --to NAME, or -o with the ending of a file format")
    return ending


def _file(given: dict[str, Any]) -> None:
    from datakit.cli.plain import files_of, said
    from datakit.plain.convert import convert
    from datakit.plain.engine import header_notes

    output = given["output"] or ("-" if list(given["files"]) == ["-"] else None)
    if output is None:
        raise click.UsageError("where shall the rows go? -o OUT, or -o - for standard output")
    paths = [place for path in given["files"] for place in data_files(path)]
    files = files_of(given, paths)
    result = convert(files, given["to"], output, skip_bad_rows=given["skip_bad_rows"])
    result.notes += header_notes(files)
    said(result, given)


def data_files(path: str) -> list[str]:
    """A run stands for the files of its data set."""
    for folder in (Path(path) / "data", Path(path)):
        if folder.is_dir() and (found := sorted(folder.glob("*.parquet"))):
            return [str(file) for file in found]
    return [path]


def _export(given: dict[str, Any]) -> tuple[ExportResult, int]:
    from datakit.cli.plain import files_of
    from datakit.export import export
    from datakit.plain.columns import said_columns
    from datakit.plain.convert import examples

    if given["output"] is None or "://" in given["output"] or given["output"] == "-":
        raise click.UsageError("name a folder of this machine: -o FOLDER")
    first = Path(given["files"][0])
    if len(given["files"]) == 1 and first.is_dir():
        return export(first, given["to"], given["output"], lossy=given["lossy"]), 0
    tables, bad = examples(files_of(given), columns=said_columns(given["column"]), skip_bad_rows=given["skip_bad_rows"])
    return export(tables, given["to"], given["output"], lossy=given["lossy"]), bad


def _as_json(result: ExportResult, bad: int) -> dict[str, Any]:
    return {
        "files": {split: str(file) for split, file in result.files.items()},
        "beside": [str(path) for path in result.beside],
        "rows": result.rows,
        "left_out": dict(result.left_out),
        "losses": dict(result.losses),
        "notes": dict(result.notes),
        "unreadable": bad,
    }
