"""``datakit decontaminate``: rows that hold benchmark items taken out of plain files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from datakit.cli.options import StepCommand
from datakit.cli.plain import writing_options

__all__ = ["command"]


@click.command("decontaminate", cls=StepCommand, steps=["decontaminate"], without=["against"])
@click.option("--against", multiple=True, required=True, metavar="NAME", help="Suite, task or file; repeatable.")
@writing_options(shards=False)
def command(**given: Any) -> None:
    """Take rows that hold benchmark items out of FILES.

    --against names a suite (registered, or its .yaml), a task of lm-eval, or a
    file of items with a prompt and an answer. Each dropped row stands in
    OUT.dropped.jsonl with the items that were found in it; with --action report
    all rows stay, and those stand in OUT.found.jsonl.

    \b
    Examples:
      $ datakit decontaminate tickets.csv --against pocket -o clean.csv
    """
    import tempfile

    from datakit.cli.plain import run_steps

    with tempfile.TemporaryDirectory(prefix="datakit-items-") as folder:
        against = tuple(_items(name, Path(folder), offline=given["offline"]) for name in given["against"])
        run_steps(given, [("decontaminate", {"against": against})])


def _items(name: str, folder: Path, *, offline: bool) -> str:
    """A file of items: the one that is named, or what a suite or task holds."""
    path = Path(name)
    if path.is_file() and path.suffix not in (".yaml", ".yml"):
        return str(path.absolute())
    from datakit.plain.targets import suffixes

    if not path.is_file() and any(suffixes(name)):  # no task and no suite has such a name
        from datakit.core.errors import SourceError

        raise SourceError(
            f"no such file: '{name}'",
            hint=f"Relative paths start at '{Path.cwd()}'; a name without ending is a suite or a task of lm-eval",
        )
    from datakit.core.require import own_package

    own_package("evalkit")
    from evalkit import export_items
    from evalkit.suite import SUITES, load_suite

    is_suite = path.suffix in (".yaml", ".yml") or name in SUITES.names()
    suite = load_suite(path if path.is_file() else name) if is_suite else load_suite([name])
    target = folder / f"{len(list(folder.iterdir()))}.parquet"
    export_items(suite, target, offline=offline)
    return str(target)
