"""What the commands on plain files share: options for reading and writing, running steps, the summary."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from datakit.core.step import Step
    from datakit.core.workers import Workers
    from datakit.plain import PlainFile, PlainResult

__all__ = ["files_of", "make_step", "reading_options", "run_steps", "said", "writing_options"]

F = TypeVar("F", bound=Callable[..., Any])

_READING = (
    click.argument("files", nargs=-1, required=True),
    click.option("--column", "column", multiple=True, metavar="OURS=THEIRS", help="Map a column: text=body."),
    click.option("--format", "format_", metavar="NAME", help="jsonl, json, csv, tsv, parquet or text."),
    click.option("--encoding", default="utf-8", help="Of text formats.  [default: utf-8]"),
    click.option("--delimiter", metavar="CHARACTER", help="Of a csv; found where not given."),
    click.option("--no-header", is_flag=True, help="The csv has no line of names: column1, ..."),
    click.option("--offline", is_flag=True, help="Read nothing from other machines."),
)
_WRITING = (
    click.option("-o", "--output", metavar="OUT", help="File, folder, URL, or - for standard output."),
    click.option("--dropped", metavar="FILE", help="Dropped rows; OUT.dropped.jsonl by default."),
    click.option("--skip-bad-rows", is_flag=True, help="Set unreadable rows aside instead of ending."),
)
_WORKERS = click.option("--workers", type=click.IntRange(1), default=1, help="Processes.  [default: 1]")
_SHARD = click.option("--shard", metavar="I/N", help="Only every N-th row (of many files: file) from the I-th.")
_PRINTING = (
    click.option("--json", "as_json", is_flag=True, help="Print counts as JSON; to stderr with -o -."),
    click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors."),
)


def _all(function: F, options: Sequence[Callable[[F], F]]) -> F:
    for option in reversed(options):
        function = option(function)
    return function


def reading_options(function: F) -> F:
    """FILES and how they are read; ``--json`` and ``-q``."""
    return _all(function, (*_READING, *_PRINTING))


def writing_options(*, shards: bool) -> Callable[[F], F]:
    """The same and where rows go; where a row step can, in shards and by several processes."""

    def decorate(function: F) -> F:
        return _all(function, (*_READING, *_WRITING, *((_SHARD, _WORKERS) if shards else ()), *_PRINTING))

    return decorate


def files_of(given: Mapping[str, Any], paths: Sequence[str] | None = None) -> list[PlainFile]:
    """The files of a call, opened."""
    from datakit.plain import Reading, open_files

    reading = Reading(
        format=given.get("format_") or "auto",
        encoding=given.get("encoding") or "utf-8",
        delimiter={"\\t": "\t", "tab": "\t"}.get(given.get("delimiter") or "", given.get("delimiter")),
        header=not given.get("no_header"),
        offline=bool(given.get("offline")),
    )
    return open_files(given["files"] if paths is None else paths, reading)


def make_step(
    name: str, given: Mapping[str, Any], columns: Mapping[str, str], workers: Workers | None = None, **more: Any
) -> Step:
    """A step from a command's options.

    Args:
        name: As in a recipe.
        given: What click collected.
        columns: Our names to the file's.
        workers: Processes for it.
        more: Parameters that are no options of their own.
    """
    from pathlib import Path

    from datakit.cli.options import step_params
    from datakit.core.step import StepContext
    from datakit.core.workers import Workers
    from datakit.recipe import STEPS

    step = STEPS.load(name)
    params = step_params(name, step.Params, given, **more)
    context = StepContext(
        seed=given.get("seed") or 0,
        folder=Path.cwd(),
        columns={"file": dict(columns)},
        offline=bool(given.get("offline")),
        workers=workers or Workers(),
    )
    made: Step = step(params, context)
    return made


def run_steps(
    given: Mapping[str, Any], steps: Sequence[tuple[str, Mapping[str, Any]]], *, needs_text: bool = True
) -> PlainResult:
    """Runs steps on a call's files, writes, and prints the summary.

    Args:
        given: What click collected.
        steps: Names in order, each with parameters that are no options.
        needs_text: Whether the steps need a text column.
    """
    from datakit.core.workers import Workers
    from datakit.plain import run
    from datakit.plain.columns import said_columns
    from datakit.plain.engine import read_columns, shard_of

    said_names = said_columns(given["column"])
    files = files_of(given)
    columns = read_columns(files, said_names) or {}
    with Workers(given.get("workers") or 1) as workers, _counting(given) as progress:
        made = [make_step(name, given, columns, workers, **more) for name, more in steps]
        result = run(
            files,
            made,
            given["output"],
            columns=said_names,
            needs_text=needs_text,
            skip_bad_rows=given["skip_bad_rows"],
            shard=shard_of(given["shard"]) if given.get("shard") else None,
            dropped=given["dropped"],
            progress=progress,
        )
    said(result, given)
    return result


@contextlib.contextmanager
def _counting(given: Mapping[str, Any]) -> Iterator[Callable[[int], None] | None]:
    """A line on a terminal with the number of rows read."""
    from datakit.cli.console import console

    out = console(quiet=given["quiet"] or given["as_json"], to_stderr=True)
    if not out.is_terminal or out.quiet:
        yield None
        return
    with out.status("reading") as status:
        yield lambda rows: status.update(f"{rows:,} rows read")


def said(result: PlainResult, given: Mapping[str, Any]) -> None:
    """The summary; on stderr where rows went to stdout."""
    from datakit.cli.console import console

    to_stderr = "-" in result.outputs
    if given["as_json"]:
        text = json.dumps(_as_json(result), ensure_ascii=False, indent=1)
        click.echo(text, err=to_stderr)
        return
    out = console(quiet=given["quiet"], to_stderr=to_stderr)
    for line in _lines(result):
        out.print(line, markup=False, soft_wrap=True)


def _as_json(result: PlainResult) -> dict[str, Any]:
    return {
        "rows_in": result.rows_in,
        "rows_out": result.rows_out,
        "changed": result.changed,
        "dropped": dict(result.dropped),
        "nulled": result.nulled,
        "outputs": list(result.outputs),
        "dropped_rows": result.sidecar,
        "found_rows": result.found,
        "columns": result.columns,
        "notes": result.notes,
    }


def _lines(result: PlainResult) -> list[str]:
    parts = [f"{result.rows_in:,} in", f"{result.rows_out:,} out"]
    parts += [f"{result.changed:,} changed"] if result.changed else []
    lines = [f"{'rows':<10}{' · '.join(parts)}"]
    lines += [f"{'dropped':<10}{count:,} {name}" for name, count in result.dropped.most_common()]
    if result.nulled:
        lines.append(f"{'nulled':<10}{result.nulled:,} values: their column holds no text")
    lines += [f"{'note':<10}{note}" for note in result.notes]
    if result.outputs != ("-",):
        lines.append(f"{'output':<10}{', '.join(result.outputs)}")
    if result.sidecar:
        lines.append(f"{'why':<10}{result.sidecar}")
    if result.found:
        lines.append(f"{'found':<10}{result.found}")
    return lines
